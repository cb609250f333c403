// One request on its way through its route: what is asked, and by whom.
#pragma once

#include <boost/json/fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "api/caller.h"
#include "api/routes.h"
#include "api/services.h"

namespace dtr::api {

// Handlers get it when access was checked and, where the route collects one, the body is there.
struct Asked {
    Services& services;
    http::Request request;
    Match match = {};
    Caller caller = {};
    // Where access depends on the repository that the path names: its row if it exists, and the metadata's revision from
    // before it was read.
    std::optional<meta::Repository> repository = {};
    std::optional<std::uint64_t> revision = {};
    const boost::json::object* fields = nullptr;  // Body::json
    std::string body = {};                        // Body::text

    [[nodiscard]] const std::string& at(std::string_view name) const { return match.at(name); }
    [[nodiscard]] std::string_view actor() const { return caller.principal.name; }
    [[nodiscard]] const meta::Repository* existing() const { return repository ? &*repository : nullptr; }
};

}  // namespace dtr::api
