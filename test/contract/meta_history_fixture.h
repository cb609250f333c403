// Rows as a cut tells them and as the change log tells them, to be compared.
#pragma once

#include <boost/json.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "test/contract/meta_store_fixture.h"

namespace dtr::meta {

using Row = Cut::Row;
using Rows = std::map<std::string, Row>;       // by joined key
using Database = std::map<std::string, Rows>;  // carried tables by name

inline std::string key_of(const Table& table, const Row& row) {
    std::string key;
    for (std::size_t i = 0; i < table.key_columns; ++i) key += row[i].value_or("") + '\0';
    return key;
}

inline Database rows_of(Cut& cut) {
    Database all;
    for (const Table& table : tables()) {
        if (table.part == Part::local) continue;
        Rows& rows = all[std::string(table.name)];
        EXPECT_GOOD(cut.each_row(table, [&](const Row& row) -> Status {
            Row shown = row;
            for (std::size_t i = 0; i < shown.size(); ++i)
                if (table.columns[i].secret && shown[i]) shown[i] = "(secret)";
            EXPECT_TRUE(rows.emplace(key_of(table, row), shown).second) << "twice in " << table.name;
            return {};
        }));
    }
    return all;
}

// What the log alone says that the rows are.
inline void replay(Database& all, const Change& change) {
    const Table* const table = find_table(change.table);
    ASSERT_NE(table, nullptr) << change.table;
    ASSERT_NE(table->part, Part::local);
    const auto parsed = boost::json::parse(change.row_json).as_object();
    const std::size_t columns = change.operation == 'U' ? table->columns.size() : table->key_columns;
    ASSERT_EQ(parsed.size(), columns);
    Row row(table->columns.size());
    for (std::size_t i = 0; i < columns; ++i) {
        const auto& value = parsed.at(table->columns[i].name);
        if (value.is_int64()) row[i] = std::to_string(value.as_int64());
        if (value.is_string()) row[i] = std::string(value.as_string());
        EXPECT_EQ(value.is_int64(), !value.is_null() && table->columns[i].type == ColumnType::integer);
    }
    Rows& rows = all[change.table];
    if (change.operation == 'U')
        rows[key_of(*table, row)] = row;
    else
        EXPECT_EQ(rows.erase(key_of(*table, row)), 1U) << "deleted what was not there: " << change.row_json;
}

inline Database empty_database() {
    Database all;
    for (const Table& table : tables())
        if (table.part != Part::local) all[std::string(table.name)];
    return all;
}

class MetaHistoryTest : public MetaStoreFixture {
  protected:
    std::unique_ptr<Cut> cut() {
        auto made = store_->changes().cut();
        EXPECT_GOOD(made);
        return std::move(*made);
    }
    std::vector<Change> log() {
        std::vector<Change> all;
        while (true) {
            auto page = store_->changes().read(all.empty() ? 0 : all.back().sequence, 7);
            EXPECT_GOOD(page);
            if (!page || page->empty()) return all;
            all.insert(all.end(), page->begin(), page->end());
        }
    }
    void expect_log_tells_the_rows() {
        Database told = empty_database();
        std::int64_t sequence = 0;
        std::int64_t transaction = 0;
        for (const Change& change : log()) {
            EXPECT_GT(change.sequence, sequence);
            EXPECT_GE(change.transaction, transaction);
            sequence = change.sequence;
            transaction = change.transaction;
            replay(told, change);
        }
        auto now = cut();
        EXPECT_EQ(now->position().transaction, transaction);
        EXPECT_EQ(told, rows_of(*now));
    }
};

}  // namespace dtr::meta
