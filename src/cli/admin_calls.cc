#include "cli/admin_calls.h"

#include <cstdio>

#include "base/encoding.h"
#include "base/json_fields.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

constexpr std::size_t kPagesMax = 1'000'000;  // against a server that names the same page forever

}  // namespace

Result<HttpAnswer> send(Connection& connection, std::string method, const std::string& path, const json::object& body,
                        std::string_view doing) {
    DTR_ASSIGN(HttpCall call, connection.call(std::move(method), path));
    if (!body.empty()) {
        call.headers.emplace_back("Content-Type", "application/json");
        call.body = json::serialize(body);
    }
    auto answer = curl_http_client().call(call);
    wipe(call.body);  // it may hold passwords
    if (answer && (answer->status < 200 || answer->status >= 300)) return fail(answer_error(*answer, doing));
    return answer;
}

Result<json::object> call_object(Connection& connection, std::string method, const std::string& path,
                                 const json::object& body, std::string_view doing) {
    DTR_ASSIGN(HttpAnswer answer, send(connection, std::move(method), path, body, doing));
    if (answer.body.empty()) return json::object();
    boost::system::error_code error;
    json::value document = json::parse(answer.body, error);
    wipe(answer.body);  // it may hold keys
    if (error || !document.is_object())
        return fail(ErrorCode::unavailable, fmt::format("{}: the server's answer cannot be read", doing),
                    "check that the address belongs to a server of this product");
    return std::move(document.as_object());
}

Status print_list(Connection& connection, const std::string& path, std::string_view array, const LineOf& line) {
    std::string page = path;
    std::string before;
    for (std::size_t i = 0; i < kPagesMax; ++i) {
        DTR_ASSIGN(const json::object answer, get_object(connection, page, "cannot list"));
        const auto* rows = answer.if_contains(array);
        if (rows == nullptr || !rows->is_array())
            return fail(ErrorCode::unavailable, "cannot list: the server's answer holds no list");
        for (const json::value& row : rows->as_array())
            if (row.is_object()) print_line(line(row.as_object()));
        const auto* next = answer.if_contains("nextPageStart");
        if (next == nullptr || !next->is_string() || next->as_string().empty()) return {};
        const std::string start(next->as_string());
        if (start == before) break;
        before = start;
        page = path + (path.find('?') == std::string::npos ? "?" : "&") + "pageStart=" + percent_encode(start);
    }
    return fail(ErrorCode::unavailable, "cannot list: the server's list never ends");
}

std::string text_of(const json::object& row, std::string_view name) {
    return visible(text_field(row, name));
}

const json::object& object_of(const json::object& row, std::string_view name) {
    static const json::object nothing;
    const auto* value = row.if_contains(name);
    return value != nullptr && value->is_object() ? value->as_object() : nothing;
}

std::string account_path(std::string_view name) {
    return "/enzi/v0/accounts/" + percent_encode(name);
}

std::string account_and_repositories_path(std::string_view name) {
    return "/api/v0/accounts/" + percent_encode(name);
}

std::string TeamName::path() const {
    return account_path(organization) + "/teams/" + percent_encode(team);
}

Result<TeamName> parse_team(std::string_view text) {
    const std::size_t slash = text.find('/');
    if (slash != std::string_view::npos && slash > 0 && slash + 1 < text.size() &&
        text.find('/', slash + 1) == std::string_view::npos)
        return TeamName{std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
    return fail(ErrorCode::invalid, fmt::format("'{}' does not name a team", text.substr(0, 200)),
                "a team is named with its organization, as in acme/builders");
}

Result<bool> parse_switch(std::string_view text) {
    if (text == "on") return true;
    if (text == "off") return false;
    return fail(ErrorCode::invalid, fmt::format("'{}' is neither 'on' nor 'off'", text.substr(0, 64)));
}

}  // namespace dtr::cli
