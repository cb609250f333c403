// A request's head: what is taken can be said again and means the same; what its beginning is, is never called hopeless.
#include "http/request_head.h"

#include <algorithm>

#include "base/encoding.h"
#include "fuzz/fuzz.h"
#include "http/wire.h"

namespace dtr::fuzz {
namespace {

bool same(const http::Request& a, const http::Request& b) {
    return a.method == b.method && a.path == b.path && a.query == b.query && a.headers == b.headers &&
           a.content_length == b.content_length && a.has_body == b.has_body;
}

std::string render(const http::Request& request, bool http10) {
    std::string path;
    for (const char c : request.path) path += c == '/' ? "/" : percent_encode(std::string_view(&c, 1));
    if (request.path == "*") path = "*";  // the server as a whole
    // A leading "//" stays a path: in origin form nothing else can stand there.
    std::string out = fmt::format("{} {}{}{} HTTP/1.{}\r\n", request.method, path, request.query.empty() ? "" : "?",
                                  request.query, http10 ? 0 : 1);
    for (const auto& [name, value] : request.headers) out += fmt::format("{}: {}\r\n", name, value);
    return out + "\r\n";
}

void check_query(const http::Request& request) {
    for (const auto* name : {"digest", "mount", "from", "n", "last", ""}) {
        const auto values = request.query_values(name);
        const auto first = request.query_value(name);
        FUZZ_CHECK(values.empty() ? !first : first == values.front());
        std::size_t bytes = 0;
        for (const auto& value : values) bytes += value.size();
        FUZZ_CHECK(bytes <= request.query.size());
    }
}

}  // namespace

void one(std::string_view input) {
    std::size_t end = http::find_head_end(input, 0);
    if (end == std::string_view::npos) {
        http::hopeless_head(input);
        end = input.size();
    } else {
        FUZZ_CHECK(end <= input.size() && input.substr(end - 4, 4) == "\r\n\r\n");
        FUZZ_CHECK(http::find_head_end(input, end - 1) == end);
    }
    const std::string_view head = input.substr(0, end);
    http::Request line;
    http::read_request_line(input, line);
    FUZZ_CHECK(line.path.empty() == line.method.empty() && line.query.empty() && line.headers.empty());
    FUZZ_CHECK(line.path.empty() || (line.path.front() == '/' && is_valid_utf8(line.path)));
    http::Request request;
    const auto parsed = http::parse_head(head, request);
    if (!parsed) {
        const int status = http::refusal_status(parsed.error());
        FUZZ_CHECK((status == 400 || status == 417 || status == 501) && !parsed.error().message.empty());
        return;
    }
    FUZZ_CHECK(!request.method.empty());
    if (!line.path.empty() && head.size() < 1024)
        FUZZ_CHECK(line.method == request.method && line.path == request.path);
    FUZZ_CHECK(request.path.starts_with('/') || (request.path == "*" && request.method == "OPTIONS"));
    FUZZ_CHECK(request.path.find('\0') == std::string::npos);
    FUZZ_CHECK(is_valid_utf8(request.path));
    FUZZ_CHECK(!(parsed->chunked && request.content_length));
    FUZZ_CHECK(request.has_body == (parsed->chunked || parsed->length > 0));
    FUZZ_CHECK(parsed->length == request.content_length.value_or(0));
    std::size_t bytes = request.method.size() + request.path.size() + request.query.size();
    int hosts = 0;
    for (const auto& [name, value] : request.headers) {
        bytes += name.size() + value.size();
        FUZZ_CHECK(name.find_first_of("\r\n:") == std::string::npos &&
                   value.find_first_of("\r\n") == std::string::npos);
        if (http::equal_no_case(name, "host")) ++hosts;
    }
    FUZZ_CHECK(bytes <= head.size());
    FUZZ_CHECK(hosts == 1 || (hosts == 0 && parsed->http10));
    for (std::size_t cut = 1; cut < head.size(); cut += 1 + head.size() / 64)
        FUZZ_CHECK(!http::hopeless_head(head.substr(0, cut)));
    check_query(request);

    http::Request again;
    const auto second = http::parse_head(render(request, parsed->http10), again);
    FUZZ_CHECK(second.has_value());
    FUZZ_CHECK(same(request, again));
    FUZZ_CHECK(second->keep_alive == parsed->keep_alive && second->chunked == parsed->chunked &&
               second->expects_continue == parsed->expects_continue && second->http10 == parsed->http10);
}

}  // namespace dtr::fuzz
