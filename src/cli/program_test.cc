#include "cli/program.h"

#include <gtest/gtest.h>

#include <cstring>
#include <stdexcept>

#include "cli/connection.h"
#include "cli/exit_code.h"

namespace dtr::cli {
namespace {

struct Outcome {
    int code = -1;
    std::string out;
    std::string err;
    std::vector<std::string> argv;  // as it stands afterwards
};

Outcome run(std::vector<std::string> words, const std::function<void(Program&)>& commands = add_dtr_commands) {
    words.insert(words.begin(), "dtr");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    const backup::StoreOpeners none;
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    Outcome outcome;
    outcome.code = run_program("dtr", static_cast<int>(argv.size()), argv.data(), none, commands);
    outcome.out = testing::internal::GetCapturedStdout();
    outcome.err = testing::internal::GetCapturedStderr();
    outcome.argv = std::move(words);
    return outcome;
}

TEST(Program, ErrorsHaveTheirExitCodes) {
    const std::pair<ErrorCode, int> table[] = {
        {ErrorCode::invalid, 2},         {ErrorCode::unavailable, 3}, {ErrorCode::exhausted, 3},
        {ErrorCode::corrupt, 5},         {ErrorCode::denied, 6},      {ErrorCode::unauthenticated, 6},
        {ErrorCode::untrusted, 6},       {ErrorCode::unsupported, 7}, {ErrorCode::no_space, 8},
        {ErrorCode::conflict, 9},        {ErrorCode::lost, 9},        {ErrorCode::refused, 10},
        {ErrorCode::cancelled, 11},      {ErrorCode::internal, 1},    {ErrorCode::not_found, 2},
        {ErrorCode::already_exists, 10},
    };
    for (const auto& [code, expected] : table) EXPECT_EQ(exit_code({code, "", ""}), expected) << to_string(code);
}

TEST(Program, Usage) {
    EXPECT_EQ(run({}).code, kUsage);
    EXPECT_EQ(run({"frobnicate"}).code, kUsage);
    EXPECT_EQ(run({"backup", "--no-such-flag"}).code, kUsage);
    EXPECT_EQ(run({"verify", "--level", "4", "x"}).code, kUsage);
    EXPECT_EQ(run({"user"}).code, kUsage);
    EXPECT_EQ(run({"serve", "--replica-id", "not-hex"}).code, kUsage);
    const Outcome help = run({"--help"});
    EXPECT_EQ(help.code, kGood);
    for (const char* command : {"serve", "backup", "restore", "verify", "user", "status", "version"})
        EXPECT_NE(help.out.find(command), std::string::npos) << command;
    EXPECT_NE(run({"backup", "--help"}).out.find("Examples:"), std::string::npos);
    const Outcome version = run({"version"});
    EXPECT_EQ(version.code, kGood);
    EXPECT_EQ(version.out, std::string(kProductVersion) + "\n");
    EXPECT_EQ(version.err, "");
}

TEST(Program, WhatThereIsNotIsNamed) {
    const auto said = [](std::vector<std::string> words) {
        const Outcome outcome = run(std::move(words));
        EXPECT_EQ(outcome.code, kUsage);
        EXPECT_EQ(outcome.out, "");
        return outcome.err;
    };
    const auto holds = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
    std::string err = said({"bakcup", "--output", "f"});
    EXPECT_TRUE(holds(err, "dtr: dtr has no command bakcup\n")) << err;
    EXPECT_TRUE(holds(err, "did you mean backup?")) << err;
    err = said({"frobnicate"});
    EXPECT_TRUE(holds(err, "no command frobnicate")) << err;
    EXPECT_FALSE(holds(err, "did you mean")) << err;
    err = said({"user", "craete", "alice"});
    EXPECT_TRUE(holds(err, "dtr user has no command craete")) << err;
    EXPECT_TRUE(holds(err, "did you mean create?")) << err;
    EXPECT_TRUE(holds(said({"user"}), "dtr user needs a command"));
    EXPECT_TRUE(holds(said({}), "dtr needs a command"));
    err = said({"backup", "--outptu", "f"});
    EXPECT_TRUE(holds(err, "dtr backup has no option --outptu")) << err;
    EXPECT_TRUE(holds(err, "did you mean --output?")) << err;
    // What follows may be a password.
    for (const auto& words :
         {std::vector<std::string>{"backup", "--ucp-pasword", "s3cret"}, {"backup", "--ucp-pasword=s3cret"}}) {
        err = said(words);
        EXPECT_TRUE(holds(err, "--ucp-pasword") && holds(err, "did you mean --ucp-password?")) << err;
        EXPECT_FALSE(holds(err, "s3cret")) << err;
    }
    EXPECT_TRUE(holds(said({"status", "now"}), "dtr status does not take the argument now"));
}

TEST(Program, ValuesThatCannotBeRightAreRefusedBeforeAnything) {
    for (const auto& words : std::vector<std::vector<std::string>>{{"verify", "--trust", "0123", "f"},
                                                                   {"restore", "--trust", "0123456789ABCDEG", "f"},
                                                                   {"status", "--ucp-url", "http://user:word@x"},
                                                                   {"backup", "--output", ""},
                                                                   {"install", "--dtr-external-url", "a b"},
                                                                   {"serve", "--dtr-external-url", "ftp://x"},
                                                                   {"restore", "--dtr-external-url", "x/path", "f"}}) {
        const Outcome outcome = run(words);
        EXPECT_EQ(outcome.code, kUsage) << words[0];
        EXPECT_NE(outcome.err.find("hint:"), std::string::npos) << outcome.err;
    }
}

TEST(Program, PasswordsLeaveTheCommandLine) {
    std::string seen;
    const auto commands = [&](Program& program) {
        auto* app = program.app.add_subcommand("try");
        auto connection = std::make_shared<Connection>();
        connection->add_options(*app);
        app->callback([&program, connection, &seen] {
            program.run = [connection, &seen] {
                seen = connection->password;
                return 0;
            };
        });
    };
    for (const bool joined : {false, true}) {
        const Outcome outcome = joined
                                    ? run({"try", "--ucp-password=s3cret"}, commands)
                                    : run({"try", "--ucp-password", "s3cret", "--ucp-password-file", "kept"}, commands);
        EXPECT_EQ(outcome.code, 0);
        EXPECT_EQ(seen, "s3cret") << "the command needs it";
        for (const std::string& word : outcome.argv) EXPECT_EQ(word.find("s3cret"), std::string::npos) << word;
        if (!joined) {
            EXPECT_EQ(outcome.argv.back(), "kept");
        }
        EXPECT_NE(outcome.err.find("warning"), std::string::npos);
        EXPECT_EQ(outcome.err.find("s3cret"), std::string::npos);
    }
}

TEST(Program, AnExceptionIsAnExitCode) {
    const Outcome outcome = run({"throw"}, [](Program& program) {
        program.app.add_subcommand("throw")->callback(
            [&program] { program.run = []() -> int { throw std::runtime_error("out of luck"); }; });
    });
    EXPECT_EQ(outcome.code, kUnexpected);
    EXPECT_NE(outcome.err.find("out of luck"), std::string::npos);
}

TEST(Program, ReportsMessageAndHint) {
    testing::internal::CaptureStderr();
    EXPECT_EQ(report({ErrorCode::refused, "it would be unsafe", "do not"}), kRefused);
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "dtr: it would be unsafe\ndtr: hint: do not\n");
}

}  // namespace
}  // namespace dtr::cli
