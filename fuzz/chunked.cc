// Chunked transfer coding: the same bytes come out however the input is torn and however little room there is, and what
// is encoded decodes.
#include <algorithm>
#include <vector>

#include "fuzz/fuzz.h"
#include "http/request_head.h"

namespace dtr::fuzz {
namespace {

using State = http::ChunkDecoder::State;

struct Decoded {
    std::string body;
    std::size_t used = 0;
    State state = State::more;
};

// Gives the decoder `step` bytes more whenever it asks, and room for `room` bytes.
Decoded decode(std::string_view input, std::size_t step, std::size_t room) {
    http::ChunkDecoder decoder;
    Decoded out;
    std::vector<char> buffer(room);
    std::size_t available = std::min(step, input.size());
    while (true) {
        const std::string_view given = input.substr(out.used, available - out.used);
        const auto got = decoder.decode(given, buffer.data(), buffer.size());
        FUZZ_CHECK(got.consumed <= given.size() && got.produced <= buffer.size() && got.produced <= got.consumed);
        out.body.append(buffer.data(), got.produced);
        out.used += got.consumed;
        out.state = got.state;
        if (got.state != State::more) return out;
        if (got.consumed != 0 || got.produced != 0) continue;
        if (available == input.size()) return out;
        available = std::min(available + step, input.size());
    }
}

void round_trip(std::string_view input) {
    Choices choices(input);
    std::string coded, plain;
    while (!choices.empty()) {
        const std::string_view piece = choices.take(1 + choices.byte() % 40U);
        if (piece.empty()) break;
        plain += piece;
        coded += fmt::format("{:x}\r\n{}\r\n", piece.size(), piece);
    }
    coded += "0\r\n\r\n";
    const Decoded got = decode(coded + "GET / HTTP/1.1", 7, 11);
    FUZZ_CHECK(got.state == State::done && got.body == plain && got.used == coded.size());
}

}  // namespace

void one(std::string_view input) {
    if (input.size() > 4096) return;
    const Decoded whole = decode(input, std::max<std::size_t>(1, input.size()), 65536);
    FUZZ_CHECK(whole.body.size() <= input.size());
    for (const auto& [step, room] :
         {std::pair<std::size_t, std::size_t>{1, 65536}, {3, 2}, {input.size() + 1, 1}, {5, 7}}) {
        const Decoded torn = decode(input, step, room);
        FUZZ_CHECK((torn.state == State::done) == (whole.state == State::done));
        if (whole.state == State::done) FUZZ_CHECK(torn.body == whole.body && torn.used == whole.used);
        // A broken one may be noticed earlier or later, but never after other bytes.
        FUZZ_CHECK(torn.body.starts_with(whole.body) || whole.body.starts_with(torn.body));
    }
    round_trip(input);
}

}  // namespace dtr::fuzz
