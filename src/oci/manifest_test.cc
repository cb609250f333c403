#include "oci/manifest.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/random.h"
#include "oci/index_json.h"
#include "oci/media_types.h"

namespace dtr::oci {
namespace {

const std::string kA = "sha256:" + std::string(64, 'a');
const std::string kB = "sha256:" + std::string(64, 'b');
const std::string kC = "sha256:" + std::string(64, 'c');
const std::string kLong = "sha512:" + std::string(128, 'd');
const std::string kLayer = "application/vnd.oci.image.layer.v1.tar+gzip";

std::string descriptor(const std::string& type, const std::string& digest, const std::string& more = "") {
    return R"({"mediaType":")" + type + R"(","digest":")" + digest + R"(","size":7)" + more + "}";
}
std::string image(const std::string& more = "") {
    return R"({"schemaVersion":2,"config":)" + descriptor(std::string(media::kOciConfig), kA) + R"(,"layers":[)" +
           descriptor(kLayer, kB) + "]" + more + "}";
}
Digest digest(const std::string& text) {
    return Digest::parse(text).value();
}

void expect_invalid(const std::string& body, std::string_view type = "", ErrorCode code = ErrorCode::invalid) {
    const auto parsed = parse_manifest(body, type);
    ASSERT_FALSE(parsed) << body;
    EXPECT_EQ(parsed.error().code, code) << body << ": " << parsed.error().text();
    EXPECT_TRUE(parsed.error().message.starts_with("manifest: ")) << parsed.error().message;
}

TEST(Manifest, OfAnOciImage) {
    const auto parsed =
        parse_manifest(image(R"(,"annotations":{"a":"1"},"unknown":[{"x":null}])"), media::kOciManifest);
    ASSERT_TRUE(parsed) << parsed.error().text();
    EXPECT_EQ(parsed->media_type, media::kOciManifest);
    EXPECT_EQ(parsed->artifact_type, media::kOciConfig);
    EXPECT_EQ(parsed->annotations_json, R"({"a":"1"})");
    EXPECT_FALSE(parsed->subject);
    EXPECT_FALSE(parsed->is_index);
    ASSERT_EQ(parsed->needs.size(), 2U);
    EXPECT_EQ(parsed->needs[0].digest, digest(kA));
    EXPECT_EQ(parsed->needs[0].kind, NeedKind::blob);
    EXPECT_EQ(parsed->needs[1].digest, digest(kB));
    EXPECT_FALSE(parsed->needs[1].may_be_absent);
}

TEST(Manifest, TakesItsTypeFromWhereverItIsSaid) {
    EXPECT_EQ(parse_manifest(image(), "")->media_type, media::kOciManifest);
    EXPECT_EQ(parse_manifest(image(R"(,"mediaType":"")"), media::kOciManifest)->media_type, media::kOciManifest);
    EXPECT_EQ(parse_manifest(image(R"(,"mediaType":null)"), media::kDockerManifest)->media_type,
              media::kDockerManifest);
    EXPECT_EQ(parse_manifest(image(), "application/vnd.oci.image.manifest.v1+json; charset=utf-8")->media_type,
              media::kOciManifest);
    EXPECT_EQ(parse_manifest(image(R"(,"mediaType":"application/vnd.docker.distribution.manifest.v2+json")"),
                             "application/octet-stream")
                  ->media_type,
              media::kDockerManifest);
    EXPECT_EQ(parse_manifest(R"({"schemaVersion":2,"manifests":[]})", "")->media_type, media::kOciIndex);
    EXPECT_EQ(parse_manifest(image(), "application/vnd.example.thing.v1+json")->media_type,
              "application/vnd.example.thing.v1+json");
    expect_invalid(image(R"(,"mediaType":"application/vnd.oci.image.manifest.v1+json")"), media::kDockerManifest);
}

TEST(Manifest, TypeThatWouldBreakAHeaderIsRefused) {
    expect_invalid(image(R"(,"mediaType":"a/b\r\nSet-Cookie: x")"));
    expect_invalid(image(R"(,"mediaType":"nonsense")"));
    expect_invalid(image(), "nonsense");
    expect_invalid(image(R"(,"mediaType":7)"));
    expect_invalid(image(R"(,"artifactType":"a\u0000b")"));
}

TEST(Manifest, OfAnIndexNeedsManifestsAndCachesNeedBlobs) {
    const std::string body = R"({"schemaVersion":2,"manifests":[)" + descriptor(std::string(media::kOciManifest), kA) +
                             "," + descriptor(kLayer, kB) + "," + descriptor("", kLong) +
                             R"(],"artifactType":"application/x","subject":)" +
                             descriptor(std::string(media::kOciIndex), kC) + "}";
    const auto parsed = parse_manifest(body, media::kOciIndex);
    ASSERT_TRUE(parsed) << parsed.error().text();
    EXPECT_TRUE(parsed->is_index);
    ASSERT_EQ(parsed->needs.size(), 3U);
    EXPECT_EQ(parsed->needs[0].kind, NeedKind::manifest);
    EXPECT_EQ(parsed->needs[1].kind, NeedKind::blob);
    EXPECT_EQ(parsed->needs[2].kind, NeedKind::manifest);
    EXPECT_EQ(parsed->needs[2].digest.algorithm(), DigestAlgorithm::sha512);
    EXPECT_EQ(parsed->artifact_type, "application/x");
    ASSERT_TRUE(parsed->subject);
    EXPECT_EQ(parsed->subject->digest, digest(kC));
    EXPECT_EQ(parsed->subject->size, 7U);
}

TEST(Manifest, OfAnArtifactNeedsItsBlobs) {
    const auto parsed = parse_manifest(
        R"({"mediaType":"application/vnd.oci.artifact.manifest.v1+json","artifactType":"a/b","blobs":[)" +
            descriptor("x/y", kA) + R"(],"subject":null})",
        "");
    ASSERT_TRUE(parsed) << parsed.error().text();
    EXPECT_EQ(parsed->artifact_type, "a/b");
    EXPECT_EQ(parsed->needs.size(), 1U);
    EXPECT_TRUE(parse_manifest(R"({"artifactType":"a/b"})", media::kOciArtifact));
}

TEST(Manifest, ArtifactTypeWinsOverConfig) {
    const auto parsed = parse_manifest(image(R"(,"artifactType":"application/vnd.example+type")"), "");
    EXPECT_EQ(parsed->artifact_type, "application/vnd.example+type");
}

TEST(Manifest, LayersThatNeedNotBePushed) {
    const std::string foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    const std::string body =
        R"({"schemaVersion":2,"config":)" + descriptor("c/c", kA) + R"(,"layers":[)" + descriptor(foreign, kB) + "," +
        descriptor(kLayer, kC, R"(,"urls":["https://example.com/l"])") + "," +
        descriptor(kLayer, kLong, R"(,"urls":[])") + "," + descriptor(kLayer, kLong, R"(,"urls":null)") + "]}";
    const auto parsed = parse_manifest(body, media::kDockerManifest);
    ASSERT_TRUE(parsed) << parsed.error().text();
    ASSERT_EQ(parsed->needs.size(), 4U);
    EXPECT_FALSE(parsed->needs[0].may_be_absent);
    EXPECT_TRUE(parsed->needs[1].may_be_absent);
    EXPECT_TRUE(parsed->needs[2].may_be_absent);
    EXPECT_FALSE(parsed->needs[3].may_be_absent);
}

TEST(Manifest, DigestUsedTwiceIsNeededOnceAndForGood) {
    const std::string empty = std::string(media::kOciEmpty);
    const std::string foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    const auto parsed =
        parse_manifest(R"({"schemaVersion":2,"config":)" + descriptor(empty, kA) + R"(,"layers":[)" +
                           descriptor(empty, kA) + "," + descriptor(foreign, kB) + "," + descriptor(kLayer, kB) + "]}",
                       "");
    ASSERT_TRUE(parsed);
    ASSERT_EQ(parsed->needs.size(), 2U);
    EXPECT_FALSE(parsed->needs[1].may_be_absent);
}

TEST(Manifest, NullIsAnEmptyList) {
    EXPECT_TRUE(parse_manifest(
        R"({"schemaVersion":2,"annotations":null,"layers":null,"config":)" + descriptor("c/c", kA) + "}", ""));
    EXPECT_TRUE(parse_manifest(R"({"schemaVersion":2,"manifests":null})", media::kOciIndex));
    EXPECT_TRUE(parse_manifest(R"({"schemaVersion":2})", media::kDockerList));
}

TEST(Manifest, LastOfDuplicateKeysCounts) {
    const auto parsed = parse_manifest(image(R"(,"artifactType":"a/first","artifactType":"a/last")"), "");
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->artifact_type, "a/last");
}

TEST(Manifest, Schema1IsRefusedWithAHint) {
    const std::string body = R"({"schemaVersion":1,"name":"a","fsLayers":[]})";
    for (const auto type :
         {std::string_view(), media::kDockerSchema1, media::kDockerSchema1Signed, media::kDockerManifest}) {
        const auto parsed = parse_manifest(body, type);
        ASSERT_FALSE(parsed);
        EXPECT_EQ(parsed.error().code, ErrorCode::unsupported);
        EXPECT_NE(parsed.error().message.find("schema 1"), std::string::npos);
        EXPECT_FALSE(parsed.error().hint.empty());
    }
    // It says so itself, whatever it looks like.
    const auto named =
        parse_manifest(image(R"(,"mediaType":"application/vnd.docker.distribution.manifest.v1+json")"), "");
    ASSERT_FALSE(named);
    EXPECT_EQ(named.error().code, ErrorCode::unsupported);
}

TEST(Manifest, ThatMeansTwoThingsIsRefused) {
    expect_invalid(image(R"(,"manifests":[])"), media::kOciManifest);
    expect_invalid(image(R"(,"manifests":[])"), media::kOciIndex);
    expect_invalid(image(), media::kOciIndex);
    expect_invalid(R"({"schemaVersion":2,"manifests":[]})", media::kDockerManifest);
    expect_invalid(R"({"schemaVersion":2,"manifests":[],"layers":[]})");
    expect_invalid(image(), media::kOciArtifact);
}

TEST(Manifest, BrokenOnesSayWhere) {
    const std::string c = descriptor("c/c", kA);
    expect_invalid("");
    expect_invalid("null");
    expect_invalid("[]");
    expect_invalid("{");
    expect_invalid(image() + "x");
    expect_invalid("\xff" + image());
    expect_invalid(R"({"config":)" + c + "}");
    expect_invalid(R"({"schemaVersion":"2","config":)" + c + "}");
    expect_invalid(R"({"schemaVersion":3,"config":)" + c + "}");
    expect_invalid(R"({"schemaVersion":2,"layers":[]})");
    expect_invalid(R"({"schemaVersion":2,"config":[]})");
    expect_invalid(R"({"schemaVersion":2,"config":{}})");
    expect_invalid(R"({"schemaVersion":2,"layers":{},"config":)" + c + "}");
    expect_invalid(R"({"schemaVersion":2,"layers":[null],"config":)" + c + "}");
    expect_invalid(R"({"schemaVersion":2,"manifests":"x"})");
    expect_invalid(image(R"(,"annotations":[])"));
    expect_invalid(image(R"(,"annotations":{"a":1})"));
    expect_invalid(image(R"(,"subject":"x")"));
    expect_invalid(image(R"(,"subject":{"mediaType":"a/b","size":1})"));
    expect_invalid(R"({"schemaVersion":2})", "", ErrorCode::unsupported);
    expect_invalid(R"({"schemaVersion":2})", "application/vnd.example", ErrorCode::unsupported);
    const auto parsed = parse_manifest(
        R"({"schemaVersion":2,"config":)" + c + R"(,"layers":[)" + c + R"(,{"digest":"sha256:xyz"}]})", "");
    ASSERT_FALSE(parsed);
    EXPECT_NE(parsed.error().message.find("layers[1].digest"), std::string::npos) << parsed.error().message;
}

TEST(Manifest, SizesAndDigestsThatCannotBe) {
    for (const char* size : {"-1", "9223372036854775808", "1e30", "1.5", "\"7\"", "true"})
        expect_invalid(R"({"schemaVersion":2,"config":{"mediaType":"c/c","digest":")" + kA + R"(","size":)" + size +
                       "}}");
    EXPECT_TRUE(parse_manifest(
        R"({"schemaVersion":2,"config":{"mediaType":"c/c","digest":")" + kA + R"(","size":9223372036854775807}})", ""));
    for (const std::string& text :
         {std::string("sha256:abc"), "sha256:" + std::string(64, 'A'), "md5:" + std::string(32, 'a'),
          "blake3:" + std::string(64, 'a'), std::string(1000, 'a'), std::string(":"), std::string()})
        expect_invalid(R"({"schemaVersion":2,"config":)" + descriptor("c/c", text) + "}");
}

TEST(Manifest, DepthAndBulkAreBounded) {
    expect_invalid(image(R"(,"x":)" + std::string(100, '[') + std::string(100, ']')));
    expect_invalid(std::string(kManifestBytesMax, '['));
    std::string many = image(R"(,"x":[0)");
    many.pop_back();
    while (many.size() < kManifestBytesMax) many += ",0,0,0,0,0,0,0,0";
    expect_invalid(many + "]}");
    std::string large = R"({"schemaVersion":2,"config":)" + descriptor("c/c", kA) + R"(,"annotations":{"k":"v")";
    for (int i = 0; i < 390; ++i) large += ",\"k" + std::to_string(i) + "\":\"" + std::string(10'000, 'v') + "\"";
    const auto parsed = parse_manifest(large + "}}", "");
    ASSERT_TRUE(parsed) << parsed.error().text();
    EXPECT_GT(parsed->annotations_json.size(), 3'900'000U);
}

TEST(Manifest, ManyLayersFit) {
    std::string body = R"({"schemaVersion":2,"config":)" + descriptor("c/c", kA) + R"(,"layers":[)";
    std::size_t count = 0;
    while (body.size() < kManifestBytesMax - 300) {
        if (count++ > 0) body += ",";
        body += descriptor(kLayer, Digest::of(std::to_string(count)).to_string());
    }
    const auto parsed = parse_manifest(body + "]}", "");
    ASSERT_TRUE(parsed) << parsed.error().text();
    EXPECT_EQ(parsed->needs.size(), count + 1);
}

TEST(Manifest, ATextIsNotPushedAsAManifest) {
    for (const char* type : {"text/plain", "TEXT/PLAIN; charset=utf-8", "text/html", "multipart/form-data; boundary=x",
                             "image/svg+xml", "application/x-www-form-urlencoded", "nonsense"}) {
        const auto pushed = check_pushed_type(type);
        ASSERT_FALSE(pushed) << type;
        EXPECT_EQ(pushed.error().code, ErrorCode::invalid);
    }
    for (const char* type : {"", "application/vnd.oci.image.manifest.v1+json", "Application/JSON; charset=utf-8",
                             "application/octet-stream", "application/vnd.example.thing+json"})
        EXPECT_TRUE(check_pushed_type(type)) << type;
}

TEST(Manifest, DamagedBytesNeverCrash) {
    const std::string good = image(R"(,"subject":)" + descriptor("a/b", kC) + R"(,"annotations":{"a":"\u00e9"})");
    SeededRandom random(11);
    int refused = 0;
    for (int i = 0; i < 20'000; ++i) {
        std::string body = good;
        for (std::uint64_t n = 1 + random.next() % 4; n > 0; --n) {
            const std::size_t at = random.next() % body.size();
            switch (random.next() % 3) {
                case 0:
                    body[at] = static_cast<char>(random.next());
                    break;
                case 1:
                    body.erase(at, random.next() % 20);
                    break;
                default:
                    body.insert(at, body.substr(random.next() % body.size(), 10));
            }
            if (body.empty()) body = "{";
        }
        const auto parsed = parse_manifest(body, random.next() % 2 == 0 ? "" : media::kOciManifest);
        refused += parsed ? 0 : 1;
    }
    EXPECT_GT(refused, 10'000);
    for (int i = 0; i < 5'000; ++i) EXPECT_FALSE(parse_manifest(random.bytes(random.next() % 200), ""));
}

TEST(ReferrersIndex, CarriesWhatIsSet) {
    Descriptor first;
    first.media_type = media::kOciManifest;
    first.digest = digest(kA);
    first.size = 12;
    first.artifact_type = "application/\"sbom\"";
    first.annotations_json = R"({"k":"v","z":"\u0001"})";
    Descriptor second;
    second.media_type = media::kOciIndex;
    second.digest = digest(kLong);
    second.annotations_json = "not json";
    const auto index = boost::json::parse(referrers_index(std::vector{first, second}));
    EXPECT_EQ(index.at("schemaVersion").as_int64(), 2);
    EXPECT_EQ(index.at("mediaType").as_string(), media::kOciIndex);
    const auto& list = index.at("manifests").as_array();
    ASSERT_EQ(list.size(), 2U);
    EXPECT_EQ(list[0].at("artifactType").as_string(), first.artifact_type);
    EXPECT_EQ(list[0].at("annotations").at("k").as_string(), "v");
    EXPECT_EQ(list[0].at("size").as_int64(), 12);
    EXPECT_EQ(list[1].at("digest").as_string(), kLong);
    EXPECT_FALSE(list[1].as_object().contains("artifactType"));
    EXPECT_FALSE(list[1].as_object().contains("annotations"));
    EXPECT_EQ(referrers_index({}),
              R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]})");
}

}  // namespace
}  // namespace dtr::oci
