// One connection to a directory server over libldap. Inside identity/ldap only.
//
// Nothing of this machine's LDAP configuration is used (ldap.conf, ldaprc, LDAP* variables), and no referral is followed:
// a directory must not send our passwords elsewhere.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "identity/directory_settings.h"
#include "identity/ldap/channel.h"
#include "identity/ldap/ldap_directory.h"
#include "identity/ldap/library.h"

namespace dtr::identity {

struct FoundEntry {
    std::string dn;
    std::map<std::string, std::vector<std::string>> values;  // by attribute description in lower case
};

enum class Scope { base, one_level, subtree };

struct LdapSearch {
    std::string base;
    Scope scope = Scope::subtree;
    std::string filter = "(objectClass=*)";
    std::vector<std::string> attributes;  // empty: none
    bool paged = false;
};

// For one thread at a time. Errors as UserDirectory's, and what is said below.
class Connection {
  public:
    // To the first server that lets us; encrypted and checked, if the settings say so; not bound. `total` bounds all that is
    // done with it.
    static Result<Connection> open(const DirectorySettings& settings, const LdapOptions& options,
                                   std::chrono::milliseconds total);

    // unauthenticated: not its password, or a name that cannot log in. An empty password is invalid: servers take it for
    // an anonymous login and answer success.
    Status bind(const std::string& dn, const Secret& password);
    // An error of the callback's ends the search.
    Status search(const LdapSearch& search, const std::function<Status(const FoundEntry&)>& callback);

  private:
    struct Close {
        void operator()(LDAP* handle) const { libldap().ldap_unbind_ext(handle, nullptr, nullptr); }
    };
    struct FreeMessage {
        void operator()(LDAPMessage* message) const { libldap().ldap_msgfree(message); }
    };
    struct Answer {
        int code = LDAP_SUCCESS;
        std::string text;    // the server's own words
        std::string cookie;  // of the next page; empty: that was the last
    };
    using Message = std::unique_ptr<LDAPMessage, FreeMessage>;

    Connection(std::unique_ptr<Channel> channel, std::string_view server, const LdapOptions& options, Deadline deadline)
        : channel_(std::move(channel)), server_(server), options_(options), deadline_(deadline) {}
    static Result<Connection> open_one(std::string_view server, const DirectorySettings& settings,
                                       const LdapOptions& options, Deadline deadline);
    Status prepare();
    Status prepare_tls(const DirectorySettings& settings);
    Status begin_tls(const DirectorySettings& settings);
    Status require_good_version();
    template <class T>
    Status set(int option, const T& value, std::string_view what);
    Result<Message> next(int id);
    Result<Answer> finish(LDAPMessage* message);
    Result<std::string> search_page(const LdapSearch& search, const std::string& cookie,
                                    const std::function<Status(const FoundEntry&)>& callback);
    FoundEntry read(LDAPMessage* message);
    [[nodiscard]] std::string diagnosis() const;
    [[nodiscard]] tl::unexpected<Error> broken(int code, std::string_view what) const;
    [[nodiscard]] tl::unexpected<Error> refused(const Answer& answer, std::string_view what) const;

    std::unique_ptr<Channel> channel_;
    std::unique_ptr<LDAP, Close> handle_;
    std::string server_;
    LdapOptions options_;
    Deadline deadline_;
};

}  // namespace dtr::identity
