#include "api/admin/admin.h"

#include <charconv>

namespace dtr::api::admin {

namespace json = boost::json;

constexpr std::size_t kPageMax = 1000;

http::Response json_response(int status, const json::value& body) {
    http::Response response;
    response.status = status;
    response.set("Content-Type", "application/json");
    response.body = json::serialize(body);
    return response;
}

http::Response no_content() {
    http::Response response;
    response.status = 204;
    return response;
}

Result<Page> page_of(const http::Request& request) {
    const auto first_of = [&](std::initializer_list<std::string_view> names) -> std::optional<std::string> {
        for (const std::string_view name : names)
            if (auto value = request.query_value(name)) return value;
        return std::nullopt;
    };
    Page page;
    page.start = first_of({"pageStart", "start"}).value_or("");
    const auto size = first_of({"pageSize", "limit", "n"});
    if (!size) return page;
    const auto [end, error] = std::from_chars(size->data(), size->data() + size->size(), page.limit);
    if (error == std::errc::result_out_of_range)
        page.limit = kPageMax;
    else if (error != std::errc() || end != size->data() + size->size() || page.limit == 0)
        return fail(ErrorCode::invalid, "the page size is not a number greater than 0");
    page.limit = std::min(page.limit, kPageMax);
    return page;
}

bool wants_count(const http::Request& request) {
    return request.query_value("count").value_or("") == "true";
}

}  // namespace dtr::api::admin
