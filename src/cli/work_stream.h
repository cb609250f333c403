// Long work on a server, followed line by line (src/api/admin/maintenance.cc).
#pragma once

#include <boost/json.hpp>
#include <functional>
#include <string>

#include "cli/connection.h"

namespace dtr::cli {

// POSTs to `path` and answers the last line. `progress` is told of every line before it. Errors of the work are those
// that the server names; unavailable if the stream ends without saying how.
Result<boost::json::object> follow_work(Connection& connection, const std::string& path, std::string_view doing,
                                        const std::function<void(const boost::json::object&)>& progress);

// A whole number of such a line; 0 if it is not there.
std::uint64_t number_in(const boost::json::object& line, std::string_view name);

}  // namespace dtr::cli
