// Between a decision and its act, accounts change: in the transaction that acts that is noticed, and decided anew.
#include "api/acting.h"

#include "api/errors.h"
#include "api/test_api.h"

namespace dtr::api {
namespace {

class ActingTest : public ApiTest {
  protected:
    Asked asked_for(const std::string& method, const std::string& path, const std::string& authorization) {
        http::Request request;
        request.method = method;
        request.path = path;
        request.headers.emplace_back("Authorization", authorization);
        Found found = find_routes(&world.services(), method, path);
        EXPECT_EQ(found.matches.size(), 1U);
        Asked asked{world.services(), std::move(request), std::move(found.matches.front())};
        EXPECT_FALSE(identify_caller(asked));
        EXPECT_FALSE(check_access(asked));
        return asked;
    }
    meta::ContentStore& content() { return world.meta().content(); }
};

TEST_F(ActingTest, ChangedAccountsAreDecidedByAnew) {
    push_image("alice/acting", "v1", alice);
    Asked asked = asked_for("DELETE", "/v2/alice/acting/manifests/v1", alice);
    std::optional<http::Response> refused;
    int acts = 0;
    const Status removed = act(asked, refused, [&](meta::Actor actor) {
        EXPECT_TRUE(actor.account_version);
        if (acts++ == 0) must(world.accounts().set_password("bob", Secret("bob's password"), "admin"));
        return content().remove_tag("alice/acting", "v1", actor);
    });
    EXPECT_TRUE(removed) << removed.error().text();
    EXPECT_FALSE(refused);
    EXPECT_EQ(acts, 2);
}

TEST_F(ActingTest, WhoMayNoMoreDoesNotAct) {
    must(world.accounts().create_user({"zoe", "", Secret("zoe's password"), false}, "admin"));
    const std::string zoe = basic("zoe", "zoe's password");
    push_image("zoe/acting", "v1", zoe);
    for (const std::string& how : {zoe, token(zoe, "repository:zoe/acting:pull,push,delete")}) {
        Asked asked = asked_for("DELETE", "/v2/zoe/acting/manifests/v1", how);
        std::optional<http::Response> refused;
        const Status removed = act(asked, refused, [&](meta::Actor actor) {
            must(world.accounts().update("zoe", {.is_active = false}, "admin"));
            return content().remove_tag("zoe/acting", "v1", actor);
        });
        EXPECT_FALSE(removed);
        ASSERT_TRUE(refused);
        EXPECT_EQ(refused->status, 401);
        must(world.accounts().update("zoe", {.is_active = true}, "admin"));
        EXPECT_EQ(ask("HEAD", "/v2/zoe/acting/manifests/v1", zoe).status, 200);
    }
}

TEST_F(ActingTest, AccountsThatNeverRestEndInTryAgain) {
    push_image("alice/restless", "v1", alice);
    Asked asked = asked_for("DELETE", "/v2/alice/restless/manifests/v1", alice);
    std::optional<http::Response> refused;
    const Status removed = act(asked, refused, [&](meta::Actor actor) {
        must(world.accounts().set_password("bob", Secret("bob's password"), "admin"));
        return content().remove_tag("alice/restless", "v1", actor);
    });
    ASSERT_FALSE(removed);
    EXPECT_FALSE(refused);
    EXPECT_EQ(error_response(removed.error()).status, 503);
}

// What was uploaded is taken back if its pusher may push no more between the file and its row.
TEST_F(ActingTest, AStaleCloseCanBeAskedForAgainOrLeavesNothing) {
    registry::Uploads& uploads = world.services().registry.uploads();
    const std::int64_t old = must(world.meta().accounts().version());
    must(world.accounts().set_password("bob", Secret("bob's password"), "admin"));
    for (const bool again : {true, false}) {
        const std::string bytes = again ? "asked for again" : "given up";
        const Digest digest = Digest::of(bytes);
        {
            auto session = must(uploads.begin_single({"alice/stale", "", "alice", DigestAlgorithm::sha256}));
            must(session->append(bytes));
            const auto stale = session->finish(digest, {"alice", old});
            ASSERT_FALSE(stale);
            EXPECT_EQ(stale.error().code, ErrorCode::stale);
            if (again) must(session->finish(digest, "alice"));
        }
        EXPECT_EQ(ask("GET", "/v2/alice/stale/blobs/" + digest.to_string(), alice).status, again ? 200 : 404);
        EXPECT_EQ(content().find_object(digest).has_value(), again);
    }
}

}  // namespace
}  // namespace dtr::api
