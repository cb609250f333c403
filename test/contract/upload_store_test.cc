// The contract of what meta_store.h says of the bound on uploads, against every engine.
#include "test/contract/meta_store_fixture.h"

namespace dtr::meta {
namespace {

using UploadStoreTest = MetaStoreFixture;

TEST_P(UploadStoreTest, UploadsOfAnAccountAreBounded) {
    const auto upload = [&](char id, const std::string& account, int age) {
        return Upload{std::string(32, id), "a/one", account, 1, "state", 0, clock_.now() + age * kSecond};
    };
    ASSERT_GOOD(store_->uploads().create(upload('a', "ann", 3), 2));
    ASSERT_GOOD(store_->uploads().create(upload('b', "ann", 1), 2));
    EXPECT_FAILS(ErrorCode::exhausted, store_->uploads().create(upload('c', "ann", 2), 2));
    EXPECT_FAILS(ErrorCode::not_found, store_->uploads().load(std::string(32, 'c')));
    ASSERT_GOOD(store_->uploads().create(upload('d', "bob", 0), 2));
    const auto idle = store_->uploads().list_idle("ann", 10);
    ASSERT_GOOD(idle);
    ASSERT_EQ(idle->size(), 2U);
    EXPECT_EQ(idle->front().id, std::string(32, 'b'));
    EXPECT_EQ(store_->uploads().list_idle("ann", 1)->size(), 1U);
    ASSERT_GOOD(store_->uploads().remove(std::string(32, 'b')));
    EXPECT_GOOD(store_->uploads().create(upload('c', "ann", 2), 2));
}

INSTANTIATE_TEST_SUITE_P(Engines, UploadStoreTest, all_meta_engines(), engine_name);

}  // namespace
}  // namespace dtr::meta
