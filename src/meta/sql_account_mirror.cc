#include "meta/sql_account_mirror.h"

#include <fmt/format.h>

#include <array>
#include <boost/json.hpp>
#include <charconv>
#include <set>

#include "meta/meta_store.h"
#include "meta/sql_account_store.h"
#include "meta/sql_organization_store.h"

namespace dtr::meta {
namespace {

namespace json = boost::json;
using sql::Param;

constexpr std::string_view kActor = "ucp";
constexpr const char* kPosition = "ucp_position";
constexpr const char* kPositionEpoch = "ucp_epoch";

// In an order in which rows refer back.
constexpr std::array kMirrored = {TableId::accounts, TableId::organization_members, TableId::teams,
                                  TableId::team_members};

std::optional<TableId> mirrored(std::string_view name) {
    for (const TableId id : kMirrored)
        if (table(id).name == name) return id;
    return std::nullopt;
}

tl::unexpected<Error> malformed(std::string_view what) {
    return fail(ErrorCode::corrupt, fmt::format("a row of {} from UCP cannot be read", what.substr(0, 64)),
                "check that UCP is of the same release");
}

const sql::Sql kOrganizationOfTeam("find the organisation of the team",
                                   "SELECT organization_id FROM teams WHERE id = ?1");

// The first `count` columns of a row of the feed, as parameters; `document` keeps their bytes.
Result<std::vector<Param>> params_of(const Table& described, const json::value& document, std::size_t count) {
    const auto* fields = document.if_object();
    if (fields == nullptr) return malformed(described.name);
    std::vector<Param> params;
    for (std::size_t i = 0; i < count; ++i) {
        const auto* value = fields->if_contains(described.columns[i].name);
        if (value == nullptr) return malformed(described.name);
        if (described.columns[i].type == ColumnType::integer && value->is_int64()) {
            params.emplace_back(value->as_int64());
        } else if (described.columns[i].type == ColumnType::text && value->is_string()) {
            params.emplace_back(std::string_view(value->as_string()));
        } else {
            return malformed(described.name);
        }
    }
    return params;
}

std::string key_of(std::span<const Param> key) {
    std::string text;
    for (const Param& part : key) text.append(part.text).push_back('\0');
    return text;
}

// What refers to a row here, and is not in the feed, goes with it.
Status erase(ChangeRecorder& recorder, TableId id, std::span<const Param> key) {
    if (id == TableId::accounts) {
        DTR_TRY(erase_account_secrets(recorder, key[0].text));
        DTR_TRY(erase_belongings(recorder, key[0].text));
    }
    if (id == TableId::teams) {
        DTR_TRY(erase_team(recorder, key[0].text));
        return {};
    }
    DTR_TRY(recorder.erase_row(id, key));
    return {};
}

Status apply_one(ChangeRecorder& recorder, const Change& change) {
    const auto id = mirrored(change.table);
    if (!id || (change.operation != 'U' && change.operation != 'D')) return malformed(change.table);
    const Table& described = table(*id);
    boost::system::error_code error;
    const json::value document = json::parse(change.row_json, error);
    if (error) return malformed(described.name);
    const bool whole = change.operation == 'U';
    DTR_ASSIGN(const auto params,
               params_of(described, document, whole ? described.columns.size() : described.key_columns));
    return whole ? recorder.upsert_row(*id, params) : erase(recorder, *id, params);
}

// Keys that are here and not in a complete feed: gone at the source. Last tables first.
Status erase_absent(ChangeRecorder& recorder, const AccountFeed& feed) {
    std::array<std::set<std::string>, kMirrored.size()> present;
    for (const Change& change : feed.changes) {
        const auto id = mirrored(change.table);
        boost::system::error_code error;
        const json::value document = json::parse(change.row_json, error);
        if (!id || error) return malformed(change.table);
        DTR_ASSIGN(const auto key, params_of(table(*id), document, table(*id).key_columns));
        for (std::size_t i = 0; i < kMirrored.size(); ++i)
            if (kMirrored[i] == *id) present[i].insert(key_of(key));
    }
    for (std::size_t i = kMirrored.size(); i-- > 0;) {
        const Table& described = table(kMirrored[i]);
        using Key = std::vector<std::string>;
        DTR_ASSIGN(const auto keys, collect<Key>(recorder.transaction().query(select_all_statement(described), {}),
                                                 [&](const sql::Rows& rows) -> Result<Key> {
                                                     Key key;
                                                     for (std::size_t c = 0; c < described.key_columns; ++c)
                                                         key.push_back(rows.string(static_cast<int>(c)));
                                                     return key;
                                                 }));
        for (const Key& key : keys) {
            const std::vector<Param> params(key.begin(), key.end());
            if (!present[i].contains(key_of(params))) DTR_TRY(erase(recorder, kMirrored[i], params));
        }
    }
    return {};
}

Status write_position(ChangeRecorder& recorder, const FeedPosition& position) {
    DTR_TRY(write_state(recorder.transaction(), kPositionEpoch, position.epoch_id));
    return write_state(recorder.transaction(), kPosition, std::to_string(position.transaction));
}

// Whole rows of a table as text and numbers, to be written back changed.
struct HeldRow {
    std::vector<std::string> texts;
    std::vector<std::int64_t> numbers;
};

// Rewrites every row of the table in which a column names an old id.
Status replace_ids(ChangeRecorder& recorder, TableId id, std::string_view column,
                   const std::map<std::string, std::string>& ids) {
    const Table& described = table(id);
    const std::size_t at = column_index(described, column);
    DTR_ASSIGN(const auto rows, collect<HeldRow>(recorder.transaction().query(select_all_statement(described), {}),
                                                 [&](const sql::Rows& row) -> Result<HeldRow> {
                                                     HeldRow held;
                                                     for (std::size_t i = 0; i < described.columns.size(); ++i) {
                                                         const int c = static_cast<int>(i);
                                                         const bool number =
                                                             described.columns[i].type == ColumnType::integer;
                                                         held.texts.push_back(number ? "" : row.string(c));
                                                         held.numbers.push_back(number ? row.integer(c) : 0);
                                                     }
                                                     return held;
                                                 }));
    for (const HeldRow& row : rows) {
        const auto found = ids.find(row.texts[at]);
        if (found == ids.end()) continue;
        std::vector<Param> params;
        for (std::size_t i = 0; i < described.columns.size(); ++i) {
            if (described.columns[i].type == ColumnType::integer) {
                params.emplace_back(row.numbers[i]);
            } else {
                params.emplace_back(row.texts[i]);
            }
        }
        if (at < described.key_columns)
            DTR_TRY(recorder.erase_row(id, std::span<const Param>(params).first(described.key_columns)));
        params[at] = Param(found->second);
        DTR_TRY(recorder.upsert_row(id, params));
    }
    return {};
}

}  // namespace

Result<AccountFeed> read_account_feed(MetaStore& source, const std::optional<FeedPosition>& after) {
    DTR_ASSIGN(const Epoch epoch, source.epoch());
    DTR_ASSIGN(const auto cut, source.changes().cut());
    AccountFeed feed;
    feed.position = {epoch.id, cut->position().transaction};
    if (after && after->epoch_id == epoch.id && after->transaction <= feed.position.transaction) {
        const Status read = cut->each_change(after->transaction, [&](const Change& change) -> Status {
            if (mirrored(change.table)) feed.changes.push_back(change);
            return {};
        });
        if (read) return feed;
        if (read.error().code != ErrorCode::lost) return fail(read.error());
    }
    feed.complete = true;
    feed.changes.clear();
    for (const TableId id : kMirrored) {
        const Table& described = table(id);
        DTR_TRY(cut->each_row(described, [&](const Cut::Row& row) -> Status {
            std::vector<Param> params;
            for (std::size_t i = 0; i < row.size(); ++i) {
                std::int64_t number = 0;
                if (described.columns[i].type != ColumnType::integer) {
                    params.emplace_back(std::string_view(row[i] ? *row[i] : std::string_view()));
                    continue;
                }
                std::from_chars(row[i]->data(), row[i]->data() + row[i]->size(), number);
                params.emplace_back(number);
            }
            Change change;
            change.table = described.name;
            append_row_json(change.row_json, described, params);
            feed.changes.push_back(std::move(change));
            return {};
        }));
    }
    return feed;
}

Result<std::optional<FeedPosition>> SqlAccountMirror::position() {
    return read<std::optional<FeedPosition>>(
        parts_.database, [&](sql::Connection& connection) -> Result<std::optional<FeedPosition>> {
            DTR_ASSIGN(auto epoch, read_state(connection, kPositionEpoch));
            if (!epoch) return std::optional<FeedPosition>();
            DTR_ASSIGN(const std::int64_t transaction, read_state_number(connection, kPosition));
            return std::optional(FeedPosition{std::move(*epoch), transaction});
        });
}

Status SqlAccountMirror::apply(const AccountFeed& feed) {
    return change(parts_, kActor, [&](ChangeRecorder& recorder) -> Status {
        if (feed.complete) DTR_TRY(erase_absent(recorder, feed));
        for (const Change& one : feed.changes) DTR_TRY(apply_one(recorder, one));
        DTR_TRY(write_position(recorder, feed.position));
        return feed.changes.empty() && !feed.complete ? Status() : count_accounts_up(recorder);
    });
}

// Names are unique, so the old rows step aside under names that nobody has; then the new ones come, what names old ids is
// rewritten, and what the feed does not have goes.
Status SqlAccountMirror::adopt(const AccountFeed& feed, const std::map<std::string, std::string>& accounts,
                               const std::map<std::string, std::string>& teams) {
    return change(parts_, kActor, [&](ChangeRecorder& recorder) -> Status {
        for (const auto& [old_id, new_id] : accounts)
            DTR_TRY(recorder.upsert(TableId::accounts, {old_id, "~" + old_id, "", 0, false, false, recorder.now()}));
        for (const auto& [old_id, new_id] : teams) {
            DTR_ASSIGN(auto organization,
                       first<std::string>(recorder.transaction().query(kOrganizationOfTeam, {old_id}),
                                          [](const sql::Rows& rows) { return text_at(rows, 0); }));
            if (organization) DTR_TRY(recorder.upsert(TableId::teams, {old_id, *organization, "~" + old_id, "", ""}));
        }
        for (const Change& one : feed.changes) DTR_TRY(apply_one(recorder, one));
        DTR_TRY(replace_ids(recorder, TableId::access_tokens, "account_id", accounts));
        DTR_TRY(replace_ids(recorder, TableId::namespace_grants, "namespace_id", accounts));
        DTR_TRY(replace_ids(recorder, TableId::namespace_grants, "team_id", teams));
        DTR_TRY(replace_ids(recorder, TableId::repository_grants, "team_id", teams));
        DTR_TRY(erase_absent(recorder, feed));
        DTR_TRY(write_position(recorder, feed.position));
        return count_accounts_up(recorder);
    });
}

}  // namespace dtr::meta
