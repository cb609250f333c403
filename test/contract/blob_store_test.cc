// What every image store must do, whatever its medium.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "blob/blob_store.h"
#include "blob/fs/fs_blob_store.h"
#include "blob/mem/mem_blob_store.h"
#include "test/support/counting_faults.h"
#include "test/support/temp_dir.h"

namespace dtr::blob {
namespace {

struct BlobMedium {
    std::string name;
    std::function<std::unique_ptr<BlobStore>(const std::string& root)> open;
    bool survives_reopen;
};

class BlobStoreContract : public testing::TestWithParam<BlobMedium> {
  protected:
    BlobStoreContract() : store(GetParam().open(dir.path())) {}

    static ObjectId id_of(std::string_view bytes, std::string generation = "0123456789abcdef") {
        return {Digest::of(bytes), std::move(generation)};
    }
    std::string read_all(const ObjectId& id) {
        auto reader = store->open(id);
        if (!reader) return "(" + reader.error().message + ")";
        std::string out((*reader)->size(), '\0');
        EXPECT_EQ((*reader)->read(out.data(), out.size(), 0).value(), out.size());
        return out;
    }

    test::TempDir dir;
    std::unique_ptr<BlobStore> store;
    const UploadId upload = "00112233445566778899aabbccddeeff";
};

TEST_P(BlobStoreContract, PutIsReadBackAndStatted) {
    ASSERT_TRUE(store->put(id_of("hello"), "hello"));
    EXPECT_EQ(read_all(id_of("hello")), "hello");
    EXPECT_EQ(store->stat(id_of("hello"))->size, 5U);
    EXPECT_TRUE(store->put(id_of("hello"), "hello")) << "again is good";
}

TEST_P(BlobStoreContract, MissingIsNotFound) {
    EXPECT_EQ(store->stat(id_of("x")).error().code, ErrorCode::not_found);
    EXPECT_EQ(store->open(id_of("x")).error().code, ErrorCode::not_found);
    EXPECT_TRUE(store->remove(id_of("x")));
}

TEST_P(BlobStoreContract, GenerationsAreDifferentObjects) {
    const ObjectId first = id_of("same", "aaaaaaaaaaaaaaaa");
    const ObjectId second = id_of("same", "bbbbbbbbbbbbbbbb");
    ASSERT_TRUE(store->put(first, "same"));
    ASSERT_TRUE(store->put(second, "same"));
    ASSERT_TRUE(store->remove(first));
    EXPECT_EQ(store->stat(first).error().code, ErrorCode::not_found);
    EXPECT_EQ(read_all(second), "same");
}

TEST_P(BlobStoreContract, UploadBecomesVisibleOnlyAtCommit) {
    auto writer = store->begin(upload);
    ASSERT_TRUE(writer);
    ASSERT_TRUE((*writer)->append("ab"));
    ASSERT_TRUE((*writer)->append("cd"));
    EXPECT_EQ((*writer)->offset(), 4U);
    EXPECT_FALSE(store->stat(id_of("abcd")));
    ASSERT_TRUE((*writer)->commit(id_of("abcd")));
    EXPECT_EQ(read_all(id_of("abcd")), "abcd");
    EXPECT_THAT(store->list_uploads().value(), testing::IsEmpty());
}

TEST_P(BlobStoreContract, UploadIsResumedAndCutBackToItsOffset) {
    ASSERT_TRUE(store->begin(upload).value()->append("abcdef"));
    auto writer = store->resume(upload, 4);
    ASSERT_TRUE(writer);
    ASSERT_TRUE((*writer)->append("XY"));
    EXPECT_EQ((*writer)->offset(), 6U);
    auto partial = store->open_upload(upload);
    ASSERT_TRUE(partial);
    EXPECT_EQ((*partial)->size(), 6U);
    ASSERT_TRUE((*writer)->commit(id_of("abcdXY")));
    EXPECT_EQ(read_all(id_of("abcdXY")), "abcdXY");
}

TEST_P(BlobStoreContract, ResumeWithFewerBytesThanRecordedIsCorrupt) {
    ASSERT_TRUE(store->begin(upload).value()->append("abc"));
    EXPECT_EQ(store->resume(upload, 9).error().code, ErrorCode::corrupt);
}

TEST_P(BlobStoreContract, CommitOntoAnExistingObjectIsRefused) {
    ASSERT_TRUE(store->put(id_of("abc"), "abc"));
    auto writer = store->begin(upload);
    ASSERT_TRUE((*writer)->append("abc"));
    EXPECT_EQ((*writer)->commit(id_of("abc")).error().code, ErrorCode::already_exists);
}

TEST_P(BlobStoreContract, DiscardForgetsAnUpload) {
    ASSERT_TRUE(store->begin(upload).value()->append("abc"));
    EXPECT_THAT(store->list_uploads().value(), testing::ElementsAre(testing::Field(&UploadInfo::id, upload)));
    ASSERT_TRUE(store->discard(upload));
    EXPECT_THAT(store->list_uploads().value(), testing::IsEmpty());
    EXPECT_TRUE(store->discard(upload));
}

TEST_P(BlobStoreContract, ReaderOutlivesRemoval) {
    ASSERT_TRUE(store->put(id_of("still here"), "still here"));
    auto reader = store->open(id_of("still here"));
    ASSERT_TRUE(store->remove(id_of("still here")));
    std::string out(10, '\0');
    EXPECT_EQ((*reader)->read(out.data(), 10, 0).value(), 10U);
    EXPECT_EQ(out, "still here");
}

TEST_P(BlobStoreContract, ReadsFromTheMiddleAndStopsAtTheEnd) {
    ASSERT_TRUE(store->put(id_of("0123456789"), "0123456789"));
    auto reader = store->open(id_of("0123456789"));
    char out[8];
    EXPECT_EQ((*reader)->read(out, 3, 4).value(), 3U);
    EXPECT_EQ(std::string_view(out, 3), "456");
    EXPECT_EQ((*reader)->read(out, 8, 8).value(), 2U);
    EXPECT_EQ((*reader)->read(out, 8, 10).value(), 0U);
}

TEST_P(BlobStoreContract, ListPagesThroughEverythingOnce) {
    std::vector<std::string> expected;
    for (int i = 0; i < 300; ++i) {
        const std::string bytes = std::to_string(i);
        const ObjectId id{Digest::of(bytes, i % 3 == 0 ? DigestAlgorithm::sha512 : DigestAlgorithm::sha256),
                          "0000000000000000"};
        ASSERT_TRUE(store->put(id, bytes));
        expected.push_back(id.digest.to_string());
    }
    std::vector<std::string> seen;
    std::string cursor;
    do {
        auto page = store->list(cursor, 50);
        ASSERT_TRUE(page);
        for (const ObjectId& id : page->objects) seen.push_back(id.digest.to_string());
        cursor = page->next;
    } while (!cursor.empty());
    EXPECT_THAT(seen, testing::UnorderedElementsAreArray(expected));
}

TEST_P(BlobStoreContract, WhatWasAcknowledgedSurvivesReopening) {
    if (!GetParam().survives_reopen) return;
    ASSERT_TRUE(store->put(id_of("kept"), "kept"));
    ASSERT_TRUE(store->begin(upload).value()->append("part"));
    store = GetParam().open(dir.path());
    EXPECT_EQ(read_all(id_of("kept")), "kept");
    ASSERT_TRUE(store->resume(upload, 4));
}

// Fails the first, the second, ... disk operation of a commit until one passes untouched: before that the object is
// never visible half written, and a second try always succeeds.
TEST_P(BlobStoreContract, EveryFailureOfACommitLeavesNothingOrAll) {
    for (int n = 1;; ++n) {
        const std::string bytes = "payload " + std::to_string(n);
        const UploadId id = fmt::format("{:032x}", n);
        bool failed = false;
        {
            auto writer = store->begin(id);
            ASSERT_TRUE(writer);
            ASSERT_TRUE((*writer)->append(bytes));
            const test::FailNth fault(n);
            failed = !(*writer)->commit(id_of(bytes));
        }
        if (store->stat(id_of(bytes))) {
            EXPECT_EQ(read_all(id_of(bytes)), bytes);
        }
        if (!failed) {
            EXPECT_EQ(read_all(id_of(bytes)), bytes);
            EXPECT_TRUE(n > 1 || !GetParam().survives_reopen) << "no fault point was passed";
            break;
        }
        ASSERT_LT(n, 50);
    }
}

INSTANTIATE_TEST_SUITE_P(
    Media, BlobStoreContract,
    testing::Values(BlobMedium{"fs",
                               [](const std::string& root) {
                                   return open_fs_blob_store(real_disk(), root + "/registry").value();
                               },
                               true},
                    BlobMedium{"mem", [](const std::string&) { return make_mem_blob_store(); }, false}),
    [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace dtr::blob
