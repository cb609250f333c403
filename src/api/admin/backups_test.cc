#include "api/test_api.h"
#include "archive/reader.h"
#include "archive/unlock.h"

namespace dtr::api::admin {
namespace {

class BackupsApiTest : public ApiTest {};

class Text final : public archive::ByteSource {
  public:
    explicit Text(std::string_view bytes) : bytes_(bytes) {}
    Result<std::size_t> read(char* buffer, std::size_t size) override {
        const std::size_t n = bytes_.copy(buffer, size);
        bytes_.remove_prefix(n);
        return n;
    }

  private:
    std::string_view bytes_;
};

struct Contents {
    std::string backup_id;
    std::string seal;
    std::map<std::string, int> kinds;  // by first component of the name
    bool verified = false;
};

Result<Contents> read_all(std::string_view bytes, archive::TrustAnchors anchors) {
    Text source(bytes);
    DTR_ASSIGN(const auto reader, archive::ArchiveReader::open(source, std::move(anchors)));
    Contents contents;
    contents.backup_id = reader->header().backup_id;
    contents.verified = reader->trust() == archive::SignerTrust::verified;
    while (true) {
        DTR_ASSIGN(const auto entry, reader->next());
        if (!entry) break;
        ++contents.kinds[entry->name.text.substr(0, entry->name.text.find('/'))];
    }
    contents.seal = reader->seal_digest();
    return contents;
}

TEST_F(BackupsApiTest, StreamsASealedArchive) {
    push_image("alice/backed-up", "v1", alice, "a layer to be backed up");
    const Answer answer = ask("POST", "/api/v0/backup?images=include", admin);
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_FALSE(answer.broken);
    EXPECT_EQ(answer.header("Content-Type"), "application/x-tar");
    EXPECT_EQ(answer.header("Dtr-Replica-Id"), std::string(kReplicaId));
    const std::string id = answer.header("Dtr-Backup-Id");
    EXPECT_EQ(id.size(), 32U);
    EXPECT_NE(answer.body.find("a layer to be backed up"), std::string::npos);
    const std::string secret_hash = "$argon2id$";
    EXPECT_EQ(answer.body.find(secret_hash), std::string::npos) << "password hashes in clear";
    EXPECT_EQ(answer.body.find("PRIVATE KEY"), std::string::npos) << "private keys in clear";

    const auto keys = must(backup::load_seal_keys(world.config()));
    archive::TrustAnchors anchors;
    anchors.keys.push_back(keys.signer.public_key());
    const auto contents = read_all(answer.body, anchors);
    ASSERT_TRUE(contents) << contents.error().text();
    EXPECT_TRUE(contents->verified);
    EXPECT_EQ(contents->backup_id, id);
    EXPECT_FALSE(read_all(std::string_view(answer.body).substr(0, answer.body.size() - 5000), anchors))
        << "cut short, and good?";

    const auto report = ask("GET", "/api/v0/backups/" + id, admin).parsed().as_object();
    EXPECT_EQ(report.at("id").as_string(), id);
    EXPECT_TRUE(report.at("finished").as_bool());
    EXPECT_TRUE(report.at("sealed").as_bool());
    EXPECT_EQ(report.at("seal").as_string(), contents->seal);
    EXPECT_EQ(report.at("bytes").as_int64(), static_cast<std::int64_t>(answer.body.size()));
    EXPECT_FALSE(report.contains("error"));
}

TEST_F(BackupsApiTest, OnlyForAdministratorsWithAPassword) {
    const std::string bearer = token(admin, "repository:alice/x:*&scope=registry:catalog:*");
    for (const std::string& who : {nobody, bearer}) {
        const Answer answer = ask("POST", "/api/v0/backup", who);
        EXPECT_EQ(answer.status, 401);
        EXPECT_EQ(answer.error(), "NOT_AUTHENTICATED");
        EXPECT_EQ(ask("GET", "/api/v0/backups/x", who).status, 401);
    }
    EXPECT_EQ(ask("POST", "/api/v0/backup", alice).error(), "NOT_AUTHORIZED");
    EXPECT_EQ(ask("GET", "/api/v0/backups/x", alice).status, 403);
}

TEST_F(BackupsApiTest, ItsOptionsAreChecked) {
    const Answer other = ask("POST", "/api/v0/backup?replica-id=ffffffffffff", admin);
    EXPECT_EQ(other.status, 412);
    EXPECT_EQ(other.error(), "NO_SUCH_REPLICA");
    for (const char* bad : {"?images=all", "?secrets=no", "?recipient=age1nonsense", "?recipient="}) {
        const Answer answer = ask("POST", std::string("/api/v0/backup") + bad, admin);
        EXPECT_EQ(answer.status, 400) << bad;
        EXPECT_NE(answer.error(), "") << answer.body;
    }
    EXPECT_EQ(ask("GET", "/api/v0/backup", admin).status, 405);
    EXPECT_EQ(ask("POST", "/api/v0/backupx", admin).status, 404);
    EXPECT_EQ(ask("GET", "/api/v0/backups/unknown", admin).error(), "NO_SUCH_BACKUP");
    const Answer right = ask("POST", "/api/v0/backup?config-only=true&replica-id=" + std::string(kReplicaId), admin);
    EXPECT_EQ(right.status, 200);
    EXPECT_TRUE(read_all(right.body, {}));
}

// A passphrase comes in the body, where no log sees it; an age stream is vouched for by the digest of all its bytes.
TEST_F(BackupsApiTest, EncryptedToAPassphrase) {
    const std::string body = R"({"passphrase":"kept out of every log"})";
    const Answer answer = send("POST", "/api/v0/backup?encrypt=stream", admin, body);
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(answer.header("Content-Type"), "application/octet-stream");
    EXPECT_TRUE(answer.body.starts_with(archive::kAgeMagic));
    const auto report = ask("GET", "/api/v0/backups/" + answer.header("Dtr-Backup-Id"), admin).parsed().as_object();
    EXPECT_TRUE(report.at("sealed").as_bool());
    EXPECT_EQ(report.at("streamDigest").as_string(), Digest::of(answer.body).hex());
    Text source(answer.body);
    const auto plain = archive::open_stream(source, {{}, Secret("kept out of every log")});
    ASSERT_TRUE(plain) << plain.error().text();
    const auto reader = must(archive::ArchiveReader::open(**plain, {}));
    EXPECT_FALSE(reader->header().passphrase_key.empty());
    while (must(reader->next())) {
    }

    EXPECT_EQ(send("POST", "/api/v0/backup?encrypt=none&secrets=plaintext", admin, body).status, 400);
    EXPECT_EQ(ask("POST", "/api/v0/backup?encrypt=all", admin).status, 400);
    EXPECT_EQ(ask("POST", "/api/v0/backup?id=0123", admin).status, 400);
    EXPECT_EQ(ask("POST", "/api/v0/backup?encrypt=stream&passphrase=seen", admin).status, 400);
    for (const char* bad :
         {"{}", "[]", "x", R"({"passphrase":1})", R"({"passphrase":"a","more":1})", R"({"passphrase":""})"})
        EXPECT_EQ(send("POST", "/api/v0/backup", admin, bad).status, 400) << bad;
    EXPECT_EQ(send("POST", "/api/v0/backup", admin, std::string(20'000, ' ')).status, 413);
}

// Who asks may choose the id, once, so that a lost answer can be asked for.
TEST_F(BackupsApiTest, UnderAChosenId) {
    const std::string id = "00112233445566778899aabbccddeeff";
    EXPECT_EQ(ask("GET", "/api/v0/backups/" + id, admin).status, 404);
    EXPECT_EQ(ask("POST", "/api/v0/backup?id=" + id, admin).header("Dtr-Backup-Id"), id);
    EXPECT_TRUE(ask("GET", "/api/v0/backups/" + id, admin).parsed().as_object().at("sealed").as_bool());
    EXPECT_EQ(ask("POST", "/api/v0/backup?id=" + id, admin).status, 409);
}

TEST_F(BackupsApiTest, GivingUpIsReported) {
    http::Request request;
    request.method = "POST";
    request.path = "/api/v0/backup";
    request.headers = {{"Authorization", admin}, {"Host", "registry.test"}};
    request.peer = "192.0.2.1";
    // More than the channel holds, so that the writer is still at work when the reader goes.
    push_blob("alice/backup-large", SeededRandom(2).bytes(8U << 20), alice);
    std::string id;
    {
        auto response = std::get<http::Response>(application.handle(request));
        ASSERT_EQ(response.status, 200);
        for (const auto& [name, value] : response.headers)
            if (name == "Dtr-Backup-Id") id = value;
        char some[1000];
        EXPECT_TRUE(response.source->read(some, sizeof some));
    }
    const auto report = ask("GET", "/api/v0/backups/" + id, admin).parsed().as_object();
    EXPECT_TRUE(report.at("finished").as_bool());
    EXPECT_FALSE(report.at("sealed").as_bool());
    EXPECT_TRUE(report.contains("error"));
    EXPECT_EQ(ask("DELETE", "/api/v0/repositories/alice/backup-large", alice).status, 202);
    // And the place is free again: more than may run at once, one after the other.
    for (int i = 0; i < 5; ++i) EXPECT_EQ(ask("POST", "/api/v0/backup?config-only=true", admin).status, 200);
}

TEST_F(BackupsApiTest, ClusterStatus) {
    const Answer answer = ask("GET", "/api/v0/meta/cluster_status", admin);
    EXPECT_EQ(answer.status, 200);
    const auto fields = answer.parsed().as_object();
    EXPECT_EQ(fields.at("replica_health").as_object().at(std::string(kReplicaId)).as_string(), "OK");
    EXPECT_EQ(fields.at("cluster_id").as_string(), std::string(32, 'c'));
    EXPECT_EQ(ask("GET", "/api/v0/meta/cluster_status", alice).status, 403);
    EXPECT_EQ(ask("GET", "/api/v0/meta/cluster_status").status, 401);
}

}  // namespace
}  // namespace dtr::api::admin
