#include "identity/directory_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/random.h"
#include "identity/certificates.h"
#include "test/support/must.h"

namespace dtr::identity {
namespace {

using test::must;
using test::outcome;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kWhole = R"#({
  "serverURL": "ldap://directory.example.org", "noSimplePagination": true, "startTLS": true, "tlsSkipVerify": false,
  "readerDN": "cn=reader,dc=example,dc=org", "readerPassword": "hush",
  "userSearchConfigs": [{"baseDN": "ou=people,dc=example,dc=org", "scopeSubtree": false, "usernameAttr": "uid",
    "fullNameAttr": "cn", "filter": "(objectClass=person)", "disabledFilter": "(employeeType=left)", "matchGroup": true,
    "matchGroupDN": "cn=staff,dc=example,dc=org", "matchGroupMemberAttr": "uniqueMember"}],
  "adminSyncOpts": {"enableSync": true, "selectGroupMembers": true, "groupDN": "cn=root,dc=example,dc=org",
    "memberAttr": "member"},
  "syncSchedule": "@hourly"})#";

std::string with(const std::string& fields) {
    return R"({"userSearchConfigs":[{"baseDN":"dc=org","usernameAttr":"uid"}],)" + fields + "}";
}

std::string parsed(const std::string& text) {
    return outcome(parse_directory_settings(text, nullptr));
}

TEST(DirectorySettings, EveryFieldSurvives) {
    const DirectorySettings settings = must(parse_directory_settings(kWhole, nullptr));
    EXPECT_TRUE(settings.no_paging);
    EXPECT_TRUE(settings.start_tls);
    EXPECT_EQ(settings.reader_password.expose(), "hush");
    ASSERT_EQ(settings.searches.size(), 1U);
    EXPECT_FALSE(settings.searches[0].subtree);
    EXPECT_EQ(settings.searches[0].member_attribute, "uniqueMember");
    EXPECT_TRUE(settings.administrators.enabled);
    const Secret text = format_directory_settings(settings, ShowSecrets::yes);
    const DirectorySettings again = must(parse_directory_settings(text.expose(), nullptr));
    EXPECT_EQ(again.reader_password, settings.reader_password);
    EXPECT_EQ(again.searches, settings.searches);
    EXPECT_EQ(again.administrators, settings.administrators);
    EXPECT_EQ(format_directory_settings(again, ShowSecrets::yes), text);
}

TEST(DirectorySettings, ThePasswordIsNotShown) {
    const DirectorySettings settings = must(parse_directory_settings(kWhole, nullptr));
    const Secret shown = format_directory_settings(settings, ShowSecrets::no);
    EXPECT_THAT(std::string(shown.expose()), AllOf(Not(HasSubstr("hush")), Not(HasSubstr("readerPassword"))));
}

TEST(DirectorySettings, WhatIsShownCanBeGivenBackAndKeepsThePassword) {
    const DirectorySettings settings = must(parse_directory_settings(kWhole, nullptr));
    const std::string shown(format_directory_settings(settings, ShowSecrets::no).expose());
    EXPECT_EQ(must(parse_directory_settings(shown, &settings)).reader_password.expose(), "hush");
}

TEST(DirectorySettings, AnotherServerDoesNotGetThePasswordThatWasKept) {
    const DirectorySettings settings = must(parse_directory_settings(kWhole, nullptr));
    for (const auto change :
         {+[](DirectorySettings& s) { s.server_url = "ldap://elsewhere.example.org"; },
          +[](DirectorySettings& s) { s.skip_verify = true; }, +[](DirectorySettings& s) { s.start_tls = false; },
          +[](DirectorySettings& s) { s.reader_dn = "cn=other,dc=org"; }}) {
        DirectorySettings changed = settings;
        change(changed);
        const std::string shown(format_directory_settings(changed, ShowSecrets::no).expose());
        EXPECT_THAT(outcome(parse_directory_settings(shown, &settings)),
                    AllOf(StartsWith("invalid"), HasSubstr("readerPassword")));
    }
}

TEST(DirectorySettings, NoServerIsNoDirectory) {
    EXPECT_FALSE(must(parse_directory_settings("{}", nullptr)).enabled());
    EXPECT_FALSE(must(parse_directory_settings(R"({"serverURL":""})", nullptr)).enabled());
}

TEST(DirectorySettings, ServersThatCannotBe) {
    for (const char* url : {"http://x", "ldap://", "ldap:///", "ldap://a b", "ldap://a/dc=org", "ldap://a:0",
                            "ldap://a:65536", "ldap://a:", "ldap://a:x", "ldap://u@a", "ldapi:///", "ldaps://a%2fb",
                            "ldap://[::1", "ldap://[::1]x", "ldap://a:389:389", "LDAP://a"})
        EXPECT_THAT(parsed(with(fmt::format(R"("serverURL":"{}")", url))), StartsWith("invalid")) << url;
    for (const char* url : {"ldap://a", "ldap://a/", "ldap://a:389", "ldaps://a.example.org:636", "ldap://[::1]:3389",
                            "ldaps://10.0.0.1", "ldap://a ldap://b:389"})
        EXPECT_EQ(parsed(with(fmt::format(R"("serverURL":"{}")", url))), "good") << url;
    EXPECT_THAT(parsed(with(R"("serverURL":"ldaps://a","startTLS":true)")), HasSubstr("twice"));
}

TEST(DirectorySettings, WhatCannotWorkIsNamed) {
    const std::string url = R"("serverURL":"ldap://a",)";
    EXPECT_THAT(parsed("[]"), HasSubstr("not an object"));
    EXPECT_THAT(parsed("{"), HasSubstr("not JSON"));
    EXPECT_THAT(parsed(with(url + R"("serverUrl":"ldap://a")")), HasSubstr("serverUrl is not known"));
    EXPECT_THAT(parsed(with(url + R"("startTLS":"yes")")), HasSubstr("startTLS is neither"));
    EXPECT_THAT(parsed(with(url + R"("readerDN":7)")), HasSubstr("readerDN is not a string"));
    EXPECT_THAT(parsed(with(url + R"("readerDN":"cn=a\nb")")), HasSubstr("readerDN holds"));
    EXPECT_THAT(parsed(with(url + R"("readerDN":"cn=a,dc=b")")), HasSubstr("readerPassword is empty"));
    EXPECT_THAT(parsed(with(url + R"("rootCerts":"no certificate")")), HasSubstr("rootCerts holds no certificate"));
    EXPECT_THAT(parsed(R"({"serverURL":"ldap://a"})"), HasSubstr("it would find nobody"));
    EXPECT_THAT(parsed(R"({"serverURL":"ldap://a","userSearchConfigs":{}})"), HasSubstr("is not a list"));
    EXPECT_THAT(parsed(with(url + R"("adminSyncOpts":{"enableSync":true})")), HasSubstr("adminSyncOpts.groupDN"));
    EXPECT_THAT(parsed(with(url + R"("adminSyncOpts":{"enableSync":true,"selectGroupMembers":false})")),
                HasSubstr("adminSyncOpts.searchBaseDN"));
    EXPECT_THAT(parsed(with(url + R"("syncSchedule":"sometimes")")), HasSubstr("syncSchedule"));
    const std::string search = R"({"serverURL":"ldap://a","userSearchConfigs":[{"baseDN":"dc=org",)";
    EXPECT_THAT(parsed(search + R"("usernameAttr":"u)(id"}]})"), HasSubstr("userSearchConfigs[0].usernameAttr"));
    EXPECT_THAT(parsed(search + R"("usernameAttr":""}]})"), HasSubstr("userSearchConfigs[0].usernameAttr"));
    for (const char* filter : {"uid=*", "(uid=*", "(uid=*))", "(a=b)(c=d)", ")("})
        EXPECT_THAT(parsed(search + R"("usernameAttr":"uid","filter":")" + filter + "\"}]}"), HasSubstr(".filter"))
            << filter;
    EXPECT_THAT(parsed(search + R"("usernameAttr":"uid","matchGroup":true}]})"), HasSubstr("matchGroupDN"));
    EXPECT_THAT(parsed(std::string(kDirectorySettingsBytesMax + 1, ' ')), HasSubstr("KiB"));
}

TEST(DirectorySettings, RootCertificatesArePem) {
    const std::string pem = must(make_authority("x", system_clock(), system_random())).certificate_pem;
    DirectorySettings settings = must(parse_directory_settings(kWhole, nullptr));
    settings.root_certificates = pem + pem;
    const Secret text = format_directory_settings(settings, ShowSecrets::yes);
    EXPECT_EQ(must(parse_directory_settings(text.expose(), nullptr)).root_certificates, pem + pem);
}

TEST(DirectorySettings, SelectionsOfTeams) {
    const auto by_group = must(parse_member_selection(
        R"({"enableSync":true,"selectGroupMembers":true,"groupDN":"cn=a,dc=org","groupMemberAttr":"uniqueMember"})"));
    EXPECT_EQ(by_group.member_attribute, "uniqueMember");
    EXPECT_EQ(must(parse_member_selection(format_member_selection(by_group))), by_group);
    const auto by_search = must(parse_member_selection(
        R"#({"enableSync":true,"selectGroupMembers":false,"searchBaseDN":"dc=org","searchScopeSubtree":false,
             "searchFilter":"(a=b)"})#"));
    EXPECT_FALSE(by_search.subtree);
    EXPECT_EQ(must(parse_member_selection(format_member_selection(by_search))), by_search);
    EXPECT_THAT(outcome(parse_member_selection(R"({"enableSync":true})")), HasSubstr("groupDN"));
    EXPECT_THAT(outcome(parse_member_selection(R"({"enableSync":true,"groupDn":"cn=a"})")), HasSubstr("groupDn"));
    EXPECT_EQ(outcome(parse_member_selection("{}")), "good");
}

}  // namespace
}  // namespace dtr::identity
