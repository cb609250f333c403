// dtr status: is the replica well, and what does it say of itself?
#include <boost/json.hpp>
#include <cstdio>

#include "cli/connection.h"
#include "cli/dtr/commands.h"
#include "cli/exit_code.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

// What an operator must not overlook.
void warn_of_what_matters(const std::string& status) {
    boost::system::error_code error;
    const json::value document = json::parse(status, error);
    const auto* fields = error ? nullptr : document.if_object();
    if (fields == nullptr) return;
    const auto text = [fields](std::string_view name) {
        const auto* value = fields->if_contains(name);
        return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
    };
    if (const std::string why = text("not_writable_because"); !why.empty())
        say(fmt::format("warning: pushes are refused: {}{}", text("store").empty() ? "" : text("store") + "/: ", why));
    const auto* files = fields->if_contains("left_to_carry_away");
    if (files == nullptr || !files->is_array()) return;
    for (const json::value& file : files->as_array())
        if (file.is_string())
            say(fmt::format("warning: {} is still on the replica: move it to a safe place",
                            std::string_view(file.as_string())));
}

Status show_status(Connection& connection) {
    DTR_ASSIGN(HttpCall call, connection.call("GET", "/api/v0/meta/cluster_status"));
    DTR_ASSIGN(const HttpAnswer answer, curl_http_client().call(call));
    if (answer.status != 200) return fail(answer_error(answer, "cannot read the status"));
    print_line(answer.body);
    warn_of_what_matters(answer.body);
    return {};
}

}  // namespace

void add_status(Program& program) {
    auto* app = program.app.add_subcommand("status", "Show replicas, epoch and version as JSON");
    auto connection = std::make_shared<Connection>();
    connection->add_options(*app);
    connection->add_choice_of_replica(*app);
    app->callback([&program, connection] {
        program.run = [connection] {
            const auto shown = show_status(*connection);
            return shown ? static_cast<int>(kGood) : report(shown.error());
        };
    });
}

}  // namespace dtr::cli
