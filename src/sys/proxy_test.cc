#include "sys/proxy.h"

#include <gtest/gtest.h>

#include <map>

namespace dtr {
namespace {

Environment environment(std::map<std::string, std::string> values) {
    return [values = std::move(values)](const char* name) -> const char* {
        const auto found = values.find(name);
        return found == values.end() ? nullptr : found->second.c_str();
    };
}

TEST(Proxy, IsTheOneOfTheScheme) {
    const auto both = environment({{"http_proxy", "plain:1"}, {"HTTPS_PROXY", "tls:2"}});
    EXPECT_EQ(proxy_for("http://registry.example/v2/", both), "plain:1");
    EXPECT_EQ(proxy_for("https://registry.example/v2/", both), "tls:2");
    EXPECT_EQ(proxy_for("https://a.example", environment({{"ALL_PROXY", "any:3"}, {"https_proxy", ""}})), "any:3");
    EXPECT_EQ(proxy_for("http://a.example", environment({{"HTTP_PROXY", "strangers:4"}})), "");
    EXPECT_EQ(proxy_for("http://a.example", environment({})), "");
}

TEST(Proxy, IsNeverBetweenUsAndLoopback) {
    const auto all = environment({{"http_proxy", "p:1"}, {"https_proxy", "p:1"}, {"all_proxy", "p:1"}});
    for (const char* url : {"http://localhost:8080/x", "https://LOCALHOST", "http://a.localhost", "http://127.0.0.1:1",
                            "https://127.8.9.1", "http://[::1]:5000/", "http://user:word@localhost/"})
        EXPECT_EQ(proxy_for(url, all), "") << url;
    for (const char* url : {"http://127.example", "http://localhost.example", "http://128.0.0.1", "http://[::2]",
                            "http://[::ffff:0:1]", "http://other/@localhost", "http://10.0.0.1"})
        EXPECT_EQ(proxy_for(url, all), "p:1") << url;
}

TEST(Proxy, NotForWhomItIsNotMeant) {
    const auto excepted = [](const char* url, const char* list) {
        return proxy_for(url, environment({{"https_proxy", "p:1"}, {"NO_PROXY", list}})).empty();
    };
    for (const auto& [url, list] :
         std::initializer_list<std::pair<const char*, const char*>>{{"https://a.example", "*"},
                                                                    {"https://a.example", "b.example, a.example"},
                                                                    {"https://a.example", "example"},
                                                                    {"https://a.EXAMPLE.", ".example"},
                                                                    {"https://example", ".example"},
                                                                    {"https://a.example:8443", "a.example:8443"},
                                                                    {"https://a.example", "a.example:443"},
                                                                    {"https://10.1.2.3", "10.0.0.0/8"},
                                                                    {"https://10.1.2.3", "10.1.2.3"},
                                                                    {"https://10.1.130.3", "10.1.128.0/17"},
                                                                    {"https://[fd00::5]:1", "fd00::/8"},
                                                                    {"https://[fd00::5]", "fd00:0::5"},
                                                                    {"https://[fd00::5]:1", "[fd00::5]:1"}})
        EXPECT_TRUE(excepted(url, list)) << url << " " << list;
    for (const auto& [url, list] :
         std::initializer_list<std::pair<const char*, const char*>>{{"https://a.example", ""},
                                                                    {"https://a.example", ","},
                                                                    {"https://bexample", "example"},
                                                                    {"https://a.example.net", "a.example"},
                                                                    {"https://a.example:8443", "a.example:443"},
                                                                    {"https://11.1.2.3", "10.0.0.0/8"},
                                                                    {"https://10.1.2.3", "10.0.0.0/x"},
                                                                    {"https://10.1.2.3", "10.0.0.0/33"},
                                                                    {"https://10.1.2.3", "2.3"},
                                                                    {"https://10.1.127.3", "10.1.128.0/17"},
                                                                    {"https://[fe00::5]", "fd00::/8"}})
        EXPECT_FALSE(excepted(url, list)) << url << " " << list;
    EXPECT_EQ(
        proxy_for("https://a.example", environment({{"https_proxy", "p:1"}, {"no_proxy", "x"}, {"NO_PROXY", "*"}})),
        "p:1");
}

TEST(Proxy, Hosts) {
    EXPECT_EQ(host_in("https://Registry.example:8443/x"), "registry.example");
    EXPECT_EQ(host_in("registry.example"), "registry.example");
    EXPECT_EQ(host_in("http://[::1]:5000"), "::1");
    EXPECT_EQ(host_in("https:///x"), "");
}

}  // namespace
}  // namespace dtr
