// dtr status: is the replica well, and what does it say of itself?
#include <boost/json.hpp>
#include <cstdio>

#include "cli/connection.h"
#include "cli/dtr/commands.h"
#include "cli/exit_code.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

Status show_status(Connection& connection) {
    DTR_ASSIGN(HttpCall call, connection.call("GET", "/api/v0/meta/cluster_status"));
    DTR_ASSIGN(const HttpAnswer answer, curl_http_client().call(call));
    if (answer.status != 200) return fail(answer_error(answer, "cannot read the status"));
    std::printf("%s\n", answer.body.c_str());
    return {};
}

}  // namespace

void add_status(Program& program) {
    auto* app = program.app.add_subcommand("status", "Show replicas, epoch and version as JSON");
    auto connection = std::make_shared<Connection>();
    connection->add_options(*app);
    app->callback([&program, connection] {
        program.run = [connection] {
            const auto shown = show_status(*connection);
            return shown ? static_cast<int>(kGood) : report(shown.error());
        };
    });
}

}  // namespace dtr::cli
