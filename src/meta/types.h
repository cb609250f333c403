// The rows the metadata stores speak of.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"

namespace dtr::meta {

using RepositoryId = std::int64_t;

enum class Visibility {
    restricted,  // needs a grant
    everyone     // anybody may pull, even without a login
};

struct Repository {
    RepositoryId id = 0;
    std::string name;            // "admin/hello"; byte order
    std::string namespace_name;  // first component of a name of two or more, else empty
    bool is_public = false;
    Micros created_at = 0;
};

// Quarantined: its bytes are known to be lost or wrong. It is served to nobody, and replaced by the next push.
enum class ObjectState : int { live = 0, condemned = 1, quarantined = 2 };

// A physical object as the blobs table has it.
struct Object {
    Digest digest;
    std::string generation;
    std::uint64_t size = 0;
};

enum class ReferenceKind : int { blob = 0, manifest = 1 };  // of what a manifest needs; a subject is not needed

struct Reference {
    Digest digest;
    ReferenceKind kind = ReferenceKind::blob;
    bool may_be_absent = false;                        // a non-distributable layer or one with urls
    std::optional<std::uint64_t> size = std::nullopt;  // what the manifest says of it, to be held against the object
};

struct Manifest {
    Digest digest;
    std::string media_type;
    std::string artifact_type;     // empty if none
    std::string annotations_json;  // as in the manifest; kept only where a subject is set, else empty
    std::optional<Digest> subject;
    std::uint64_t size = 0;
    Micros pushed_at = 0;
    std::string generation;  // of the object that holds its bytes (from the blobs table)
};

struct Tag {
    std::string name;
    Digest digest;
    Micros updated_at = 0;
};

enum class AccountKind : int { user = 0, organization = 1 };

struct Account {
    std::string id;  // uuid
    std::string name;
    std::string full_name;
    AccountKind kind = AccountKind::user;
    bool is_admin = false;
    bool is_active = true;
    Micros created_at = 0;
};

// Whose word is taken for who somebody is: our password, a directory's (LDAP), or an OIDC provider's.
enum class AccountOrigin : int { local = 0, directory = 1, oidc = 2 };

struct OrganizationMember {
    std::string organization_id;
    std::string account_id;
    bool is_owner = false;
    bool is_public = false;  // may be seen by people outside
};

struct Team {
    std::string id;  // uuid
    std::string organization_id;
    std::string name;  // unique in its organisation
    std::string description;
    std::string sync_json;  // which group of a directory or claim fills it; empty: none does
};

struct TeamMember {
    std::string team_id;
    std::string account_id;
    bool is_admin = false;
    bool is_public = false;
};

enum class AccessLevel : int { none = 0, read_only = 1, read_write = 2, admin = 3 };  // of a grant; the highest counts

struct RepositorySettings {
    std::string short_description;
    std::string long_description;
    bool immutable_tags = false;  // a tag that exists is neither moved nor deleted
};

struct AuditEvent {
    std::int64_t sequence = 0;  // ascending; given by the store
    Micros happened_at = 0;     // given by the store
    std::string actor;          // account name, or empty
    std::string address;        // of the client, or empty
    std::string action;         // "account.create", "backup.seal", "key.release", ...
    std::string subject;        // what it was done to
    std::string detail;
};

struct Upload {
    std::string id;          // 32 lower-case hex digits
    std::string repository;  // name; the repository itself may not exist yet
    std::string account_id;  // who began it; empty: anonymous
    std::uint64_t offset = 0;
    std::string hash_state;  // Hasher::save()
    Micros started_at = 0;
    Micros expires_at = 0;
};

// One change of one row, as committed. Secret columns appear as the placeholder "(secret)".
struct Change {
    std::int64_t sequence = 0;     // unique, ascending; not a commit order on every engine
    std::int64_t transaction = 0;  // changes of one transaction share it
    Micros at = 0;
    std::string actor;  // account name, or empty
    std::string table;
    char operation = 'U';  // 'U' upsert, 'D' delete
    std::string row_json;  // whole row for 'U', key columns for 'D'
};

struct PullCount {
    RepositoryId repository = 0;
    Digest digest;
    std::string tag;  // empty for pulls by digest
    std::int64_t count = 0;
    Micros last_at = 0;
};

// Place of a cut in the change log: (epoch, transaction) of archive-format.md; increments start after it.
struct LogPosition {
    std::int64_t epoch = 0;
    std::int64_t transaction = 0;
};

}  // namespace dtr::meta
