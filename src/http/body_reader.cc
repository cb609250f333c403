#include "http/body_reader.h"

#include <algorithm>

namespace dtr::http {
namespace {

constexpr std::uint64_t kGatherBytes = 64U << 10;
// Of a chunk's size line with extensions, or of a trailer.
constexpr std::size_t kChunkLineMax = 16U << 10;
// Below this much room another receive call is not worth its cost.
constexpr std::size_t kRoomMin = 2048;

}  // namespace

BodyReader::BodyReader(const Head& head, Input& input, Transport& transport)
    : input_(input), transport_(transport), left_(head.length) {
    if (head.chunked) decoder_ = std::make_unique<ChunkDecoder>();
    finished_ = !head.chunked && head.length == 0;
}

BodyReader::Piece BodyReader::read(char* out, std::size_t capacity) {
    if (finished_) return {};
    Piece piece = decoder_ ? read_chunked(out, capacity) : read_plain(out, capacity);
    decoded_ += piece.bytes;
    if (finished_) transport_.set_low_water(1);
    return piece;
}

BodyReader::Piece BodyReader::read_plain(char* out, std::size_t capacity) {
    Piece piece;
    capacity = static_cast<std::size_t>(std::min<std::uint64_t>(capacity, left_));
    piece.bytes = std::min(capacity, input_.size());
    input_.view().copy(out, piece.bytes);
    input_.consume(piece.bytes);
    while (piece.bytes < capacity) {
        const IoResult r = transport_.read(out + piece.bytes, capacity - piece.bytes);
        piece.state = r.state;
        if (r.state != Io::done) break;
        piece.bytes += r.bytes;
        received_ += r.bytes;
        if (transport_.drained()) break;
    }
    left_ -= piece.bytes;
    finished_ = left_ == 0;
    return piece;
}

// Decodes `raw` to the end of what `piece` holds. False: no further bytes are wanted now.
bool BodyReader::decode(std::string_view raw, char* out, std::size_t capacity, Piece& piece, std::size_t& consumed) {
    const ChunkDecoder::Step step = decoder_->decode(raw, out + piece.bytes, capacity - piece.bytes);
    piece.bytes += step.produced;
    consumed = step.consumed;
    finished_ = step.state == ChunkDecoder::State::done;
    piece.malformed = step.state == ChunkDecoder::State::bad ||
                      (!finished_ && step.consumed == 0 && step.produced == 0 && raw.size() > kChunkLineMax);
    return !finished_ && !piece.malformed && capacity - piece.bytes >= kRoomMin;
}

BodyReader::Piece BodyReader::read_chunked(char* out, std::size_t capacity) {
    Piece piece;
    std::size_t consumed = 0;
    if (!input_.empty()) {
        const bool more = decode(input_.view(), out, capacity, piece, consumed);
        input_.consume(consumed);
        if (!more) return piece;
    }
    while (true) {
        // Decoding shortens, so fresh bytes are decoded in place; only a torn size line moves to the input.
        char* const fresh = out + piece.bytes;
        const IoResult r = transport_.read(fresh, capacity - piece.bytes);
        piece.state = r.state;
        if (r.state != Io::done) return piece;
        received_ += r.bytes;
        bool more = false;
        if (input_.empty()) {
            more = decode({fresh, r.bytes}, out, capacity, piece, consumed);
            input_.append({fresh + consumed, r.bytes - consumed});
        } else {
            input_.append({fresh, r.bytes});
            more = decode(input_.view(), out, capacity, piece, consumed);
            input_.consume(consumed);
        }
        if (!more || transport_.drained()) return piece;
    }
}

void BodyReader::gather() {
    if (!decoder_ && left_ > 0) transport_.set_low_water(static_cast<int>(std::min(left_, kGatherBytes)));
}

}  // namespace dtr::http
