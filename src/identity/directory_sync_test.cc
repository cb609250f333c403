// The rules, over the real store; the directory is a list here (the real one: identity/ldap and test/e2e/test_ldap.py).
#include "identity/directory_sync.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "identity/accounts.h"
#include "identity/authenticator.h"
#include "identity/directory_service.h"
#include "identity/fakes_test.h"
#include "identity/organizations.h"
#include "identity/passwords.h"
#include "meta/sqlite/sqlite_meta_store.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::identity {
namespace {

using meta::AccountOrigin;
using test::must;
using test::outcome;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

struct People {
    std::map<std::string, DirectoryEntry> entries;  // by DN
    std::map<std::string, std::vector<std::string>> groups;
    std::map<std::string, std::string> passwords;  // by name
    std::optional<Error> broken;
    std::size_t breaks_after = 1'000'000;
    std::atomic<int> logins = 0;
    std::vector<std::pair<std::string, std::string>> asked = {};  // names and passwords, where one asks after the other
    std::atomic<int> at_once = 0;
    std::atomic<int> at_once_max = 0;
    std::chrono::milliseconds slow{0};
};

class ListedDirectory final : public UserDirectory {
  public:
    explicit ListedDirectory(People& people) : people_(people) {}
    Status check() override { return people_.broken ? Status(fail(*people_.broken)) : Status(); }
    Result<DirectoryEntry> authenticate(std::string_view name, const Secret& password) override {
        ++people_.logins;
        people_.at_once_max = std::max(people_.at_once_max.load(), ++people_.at_once);
        std::this_thread::sleep_for(people_.slow);
        --people_.at_once;
        if (people_.broken) return fail(*people_.broken);
        if (people_.slow.count() == 0) people_.asked.emplace_back(name, password.expose());
        for (const auto& [dn, entry] : people_.entries)
            if (entry.name == name && !entry.disabled && password.expose() == people_.passwords[entry.name])
                return entry;
        return fail(ErrorCode::unauthenticated, "no");
    }
    Status each_user(const std::function<Status(const DirectoryEntry&)>& callback) override {
        std::size_t seen = 0;
        for (const auto& [dn, entry] : people_.entries) {
            if (people_.broken && seen++ >= people_.breaks_after) return fail(*people_.broken);
            DTR_TRY(callback(entry));
        }
        return people_.broken ? Status(fail(*people_.broken)) : Status();
    }
    [[nodiscard]] std::string key(std::string_view dn) const override {
        std::string out(dn);
        for (char& c : out) c = static_cast<char>(std::tolower(c));
        return out;
    }
    Result<std::vector<std::string>> members(const MemberSelection& selection) override {
        const auto group = people_.groups.find(selection.group_dn);
        if (group == people_.groups.end()) return fail(ErrorCode::not_found, "no group " + selection.group_dn);
        std::vector<std::string> keys;
        for (const std::string& dn : group->second) keys.push_back(key(dn));
        return keys;
    }

  private:
    People& people_;
};

class DirectorySyncTest : public ::testing::Test {
  protected:
    void person(const std::string& name, bool disabled = false, const std::string& dn = {}) {
        DirectoryEntry entry;
        entry.dn = dn.empty() ? "uid=" + name : dn;
        entry.key = ListedDirectory(people).key(entry.dn);
        entry.name = name;
        entry.full_name = name + " of the directory";
        entry.disabled = disabled;
        people.passwords[name] = name + "'s password";
        people.entries[entry.dn] = entry;
    }
    void group(const std::string& dn, const std::vector<std::string>& members) { people.groups[dn] = members; }

    Result<SyncReport> try_sync() {
        ListedDirectory directory(people);
        return DirectorySync(store(), version_, system_random(), [] { return false; }).run(directory, settings);
    }
    SyncReport sync() { return must(try_sync()); }

    meta::MetaStore& store() { return *store_; }
    // "alice", "alice inactive", "alice admin"; "" if there is none.
    std::string account(const std::string& name) {
        const auto found = store().accounts().find(name);
        if (!found) return "";
        return name + (found->is_admin ? " admin" : "") + (found->is_active ? "" : " inactive");
    }
    meta::Account find(const std::string& name) { return must(store().accounts().find(name)); }
    meta::Team team(const std::string& name, const std::string& group_dn) {
        if (!organizations_.find("corp")) must(organizations_.create("corp", "", "", "admin"));
        meta::Team made = must(organizations_.create_team("corp", name, "", "admin"));
        MemberSelection selection;
        selection.enabled = true;
        selection.group_dn = group_dn;
        made.sync_json = format_member_selection(selection);
        must(organizations_.update_team(made, "admin"));
        return made;
    }
    std::vector<std::string> members(const meta::Team& of) {
        std::vector<std::string> names;
        for (const auto& member : must(organizations_.team_members(of, "", 100))) names.push_back(member.account.name);
        std::sort(names.begin(), names.end());
        return names;
    }
    DirectoryService& service() {
        if (!service_) {
            service_ = std::make_unique<DirectoryService>(
                config_, store(), version_, clock_, system_random(),
                [this](const DirectorySettings&) -> Result<std::unique_ptr<UserDirectory>> {
                    return std::make_unique<ListedDirectory>(people);
                });
            must(service_->save(
                R"({"serverURL":"ldap://d","readerDN":"cn=r","readerPassword":"hush",
                    "userSearchConfigs":[{"baseDN":"dc=org","usernameAttr":"uid"}]})"));
            authenticator_.ask_also(*service_);
        }
        return *service_;
    }
    std::string log_in(const std::string& name, const std::string& password) {
        const auto done = authenticator_.authenticate(name, Secret(password), "192.0.2.1");
        return done ? done->name : to_string(done.error().code);
    }

    DirectorySyncTest() {
        must(accounts_.create_user({"admin", "", Secret("admin's password"), true}, "install"));
        person("alice");
        person("bob");
    }

    People people;
    DirectorySettings settings;
    test::TempDir directory_{test::quick_directory()};
    std::unique_ptr<meta::MetaStore> store_ =
        must(meta::open_sqlite_meta_store({directory_.path() + "/dtr.sqlite", 2}, system_clock(), system_random()));
    ManualClock clock_{1'800'000'000 * kSecond};
    FakeConfig config_;
    Passwords passwords_;
    AccountVersion version_{store_->accounts(), clock_};
    Accounts accounts_{store_->accounts(), version_, passwords_, clock_, system_random()};
    Authenticator authenticator_{store_->accounts(), version_, passwords_, clock_, system_random()};
    Organizations organizations_{store_->accounts(), store_->organizations(), store_->teams(), version_, clock_,
                                 system_random()};
    std::unique_ptr<DirectoryService> service_;
};

TEST_F(DirectorySyncTest, PeopleBecomeAccounts) {
    person("Carol");
    person("dora", true);
    const SyncReport report = sync();
    EXPECT_EQ(report.people, 4U);
    EXPECT_EQ(report.created, 3U);
    EXPECT_EQ(find("alice").full_name, "alice of the directory");
    EXPECT_EQ(must(store().accounts().origin(find("carol").id)), AccountOrigin::directory);
    EXPECT_EQ(must(store().accounts().find_external(AccountOrigin::directory, "uid=Carol")).name, "carol");
    EXPECT_EQ(account("dora"), "");  // never was here
    EXPECT_FALSE(store().accounts().password_hash(find("alice").id));
    EXPECT_FALSE(sync().changed_anything());
    people.entries["uid=alice"].full_name = "Alice Married";
    EXPECT_EQ(sync().updated, 1U);
    EXPECT_EQ(find("alice").full_name, "Alice Married");
}

TEST_F(DirectorySyncTest, WhoLeavesOrIsDisabledBecomesInactiveAndMayComeBack) {
    sync();
    people.entries.erase("uid=alice");
    people.entries["uid=bob"].disabled = true;
    person("carol");
    EXPECT_EQ(sync().deactivated, 2U);
    EXPECT_EQ(account("alice"), "alice inactive");
    EXPECT_EQ(account("bob"), "bob inactive");
    EXPECT_FALSE(sync().changed_anything());
    person("alice");
    people.entries["uid=bob"].disabled = false;
    EXPECT_EQ(sync().reactivated, 2U);
    EXPECT_EQ(account("alice"), "alice");
    EXPECT_EQ(account("bob"), "bob");
    EXPECT_FALSE(sync().changed_anything());
}

TEST_F(DirectorySyncTest, WhomAnAdministratorShutOutStaysOut) {
    sync();
    must(accounts_.update("alice", {.is_active = false}, "admin"));
    EXPECT_FALSE(sync().changed_anything());
    EXPECT_EQ(account("alice"), "alice inactive");
    must(accounts_.update("alice", {.is_active = true}, "admin"));
    EXPECT_FALSE(sync().changed_anything());
    EXPECT_EQ(account("alice"), "alice");
}

TEST_F(DirectorySyncTest, AnAnswerThatIsNotWholeChangesNothing) {
    sync();
    person("carol");
    people.entries.erase("uid=alice");
    people.broken = Error{ErrorCode::unavailable, "it went away", ""};
    for (const std::size_t after : {0U, 1U, 2U}) {
        people.breaks_after = after;
        EXPECT_THAT(outcome(try_sync()), StartsWith("unavailable"));
        EXPECT_EQ(account("alice"), "alice");
        EXPECT_EQ(account("carol"), "");
    }
    people.broken.reset();
    people.entries.clear();
    EXPECT_THAT(outcome(try_sync()), AllOf(StartsWith("refused"), HasSubstr("nobody")));
    EXPECT_EQ(account("bob"), "bob");
}

TEST_F(DirectorySyncTest, LocalAccountsAreNotTouched) {
    must(accounts_.create_user({"alice", "Alice of ours", Secret("our own password"), false}, "admin"));
    must(organizations_.create("bob", "", "", "admin"));
    const SyncReport report = sync();
    EXPECT_EQ(report.created, 0U);
    EXPECT_THAT(report.notes, ElementsAre(HasSubstr("account alice, which does not come"),
                                          HasSubstr("account bob, which does not come")));
    EXPECT_EQ(find("alice").full_name, "Alice of ours");
    EXPECT_EQ(must(store().accounts().origin(find("alice").id)), AccountOrigin::local);
    people.entries.erase("uid=alice");
    EXPECT_EQ(sync().deactivated, 0U);
}

TEST_F(DirectorySyncTest, NamesThatAreNoneAndNamesOfSeveralArePassedOver) {
    sync();
    person("no name!", false, "uid=x");
    person("", false, "uid=y");
    person("bob", false, "uid=bob,ou=other");
    const SyncReport report = sync();
    EXPECT_EQ(report.notes_total, 4U);
    EXPECT_THAT(report.notes, Contains(HasSubstr("one of 2 entries named bob")));
    EXPECT_FALSE(report.changed_anything());
    EXPECT_EQ(account("bob"), "bob");  // in doubt nobody loses anything
}

TEST_F(DirectorySyncTest, AMovedEntryKeepsItsAccountAndAReturnedNameDoesNotGetIt) {
    sync();
    const std::string id = find("alice").id;
    people.entries.erase("uid=alice");
    person("alice", false, "uid=alice,ou=moved");
    EXPECT_EQ(sync().updated, 1U);
    EXPECT_EQ(must(store().accounts().find_external(AccountOrigin::directory, "uid=alice,ou=moved")).id, id);
    people.entries.erase("uid=alice,ou=moved");
    EXPECT_EQ(sync().deactivated, 1U);
    person("alice", false, "uid=alice,ou=new");  // perhaps another Alice
    EXPECT_THAT(sync().notes, ElementsAre(HasSubstr("remove that account")));
    EXPECT_EQ(account("alice"), "alice inactive");
    must(accounts_.update("alice", {.is_active = true}, "admin"));  // says it is the same
    EXPECT_EQ(sync().updated, 1U);
    EXPECT_EQ(account("alice"), "alice");
    EXPECT_EQ(must(store().accounts().find_external(AccountOrigin::directory, "uid=alice,ou=new")).id, id);
}

TEST_F(DirectorySyncTest, ARenamedPersonKeepsTheAccount) {
    sync();
    people.entries["uid=alice"].name = "alicia";
    EXPECT_THAT(sync().notes, ElementsAre(HasSubstr("account alice keeps its name")));
    EXPECT_EQ(account("alice"), "alice");
    EXPECT_EQ(account("alicia"), "");
}

TEST_F(DirectorySyncTest, AGroupMakesAdministrators) {
    settings.administrators.enabled = true;
    settings.administrators.group_dn = "cn=root";
    group("cn=root", {"UID=Alice", "uid=stranger"});
    sync();
    EXPECT_EQ(account("alice"), "alice admin");
    EXPECT_EQ(account("bob"), "bob");
    group("cn=root", {"uid=bob"});
    sync();
    EXPECT_EQ(account("alice"), "alice");
    EXPECT_EQ(account("bob"), "bob admin");
    people.groups.clear();  // no group is not the same as nobody
    EXPECT_THAT(sync().notes, ElementsAre(HasSubstr("administrators are left")));
    EXPECT_EQ(account("bob"), "bob admin");
    must(accounts_.remove("admin", "bob"));
    group("cn=root", {});
    EXPECT_THAT(outcome(try_sync()), AllOf(StartsWith("refused"), HasSubstr("administrator")));
    EXPECT_EQ(account("bob"), "bob admin");
    settings.administrators.enabled = false;
    EXPECT_FALSE(sync().changed_anything());
}

TEST_F(DirectorySyncTest, GroupsFillTeams) {
    must(accounts_.create_user({"local", "", Secret("local's password"), false}, "admin"));
    const meta::Team devs = team("devs", "cn=devs");
    must(organizations_.set_team_member(devs, {.account = "local", .is_admin = true}, "admin"));
    group("cn=devs", {"uid=ALICE", "uid=stranger"});
    SyncReport report = sync();
    EXPECT_EQ(report.teams, 1U);
    EXPECT_EQ(report.joined, 1U);
    EXPECT_THAT(members(devs), ElementsAre("alice", "local"));
    group("cn=devs", {"uid=bob"});
    report = sync();
    EXPECT_EQ(report.joined + report.left, 2U);
    EXPECT_THAT(members(devs), ElementsAre("bob", "local"));
    EXPECT_FALSE(sync().changed_anything());
    people.groups.clear();
    EXPECT_THAT(sync().notes, ElementsAre(HasSubstr("team devs is left")));
    EXPECT_THAT(members(devs), ElementsAre("bob", "local"));
    group("cn=devs", {"uid=bob", "uid=alice"});
    people.entries["uid=bob"].disabled = true;
    sync();
    EXPECT_THAT(members(devs), ElementsAre("alice", "local"));
}

TEST_F(DirectorySyncTest, ManyPeopleInFewTransactions) {
    for (int i = 0; i < 1'200; ++i) person(fmt::format("user{:04}", i));
    std::vector<std::string> all;
    for (const auto& [dn, entry] : people.entries) all.push_back(dn);
    group("cn=all", all);
    const meta::Team everybody = team("everybody", "cn=all");
    const std::int64_t before = must(store().accounts().version());
    const SyncReport report = sync();
    EXPECT_EQ(report.created, 1'202U);
    EXPECT_EQ(report.joined, 1'202U);
    EXPECT_LT(must(store().accounts().version()) - before, 10);
    group("cn=all", {});
    EXPECT_EQ(sync().left, 1'202U);
    EXPECT_THAT(members(everybody), IsEmpty());
}

// --- logins ---

TEST_F(DirectorySyncTest, TheFirstLoginMakesTheAccount) {
    service();
    EXPECT_EQ(log_in("alice", "wrong"), "unauthenticated");
    EXPECT_EQ(account("alice"), "");
    EXPECT_EQ(log_in("alice", "alice's password"), "alice");
    EXPECT_EQ(account("alice"), "alice");
    EXPECT_EQ(must(store().accounts().find_external(AccountOrigin::directory, "uid=alice")).name, "alice");
    EXPECT_EQ(log_in("admin", "admin's password"), "admin");
    EXPECT_EQ(log_in("stranger", "alice's password"), "unauthenticated");
    EXPECT_EQ(log_in("bob", ""), "unauthenticated");
}

TEST_F(DirectorySyncTest, ALocalAccountIsNotTheDirectorys) {
    must(accounts_.create_user({"alice", "", Secret("our own password"), false}, "admin"));
    service();
    EXPECT_EQ(log_in("alice", "alice's password"), "unauthenticated");
    EXPECT_EQ(log_in("alice", "our own password"), "alice");
    EXPECT_EQ(people.logins, 1) << "after the wrong one, about nobody";
    must(organizations_.create("bob", "", "", "admin"));
    EXPECT_EQ(log_in("bob", "bob's password"), "unauthenticated");
    EXPECT_EQ(people.logins, 2);
    for (const auto& [name, password] : people.asked) {
        EXPECT_THAT(name, StartsWith("nobody-"));
        EXPECT_THAT(password, ::testing::Not(HasSubstr("password"))) << "ours are sent nowhere";
    }
}

TEST_F(DirectorySyncTest, WhoIsInactiveHereIsNotAskedFor) {
    sync();
    service();
    must(accounts_.update("alice", {.is_active = false}, "admin"));
    EXPECT_EQ(log_in("alice", "alice's password"), "unauthenticated");
    people.entries.erase("uid=bob");
    sync();
    person("bob", false, "uid=bob,ou=new");
    EXPECT_EQ(log_in("bob", "bob's password"), "unauthenticated");
    EXPECT_EQ(account("bob"), "bob inactive");
}

TEST_F(DirectorySyncTest, ADirectoryThatIsAwayIsSaidSoAndLeftAlone) {
    service();
    people.broken = Error{ErrorCode::denied, "the search account", ""};
    EXPECT_EQ(log_in("alice", "alice's password"), "unavailable");
    EXPECT_EQ(log_in("bob", "bob's password"), "unavailable");
    EXPECT_EQ(log_in("admin", "admin's password"), "admin");
    EXPECT_EQ(people.logins, 1);
    people.broken.reset();
    clock_.advance(6 * kSecond);
    EXPECT_EQ(log_in("alice", "alice's password"), "alice");
}

TEST_F(DirectorySyncTest, FewAskAtOnce) {
    service();
    people.slow = std::chrono::milliseconds(50);
    std::vector<std::jthread> threads;
    for (int i = 0; i < 6; ++i)
        threads.emplace_back([&, i] {
            (void)service().check(nullptr, i % 2 == 0 ? "alice" : "bob", Secret(i % 2 == 0 ? "alice's password" : "no"),
                                  "");
        });
    threads.clear();
    EXPECT_EQ(people.logins, 6);
    EXPECT_LE(people.at_once_max, 2);
    EXPECT_EQ(account("alice"), "alice");
}

TEST_F(DirectorySyncTest, ItsPasswordsAreNotOurs) {
    sync();
    EXPECT_THAT(outcome(accounts_.set_password("alice", Secret("a new password"), "admin")),
                AllOf(StartsWith("invalid"), HasSubstr("directory")));
}

TEST_F(DirectorySyncTest, TheServiceSynchronisesWhenAsked) {
    service().start();
    const auto ended = [&](std::uint64_t number) {
        for (int i = 0; i < 500; ++i) {
            const SyncState state = service().state();
            if (state.number >= number && !state.running && !state.waiting) return true;
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
        return false;
    };
    ASSERT_TRUE(ended(1));
    EXPECT_EQ(account("alice"), "alice");
    person("carol");
    const std::uint64_t number = must(service().request_sync()).number;
    ASSERT_TRUE(ended(number));
    EXPECT_EQ(account("carol"), "carol");
    people.broken = Error{ErrorCode::unavailable, "away", ""};
    ASSERT_TRUE(ended(must(service().request_sync()).number));
    EXPECT_TRUE(service().state().error);
    const auto events = must(store().audit().list(0, 10));
    ASSERT_EQ(events.size(), 3U);
    EXPECT_EQ(events[0].action, "directory.sync.failed");
    EXPECT_THAT(events[1].detail, HasSubstr("1 new"));
    service().stop();
}

TEST_F(DirectorySyncTest, SettingsAreKeptSecretAndCanBeTakenAway) {
    service();
    EXPECT_TRUE(must(config_.get(kDirectorySettingsKey)).secret);
    EXPECT_EQ(must(service().settings()).reader_password.expose(), "hush");
    EXPECT_EQ(outcome(service().sync()), "good");
    EXPECT_EQ(outcome(service().save("{}",
                                     [](const DirectorySettings& given) -> Status {
                                         return fail(ErrorCode::no_space, given.enabled() ? "on" : "off");
                                     })),
              "no_space: off");
    EXPECT_TRUE(must(service().settings()).enabled()) << "asked before anything is saved";
    must(service().save("{}"));
    EXPECT_FALSE(must(service().settings()).enabled());
    EXPECT_EQ(log_in("alice", "alice's password"), "unauthenticated");
    EXPECT_THAT(outcome(service().sync()), StartsWith("invalid"));
    EXPECT_THAT(outcome(service().try_login(std::nullopt, "", Secret())), StartsWith("invalid"));
    EXPECT_EQ(outcome(service().try_login(
                  R"({"serverURL":"ldap://e","userSearchConfigs":[{"baseDN":"dc=org","usernameAttr":"uid"}]})", "bob",
                  Secret("bob's password"))),
              "good");
    EXPECT_FALSE(must(service().settings()).enabled());
}

}  // namespace
}  // namespace dtr::identity
