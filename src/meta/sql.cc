#include "meta/sql.h"

#include "base/mutex.h"

namespace dtr::meta::sql {
namespace {

struct Register {
    Mutex mutex;
    std::vector<const Sql*> statements GUARDED_BY(mutex);  // by id; null when destroyed
};

Register& the_register() {
    static Register& one = *new Register;  // outlives every statement
    return one;
}

std::size_t enter(const Sql* statement) {
    Register& known = the_register();
    const MutexLock lock(known.mutex);
    known.statements.push_back(statement);
    return known.statements.size() - 1;
}

}  // namespace

Sql::Sql(std::string name, std::string text) : id_(enter(this)), name_(std::move(name)), text_(std::move(text)) {}

Sql::~Sql() {
    Register& known = the_register();
    const MutexLock lock(known.mutex);
    known.statements[id_] = nullptr;
}

std::vector<const Sql*> all_statements() {
    Register& known = the_register();
    const MutexLock lock(known.mutex);
    std::vector<const Sql*> all;
    for (const Sql* const one : known.statements)
        if (one != nullptr) all.push_back(one);
    return all;
}

}  // namespace dtr::meta::sql
