#include "meta/sqlite/sqlite_meta_store.h"

#include "meta/sql_meta_store.h"
#include "meta/sqlite/sqlite_database.h"

namespace dtr::meta {

Result<std::unique_ptr<MetaStore>> open_sqlite_meta_store(const SqliteOptions& options, Clock& clock, Random& random) {
    DTR_ASSIGN(auto database, SqliteDatabase::open(options.path, options.read_connections));
    return std::make_unique<SqlMetaStore>(std::move(database), clock, random);
}

}  // namespace dtr::meta
