// Manifests: what is understood is consistent in itself, and stays the same under the type it was given.
#include "oci/manifest.h"

#include <boost/json.hpp>
#include <set>

#include "fuzz/fuzz.h"
#include "oci/index_json.h"

namespace dtr::fuzz {
namespace {

void check_annotations(const std::string& text) {
    if (text.empty()) return;
    boost::system::error_code error;
    FUZZ_CHECK(boost::json::parse(text, error).is_object() && !error);
}

void check(std::string_view input, std::string_view type) {
    const auto parsed = oci::parse_manifest(input, type);
    if (!parsed) {
        FUZZ_CHECK(parsed.error().code == ErrorCode::invalid || parsed.error().code == ErrorCode::unsupported);
        FUZZ_CHECK(!parsed.error().message.empty() && parsed.error().message.size() < 2000);
        return;
    }
    std::set<Digest> seen;
    for (const auto& need : parsed->needs) {
        FUZZ_CHECK(!need.digest.empty() && seen.insert(need.digest).second);
        FUZZ_CHECK(input.find(need.digest.hex().substr(0, 1)) != std::string_view::npos);
    }
    FUZZ_CHECK(parsed->needs.size() * 64 <= input.size() + 64);
    FUZZ_CHECK(!parsed->media_type.empty());
    check_annotations(parsed->annotations_json);
    const auto again = oci::parse_manifest(input, parsed->media_type);
    FUZZ_CHECK(again.has_value() && again->media_type == parsed->media_type && again->is_index == parsed->is_index);
    FUZZ_CHECK(again->needs.size() == parsed->needs.size());
    if (!parsed->subject) return;
    check_annotations(parsed->subject->annotations_json);
    const std::vector<oci::Descriptor> answer{*parsed->subject};
    boost::system::error_code error;
    FUZZ_CHECK(boost::json::parse(oci::referrers_index(answer), error).is_object() && !error);
}

}  // namespace

void one(std::string_view input) {
    for (const auto* type :
         {"", "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
          "application/vnd.docker.distribution.manifest.v2+json", "application/json; charset=utf-8"})
        check(input, type);
}

}  // namespace dtr::fuzz
