#include "identity/passwords.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace dtr::identity {
namespace {

TEST(Passwords, HashAndVerify) {
    Passwords passwords;
    const auto hash = passwords.hash(Secret("correct horse"));
    ASSERT_TRUE(hash);
    EXPECT_TRUE(hash->starts_with("$argon2id$v=19$m=19456,t=2,p=1$")) << *hash;
    EXPECT_NE(*hash, *passwords.hash(Secret("correct horse")));
    EXPECT_TRUE(*passwords.verify(Secret("correct horse"), *hash));
    EXPECT_FALSE(*passwords.verify(Secret("correct horsf"), *hash));
    EXPECT_FALSE(*passwords.verify(Secret(), *hash));
}

TEST(Passwords, KnowAHashMadeElsewhere) {
    // From the reference program: echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1
    Passwords passwords;
    const std::string hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    EXPECT_TRUE(*passwords.verify(Secret("password"), hash));
    EXPECT_FALSE(*passwords.verify(Secret("passwore"), hash));
}

TEST(Passwords, BadHashesMatchNothingAndCostNothing) {
    Passwords passwords;
    const auto begin = std::chrono::steady_clock::now();
    for (const std::string& hash :
         {std::string(), std::string("x"), std::string("$argon2id$"), std::string("$2b$12$abcdefghijklmnopqrstuv"),
          std::string("$argon2id$v=19$m=4000000000,t=2,p=1$c29tZXNhbHQ$"
                      "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"),
          std::string("$argon2id$v=19$m=65536,t=4000000000,p=1$c29tZXNhbHQ$"
                      "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"),
          std::string("$argon2id$v=19$m=65536,t=2,p=99999999999$c29tZXNhbHQ$"
                      "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"),
          std::string(100'000, '$'), "$argon2id$v=19$m=19456,t=2,p=1$" + std::string(500, 'A')})
        EXPECT_FALSE(*passwords.verify(Secret("password"), hash)) << hash.substr(0, 100);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

TEST(Passwords, UnmatchableHashIsWorkButNeverMatches) {
    Passwords passwords;
    EXPECT_FALSE(*passwords.verify(Secret(""), Passwords::unmatchable_hash()));
    EXPECT_FALSE(*passwords.verify(Secret("password"), Passwords::unmatchable_hash()));
    // The library must take it for well formed, else unknown users would be answered at once.
    const auto time = [&](std::string_view hash) {
        const auto begin = std::chrono::steady_clock::now();
        for (int i = 0; i < 5; ++i) static_cast<void>(passwords.verify(Secret("password"), hash));
        return std::chrono::steady_clock::now() - begin;
    };
    const auto real = time(*passwords.hash(Secret("something else")));
    const auto unmatchable = time(Passwords::unmatchable_hash());
    EXPECT_GT(unmatchable * 4, real);
}

TEST(Passwords, FewRunAndFewWait) {
    Passwords passwords({.running_max = 2, .waiting_max = 3});
    std::vector<Passwords::Turn> running;
    running.push_back(*passwords.wait_turn());
    running.push_back(*passwords.wait_turn());
    std::atomic<int> got = 0;
    std::atomic<int> refused = 0;
    std::vector<std::jthread> others;
    for (int i = 0; i < 8; ++i)
        others.emplace_back([&] {
            const auto turn = passwords.wait_turn();
            if (!turn) {
                EXPECT_EQ(turn.error().code, ErrorCode::exhausted);
            }
            ++(turn ? got : refused);
        });
    while (refused < 5) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_EQ(got, 0);
    running.clear();
    others.clear();
    EXPECT_EQ(got, 3);
    EXPECT_EQ(refused, 5);
    EXPECT_TRUE(passwords.wait_turn());
}

TEST(Passwords, ManyAtOnceAllFinishOrAreRefused) {
    Passwords passwords({.running_max = 2, .waiting_max = 4});
    std::atomic<int> done = 0;
    std::atomic<int> refused = 0;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 12; ++i)
            threads.emplace_back([&] {
                const auto hash = passwords.hash(Secret("some password"));
                ++(hash ? done : refused);
            });
    }
    EXPECT_EQ(done + refused, 12);
    EXPECT_GE(done, 2);
}

}  // namespace
}  // namespace dtr::identity
