#include "meta/sql_audit_store.h"

#include <fmt/format.h>

#include <limits>

namespace dtr::meta {
namespace {

using sql::Sql;

const Sql kNewest("find the newest audit event", "SELECT sequence FROM audit_events ORDER BY sequence DESC LIMIT 1");
const Sql kListEvents("list audit events",
                      "SELECT sequence, happened_at, actor, address, action, subject, detail FROM audit_events"
                      " WHERE sequence < ?1 ORDER BY sequence DESC LIMIT ?2");
const Sql kTooOld("find audit events over the limit",
                  "SELECT sequence FROM audit_events WHERE sequence <= ?1 ORDER BY sequence LIMIT 100");
const Sql kEscrowed("find the escrowed key",
                    "SELECT recipient, cluster_id, sealed, escrowed_at FROM escrowed_keys WHERE recipient = ?1");

Result<std::int64_t> number_at(const sql::Rows& rows) {
    return rows.integer(0);
}

Result<AuditEvent> event_at(const sql::Rows& rows) {
    return AuditEvent{rows.integer(0), rows.integer(1), rows.string(2), rows.string(3),
                      rows.string(4),  rows.string(5),  rows.string(6)};
}

}  // namespace

Status append_audit(ChangeRecorder& recorder, const AuditEvent& event) {
    DTR_ASSIGN(const auto newest, first<std::int64_t>(recorder.transaction().query(kNewest, {}), number_at));
    const std::int64_t next = newest.value_or(0) + 1;
    DTR_TRY(recorder.upsert(TableId::audit_events, {next, recorder.now(), event.actor, event.address, event.action,
                                                    event.subject, event.detail}));
    DTR_ASSIGN(const auto old,
               collect<std::int64_t>(recorder.transaction().query(kTooOld, {next - kAuditEventsMax}), number_at));
    for (const std::int64_t sequence : old) DTR_TRY(recorder.erase(TableId::audit_events, {sequence}));
    return {};
}

Status SqlAuditStore::add(const AuditEvent& event, std::optional<std::int64_t> account_version) {
    return change(parts_, {event.actor, account_version},
                  [&](ChangeRecorder& recorder) { return append_audit(recorder, event); });
}

Result<std::vector<AuditEvent>> SqlAuditStore::list(std::int64_t before, std::size_t limit) {
    return read<std::vector<AuditEvent>>(parts_.database, [&](sql::Connection& connection) {
        const std::int64_t end = before > 0 ? before : std::numeric_limits<std::int64_t>::max();
        return collect<AuditEvent>(connection.query(kListEvents, {end, limit_of(limit)}), event_at);
    });
}

Status SqlEscrowStore::put(const EscrowedKey& key, Actor actor) {
    return change(parts_, actor, [&](ChangeRecorder& recorder) {
        return recorder.upsert(TableId::escrowed_keys, {key.recipient, key.cluster_id, key.sealed,
                                                        key.escrowed_at != 0 ? key.escrowed_at : recorder.now()});
    });
}

Result<EscrowedKey> SqlEscrowStore::find(std::string_view recipient) {
    return read<EscrowedKey>(parts_.database, [&](sql::Connection& connection) -> Result<EscrowedKey> {
        DTR_ASSIGN(auto found,
                   first<EscrowedKey>(
                       connection.query(kEscrowed, {recipient}), [](const sql::Rows& rows) -> Result<EscrowedKey> {
                           return EscrowedKey{rows.string(0), rows.string(1), rows.string(2), rows.integer(3)};
                       }));
        if (!found) return fail(ErrorCode::not_found, fmt::format("no key of {} is in escrow", recipient));
        return std::move(*found);
    });
}

}  // namespace dtr::meta
