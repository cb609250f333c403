// The embedded metadata store: one SQLite file in WAL mode, owned by this process.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "meta/meta_store.h"

namespace dtr::meta {

struct SqliteOptions {
    std::string path;               // of the file; its directory exists
    unsigned read_connections = 4;  // reads that may run at once; more wait
};

// Opens the database, creating it (mode 0600, durable) if there is none. O(1) in its size: the pages of one
// over 64 MiB are not looked at.
// Errors: refused on a network filesystem or for a file that is not ours; corrupt for a damaged one; unsupported for a
// schema newer than this program. Clock and random outlive the store.
Result<std::unique_ptr<MetaStore>> open_sqlite_meta_store(const SqliteOptions& options, Clock& clock, Random& random);

// Creates a database at `path` to be filled; already_exists if something is there. Until finish() succeeded nothing
// is promised about the file; afterwards open_sqlite_meta_store() opens it.
Result<std::unique_ptr<BulkLoader>> open_sqlite_bulk_loader(const std::string& path, Clock& clock);

}  // namespace dtr::meta
