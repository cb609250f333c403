// One filled replica and its archive, shared by the tests of a process; and what may be found in a directory after a
// restore into it was interrupted.
#pragma once

#include <gmock/gmock.h>

#include <string>

#include "test/support/replica_kit.h"

namespace dtr::test {

constexpr int kFinished = 0;  // exit codes of a child that did not die
constexpr int kFailed = 3;
constexpr int kStepsMax = 2000;  // a sweep that does not end is a bug of its own

struct Sample {
    explicit Sample(std::size_t layer_bytes) : dir(quick_directory()) {
        must(install(dir.path()));
        const Site site = must(open_replica(dir.path()));
        must(fill_sample(*site, layer_bytes));
        archive = must(back_up(*site));
        second = must(back_up(*site));
        state = must(logical(*site));
        cluster_id = site->current().cluster_id;
        options = with_recovery_key(dir.path());
    }

    TempDir dir;
    std::string archive;
    std::string second;  // another backup of the same state
    Logical state;
    std::string cluster_id;
    backup::RestoreOptions options;
};

// Layers of 3 kB: quick to restore hundreds of times.
inline const Sample& sample() {
    static const Sample one(3000);
    return one;
}

enum class Found {
    nothing,  // as before: nothing staged, nothing live, and empty
    staged,   // not live: serve says what is staged and what to do
    live      // all of the new state
};

// A mix of old and new is a failure, as is a state that nobody can continue from.
inline Found inspect(const std::string& path, const Logical& expected) {
    const auto site = open_replica(path);
    if (site) {
        const Logical found = must(logical(**site));
        EXPECT_EQ(difference(expected, found), "");
        EXPECT_EQ(found.surplus_objects, 0U);
        EXPECT_EQ(found.uploads, 0U);
        EXPECT_EQ(must((*site)->meta().epoch()).number, 2);
        return Found::live;
    }
    EXPECT_EQ(site.error().code, ErrorCode::refused) << site.error().text();
    if (site.error().message.find("is staged in " + path + ", but not live") != std::string::npos) return Found::staged;
    EXPECT_THAT(site.error().message, testing::HasSubstr("no registry is installed"));
    const Site bare = must(open_site(path));
    EXPECT_TRUE(must(bare.directory->empty())) << "nothing is staged, yet something is there: nobody can go on";
    return Found::nothing;
}

}  // namespace dtr::test
