#include "meta/sql.h"

#include <atomic>

namespace dtr::meta::sql {
namespace {

std::size_t next_id() {
    static std::atomic<std::size_t> next{0};
    return next++;
}

}  // namespace

Sql::Sql(std::string name, std::string text) : id_(next_id()), name_(std::move(name)), text_(std::move(text)) {}

}  // namespace dtr::meta::sql
