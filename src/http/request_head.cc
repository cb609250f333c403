// Beast's incremental parser does the grammar; this file adds what it lets pass and what this server means.
//
// Refused beyond Beast: a transfer coding other than exactly "chunked" (Beast ignores it, and a proxy before us might
// not: request smuggling), any transfer coding from HTTP/1.0, a repeated or listed Content-Length even if the values
// agree, a folded header, a missing, repeated or malformed Host, a target that is neither "/..." nor an absolute http URL
// nor the "*" of OPTIONS, a path that is not UTF-8 or holds NUL after decoding. Trailers are parsed and dropped.
#include "http/request_head.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <cstring>
#include <optional>

#include "base/encoding.h"
#include "http/wire.h"

namespace dtr::http {
namespace {

namespace beast = boost::beast;
using BeastError = beast::http::error;
using beast::error_code;
using beast::string_view;

bool is_token_character(char c) {
    const auto b = static_cast<unsigned char>(c);
    if ((b | 0x20U) >= 'a' && (b | 0x20U) <= 'z') return true;
    return (b >= '0' && b <= '9') || (b != 0 && std::strchr("!#$%&'*+-.^_`|~", b) != nullptr);
}

bool starts_with_no_case(std::string_view text, std::string_view word) {
    return text.size() >= word.size() && equal_no_case(text.substr(0, word.size()), word);
}

const char* detail_of(const error_code& ec) {
    if (ec == BeastError::bad_method) return "the method is malformed";
    if (ec == BeastError::bad_target) return "the request target is malformed";
    if (ec == BeastError::bad_version) return "this server speaks HTTP/1.0 and HTTP/1.1";
    if (ec == BeastError::bad_content_length || ec == BeastError::multiple_content_length)
        return "Content-Length is malformed, repeated, or combined with Transfer-Encoding";
    if (ec == BeastError::bad_transfer_encoding)
        return "Transfer-Encoding is not \"chunked\", is repeated, or is combined with Content-Length";
    return "a header field is malformed";
}

// Sends each piece of a head where it belongs.
class HeadParser final : public beast::http::basic_parser<true> {
  public:
    explicit HeadParser(Request& request) : request_(request) {}

    std::string target;
    std::size_t header_count = 0;
    int hosts = 0;
    int lengths = 0;
    bool http10 = false;
    bool expects_continue = false;
    const char* complaint = nullptr;
    ErrorCode complaint_code = ErrorCode::invalid;

  private:
    void on_transfer_encoding(std::string_view text, error_code& ec) {
        if (!http10 && equal_no_case(text, "chunked")) return;
        ec = BeastError::bad_transfer_encoding;
        const bool names = std::all_of(text.begin(), text.end(), [](char c) {
            return is_token_character(c) || c == ' ' || c == ',' || c == ';' || c == '=';
        });
        if (http10 || !names || text.empty() || starts_with_no_case(text, "chunked")) return;
        complaint = "this transfer coding is not implemented here: send chunked, or none";
        complaint_code = ErrorCode::unsupported;
    }

    void on_request_impl(beast::http::verb, string_view method, string_view t, int version, error_code&) override {
        request_.method.assign(method.data(), method.size());
        target.assign(t.data(), t.size());
        http10 = version == 10;
    }

    void on_field_impl(beast::http::field field, string_view name, string_view value, error_code& ec) override {
        const std::string_view text(value.data(), value.size());
        switch (field) {
            case beast::http::field::host:
                ++hosts;
                break;
            case beast::http::field::content_length:
                if (++lengths > 1 || text.find(',') != text.npos) ec = BeastError::multiple_content_length;
                break;
            case beast::http::field::transfer_encoding:
                on_transfer_encoding(text, ec);
                break;
            case beast::http::field::expect:
                if (equal_no_case(text, "100-continue")) {
                    expects_continue = !http10;
                } else {
                    complaint = "the only expectation this server can meet is 100-continue";
                    complaint_code = ErrorCode::refused;
                }
                break;
            default:
                break;
        }
        auto& headers = request_.headers;
        if (header_count == headers.size()) headers.emplace_back();
        headers[header_count].first.assign(name.data(), name.size());
        headers[header_count].second.assign(text);
        ++header_count;
    }

    void on_header_impl(error_code&) override {}
    void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
    std::size_t on_body_impl(string_view, error_code&) override { return 0; }
    void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, string_view, error_code&) override { return 0; }
    void on_finish_impl(error_code&) override {}
    void on_response_impl(int, string_view, int, error_code&) override {}

    Request& request_;
};

// Reduces an absolute target ("http://host/path?query") to what origin form would have said, and its authority.
std::string_view origin_form(std::string_view target, std::optional<std::string_view>& authority) {
    for (const std::string_view scheme : {std::string_view("http://"), std::string_view("https://")}) {
        if (!starts_with_no_case(target, scheme)) continue;
        const std::size_t end = target.find_first_of("/?#", scheme.size());
        authority = target.substr(scheme.size(), end == std::string_view::npos ? end : end - scheme.size());
        if (end == std::string_view::npos) return "/";
        return target.substr(end);
    }
    return target;
}

// What RFC 3986 lets stand in a host and its port. An empty one is allowed: the client does not know a name.
bool is_host(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) {
        const auto b = static_cast<unsigned char>(c);
        if ((b | 0x20U) >= 'a' && (b | 0x20U) <= 'z') return true;
        return (b >= '0' && b <= '9') || (b != 0 && std::strchr("-._~!$&'()*+,;=%:[]", b) != nullptr);
    });
}

// Splits and decodes; a complaint, or null.
const char* set_target(std::string_view target, Request& request) {
    if (target == "*" && request.method == "OPTIONS") {
        request.path = "*";
        return nullptr;
    }
    std::optional<std::string_view> authority;
    target = origin_form(target, authority);
    if (authority) {
        if (authority->empty() || authority->find('@') != std::string_view::npos)
            return "the request target has no host, or has a user";
        set_host(request, *authority);  // whatever Host says (RFC 9112 section 3.2.2)
    }
    if (target.find('#') != std::string_view::npos) return "the request target has a fragment";
    const std::size_t mark = target.find('?');
    const std::string_view path = target.substr(0, mark);
    request.query = mark == std::string_view::npos ? std::string_view{} : target.substr(mark + 1);
    if (path.empty() && mark == 0) {
        request.path = "/";
        return nullptr;
    }
    if (path.empty() || path.front() != '/') return "the request target does not begin with \"/\"";
    if (path.find('%') == std::string_view::npos) {
        request.path.assign(path);
    } else {
        auto decoded = percent_decode(path);
        if (!decoded) return "the path has a bad percent escape";
        request.path = std::move(*decoded);
    }
    if (request.path.find('\0') != std::string::npos || !is_valid_utf8(request.path)) {
        request.path.clear();
        return "the path is not UTF-8, or contains NUL";
    }
    return nullptr;
}

}  // namespace

std::size_t find_head_end(std::string_view bytes, std::size_t searched) {
    const std::size_t at = bytes.find("\r\n\r\n", searched < 3 ? 0 : searched - 3);
    return at == std::string_view::npos ? at : at + 4;
}

bool hopeless_head(std::string_view bytes) {
    if (bytes.empty()) return false;
    if (!is_token_character(bytes.front())) return true;
    for (std::size_t at = bytes.find('\n'); at != std::string_view::npos; at = bytes.find('\n', at + 1))
        if (at == 0 || bytes[at - 1] != '\r') return true;
    return false;
}

Result<Head> parse_head(std::string_view bytes, Request& request) {
    request.method.clear();
    request.path.clear();
    request.query.clear();
    request.content_length.reset();
    request.attachment.reset();
    request.has_body = false;
    HeadParser parser(request);
    parser.header_limit(static_cast<std::uint32_t>(bytes.size() + 1));
    parser.body_limit(boost::none);
    error_code ec;
    parser.put(boost::asio::const_buffer(bytes.data(), bytes.size()), ec);
    request.headers.resize(parser.header_count);
    const char* complaint = parser.complaint;
    const bool folded = bytes.find("\r\n ") != std::string_view::npos || bytes.find("\r\n\t") != std::string_view::npos;
    if (folded) {
        complaint = "a header field is folded over several lines";
        parser.complaint_code = ErrorCode::invalid;
    } else if (complaint == nullptr && (ec || !parser.is_header_done())) {
        complaint = detail_of(ec);
    } else if (complaint == nullptr) {
        complaint = set_target(parser.target, request);
        if (parser.hosts > 1 || (parser.hosts == 0 && !parser.http10))
            complaint = "exactly one Host header is required";
        if (complaint == nullptr && !is_host(request.header("Host"))) complaint = "the Host header is malformed";
    }
    if (complaint != nullptr) return fail(parser.complaint_code, complaint);

    Head head;
    head.keep_alive = parser.keep_alive();
    head.chunked = parser.chunked();
    head.http10 = parser.http10;
    if (const auto length = parser.content_length(); length && !head.chunked) {
        request.content_length = *length;
        head.length = *length;
    }
    request.has_body = head.chunked || head.length > 0;
    head.expects_continue = parser.expects_continue && request.has_body;
    return head;
}

void read_request_line(std::string_view bytes, Request& request) {
    constexpr std::size_t kMethodMax = 32;
    constexpr std::size_t kTargetMax = 2048;
    request.method.clear();
    request.path.clear();
    request.query.clear();
    const std::string_view line = bytes.substr(0, bytes.find_first_of("\r\n"));
    const std::size_t space = line.find(' ');
    if (space == 0 || space > kMethodMax) return;  // also if there is none
    const std::string_view method = line.substr(0, space);
    if (!std::all_of(method.begin(), method.end(), is_token_character)) return;
    std::string_view target = line.substr(space + 1);
    target = target.substr(0, target.find(' ')).substr(0, kTargetMax);
    std::optional<std::string_view> authority;
    target = origin_form(target, authority);
    target = target.substr(0, target.find_first_of("?#"));
    const auto path = percent_decode(target);
    if (!target.starts_with('/') || !path || path->find('\0') != std::string::npos || !is_valid_utf8(*path)) return;
    request.method = method;
    request.path = *path;
}

void set_host(Request& request, std::string_view authority) {
    for (auto& [name, value] : request.headers)
        if (equal_no_case(name, "Host")) {
            value.assign(authority);
            return;
        }
    request.headers.emplace_back("Host", authority);
}

int refusal_status(const Error& error) {
    switch (error.code) {
        case ErrorCode::unsupported:
            return 501;
        case ErrorCode::refused:
            return 417;
        default:
            return 400;
    }
}

// Beast decodes chunks only behind a head, so it is given one.
struct ChunkDecoder::Parser final : beast::http::basic_parser<true> {
    char* out = nullptr;
    std::size_t capacity = 0;
    std::size_t produced = 0;
    bool fed = false;

    Parser() {
        constexpr std::string_view head = "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        error_code ec;
        body_limit(boost::none);
        put(boost::asio::const_buffer(head.data(), head.size()), ec);
        eager(true);
    }

    void on_request_impl(beast::http::verb, string_view, string_view, int, error_code&) override {}
    void on_response_impl(int, string_view, int, error_code&) override {}
    void on_field_impl(beast::http::field, string_view, string_view, error_code&) override {}
    void on_header_impl(error_code&) override {}
    void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
    std::size_t on_body_impl(string_view, error_code&) override { return 0; }
    void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, string_view body, error_code& ec) override {
        const std::size_t n = std::min(body.size(), capacity - produced);
        if (n < body.size()) ec = BeastError::need_buffer;
        std::memmove(out + produced, body.data(), n);
        produced += n;
        return n;
    }
    void on_finish_impl(error_code&) override {}
};

ChunkDecoder::ChunkDecoder() : parser_(std::make_unique<Parser>()) {}
ChunkDecoder::~ChunkDecoder() = default;

ChunkDecoder::Step ChunkDecoder::decode(std::string_view in, char* out, std::size_t capacity) {
    Step step;
    // The shortest body has five bytes. Beast asserts, in every build, if it is given "0\r\n" and then "0\r\n\r".
    if (in.empty() || (!parser_->fed && in.size() < 5)) return step;
    parser_->fed = true;
    parser_->out = out;
    parser_->capacity = capacity;
    parser_->produced = 0;
    error_code ec;
    step.consumed = parser_->put(boost::asio::const_buffer(in.data(), in.size()), ec);
    step.produced = parser_->produced;
    if (parser_->is_done()) {
        step.state = State::done;
    } else if (ec && ec != BeastError::need_more && ec != BeastError::need_buffer) {
        step.state = State::bad;
    }
    return step;
}

}  // namespace dtr::http
