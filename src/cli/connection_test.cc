#include "cli/connection.h"

#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/random.h"
#include "identity/certificates.h"
#include "sys/disk.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::cli {
namespace {

using test::must;
using test::outcome;

Connection complete() {
    Connection connection;
    connection.url = "registry.example:8443";
    connection.username = "admin";
    connection.password = "s3cret";
    return connection;
}

TEST(Connection, AnAuthorityIsLookedAtBeforeAnythingIsAsked) {
    const test::TempDir dir;
    const std::string file = dir.path() + "/ca.pem";
    must(write_file(real_disk(), file, "anything"));
    for (const std::string& ca : {file, std::string("garbage"), std::string("-----BEGIN CERTIFICATE-----\nx\n")}) {
        Connection connection = complete();
        connection.password.clear();
        connection.ca = ca;
        const auto call = connection.call_ucp("GET", "/x");
        ASSERT_FALSE(call) << ca;
        EXPECT_EQ(call.error().code, ErrorCode::invalid);
        EXPECT_EQ(call.error().message.find("a file name") != std::string::npos, ca == file);
    }
}

TEST(Connection, MakesACall) {
    Connection connection = complete();
    const auto authority = must(identity::make_authority("test", system_clock(), system_random()));
    connection.ca = authority.certificate_pem;
    const HttpCall call = must(connection.call_ucp("POST", "/api/v0/backup?x=y"));
    EXPECT_EQ(call.method, "POST");
    EXPECT_EQ(call.url, "https://registry.example:8443/api/v0/backup?x=y");
    EXPECT_EQ(call.basic_username, "admin");
    EXPECT_EQ(call.basic_password.expose(), "s3cret");
    EXPECT_EQ(call.trust.ca_pem, authority.certificate_pem);
    EXPECT_FALSE(call.trust.insecure);
    for (const char* url :
         {"https://registry.example:8443/", "https://registry.example:8443", "registry.example:8443//"}) {
        connection.url = url;
        EXPECT_EQ(must(connection.call_ucp("GET", "/x")).url, "https://registry.example:8443/x") << url;
    }
}

TEST(Connection, SaysWhatIsMissing) {
    for (std::string Connection::*field : {&Connection::url, &Connection::username}) {
        Connection connection = complete();
        (connection.*field).clear();
        connection.may_ask = false;
        const auto refused = connection.call_ucp("GET", "/");
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code, ErrorCode::invalid);
        EXPECT_FALSE(refused.error().hint.empty());
    }
}

TEST(Connection, PasswordFiles) {
    const test::TempDir directory;
    const std::string path = directory.path() + "/password";
    for (const char* text : {"s3cret", "s3cret\n", "s3cret\r\nsecond line\n"}) {
        must(write_file(real_disk(), path, text));
        EXPECT_EQ(must(read_password_file(path)).expose(), "s3cret");
    }
    // DIR/admin-password is a link.
    std::filesystem::create_symlink(path, directory.path() + "/link");
    Connection connection = complete();
    connection.password_file = directory.path() + "/link";
    connection.password = "of the flag";
    EXPECT_EQ(must(connection.call_ucp("GET", "/")).basic_password.expose(), "s3cret");
    must(write_file(real_disk(), path, "\nsecond"));
    EXPECT_EQ(outcome(read_password_file(path)).substr(0, 7), "invalid");
    EXPECT_FALSE(read_password_file(directory.path() + "/none"));
    EXPECT_FALSE(read_password_file(directory.path()));
}

TEST(Connection, AnswersBecomeErrors) {
    const auto error = [](int status, const std::string& body) {
        return answer_error({status, {}, body}, "cannot try");
    };
    const Error told = error(403, R"({"errors":[{"code":"DENIED","message":"you may not","detail":"ask alice"}]})");
    EXPECT_EQ(told.code, ErrorCode::denied);
    EXPECT_EQ(told.message, "cannot try: you may not");
    EXPECT_EQ(told.hint, "ask alice");
    const std::string lost = R"({"errors":[{"code":"UNKNOWN","message":"lost"}],"request_id":"0123abcd"})";
    EXPECT_EQ(error(500, lost).hint, "see the server's log for request 0123abcd");
    EXPECT_EQ(error(404, lost).hint, "") << "what is the client's to mend needs no log";
    // A server's answer may be anything.
    for (const char* body : {"", "<html>", "null", "[]", "{}", R"({"errors":7})", R"({"errors":[]})",
                             R"({"errors":[7]})", R"({"errors":[{}]})", R"({"errors":[{"message":7,"detail":[]}]})"})
        EXPECT_EQ(error(500, body).message, "cannot try: HTTP status 500") << body;
    const Error elsewhere = answer_error({301, {{"location", "https://other.example/x"}}, ""}, "cannot try");
    EXPECT_EQ(elsewhere.code, ErrorCode::invalid);
    EXPECT_NE(elsewhere.hint.find("https://other.example/x"), std::string::npos);
    const std::pair<int, ErrorCode> table[] = {{413, ErrorCode::invalid},         {400, ErrorCode::invalid},
                                               {401, ErrorCode::unauthenticated}, {403, ErrorCode::denied},
                                               {409, ErrorCode::conflict},        {429, ErrorCode::unavailable},
                                               {502, ErrorCode::unavailable},     {503, ErrorCode::unavailable},
                                               {507, ErrorCode::no_space},        {500, ErrorCode::internal}};
    for (const auto& [status, code] : table) EXPECT_EQ(error(status, "").code, code) << status;
}

}  // namespace
}  // namespace dtr::cli
