#include "meta/schema.h"

#include <gtest/gtest.h>

#include <set>

#include "meta/change_recorder.h"

namespace dtr::meta {
namespace {

TEST(Schema, EveryTableIsFoundByNameAndId) {
    std::set<std::string_view> names;
    for (const Table& one : tables()) {
        EXPECT_TRUE(names.insert(one.name).second);
        EXPECT_EQ(find_table(one.name), &one);
        EXPECT_GE(one.key_columns, 1U);
        EXPECT_LE(one.key_columns, one.columns.size());
    }
    EXPECT_EQ(find_table("nothing"), nullptr);
    EXPECT_EQ(table(TableId::repositories).name, "repositories");
    EXPECT_EQ(table(TableId::repository_blobs).name, "repository_blobs");
    EXPECT_EQ(table(TableId::account_secrets).name, "account_secrets");
    EXPECT_EQ(table(TableId::leases).name, "leases");
    EXPECT_EQ(table(TableId::state).name, "state");
    EXPECT_EQ(tables().size(), static_cast<std::size_t>(TableId::state) + 1);
}

// What an access token is good for goes where the token goes, though it is not a secret itself.
TEST(Schema, SecretsLieInSecretTablesOnly) {
    for (const Table& one : tables()) {
        bool secret = false;
        for (const Column& column : one.columns) secret = secret || column.secret;
        secret = secret || one.name == "access_token_scopes" || one.name == "access_token_details";
        EXPECT_EQ(secret, one.part == Part::secret) << one.name;
    }
}

TEST(Schema, PostgresSchemaNamesTablesInLoadOrder) {
    const std::string schema = postgres_schema();
    std::size_t last = 0;
    for (const Table& one : tables()) {
        const auto at = schema.find("CREATE TABLE " + std::string(one.name) + " (");
        ASSERT_NE(at, std::string::npos) << one.name;
        EXPECT_GE(at, last);
        last = at;
    }
    EXPECT_NE(schema.find("PRIMARY KEY (repository_id, manifest_digest, position)"), std::string::npos);
    EXPECT_NE(schema.find("subject TEXT COLLATE \"C\",\n"), std::string::npos);
}

TEST(RowJson, ShowsTypesAndHidesSecrets) {
    std::string out;
    const sql::Param manifest[] = {7, "sha256:aa", "t\"ype\\", "", "{}\n", nullptr, 12, -1};
    append_row_json(out, table(TableId::manifests), manifest);
    EXPECT_EQ(out, R"({"repository_id":7,"digest":"sha256:aa","media_type":"t\"ype\\","artifact_type":"",)"
                   R"("annotations_json":"{}\u000a","subject":null,"size":12,"pushed_at":-1})");
    out.clear();
    const sql::Param secret[] = {"id", "hash"};
    append_row_json(out, table(TableId::account_secrets), secret);
    EXPECT_EQ(out, R"-({"account_id":"id","password_hash":"(secret)"})-");
    out.clear();
    const sql::Param key[] = {"id"};
    append_row_json(out, table(TableId::account_secrets), key);
    EXPECT_EQ(out, R"({"account_id":"id"})");
}

}  // namespace
}  // namespace dtr::meta
