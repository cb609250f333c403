#include "cli/work_stream.h"
#include "base/json_fields.h"

#include <optional>

namespace dtr::cli {

namespace json = boost::json;

std::uint64_t number_in(const json::object& line, std::string_view name) {
    const auto* value = line.if_contains(name);
    if (value == nullptr) return 0;
    boost::system::error_code error;
    const auto number = value->to_number<std::uint64_t>(error);
    return error ? 0 : number;
}

Result<json::object> follow_work(Connection& connection, const std::string& path, std::string_view doing,
                                 const std::function<void(const json::object&)>& progress) {
    constexpr std::size_t kLineMax = 8U << 20;
    std::string rest;
    std::optional<json::object> last;
    DTR_ASSIGN(HttpCall call, connection.call("POST", path));
    call.on_body = [&](std::string_view bytes) {
        rest.append(bytes);
        for (std::size_t end = rest.find('\n'); end != std::string::npos; end = rest.find('\n')) {
            boost::system::error_code error;
            json::value line = json::parse(std::string_view(rest).substr(0, end), error);
            rest.erase(0, end + 1);
            if (error || !line.is_object()) return false;
            if (last) progress(*last);
            last = std::move(line.as_object());
        }
        return rest.size() <= kLineMax;
    };
    DTR_ASSIGN(const HttpAnswer answer, curl_http_client().call(call));
    if (answer.status != 200) return fail(answer_error(answer, doing));
    if (last && last->contains("error"))
        return fail(error_code_of(text_field(*last, "error")),
                    fmt::format("{}: {}", doing, text_field(*last, "message")), text_field(*last, "hint"));
    const auto* done = last ? last->if_contains("done") : nullptr;
    if (done == nullptr || !done->is_bool() || !done->as_bool())
        return fail(ErrorCode::unavailable, fmt::format("{}: the server did not report the outcome", doing),
                    "check its log, then run the command again");
    return std::move(*last);
}

}  // namespace dtr::cli
