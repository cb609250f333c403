// Metadata: what exists, what it is called, who owns it. Each method is one transaction: all of it is durable when it
// returns success (a commit survives power loss), or nothing happened. Every change is recorded in the change log in
// that same transaction (law 4); uploads, leases, fences and pull counts are not changes.
//
// The interfaces are split by who needs them. All are thread-safe. Errors: not_found, already_exists, conflict (message
// names what stands in the way), unavailable (retryable), no_space, corrupt, exhausted, internal;
// stale from whatever takes an Actor.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "meta/access_token_store.h"
#include "meta/account_mirror.h"
#include "meta/actor.h"
#include "meta/audit_store.h"
#include "meta/collector_store.h"
#include "meta/expected.h"
#include "meta/external_account_store.h"
#include "meta/failed_login_store.h"
#include "meta/grant_store.h"
#include "meta/organization_store.h"
#include "meta/schema.h"
#include "meta/scrub_store.h"
#include "meta/types.h"

namespace dtr::meta {

class RepositoryStore {
  public:
    virtual ~RepositoryStore() = default;
    virtual Result<Repository> find(std::string_view name) = 0;
    // already_exists.
    virtual Result<Repository> create(std::string_view name, Visibility visibility, Actor actor) = 0;
    virtual Status set_visibility(std::string_view name, Visibility visibility, Actor actor) = 0;
    // With its manifests, tags and links; bytes stay for the collector.
    virtual Status remove(std::string_view name, Actor actor) = 0;

    virtual Result<RepositorySettings> settings(RepositoryId id) = 0;  // the defaults if none were saved
    virtual Status save_settings(std::string_view name, const RepositorySettings& settings, Actor actor) = 0;

    // Besides what is public.
    struct Visible {
        bool everything = false;
        std::vector<std::string> namespaces = {};    // and everything in them
        std::vector<std::string> repositories = {};  // whole names
    };
    // Names after `after` in byte order, at most `limit`.
    virtual Result<std::vector<Repository>> list(const Visible& visible, std::string_view after, std::size_t limit) = 0;
};

struct ManifestPut {
    std::string repository;  // created (private) if it does not exist
    // With the generation whose bytes are already durable in the image store; or with none, to rely on an object that
    // is already recorded: conflict if there is none (any more).
    Manifest manifest;
    std::vector<Reference> references;
    std::vector<std::string> tags;
    // Of the first tag; without tags, of the manifest itself.
    Expected expected = {};
};

// What a put found missing or wrong; nothing was changed unless both are empty.
struct ManifestPutOutcome {
    std::vector<Digest> missing;
    std::vector<Digest> wrong_size;  // there, but of another size than the manifest says
    std::string generation_in_use;   // may differ from the one offered: then the offered object is surplus
};

class ContentStore {
  public:
    virtual ~ContentStore() = default;

    // The live object behind a digest if `repository` links it (as a blob) or holds it as a manifest.
    virtual Result<Object> find_blob(std::string_view repository, const Digest& digest) = 0;
    // The live or condemned object of that digest, linked anywhere or nowhere; used to avoid storing bytes twice after
    // the caller has proved to hold them, and by backup.
    virtual Result<Object> find_object(const Digest& digest) = 0;
    // Links `digest` into `repository` (created if need be) if an object for it exists, reviving a condemned one;
    // not_found otherwise. Leased until `lease_until`. Also ends the upload `upload_id` if not empty.
    virtual Result<Object> link_existing(std::string_view repository, const Digest& digest, Micros lease_until,
                                         std::string_view upload_id, Actor actor) = 0;
    // Records an object whose bytes are durable, and links it. If meanwhile another generation became the digest's
    // object, that one is linked and returned: the caller removes its own.
    virtual Result<Object> add_blob(std::string_view repository, const Object& object, Micros lease_until,
                                    std::string_view upload_id, Actor actor) = 0;
    // A repository that links `digest` and is `visible`: the source of a mount without `from`.
    virtual Result<std::string> find_mount_source(const RepositoryStore::Visible& visible, const Digest& digest) = 0;
    // conflict, naming the manifest, if one in that repository needs it.
    virtual Status unlink_blob(std::string_view repository, const Digest& digest, Actor actor) = 0;
    // Keeps objects from collection until then; batched and not synced, may be lost.
    virtual Status renew_leases(std::span<const Digest> digests, Micros until) = 0;

    // precondition_failed: not as expected.
    virtual Result<ManifestPutOutcome> put_manifest(const ManifestPut& put, Actor actor) = 0;
    virtual Result<Manifest> find_manifest(std::string_view repository, const Digest& digest) = 0;
    virtual Result<Manifest> find_tagged(std::string_view repository, std::string_view tag) = 0;
    // With the tags that name it. conflict, naming the index, if an index of that repository needs it.
    virtual Status remove_manifest(std::string_view repository, const Digest& digest, Actor actor) = 0;
    // not_found before precondition_failed.
    virtual Status remove_tag(std::string_view repository, std::string_view tag, const Expected& expected,
                              Actor actor) = 0;
    Status remove_tag(std::string_view repository, std::string_view tag, Actor actor) {
        return remove_tag(repository, tag, {}, actor);
    }
    // Tags after `after` in byte order, at most `limit`; not_found if there is no such repository.
    virtual Result<std::vector<Tag>> list_tags(std::string_view repository, std::string_view after,
                                               std::size_t limit) = 0;
    // Manifests whose subject is `subject`, ordered by digest, after `after` (empty: from the start), of that artifact
    // type if not empty. An unknown repository has none.
    virtual Result<std::vector<Manifest>> list_referrers(std::string_view repository, const Digest& subject,
                                                         std::string_view artifact_type, std::string_view after,
                                                         std::size_t limit) = 0;
};

// Sessions of running uploads. Survive kill -9, not power loss: no method waits for the disk.
class UploadStore {
  public:
    virtual ~UploadStore() = default;
    // already_exists; exhausted: its account has `per_account_max` of them.
    virtual Status create(const Upload& upload, std::size_t per_account_max) = 0;
    virtual Result<Upload> load(std::string_view id) = 0;
    // Moves from `expected_offset` to upload.offset with its hash state and expiry; conflict if it was elsewhere.
    virtual Status advance(const Upload& upload, std::uint64_t expected_offset) = 0;
    virtual Status remove(std::string_view id) = 0;  // a missing one is good
    virtual Result<std::vector<Upload>> list_expired(Micros now, std::size_t limit) = 0;
    // Of one account, those first that will expire first: nobody has gone on with them for longest.
    virtual Result<std::vector<Upload>> list_idle(std::string_view account_id, std::size_t limit) = 0;
};

class AccountStore {
  public:
    virtual ~AccountStore() = default;
    virtual Result<Account> find(std::string_view name) = 0;
    virtual Result<Account> find_by_id(std::string_view id) = 0;
    virtual Status create(const Account& account, std::string_view password_hash, Actor actor) = 0;
    // Of somebody whose password is not ours. already_exists: the name is taken, or that external id is an account.
    virtual Status create_external(const Account& account, AccountOrigin origin, std::string_view external_id,
                                   Actor actor) = 0;
    // Its full name, whether it is an administrator, whether it is active. not_found.
    virtual Status update(const Account& account, Actor actor) = 0;
    // With its tokens, memberships and, of an organisation, teams. Repositories stay.
    virtual Status remove(std::string_view name, Actor actor) = 0;
    virtual Result<std::vector<Account>> list(std::string_view after, std::size_t limit) = 0;
    virtual Result<std::string> password_hash(std::string_view account_id) = 0;  // not_found if none is set
    virtual Status set_password_hash(std::string_view account_id, std::string_view hash, Actor actor) = 0;
    // Whose word is taken for the account; local if nothing was set.
    virtual Result<AccountOrigin> origin(std::string_view account_id) = 0;
    // conflict: another account has that external id.
    virtual Status set_origin(std::string_view account_id, AccountOrigin origin, std::string_view external_id,
                              Actor actor) = 0;
    virtual Result<Account> find_external(AccountOrigin origin, std::string_view external_id) = 0;  // not_found
    // Grows with every change to accounts, their secrets, memberships and grants: caches compare it.
    virtual Result<std::int64_t> version() = 0;
};

// While a fence exists, nothing it may need is collected. A fence expires only by being removed in the transaction that
// condemns objects; until then its holder may still seal.
class FenceStore {
  public:
    virtual ~FenceStore() = default;
    virtual Result<std::string> raise(std::string_view purpose, Micros expires_at) = 0;  // answers its id
    virtual Status extend(std::string_view id, Micros expires_at) = 0;                   // lost if it no longer exists
    virtual Status require(std::string_view id) = 0;                                     // lost if it no longer exists
    virtual Status release(std::string_view id) = 0;                                     // a missing one is good
};

// One consistent, repeatable view of everything, not disturbed by and not disturbing writers. One thread at a time.
class Cut {
  public:
    virtual ~Cut() = default;
    [[nodiscard]] virtual LogPosition position() const = 0;
    // Every row in primary-key order, columns as in the table's description; null is nullopt, integers in decimal,
    // bytes raw. The callback's error ends the walk and is returned.
    using Row = std::vector<std::optional<std::string>>;
    virtual Status each_row(const Table& table, const std::function<Status(const Row&)>& callback) = 0;
    // Every object that a manifest, a link or a tag of this view refers to, by digest in byte order.
    virtual Status each_object(const std::function<Status(const Object&)>& callback) = 0;
    // Every digest that this view refers to and has no object for, by digest in byte order: blobs that a restore had to
    // leave out and that nobody has pushed again.
    virtual Status each_lost(const std::function<Status(const Digest&)>& callback) = 0;
    // Every change of a transaction after `after_transaction` up to position(), in an order in which they can be
    // applied. lost if the log was trimmed past it: only a full backup helps then.
    virtual Status each_change(std::int64_t after_transaction,
                               const std::function<Status(const Change&)>& callback) = 0;
};

class ChangeLog {
  public:
    virtual ~ChangeLog() = default;
    virtual Result<std::vector<Change>> read(std::int64_t after_sequence, std::size_t limit) = 0;
    // Forgets the changes of all transactions up to and with that one. In steps, so that writers are not held up; not
    // synced.
    virtual Status trim(std::int64_t through_transaction) = 0;
    // Adds to the bounded table of pulls; not synced, may be lost.
    virtual Status add_pulls(std::span<const PullCount> pulls) = 0;
    virtual Result<std::unique_ptr<Cut>> cut() = 0;
};

// Identity of the data itself; a restore writes a new one.
struct Epoch {
    std::int64_t number = 0;
    std::string id;                 // 32 hex digits
    std::string cluster_id;         // 32 hex digits
    std::string parent_cluster_id;  // of the cluster whose backup was restored; empty if none
    Micros began_at = 0;
};

// One open metadata database.
class MetaStore {
  public:
    virtual ~MetaStore() = default;
    virtual RepositoryStore& repositories() = 0;
    virtual ContentStore& content() = 0;
    virtual UploadStore& uploads() = 0;
    virtual AccountStore& accounts() = 0;
    virtual ExternalAccountStore& external_accounts() = 0;
    virtual OrganizationStore& organizations() = 0;
    virtual TeamStore& teams() = 0;
    virtual GrantStore& grants() = 0;
    virtual AccountMirror& account_mirror() = 0;
    virtual AuditStore& audit() = 0;
    virtual FailedLoginStore& failed_logins() = 0;
    virtual EscrowStore& escrow() = 0;
    virtual AccessTokenStore& access_tokens() = 0;
    virtual FenceStore& fences() = 0;
    virtual ChangeLog& changes() = 0;
    virtual CollectorStore& collector() = 0;
    virtual ScrubStore& scrub() = 0;
    virtual Result<Epoch> epoch() = 0;
    virtual Status set_epoch(const Epoch& epoch) = 0;
    [[nodiscard]] virtual int schema_version() const = 0;
    // Grows with every commit before the call that made it returns: what was read after a revision was asked for still
    // holds while it is the same. Nothing where others may write, too. Never blocks.
    [[nodiscard]] virtual std::optional<std::uint64_t> revision() const { return std::nullopt; }
    // Room on the file system of the database; nothing where it is not ours to know.
    virtual Result<std::optional<std::uint64_t>> free_bytes() { return std::optional<std::uint64_t>(); }
};

// Fills an empty database that nothing serves yet: the staging side of a restore. Rows are not logged; batches are
// committed as it goes, and finish() makes everything durable. One thread.
class BulkLoader {
  public:
    virtual ~BulkLoader() = default;
    virtual Status add_row(const Table& table, const Cut::Row& row) = 0;
    virtual Status add_object(const Object& object) = 0;
    virtual Status finish() = 0;
};

}  // namespace dtr::meta
