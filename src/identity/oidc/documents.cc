#include "identity/oidc/documents.h"

#include <algorithm>

#include "base/encoding.h"

namespace dtr::identity::oidc {
namespace {

namespace json = boost::json;

constexpr std::size_t kDepthMax = 16;
constexpr std::size_t kQuoteMax = 200;

// The authority's host, without port: "[::1]" keeps its brackets. Empty if it is not well-formed.
std::string_view host_of(std::string_view authority) {
    if (authority.starts_with('[')) {
        const std::size_t end = authority.find(']');
        if (end == std::string_view::npos) return {};
        const std::string_view rest = authority.substr(end + 1);
        return rest.empty() || rest.starts_with(':') ? authority.substr(0, end + 1) : std::string_view();
    }
    return authority.substr(0, authority.find(':'));
}

bool is_port(std::string_view text) {
    return text.empty() ||
           (text.size() <= 6 && text[0] == ':' &&
            std::all_of(text.begin() + 1, text.end(), [](char c) { return c >= '0' && c <= '9'; }) && text.size() > 1);
}

bool is_this_machine(std::string_view host) {
    if (host == "localhost" || host == "[::1]") return true;
    return host.starts_with("127.") &&
           std::all_of(host.begin(), host.end(), [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

bool is_host(std::string_view host) {
    const bool bracketed = host.starts_with('[');
    return !host.empty() && host.size() <= 255 && std::all_of(host.begin(), host.end(), [bracketed](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
               c == '_' || (bracketed && (c == ':' || c == '[' || c == ']'));
    });
}

}  // namespace

Result<json::object> parse_object(std::string_view text, std::size_t bytes_max) {
    if (text.size() > bytes_max)
        return fail(ErrorCode::exhausted,
                    fmt::format("{} bytes are too many; the maximum is {}", text.size(), bytes_max));
    json::parse_options limits;
    limits.max_depth = kDepthMax;
    boost::system::error_code error;
    json::value value = json::parse(text, error, {}, limits);
    if (error || !value.is_object()) return fail(ErrorCode::invalid, "it is not a JSON object");
    return std::move(value.get_object());
}

bool is_text(const json::value& value, std::string_view expected) {
    return value.is_string() && std::string_view(value.get_string()) == expected;
}

Result<std::string> base64url_decode(std::string_view text) {
    std::string standard(text);
    for (char& c : standard) {
        if (c == '+' || c == '/') return fail(ErrorCode::invalid, "not base64url");
        if (c == '-') c = '+';
        if (c == '_') c = '/';
    }
    return base64_decode_raw(standard);
}

bool is_plain_http(std::string_view url) {
    return url.starts_with("http://");
}

Status check_url(std::string_view url, PlainHttp plain_http) {
    const auto refused = [&](std::string_view why) {
        return fail(ErrorCode::invalid, fmt::format("URL '{}' {}", quotable(url), why));
    };
    if (url.empty() || url.size() > kUrlBytesMax) return refused("is empty or too long");
    if (!std::all_of(url.begin(), url.end(), [](char c) { return c > ' ' && c < '\x7f' && c != '\\' && c != '"'; }))
        return refused("holds characters that must be escaped");
    const bool plain = is_plain_http(url);
    if (!plain && !url.starts_with("https://")) return refused("does not begin with https://");
    if (url.find('#') != std::string_view::npos) return refused("has a fragment");
    const std::string_view rest = url.substr(plain ? 7 : 8);
    const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
    if (authority.find('@') != std::string_view::npos) return refused("holds credentials");
    const std::string_view host = host_of(authority);
    if (!is_host(host) || !is_port(authority.substr(host.size()))) return refused("has no host");
    if (plain && plain_http == PlainHttp::refused) return refused("is not encrypted");
    if (plain && !is_this_machine(host)) return refused("is not encrypted, and its host is not this machine");
    return {};
}

bool is_line(std::string_view text, std::size_t bytes_max) {
    return !text.empty() && text.size() <= bytes_max && is_valid_utf8(text) &&
           std::none_of(text.begin(), text.end(), [](char c) {
               const auto b = static_cast<unsigned char>(c);
               return b < 0x20 || b == 0x7f;
           });
}

std::string quotable(std::string_view text) {
    std::string out(text.substr(0, kQuoteMax));
    for (char& c : out)
        if (c < ' ' || c > '~') c = '?';
    return text.size() > kQuoteMax ? out + "..." : out;
}

}  // namespace dtr::identity::oidc
