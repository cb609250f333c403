#include "http/forwarded.h"

#include <gtest/gtest.h>

namespace dtr::http {
namespace {

// Behind a balancer everybody has its address: its word on whom it speaks for counts, a client's own does not.
TEST(Forwarded, TheLastWhoIsNotTrustedIsTheClient) {
    const auto trusted = IpRanges::parse({"198.51.100.0/24"});
    ASSERT_TRUE(trusted);
    const auto client = [&](const std::vector<std::string>& lines) {
        Headers headers;
        for (const std::string& line : lines) headers.emplace_back("x-forwarded-for", line);
        const auto address = forwarded_client(*trusted, headers);
        return address ? address->text() : "";
    };
    EXPECT_EQ(client({}), "");
    EXPECT_EQ(client({",,"}), "");
    EXPECT_EQ(client({"203.0.113.9"}), "203.0.113.9");
    EXPECT_EQ(client({"1.1.1.1, 203.0.113.9"}), "203.0.113.9") << "the client's own words were believed";
    EXPECT_EQ(client({"1.1.1.1", "203.0.113.9"}), "203.0.113.9");
    EXPECT_EQ(client({"1.1.1.1, 203.0.113.9 , 198.51.100.2"}), "203.0.113.9");
    EXPECT_EQ(client({"198.51.100.7, 198.51.100.2"}), "198.51.100.7");
    EXPECT_EQ(client({"2001:db8::1"}), "2001:db8::1");
    EXPECT_EQ(client({"203.0.113.9:1234"}), "203.0.113.9");
    EXPECT_EQ(client({"[2001:db8::1]:1234"}), "2001:db8::1");
    EXPECT_EQ(client({"unknown"}), "");
    EXPECT_EQ(client({"1.1.1.1, unknown, 198.51.100.2"}), "198.51.100.2") << "as far as it can be read";
}

}  // namespace
}  // namespace dtr::http
