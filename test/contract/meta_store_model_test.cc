// The contract of meta/meta_store.h under random histories: after each step the store did what a model of the rules
// says.
#include <map>
#include <set>

#include "test/contract/meta_history_fixture.h"

namespace dtr::meta {
namespace {

// What the rules say must happen, in the simplest words.
struct Model {
    struct Repository {
        std::set<std::string> links;
        std::map<std::string, std::vector<Reference>> manifests;
        std::map<std::string, std::string> tags;
    };
    std::map<std::string, Repository> repositories;

    [[nodiscard]] bool holds(const std::string& repository, const Reference& reference) const {
        const auto found = repositories.find(repository);
        if (found == repositories.end()) return false;
        const std::string digest = reference.digest.to_string();
        if (found->second.manifests.contains(digest)) return true;
        return reference.kind == ReferenceKind::blob && found->second.links.contains(digest);
    }
    [[nodiscard]] bool needed(const std::string& repository, const std::string& digest) const {
        for (const auto& [name, references] : repositories.at(repository).manifests)
            for (const Reference& reference : references)
                if (name != digest && reference.digest.to_string() == digest) return true;
        return false;
    }
};

class ModelTest : public MetaHistoryTest {
  protected:
    std::size_t pick(std::size_t below) { return dice_.next() % below; }
    std::string some_repository() { return "r/" + std::to_string(pick(3)); }
    std::string some_blob() { return "blob" + std::to_string(pick(6)); }
    std::string some_manifest() { return "manifest" + std::to_string(pick(8)); }
    std::string some_tag() { return "t" + std::to_string(pick(4)); }

    // A manifest's references follow from its name, as they would from its bytes.
    static std::vector<Reference> references_of(const std::string& manifest) {
        const int n = manifest.back() - '0';
        std::vector<Reference> all;
        if (n < 5) {
            for (int i = 0; i < n; ++i)
                all.push_back({digest_of("blob" + std::to_string((n + i) % 6)), ReferenceKind::blob, i == 3});
        } else {
            all.push_back({digest_of("manifest" + std::to_string(n - 4)), ReferenceKind::manifest, false});
            all.push_back({digest_of("manifest" + std::to_string(n - 5)), ReferenceKind::manifest, n == 7});
        }
        return all;
    }

    void step() {
        const std::string repository = some_repository();
        const auto found = model_.repositories.find(repository);
        const bool known = found != model_.repositories.end();
        switch (pick(12)) {
            case 0:
            case 1:
            case 2: {
                const std::string blob = some_blob();
                push(repository, {blob});
                model_.repositories[repository].links.insert(digest_of(blob).to_string());
                break;
            }
            case 3:
            case 4:
            case 5:
            case 6:
                put_one(repository);
                break;
            case 7: {
                const std::string digest = digest_of(some_manifest()).to_string();
                const bool there = known && found->second.manifests.contains(digest);
                const bool stuck = there && model_.needed(repository, digest);
                expect_outcome(content().remove_manifest(repository, *Digest::parse(digest), ""), there, stuck);
                if (there && !stuck) {
                    found->second.manifests.erase(digest);
                    std::erase_if(found->second.tags, [&](const auto& tag) { return tag.second == digest; });
                }
                break;
            }
            case 8: {
                const std::string digest = digest_of(some_blob()).to_string();
                const bool stuck = known && model_.needed(repository, digest);
                const bool there = stuck || (known && found->second.links.contains(digest));
                expect_outcome(content().unlink_blob(repository, *Digest::parse(digest), ""), there, stuck);
                if (there && !stuck) found->second.links.erase(digest);
                break;
            }
            case 9: {
                const std::string tag = some_tag();
                const bool there = known && found->second.tags.contains(tag);
                expect_outcome(content().remove_tag(repository, tag, ""), there, false);
                if (there) found->second.tags.erase(tag);
                break;
            }
            case 10:
                if (pick(4) != 0) break;
                expect_outcome(repositories().remove(repository, ""), known, false);
                model_.repositories.erase(repository);
                break;
            default:
                collect();
        }
    }

    void put_one(const std::string& repository) {
        const std::string name = some_manifest();
        ManifestPut put = put_of(repository, name, {}, {some_tag()});
        put.references = references_of(name);
        std::set<std::string> missing;
        for (const Reference& reference : put.references)
            if (!reference.may_be_absent && !model_.holds(repository, reference))
                missing.insert(reference.digest.to_string());
        const auto outcome = content().put_manifest(put, "");
        ASSERT_GOOD(outcome);
        std::set<std::string> reported;
        for (const Digest& digest : outcome->missing) reported.insert(digest.to_string());
        EXPECT_EQ(reported, missing);
        if (!missing.empty()) return;
        Model::Repository& changed = model_.repositories[repository];
        const std::string digest = put.manifest.digest.to_string();
        changed.manifests[digest] = put.references;
        changed.tags[put.tags[0]] = digest;
    }

    // Two terms later, or at once.
    void collect() {
        if (pick(3) == 0) clock_.advance(7200 * kSecond);
        const Micros now = clock_.now();
        ASSERT_GOOD(store_->collector().condemn(100, now));
        if (pick(2) == 0) {
            const auto gone = store_->collector().retire(now + 1, 100, now);
            ASSERT_GOOD(gone);
            ASSERT_GOOD(store_->collector().removed(gone->removals));  // these tests use a generation again
            for (const Object& object : gone->removals)
                for (const auto& [name, repository] : model_.repositories)
                    EXPECT_FALSE(repository.manifests.contains(object.digest.to_string()) ||
                                 (repository.links.contains(object.digest.to_string()) &&
                                  model_.needed(name, object.digest.to_string())))
                        << "collected what " << name << " needs";
        }
        // Links without a manifest may have been dropped: the model takes that from the store, needed ones never.
        for (auto& [name, repository] : model_.repositories)
            std::erase_if(repository.links, [&, &where = name](const std::string& digest) {
                return !content().find_blob(where, *Digest::parse(digest)) && !model_.needed(where, digest);
            });
    }

    static void expect_outcome(const Status& status, bool there, bool stuck) {
        if (stuck)
            EXPECT_FAILS(ErrorCode::conflict, status);
        else if (!there)
            EXPECT_FAILS(ErrorCode::not_found, status);
        else
            EXPECT_GOOD(status);
    }

    void expect_same() {
        for (const auto& [name, repository] : model_.repositories) {
            for (const std::string& digest : repository.links)
                EXPECT_GOOD(content().find_blob(name, *Digest::parse(digest)));
            for (const auto& [digest, references] : repository.manifests)
                EXPECT_GOOD(content().find_manifest(name, *Digest::parse(digest)));
            std::map<std::string, std::string> tags;
            const auto listed = content().list_tags(name, "", 100);
            ASSERT_GOOD(listed);
            for (const Tag& tag : *listed) tags[tag.name] = tag.digest.to_string();
            EXPECT_EQ(tags, repository.tags);
        }
        const Database rows = rows_of(*cut());
        std::size_t manifests = 0;
        std::size_t links = 0;
        for (const auto& [name, repository] : model_.repositories) {
            manifests += repository.manifests.size();
            links += repository.links.size();
        }
        EXPECT_EQ(rows.at("repositories").size(), model_.repositories.size());
        EXPECT_EQ(rows.at("manifests").size(), manifests);
        EXPECT_EQ(rows.at("repository_blobs").size(), links);
        expect_log_tells_the_rows();
    }

    SeededRandom dice_{1};
    Model model_;
};

TEST_P(ModelTest, RandomHistoriesAgreeWithTheModel) {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        dice_ = SeededRandom(seed);
        for (int i = 0; i < 300; ++i) {
            step();
            if (HasFailure()) FAIL() << "at step " << i;
            if (i % 60 == 0) expect_same();
        }
        reopen();
        expect_same();
        if (HasFailure()) return;
    }
}

INSTANTIATE_TEST_SUITE_P(Engines, ModelTest, all_meta_engines(), engine_name);

}  // namespace
}  // namespace dtr::meta
