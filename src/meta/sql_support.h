// What the stores over meta/sql.h share.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/clock.h"
#include "base/digest.h"
#include "base/random.h"
#include "meta/change_recorder.h"
#include "meta/meta_store.h"
#include "meta/sql.h"

namespace dtr::meta {

// What every store is made of. All outlive it.
struct StoreParts {
    sql::Database& database;
    Clock& clock;
    Random& random;
};

// A read whose result is a value.
template <class T, class Work>
Result<T> read(sql::Database& database, Work&& work) {
    std::optional<T> value;
    DTR_TRY(database.read([&](sql::Connection& connection) -> Status {
        DTR_ASSIGN(value, work(connection));
        return {};
    }));
    return std::move(*value);
}

// What `actor` was allowed by still holds: stale otherwise. Nobody else moves the version before the transaction ends.
Status require_current(sql::Connection& connection, const Actor& actor);
Status append_audit(ChangeRecorder& recorder, const AuditEvent& event);

// A recorded, synced change; `work` takes a ChangeRecorder&. With the actor's audit event, if they have one.
template <class Work>
Status change(const StoreParts& parts, const Actor& actor, Work&& work) {
    return parts.database.write(sql::Durability::synced, [&](sql::Transaction& transaction) -> Status {
        DTR_TRY(require_current(transaction, actor));
        ChangeRecorder recorder(transaction, parts.clock, actor);
        DTR_TRY(work(recorder));
        return actor.audit == nullptr ? Status() : append_audit(recorder, *actor.audit);
    });
}
template <class T, class Work>
Result<T> change_to(const StoreParts& parts, const Actor& actor, Work&& work) {
    std::optional<T> value;
    DTR_TRY(change(parts, actor, [&](ChangeRecorder& recorder) -> Status {
        DTR_ASSIGN(value, work(recorder));
        return {};
    }));
    return std::move(*value);
}

// The rows of a query, each made into a T by `make(rows)`.
template <class T, class Make>
Result<std::vector<T>> collect(Result<sql::Rows> rows, Make&& make) {
    if (!rows) return tl::unexpected(std::move(rows).error());
    std::vector<T> all;
    while (true) {
        DTR_ASSIGN(const bool more, rows->next());
        if (!more) return all;
        DTR_ASSIGN(all.emplace_back(), make(*rows));
    }
}

// The first row made into a T, if there is one.
template <class T, class Make>
Result<std::optional<T>> first(Result<sql::Rows> rows, Make&& make) {
    if (!rows) return tl::unexpected(std::move(rows).error());
    DTR_ASSIGN(const bool found, rows->next());
    if (!found) return std::optional<T>();
    DTR_ASSIGN(T value, make(*rows));
    return std::optional<T>(std::move(value));
}

Result<bool> any(Result<sql::Rows> rows);  // is there a row?

template <class Key>
Result<Key> key_at(const sql::Rows& rows) {
    if constexpr (std::is_same_v<Key, std::string>)
        return rows.string(0);
    else
        return rows.integer(0);
}
// Has `erase(key)` take away what `sql` finds, some hundred keys at a time, until it finds no more. Answers how many.
template <class Key, class Erase>
Result<std::size_t> erase_all(ChangeRecorder& recorder, const sql::Sql& sql, sql::Params of, Erase&& erase) {
    for (std::size_t erased = 0;;) {
        DTR_ASSIGN(const auto found, collect<Key>(recorder.transaction().query(sql, of), key_at<Key>));
        if (found.empty()) return erased;
        for (const Key& key : found) DTR_TRY(erase(key));
        erased += found.size();
    }
}

Result<Digest> digest_at(const sql::Rows& rows, int column);  // corrupt if it is none
Result<std::string> text_at(const sql::Rows& rows, int column);
Result<Object> object_at(const sql::Rows& rows, int column);  // digest, generation, size

// SQL has signed limits.
std::int64_t limit_of(std::size_t limit);

Result<std::optional<RepositoryId>> find_repository_id(sql::Connection& connection, std::string_view name);
Result<RepositoryId> require_repository_id(sql::Connection& connection, std::string_view name);  // not_found
Result<Repository> create_repository(ChangeRecorder& recorder, std::string_view name, Visibility visibility);
// The repository of that name, created (private) if there is none.
Result<RepositoryId> ensure_repository(ChangeRecorder& recorder, std::string_view name);

// Something that referred to the digest is gone: the collector will look whether anything still does.
Status watch(ChangeRecorder& recorder, std::string_view digest);
Result<std::int64_t> accounts_version(sql::Connection& connection);
// Caches of verified credentials are void.
Status count_accounts_up(ChangeRecorder& recorder);
// Deletes the manifest with its tags and references, which `recorder` logs. Checks nothing.
Status erase_manifest(ChangeRecorder& recorder, RepositoryId repository, std::string_view digest);
Status erase_references(ChangeRecorder& recorder, RepositoryId repository, std::string_view digest);

Result<std::optional<std::string>> read_state(sql::Connection& connection, std::string_view name);
// 0 if it is not set; corrupt if it is not a number.
Result<std::int64_t> read_state_number(sql::Connection& connection, std::string_view name);
Status write_state(sql::Transaction& transaction, std::string_view name, std::string_view value);

}  // namespace dtr::meta
