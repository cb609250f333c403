#include "identity/ldap/names.h"

#include <gtest/gtest.h>

namespace dtr::identity {
namespace {

TEST(LdapNames, WhatUsersTypeIsOnlyAValue) {
    EXPECT_EQ(escape_filter_value("alice"), "alice");
    EXPECT_EQ(escape_filter_value("*)(uid=*"), "\\2a\\29\\28uid=\\2a");
    EXPECT_EQ(escape_filter_value("a\\b"), "a\\5cb");
    EXPECT_EQ(escape_filter_value(std::string("a\0b\n", 4)), "a\\00b\\0a");
    EXPECT_EQ(escape_filter_value("M\xc3\xbcller"), "M\\c3\\bcller");
    EXPECT_EQ(escape_filter_value(""), "");
}

TEST(LdapNames, SpellingsOfOneDnHaveOneKey) {
    const std::string key = dn_key("uid=alice,ou=people,dc=example,dc=org");
    for (const char* same : {"UID=Alice,OU=People,DC=Example,DC=Org", "uid=alice, ou=people, dc=example, dc=org",
                             "uid=\\61lice,ou=people,dc=example,dc=org", "uid= alice ,ou=people,dc=example,dc=org"})
        EXPECT_EQ(dn_key(same), key) << same;
    EXPECT_EQ(dn_key("cn=a+uid=b,dc=org"), dn_key("UID=B+CN=A,DC=org"));
    EXPECT_EQ(dn_key("cn=Anna  Maria,dc=org"), dn_key("cn=anna maria,dc=org"));
    EXPECT_EQ(dn_key("cn=Smith\\, John,dc=org"), dn_key("cn=Smith\\2C John,dc=org"));
    EXPECT_EQ(dn_key("cn=M\xc3\xbcller,dc=org"), dn_key("cn=M\\C3\\BCller,dc=org"));
}

TEST(LdapNames, OtherDnsHaveOtherKeys) {
    const std::string key = dn_key("uid=alice,ou=people,dc=example,dc=org");
    for (const char* other :
         {"uid=alic,ou=people,dc=example,dc=org", "uid=alice,dc=example,dc=org", "cn=alice,ou=people,dc=example,dc=org",
          "uid=alice\\,ou=people,dc=example,dc=org", "uid=alice+ou=people,dc=example,dc=org", "", "alice",
          "uid=alice,ou=people,dc=example,dc="})
        EXPECT_NE(dn_key(other), key) << other;
    EXPECT_NE(dn_key("cn=a\\,cn\\=b,dc=org"), dn_key("cn=a,cn=b,dc=org"));
    EXPECT_NE(dn_key("cn=a\\+uid\\=b,dc=org"), dn_key("cn=a+uid=b,dc=org"));
    EXPECT_NE(dn_key("not a dn"), dn_key("not a dn either"));
    EXPECT_NE(dn_key(std::string("uid=a\0,dc=org", 13)), dn_key("uid=a"));
}

TEST(LdapNames, PiecesOfLongLists) {
    const auto first = parse_value_range("member;Range=0-1499");
    ASSERT_TRUE(first && first->last);
    EXPECT_EQ(first->first, 0U);
    EXPECT_EQ(*first->last, 1499U);
    const auto last = parse_value_range("member;range=1500-*");
    ASSERT_TRUE(last);
    EXPECT_EQ(last->first, 1500U);
    EXPECT_FALSE(last->last);
    for (const char* none : {"member", "member;binary", "member;range=", "member;range=5", "member;range=5-",
                             "member;range=9-3", "member;range=a-b", "member;range=0-99999999999999999999999"})
        EXPECT_FALSE(parse_value_range(none)) << none;
}

}  // namespace
}  // namespace dtr::identity
