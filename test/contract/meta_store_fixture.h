// What the metadata contract's files share: an engine joins with one MetaEngine.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "meta/meta_store.h"
#include "meta/sqlite/sqlite_meta_store.h"
#include "test/support/temp_dir.h"

namespace dtr::meta {

struct MetaEngine {
    std::string name;
    // Opens the database that belongs to `directory`, making it if need be.
    std::function<Result<std::unique_ptr<MetaStore>>(const std::string& directory, Clock&, Random&)> open;
    // Fills a new one in an empty `directory`.
    std::function<Result<std::unique_ptr<BulkLoader>>(const std::string& directory, Clock&)> load;
};

inline void PrintTo(const MetaEngine& engine, std::ostream* out) {
    *out << engine.name;
}

inline MetaEngine sqlite_engine() {
    return {"sqlite",
            [](const std::string& directory, Clock& clock, Random& random) {
                return open_sqlite_meta_store({directory + "/dtr.db", 4}, clock, random);
            },
            [](const std::string& directory, Clock& clock) {
                return open_sqlite_bulk_loader(directory + "/dtr.db", clock);
            }};
}

inline auto all_meta_engines() {
    return ::testing::Values(sqlite_engine());
}
inline std::string engine_name(const ::testing::TestParamInfo<MetaEngine>& info) {
    return info.param.name;
}

inline Digest digest_of(const std::string& text) {
    return Digest::of(text);
}
inline Object object_of(const std::string& text, const std::string& generation = "00000000000000aa") {
    return {digest_of(text), generation, text.size()};
}

inline ManifestPut put_of(const std::string& repository, const std::string& text, const std::vector<std::string>& blobs,
                          const std::vector<std::string>& tags) {
    ManifestPut put;
    put.repository = repository;
    put.manifest.digest = digest_of(text);
    put.manifest.media_type = "application/vnd.oci.image.manifest.v1+json";
    put.manifest.size = text.size();
    put.manifest.generation = "00000000000000bb";
    for (const std::string& blob : blobs) put.references.push_back({digest_of(blob), ReferenceKind::blob, false});
    put.tags = tags;
    return put;
}

template <class T>
ErrorCode code_of(const Result<T>& result) {
    return result ? ErrorCode{} : result.error().code;
}

#define ASSERT_GOOD(expression)                                                        \
    do {                                                                               \
        const auto& good_ = (expression);                                              \
        ASSERT_TRUE(good_.has_value()) << #expression << ": " << good_.error().text(); \
    } while (false)
#define EXPECT_GOOD(expression)                                                        \
    do {                                                                               \
        const auto& good_ = (expression);                                              \
        EXPECT_TRUE(good_.has_value()) << #expression << ": " << good_.error().text(); \
    } while (false)
#define EXPECT_FAILS(wanted, expression)                                 \
    do {                                                                 \
        const auto& bad_ = (expression);                                 \
        if (bad_.has_value())                                            \
            ADD_FAILURE() << #expression << " succeeded";                \
        else                                                             \
            EXPECT_EQ(bad_.error().code, wanted) << bad_.error().text(); \
    } while (false)

class MetaStoreFixture : public ::testing::TestWithParam<MetaEngine> {
  protected:
    MetaStoreFixture() { reopen(); }

    void reopen() {
        store_.reset();
        auto opened = GetParam().open(directory_.path(), clock_, random_);
        if (!opened) throw std::runtime_error(opened.error().text());
        store_ = std::move(*opened);
    }

    ContentStore& content() { return store_->content(); }
    RepositoryStore& repositories() { return store_->repositories(); }

    // Blobs pushed and leased for an hour.
    void push(const std::string& repository, const std::vector<std::string>& blobs) {
        for (const std::string& blob : blobs)
            EXPECT_GOOD(content().add_blob(repository, object_of(blob), clock_.now() + 3600 * kSecond, "", "ann"));
    }
    void put(const ManifestPut& put) {
        auto outcome = content().put_manifest(put, "ann");
        EXPECT_GOOD(outcome);
        if (outcome) {
            EXPECT_TRUE(outcome->missing.empty());
        }
    }

    test::TempDir directory_;
    ManualClock clock_{1'700'000'000 * kSecond};
    SeededRandom random_{7};
    std::unique_ptr<MetaStore> store_;
};

}  // namespace dtr::meta
