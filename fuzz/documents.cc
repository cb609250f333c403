// HEADER.json, SEAL.json, db/fingerprints.json: one spelling each.
#include "archive/documents.h"

#include "fuzz/fuzz.h"

namespace dtr::fuzz {
namespace {

template <class T>
void check_spelling(const Result<T>& parsed, std::string_view input) {
    if (parsed) {
        FUZZ_CHECK(archive::to_json(*parsed) == input);
        return;
    }
    FUZZ_CHECK(parsed.error().code == ErrorCode::corrupt || parsed.error().code == ErrorCode::unsupported);
    FUZZ_CHECK(!parsed.error().message.empty() && parsed.error().message.size() < 2000);
}

}  // namespace

void one(std::string_view input) {
    const auto header = archive::parse_header(input);
    check_spelling(header, input);
    if (header) {
        FUZZ_CHECK(archive::validate(*header).has_value() && !header->signers.empty());
        FUZZ_CHECK(header->limits.entry_bytes_max <= archive::kBlobBytesMax);
        FUZZ_CHECK(header->limits.sums_entries <= archive::kSumsEntriesMax);
    }
    check_spelling(archive::parse_seal(input), input);
    check_spelling(archive::parse_fingerprints(input), input);
}

}  // namespace dtr::fuzz
