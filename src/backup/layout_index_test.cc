#include "backup/layout_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <map>

#include "archive/copy_text.h"
#include "archive/names.h"
#include "archive/zstd.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::backup {
namespace {

namespace json = boost::json;
using test::must;

// A spooled cut with the rows given, each table in two parts.
class LayoutIndexTest : public testing::Test {
  protected:
    LayoutIndexTest() : cut(must(Spool::open(real_disk(), dir.path(), "t"))) {}

    void repository(int id, const std::string& name) {
        rows["repositories"].push_back({std::to_string(id), name, "ns", "0", "1"});
    }
    Digest manifest(int repository, const std::string& bytes) {
        const Digest digest = Digest::of(bytes);
        rows["manifests"].push_back({std::to_string(repository), digest.to_string(),
                                     "application/vnd.oci.image.manifest.v1+json", "", "", std::nullopt,
                                     std::to_string(bytes.size()), "1"});
        return digest;
    }
    void tag(int repository, const std::string& name, const Digest& digest) {
        rows["tags"].push_back({std::to_string(repository), name, digest.to_string(), "1"});
    }
    void spool() {
        for (const char* table : {"repositories", "manifests", "tags"}) {
            const auto& all = rows[table];
            std::uint64_t part = 0;
            for (const auto& [begin, end] :
                 {std::pair<std::size_t, std::size_t>{0, all.size() / 2}, {all.size() / 2, all.size()}}) {
                std::string text;
                for (std::size_t i = begin; i < end; ++i) must(archive::copy_append(text, all[i]));
                if (!text.empty())
                    cut.tables.push_back(
                        must(cut.spool.append(archive::table_name(table, part++), archive::zstd_compress(text))));
            }
        }
    }
    // (name under which a reference is found, digest) of an index, following nested ones.
    std::map<std::string, std::string> references(std::string_view index, int depth = 0) {
        EXPECT_LT(depth, 4);
        std::map<std::string, std::string> found;
        const json::value document = json::parse(index);
        EXPECT_EQ(document.at("schemaVersion").as_int64(), 2);
        for (const json::value& one : document.at("manifests").as_array()) {
            const std::string digest(one.at("digest").as_string());
            if (one.at("mediaType").as_string() == "application/vnd.oci.image.index.v1+json") {
                for (const CutObject& object : cut.synthetic) {
                    if (object.digest.to_string() != digest) continue;
                    const std::string bytes = must(cut.spool.read(object.synthetic));
                    EXPECT_EQ(Digest::of(bytes).to_string(), digest);
                    EXPECT_EQ(object.size, bytes.size());
                    found.merge(references(bytes, depth + 1));
                }
                continue;
            }
            const auto& annotations = one.at("annotations").as_object();
            EXPECT_EQ(annotations.size(), 1U);
            found[std::string(annotations.begin()->key()) + "=" +
                  std::string(annotations.begin()->value().as_string())] = digest;
        }
        return found;
    }

    test::TempDir dir;
    CutSpool cut;
    std::map<std::string, std::vector<archive::CopyRow>> rows;
};

const std::string kRef = "org.opencontainers.image.ref.name=";

TEST_F(LayoutIndexTest, AnEmptyRegistry) {
    spool();
    must(build_layout_index(cut));
    EXPECT_EQ(cut.index_json,
              R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]})");
    EXPECT_TRUE(cut.synthetic.empty());
}

TEST_F(LayoutIndexTest, TagsAreListedFlatUnderTheirNames) {
    repository(1, "team/app");
    repository(2, "team/no-tags");
    repository(3, "solo");
    const Digest a = manifest(1, "manifest a");
    const Digest b = manifest(1, "manifest b!");
    manifest(2, "untagged");
    const Digest c = manifest(3, "manifest c");
    tag(1, "1", a);
    tag(1, "latest", b);
    tag(3, "v1.0-rc.1", c);
    spool();
    must(build_layout_index(cut));
    EXPECT_TRUE(cut.synthetic.empty());
    EXPECT_THAT(references(cut.index_json),
                testing::UnorderedElementsAre(testing::Pair(kRef + "team/app:1", a.to_string()),
                                              testing::Pair(kRef + "team/app:latest", b.to_string()),
                                              testing::Pair(kRef + "solo:v1.0-rc.1", c.to_string())));
    const json::value document = json::parse(cut.index_json);
    EXPECT_EQ(document.at("manifests").as_array()[0].at("size").to_number<std::uint64_t>(), 10U);
}

// The annotation's grammar: alphanumerics joined by one of "-._:@+" or "--", components by "/".
TEST_F(LayoutIndexTest, NamesOutsideTheGrammarGetOurOwnAnnotation) {
    repository(1, "team/a__b");
    repository(2, "ok/a--b");
    repository(3, "ok/a---b");
    const Digest one = manifest(1, "1");
    const Digest two = manifest(2, "2");
    const Digest three = manifest(3, "3");
    tag(1, "t", one);
    tag(2, "T_1", two);
    tag(2, "_odd", two);
    tag(2, "end-", two);
    tag(2, "a..b", two);
    tag(3, "t", three);
    spool();
    must(build_layout_index(cut));
    EXPECT_THAT(references(cut.index_json),
                testing::UnorderedElementsAre(testing::Pair("dtr.ref=team/a__b:t", one.to_string()),
                                              testing::Pair(kRef + "ok/a--b:T_1", two.to_string()),
                                              testing::Pair("dtr.ref=ok/a--b:_odd", two.to_string()),
                                              testing::Pair("dtr.ref=ok/a--b:end-", two.to_string()),
                                              testing::Pair("dtr.ref=ok/a--b:a..b", two.to_string()),
                                              testing::Pair("dtr.ref=ok/a---b:t", three.to_string())));
}

TEST_F(LayoutIndexTest, NestedAboveTheLimit) {
    for (int id = 1; id <= 6; ++id) {
        repository(id, fmt::format("team/app{}", id));
        for (int n = 0; n < 10; ++n) tag(id, fmt::format("t{}", n), manifest(id, fmt::format("{}-{}", id, n)));
    }
    spool();
    must(build_layout_index(cut));
    const auto flat = references(cut.index_json);
    EXPECT_EQ(flat.size(), 60U);
    must(build_layout_index(cut, 3000));
    EXPECT_LE(cut.index_json.size(), 3000U);
    EXPECT_EQ(cut.synthetic.size(), 6U);
    EXPECT_TRUE(std::is_sorted(cut.synthetic.begin(), cut.synthetic.end(),
                               [](const CutObject& a, const CutObject& b) { return a.digest < b.digest; }));
    EXPECT_EQ(references(cut.index_json), flat);
    EXPECT_THAT(cut.index_json, testing::HasSubstr(R"("org.opencontainers.image.ref.name":"team/app1")"));
}

// A registry of very many repositories: their indexes do not fit into one list either.
TEST_F(LayoutIndexTest, GroupedWhereEvenTheNestedIndexesAreTooMany) {
    for (int id = 1; id <= 200; ++id) {
        repository(id, fmt::format("team/app{:03}", id));
        tag(id, "latest", manifest(id, std::to_string(id)));
    }
    spool();
    must(build_layout_index(cut, 4000));
    EXPECT_LE(cut.index_json.size(), 4000U);
    EXPECT_GT(cut.synthetic.size(), 200U);
    EXPECT_EQ(references(cut.index_json).size(), 200U);
    EXPECT_THAT(cut.index_json, testing::HasSubstr(R"("dtr.ref":"team/app001..team/app)"));
}

TEST_F(LayoutIndexTest, ATagWithoutItsManifestIsCorrupt) {
    repository(1, "team/app");
    tag(1, "t", Digest::of("nothing"));
    spool();
    const auto built = build_layout_index(cut);
    ASSERT_FALSE(built);
    EXPECT_EQ(built.error().code, ErrorCode::corrupt);
    EXPECT_THAT(built.error().message, testing::HasSubstr("team/app:t"));
}

// The archive lists every blob once and in order, also where somebody pushed the very index that we make up.
TEST_F(LayoutIndexTest, ObjectsComeOnceAndInOrder) {
    for (int id = 1; id <= 3; ++id) {
        repository(id, fmt::format("team/app{}", id));
        tag(id, "t", manifest(id, std::to_string(id)));
    }
    spool();
    must(build_layout_index(cut, 600));
    ASSERT_GE(cut.synthetic.size(), 3U);
    const CutObject pushed = cut.synthetic[1];
    std::vector<Digest> real = {Digest::of("x"), Digest::of("y"), pushed.digest,
                                Digest::of("z", DigestAlgorithm::sha512)};
    std::sort(real.begin(), real.end());
    std::string text;
    for (const Digest& digest : real) text += fmt::format("{} 0011223344556677 5\n", digest.to_string());
    cut.object_lists.push_back(must(cut.spool.append("objects", text)));
    std::vector<Digest> seen;
    must(each_cut_object(cut, [&](const CutObject& object) -> Status {
        if (object.digest == pushed.digest) {
            EXPECT_EQ(object.generation, "0011223344556677");
        }
        seen.push_back(object.digest);
        return {};
    }));
    EXPECT_EQ(seen.size(), cut.synthetic.size() + real.size() - 1);
    EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
    EXPECT_EQ(std::adjacent_find(seen.begin(), seen.end()), seen.end());
}

}  // namespace
}  // namespace dtr::backup
