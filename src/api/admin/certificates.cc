// /api/v0/certificates: what the server shows, and how it is changed.
//
//   GET    .../certificates            fingerprints, dates, phase of a rotation
//   PUT    .../certificates/server     {"certificate","key","ca"}: one of the operator's own; DELETE: back to ours
//   POST   .../certificates/authority  {"step":"begin|switch|finish|cancel"}
//   POST   .../certificates/dump       all key material of the cluster: {"files":[{"name","content"}]}
#include <boost/json.hpp>

#include "api/admin/admin.h"
#include "api/audit.h"
#include "cluster/certificates.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;

constexpr std::string_view kPath = "/api/v0/certificates";

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

http::Response answer(Services& services, const Status& done) {
    if (!done) return error_response(done.error(), "NOT_FOUND", "INVALID");
    const auto described = description(services);
    return described ? json_response(200, *described) : error_response(described.error());
}

std::string text_of(const json::object& fields, std::string_view name) {
    const auto* value = fields.if_contains(name);
    return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

http::Reply change_server(Services& services, const http::Request& request, const Caller& caller) {
    if (request.method == "DELETE") {
        const Status done = services.certificates->take_back();
        if (done) audit(services, request, caller, "certificates.server.remove", "");
        return answer(services, done);
    }
    if (request.method != "PUT") return error_response(405, "UNSUPPORTED", "use PUT or DELETE");
    return with_json_body(request, [&services, request, caller](const json::object& fields) {
        cluster::OwnCertificate own{{Secret(text_of(fields, "key")), text_of(fields, "certificate")},
                                    text_of(fields, "ca")};
        const Status done = services.certificates->give(own);
        if (done)
            audit(services, request, caller, "certificates.server.set",
                  identity::fingerprint(own.pair.certificate_pem).value_or(""));
        return answer(services, done);
    });
}

http::Reply rotate(Services& services, const http::Request& request, const Caller& caller) {
    if (request.method != "POST") return error_response(405, "UNSUPPORTED", "use POST");
    return with_json_body(request, [&services, request, caller](const json::object& fields) {
        const auto step = cluster::parse_rotation_step(text_of(fields, "step"));
        if (!step) return error_response(step.error(), "NOT_FOUND", "INVALID");
        const auto epoch = services.registry.meta().epoch();
        if (!epoch) return error_response(epoch.error());
        const Status done = services.certificates->rotate(*step, epoch->cluster_id);
        if (done) audit(services, request, caller, "certificates.authority.rotate", text_of(fields, "step"));
        return answer(services, done);
    });
}

http::Reply dump(Services& services, const http::Request& request, const Caller& caller) {
    if (request.method != "POST") return error_response(405, "UNSUPPORTED", "use POST");
    if (caller.principal.by_token)
        return error_response(403, "NOT_AUTHORIZED", "an access token does not open private keys: use the password");
    const auto snapshot = services.config.list("ca/");
    if (!snapshot) return error_response(snapshot.error());
    json::array files;
    for (const config::Entry& entry : snapshot->entries)
        files.push_back(json::object{{"name", entry.key}, {"content", entry.value.expose()}});
    audit(services, request, caller, "certificates.dump", "");
    http::Response response = json_response(200, json::object{{"files", std::move(files)}});
    response.set("Cache-Control", "no-store");
    return response;
}

}  // namespace

http::Reply handle_certificates(Services& services, const http::Request& request, const Caller& caller) {
    if (auto refused = require_administrator(services, request, caller)) return std::move(*refused);
    const std::string_view part = std::string_view(request.path).substr(kPath.size());
    if (part == "/dump") return dump(services, request, caller);
    if (services.certificates == nullptr) return error_response(404, "NOT_FOUND", "this server has no certificates");
    if (part == "/server") return change_server(services, request, caller);
    if (part == "/authority") return rotate(services, request, caller);
    if (!part.empty()) return error_response(404, "NOT_FOUND", "nothing is served there");
    if (request.method != "GET") return error_response(405, "UNSUPPORTED", "use GET");
    return answer(services, {});
}

}  // namespace dtr::api::admin
