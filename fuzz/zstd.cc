// Parts: never more than the limit comes out, and what is compressed decompresses.
#include "archive/zstd.h"

#include "fuzz/fuzz.h"

namespace dtr::fuzz {

void one(std::string_view input) {
    for (const std::size_t limit : {std::size_t{0}, std::size_t{100}, std::size_t{1} << 20}) {
        const auto plain = archive::zstd_decompress(input, limit);
        if (plain) {
            FUZZ_CHECK(plain->size() <= limit);
        } else {
            FUZZ_CHECK(plain.error().code == ErrorCode::corrupt || plain.error().code == ErrorCode::exhausted);
        }
    }
    const std::string compressed = archive::zstd_compress(input);
    FUZZ_CHECK(must(archive::zstd_decompress(compressed, input.size())) == input);
    FUZZ_CHECK(input.empty() || !archive::zstd_decompress(compressed, input.size() - 1));
    FUZZ_CHECK(!archive::zstd_decompress(compressed + "x", input.size() + 1));
}

}  // namespace dtr::fuzz
