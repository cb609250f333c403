#include "meta/sql_meta_store.h"

namespace dtr::meta {
namespace {

Result<std::string> epoch_field(sql::Connection& connection, std::string_view name) {
    DTR_ASSIGN(auto value, read_state(connection, name));
    if (!value) return fail(ErrorCode::not_found, "metadata database: no epoch is set", "install this cluster first");
    return std::move(*value);
}

}  // namespace

SqlMetaStore::SqlMetaStore(std::unique_ptr<sql::Database> database, Clock& clock, Random& random)
    : database_(std::move(database)),
      repositories_({*database_, clock, random}),
      content_({*database_, clock, random}),
      uploads_({*database_, clock, random}),
      accounts_({*database_, clock, random}),
      external_accounts_({*database_, clock, random}),
      organizations_({*database_, clock, random}),
      teams_({*database_, clock, random}),
      grants_({*database_, clock, random}),
      account_mirror_({*database_, clock, random}),
      audit_({*database_, clock, random}),
      failed_logins_({*database_, clock, random}),
      escrow_({*database_, clock, random}),
      access_tokens_({*database_, clock, random}),
      fences_({*database_, clock, random}),
      changes_({*database_, clock, random}),
      collector_({*database_, clock, random}),
      scrub_({*database_, clock, random}) {}

Result<Epoch> SqlMetaStore::epoch() {
    return read<Epoch>(*database_, [&](sql::Connection& connection) -> Result<Epoch> {
        Epoch epoch;
        DTR_ASSIGN(epoch.id, epoch_field(connection, "epoch.id"));
        DTR_ASSIGN(epoch.number, read_state_number(connection, "epoch.number"));
        DTR_ASSIGN(epoch.cluster_id, epoch_field(connection, "epoch.cluster_id"));
        DTR_ASSIGN(epoch.parent_cluster_id, epoch_field(connection, "epoch.parent_cluster_id"));
        DTR_ASSIGN(epoch.began_at, read_state_number(connection, "epoch.began_at"));
        return epoch;
    });
}

Status SqlMetaStore::set_epoch(const Epoch& epoch) {
    return database_->write(sql::Durability::synced, [&](sql::Transaction& transaction) -> Status {
        DTR_TRY(write_state(transaction, "epoch.number", std::to_string(epoch.number)));
        DTR_TRY(write_state(transaction, "epoch.id", epoch.id));
        DTR_TRY(write_state(transaction, "epoch.cluster_id", epoch.cluster_id));
        DTR_TRY(write_state(transaction, "epoch.parent_cluster_id", epoch.parent_cluster_id));
        return write_state(transaction, "epoch.began_at", std::to_string(epoch.began_at));
    });
}

}  // namespace dtr::meta
