// Digests as text, and hash states as an upload keeps them.
#include "base/digest.h"

#include "fuzz/fuzz.h"

namespace dtr::fuzz {

void one(std::string_view input) {
    if (const auto digest = Digest::parse(input)) {
        FUZZ_CHECK(digest->to_string() == input);
        FUZZ_CHECK(digest->hex().size() == hex_length(digest->algorithm()));
    } else {
        FUZZ_CHECK(digest.error().code == ErrorCode::invalid || digest.error().code == ErrorCode::unsupported);
    }
    if (const auto state = Hasher::load(input)) {
        FUZZ_CHECK(state->save() == input);
        Hasher more = *state;
        more.update("and then some");
        FUZZ_CHECK(!more.finish().empty());
    } else {
        FUZZ_CHECK(state.error().code == ErrorCode::corrupt);
    }
    // Put down and taken up anywhere, the hash is that of the whole.
    if (input.empty()) return;
    const auto algorithm =
        (static_cast<unsigned char>(input[0]) & 1U) != 0 ? DigestAlgorithm::sha512 : DigestAlgorithm::sha256;
    const std::size_t cut = static_cast<unsigned char>(input[0]) * input.size() / 256;
    Hasher first(algorithm);
    first.update(input.substr(0, cut));
    Hasher second = must(Hasher::load(first.save()));
    second.update(input.substr(cut));
    FUZZ_CHECK(second.finish() == Digest::of(input, algorithm));
}

}  // namespace dtr::fuzz
