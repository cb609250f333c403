// The one table of what is served: for each method and path who may use it, with which credentials, what body, on which
// pool, and by what handler (docs/design/0011). The dispatcher alone (dispatch.h) holds requests against it, and makes 404,
// 405, OPTIONS and every refusal for want of access from it.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/oci/route.h"
#include "http/message.h"

namespace dtr::api {

struct Services;
struct Asked;

// Who may, and by which credentials. Shown credentials must be good, whatever they open; a token for backups opens what is
// said here and nothing else. "Account": a name with its password or an access token, never a registry token (Bearer).
enum class Access {
    anyone,             // credentials are not looked at
    token_request,      // nobody, or an account: what it asks for is cut down to what it may do
    login,              // any credentials at all, also nobody's registry token
    visitor,            // nobody, an account or a registry token: shown is what each of them may see
    catalog,            // an account, or a registry token for the catalog
    pull,               // in the repository of the path: who may pull, whatever the credentials
    push,               // likewise
    remove,             // likewise
    remove_by_account,  // likewise, but no registry token
    manage,             // an account that manages the repository of the path
    manage_by_password,
    account,
    account_by_password,
    administrator,
    administrator_by_password,
    backup,                    // an administrator, or a token for backups
    replica_token,             // an account, or a token for backups
    service,                   // the certificate of a registered registry
    service_or_administrator,  // or, without a certificate, an administrator
};

enum class Body {
    none,
    json,          // an object
    json_or_none,  // without a body: an empty object
    text,          // as it came
    text_or_none,
    stream  // the handler answers a sink that takes it piece by piece
};

using http::Pool;

// Where a route is there at all.
enum class Where {
    everywhere,
    registry,      // not at UCP
    own_accounts,  // not where accounts are another UCP's: there it says so
    ucp,           // where registries may register
    directory,     // where people of a directory can be known
    certificates   // where certificates can be changed
};

using Handler = http::Reply (*)(Asked&);
// What the table cannot say: nothing if the caller may, else the refusal. Asked at the head, and again after a body.
using Rights = std::optional<http::Response> (*)(Asked&);

// The pool that work on a collected body needs, by what it says. Never blocks.
using PoolOfBody = Pool (*)(Asked&, const std::string& body);

inline constexpr std::size_t kBodyMax = 64U << 10;

struct RouteOptions {
    Body body = Body::none;
    std::size_t body_bytes_max = kBodyMax;  // of a body that is collected; over it 413
    Pool pool = Pool::lookup;               // for passwords: besides that of Basic credentials
    Where where = Where::everywhere;
    Rights rights = nullptr;
    PoolOfBody pool_of_body = nullptr;  // instead of `pool`, once a collected body is there
    // What anybody may add; below the reserve of the metadata (registry/context.h) only administrators. What pushes add is
    // the registry's to refuse.
    bool adds_rows = false;
    bool makes_repository = false;  // outside of /v2/ the repository of a path must be there, but for these
};

struct Route {
    std::string_view method;  // GET answers HEAD, too
    // "/a/{name}/b": a part in braces takes one part of the path, "{name...}" one or more. A path may end in '/'.
    std::string_view pattern;
    Access access = Access::administrator_by_password;
    Handler handle = nullptr;
    RouteOptions options = {};
    std::optional<oci::Resource> resource = {};  // below /v2/ paths are read by oci::parse_route
};

// A reading of a path: by which route, and what the parts in braces are.
struct Match {
    const Route* route = nullptr;
    std::vector<std::pair<std::string_view, std::string>> captures = {};
    oci::Target target = {};

    [[nodiscard]] const std::string& at(std::string_view name) const;  // a name of the pattern
    // The repository that the path names: {repository...}, below {namespace} if there is one; or empty.
    [[nodiscard]] std::string repository() const;
};

struct Found {
    // Readings of the method's routes; of several the first holds unless a later one names a repository that is there.
    std::vector<Match> matches;
    std::string allowed;        // methods of the path as Allow has them; empty: nothing is served there
    bool is_elsewhere = false;  // nothing is served there, but a registry would
    bool kept_at_ucp = false;   // the method is refused, as another UCP keeps the accounts
};

// Never blocks. `services` may be null: then every route is there.
Found find_routes(const Services* services, std::string_view method, std::string_view path);

// All of it, for tests and lists.
std::vector<const Route*> all_routes();

// The parts of the table.
std::span<const Route> system_routes();
std::span<const Route> oci_routes();
std::span<const Route> api_routes();
std::span<const Route> enzi_routes();

// Whether the path is of the registry's own interface, whose every answer says so.
bool is_registry_path(std::string_view path);

}  // namespace dtr::api
