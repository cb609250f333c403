#include "api/test_api.h"
#include "backup/seal_keys.h"

namespace dtr::api::admin {
namespace {

class RecoveryApiTest : public ApiTest {
  protected:
    static std::string body(const std::string& from, const std::string& to) {
        return json::serialize(json::object{{"from", from}, {"to", to}});
    }
    std::string now() {
        return std::string(ask("GET", "/api/v0/recovery-key", admin).parsed().as_object().at("recipient").as_string());
    }
    const std::string path = "/api/v0/recovery-key";
    const std::string next = archive::AgeIdentity::generate(system_random()).recipient().text();
};

TEST_F(RecoveryApiTest, SaysAndChangesWhatBackupsAreSealedTo) {
    const auto keys = must(backup::load_seal_keys(world.config()));
    const auto fields = ask("GET", path, admin).parsed().as_object();
    EXPECT_EQ(fields.at("recipient").as_string(), keys.recipient.text());
    EXPECT_EQ(fields.at("signer").as_string(), keys.signer.public_key().text());
    const std::string old = now();
    EXPECT_EQ(send("PUT", path, admin, body(old, next)).status, 204);
    EXPECT_EQ(now(), next);
    EXPECT_EQ(must(backup::load_seal_keys(world.config())).recipient.text(), next);
    // Told twice, because an answer was lost; and by somebody who does not know of the change.
    EXPECT_EQ(send("PUT", path, admin, body(old, next)).status, 204);
    const std::string third = archive::AgeIdentity::generate(system_random()).recipient().text();
    EXPECT_EQ(send("PUT", path, admin, body(old, third)).status, 409);
    EXPECT_EQ(now(), next);
}

TEST_F(RecoveryApiTest, OnlyForAdministratorsAndWellFormed) {
    const std::string old = now();
    for (const std::string& who : {std::string(), alice}) {
        EXPECT_NE(ask("GET", path, who).status, 200);
        EXPECT_NE(send("PUT", path, who, body(old, next)).status, 204);
    }
    for (const std::string& bad :
         {std::string("{}"), std::string("x"), body(old, "age1x"), body("", next), std::string(R"({"from":1,"to":2})")})
        EXPECT_EQ(send("PUT", path, admin, bad).status, 400) << bad;
    EXPECT_EQ(send("PUT", path, admin, std::string(20'000, ' ')).status, 413);
    EXPECT_EQ(ask("DELETE", path, admin).status, 405);
    EXPECT_EQ(now(), old);
}

}  // namespace
}  // namespace dtr::api::admin
