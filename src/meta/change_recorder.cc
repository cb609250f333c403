// Statements and log rows made from the descriptions in schema.h, so that a table cannot be changed one way and logged
// another.
#include "meta/change_recorder.h"

#include <fmt/format.h>

#include <iterator>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/encoding.h"

namespace dtr::meta {
namespace {

using sql::Param;
using sql::Sql;

std::string join_columns(const Table& table, std::size_t count) {
    std::string names;
    for (std::size_t i = 0; i < count; ++i) names.append(i == 0 ? "" : ", ").append(table.columns[i].name);
    return names;
}

std::string insert_text(const Table& table) {
    std::string text =
        fmt::format("INSERT INTO {} ({}) VALUES (", table.name, join_columns(table, table.columns.size()));
    for (std::size_t i = 1; i <= table.columns.size(); ++i) text += fmt::format("{}?{}", i == 1 ? "" : ", ", i);
    return text + ")";
}

std::string upsert_text(const Table& table) {
    std::string text = insert_text(table);
    text += fmt::format(" ON CONFLICT ({}) DO ", join_columns(table, table.key_columns));
    if (table.key_columns == table.columns.size()) return text + "NOTHING";
    text += "UPDATE SET ";
    for (std::size_t i = table.key_columns; i < table.columns.size(); ++i) {
        const std::string_view name = table.columns[i].name;
        text += fmt::format("{}{} = excluded.{}", i == table.key_columns ? "" : ", ", name, name);
    }
    return text;
}

std::string erase_text(const Table& table) {
    std::string text = fmt::format("DELETE FROM {} WHERE ", table.name);
    for (std::size_t i = 0; i < table.key_columns; ++i)
        text += fmt::format("{}{} = ?{}", i == 0 ? "" : " AND ", table.columns[i].name, i + 1);
    return text;
}

std::string select_all_text(const Table& table) {
    return fmt::format("SELECT {} FROM {} ORDER BY {}", join_columns(table, table.columns.size()), table.name,
                       join_columns(table, table.key_columns));
}

struct TableStatements {
    explicit TableStatements(const Table& table)
        : insert(fmt::format("insert into {}", table.name), insert_text(table)),
          upsert(fmt::format("upsert into {}", table.name), upsert_text(table)),
          erase(fmt::format("delete from {}", table.name), erase_text(table)),
          select_all(fmt::format("read all of {}", table.name), select_all_text(table)) {}
    Sql insert;
    Sql upsert;
    Sql erase;
    Sql select_all;
};

const TableStatements& statements(std::size_t index) {
    static const std::vector<std::unique_ptr<TableStatements>> made = [] {
        std::vector<std::unique_ptr<TableStatements>> all;
        for (const Table& table : tables()) all.push_back(std::make_unique<TableStatements>(table));
        return all;
    }();
    return *made[index];
}

std::size_t index_of(const Table& table) {
    return static_cast<std::size_t>(&table - tables().data());
}

void append_json_string(std::string& out, std::string_view text) {
    static constexpr char kHex[] = "0123456789abcdef";
    out += '"';
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            out += "\\u00";
            out += kHex[static_cast<unsigned char>(c) >> 4];
            out += kHex[static_cast<unsigned char>(c) & 15];
        } else {
            out += c;
        }
    }
    out += '"';
}

}  // namespace

const Sql& upsert_statement(TableId id) {
    return statements(static_cast<std::size_t>(id)).upsert;
}
const Sql& insert_statement(const Table& table) {
    return statements(index_of(table)).insert;
}
const Sql& select_all_statement(const Table& table) {
    return statements(index_of(table)).select_all;
}

void append_row_json(std::string& out, const Table& table, std::span<const Param> values) {
    char separator = '{';
    for (std::size_t i = 0; i < values.size(); ++i) {
        out += separator;
        separator = ',';
        out.append("\"").append(table.columns[i].name).append("\":");
        const Param& value = values[i];
        if (value.type == Param::Type::null) {
            out += "null";
        } else if (table.columns[i].secret) {
            out += "\"(secret)\"";
        } else if (value.type == Param::Type::integer) {
            fmt::format_to(std::back_inserter(out), "{}", value.integer);
        } else if (value.type == Param::Type::bytes) {
            out.append("\"").append(base64_encode(value.text)).append("\"");
        } else {
            append_json_string(out, value.text);
        }
    }
    out += '}';
}

Status ChangeRecorder::upsert(TableId id, sql::Params row) {
    return upsert_row(id, std::span<const Param>(row.begin(), row.size()));
}

Status ChangeRecorder::upsert_row(TableId id, std::span<const Param> row) {
    const Table& described = table(id);
    DTR_CHECK(row.size() == described.columns.size());
    DTR_TRY(transaction_.execute(upsert_statement(id), row));
    return log(described, 'U', row);
}

Result<bool> ChangeRecorder::erase(TableId id, sql::Params key) {
    return erase_row(id, std::span<const Param>(key.begin(), key.size()));
}

Result<bool> ChangeRecorder::erase_row(TableId id, std::span<const Param> key) {
    const Table& described = table(id);
    DTR_CHECK(key.size() == described.key_columns);
    DTR_ASSIGN(const std::int64_t erased, transaction_.execute(statements(static_cast<std::size_t>(id)).erase, key));
    if (erased == 0) return false;
    DTR_TRY(log(described, 'D', key));
    return true;
}

Status ChangeRecorder::log(const Table& described, char operation, std::span<const Param> values) {
    json_.clear();
    append_row_json(json_, described, values);
    return transaction_.append_change({now_, actor_, described.name, operation, json_});
}

}  // namespace dtr::meta
