// What makes a file our database: its creation, and what is checked when it is opened.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "meta/sqlite/sqlite_session.h"

namespace dtr::meta {

// A session that may write, on a database of our schema; made if there is no file, or an empty one. Errors as
// open_sqlite_meta_store().
Result<std::unique_ptr<SqliteSession>> open_or_create_schema(const std::string& path);

// Creates tables, and the mark that the file is ours; within the caller's transaction. A bulk load makes the indexes later.
enum class Indexes { now, later };
Status create_schema(SqliteSession& session, Indexes indexes);

Status refuse_network_filesystem(const std::string& path);

}  // namespace dtr::meta
