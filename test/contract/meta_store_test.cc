// The contract of meta/meta_store.h, operation by operation, against every engine.
#include "test/contract/meta_store_fixture.h"

#include <algorithm>
#include <set>

namespace dtr::meta {
namespace {

using Visible = RepositoryStore::Visible;

class MetaStoreTest : public MetaStoreFixture {
  protected:
    std::vector<std::string> names(const Visible& visible, const std::string& after, std::size_t limit) {
        std::vector<std::string> result;
        auto page = repositories().list(visible, after, limit);
        EXPECT_GOOD(page);
        if (page)
            for (const Repository& one : *page) result.push_back(one.name);
        return result;
    }
    std::vector<std::string> tag_names(const std::string& repository, const std::string& after, std::size_t limit) {
        std::vector<std::string> result;
        auto page = content().list_tags(repository, after, limit);
        EXPECT_GOOD(page);
        if (page)
            for (const Tag& tag : *page) result.push_back(tag.name);
        return result;
    }
};

// --- repositories ---

TEST_P(MetaStoreTest, RepositoryIsCreatedOnceAndFound) {
    const auto made = repositories().create("admin/hello", meta::Visibility::everyone, "ann");
    ASSERT_GOOD(made);
    EXPECT_EQ(made->namespace_name, "admin");
    EXPECT_EQ(made->created_at, clock_.now());
    const auto found = repositories().find("admin/hello");
    ASSERT_GOOD(found);
    EXPECT_EQ(found->id, made->id);
    EXPECT_TRUE(found->is_public);
    EXPECT_FAILS(ErrorCode::already_exists, repositories().create("admin/hello", meta::Visibility::restricted, "ann"));
    EXPECT_FAILS(ErrorCode::not_found, repositories().find("admin"));
    EXPECT_FAILS(ErrorCode::not_found, repositories().find("admin/hell_"));
}

TEST_P(MetaStoreTest, NamespaceIsTheFirstOfSeveralComponents) {
    EXPECT_EQ(repositories().create("hello", meta::Visibility::restricted, "")->namespace_name, "");
    EXPECT_EQ(repositories().create("a/b/c", meta::Visibility::restricted, "")->namespace_name, "a");
}

TEST_P(MetaStoreTest, RepositoryNumbersAreNeverUsedAgain) {
    const auto first = repositories().create("a/one", meta::Visibility::restricted, "");
    ASSERT_GOOD(first);
    ASSERT_GOOD(repositories().remove("a/one", ""));
    const auto second = repositories().create("a/two", meta::Visibility::restricted, "");
    ASSERT_GOOD(second);
    EXPECT_GT(second->id, first->id);
}

TEST_P(MetaStoreTest, VisibilityIsChanged) {
    ASSERT_GOOD(repositories().create("a/one", meta::Visibility::restricted, ""));
    ASSERT_GOOD(repositories().set_visibility("a/one", meta::Visibility::everyone, ""));
    EXPECT_TRUE(repositories().find("a/one")->is_public);
    EXPECT_FAILS(ErrorCode::not_found, repositories().set_visibility("a/two", meta::Visibility::everyone, ""));
}

TEST_P(MetaStoreTest, ListPagesInByteOrderOfWhatIsVisible) {
    for (const char* name : {"b/z", "a/o", "B/x"}) ASSERT_GOOD(repositories().create(name, Visibility::everyone, ""));
    for (const char* name : {"a/p", "b/q", "lone", "a-b/c"})
        ASSERT_GOOD(repositories().create(name, Visibility::restricted, ""));
    using Names = std::vector<std::string>;
    EXPECT_EQ(names({true, {}}, "", 100), (Names{"B/x", "a-b/c", "a/o", "a/p", "b/q", "b/z", "lone"}));
    EXPECT_EQ(names({true, {}}, "a/o", 2), (Names{"a/p", "b/q"}));
    EXPECT_EQ(names({false, {}}, "", 100), (Names{"B/x", "a/o", "b/z"}));
    EXPECT_EQ(names({false, {"a"}}, "", 100), (Names{"B/x", "a/o", "a/p", "b/z"}));
    EXPECT_EQ(names({false, {"a"}}, "B/x", 2), (Names{"a/o", "a/p"}));
    EXPECT_EQ(names({false, {"a"}}, "lone", 2), Names{});
    EXPECT_EQ(names({true, {}}, "", 0), Names{});
}

TEST_P(MetaStoreTest, RemovedRepositoryTakesItsContentAlong) {
    push("a/one", {"layer"});
    push("a/two", {"layer"});
    put(put_of("a/one", "m", {"layer"}, {"v1", "v2"}));
    ASSERT_GOOD(repositories().remove("a/one", "ann"));
    EXPECT_FAILS(ErrorCode::not_found, repositories().find("a/one"));
    EXPECT_FAILS(ErrorCode::not_found, content().find_tagged("a/one", "v1"));
    EXPECT_FAILS(ErrorCode::not_found, content().find_blob("a/one", digest_of("layer")));
    EXPECT_FAILS(ErrorCode::not_found, repositories().remove("a/one", "ann"));
    EXPECT_GOOD(content().find_blob("a/two", digest_of("layer")));
    // Of a new one of that name nothing old shows.
    ASSERT_GOOD(repositories().create("a/one", meta::Visibility::restricted, ""));
    EXPECT_TRUE(tag_names("a/one", "", 10).empty());
    EXPECT_FAILS(ErrorCode::not_found, content().find_blob("a/one", digest_of("layer")));
}

// --- blobs ---

TEST_P(MetaStoreTest, BlobIsVisibleWhereItIsLinkedOnly) {
    push("a/one", {"layer"});
    const auto found = content().find_blob("a/one", digest_of("layer"));
    ASSERT_GOOD(found);
    EXPECT_EQ(found->generation, "00000000000000aa");
    EXPECT_EQ(found->size, 5U);
    EXPECT_FALSE(repositories().find("a/one")->is_public);
    ASSERT_GOOD(repositories().create("a/two", meta::Visibility::restricted, ""));
    EXPECT_FAILS(ErrorCode::not_found, content().find_blob("a/two", digest_of("layer")));
    EXPECT_FAILS(ErrorCode::not_found, content().find_blob("a/none", digest_of("layer")));
    EXPECT_GOOD(content().find_object(digest_of("layer")));
    EXPECT_FAILS(ErrorCode::not_found, content().find_object(digest_of("other")));
}

TEST_P(MetaStoreTest, SecondPushOfTheSameBytesGetsTheFirstObject) {
    push("a/one", {"layer"});
    const auto again = content().add_blob("a/two", object_of("layer", "00000000000000cc"), 0, "", "");
    ASSERT_GOOD(again);
    EXPECT_EQ(again->generation, "00000000000000aa");
    EXPECT_EQ(content().find_blob("a/two", digest_of("layer"))->generation, "00000000000000aa");
}

TEST_P(MetaStoreTest, Sha512DigestsAreKeptAsNamed) {
    const Digest digest = Digest::of("layer", DigestAlgorithm::sha512);
    ASSERT_GOOD(content().add_blob("a/one", {digest, "00000000000000aa", 5}, 0, "", ""));
    EXPECT_EQ(content().find_blob("a/one", digest)->digest, digest);
    EXPECT_FAILS(ErrorCode::not_found, content().find_blob("a/one", Digest::of("layer")));
}

TEST_P(MetaStoreTest, LinkingNeedsAnObject) {
    EXPECT_FAILS(ErrorCode::not_found, content().link_existing("a/one", digest_of("layer"), 0, "", ""));
    EXPECT_FAILS(ErrorCode::not_found, repositories().find("a/one"));  // nothing was changed
    push("a/two", {"layer"});
    EXPECT_GOOD(content().link_existing("a/one", digest_of("layer"), 0, "", ""));
    EXPECT_GOOD(content().find_blob("a/one", digest_of("layer")));
}

TEST_P(MetaStoreTest, FinishedUploadEndsInTheSameTransaction) {
    const Upload upload{std::string(32, 'a'), "a/one", "", 5, "state", clock_.now(), clock_.now() + kSecond};
    ASSERT_GOOD(store_->uploads().create(upload, 1000));
    ASSERT_GOOD(content().add_blob("a/one", object_of("layer"), 0, upload.id, ""));
    EXPECT_FAILS(ErrorCode::not_found, store_->uploads().load(upload.id));
}

TEST_P(MetaStoreTest, MountSourceIsVisibleAndHasTheBlob) {
    const Digest layer = digest_of("layer");
    EXPECT_FAILS(ErrorCode::not_found, content().find_mount_source({true, {}}, layer));
    push("a/one", {"layer"});
    EXPECT_EQ(*content().find_mount_source({true, {}}, layer), "a/one");
    EXPECT_EQ(*content().find_mount_source({false, {"a"}}, layer), "a/one");
    EXPECT_FAILS(ErrorCode::not_found, content().find_mount_source({false, {"b"}}, layer));
    EXPECT_FAILS(ErrorCode::not_found, content().find_mount_source({false, {}}, layer));
    push("lone", {"layer"});  // belongs to no namespace, so to nobody's own
    EXPECT_FAILS(ErrorCode::not_found, content().find_mount_source({false, {}}, layer));
    ASSERT_GOOD(repositories().set_visibility("lone", meta::Visibility::everyone, ""));
    EXPECT_EQ(*content().find_mount_source({false, {}}, layer), "lone");
}

TEST_P(MetaStoreTest, BlobThatAManifestNeedsIsNotUnlinked) {
    push("a/one", {"layer", "spare"});
    push("a/two", {"layer"});
    put(put_of("a/one", "m", {"layer"}, {}));
    const Status refused = content().unlink_blob("a/one", digest_of("layer"), "");
    ASSERT_EQ(code_of(refused), ErrorCode::conflict);
    EXPECT_NE(refused.error().message.find(digest_of("m").to_string()), std::string::npos) << refused.error().message;
    EXPECT_GOOD(content().unlink_blob("a/one", digest_of("spare"), ""));
    EXPECT_FAILS(ErrorCode::not_found, content().unlink_blob("a/one", digest_of("spare"), ""));
    EXPECT_FAILS(ErrorCode::not_found, content().unlink_blob("a/none", digest_of("spare"), ""));
    EXPECT_GOOD(content().unlink_blob("a/two", digest_of("layer"), ""));
    EXPECT_GOOD(content().find_blob("a/one", digest_of("layer")));
}

// --- manifests ---

TEST_P(MetaStoreTest, ManifestIsFoundByDigestAndTag) {
    push("a/one", {"config", "layer"});
    ManifestPut one = put_of("a/one", "m", {"config", "layer"}, {"v1", "latest"});
    one.manifest.artifact_type = "application/x";
    put(one);
    for (const auto& found : {content().find_tagged("a/one", "v1"), content().find_tagged("a/one", "latest"),
                              content().find_manifest("a/one", digest_of("m"))}) {
        ASSERT_GOOD(found);
        EXPECT_EQ(found->digest, digest_of("m"));
        EXPECT_EQ(found->media_type, one.manifest.media_type);
        EXPECT_EQ(found->artifact_type, "application/x");
        EXPECT_EQ(found->size, 1U);
        EXPECT_EQ(found->generation, "00000000000000bb");
        EXPECT_EQ(found->pushed_at, clock_.now());
        EXPECT_FALSE(found->subject.has_value());
    }
    EXPECT_FAILS(ErrorCode::not_found, content().find_tagged("a/one", "V1"));
    EXPECT_FAILS(ErrorCode::not_found, content().find_tagged("a/two", "v1"));
    EXPECT_FAILS(ErrorCode::not_found, content().find_manifest("a/one", digest_of("layer")));
    // Its own bytes are an object of that repository, too.
    EXPECT_EQ(content().find_blob("a/one", digest_of("m"))->generation, "00000000000000bb");
}

TEST_P(MetaStoreTest, PutNamesWhatIsMissingAndChangesNothing) {
    push("a/one", {"config"});
    push("a/two", {"layer"});  // there, but not in a/one
    const auto outcome = content().put_manifest(put_of("a/one", "m", {"config", "layer", "gone", "gone"}, {"v1"}), "");
    ASSERT_GOOD(outcome);
    EXPECT_EQ(outcome->missing, (std::vector<Digest>{digest_of("layer"), digest_of("gone")}));
    EXPECT_FAILS(ErrorCode::not_found, content().find_manifest("a/one", digest_of("m")));
    EXPECT_FAILS(ErrorCode::not_found, content().find_tagged("a/one", "v1"));
    EXPECT_FAILS(ErrorCode::not_found, content().find_object(digest_of("m")));
    const auto nowhere = content().put_manifest(put_of("a/none", "m", {"layer"}, {"v1"}), "");
    ASSERT_GOOD(nowhere);
    EXPECT_EQ(nowhere->missing.size(), 1U);
    EXPECT_FAILS(ErrorCode::not_found, repositories().find("a/none"));
}

TEST_P(MetaStoreTest, ReferencesThatMayBeAbsentMayBe) {
    ManifestPut foreign = put_of("a/one", "m", {}, {"v1"});
    foreign.references.push_back({digest_of("foreign"), ReferenceKind::blob, true});
    put(foreign);
    EXPECT_GOOD(content().find_tagged("a/one", "v1"));
    // Once it is there it is kept like any other.
    push("a/one", {"foreign"});
    EXPECT_FAILS(ErrorCode::conflict, content().unlink_blob("a/one", digest_of("foreign"), ""));
}

TEST_P(MetaStoreTest, ChildrenOfAnIndexMustBeManifestsOfTheRepository) {
    push("a/one", {"child"});  // as a blob only
    ManifestPut index = put_of("a/one", "index", {}, {"v1"});
    index.references.push_back({digest_of("child"), ReferenceKind::manifest, false});
    EXPECT_EQ(content().put_manifest(index, "")->missing, std::vector<Digest>{digest_of("child")});
    put(put_of("a/one", "child", {}, {}));
    put(index);
    const Status refused = content().remove_manifest("a/one", digest_of("child"), "");
    ASSERT_EQ(code_of(refused), ErrorCode::conflict);
    EXPECT_NE(refused.error().message.find(digest_of("index").to_string()), std::string::npos);
    ASSERT_GOOD(content().remove_manifest("a/one", digest_of("index"), ""));
    EXPECT_FAILS(ErrorCode::not_found, content().find_tagged("a/one", "v1"));
    EXPECT_GOOD(content().remove_manifest("a/one", digest_of("child"), ""));
    EXPECT_FAILS(ErrorCode::not_found, content().remove_manifest("a/one", digest_of("child"), ""));
}

TEST_P(MetaStoreTest, ABlobReferenceMayNameAManifest) {
    put(put_of("a/one", "inner", {}, {}));
    put(put_of("a/one", "outer", {"inner"}, {}));
    EXPECT_FAILS(ErrorCode::conflict, content().remove_manifest("a/one", digest_of("inner"), ""));
}

TEST_P(MetaStoreTest, PutAgainMovesTagsOnly) {
    push("a/one", {"layer"});
    put(put_of("a/one", "m1", {"layer"}, {"v1"}));
    const Micros first_push = clock_.now();
    clock_.advance(10 * kSecond);
    put(put_of("a/one", "m2", {"layer"}, {"v1"}));
    EXPECT_EQ(content().find_tagged("a/one", "v1")->digest, digest_of("m2"));
    ManifestPut again = put_of("a/one", "m1", {"layer"}, {"v1", "v2"});
    again.manifest.generation = "00000000000000dd";
    const auto outcome = content().put_manifest(again, "");
    ASSERT_GOOD(outcome);
    EXPECT_EQ(outcome->generation_in_use, "00000000000000bb");
    EXPECT_EQ(content().find_tagged("a/one", "v1")->digest, digest_of("m1"));
    EXPECT_EQ(content().find_tagged("a/one", "v1")->pushed_at, first_push);
    EXPECT_EQ(content().list_tags("a/one", "", 10)->at(1).updated_at, clock_.now());
}

TEST_P(MetaStoreTest, PutAgainUnderAnotherTypeReplacesItsReferences) {
    push("a/one", {"layer"});
    ManifestPut opaque = put_of("a/one", "m", {}, {"v1"});
    opaque.manifest.media_type = "application/unknown";
    put(opaque);
    put(put_of("a/one", "m", {"layer"}, {}));
    EXPECT_NE(content().find_tagged("a/one", "v1")->media_type, "application/unknown");
    EXPECT_FAILS(ErrorCode::conflict, content().unlink_blob("a/one", digest_of("layer"), ""));
}

TEST_P(MetaStoreTest, TagsPageInByteOrder) {
    put(put_of("a/one", "m", {}, {"b", "a", "B", "10", "9", "a.b", "_"}));
    using Names = std::vector<std::string>;
    EXPECT_EQ(tag_names("a/one", "", 100), (Names{"10", "9", "B", "_", "a", "a.b", "b"}));
    EXPECT_EQ(tag_names("a/one", "9", 2), (Names{"B", "_"}));
    EXPECT_EQ(tag_names("a/one", "b", 2), Names{});
    EXPECT_EQ(tag_names("a/one", "", 0), Names{});
    EXPECT_FAILS(ErrorCode::not_found, content().list_tags("a/none", "", 10));
    ASSERT_GOOD(content().remove_tag("a/one", "9", ""));
    EXPECT_FAILS(ErrorCode::not_found, content().remove_tag("a/one", "9", ""));
    EXPECT_EQ(tag_names("a/one", "10", 1), (Names{"B"}));
    EXPECT_GOOD(content().find_manifest("a/one", digest_of("m")));
}

TEST_P(MetaStoreTest, ReferrersAreFilteredAndPaged) {
    const Digest subject = digest_of("subject");
    std::set<std::string> digests;
    for (int i = 0; i < 6; ++i) {
        ManifestPut referrer = put_of("a/one", "referrer" + std::to_string(i), {}, {});
        referrer.manifest.subject = subject;  // which need not exist
        referrer.manifest.artifact_type = i % 2 == 0 ? "sbom" : "signature";
        referrer.manifest.annotations_json = "{\"n\":\"" + std::to_string(i) + "\"}";
        put(referrer);
        digests.insert(referrer.manifest.digest.to_string());
    }
    put(put_of("a/one", "subject", {}, {}));
    std::vector<std::string> paged;
    while (true) {
        const auto page = content().list_referrers("a/one", subject, "", paged.empty() ? "" : paged.back(), 4);
        ASSERT_GOOD(page);
        if (page->empty()) break;
        for (const Manifest& one : *page) {
            EXPECT_EQ(one.subject, subject);
            EXPECT_EQ(one.annotations_json.substr(0, 6), "{\"n\":\"");
            paged.push_back(one.digest.to_string());
        }
    }
    EXPECT_EQ(paged, std::vector<std::string>(digests.begin(), digests.end()));
    EXPECT_EQ(content().list_referrers("a/one", subject, "sbom", "", 10)->size(), 3U);
    EXPECT_TRUE(content().list_referrers("a/one", subject, "none", "", 10)->empty());
    EXPECT_TRUE(content().list_referrers("a/none", subject, "", "", 10)->empty());
    EXPECT_GOOD(content().remove_manifest("a/one", subject, ""));  // referrers do not hold it
    EXPECT_EQ(content().list_referrers("a/one", subject, "", "", 10)->size(), 6U);
}

TEST_P(MetaStoreTest, NamesWithQuotesAndUnusualBytesAreOnlyNames) {
    const std::string odd = "x'; DROP TABLE tags; --\"\\\n\x01";
    put(put_of("a/one", "m", {}, {odd}));
    EXPECT_EQ(tag_names("a/one", "", 10), std::vector<std::string>{odd});
    const auto log = store_->changes().read(0, 100);
    ASSERT_GOOD(log);
    EXPECT_NE(log->back().row_json.find("\\\"\\\\\\u000a\\u0001"), std::string::npos) << log->back().row_json;
}

// --- uploads ---

TEST_P(MetaStoreTest, UploadAdvancesFromWhereItIs) {
    UploadStore& uploads = store_->uploads();
    Upload upload{std::string(32, 'a'),  "a/one", "id", 0, std::string("\0\xff", 2), clock_.now(),
                  clock_.now() + kSecond};
    ASSERT_GOOD(uploads.create(upload, 1000));
    EXPECT_FAILS(ErrorCode::already_exists, uploads.create(upload, 1000));
    upload.offset = 10;
    upload.hash_state = std::string("\0after", 6);
    ASSERT_GOOD(uploads.advance(upload, 0));
    EXPECT_FAILS(ErrorCode::conflict, uploads.advance(upload, 0));
    const auto loaded = uploads.load(upload.id);
    ASSERT_GOOD(loaded);
    EXPECT_EQ(loaded->offset, 10U);
    EXPECT_EQ(loaded->hash_state, upload.hash_state);
    EXPECT_EQ(loaded->account_id, "id");
    EXPECT_TRUE(uploads.list_expired(clock_.now(), 10)->empty());
    EXPECT_EQ(uploads.list_expired(clock_.now() + 2 * kSecond, 10)->size(), 1U);
    EXPECT_GOOD(uploads.remove(upload.id));
    EXPECT_GOOD(uploads.remove(upload.id));
    EXPECT_FAILS(ErrorCode::not_found, uploads.load(upload.id));
    EXPECT_FAILS(ErrorCode::not_found, uploads.advance(upload, 10));
}

// --- accounts ---

TEST_P(MetaStoreTest, AccountsAndTheirSecrets) {
    AccountStore& accounts = store_->accounts();
    const auto version = accounts.version();
    ASSERT_GOOD(version);
    ASSERT_GOOD(accounts.create({"id-1", "ann", "Ann", AccountKind::user, true, true, 5}, "hash-1", "root"));
    ASSERT_GOOD(accounts.create({"id-2", "org", "", AccountKind::organization, false, true, 0}, "", "root"));
    EXPECT_GT(*accounts.version(), *version);
    EXPECT_FAILS(ErrorCode::already_exists,
                 accounts.create({"id-3", "ann", "", AccountKind::user, false, true, 5}, "", ""));
    EXPECT_FAILS(ErrorCode::already_exists,
                 accounts.create({"id-1", "bob", "", AccountKind::user, false, true, 5}, "", ""));
    const auto ann = accounts.find("ann");
    ASSERT_GOOD(ann);
    EXPECT_TRUE(ann->is_admin);
    EXPECT_EQ(ann->created_at, 5);
    EXPECT_EQ(accounts.find_by_id("id-2")->kind, AccountKind::organization);
    EXPECT_EQ(*accounts.password_hash("id-1"), "hash-1");
    EXPECT_FAILS(ErrorCode::not_found, accounts.password_hash("id-2"));
    EXPECT_FAILS(ErrorCode::not_found, accounts.set_password_hash("id-9", "x", ""));
    const auto before = accounts.version();
    ASSERT_GOOD(accounts.set_password_hash("id-1", "hash-2", ""));
    EXPECT_GT(*accounts.version(), *before);
    EXPECT_EQ(*accounts.password_hash("id-1"), "hash-2");
    EXPECT_EQ(accounts.list("", 10)->size(), 2U);
    EXPECT_EQ(accounts.list("ann", 10)->front().name, "org");
    ASSERT_GOOD(accounts.remove("ann", ""));
    EXPECT_FAILS(ErrorCode::not_found, accounts.remove("ann", ""));
    EXPECT_FAILS(ErrorCode::not_found, accounts.find("ann"));
    EXPECT_FAILS(ErrorCode::not_found, accounts.find_by_id("id-1"));
    EXPECT_FAILS(ErrorCode::not_found, accounts.password_hash("id-1"));
}

TEST_P(MetaStoreTest, AccountsOfOthersAreMadeWithTheirOrigin) {
    AccountStore& accounts = store_->accounts();
    ASSERT_GOOD(accounts.create({"id-1", "ann", "", AccountKind::user, false, true, 5}, "hash", ""));
    const auto version = accounts.version();
    ASSERT_GOOD(accounts.create_external({"id-2", "bea", "Bea", AccountKind::user, false, true, 5}, AccountOrigin::oidc,
                                         "https://id.example#1", ""));
    EXPECT_GT(*accounts.version(), *version);
    EXPECT_EQ(accounts.find_external(AccountOrigin::oidc, "https://id.example#1")->name, "bea");
    EXPECT_EQ(*accounts.origin("id-2"), AccountOrigin::oidc);
    EXPECT_FAILS(ErrorCode::not_found, accounts.password_hash("id-2"));
    const Account dora{"id-3", "dora", "", AccountKind::user, false, true, 5};
    EXPECT_FAILS(ErrorCode::already_exists,
                 accounts.create_external(dora, AccountOrigin::oidc, "https://id.example#1", ""));
    EXPECT_FAILS(ErrorCode::not_found, accounts.find("dora"));
    ASSERT_GOOD(accounts.create_external(dora, AccountOrigin::directory, "https://id.example#1", ""));
    EXPECT_FAILS(ErrorCode::already_exists,
                 accounts.create_external({"id-4", "ann", "", AccountKind::user, false, true, 5}, AccountOrigin::oidc,
                                          "https://id.example#2", ""));
    EXPECT_FAILS(ErrorCode::not_found, accounts.find_external(AccountOrigin::oidc, "https://id.example#2"));
}

TEST_P(MetaStoreTest, TeamsThatAreFilledFromOutsideAreListedById) {
    ASSERT_GOOD(store_->accounts().create({"o-1", "acme", "", AccountKind::organization, false, true, 5}, "", ""));
    ASSERT_GOOD(store_->accounts().create({"o-2", "brew", "", AccountKind::organization, false, true, 5}, "", ""));
    TeamStore& teams = store_->teams();
    for (const auto& [id, organization, sync] : std::vector<std::tuple<std::string, std::string, std::string>>{
             {"t-3", "o-1", "{}"}, {"t-1", "o-2", "{}"}, {"t-2", "o-1", ""}, {"t-4", "o-1", "{}"}})
        ASSERT_GOOD(teams.create({id, organization, id, "", sync}, ""));
    const auto all = teams.list_synced("", 2);
    ASSERT_GOOD(all);
    ASSERT_EQ(all->size(), 2U);
    EXPECT_EQ(all->at(0).id, "t-1");
    EXPECT_EQ(all->at(1).id, "t-3");
    EXPECT_EQ(teams.list_synced("t-3", 2)->size(), 1U);
}

// --- fences, epoch ---

TEST_P(MetaStoreTest, AFenceStandsUntilReleased) {
    FenceStore& fences = store_->fences();
    const auto id = fences.raise("backup", clock_.now() + kSecond);
    ASSERT_GOOD(id);
    clock_.advance(100 * kSecond);  // expired, but nobody collected
    EXPECT_GOOD(fences.require(*id));
    EXPECT_GOOD(fences.extend(*id, clock_.now() + kSecond));
    EXPECT_GOOD(fences.release(*id));
    EXPECT_GOOD(fences.release(*id));
    EXPECT_FAILS(ErrorCode::lost, fences.require(*id));
    EXPECT_FAILS(ErrorCode::lost, fences.extend(*id, 1));
}

TEST_P(MetaStoreTest, EpochIsKept) {
    EXPECT_FAILS(ErrorCode::not_found, store_->epoch());
    const Epoch epoch{3, std::string(32, 'e'), std::string(32, 'c'), std::string(32, 'p'), 17};
    ASSERT_GOOD(store_->set_epoch(epoch));
    reopen();
    const auto read = store_->epoch();
    ASSERT_GOOD(read);
    EXPECT_EQ(read->number, 3);
    EXPECT_EQ(read->id, epoch.id);
    EXPECT_EQ(read->cluster_id, epoch.cluster_id);
    EXPECT_EQ(read->parent_cluster_id, epoch.parent_cluster_id);
    EXPECT_EQ(read->began_at, 17);
    EXPECT_EQ(store_->schema_version(), kSchemaVersion);
    EXPECT_EQ((*store_->changes().cut())->position().epoch, 3);
}

TEST_P(MetaStoreTest, TheRevisionGrowsWithEveryCommitBeforeItIsAcknowledged) {
    const auto first = store_->revision();
    ASSERT_TRUE(first) << "an engine that others write to, too, has none: tell it from this one here";
    ASSERT_TRUE(store_->repositories().create("a/b", meta::Visibility::restricted, ""));
    const auto second = store_->revision();
    EXPECT_GT(second, first);
    ASSERT_TRUE(store_->repositories().find("a/b"));
    EXPECT_EQ(store_->revision(), second) << "reading changes nothing";
    ASSERT_TRUE(store_->repositories().set_visibility("a/b", meta::Visibility::everyone, ""));
    EXPECT_GT(store_->revision(), second);
}

// --- the collector ---

class CollectorTest : public MetaStoreFixture {
  protected:
    CollectorStore& collector() { return store_->collector(); }
    std::size_t condemn() {
        std::size_t condemned = 0;
        while (true) {
            const auto step = collector().condemn(2, clock_.now());
            EXPECT_GOOD(step);
            if (!step) return condemned;
            condemned += step->condemned;
            if (step->examined < 2) return condemned;
        }
    }
    std::vector<Object> retire() {
        auto step = collector().retire(clock_.now() + 1, 100, clock_.now());
        EXPECT_GOOD(step);
        return step ? step->removals : std::vector<Object>{};
    }
    void pass_lease() { clock_.advance(2 * 3600 * kSecond); }
};

TEST_P(CollectorTest, WhatAManifestNeedsStaysAndTheRestGoes) {
    push("a/one", {"config", "layer", "waste1", "waste2", "waste3"});
    put(put_of("a/one", "m", {"config", "layer"}, {"v1"}));
    EXPECT_EQ(condemn(), 0U);  // leased
    pass_lease();
    EXPECT_EQ(condemn(), 3U);
    EXPECT_FAILS(ErrorCode::not_found, content().find_blob("a/one", digest_of("waste1")));
    EXPECT_GOOD(content().find_object(digest_of("waste1")));  // condemned
    EXPECT_EQ(retire().size(), 3U);
    EXPECT_FAILS(ErrorCode::not_found, content().find_object(digest_of("waste1")));
    EXPECT_FAILS(ErrorCode::not_found, content().link_existing("a/one", digest_of("waste1"), 0, "", ""));
    const auto due = collector().due_removals(100);
    ASSERT_GOOD(due);
    ASSERT_EQ(due->size(), 3U);
    EXPECT_EQ(due->front().generation, "00000000000000aa");
    ASSERT_GOOD(collector().removed(*due));
    EXPECT_TRUE(collector().due_removals(100)->empty());
    EXPECT_GOOD(content().find_blob("a/one", digest_of("layer")));
    EXPECT_GOOD(content().find_tagged("a/one", "v1"));

    ASSERT_GOOD(content().remove_manifest("a/one", digest_of("m"), ""));
    EXPECT_EQ(condemn(), 3U);  // the manifest's own object is one of them
    EXPECT_EQ(retire().size(), 3U);
}

TEST_P(CollectorTest, ALinkIsDroppedWhereNothingNeedsIt) {
    push("a/one", {"layer"});
    push("a/two", {"layer"});
    put(put_of("a/one", "m", {"layer"}, {}));
    pass_lease();
    EXPECT_EQ(condemn(), 0U);
    EXPECT_GOOD(content().find_blob("a/one", digest_of("layer")));
    EXPECT_FAILS(ErrorCode::not_found, content().find_blob("a/two", digest_of("layer")));
}

TEST_P(CollectorTest, WhoeverRefersToACondemnedObjectRevivesIt) {
    push("a/one", {"linked", "added", "lost"});
    put(put_of("a/one", "m", {}, {}));
    ASSERT_GOOD(content().remove_manifest("a/one", digest_of("m"), ""));
    pass_lease();
    ASSERT_EQ(condemn(), 4U);
    const Micros until = clock_.now() + 3600 * kSecond;
    ASSERT_GOOD(content().link_existing("a/one", digest_of("linked"), until, "", ""));
    EXPECT_EQ(content().add_blob("a/one", object_of("added", "00000000000000ee"), until, "", "")->generation,
              "00000000000000aa");
    ManifestPut again = put_of("a/one", "m", {"linked", "added"}, {});
    again.manifest.generation = "00000000000000ee";
    EXPECT_EQ(content().put_manifest(again, "")->generation_in_use, "00000000000000bb");
    const auto gone = retire();
    ASSERT_EQ(gone.size(), 1U);
    EXPECT_EQ(gone[0].digest, digest_of("lost"));
    for (const char* kept : {"linked", "added", "m"}) EXPECT_GOOD(content().find_blob("a/one", digest_of(kept)));
    // What is gone comes back under the new generation only.
    ASSERT_GOOD(content().add_blob("a/one", object_of("lost", "00000000000000ee"), until, "", ""));
    EXPECT_EQ(content().find_blob("a/one", digest_of("lost"))->generation, "00000000000000ee");
    EXPECT_EQ(collector().due_removals(10)->front().generation, "00000000000000aa");
}

TEST_P(CollectorTest, ALeaseSparesAlsoWhatIsCondemned) {
    push("a/one", {"layer", "other"});
    pass_lease();
    ASSERT_EQ(condemn(), 2U);
    const Digest leased[] = {digest_of("layer")};
    ASSERT_GOOD(content().renew_leases(leased, clock_.now() + kSecond));
    ASSERT_GOOD(content().renew_leases(leased, clock_.now() - kSecond));  // never shortened
    EXPECT_EQ(retire().size(), 1U);
    EXPECT_GOOD(content().link_existing("a/one", digest_of("layer"), 0, "", ""));
    EXPECT_EQ(condemn(), 0U);
    clock_.advance(2 * kSecond);
    EXPECT_EQ(condemn(), 1U);
}

TEST_P(CollectorTest, LeasesThatAreOverAreDropped) {
    push("a/one", {"a", "b", "c", "d", "e"});
    put(put_of("a/one", "m", {"a", "b", "c", "d", "e"}, {}));
    const auto leases = [&] {
        std::size_t count = 0;
        EXPECT_GOOD((*store_->changes().cut())->each_row(table(TableId::leases), [&](const Cut::Row&) -> Status {
            ++count;
            return {};
        }));
        return count;
    };
    condemn();
    EXPECT_EQ(leases(), 5U);
    pass_lease();
    condemn();
    EXPECT_EQ(leases(), 0U);
}

TEST_P(CollectorTest, AFenceStopsCollectionUntilItExpiresAndIsLostByIt) {
    push("a/one", {"layer"});
    pass_lease();
    const auto id = store_->fences().raise("backup", clock_.now() + kSecond);
    ASSERT_GOOD(id);
    EXPECT_TRUE(collector().condemn(10, clock_.now())->fenced);
    EXPECT_TRUE(collector().retire(clock_.now(), 10, clock_.now())->fenced);
    EXPECT_GOOD(store_->fences().require(*id));
    EXPECT_GOOD(content().find_blob("a/one", digest_of("layer")));
    clock_.advance(2 * kSecond);
    EXPECT_EQ(condemn(), 1U);
    EXPECT_FAILS(ErrorCode::lost, store_->fences().require(*id));
}

INSTANTIATE_TEST_SUITE_P(Engines, MetaStoreTest, all_meta_engines(), engine_name);
INSTANTIATE_TEST_SUITE_P(Engines, CollectorTest, all_meta_engines(), engine_name);

}  // namespace
}  // namespace dtr::meta
