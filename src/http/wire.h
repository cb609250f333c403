// The bytes of an answer's head (RFC 9112), and the small comparisons both directions need.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "http/message.h"

namespace dtr::http {

bool equal_no_case(std::string_view a, std::string_view b);  // ASCII
std::string_view reason_phrase(int status);                  // "OK"; "Unknown" if it is not in our table
bool has_header(const Headers& headers, std::string_view name);
std::string printable(std::string_view text);  // for logs: control characters become '?'

// How the end of an answer's body is told.
struct Framing {
    enum class Kind { bodiless, length, chunked, until_close };
    Kind kind = Kind::length;
    std::uint64_t length = 0;  // with Kind::length
};

enum class Persistence { http11_keep, http10_keep, close };

// Appends status line, Date, X-Request-Id if there is one, `headers`, framing and Connection, ready to send. Control
// characters in a handler's header become spaces, so that reflected input cannot add lines.
void append_head(std::string& out, int status, const Headers& headers, Framing framing, Persistence persistence,
                 std::string_view request_id);

}  // namespace dtr::http
