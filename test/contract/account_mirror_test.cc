// Accounts kept in step with those of another store: what a feed says, and what becomes of tokens and grants.
#include "test/contract/meta_store_fixture.h"

namespace dtr::meta {
namespace {

// A source and a mirror of the same engine.
class AccountMirrorTest : public MetaStoreFixture {
  protected:
    AccountMirrorTest() {
        auto opened = GetParam().open(elsewhere_.path(), clock_, random_);
        if (!opened) throw std::runtime_error(opened.error().text());
        source_ = std::move(*opened);
        begin_epoch("first");
        add("id-acme", "acme", AccountKind::organization);
        add("id-rita", "rita", AccountKind::user);
        add("id-bert", "bert", AccountKind::user);
        EXPECT_GOOD(source_->teams().create({"id-readers", "id-acme", "readers", "", ""}, "root"));
        EXPECT_GOOD(source_->teams().set_member({"id-readers", "id-rita", false, false}, "root"));
    }
    void begin_epoch(const std::string& id) { EXPECT_GOOD(source_->set_epoch({1, id, "cluster", "", clock_.now()})); }
    void add(const std::string& id, const std::string& name, AccountKind kind) {
        EXPECT_GOOD(source_->accounts().create({id, name, "", kind, false, true, 1}, "", "root"));
    }
    AccountMirror& mirror() { return store_->account_mirror(); }
    AccountFeed feed() {
        const auto position = mirror().position();
        EXPECT_GOOD(position);
        auto read = read_account_feed(*source_, position ? *position : std::nullopt);
        EXPECT_GOOD(read);
        return read ? *read : AccountFeed{};
    }
    // Answers whether everything had to come.
    bool follow() {
        const AccountFeed next = feed();
        EXPECT_GOOD(mirror().apply(next));
        return next.complete;
    }
    std::vector<std::string> names() {
        std::vector<std::string> all;
        const auto list = store_->accounts().list("", 100);
        EXPECT_GOOD(list);
        if (list)
            for (const Account& account : *list) all.push_back(account.name);
        return all;
    }

    test::TempDir elsewhere_;
    std::unique_ptr<MetaStore> source_;
};

using Names = std::vector<std::string>;

TEST_P(AccountMirrorTest, BeginsWithEverythingAndGoesOnWithChanges) {
    EXPECT_TRUE(follow());
    EXPECT_EQ(names(), (Names{"acme", "bert", "rita"}));
    ASSERT_GOOD(store_->teams().find("id-acme", "readers"));
    ASSERT_GOOD(store_->organizations().find_member("id-acme", "id-rita"));

    EXPECT_TRUE(feed().changes.empty());
    add("id-olga", "olga", AccountKind::user);
    ASSERT_GOOD(source_->organizations().set_member({"id-acme", "id-olga", true, false}, "root"));
    ASSERT_GOOD(source_->accounts().remove("bert", "root"));
    const auto version = store_->accounts().version();
    EXPECT_FALSE(follow());
    EXPECT_EQ(names(), (Names{"acme", "olga", "rita"}));
    EXPECT_TRUE(store_->organizations().find_member("id-acme", "id-olga")->is_owner);
    EXPECT_GT(*store_->accounts().version(), *version) << "caches of rights must notice";
    reopen();
    EXPECT_TRUE(feed().changes.empty()) << "the position lasts";
}

TEST_P(AccountMirrorTest, TakesEverythingAnewWhenTheSourceCameBackFromABackup) {
    follow();
    begin_epoch("second");  // in which the same numbers mean other changes
    ASSERT_GOOD(source_->accounts().remove("bert", "root"));
    EXPECT_TRUE(follow());
    EXPECT_EQ(names(), (Names{"acme", "rita"}));
}

TEST_P(AccountMirrorTest, TakesEverythingAnewWhenTheLogDoesNotReachBack) {
    follow();
    ASSERT_GOOD(source_->accounts().remove("bert", "root"));
    ASSERT_GOOD(source_->changes().trim(feed().position.transaction));
    EXPECT_TRUE(follow());
    EXPECT_EQ(names(), (Names{"acme", "rita"}));
}

TEST_P(AccountMirrorTest, WhatBelongedToWhoIsGoneGoesToo) {
    follow();
    ASSERT_GOOD(repositories().create("acme/app", meta::Visibility::restricted, "root"));
    ASSERT_GOOD(store_->grants().set_repository("acme/app", {"id-readers", AccessLevel::read_only}, "root"));
    ASSERT_GOOD(store_->access_tokens().create({"token-1", "id-rita", "ci", 0, ""}, "hash", "rita"));
    ASSERT_GOOD(source_->teams().remove("id-readers", "root"));
    ASSERT_GOOD(source_->accounts().remove("rita", "root"));
    follow();
    EXPECT_TRUE(store_->grants().of_repository("acme/app")->empty());
    EXPECT_FAILS(ErrorCode::not_found, store_->access_tokens().find("hash"));
    EXPECT_GOOD(repositories().find("acme/app"));
}

TEST_P(AccountMirrorTest, AdoptsPeopleWhoHaveOtherIdsElsewhere) {
    follow();
    ASSERT_GOOD(repositories().create("acme/app", meta::Visibility::restricted, "root"));
    ASSERT_GOOD(store_->grants().set_repository("acme/app", {"id-readers", AccessLevel::read_write}, "root"));
    ASSERT_GOOD(store_->grants().set_namespace("acme", {"id-readers", AccessLevel::read_only}, "root"));
    ASSERT_GOOD(store_->access_tokens().create({"token-1", "id-rita", "ci", 0, ""}, "hash", "rita"));

    test::TempDir third;
    auto opened = GetParam().open(third.path(), clock_, random_);
    ASSERT_GOOD(opened);
    source_ = std::move(*opened);
    begin_epoch("elsewhere");
    add("new-acme", "acme", AccountKind::organization);
    add("new-rita", "rita", AccountKind::user);
    ASSERT_GOOD(source_->teams().create({"new-readers", "new-acme", "readers", "", ""}, "root"));
    ASSERT_GOOD(source_->teams().set_member({"new-readers", "new-rita", false, false}, "root"));
    ASSERT_GOOD(mirror().adopt(*read_account_feed(*source_, std::nullopt),
                               {{"id-acme", "new-acme"}, {"id-rita", "new-rita"}}, {{"id-readers", "new-readers"}}));

    EXPECT_EQ(names(), (Names{"acme", "rita"})) << "bert is not there";
    EXPECT_EQ(store_->access_tokens().find("hash")->account_id, "new-rita");
    const auto grants = store_->grants().of_account("new-rita");
    ASSERT_GOOD(grants);
    ASSERT_EQ(grants->repositories.size(), 1U);
    EXPECT_EQ(grants->repositories[0].name, "acme/app");
    EXPECT_EQ(grants->repositories[0].level, AccessLevel::read_write);
    ASSERT_EQ(grants->namespaces.size(), 1U);
    EXPECT_EQ(grants->namespaces[0].name, "acme");
    EXPECT_FALSE(follow());
}

TEST_P(AccountMirrorTest, RowsThatAreNoneChangeNothing) {
    follow();
    for (const auto& [table, row] : {std::pair{"accounts", "{}"},
                                     {"accounts", "[]"},
                                     {"accounts", "{\"id\":1}"},
                                     {"blobs", "{\"digest\":\"x\"}"},
                                     {"teams", "not json"}}) {
        AccountFeed bad;
        bad.position = {"first", 999'999};
        Change good;
        good.table = "accounts";
        good.row_json = R"({"id":"x","name":"x","full_name":"","kind":0,"is_admin":0,"is_active":1,"created_at":1})";
        Change change;
        change.table = table;
        change.row_json = row;
        bad.changes = {good, change};
        EXPECT_FAILS(ErrorCode::corrupt, mirror().apply(bad));
        EXPECT_EQ(names(), (Names{"acme", "bert", "rita"})) << table << row;
    }
    EXPECT_TRUE(feed().changes.empty()) << "the position is as it was";
}

INSTANTIATE_TEST_SUITE_P(Engines, AccountMirrorTest, all_meta_engines(), engine_name);

}  // namespace
}  // namespace dtr::meta
