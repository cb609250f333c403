#include "backup/layout_view.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "base/digest.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::backup {
namespace {

using test::must;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string kManifestDigest = Digest::of("a manifest").to_string();

std::string entry(const std::string& ref, const std::string& digest = kManifestDigest) {
    const bool plain = ref.find("_odd") == std::string::npos && ref.find("..") == std::string::npos;
    return fmt::format(
        R"({{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":10,"annotations":{{"{}":"{}"}}}})",
        digest, plain ? "org.opencontainers.image.ref.name" : "dtr.ref", ref);
}
std::string index(const std::string& entries) {
    return R"({"schemaVersion":2,"manifests":[)" + entries + "]}";
}

class LayoutViewTest : public testing::Test {
  protected:
    void put(const std::string& name, const std::string& bytes) {
        const std::string path = dir.path() + "/" + name;
        must(make_directories(real_disk(), path.substr(0, path.rfind('/'))));
        must(write_file(real_disk(), path, bytes));
    }
    std::string blob(const std::string& bytes) {
        put("blobs/sha256/" + Digest::of(bytes).hex(), bytes);
        return Digest::of(bytes).to_string();
    }
    Result<LayoutView> view(const std::string& repository) {
        return write_layout_view(real_disk(), dir.path(), repository);
    }
    test::TempDir dir;
};

TEST_F(LayoutViewTest, TakesTheTagsOfOneRepository) {
    put("index.json",
        index(entry("a/b:1") + "," + entry("a/b:_odd..tag") + "," + entry("a:1") + "," + entry("a/b/c:1")));
    const LayoutView found = must(view("a/b"));
    EXPECT_EQ(found.path, dir.path() + "/layouts/a+b");
    EXPECT_EQ(found.tags, 2U);
    EXPECT_THAT(found.unnamed, ElementsAre("_odd..tag"));
    const std::string text = must(read_file(real_disk(), found.path + "/index.json"));
    EXPECT_THAT(text, HasSubstr(R"("org.opencontainers.image.ref.name":"1")"));
    EXPECT_THAT(text, HasSubstr(R"("dtr.ref":"_odd..tag")"));
    EXPECT_EQ(std::filesystem::read_symlink(found.path + "/blobs"), "../../blobs");
    EXPECT_EQ(must(view("a")).tags, 1U);
    EXPECT_EQ(must(view("a/b")).tags, 2U);
    EXPECT_EQ(view("b").error().code, ErrorCode::not_found);
}

TEST_F(LayoutViewTest, FindsItInNestedIndexes) {
    const std::string one = blob(index(entry("a/b:1") + "," + entry("a/b:2")));
    const std::string two = blob(index(entry("z:1")));
    const std::string group = blob(index(entry("a/b", one)));
    put("index.json", index(entry("a..m", group) + "," + entry("n..z", Digest::of("is not read").to_string())));
    EXPECT_EQ(must(view("a/b")).tags, 2U);
    EXPECT_EQ(view("c").error().code, ErrorCode::not_found);
    put("index.json", index(entry("a/b", one) + "," + entry("z", two)));
    EXPECT_EQ(must(view("z")).tags, 1U);
    // An index below that was changed, or that is its own parent by name, is not followed.
    put("blobs/sha256/" + Digest::parse(two)->hex(), index(entry("z:2")));
    EXPECT_EQ(view("z").error().code, ErrorCode::corrupt);
}

TEST_F(LayoutViewTest, RefusesWhatIsNoExtractedBackup) {
    EXPECT_EQ(view("a").error().code, ErrorCode::invalid);
    put("index.json.age", "x");
    EXPECT_THAT(view("a").error().message, HasSubstr("encrypted"));
    for (const char* text : {"", "[]", "{}", R"({"manifests":{}})", R"({"manifests":[1]})"}) {
        put("index.json", text);
        EXPECT_EQ(view("a").error().code, ErrorCode::invalid) << text;
    }
    put("index.json", index(entry("a:1")));
    for (const char* name : {"", "../a", "A", "a:1", "/a", "a/"}) EXPECT_FALSE(view(name)) << name;
    EXPECT_FALSE(std::filesystem::exists(dir.path() + "/layouts"));
    put("index.json", index(entry("a", "sha256:../../../etc/passwd")));
    EXPECT_EQ(view("a").error().code, ErrorCode::invalid);
}

}  // namespace
}  // namespace dtr::backup
