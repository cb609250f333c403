// From the bytes of a request to its Request, and from a chunked body to its bytes. Beast's parser is seen in
// request_head.cc only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/result.h"
#include "http/message.h"

namespace dtr::http {

// What the session itself needs to know of a request's head.
struct Head {
    bool keep_alive = false;
    bool expects_continue = false;
    bool chunked = false;
    bool http10 = false;
    std::uint64_t length = 0;  // of the body, if not chunked
};

// Position after the empty line that ends the head in `bytes`, or npos. The first `searched` bytes are known not to
// hold the end.
std::size_t find_head_end(std::string_view bytes, std::size_t searched);
// True if no further bytes can make a request of the unfinished head `bytes`.
bool hopeless_head(std::string_view bytes);

// Parses exactly one whole head, up to and with its empty line. Fills method, path, query, headers, content_length and
// has_body of `request`, whose memory is reused; the authority of an absolute target replaces Host. invalid: a rule of
// RFC 9112 or of ours is broken; unsupported: a transfer coding we do not know; refused: an expectation we cannot meet. The
// message is for the client. `request` holds no more than harmless parts then.
Result<Head> parse_head(std::string_view bytes, Request& request);
// Of a head that is refused: sets method and path if its first line, perhaps cut short, says them, and empties both if not.
void read_request_line(std::string_view bytes, Request& request);
// Says which host is meant, in the place of any Host header.
void set_host(Request& request, std::string_view authority);
// The status by which such an error is answered.
int refusal_status(const Error& error);

// Takes a body out of chunked transfer coding.
class ChunkDecoder {
  public:
    ChunkDecoder();
    ~ChunkDecoder();
    ChunkDecoder(const ChunkDecoder&) = delete;
    ChunkDecoder& operator=(const ChunkDecoder&) = delete;

    enum class State { more, done, bad };
    struct Step {
        std::size_t consumed = 0;  // of the input; what is left must be given again, with more behind it
        std::size_t produced = 0;
        State state = State::more;
    };
    // `out` may overlap the input if it does not begin behind it. Not to be called again after done or bad.
    Step decode(std::string_view in, char* out, std::size_t capacity);

  private:
    struct Parser;
    std::unique_ptr<Parser> parser_;
};

}  // namespace dtr::http
