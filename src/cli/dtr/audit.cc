// audit: who did what, and who failed to log in, as the server recorded it.
#include <cstdio>

#include "cli/admin_calls.h"
#include "cli/dtr/commands.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

struct AuditCommand {
    Connection connection;
    std::size_t limit = 100;
    bool json_output = false;
    bool logins = false;
};

void print_event(const json::object& row, bool as_json) {
    if (as_json) {
        print_line(json::serialize(row));
        return;
    }
    std::string line = text_of(row, "happenedAt");
    for (const char* const field : {"actor", "address", "action", "subject", "detail"})
        line += '\t' + text_of(row, field);
    print_line(line);
}

void print_failed_login(const json::object& row, bool as_json) {
    if (as_json) {
        std::printf("%s\n", json::serialize(row).c_str());
        return;
    }
    const auto count = [&](std::string_view field) {
        const auto* value = row.if_contains(field);
        return value != nullptr && value->is_int64() ? value->as_int64() : 0;
    };
    const auto who = [&](std::string_view field) {
        std::string text = text_of(row, field);
        return text.empty() ? std::string("(several)") : text;
    };
    std::printf("%s\t%s\t%s\t%lld wrong\t%lld refused\n", text_of(row, "lastAt").c_str(), who("name").c_str(),
                who("address").c_str(), static_cast<long long>(count("wrong")),
                static_cast<long long>(count("refused")));
}

Status print_failed_logins(AuditCommand& command) {
    std::string path = "/api/v0/failed_logins";
    for (std::size_t printed = 0; printed < command.limit;) {
        DTR_ASSIGN(const json::object answer, get_object(command.connection, path, "cannot read the failed logins"));
        const auto* rows = answer.if_contains("failedLogins");
        if (rows == nullptr || !rows->is_array())
            return fail(ErrorCode::unavailable, "cannot read the failed logins: the server's answer holds no list");
        for (const json::value& row : rows->as_array())
            if (row.is_object() && printed++ < command.limit) print_failed_login(row.as_object(), command.json_output);
        const std::string next = text_of(answer, "next");
        if (next.empty()) return {};
        path = "/api/v0/failed_logins?after=" + next;
    }
    return {};
}

Status print_audit(AuditCommand& command) {
    if (command.logins) return print_failed_logins(command);
    std::int64_t before = 0;
    for (std::size_t printed = 0; printed < command.limit;) {
        const std::string path = before == 0 ? "/api/v0/audit" : fmt::format("/api/v0/audit?before={}", before);
        DTR_ASSIGN(const json::object answer, get_object(command.connection, path, "cannot read the audit events"));
        const auto* rows = answer.if_contains("events");
        if (rows == nullptr || !rows->is_array())
            return fail(ErrorCode::unavailable, "cannot read the audit events: the server's answer holds no list");
        const std::int64_t last = before;
        for (const json::value& row : rows->as_array()) {
            const auto* sequence = row.is_object() ? row.as_object().if_contains("sequence") : nullptr;
            if (sequence == nullptr || !sequence->is_int64()) continue;
            before = sequence->as_int64();
            if (printed++ < command.limit) print_event(row.as_object(), command.json_output);
        }
        if (before == last || before <= 1) return {};
    }
    return {};
}

}  // namespace

void add_audit(Program& program) {
    auto added = add_action<AuditCommand>(
        program, program.app, "audit",
        "Who did what, newest first: when, who, from where, what, to what, how, separated by TABs", print_audit);
    added.app->add_option("--limit", added.command->limit, "At most this many (100)");
    added.app->add_flag("--json", added.command->json_output, "One JSON object per line");
    added.app->add_flag(
        "--logins", added.command->logins,
        "Failed logins instead: time of the last one, name, address, how many were wrong, how many were refused");
}

}  // namespace dtr::cli
