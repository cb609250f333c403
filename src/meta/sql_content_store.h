// ContentStore over any SQL engine.
#pragma once

#include "meta/sql_support.h"

namespace dtr::meta {

class SqlContentStore final : public ContentStore {
  public:
    explicit SqlContentStore(StoreParts parts) : parts_(parts) {}

    // sql_content_blobs.cc
    Result<Object> find_blob(std::string_view repository, const Digest& digest) override;
    Result<Object> find_object(const Digest& digest) override;
    Result<Object> link_existing(std::string_view repository, const Digest& digest, Micros lease_until,
                                 std::string_view upload_id, Actor actor) override;
    Result<Object> add_blob(std::string_view repository, const Object& object, Micros lease_until,
                            std::string_view upload_id, Actor actor) override;
    Result<std::string> find_mount_source(const RepositoryStore::Visible& visible, const Digest& digest) override;
    Status unlink_blob(std::string_view repository, const Digest& digest, Actor actor) override;
    Status renew_leases(std::span<const Digest> digests, Micros until) override;

    // sql_content_manifests.cc
    Result<ManifestPutOutcome> put_manifest(const ManifestPut& put, Actor actor) override;
    Result<Manifest> find_manifest(std::string_view repository, const Digest& digest) override;
    Result<Manifest> find_tagged(std::string_view repository, std::string_view tag) override;
    Status remove_manifest(std::string_view repository, const Digest& digest, Actor actor) override;
    using ContentStore::remove_tag;
    Status remove_tag(std::string_view repository, std::string_view tag, const Expected& expected,
                      Actor actor) override;
    Result<std::vector<Tag>> list_tags(std::string_view repository, std::string_view after, std::size_t limit) override;
    Result<std::vector<Manifest>> list_referrers(std::string_view repository, const Digest& subject,
                                                 std::string_view artifact_type, std::string_view after,
                                                 std::size_t limit) override;

  private:
    StoreParts parts_;
};

// --- shared by both halves ---

// The digest's object, revived if it was condemned. Nothing if it has none whose bytes are good.
Result<std::optional<Object>> keep_object(sql::Transaction& transaction, const Digest& digest);
// The same, with `offered` becoming its object if it has none.
Result<Object> place_object(ChangeRecorder& recorder, const Object& offered);

// The digest of a manifest of that repository which needs `digest`, other than itself.
Result<std::optional<std::string>> find_user(sql::Connection& connection, RepositoryId repository,
                                             std::string_view digest);

}  // namespace dtr::meta
