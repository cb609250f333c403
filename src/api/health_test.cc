#include "api/test_api.h"
#include "sys/log.h"

namespace dtr::api {
namespace {

using HealthTest = ApiTest;

TEST_F(HealthTest, IsToldToEverybody) {
    for (const char* path : {"/_ping", "/health", "/load_balancer_status"}) {
        const Answer answer = ask("GET", path);
        EXPECT_EQ(answer.status, 200) << path;
        EXPECT_EQ(answer.parsed().at("Healthy").as_bool(), true);
        EXPECT_EQ(answer.parsed().at("Error").as_string(), "");
        EXPECT_EQ(answer.header("Cache-Control"), "no-store");
        EXPECT_EQ(ask("HEAD", path).status, 200);
        EXPECT_EQ(ask("POST", path).status, 405);
    }
}

TEST_F(HealthTest, TheAuthoritysCertificate) {
    const Answer answer = ask("GET", "/ca");
    EXPECT_EQ(answer.status, 200);
    EXPECT_TRUE(answer.body.starts_with("-----BEGIN CERTIFICATE-----"));
    EXPECT_EQ(answer.body.find("PRIVATE"), std::string::npos);
}

TEST_F(HealthTest, Metrics) {
    http::Request request;
    request.method = "PATCH";
    application.answered(request, {.status = 202, .sent = 7, .duration = 1000});
    request.method = "BREW";
    application.answered(request, {.status = 999});
    const Answer answer = ask("GET", "/metrics");
    EXPECT_EQ(answer.status, 200);
    EXPECT_TRUE(answer.header("Content-Type").starts_with("text/plain; version=0.0.4"));
    EXPECT_NE(answer.body.find("dtr_http_requests_total{code=\"2xx\",method=\"PATCH\"}"), std::string::npos)
        << answer.body;
    EXPECT_NE(answer.body.find("dtr_http_request_duration_seconds_bucket"), std::string::npos);
    EXPECT_NE(answer.body.find("dtr_build_info"), std::string::npos);
    EXPECT_EQ(answer.body.find("BREW"), std::string::npos) << "clients could make labels without end";
}

TEST_F(HealthTest, TheServersOwnRefusals) {
    for (const int status : {400, 408, 413, 429, 431, 500, 503}) {
        http::Request request;
        request.path = "/enzi/v0/accounts";
        http::Response response = application.refusal(request, status, "because");
        Answer answer;
        answer.status = response.status;
        answer.headers = std::move(response.headers);
        answer.body = std::move(response.body);
        EXPECT_EQ(answer.status, status);
        EXPECT_NE(answer.error(), "") << answer.body;
        EXPECT_EQ(answer.has("Retry-After"), status == 429 || status == 503) << status;
        EXPECT_FALSE(answer.has("Docker-Distribution-Api-Version")) << status;
        // Of the registry's interface, or of something that could not be read at all.
        for (const char* path : {"/v2/", "/v2/a/tags/list", ""}) {
            request.path = path;
            response = application.refusal(request, status, "because");
            const bool marked = std::any_of(response.headers.begin(), response.headers.end(), [](const auto& header) {
                return header.first == "Docker-Distribution-Api-Version" && header.second == "registry/2.0";
            });
            EXPECT_TRUE(marked) << status << ' ' << path;
        }
    }
}

TEST_F(HealthTest, ErrorsSayWhichRequestTheyAnswer) {
    const Answer plain = ask("GET", "/v2/none/here/tags/list", alice);
    EXPECT_FALSE(plain.parsed().as_object().contains("request_id")) << plain.body;
    const std::string id = "0123456789abcdef";
    const log::RequestScope scope(id);
    for (const char* path : {"/v2/none/here/tags/list", "/api/v0/audit", "/nowhere"}) {
        const Answer answer = ask("GET", path, alice);
        EXPECT_GE(answer.status, 400) << path;
        EXPECT_EQ(answer.parsed().at("request_id").as_string(), id) << path;
        EXPECT_NE(answer.error(), "") << "clients read what they always did";
    }
}

TEST_F(HealthTest, EachKindOfWorkHasItsPool) {
    const auto pool = [&](const char* method, const char* path) {
        http::Request request;
        request.method = method;
        request.path = path;
        return application.plan(request).handle_on;
    };
    const std::string blob = "/v2/a/blobs/sha256:" + std::string(64, 'a');
    EXPECT_EQ(pool("GET", blob.c_str()), http::Pool::transfer);
    EXPECT_EQ(pool("PATCH", "/v2/a/blobs/uploads/x"), http::Pool::transfer);
    EXPECT_EQ(pool("POST", "/api/v0/backup"), http::Pool::stream);
    EXPECT_EQ(pool("GET", "/enzi/v0/oidc/callback"), http::Pool::outside);
    EXPECT_EQ(pool("HEAD", blob.c_str()), http::Pool::lookup);
    EXPECT_EQ(pool("GET", "/v2/a/manifests/x"), http::Pool::lookup);
}

TEST_F(HealthTest, OnlyUnknownPasswordsAreCheckedOnThePoolOfPasswords) {
    const auto pool = [&](const std::string& authorization) {
        http::Request request;
        request.method = "GET";
        request.path = "/v2/";
        if (!authorization.empty()) request.headers.emplace_back("Authorization", authorization);
        return application.plan(request).admit_on;
    };
    EXPECT_EQ(pool(nobody), std::nullopt);
    EXPECT_EQ(pool("Bearer x"), std::nullopt);
    EXPECT_EQ(pool("Basic ???"), std::nullopt) << "refused without a hash";
    EXPECT_EQ(pool(basic("alice", "never seen")), http::Pool::password);
    EXPECT_EQ(pool(basic("alice", "dtr_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")), http::Pool::password)
        << "this is no access token, by its check digits";
    ASSERT_EQ(ask("GET", "/v2/", alice).status, 200);
    EXPECT_EQ(pool(alice), std::nullopt) << "remembered";
}

TEST_F(HealthTest, APingIsAnsweredFromMemory) {
    EXPECT_FALSE(ask("GET", "/_ping").at_once) << "nothing is known yet";
    application.start();
    Answer answer;
    for (int i = 0; i < 5000 && !answer.at_once; ++i) {
        answer = ask("GET", "/_ping");
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_TRUE(answer.at_once);
    EXPECT_EQ(answer.status, 200);
    EXPECT_TRUE(ask("HEAD", "/load_balancer_status").at_once);
    EXPECT_FALSE(ask("GET", "/health").at_once);
    EXPECT_EQ(ask("POST", "/_ping").status, 405);
}

// ---- when the metadata store fails ----

// Fails every look-up of a repository.
class BrokenRepositories final : public meta::MetaStore, public meta::RepositoryStore {
  public:
    explicit BrokenRepositories(meta::MetaStore& real, ErrorCode code) : real_(real), code_(code) {}
    meta::RepositoryStore& repositories() override { return *this; }
    meta::ContentStore& content() override { return real_.content(); }
    meta::UploadStore& uploads() override { return real_.uploads(); }
    meta::AccountStore& accounts() override { return real_.accounts(); }
    meta::ExternalAccountStore& external_accounts() override { return real_.external_accounts(); }
    meta::OrganizationStore& organizations() override { return real_.organizations(); }
    meta::TeamStore& teams() override { return real_.teams(); }
    meta::GrantStore& grants() override { return real_.grants(); }
    meta::AccountMirror& account_mirror() override { return real_.account_mirror(); }
    meta::AuditStore& audit() override { return real_.audit(); }
    meta::FailedLoginStore& failed_logins() override { return real_.failed_logins(); }
    meta::EscrowStore& escrow() override { return real_.escrow(); }
    meta::AccessTokenStore& access_tokens() override { return real_.access_tokens(); }
    meta::FenceStore& fences() override { return real_.fences(); }
    meta::ChangeLog& changes() override { return real_.changes(); }
    meta::CollectorStore& collector() override { return real_.collector(); }
    meta::ScrubStore& scrub() override { return real_.scrub(); }
    Result<meta::Epoch> epoch() override { return broken(); }
    Status set_epoch(const meta::Epoch&) override { return broken(); }
    [[nodiscard]] int schema_version() const override { return real_.schema_version(); }
    Result<meta::Repository> find(std::string_view) override { return broken(); }
    Result<meta::Repository> create(std::string_view, meta::Visibility, meta::Actor) override { return broken(); }
    Status set_visibility(std::string_view, meta::Visibility, meta::Actor) override { return broken(); }
    Status remove(std::string_view, meta::Actor) override { return broken(); }
    Result<meta::RepositorySettings> settings(meta::RepositoryId) override { return broken(); }
    Status save_settings(std::string_view, const meta::RepositorySettings&, meta::Actor) override { return broken(); }
    Result<std::vector<meta::Repository>> list(const Visible&, std::string_view, std::size_t) override {
        return broken();
    }

  private:
    tl::unexpected<Error> broken() const { return fail(code_, "the file /secret/place/dtr.sqlite is away"); }
    meta::MetaStore& real_;
    ErrorCode code_;
};

TEST_F(HealthTest, AFailingStoreIsNotMistakenForARefusal) {
    struct Case {
        ErrorCode code;
        int status;
        const char* text;
    };
    for (const Case& c :
         {Case{ErrorCode::unavailable, 503, "UNAVAILABLE"}, Case{ErrorCode::internal, 500, "UNKNOWN"}}) {
        BrokenRepositories store(world.meta(), c.code);
        const auto registry = world.registry(store, {});
        Application broken(world.services_over(*registry));
        for (const std::string& who : {nobody, alice, admin}) {
            for (const char* target :
                 {"/v2/alice/any/manifests/v1", "/v2/alice/any/tags/list", "/api/v0/repositories/alice/any",
                  "/auth/token?scope=repository:alice/any:pull"}) {
                const Answer answer = Call("GET", target).as(who).to(broken);
                EXPECT_EQ(answer.status, c.status) << target << ' ' << answer.body;
                EXPECT_EQ(answer.error(), c.text);
                EXPECT_EQ(answer.has("Retry-After"), c.status == 503);
                if (c.status == 500) {
                    EXPECT_EQ(answer.body.find("/secret/"), std::string::npos) << answer.body;
                }
            }
        }
        const Answer ping = Call("GET", "/_ping").to(broken);
        EXPECT_EQ(ping.status, 503);
        EXPECT_FALSE(ping.parsed().at("Healthy").as_bool());
    }
}

}  // namespace
}  // namespace dtr::api
