#include "base/ip_address.h"

#include <gtest/gtest.h>

namespace dtr {
namespace {

IpAddress ip(std::string_view text) {
    const auto address = IpAddress::parse(text);
    EXPECT_TRUE(address) << text;
    return address.value_or(IpAddress());
}

TEST(IpAddress, ReadsAndWrites) {
    for (const char* text : {"192.0.2.1", "0.0.0.0", "255.255.255.255", "::", "::1", "2001:db8::1", "fe80::1:2"})
        EXPECT_EQ(ip(text).text(), text);
    EXPECT_EQ(ip("::ffff:192.0.2.1"), ip("192.0.2.1")) << "one client, however the socket calls it";
    EXPECT_EQ(ip("2001:DB8:0:0::1").text(), "2001:db8::1");
    EXPECT_TRUE(ip("192.0.2.1").is_v4());
    EXPECT_FALSE(ip("::1").is_v4());
    EXPECT_EQ(IpAddress::from_network(std::string_view("\xc0\x00\x02\x01", 4)), ip("192.0.2.1"));
    EXPECT_EQ(IpAddress::from_network("123456789012345"), std::nullopt);
}

TEST(IpAddress, RefusesWhatIsNone) {
    for (const std::string& text :
         {std::string(), std::string("1.2.3"), std::string("1.2.3.4:5"), std::string("[::1]"), std::string("fe80::1%2"),
          std::string("1.2.3.256"), std::string("01.2.3.4"), std::string(" 1.2.3.4"), std::string("1.2.3.4\0", 8),
          std::string("localhost"), std::string("1::2::3"), std::string(100, '1')})
        EXPECT_EQ(IpAddress::parse(text), std::nullopt) << text;
}

TEST(IpAddress, KnowsTheNetworkOfAClient) {
    EXPECT_EQ(network_of(ip("2001:db8:1:2:3:4:5:6")).text(), "2001:db8:1:2::");
    EXPECT_EQ(site_of(ip("2001:db8:1:2:3:4:5:6")).text(), "2001:db8:1::");
    EXPECT_EQ(network_of(ip("192.0.2.1")), ip("192.0.2.1"));
    EXPECT_EQ(site_of(ip("192.0.2.1")), ip("192.0.2.1"));
    EXPECT_EQ(ip("255.255.255.255").masked(96 + 13).text(), "255.248.0.0");
    EXPECT_EQ(ip("::1").masked(0).text(), "::");
}

TEST(IpRanges, HoldAddressesAndNetworks) {
    const auto ranges = IpRanges::parse({"192.0.2.7", "10.0.0.0/8", "2001:db8::/33", "::1"});
    ASSERT_TRUE(ranges);
    for (const char* in : {"192.0.2.7", "10.255.0.1", "2001:db8:7fff::1", "::1", "::ffff:10.1.2.3"})
        EXPECT_TRUE(ranges->contains(ip(in))) << in;
    for (const char* out : {"192.0.2.8", "11.0.0.0", "2001:db8:8000::", "::2", "::10.0.0.1"})
        EXPECT_FALSE(ranges->contains(ip(out))) << out;
    EXPECT_FALSE(IpRanges::parse({})->contains(ip("::")));
    EXPECT_TRUE(IpRanges::parse({"0.0.0.0/0"})->contains(ip("8.8.8.8")));
    EXPECT_FALSE(IpRanges::parse({"0.0.0.0/0"})->contains(ip("2001:db8::1")));
}

TEST(IpRanges, SayWhatIsWrong) {
    for (const char* text : {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08x", "::/129",
                             "10.0.0.1/8", "balancer.example", "10.0.0.0/8 ", "10.0.0.0/8/8"}) {
        const auto ranges = IpRanges::parse({"::1", text});
        ASSERT_FALSE(ranges) << text;
        EXPECT_EQ(ranges.error().code, ErrorCode::invalid);
        EXPECT_NE(ranges.error().message.find(std::string("\"") + text + '"'), std::string::npos);
    }
    EXPECT_NE(IpRanges::parse({"10.0.0.1/8"}).error().message.find("begins at 10.0.0.0"), std::string::npos);
}

}  // namespace
}  // namespace dtr
