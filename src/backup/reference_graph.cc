#include "backup/reference_graph.h"

#include <algorithm>
#include <charconv>
#include <set>

namespace dtr::backup {
namespace {

constexpr std::size_t kShown = 20;

const std::string& field(const meta::Table& table, const meta::Cut::Row& row, std::string_view column) {
    return *row[meta::column_index(table, column)];
}

template <class List>
void sort_unique(List& list) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
}

}  // namespace

ReferenceGraph::Key ReferenceGraph::key_of(const Digest& digest) {
    Key key = 0;
    std::from_chars(digest.hex().data(), digest.hex().data() + 16, key, 16);
    return key;
}

Result<ReferenceGraph::Key> ReferenceGraph::key_of(std::string_view text) {
    DTR_ASSIGN(const Digest digest, Digest::parse(text));
    return key_of(digest);
}

ReferenceGraph::Repository ReferenceGraph::repository_of(const std::string& id) {
    const auto [found, is_new] = ids_.try_emplace(id, static_cast<Repository>(names_.size()));
    if (is_new) names_.push_back("repository " + id);
    return found->second;
}

Status ReferenceGraph::add(const meta::Table& table, const meta::Cut::Row& row) {
    const auto is = [&](meta::TableId id) { return &table == &meta::table(id); };
    if (is(meta::TableId::repositories)) {
        names_[repository_of(field(table, row, "id"))] = field(table, row, "name");
        return {};
    }
    const bool manifest = is(meta::TableId::manifests);
    if (manifest || is(meta::TableId::repository_blobs)) {
        DTR_ASSIGN(const Key key, key_of(field(table, row, "digest")));
        (manifest ? manifests_ : links_).push_back({key, repository_of(field(table, row, "repository_id"))});
    } else if (is(meta::TableId::tags)) {
        DTR_ASSIGN(const Key key, key_of(field(table, row, "digest")));
        tags_.push_back({{key, repository_of(field(table, row, "repository_id"))}, field(table, row, "name")});
    } else if (is(meta::TableId::manifest_references)) {
        DTR_ASSIGN(const Key child, key_of(field(table, row, "digest")));
        DTR_ASSIGN(const Key parent, key_of(field(table, row, "manifest_digest")));
        edges_.push_back({child, parent, repository_of(field(table, row, "repository_id")),
                          field(table, row, "may_be_absent") != "0"});
    }
    return {};
}

void ReferenceGraph::close() {
    sort_unique(edges_);
    by_parent_ = edges_;
    for (Edge& edge : by_parent_) std::swap(edge.child, edge.parent);
    sort_unique(by_parent_);
    sort_unique(manifests_);
    sort_unique(links_);
    sort_unique(tags_);
}

std::vector<std::string> ReferenceGraph::sufferers(std::span<const Digest> digests) const {
    std::set<Place> hurt;
    std::vector<Place> open;
    const auto reach = [&](const Place& place) {
        if (hurt.insert(place).second) open.push_back(place);
    };
    std::set<std::string> names;
    for (const Digest& digest : digests) {
        const Key key = key_of(digest);
        const Place first{key, 0};
        std::set<Repository> needed;
        for (auto it = std::lower_bound(manifests_.begin(), manifests_.end(), first);
             it != manifests_.end() && it->key == key; ++it) {
            reach(*it);
            needed.insert(it->repository);
        }
        for (auto it = std::lower_bound(edges_.begin(), edges_.end(), Edge{key, 0, 0, false});
             it != edges_.end() && it->child == key; ++it) {
            if (it->optional) continue;
            reach({it->parent, it->repository});
            needed.insert(it->repository);
        }
        for (auto it = std::lower_bound(links_.begin(), links_.end(), first); it != links_.end() && it->key == key;
             ++it)
            if (!needed.contains(it->repository)) names.insert(names_[it->repository]);
    }
    // A set of what was seen makes this end even where rows claim a cycle.
    std::set<Place> has_parent;
    while (!open.empty()) {
        const Place place = open.back();
        open.pop_back();
        for (auto it = std::lower_bound(edges_.begin(), edges_.end(), Edge{place.key, 0, 0, false});
             it != edges_.end() && it->child == place.key; ++it) {
            if (it->repository != place.repository || it->optional) continue;
            has_parent.insert(place);
            reach({it->parent, it->repository});
        }
    }
    for (const Place& place : hurt) {
        auto it = std::lower_bound(tags_.begin(), tags_.end(), Tag{place, {}});
        const bool tagged = it != tags_.end() && it->manifest == place;
        for (; it != tags_.end() && it->manifest == place; ++it)
            names.insert(fmt::format("{}:{}", names_[place.repository], it->name));
        if (!tagged && !has_parent.contains(place))
            names.insert(fmt::format("{}@sha256:{:016x}...", names_[place.repository], place.key));
    }
    return {names.begin(), names.end()};
}

bool ReferenceGraph::agrees(const Digest& manifest, std::span<const Digest> needs) const {
    std::vector<Key> expected;
    for (const Digest& need : needs) expected.push_back(key_of(need));
    sort_unique(expected);
    const Key key = key_of(manifest);
    for (auto place = std::lower_bound(manifests_.begin(), manifests_.end(), Place{key, 0});
         place != manifests_.end() && place->key == key; ++place) {
        std::vector<Key> found;
        for (auto it = std::lower_bound(by_parent_.begin(), by_parent_.end(), Edge{key, 0, 0, false});
             it != by_parent_.end() && it->child == key; ++it)
            if (it->repository == place->repository) found.push_back(it->parent);
        sort_unique(found);
        if (found != expected) return false;
    }
    return true;
}

std::string describe_sufferers(std::span<const std::string> names) {
    if (names.empty()) return "no repository";
    std::string text;
    for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i) text += (i == 0 ? "" : ", ") + names[i];
    if (names.size() > kShown) text += fmt::format(" and {} more", names.size() - kShown);
    return text;
}

}  // namespace dtr::backup
