// A backup carries every table of accounts, organizations and access, each with a row.
#include "test/restore/shared.h"

namespace dtr::test {
namespace {

void fill_identity(meta::MetaStore& meta) {
    const std::string bob = "00000000-0000-4000-8000-00000000000b";
    const std::string acme = "00000000-0000-4000-8000-00000000000c";
    const std::string team = "00000000-0000-4000-8000-00000000000d";
    must(meta.accounts().create({bob, "bob", "Bob", meta::AccountKind::user, true, false, 0}, "", "admin"));
    must(meta.accounts().set_origin(bob, meta::AccountOrigin::directory, "cn=bob", "admin"));
    must(meta.accounts().create({acme, "acme", "", meta::AccountKind::organization, false, true, 0}, "", "admin"));
    must(meta.organizations().set_member({acme, bob, true, true}, "admin"));
    must(meta.teams().create({team, acme, "builders", "who build", "{\"group\":\"cn=builders\"}"}, "admin"));
    must(meta.teams().set_member({team, bob, true, false}, "admin"));
    must(meta.repositories().create("acme/app", meta::Visibility::restricted, "admin"));
    must(meta.repositories().save_settings("acme/app", {"short", "long", true}, "admin"));
    must(meta.grants().set_repository("acme/app", {team, meta::AccessLevel::read_write}, "admin"));
    must(meta.grants().set_namespace("acme", {team, meta::AccessLevel::read_only}, "admin"));
    must(meta.access_tokens().create({"token-1", bob, "cron", 0, "backup", false, "root", "curl"}, "hash", "admin"));
    must(meta.audit().add({0, 0, "admin", "192.0.2.1", "account.create", "bob", ""}));
    must(meta.escrow().put({"age1x", "cluster", "sealed", 0}, "admin"));
}

TEST(RestoreIdentity, EveryCarriedTableComesBack) {
    const TempDir dir(quick_directory());
    const std::string from = dir.path() + "/from";
    const std::string to = dir.path() + "/to";
    must(install(from));
    std::string archive;
    Logical before;
    {
        const Site site = must(open_replica(from));
        must(fill_sample(*site));
        fill_identity(site->meta());
        archive = must(back_up(*site));
        before = must(logical(*site));
    }
    for (const meta::Table& table : meta::tables()) {
        if (table.part == meta::Part::local) continue;
        EXPECT_FALSE(before.tables[std::string(table.name)].empty()) << table.name << " is not tried here";
    }
    must(restore_into(to, archive, with_recovery_key(from)));
    const Site site = must(open_replica(to));
    EXPECT_EQ(difference(before, must(logical(*site))), "");
    const auto grants = must(site->meta().grants().of_account(must(site->accounts().find("bob")).id));
    ASSERT_EQ(grants.repositories.size(), 1U);
    EXPECT_EQ(grants.repositories[0].name, "acme/app");
    EXPECT_EQ(grants.repositories[0].level, meta::AccessLevel::read_write);
    EXPECT_EQ(must(site->meta().accounts().find_external(meta::AccountOrigin::directory, "cn=bob")).name, "bob");
    EXPECT_EQ(must(site->meta().escrow().find("age1x")).sealed, "sealed");
    const meta::AccessToken token = must(site->meta().access_tokens().find("hash"));
    EXPECT_EQ(token.scope, "backup");
    EXPECT_EQ(token.made_by, "root");
    EXPECT_FALSE(token.is_active);
    must(site->meta().audit().add({0, 0, "admin", "", "after", "", ""}));
    EXPECT_EQ(must(site->meta().audit().list(0, 1)).front().action, "after");
    must(check_whole(*site));
}

}  // namespace
}  // namespace dtr::test
