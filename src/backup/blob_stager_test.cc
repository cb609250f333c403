#include "backup/blob_stager.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"
#include "blob/mem/mem_blob_store.h"
#include "test/support/must.h"

namespace dtr::backup {
namespace {

using test::must;

std::string content(blob::BlobStore& blobs, const blob::ObjectId& id) {
    const auto reader = must(blobs.open(id));
    std::string bytes(reader->size(), '\0');
    EXPECT_EQ(must(reader->read(bytes.data(), bytes.size(), 0)), bytes.size());
    return bytes;
}

blob::ObjectId id_of(std::string_view bytes) {
    return {Digest::of(bytes), "0123456789abcdef"};
}

std::string upload(int n) {
    return fmt::format("0123456789abcdef{:016x}", n);
}

TEST(BlobStager, WhatWasGivenIsThereAfterTheWait) {
    const auto blobs = blob::make_mem_blob_store();
    SeededRandom random(3);
    std::vector<std::string> all;
    BlobStager stager(*blobs);
    for (int i = 0; i < 100; ++i) {
        all.push_back(random.bytes(static_cast<std::size_t>(i) * 1000));
        if (i % 10 != 9) {
            must(stager.put(id_of(all.back()), upload(i), all.back()));
            continue;
        }
        auto writer = must(blobs->begin(upload(i)));
        must(writer->append(all.back()));
        must(stager.commit(id_of(all.back()), std::move(writer)));
    }
    must(stager.wait());
    for (const std::string& bytes : all) EXPECT_EQ(content(*blobs, id_of(bytes)), bytes);
    EXPECT_TRUE(must(blobs->list_uploads()).empty());
}

TEST(BlobStager, OneFailureFailsEverythingAfterItAndLeavesNoUpload) {
    const auto blobs = blob::make_mem_blob_store();
    BlobStager stager(*blobs);
    must(stager.put(id_of("the same"), upload(1), "the same"));
    must(stager.wait());
    must(stager.put(id_of("the same"), upload(2), "the same"));  // exists already
    EXPECT_EQ(stager.wait().error().code, ErrorCode::already_exists);
    EXPECT_EQ(stager.put(id_of("another"), upload(3), "another").error().code, ErrorCode::already_exists);
    EXPECT_EQ(stager.wait().error().code, ErrorCode::already_exists);
    EXPECT_FALSE(blobs->stat(id_of("another")));
    EXPECT_TRUE(must(blobs->list_uploads()).empty());
}

TEST(BlobStager, TheEndWaitsForWhatIsOnItsWay) {
    const auto blobs = blob::make_mem_blob_store();
    {
        BlobStager stager(*blobs);
        must(stager.put(id_of("last"), upload(1), "last"));
    }
    EXPECT_EQ(content(*blobs, id_of("last")), "last");
}

}  // namespace
}  // namespace dtr::backup
