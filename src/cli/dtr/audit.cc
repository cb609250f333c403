// audit: who did what, as the server recorded it.
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

Status print_audit(AuditCommand& command) {
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
        "Who did what, newest first: when, who, from where, what, to what, how, with TABs between", print_audit);
    added.app->add_option("--limit", added.command->limit, "How many at most (100)");
    added.app->add_flag("--json", added.command->json_output, "One JSON object each line");
}

}  // namespace dtr::cli
