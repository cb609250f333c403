// dtr token: access tokens of one's own account, or as an administrator of another.
#include <cstdio>

#include "base/encoding.h"
#include "cli/dtr/commands.h"
#include "cli/exit_code.h"
#include "cli/work_stream.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

struct TokenCommand {
    Connection connection;
    std::string account;
    std::string label;
    std::string id;
};

Result<std::string> ask(TokenCommand& command, std::string method, const std::string& more, const json::object& body,
                        std::string_view doing) {
    std::string path = "/api/v0/api_tokens" + more;
    if (!command.account.empty()) path += "?account=" + percent_encode(command.account);
    DTR_ASSIGN(HttpCall call, command.connection.call(std::move(method), path));
    if (!body.empty()) {
        call.headers.emplace_back("Content-Type", "application/json");
        call.body = json::serialize(body);
    }
    DTR_ASSIGN(HttpAnswer answer, curl_http_client().call(call));
    if (answer.status < 200 || answer.status >= 300) return fail(answer_error(answer, doing));
    return std::move(answer.body);
}

Status create(TokenCommand& command) {
    DTR_ASSIGN(const std::string body,
               ask(command, "POST", "", {{"tokenLabel", command.label}}, "cannot make the access token"));
    boost::system::error_code error;
    const json::value answer = json::parse(body, error);
    if (error || !answer.is_object()) return fail(ErrorCode::unavailable, "the server's answer is no access token");
    std::printf("%s\n", text_in(answer.as_object(), "token").c_str());
    std::fprintf(stderr, "dtr: access token %s; it is shown only now, and used as a password\n",
                 text_in(answer.as_object(), "id").c_str());
    return {};
}

Status list(TokenCommand& command) {
    DTR_ASSIGN(const std::string body, ask(command, "GET", "", {}, "cannot list the access tokens"));
    boost::system::error_code error;
    const json::value answer = json::parse(body, error);
    if (error || !answer.is_array()) return fail(ErrorCode::unavailable, "the server's answer is no list");
    for (const json::value& one : answer.as_array())
        if (one.is_object())
            std::printf("%s\t%s\t%s\n", text_in(one.as_object(), "id").c_str(),
                        text_in(one.as_object(), "createdAt").c_str(), text_in(one.as_object(), "tokenLabel").c_str());
    return {};
}

Status revoke(TokenCommand& command) {
    DTR_TRY(ask(command, "DELETE", "/" + percent_encode(command.id), {}, "cannot revoke the access token"));
    std::fprintf(stderr, "dtr: access token %s is revoked\n", command.id.c_str());
    return {};
}

}  // namespace

void add_token(Program& program) {
    auto* app = program.app.add_subcommand("token", "Make, list and revoke access tokens: passwords for machines");
    app->require_subcommand(1);
    const auto add = [&](const char* name, const char* about, Status (*run)(TokenCommand&)) {
        auto* sub = app->add_subcommand(name, about);
        auto command = std::make_shared<TokenCommand>();
        command->connection.add_options(*sub);
        sub->add_option("--account", command->account, "Account instead of one's own (administrators)");
        sub->callback([&program, command, run] {
            program.run = [command, run] {
                const auto done = run(*command);
                return done ? static_cast<int>(kGood) : report(done.error());
            };
        });
        return std::pair(sub, command);
    };
    const auto [make, making] = add("create", "Make one; it is printed once", create);
    make->add_option("--label", making->label, "What it is for")->required();
    add("list", "List them: id, TAB, when it was made, TAB, label", list);
    const auto [end, ending] = add("revoke", "Revoke one; it opens nothing from then on", revoke);
    end->add_option("ID", ending->id, "Its id, as listed")->required();
}

}  // namespace dtr::cli
