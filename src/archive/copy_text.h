// Rows as PostgreSQL's COPY writes them in text format, so that psql loads them, and their
// order-independent sum.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace dtr::archive {

using CopyRow = std::vector<std::optional<std::string>>;  // nullopt is NULL

// Appends one line with its "\n". Values are UTF-8 without NUL; invalid otherwise, and nothing is
// appended.
Status copy_append(std::string& out, const CopyRow& row);
// One line without its "\n". corrupt unless it is exactly what copy_append() writes.
Result<CopyRow> copy_parse(std::string_view line);

// Lines of a whole part, one at a time.
class CopyLines {
  public:
    explicit CopyLines(std::string_view text) : rest_(text) {}
    // The next line without "\n"; nothing at the end; corrupt if the last line has no "\n".
    Result<std::optional<std::string_view>> next();

  private:
    std::string_view rest_;
};

// The text form of a bytea value ("\x" + hex), before COPY's own escaping.
std::string bytea_text(std::string_view bytes);
Result<std::string> parse_bytea(std::string_view text);

// Sum of the SHA-256 of lines, mod 2^256 (little use to an attacker here: it is itself under the
// seal's signature).
class Fingerprint {
  public:
    void add(std::string_view line);  // without its "\n"
    void remove(std::string_view line);
    void add(const Fingerprint& other);
    void remove(const Fingerprint& other);
    [[nodiscard]] std::string hex() const;  // 64 digits, big endian
    static Result<Fingerprint> parse(std::string_view hex);
    friend bool operator==(const Fingerprint&, const Fingerprint&) = default;

  private:
    std::array<std::uint32_t, 8> words_{};  // little endian
};

}  // namespace dtr::archive
