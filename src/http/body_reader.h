// The body of one request as it comes off the connection, in either framing. Never waits.
#pragma once

#include <cstdint>
#include <memory>

#include "http/input.h"
#include "http/request_head.h"
#include "http/transport.h"

namespace dtr::http {

class BodyReader {
  public:
    BodyReader(const Head& head, Input& input, Transport& transport);

    struct Piece {
        std::size_t bytes = 0;   // if any, they are good whatever `state` says
        Io state = Io::done;     // why there are no more
        bool malformed = false;  // broken chunked coding
    };
    // Fills `out` (a few KiB at least) as far as the bytes at hand go.
    Piece read(char* out, std::size_t capacity);

    [[nodiscard]] bool finished() const { return finished_; }
    [[nodiscard]] std::uint64_t received() const { return received_; }  // raw bytes, for telling progress
    [[nodiscard]] std::uint64_t decoded() const { return decoded_; }    // bytes of the body that read() gave
    // All that is left is at most `limit` bytes, by the length the client gave.
    [[nodiscard]] bool at_most(std::uint64_t limit) const { return finished_ || (!decoder_ && left_ <= limit); }
    [[nodiscard]] bool begun() const { return finished_ || !input_.empty(); }
    // The rest of the body was received already.
    [[nodiscard]] bool at_hand() const { return finished_ || (!decoder_ && left_ <= input_.size()); }
    // Before waiting: lets a fast plain connection gather bytes so that a worker is not woken for every packet.
    void gather();

  private:
    Piece read_plain(char* out, std::size_t capacity);
    Piece read_chunked(char* out, std::size_t capacity);
    bool decode(std::string_view raw, char* out, std::size_t capacity, Piece& piece, std::size_t& consumed);

    Input& input_;
    Transport& transport_;
    std::unique_ptr<ChunkDecoder> decoder_;  // with chunked coding
    std::uint64_t left_ = 0;                 // without
    std::uint64_t received_ = 0;
    std::uint64_t decoded_ = 0;
    bool finished_ = false;
};

}  // namespace dtr::http
