// Range and Content-Range.
#include "fuzz/fuzz.h"
#include "oci/content_range.h"

namespace dtr::fuzz {

void one(std::string_view input) {
    if (const auto range = oci::parse_content_range(input)) {
        FUZZ_CHECK(range->first <= range->last);
        FUZZ_CHECK(must(oci::parse_content_range(fmt::format("{}-{}", range->first, range->last))) == *range);
        FUZZ_CHECK(must(oci::parse_content_range(fmt::format("bytes {}-{}/*", range->first, range->last))) == *range);
    } else {
        FUZZ_CHECK(range.error().code == ErrorCode::invalid);
    }
    for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1000}, ~std::uint64_t{0}}) {
        const auto asked = oci::parse_range(input, size);
        if (asked.kind != oci::RangeKind::partial) continue;
        FUZZ_CHECK(asked.range.first <= asked.range.last && asked.range.last < size);
        const auto again = oci::parse_range(fmt::format("bytes={}-{}", asked.range.first, asked.range.last), size);
        FUZZ_CHECK(again.kind == oci::RangeKind::partial && again.range == asked.range);
        FUZZ_CHECK(must(oci::parse_content_range(oci::content_range(asked.range, size))) == asked.range);
    }
}

}  // namespace dtr::fuzz
