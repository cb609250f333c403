#include "oci/index_json.h"

#include <boost/json.hpp>

#include "oci/media_types.h"

namespace dtr::oci {
namespace json = boost::json;

std::string referrers_index(std::span<const Descriptor> manifests) {
    json::array list;
    list.reserve(manifests.size());
    for (const Descriptor& entry : manifests) {
        json::object& out = list.emplace_back(json::object()).get_object();
        out["mediaType"] = entry.media_type;
        out["digest"] = entry.digest.to_string();
        out["size"] = entry.size;
        if (!entry.artifact_type.empty()) out["artifactType"] = entry.artifact_type;
        if (!entry.annotations_json.empty()) {
            boost::system::error_code error;
            json::value annotations = json::parse(entry.annotations_json, error);
            if (!error && annotations.is_object()) out["annotations"] = std::move(annotations);
        }
    }
    json::object index;
    index["schemaVersion"] = 2;
    index["mediaType"] = media::kOciIndex;
    index["manifests"] = std::move(list);
    return json::serialize(index);
}

}  // namespace dtr::oci
