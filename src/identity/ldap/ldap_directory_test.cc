// Against OpenLDAP's own server.
#include "identity/ldap/ldap_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <poll.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <thread>

#include "identity/ldap/names.h"
#include "test/support/must.h"
#include "test/support/slapd.h"

namespace dtr::identity {
namespace {

using test::must;
using test::outcome;
using test::Slapd;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

constexpr int kCrowd = 1'500;

std::string dn_of(const std::string& name) {
    return "uid=" + name + ",ou=people,dc=example,dc=org";
}

std::string sample() {
    std::string out =
        "dn: ou=people,dc=example,dc=org\nobjectClass: organizationalUnit\nou: people\n\n"
        "dn: ou=crowd,dc=example,dc=org\nobjectClass: organizationalUnit\nou: crowd\n\n"
        "dn: ou=secret,dc=example,dc=org\nobjectClass: organizationalUnit\nou: secret\n\n"
        "dn: ou=groups,dc=example,dc=org\nobjectClass: organizationalUnit\nou: groups\n\n"
        "dn: ou=deep,ou=people,dc=example,dc=org\nobjectClass: organizationalUnit\nou: deep\n\n";
    out += test::person("alice") + test::person("bob") + test::person("dora", "userAccountControl: 514\n") +
           test::person("erik", "employeeType: left\n") +
           test::person("frida", "userAccountControl: 512\nuid: also-frida\n");
    out +=
        "dn: uid=gina,ou=deep,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: gina\ncn: Gina\nsn: G\n"
        "userPassword: ginas password\n\n";
    out +=
        "dn: uid=twin,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: twin\ncn: Twin\nsn: T\n"
        "userPassword: twins password\n\n"
        "dn: uid=twin,ou=deep,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: twin\ncn: Twin\nsn: T\n"
        "userPassword: twins password\n\n";
    out +=
        "dn: cn=odd\\, very (*) odd\\\\,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: odd\ncn: odd, "
        "very (*) "
        "odd\\\nsn: O\nuserPassword: odds password\n\n";
    out += "dn: cn=staff,ou=groups,dc=example,dc=org\nobjectClass: groupOfNames\ncn: staff\nmember: " + dn_of("alice") +
           "\nmember: UID=Bob, OU=People, DC=example, DC=org\nmember: cn=odd\\2C very (*) "
           "odd\\5C,ou=people,dc=example,dc=org\n\n";
    std::string everybody = "dn: cn=crowd,ou=groups,dc=example,dc=org\nobjectClass: groupOfNames\ncn: crowd\n";
    for (int i = 0; i < kCrowd; ++i) {
        const std::string name = fmt::format("user{:04}", i);
        out += fmt::format(
            "dn: uid={0},ou=crowd,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: {0}\ncn: {0}\nsn: x\n\n", name);
        everybody += fmt::format("member: uid={},ou=crowd,dc=example,dc=org\n", name);
    }
    return out + everybody + "\n";
}

class LdapDirectoryTest : public ::testing::Test {
  protected:
    static void SetUpTestSuite() { server_ = std::make_unique<Slapd>(sample()); }
    static void TearDownTestSuite() { server_.reset(); }

    static DirectorySettings settings() {
        DirectorySettings out;
        out.server_url = server_->url();
        out.reader_dn = test::kReaderDn;
        out.reader_password = Secret(test::kReaderPassword);
        out.searches.push_back({.base_dn = "ou=people,dc=example,dc=org",
                                .username_attribute = "uid",
                                .full_name_attribute = "cn",
                                .filter = "(objectClass=inetOrgPerson)",
                                .disabled_filter = "(employeeType=left)"});
        return out;
    }
    static std::unique_ptr<UserDirectory> open(const DirectorySettings& settings, const LdapOptions& options = {}) {
        return must(open_ldap_directory(settings, options));
    }
    static std::string log_in(const std::string& name, const std::string& password) {
        return outcome(open(settings())->authenticate(name, Secret(password)));
    }
    static Result<std::vector<DirectoryEntry>> everybody(const DirectorySettings& settings,
                                                         const LdapOptions& options = {}) {
        std::vector<DirectoryEntry> out;
        DTR_TRY(open(settings, options)->each_user([&](const DirectoryEntry& entry) -> Status {
            out.push_back(entry);
            return {};
        }));
        return out;
    }

    static std::unique_ptr<Slapd> server_;
};

std::unique_ptr<Slapd> LdapDirectoryTest::server_;

TEST_F(LdapDirectoryTest, APasswordIsChecked) {
    const DirectoryEntry alice = must(open(settings())->authenticate("alice", Secret("alices password")));
    EXPECT_EQ(alice.dn, dn_of("alice"));
    EXPECT_EQ(alice.key, dn_key(dn_of("alice")));
    EXPECT_EQ(alice.name, "alice");
    EXPECT_EQ(alice.full_name, "alice Example");
    EXPECT_FALSE(alice.disabled);
    EXPECT_THAT(log_in("alice", "bobs password"), StartsWith("unauthenticated"));
    EXPECT_THAT(log_in("nobody", "alices password"), StartsWith("unauthenticated"));
    EXPECT_EQ(log_in("ALICE", "alices password"), "good");
    EXPECT_EQ(log_in("gina", "ginas password"), "good");
}

// Passes everything on to the server, and counts what clients ask: each asks one thing at a time.
class CountingRelay {
  public:
    explicit CountingRelay(int server_port) : port_(test::free_port()), server_port_(server_port) {
        listener_.reset(::socket(AF_INET, SOCK_STREAM, 0));
        const sockaddr_in here = loopback(port_);
        if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&here), sizeof here) != 0 ||
            ::listen(listener_.get(), 8) != 0)
            throw std::runtime_error("the relay cannot listen");
        thread_ = std::jthread([this] { run(); });
    }
    ~CountingRelay() { ::shutdown(listener_.get(), SHUT_RDWR); }
    CountingRelay(const CountingRelay&) = delete;
    CountingRelay& operator=(const CountingRelay&) = delete;
    [[nodiscard]] std::string url() const { return "ldap://127.0.0.1:" + std::to_string(port_); }
    // How many questions the next connection asked, once it is closed.
    int take() {
        std::unique_lock lock(mutex_);
        closed_.wait(lock, [this] { return !asked_.empty(); });
        const int asked = asked_.front();
        asked_.pop_front();
        return asked;
    }

  private:
    static sockaddr_in loopback(int port) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(static_cast<std::uint16_t>(port));
        return address;
    }
    void run() {
        while (true) {
            const UniqueFd client(::accept(listener_.get(), nullptr, nullptr));
            if (client.get() < 0) return;
            const UniqueFd server(::socket(AF_INET, SOCK_STREAM, 0));
            const sockaddr_in there = loopback(server_port_);
            if (::connect(server.get(), reinterpret_cast<const sockaddr*>(&there), sizeof there) != 0) return;
            const int asked = pass_on(client.get(), server.get());
            const std::lock_guard lock(mutex_);
            asked_.push_back(asked);
            closed_.notify_all();
        }
    }
    static int pass_on(int client, int server) {
        int asked = 0;
        std::array<char, 65'536> bytes{};
        while (true) {
            std::array<pollfd, 2> both{pollfd{client, POLLIN, 0}, pollfd{server, POLLIN, 0}};
            if (::poll(both.data(), both.size(), 10'000) <= 0) return asked;
            for (const int side : {0, 1}) {
                if (both[static_cast<std::size_t>(side)].revents == 0) continue;
                const ssize_t got = ::read(side == 0 ? client : server, bytes.data(), bytes.size());
                if (got <= 0) return asked;
                if (side == 0) ++asked;
                if (::write(side == 0 ? server : client, bytes.data(), static_cast<std::size_t>(got)) != got)
                    return asked;
            }
        }
    }
    const int port_;
    const int server_port_;
    UniqueFd listener_;
    std::mutex mutex_;
    std::condition_variable closed_;
    std::deque<int> asked_;
    std::jthread thread_;
};

// Or the time would tell who is there, and in which group.
TEST_F(LdapDirectoryTest, EveryNameTakesTheSameQuestions) {
    CountingRelay relay(server_->port());
    DirectorySettings through = settings();
    through.server_url = relay.url();
    through.searches.push_back(through.searches.front());
    through.searches.back().match_group = true;
    through.searches.back().group_dn = "cn=staff,ou=groups,dc=example,dc=org";
    through.searches.back().member_attribute = "member";
    const auto directory = open(through);
    std::vector<int> asked;
    for (const char* name : {"nobody", "alice", "erik", "dora", "frida"}) {
        EXPECT_EQ(directory->authenticate(name, Secret("not their password")).error().code, ErrorCode::unauthenticated);
        asked.push_back(relay.take());
    }
    EXPECT_GE(asked[0], 6);
    EXPECT_THAT(asked, ::testing::Each(asked[0]));
}

// This server logs in a name without a password, as nobody in particular.
TEST_F(LdapDirectoryTest, AnEmptyPasswordIsNobodys) {
    for (const char* name : {"alice", "nobody", ""})
        EXPECT_THAT(log_in(name, ""), StartsWith("unauthenticated")) << name;
}

TEST_F(LdapDirectoryTest, NamesAreNotFilters) {
    for (const char* name : {"*", "al*", "*)(uid=*", "alice)(objectClass=*", "alice)(|(uid=*", "\\61lice", "alice\\",
                             "(", ")", "alice,ou=people", " ", "ali ce"})
        EXPECT_THAT(log_in(name, "alices password"), StartsWith("unauthenticated")) << name;
    EXPECT_THAT(log_in(std::string("alice\0", 6), "alices password"), StartsWith("unauthenticated"));
    EXPECT_THAT(log_in(std::string(300, 'a'), "alices password"), StartsWith("unauthenticated"));
    EXPECT_THAT(log_in("\xff\xfe", "alices password"), StartsWith("unauthenticated"));
}

TEST_F(LdapDirectoryTest, DisabledPeopleAreTurnedAway) {
    EXPECT_THAT(log_in("dora", "doras password"), AllOf(StartsWith("unauthenticated"), HasSubstr("disabled")));
    EXPECT_THAT(log_in("erik", "eriks password"), AllOf(StartsWith("unauthenticated"), HasSubstr("disabled")));
    EXPECT_EQ(log_in("frida", "fridas password"), "good");
}

TEST_F(LdapDirectoryTest, ANameThatIsNotCertainIsNoLogin) {
    EXPECT_THAT(log_in("twin", "twins password"), AllOf(StartsWith("unauthenticated"), HasSubstr("more than one")));
    EXPECT_THAT(log_in("also-frida", "fridas password"), StartsWith("unauthenticated"));  // its account is frida's
}

TEST_F(LdapDirectoryTest, OnlyThoseOfAGroup) {
    DirectorySettings only = settings();
    only.searches[0].match_group = true;
    only.searches[0].group_dn = "cn=staff,ou=groups,dc=example,dc=org";
    only.searches[0].member_attribute = "member";
    const auto directory = open(only);
    EXPECT_EQ(outcome(directory->check()), "good");
    EXPECT_EQ(outcome(directory->authenticate("bob", Secret("bobs password"))), "good");
    EXPECT_EQ(outcome(directory->authenticate("odd", Secret("odds password"))), "good");
    EXPECT_THAT(outcome(directory->authenticate("frida", Secret("fridas password"))), StartsWith("unauthenticated"));
    std::set<std::string> names;
    for (const DirectoryEntry& entry : must(everybody(only))) names.insert(entry.name);
    EXPECT_THAT(names, ElementsAre("alice", "bob", "odd"));
    only.searches[0].group_dn = "cn=nothing,ou=groups,dc=example,dc=org";
    EXPECT_THAT(outcome(open(only)->check()), StartsWith("not_found"));
    EXPECT_THAT(outcome(everybody(only)), StartsWith("not_found"));
}

TEST_F(LdapDirectoryTest, EverybodyIsSeenOnce) {
    DirectorySettings twice = settings();
    twice.searches.push_back(twice.searches[0]);
    std::multiset<std::string> names;
    std::set<std::string> disabled;
    for (const DirectoryEntry& entry : must(everybody(twice))) {
        names.insert(entry.name);
        if (entry.disabled) disabled.insert(entry.name);
    }
    EXPECT_THAT(names, ElementsAre("alice", "bob", "dora", "erik", "frida", "gina", "odd", "twin", "twin"));
    EXPECT_THAT(disabled, ElementsAre("dora", "erik"));
    twice.searches[0].subtree = twice.searches[1].subtree = false;
    EXPECT_EQ(must(everybody(twice)).size(), 7U);
}

TEST_F(LdapDirectoryTest, ManyComeInPages) {
    DirectorySettings crowd = settings();
    crowd.searches[0].base_dn = "ou=crowd,dc=example,dc=org";
    std::set<std::string> names;
    for (const DirectoryEntry& entry : must(everybody(crowd))) names.insert(entry.name);
    EXPECT_EQ(names.size(), static_cast<std::size_t>(kCrowd));
    LdapOptions small;
    small.page_size = 7;
    EXPECT_EQ(must(everybody(crowd, small)).size(), static_cast<std::size_t>(kCrowd));
    small.entries_max = 1'000;
    EXPECT_THAT(outcome(everybody(crowd, small)), AllOf(StartsWith("invalid"), HasSubstr("1000")));
    // Half of them would look as if the rest had left.
    crowd.no_paging = true;
    EXPECT_THAT(outcome(everybody(crowd)), AllOf(StartsWith("invalid"), HasSubstr("noSimplePagination")));
}

TEST_F(LdapDirectoryTest, TheCallbackMayEndIt) {
    int seen = 0;
    EXPECT_THAT(outcome(open(settings())->each_user([&](const DirectoryEntry&) -> Status {
                    ++seen;
                    return fail(ErrorCode::cancelled, "enough");
                })),
                StartsWith("cancelled"));
    EXPECT_EQ(seen, 1);
}

TEST_F(LdapDirectoryTest, MembersOfGroupsAndSearches) {
    const auto directory = open(settings());
    MemberSelection staff{.enabled = true, .group_dn = "cn=staff,ou=groups,dc=example,dc=org"};
    EXPECT_THAT(must(directory->members(staff)),
                UnorderedElementsAre(dn_key(dn_of("alice")), dn_key(dn_of("bob")),
                                     dn_key("cn=odd\\, very (*) odd\\\\,ou=people,dc=example,dc=org")));
    MemberSelection crowd{.enabled = true, .group_dn = "cn=crowd,ou=groups,dc=example,dc=org"};
    EXPECT_EQ(must(directory->members(crowd)).size(), static_cast<std::size_t>(kCrowd));
    MemberSelection left{
        .enabled = true, .by_group = false, .base_dn = "dc=example,dc=org", .filter = "(employeeType=left)"};
    EXPECT_THAT(must(directory->members(left)), ElementsAre(dn_key(dn_of("erik"))));
    MemberSelection nothing{.enabled = true, .group_dn = "cn=nothing,dc=example,dc=org"};
    EXPECT_THAT(outcome(directory->members(nothing)), StartsWith("not_found"));
}

TEST_F(LdapDirectoryTest, SettingsThatDoNotWorkSayWhichAndWhy) {
    EXPECT_EQ(outcome(open(settings())->check()), "good");
    DirectorySettings bad = settings();
    bad.reader_password = Secret("wrong");
    EXPECT_THAT(outcome(open(bad)->check()), AllOf(StartsWith("denied"), HasSubstr("readerPassword")));
    EXPECT_THAT(outcome(open(bad)->authenticate("alice", Secret("alices password"))), StartsWith("denied"));
    bad = settings();
    bad.searches[0].base_dn = "ou=nowhere,dc=example,dc=org";
    EXPECT_THAT(outcome(open(bad)->check()), AllOf(StartsWith("not_found"), HasSubstr("ou=nowhere")));
    bad.searches[0].base_dn = "ou=secret,dc=example,dc=org";
    EXPECT_THAT(outcome(open(bad)->check()), HasSubstr("ou=secret"));
    bad = settings();
    bad.searches[0].filter = "(&(uid=*)(broken)";
    EXPECT_THAT(outcome(everybody(bad)), AllOf(StartsWith("invalid"), HasSubstr("filter")));
    bad = settings();
    bad.reader_dn.clear();
    bad.reader_password = Secret();
    EXPECT_THAT(outcome(open(bad)->check()), Not(StartsWith("good")));  // this server shows nothing to nobody
}

TEST_F(LdapDirectoryTest, EncryptedAndTheServerChecked) {
    DirectorySettings tls = settings();
    tls.root_certificates = server_->ca();
    tls.server_url = server_->tls_url();
    EXPECT_EQ(outcome(open(tls)->authenticate("alice", Secret("alices password"))), "good");
    tls.server_url = server_->url();
    tls.start_tls = true;
    EXPECT_EQ(outcome(open(tls)->authenticate("alice", Secret("alices password"))), "good");
}

TEST_F(LdapDirectoryTest, AServerUnderAnotherAuthorityGetsNoPassword) {
    DirectorySettings tls = settings();
    const std::string other = must(make_authority("other CA", system_clock(), system_random())).certificate_pem;
    for (const std::string& roots : {other, std::string()}) {
        tls.root_certificates = roots;
        tls.server_url = server_->tls_url();
        tls.start_tls = false;
        EXPECT_THAT(outcome(open(tls)->check()), AllOf(StartsWith("untrusted"), HasSubstr("rootCerts")));
        tls.server_url = server_->url();
        tls.start_tls = true;
        EXPECT_THAT(outcome(open(tls)->check()), AllOf(StartsWith("untrusted"), HasSubstr("rootCerts")));
    }
    tls.skip_verify = true;
    EXPECT_EQ(outcome(open(tls)->check()), "good");
    tls.root_certificates = other + server_->ca();
    tls.skip_verify = false;
    EXPECT_EQ(outcome(open(tls)->check()), "good");
}

TEST_F(LdapDirectoryTest, ACertificateForAnotherNameIsRefused) {
    DirectorySettings tls = settings();
    tls.root_certificates = server_->ca();
    tls.server_url = server_->misnamed_url();
    EXPECT_THAT(outcome(open(tls)->check()), StartsWith("untrusted"));
}

// No LDAP behind it: where it ends tells whether TLS came about.
TEST_F(LdapDirectoryTest, OldVersionsOfTlsAreNotSpoken) {
    for (const char* version : {"-tls1_1", "-tls1_2", "-tls1_3"}) {
        const int port = test::free_port();
        const pid_t peer = test::spawn(
            {"openssl", "s_server", "-accept", fmt::format("127.0.0.1:{}", port), "-cert", server_->file("server.pem"),
             "-key", server_->file("server.key"), version, "-cipher", "ALL:@SECLEVEL=0", "-quiet", "-www"},
            server_->file("s_server.log"));
        for (int i = 0; i < 1'000 && !test::listens(port); ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        DirectorySettings tls = settings();
        tls.root_certificates = server_->ca();
        tls.server_url = fmt::format("ldaps://127.0.0.1:{}", port);
        LdapOptions hasty;
        hasty.answer_timeout_ms = 500;
        const std::string said = outcome(open(tls, hasty)->check());
        ::kill(peer, SIGKILL);
        ::waitpid(peer, nullptr, 0);
        const bool old = std::string_view(version) == "-tls1_1";
        EXPECT_THAT(said, StartsWith(old ? "untrusted" : "unavailable")) << version;
        EXPECT_EQ(said.find("nothing better than TLS1.1") != std::string::npos, old) << version << ": " << said;
    }
}

TEST_F(LdapDirectoryTest, AServerThatIsNotThere) {
    DirectorySettings gone = settings();
    gone.server_url = fmt::format("ldap://127.0.0.1:{}", test::free_port());
    EXPECT_THAT(outcome(open(gone)->check()), AllOf(StartsWith("unavailable"), HasSubstr(gone.server_url)));
    gone.server_url = fmt::format("ldaps://127.0.0.1:{}", test::free_port());
    EXPECT_THAT(outcome(open(gone)->check()), StartsWith("unavailable"));
    gone.server_url = "ldap://no-such-host.invalid";
    EXPECT_THAT(outcome(open(gone)->check()), StartsWith("unavailable"));
    gone.server_url = fmt::format("ldap://127.0.0.1:{} {}", test::free_port(), server_->url());
    EXPECT_EQ(outcome(open(gone)->check()), "good");
}

// Takes connections and never says a word.
TEST_F(LdapDirectoryTest, AServerThatIsSilent) {
    const UniqueFd listener(::socket(AF_INET, SOCK_STREAM, 0));
    const int port = test::free_port();
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(listener.get(), 8), 0);
    LdapOptions hasty;
    hasty.connect_timeout_ms = hasty.answer_timeout_ms = 300;
    DirectorySettings silent = settings();
    for (const bool start_tls : {false, true})
        for (const char* scheme : {"ldap", "ldaps"}) {
            if (start_tls && std::string_view(scheme) == "ldaps") continue;
            silent.server_url = fmt::format("{}://127.0.0.1:{}", scheme, port);
            silent.start_tls = start_tls;
            silent.root_certificates = server_->ca();
            const auto begin = std::chrono::steady_clock::now();
            EXPECT_THAT(outcome(open(silent, hasty)->check()), StartsWith("unavailable")) << scheme << start_tls;
            EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3)) << scheme << start_tls;
        }
}

TEST_F(LdapDirectoryTest, ManyAtOnce) {
    DirectorySettings tls = settings();
    tls.root_certificates = server_->ca();
    tls.server_url = server_->tls_url();
    const auto directory = open(tls);
    std::atomic<int> good{0};
    std::atomic<int> turned_away{0};
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 8; ++i)
            threads.emplace_back([&, i] {
                for (int round = 0; round < 10; ++round) {
                    const bool right = (i + round) % 2 == 0;
                    const auto answer = directory->authenticate("alice", Secret(right ? "alices password" : "wrong"));
                    if (right && answer) ++good;
                    if (!right && !answer && answer.error().code == ErrorCode::unauthenticated) ++turned_away;
                }
            });
    }
    EXPECT_EQ(good, 40);
    EXPECT_EQ(turned_away, 40);
}

TEST(LdapDirectoryRestart, WhoComesBackIsAskedAgain) {
    Slapd server("dn: ou=people,dc=example,dc=org\nobjectClass: organizationalUnit\nou: people\n\n" +
                 test::person("alice"));
    DirectorySettings settings;
    settings.server_url = server.url();
    settings.reader_dn = test::kReaderDn;
    settings.reader_password = Secret(test::kReaderPassword);
    settings.searches.push_back({.base_dn = "ou=people,dc=example,dc=org", .username_attribute = "uid"});
    const auto directory = must(open_ldap_directory(settings));
    EXPECT_EQ(outcome(directory->authenticate("alice", Secret("alices password"))), "good");
    server.stop();
    EXPECT_THAT(outcome(directory->authenticate("alice", Secret("alices password"))), StartsWith("unavailable"));
    server.start();
    EXPECT_EQ(outcome(directory->authenticate("alice", Secret("alices password"))), "good");
}

}  // namespace
}  // namespace dtr::identity
