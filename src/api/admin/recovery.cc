// /api/v0/recovery-key: GET says what backups are sealed to and who signs them; PUT {"from":"age1...","to":"age1..."}
// changes it. The private half never comes here.
#include <boost/json.hpp>

#include "api/admin/admin.h"
#include "api/errors.h"
#include "backup/rekey.h"
#include "sys/log.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;
constexpr std::size_t kBodyMax = 16U << 10;

http::Response describe(Services& services) {
    const auto epoch = services.registry.meta().epoch();
    if (!epoch) return error_response(epoch.error());
    const auto state = backup::recovery_state(services.config, epoch->cluster_id);
    if (!state) return error_response(state.error());
    http::Response response;
    response.set("Content-Type", "application/json");
    response.body = json::serialize(json::object{
        {"clusterId", state->cluster_id}, {"recipient", state->recipient.text()}, {"signer", state->signer}});
    return response;
}

Result<archive::AgeRecipient> recipient_of(const json::object& fields, std::string_view name) {
    const auto* text = fields.if_contains(name);
    if (text == nullptr || !text->is_string())
        return fail(ErrorCode::invalid, fmt::format("the body lacks \"{}\"", name),
                    "it is {\"from\":\"age1...\",\"to\":\"age1...\"}");
    return archive::AgeRecipient::parse(std::string_view(text->as_string()));
}

Status change(Services& services, const std::string& body, const std::string& actor) {
    boost::system::error_code error;
    const json::value document = json::parse(body, error);
    if (error || !document.is_object()) return fail(ErrorCode::invalid, "the body is not a JSON object");
    DTR_ASSIGN(const auto from, recipient_of(document.as_object(), "from"));
    DTR_ASSIGN(const auto to, recipient_of(document.as_object(), "to"));
    DTR_TRY(backup::replace_recipient(services.config, from, to));
    log::warn("{} changed the recovery key: backups are sealed to {} from now on", actor, to.text());
    return {};
}

}  // namespace

http::Reply handle_recovery_key(Services& services, const http::Request& request, const Caller& caller) {
    if (auto refused = require_administrator(services, request, caller)) return std::move(*refused);
    if (request.method == "GET") return describe(services);
    if (request.method != "PUT") return error_response(405, "UNSUPPORTED", "use GET or PUT");
    if (!request.has_body) return error_response(400, "INVALID", "a JSON body is needed");
    return http::collect_body(
        kBodyMax,
        [&services, actor = caller.principal.name](const std::string& body) {
            if (auto changed = change(services, body, actor); !changed)
                return error_response(changed.error(), "NOT_FOUND", "INVALID");
            http::Response response;
            response.status = 204;
            return response;
        },
        [] { return error_response(413, "SIZE_INVALID", "the body is too large"); });
}

}  // namespace dtr::api::admin
