// How our connections are set up, and how SQLite's results become ours.
#include "meta/sqlite/sqlite_session.h"

#include <fmt/format.h>

#include <cerrno>
#include <mutex>

#include "base/check.h"
#include "sys/disk.h"

namespace dtr::meta {
namespace {

using sql::Param;

// busy_timeout: only another program (a shell on the file) can make us wait; replicas never share a file.
// mmap_size 0: a disk that fails under a mapping kills the process with SIGBUS; a failed read is an error.
constexpr const char* kSetup =
    "PRAGMA busy_timeout = 5000;"
    "PRAGMA mmap_size = 0;"
    "PRAGMA temp_store = MEMORY;"
    "PRAGMA trusted_schema = OFF;"
    "PRAGMA cell_size_check = ON;";
constexpr const char* kWriterSetup =
    "PRAGMA foreign_keys = ON;"
    "PRAGMA cache_size = -8192;"
    "PRAGMA wal_autocheckpoint = 0;"
    "PRAGMA journal_size_limit = 67108864;";
constexpr const char* kReaderSetup =
    "PRAGMA query_only = ON;"
    "PRAGMA cache_size = -2048;";

void configure_library_once() {
    static std::once_flag once;
    // Statistics of memory cost a process-wide lock in every allocation. Too late if someone initialized before: no
    // harm.
    std::call_once(once, [] { sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); });
}

ErrorCode code_of(int result) {
    switch (result & 0xff) {
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            return ErrorCode::unavailable;
        case SQLITE_FULL:
            return ErrorCode::no_space;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
            return ErrorCode::corrupt;
        case SQLITE_TOOBIG:
            return ErrorCode::exhausted;
        case SQLITE_CONSTRAINT:
            return ErrorCode::conflict;
        case SQLITE_INTERRUPT:
            return ErrorCode::cancelled;
        default:
            return ErrorCode::internal;
    }
}

const char* hint_of(ErrorCode code) {
    switch (code) {
        case ErrorCode::unavailable:
            return "another program holds the metadata database; close it";
        case ErrorCode::no_space:
            return "free some space on the volume of metadata/";
        case ErrorCode::corrupt:
            return "stop the server and bring the system back with `dtr restore` into an empty directory";
        default:
            return "";
    }
}

}  // namespace

Error sqlite_error(sqlite3* handle, std::string_view tried) {
    const int result = sqlite3_extended_errcode(handle);
    ErrorCode code = code_of(result);
    // SQLite knows one way to be full; a quota and a limit on file sizes come as a failed write.
    if ((result & 0xff) == SQLITE_IOERR) {
        const int cause = sqlite3_system_errno(handle);
        if (cause == EFBIG || cause == EDQUOT || cause == ENOSPC) code = ErrorCode::no_space;
    }
    return Error{code, fmt::format("metadata database: {}: {} (SQLite {})", tried, sqlite3_errmsg(handle), result),
                 hint_of(code)};
}

Status SqliteStatement::start(std::span<const Param> params, Bytes lives) {
    DTR_CHECK(!busy_);
    const auto lifetime = lives == Bytes::borrowed ? SQLITE_STATIC : SQLITE_TRANSIENT;
    for (std::size_t i = 0; i < params.size(); ++i) {
        const Param& param = params[i];
        const int at = static_cast<int>(i) + 1;
        const char* bytes = param.text.data() == nullptr ? "" : param.text.data();
        int result = SQLITE_OK;
        switch (param.type) {
            case Param::Type::null:
                result = sqlite3_bind_null(statement_, at);
                break;
            case Param::Type::integer:
                result = sqlite3_bind_int64(statement_, at, param.integer);
                break;
            case Param::Type::text:
                result = sqlite3_bind_text64(statement_, at, bytes, param.text.size(), lifetime, SQLITE_UTF8);
                break;
            case Param::Type::bytes:
                result = sqlite3_bind_blob64(statement_, at, bytes, param.text.size(), lifetime);
                break;
        }
        if (result != SQLITE_OK) return fail(sqlite_error(sqlite3_db_handle(statement_), text_.name()));
    }
    busy_ = true;
    return {};
}

Result<bool> SqliteStatement::next() {
    const int result = sqlite3_step(statement_);
    if (result == SQLITE_ROW) return true;
    if (result == SQLITE_DONE) return false;
    return fail(sqlite_error(sqlite3_db_handle(statement_), text_.name()));
}

bool SqliteStatement::is_null(int column) const {
    return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

std::int64_t SqliteStatement::integer(int column) const {
    return sqlite3_column_int64(statement_, column);
}

std::string_view SqliteStatement::text(int column) const {
    const void* bytes = sqlite3_column_blob(statement_, column);  // no conversion: text is stored as UTF-8
    if (bytes == nullptr) return {};
    return {static_cast<const char*>(bytes), static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

void SqliteStatement::finish() noexcept {
    busy_ = false;
    sqlite3_reset(statement_);
}

Result<std::unique_ptr<SqliteSession>> SqliteSession::open(const std::string& path, Access access) {
    configure_library_once();
    if (access == Access::create) {
        auto created = real_disk().create(path, OnExisting::refuse, 0600);
        if (!created) return fail(std::move(created).error());
    }
    sqlite3* handle = nullptr;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    const int result = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
    DTR_CHECK(handle != nullptr);
    std::unique_ptr<SqliteSession> session(new SqliteSession(handle, path));
    if (result != SQLITE_OK) return fail(sqlite_error(handle, fmt::format("open {}", path)));
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    DTR_TRY(session->run(kSetup));
    DTR_TRY(session->run(access == Access::read ? kReaderSetup : kWriterSetup));
    return session;
}

SqliteSession::~SqliteSession() {
    statements_.clear();
    sqlite3_close(handle_);
}

Status SqliteSession::run(const std::string& statements) {
    if (sqlite3_exec(handle_, statements.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return {};
    return fail(sqlite_error(handle_, statements.substr(0, statements.find('\n')).substr(0, 60)));
}

Result<std::string> SqliteSession::value_of(const std::string& query) {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v2(handle_, query.c_str(), -1, &raw, nullptr) != SQLITE_OK)
        return fail(sqlite_error(handle_, query));
    const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement(raw, sqlite3_finalize);
    const int result = sqlite3_step(raw);
    if (result == SQLITE_DONE) return std::string();
    if (result != SQLITE_ROW) return fail(sqlite_error(handle_, query));
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(raw, 0));
    return std::string(text == nullptr ? "" : text);
}

Result<SqliteStatement*> SqliteSession::prepared(const sql::Sql& text) {
    if (text.id() >= statements_.size()) statements_.resize(text.id() + 1);
    auto& slot = statements_[text.id()];
    if (slot == nullptr) {
        sqlite3_stmt* raw = nullptr;
        const std::string& sql = text.text();
        if (sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &raw,
                               nullptr) != SQLITE_OK)
            return fail(sqlite_error(handle_, text.name()));
        slot = std::make_unique<SqliteStatement>(raw, text);
    }
    return slot.get();
}

Result<sql::Rows> SqliteSession::query(const sql::Sql& text, std::span<const Param> params) {
    DTR_ASSIGN(SqliteStatement* const statement, prepared(text));
    DTR_TRY(statement->start(params, SqliteStatement::Bytes::copied));
    return sql::Rows(statement);
}

Result<std::int64_t> SqliteSession::execute(const sql::Sql& text, std::span<const Param> params) {
    DTR_ASSIGN(SqliteStatement* const statement, prepared(text));
    DTR_TRY(statement->start(params, SqliteStatement::Bytes::borrowed));
    Result<bool> more = true;
    while (more && *more) more = statement->next();
    const std::int64_t changed = sqlite3_changes64(handle_);
    statement->finish();
    if (!more) return fail(std::move(more).error());
    return changed;
}

}  // namespace dtr::meta
