// Who needs what, by repository and tag: says which tags suffer from blobs that are missing or damaged, and what the rows
// claim that a manifest needs.
//
// Takes rows as they pass and keeps half a SHA-256's worth less than a name: 24 bytes a reference and 16 a link and a
// manifest, tags with their names. Digests are compared by their first 64 bits; a collision would list a tag too many.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/digest.h"
#include "meta/meta_store.h"
#include "meta/schema.h"

namespace dtr::backup {

class ReferenceGraph {
  public:
    // Rows of repositories, manifests, manifest_references, tags and repository_blobs; others are passed over. corrupt
    // if a digest is malformed.
    Status add(const meta::Table& table, const meta::Cut::Row& row);
    // After the last row, before any question.
    void close();

    // All that cannot be pulled whole without `digests`, ascending: "team/app:1"; "team/app@sha256:0123456789abcdef..." for
    // a manifest that no tag leads to; "team/app" where a blob is only linked.
    [[nodiscard]] std::vector<std::string> sufferers(std::span<const Digest> digests) const;
    // True if the rows say of every repository's `manifest` that it needs exactly `needs`; true if there is no such
    // manifest.
    [[nodiscard]] bool agrees(const Digest& manifest, std::span<const Digest> needs) const;

  private:
    using Key = std::uint64_t;
    using Repository = std::uint32_t;
    struct Edge {
        Key child, parent;
        Repository repository;
        bool optional;
        friend auto operator<=>(const Edge&, const Edge&) = default;
    };
    struct Place {  // a manifest or a link
        Key key;
        Repository repository;
        friend auto operator<=>(const Place&, const Place&) = default;
    };
    struct Tag {
        Place manifest;
        std::string name;
        friend auto operator<=>(const Tag&, const Tag&) = default;
    };

    static Result<Key> key_of(std::string_view digest);
    static Key key_of(const Digest& digest);
    Repository repository_of(const std::string& id);

    std::unordered_map<std::string, Repository> ids_;
    std::vector<std::string> names_;
    std::vector<Edge> edges_;      // by child
    std::vector<Edge> by_parent_;  // the same, child and parent swapped
    std::vector<Place> manifests_;
    std::vector<Place> links_;
    std::vector<Tag> tags_;
};

// "team/app:1, team/app:2 and 17 more", or "no repository".
std::string describe_sufferers(std::span<const std::string> names);

}  // namespace dtr::backup
