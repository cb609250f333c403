// Rows as COPY text, bytea, fingerprints: one spelling; and every row that is written is read back.
#include "archive/copy_text.h"

#include "base/encoding.h"
#include "fuzz/fuzz.h"

namespace dtr::fuzz {
namespace {

void lines_of(std::string_view input) {
    archive::CopyLines lines(input);
    archive::Fingerprint sum, other;
    std::string again;
    while (true) {
        const auto line = lines.next();
        if (!line) {
            FUZZ_CHECK(line.error().code == ErrorCode::corrupt && !input.ends_with('\n'));
            return;
        }
        if (!*line) break;
        sum.add(**line);
        other.add(**line);
        other.add("one more");
        again += std::string(**line) + "\n";
        const auto row = archive::copy_parse(**line);
        if (!row) {
            FUZZ_CHECK(row.error().code == ErrorCode::corrupt);
        } else {
            std::string written;
            must(archive::copy_append(written, *row));
            FUZZ_CHECK(written == std::string(**line) + "\n");
        }
        other.remove("one more");
    }
    FUZZ_CHECK(again == input && sum == other);
    FUZZ_CHECK(must(archive::Fingerprint::parse(sum.hex())) == sum);
}

void row_of(std::string_view input) {
    Choices choices(input);
    archive::CopyRow row;
    while (!choices.empty()) {
        const unsigned length = choices.byte();
        if (length == 0xff) {
            row.emplace_back(std::nullopt);
        } else {
            row.emplace_back(std::string(choices.take(length % 16)));
        }
    }
    if (row.empty()) return;
    bool valid = true;
    for (const auto& value : row)
        valid = valid && (!value || (is_valid_utf8(*value) && value->find('\0') == std::string::npos));
    std::string line = "before";
    FUZZ_CHECK(archive::copy_append(line, row).has_value() == valid);
    if (!valid) {
        FUZZ_CHECK(line == "before");
        return;
    }
    line = line.substr(6);
    FUZZ_CHECK(line.ends_with('\n') && line.find('\n') == line.size() - 1);
    FUZZ_CHECK(must(archive::copy_parse(std::string_view(line).substr(0, line.size() - 1))) == row);
}

}  // namespace

void one(std::string_view input) {
    lines_of(input);
    row_of(input);
    if (const auto sum = archive::Fingerprint::parse(input)) FUZZ_CHECK(sum->hex() == input);
    if (const auto bytes = archive::parse_bytea(input)) FUZZ_CHECK(archive::bytea_text(*bytes) == input);
    FUZZ_CHECK(must(archive::parse_bytea(archive::bytea_text(input))) == input);
}

}  // namespace dtr::fuzz
