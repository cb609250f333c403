// /api/v0/certificates: what the server shows, and how it is changed.
//
//   GET    .../certificates            fingerprints, dates, phase of a rotation
//   PUT    .../certificates/server     {"certificate","key","ca"}: one of the operator's own; DELETE: back to ours
//   POST   .../certificates/authority  {"step":"begin|switch|finish|cancel"}
//   POST   .../certificates/dump       all key material of the cluster: {"files":[{"name","content"}]}
#include <boost/json.hpp>

#include "api/admin/admin.h"
#include "base/json_fields.h"
#include "cluster/certificates.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;

Result<json::value> description(Services& services) {
    DTR_ASSIGN(const cluster::Rotation rotation, services.certificates->rotation());
    const cluster::ServedCertificate served = services.certificates->served();
    json::object out{{"phase", cluster::to_string(rotation.phase)}};
    DTR_ASSIGN(out["authority"], identity::fingerprint(rotation.authority));
    if (rotation.phase != cluster::RotationPhase::none) {
        DTR_ASSIGN(out[rotation.phase == cluster::RotationPhase::begun ? "next" : "old"],
                   identity::fingerprint(rotation.other));
    }
    DTR_ASSIGN(const std::string server, identity::fingerprint(served.pair.certificate_pem));
    DTR_ASSIGN(const Micros end, identity::not_after(served.pair.certificate_pem));
    out["server"] = json::object{
        {"source", cluster::to_string(served.source)}, {"fingerprint", server}, {"notAfter", format_rfc3339(end)}};
    return json::value(std::move(out));
}

http::Response answer_certificates(Services& services, const Status& done) {
    if (!done) return error_response(done.error(), "NOT_FOUND", "INVALID");
    const auto described = description(services);
    return described ? json_response(200, *described) : error_response(described.error());
}

}  // namespace

http::Reply show_certificates(Asked& asked) {
    return answer_certificates(asked.services, {});
}

http::Reply remove_server_certificate(Asked& asked) {
    const Status done = act_elsewhere(asked, {"certificates.server.remove", ""},
                                      [&] { return asked.services.certificates->take_back(); });
    return answer_certificates(asked.services, done);
}

http::Reply set_server_certificate(Asked& asked) {
    const json::object& fields = *asked.fields;
    cluster::OwnCertificate own{{Secret(text_field(fields, "key")), text_field(fields, "certificate")},
                                text_field(fields, "ca")};
    const Status done =
        act_elsewhere(asked, {"certificates.server.set", identity::fingerprint(own.pair.certificate_pem).value_or("")},
                      [&] { return asked.services.certificates->give(own); });
    return answer_certificates(asked.services, done);
}

http::Reply rotate_authority(Asked& asked) {
    const std::string text = text_field(*asked.fields, "step");
    const auto step = cluster::parse_rotation_step(text);
    if (!step) return error_response(step.error(), "NOT_FOUND", "INVALID");
    const auto epoch = asked.services.registry.epoch();
    if (!epoch) return error_response(epoch.error());
    const Status done = act_elsewhere(asked, {"certificates.authority.rotate", text},
                                      [&] { return asked.services.certificates->rotate(*step, epoch->cluster_id); });
    return answer_certificates(asked.services, done);
}

http::Reply dump_certificates(Asked& asked) {
    const auto snapshot = asked.services.config.list("ca/");
    if (!snapshot) return error_response(snapshot.error());
    json::array files;
    for (const config::Entry& entry : snapshot->entries)
        files.push_back(json::object{{"name", entry.key}, {"content", entry.value.expose()}});
    if (auto announced = announce(asked, {"certificates.dump", ""}); !announced)
        return error_response(announced.error());
    http::Response response = json_response(200, json::object{{"files", std::move(files)}});
    response.set("Cache-Control", "no-store");
    return response;
}

}  // namespace dtr::api::admin
