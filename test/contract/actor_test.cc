// The contract of meta/actor.h and meta/expected.h: what was decided by, and what was seen, still holds in the transaction
// that acts, or nothing happens. Every method that takes an Actor is here.
#include "test/contract/meta_store_fixture.h"

namespace dtr::meta {
namespace {

struct Act {
    const char* name;
    std::function<Status(MetaStore&, Actor)> run;
};

template <class T>
Status status_of(const Result<T>& result) {
    return result ? Status() : fail(result.error());
}

class ActorTest : public MetaStoreFixture {
  protected:
    ActorTest() {
        for (const char* name : {"bob", "eve"}) account(name, AccountKind::user);
        account("acme", AccountKind::organization);
        MetaStore& store = *store_;
        EXPECT_GOOD(store.organizations().set_member({"id-acme", "id-bob", false, false}, "ann"));
        EXPECT_GOOD(store.teams().create({"team-1", "id-acme", "core", "", ""}, "ann"));
        EXPECT_GOOD(store.teams().set_member({"team-1", "id-bob", false, false}, "ann"));
        EXPECT_GOOD(store.access_tokens().create(token("token-1"), "hash-1", "ann"));
        push("acme/app", {"layer"});
        push("acme/app", {"loose"});
        put(put_of("acme/app", "manifest", {"layer"}, {"latest"}));
    }

    Account account(const std::string& name, AccountKind kind) {
        Account made;
        made.id = "id-" + name;
        made.name = name;
        made.kind = kind;
        EXPECT_GOOD(store_->accounts().create(made, "", "ann"));
        return made;
    }
    static AccessToken token(const std::string& id) { return {id, "id-bob", "a label", 0}; }
    std::int64_t version() { return store_->accounts().version().value_or(-1); }
    std::int64_t transaction() {
        const auto cut = store_->changes().cut();
        EXPECT_GOOD(cut);
        return cut ? (*cut)->position().transaction : -1;
    }

    std::vector<Act> content_acts() {
        const Micros lease = clock_.now() + 3600 * kSecond;
        return {
            {"repository create",
             [](auto& s, auto a) {
                 return status_of(s.repositories().create("x/y", meta::Visibility::restricted, a));
             }},
            {"set_visibility",
             [](auto& s, auto a) {
                 return s.repositories().set_visibility("acme/app", meta::Visibility::everyone, a);
             }},
            {"save_settings",
             [](auto& s, auto a) {
                 return s.repositories().save_settings("acme/app", {"s", "", false}, a);
             }},
            {"link_existing",
             [=](auto& s, auto a) {
                 return status_of(s.content().link_existing("x/y", digest_of("layer"), lease, "", a));
             }},
            {"add_blob",
             [=](auto& s, auto a) { return status_of(s.content().add_blob("x/y", object_of("new"), lease, "", a)); }},
            {"put_manifest",
             [](auto& s, auto a) {
                 return status_of(s.content().put_manifest(put_of("acme/app", "two", {"layer"}, {"latest"}), a));
             }},
            {"unlink_blob", [](auto& s, auto a) { return s.content().unlink_blob("acme/app", digest_of("loose"), a); }},
            {"remove_tag", [](auto& s, auto a) { return s.content().remove_tag("acme/app", "latest", a); }},
            {"remove_manifest",
             [](auto& s, auto a) { return s.content().remove_manifest("acme/app", digest_of("manifest"), a); }},
            {"repository remove", [](auto& s, auto a) { return s.repositories().remove("acme/app", a); }},
        };
    }

    std::vector<Act> account_acts() {
        Account fresh;
        fresh.id = "id-new";
        fresh.name = "new";
        Account admin;
        admin.id = "id-bob";
        admin.name = "bob";
        admin.is_admin = true;
        return {
            {"account create", [=](auto& s, auto a) { return s.accounts().create(fresh, "h", a); }},
            {"create_external",
             [=](auto& s, auto a) { return s.accounts().create_external(fresh, AccountOrigin::oidc, "sub", a); }},
            {"account update", [=](auto& s, auto a) { return s.accounts().update(admin, a); }},
            {"set_password_hash", [](auto& s, auto a) { return s.accounts().set_password_hash("id-bob", "h", a); }},
            {"set_origin",
             [](auto& s, auto a) { return s.accounts().set_origin("id-bob", AccountOrigin::oidc, "sub2", a); }},
            {"account remove", [](auto& s, auto a) { return s.accounts().remove("bob", a); }},
            {"external put",
             [=](auto& s, auto a) {
                 const ExternalAccount one{fresh, AccountOrigin::directory, "dn"};
                 return s.external_accounts().put({&one, 1}, a);
             }},
            {"change_team",
             [](auto& s, auto a) {
                 const std::string eve = "id-eve";
                 return s.external_accounts().change_team("team-1", {&eve, 1}, {}, a);
             }},
            {"token create", [](auto& s, auto a) { return s.access_tokens().create(token("token-2"), "hash-2", a); }},
            {"token update", [](auto& s, auto a) { return s.access_tokens().update(token("token-1"), a); }},
            {"token remove", [](auto& s, auto a) { return s.access_tokens().remove("id-bob", "token-1", a); }},
        };
    }

    // In an order in which each can be done after those before it.
    std::vector<Act> organization_acts() {
        const Team core{"team-1", "id-acme", "core", "words", ""};
        const Team other{"team-2", "id-acme", "other", "", ""};
        return {
            {"set_member",
             [](auto& s, auto a) {
                 return s.organizations().set_member({"id-acme", "id-eve", true, false}, a);
             }},
            {"team create", [=](auto& s, auto a) { return s.teams().create(other, a); }},
            {"team update", [=](auto& s, auto a) { return s.teams().update(core, a); }},
            {"set team member",
             [](auto& s, auto a) {
                 return s.teams().set_member({"team-1", "id-eve", false, false}, a);
             }},
            {"repository grant",
             [](auto& s, auto a) {
                 return s.grants().set_repository("acme/app", {"team-1", AccessLevel::admin}, a);
             }},
            {"namespace grant",
             [](auto& s, auto a) {
                 return s.grants().set_namespace("acme", {"team-1", AccessLevel::admin}, a);
             }},
            {"remove team member", [](auto& s, auto a) { return s.teams().remove_member("team-1", "id-bob", a); }},
            {"remove_member", [](auto& s, auto a) { return s.organizations().remove_member("id-acme", "id-bob", a); }},
            {"team remove", [](auto& s, auto a) { return s.teams().remove("team-1", a); }},
            {"escrow",
             [](auto& s, auto a) {
                 return s.escrow().put({"age1x", "cluster", "sealed", 1}, a);
             }},
            {"audit",
             [](auto& s, auto a) {
                 return s.audit().add({0, 0, std::string(a.name), "", "key.release", "", ""}, a.account_version);
             }},
        };
    }

    std::vector<Act> all_acts() {
        std::vector<Act> all = content_acts();
        for (auto& more : {account_acts(), organization_acts()}) all.insert(all.end(), more.begin(), more.end());
        return all;
    }
};

TEST_P(ActorTest, WhatWasDecidedByChangedAccountsIsNotDone) {
    const std::int64_t decided = version();
    // Any change to accounts: somebody's password.
    ASSERT_GOOD(store_->accounts().set_password_hash("id-eve", "other", "eve"));
    ASSERT_EQ(version(), decided + 1);
    const std::int64_t before = transaction();
    const AuditEvent event{0, 0, "bob", "", "tried", "", ""};
    for (const Act& act : all_acts()) {
        SCOPED_TRACE(act.name);
        EXPECT_FAILS(ErrorCode::stale, act.run(*store_, Actor("bob", decided, &event)));
    }
    EXPECT_EQ(transaction(), before);
    EXPECT_EQ(version(), decided + 1);
    EXPECT_TRUE(store_->audit().list(0, 10)->empty());
}

TEST_P(ActorTest, WhatIsNoChangeOfAccountsMovesNothing) {
    const std::int64_t decided = version();
    push("eve/other", {"unrelated"});
    put(put_of("eve/other", "hers", {"unrelated"}, {"latest"}));
    ASSERT_GOOD(store_->access_tokens().note_use("token-1", clock_.now()));
    ASSERT_GOOD(store_->audit().add({0, 0, "eve", "", "backup.seal", "", ""}));
    ASSERT_EQ(version(), decided);
    for (const Act& act : content_acts()) {
        SCOPED_TRACE(act.name);
        EXPECT_GOOD(act.run(*store_, Actor("bob", decided)));
    }
    EXPECT_EQ(version(), decided);
}

TEST_P(ActorTest, AnActAtTheVersionOfNowIsDone) {
    for (const Act& act : organization_acts()) {
        SCOPED_TRACE(act.name);
        EXPECT_GOOD(act.run(*store_, Actor("bob", version())));
    }
}

TEST_P(ActorTest, AnAuditEventIsOfTheSameTransaction) {
    const AuditEvent event{0, 0, "bob", "192.0.2.1", "account.update", "eve", "inactive"};
    Account eve = store_->accounts().find("eve").value();
    eve.is_active = false;
    ASSERT_GOOD(store_->accounts().update(eve, Actor("bob", version(), &event)));
    const auto events = store_->audit().list(0, 10);
    ASSERT_GOOD(events);
    ASSERT_EQ(events->size(), 1U);
    EXPECT_EQ(events->front().detail, "inactive");
    const auto changes = store_->changes().read(0, 1000);
    ASSERT_GOOD(changes);
    ASSERT_GE(changes->size(), 2U);
    const Change& audit = changes->back();
    const Change& account = (*changes)[changes->size() - 2];
    EXPECT_EQ(audit.table, "audit_events");
    EXPECT_EQ(account.table, "accounts");
    EXPECT_EQ(audit.transaction, account.transaction);

    // No event of what did not happen.
    EXPECT_FAILS(ErrorCode::not_found, store_->accounts().remove("nobody", Actor("bob", version(), &event)));
    EXPECT_EQ(store_->audit().list(0, 10)->size(), 1U);
}

TEST_P(ActorTest, ATagIsMovedOnlyIfItIsWhatTheClientSaw) {
    const auto put_if = [&](const std::string& text, const std::vector<std::string>& tags, Expected expected) {
        ManifestPut put = put_of("acme/app", text, {"layer"}, tags);
        put.expected = std::move(expected);
        return content().put_manifest(put, "ann");
    };
    const Expected absent{std::nullopt, Expected::Digests{true}};
    const Expected present{Expected::Digests{true}};
    const auto is = [](const std::string& text) { return Expected{Expected::Digests{false, {digest_of(text)}}}; };
    const auto is_not = [](const std::string& text) {
        return Expected{std::nullopt, Expected::Digests{false, {digest_of(text)}}};
    };

    EXPECT_FAILS(ErrorCode::precondition_failed, put_if("two", {"latest"}, absent));
    EXPECT_FAILS(ErrorCode::precondition_failed, put_if("two", {"latest"}, is("another")));
    EXPECT_FAILS(ErrorCode::precondition_failed, put_if("two", {"new"}, present));
    EXPECT_FAILS(ErrorCode::precondition_failed, put_if("two", {"latest"}, is_not("manifest")));
    EXPECT_FAILS(ErrorCode::not_found, content().find_manifest("acme/app", digest_of("two")));
    EXPECT_GOOD(put_if("two", {"new"}, absent));
    EXPECT_GOOD(put_if("two", {"latest"}, is("manifest")));
    EXPECT_FAILS(ErrorCode::precondition_failed, put_if("three", {"latest"}, is("manifest")));
    EXPECT_EQ(content().find_tagged("acme/app", "latest")->digest, digest_of("two"));
    EXPECT_GOOD(put_if("three", {"latest"}, is_not("manifest")));

    // Without a tag it is of the manifest itself.
    EXPECT_FAILS(ErrorCode::precondition_failed, put_if("three", {}, absent));
    EXPECT_GOOD(put_if("four", {}, absent));
    EXPECT_GOOD(put_if("four", {}, present));
    EXPECT_FAILS(ErrorCode::precondition_failed, put_if("five", {}, present));

    EXPECT_FAILS(ErrorCode::precondition_failed, content().remove_tag("acme/app", "latest", is("two"), "ann"));
    EXPECT_FAILS(ErrorCode::not_found, content().remove_tag("acme/app", "none", is("two"), "ann"));
    EXPECT_GOOD(content().remove_tag("acme/app", "latest", is("three"), "ann"));
}

INSTANTIATE_TEST_SUITE_P(Engines, ActorTest, all_meta_engines(), engine_name);

}  // namespace
}  // namespace dtr::meta
