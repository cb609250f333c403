// The whole HTTP interface over a real replica, without sockets: requests go straight to the handler, and bodies through
// the same sinks and sources as in the server.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/application.h"
#include "api/caller.h"
#include "backup/seal_keys.h"
#include "base/encoding.h"
#include "blob/fs/fs_blob_store.h"
#include "config/file/file_config_store.h"
#include "http/wire.h"
#include "identity/certificates.h"
#include "identity/oidc/provider_fake_test.h"
#include "meta/sqlite/sqlite_meta_store.h"
#include "sys/disk.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::api {

namespace json = boost::json;
using test::must;

struct Answer {
    int status = 0;
    http::Headers headers;
    std::string body;
    std::uint64_t length = 0;  // as Content-Length would say
    bool broken = false;       // the body ended in an error
    bool at_once = false;      // from memory, on what would be an I/O thread

    [[nodiscard]] std::string header(std::string_view name) const {
        for (const auto& [key, value] : headers)
            if (http::equal_no_case(key, name)) return value;
        return {};
    }
    [[nodiscard]] bool has(std::string_view name) const { return http::has_header(headers, name); }
    [[nodiscard]] std::vector<std::string> all(std::string_view name) const {
        std::vector<std::string> values;
        for (const auto& [key, value] : headers)
            if (http::equal_no_case(key, name)) values.push_back(value);
        return values;
    }
    // Lives as long as the answer.
    [[nodiscard]] const json::value& parsed() const {
        if (!parsed_) {
            boost::system::error_code error;
            parsed_ = std::make_shared<const json::value>(json::parse(body, error));
            EXPECT_FALSE(error) << body;
        }
        return *parsed_;
    }
    // The code of the specification's error body, whose shape is checked; "" if it is none.
    [[nodiscard]] std::string error() const {
        if (header("Content-Type") != "application/json") return "";
        boost::system::error_code failed;
        const auto value = json::parse(body, failed);
        const auto* fields = failed ? nullptr : value.if_object();
        const auto* errors = fields == nullptr ? nullptr : fields->if_contains("errors");
        const std::size_t known = fields != nullptr && fields->contains("request_id") ? 2 : 1;
        if (errors == nullptr || fields->size() != known || !errors->is_array() || errors->get_array().size() != 1)
            return "";
        const auto* only = errors->get_array()[0].if_object();
        if (only == nullptr) return "";
        for (const auto& member : *only)
            if (member.key() != "code" && member.key() != "message" && member.key() != "detail") return "";
        const auto* code = only->if_contains("code");
        const auto* message = only->if_contains("message");
        if (code == nullptr || !code->is_string() || message == nullptr || !message->is_string()) return "";
        if (message->get_string().empty()) return "";
        const std::string text(code->get_string());
        return text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == std::string::npos ? text : "";
    }

  private:
    mutable std::shared_ptr<const json::value> parsed_;
};

// Under the name of a client's request: its method and target, and what it adds.
class Call {
  public:
    Call(std::string method, const std::string& target) {
        const std::size_t mark = target.find('?');
        request_.method = std::move(method);
        request_.path = must(percent_decode(target.substr(0, mark)));
        if (mark != std::string::npos) request_.query = target.substr(mark + 1);
        request_.peer = "192.0.2.1";
        request_.headers.emplace_back("Host", "registry.test");
    }
    Call& with(std::string name, std::string value) {
        request_.headers.emplace_back(std::move(name), std::move(value));
        return *this;
    }
    Call& as(const std::string& authorization) {
        return authorization.empty() ? *this : with("Authorization", authorization);
    }
    Call& from(std::string peer) {
        request_.peer = std::move(peer);
        return *this;
    }
    Call& through(std::string proxy) {
        request_.proxy = std::move(proxy);
        return *this;
    }
    Call& over_tls() {
        request_.tls = true;
        return *this;
    }
    // With Content-Length; also of an empty body.
    Call& body(std::string bytes) {
        request_.content_length = bytes.size();
        request_.has_body = !bytes.empty();
        body_ = std::move(bytes);
        return *this;
    }
    // With chunked coding.
    Call& stream(std::string bytes) {
        request_.content_length.reset();
        request_.has_body = true;
        body_ = std::move(bytes);
        return *this;
    }
    // Only so many bytes of the body arrive.
    Call& vanish_after(std::size_t bytes) {
        vanish_after_ = bytes;
        return *this;
    }

    // As the server asks: first for what can be answered at once, then for who asks.
    [[nodiscard]] Answer to(Application& application) const {
        if (auto response = application.try_now(request_)) {
            Answer answer = taken(std::move(*response));
            answer.at_once = true;
            return answer;
        }
        http::Request request = request_;
        if (application.plan(request).admit_on)
            if (auto response = application.admit(request)) return taken(std::move(*response));
        http::Reply reply = application.handle(std::move(request));
        if (auto* sink = std::get_if<std::unique_ptr<http::BodySink>>(&reply)) {
            EXPECT_TRUE(request_.has_body) << "a sink for a request without a body";
            constexpr std::size_t kPiece = 4096;
            bool wanted = true;
            for (std::size_t at = 0; wanted && at < std::min(body_.size(), vanish_after_); at += kPiece)
                wanted = (*sink)->write(std::string_view(body_).substr(at, std::min(kPiece, vanish_after_ - at)));
            if (vanish_after_ < body_.size()) return {};
            return taken((*sink)->finish());
        }
        return taken(std::get<http::Response>(std::move(reply)));
    }

  private:
    // As the session frames it.
    [[nodiscard]] Answer taken(http::Response response) const {
        Answer answer;
        answer.status = response.status;
        answer.headers = std::move(response.headers);
        const bool head = request_.method == "HEAD";
        const bool bodiless = response.status == 204 || response.status == 304;
        if (response.source && !head) {
            std::string buffer(64U << 10, '\0');
            while (true) {
                const auto got = response.source->read(buffer.data(), buffer.size());
                answer.broken = !got;
                if (!got || *got == 0) break;
                answer.body.append(buffer, 0, *got);
            }
            if (response.content_length) {
                EXPECT_EQ(*response.content_length, answer.body.size());
            }
            answer.length = answer.body.size();
            return answer;
        }
        answer.length = head && response.content_length ? *response.content_length : response.text().size();
        if (!head && !bodiless) answer.body = response.text();
        return answer;
    }

    http::Request request_;
    std::string body_;
    std::size_t vanish_after_ = std::string::npos;
};

inline std::string basic(std::string_view name, std::string_view password) {
    return "Basic " + base64_encode(fmt::format("{}:{}", name, password));
}

inline constexpr const char* kAdminPassword = "correct horse battery staple";
inline constexpr const char* kReplicaId = "0123456789ab";

// One replica for all tests, put together by hand: users admin, alice and bob; each test pushes into repositories of its
// own.
class World {
  public:
    static World& get() {
        static World world;
        return world;
    }

    [[nodiscard]] const std::string& path() const { return directory_.path(); }
    meta::MetaStore& meta() { return *meta_; }
    config::ConfigStore& config() { return *config_; }
    identity::Accounts& accounts() { return accounts_; }
    identity::TokenService& tokens() { return *tokens_; }
    identity::oidc::MemoryProvider& provider() { return provider_; }
    Services& services() { return *services_; }
    Application& application() { return *application_; }
    // The same stores under another metadata store or other settings.
    std::unique_ptr<registry::Registry> registry(meta::MetaStore& meta, registry::Settings settings) {
        return std::make_unique<registry::Registry>(registry::Context{meta, *blobs_, system_clock(), system_random(),
                                                                      settings, Secret("of the whole cluster")});
    }
    // Everything else as it is.
    Services services_over(registry::Registry& registry) {
        const Services& s = *services_;
        return {registry,        s.audit,   s.failed_logins, s.accounts,      s.access_tokens,
                s.authenticator, s.tokens,  s.policy,        s.organizations, s.sign_in,
                s.admission,     s.config,  s.backups,       s.settings,      s.confirm_restore,
                s.clock,         s.version, s.replica_id,    s.ca_pem,        s.external_url};
    }

    const std::string admin = basic("admin", kAdminPassword);
    const std::string alice = basic("alice", "alice's password");
    const std::string bob = basic("bob", "bob's password");

  private:
    World() {
        registry::Settings settings;
        settings.free_bytes_reserve = 0;
        registry_ = registry(*meta_, settings);
        must(meta_->set_epoch({1, std::string(32, 'e'), std::string(32, 'c'), "", system_clock().now()}));
        const auto authority = must(identity::make_authority("test", system_clock(), system_random()));
        const auto signer = archive::SigningKey::generate(system_random());
        const auto recovery = archive::AgeIdentity::generate(system_random());
        must(config_->apply(backup::first_seal_keys(signer, 1, recovery.recipient(), system_random())));
        must(config_->apply({{"ca/root.key", authority.key_pem, true, std::nullopt}}));
        identity::TokenService::Options options;
        options.epoch_id = std::string(32, 'e');
        tokens_ = must(identity::TokenService::open(*config_, system_clock(), system_random(), options,
                                                    &meta_->accounts(), &version_, &meta_->access_tokens()));
        backups_ = std::make_unique<backup::BackupService>(
            backup::BackupSource{*meta_, *blobs_, *config_, real_disk(), system_clock(), system_random(), kReplicaId,
                                 "0.1.0-test", directory_.path()});
        must(accounts_.create_user({"admin", "Administrator", Secret(kAdminPassword), true}, "install"));
        for (const char* name : {"alice", "bob"})
            must(accounts_.create_user({name, name, Secret(std::string(name) + "'s password"), false}, "admin"));
        settings_ = must(cluster::SettingsService::open(*config_, {}));
        access_tokens_ = std::make_unique<identity::AccessTokens>(meta_->accounts(), meta_->access_tokens(), version_,
                                                                  system_random());
        authenticator_.accept_tokens(meta_->access_tokens());
        admission_ = std::make_unique<identity::oidc::Admission>(*meta_, accounts_, *access_tokens_, version_,
                                                                 system_clock(), system_random());
        services_.reset(new Services{*registry_,
                                     meta_->audit(),
                                     failed_logins_,
                                     accounts_,
                                     *access_tokens_,
                                     authenticator_,
                                     *tokens_,
                                     policy_,
                                     organizations_,
                                     *sign_in_,
                                     *admission_,
                                     *config_,
                                     *backups_,
                                     *settings_,
                                     [] { return Status(); },
                                     system_clock(),
                                     "0.1.0-test",
                                     kReplicaId,
                                     authority.certificate_pem,
                                     "",
                                     {}});
        application_ = std::make_unique<Application>(*services_);
    }

    test::TempDir directory_{test::quick_directory()};
    std::unique_ptr<meta::MetaStore> meta_ =
        must(meta::open_sqlite_meta_store({directory_.path() + "/dtr.sqlite", 4}, system_clock(), system_random()));
    std::unique_ptr<blob::BlobStore> blobs_ =
        must(blob::open_fs_blob_store(real_disk(), directory_.path() + "/registry"));
    std::unique_ptr<config::ConfigStore> config_ =
        must(config::open_file_config_store(real_disk(), {directory_.path() + "/config", directory_.path() + "/ca"}));
    std::unique_ptr<registry::Registry> registry_;
    identity::Passwords passwords_;
    identity::AccountVersion version_{meta_->accounts(), system_clock()};
    identity::Accounts accounts_{meta_->accounts(), version_, passwords_, system_clock(), system_random()};
    identity::Authenticator authenticator_{meta_->accounts(), version_, passwords_, system_clock(), system_random()};
    identity::FailedLogins failed_logins_{meta_->failed_logins(), system_clock()};
    std::unique_ptr<identity::TokenService> tokens_;
    identity::oidc::MemoryProvider provider_;
    std::unique_ptr<identity::oidc::SignIn> sign_in_ =
        identity::oidc::SignIn::make(*config_, provider_, system_clock(), system_random());
    std::unique_ptr<identity::oidc::Admission> admission_;
    identity::Policy policy_{meta_->organizations(), meta_->grants(), version_};
    identity::Organizations organizations_{meta_->accounts(), meta_->organizations(), meta_->teams(),
                                           version_,          system_clock(),         system_random()};
    std::unique_ptr<cluster::SettingsService> settings_;
    std::unique_ptr<identity::AccessTokens> access_tokens_;
    std::unique_ptr<backup::BackupService> backups_;
    std::unique_ptr<Services> services_;
    std::unique_ptr<Application> application_;
};

class ApiTest : public ::testing::Test {
  protected:
    World& world = World::get();
    Application& application = world.application();
    const std::string& admin = world.admin;
    const std::string& alice = world.alice;
    const std::string& bob = world.bob;
    const std::string nobody;

    Answer ask(const std::string& method, const std::string& target, const std::string& authorization = {}) {
        return Call(method, target).as(authorization).to(application);
    }
    Answer send(const std::string& method, const std::string& target, const std::string& authorization,
                std::string body, const std::string& content_type = {}) {
        Call call(method, target);
        if (!content_type.empty()) call.with("Content-Type", content_type);
        return call.as(authorization).body(std::move(body)).to(application);
    }

    // A token as a client would get it: "Bearer ...". `scopes` as they stand in the query.
    std::string token(const std::string& authorization, const std::string& scopes) {
        const Answer answer =
            ask("GET", "/auth/token?service=dtr-registry" + (scopes.empty() ? "" : "&scope=" + scopes), authorization);
        EXPECT_EQ(answer.status, 200) << answer.body;
        return "Bearer " + std::string(answer.parsed().at("token").as_string());
    }

    static constexpr const char* kManifestType = "application/vnd.oci.image.manifest.v1+json";
    static constexpr const char* kIndexType = "application/vnd.oci.image.index.v1+json";

    static std::string descriptor(std::string_view type, const std::string& bytes) {
        return fmt::format(R"({{"mediaType":"{}","digest":"{}","size":{}}})", type, Digest::of(bytes).to_string(),
                           bytes.size());
    }
    // An image whose configuration is "{}"; `more` are further members, beginning with a comma.
    static std::string image(const std::vector<std::string>& layers, const std::string& more = {}) {
        std::string list;
        for (const std::string& layer : layers)
            list += (list.empty() ? "" : ",") + descriptor("application/vnd.oci.image.layer.v1.tar", layer);
        return fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]{}}})", kManifestType,
                           descriptor("application/vnd.oci.image.config.v1+json", "{}"), list, more);
    }
    std::string push_blob(const std::string& repository, const std::string& bytes, const std::string& who) {
        const std::string digest = Digest::of(bytes).to_string();
        const Answer answer = send("POST", "/v2/" + repository + "/blobs/uploads/?digest=" + digest, who, bytes,
                                   "application/octet-stream");
        EXPECT_EQ(answer.status, 201) << answer.body;
        return digest;
    }
    std::string push_manifest(const std::string& repository, const std::string& reference, const std::string& bytes,
                              const std::string& who) {
        const Answer answer = send("PUT", "/v2/" + repository + "/manifests/" + reference, who, bytes, kManifestType);
        EXPECT_EQ(answer.status, 201) << answer.body;
        return Digest::of(bytes).to_string();
    }
    // An image with one layer; answers the manifest's bytes.
    std::string push_image(const std::string& repository, const std::string& tag, const std::string& who,
                           const std::string& layer = "a layer") {
        push_blob(repository, "{}", who);
        push_blob(repository, layer, who);
        const std::string bytes = image({layer});
        push_manifest(repository, tag, bytes, who);
        return bytes;
    }
    void publish(const std::string& repository, const std::string& who) {
        EXPECT_EQ(send("PUT", "/api/v0/repositories/" + repository, who, R"({"visibility":"public"})").status, 200);
    }
    // Path of a new upload session.
    std::string begin_upload(const std::string& repository, const std::string& who, const std::string& query = {}) {
        const Answer answer = send("POST", "/v2/" + repository + "/blobs/uploads/" + query, who, "");
        EXPECT_EQ(answer.status, 202) << answer.body;
        return answer.header("Location");
    }
};

}  // namespace dtr::api
