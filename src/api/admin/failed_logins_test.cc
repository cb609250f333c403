#include "api/test_api.h"

namespace dtr::api::admin {
namespace {

class FailedLoginsApiTest : public ApiTest {
  protected:
    void SetUp() override {
        const Micros now = system_clock().now();
        for (int i = 0; i < 1'500; ++i)
            rows_.push_back({.address = fmt::format("198.51.{}.{}", 100 + i / 256, i % 256),
                             .name = i % 2 == 0 ? "mallory" : "",
                             .first_at = now,
                             .last_at = now + i / 3,
                             .failures = i,
                             .refused = 1});
        must(world.meta().failed_logins().add(rows_));
    }
    std::vector<meta::FailedLogin> rows_;
};

TEST_F(FailedLoginsApiTest, AdministratorsReadThemPageByPage) {
    EXPECT_EQ(ask("GET", "/api/v0/failed_logins", alice).status, 403);
    EXPECT_EQ(ask("GET", "/api/v0/failed_logins", nobody).status, 401);
    std::set<std::string> addresses;
    std::string path = "/api/v0/failed_logins";
    for (int page = 0; page < 3; ++page) {
        const auto answer = ask("GET", path, admin);
        ASSERT_EQ(answer.status, 200) << answer.body;
        const auto fields = answer.parsed().as_object();
        for (const json::value& row : fields.at("failedLogins").as_array()) {
            const json::object& login = row.as_object();
            EXPECT_TRUE(addresses.insert(std::string(login.at("address").as_string())).second);
            EXPECT_EQ(login.at("refused").as_int64(), 1);
            EXPECT_TRUE(login.at("lastAt").is_string() && login.at("firstAt").is_string());
        }
        if (!fields.contains("next")) break;
        path = "/api/v0/failed_logins?after=" + std::string(fields.at("next").as_string());
    }
    EXPECT_EQ(addresses.size(), rows_.size());
    for (const char* place : {"x", "00", "7f", "312032"})
        EXPECT_EQ(ask("GET", "/api/v0/failed_logins?after=" + std::string(place), admin).status, 400) << place;
}

}  // namespace
}  // namespace dtr::api::admin
