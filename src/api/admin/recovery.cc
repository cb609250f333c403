// /api/v0/recovery-key: GET says what backups are sealed to and who signs them; PUT {"from":"age1...","to":"age1..."}
// changes it. The private half never comes here.
#include <boost/json.hpp>

#include "api/admin/admin.h"
#include "backup/rekey.h"
#include "sys/log.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;
Result<archive::AgeRecipient> recipient_of(const json::object& fields, std::string_view name) {
    const auto* text = fields.if_contains(name);
    if (text == nullptr || !text->is_string())
        return fail(ErrorCode::invalid, fmt::format("the body has no \"{}\"", name),
                    "it is {\"from\":\"age1...\",\"to\":\"age1...\"}");
    return archive::AgeRecipient::parse(std::string_view(text->as_string()));
}

}  // namespace

http::Reply show_recovery_key(Asked& asked) {
    Services& services = asked.services;
    const auto epoch = services.registry.epoch();
    if (!epoch) return error_response(epoch.error());
    const auto state = backup::recovery_state(services.config, epoch->cluster_id);
    if (!state) return error_response(state.error());
    http::Response response;
    response.set("Content-Type", "application/json");
    response.body = json::serialize(json::object{
        {"clusterId", state->cluster_id}, {"recipient", state->recipient.text()}, {"signer", state->signer}});
    return response;
}

http::Reply change_recovery_key(Asked& asked) {
    const auto from = recipient_of(*asked.fields, "from");
    if (!from) return error_response(from.error(), "NOT_FOUND", "INVALID");
    const auto to = recipient_of(*asked.fields, "to");
    if (!to) return error_response(to.error(), "NOT_FOUND", "INVALID");
    const Status changed = act_elsewhere(asked, {"key.change", to->text(), fmt::format("from {}", from->text())},
                                         [&] { return backup::replace_recipient(asked.services.config, *from, *to); });
    if (!changed) return error_response(changed.error(), "NOT_FOUND", "INVALID");
    log::warn("{} changed the recovery key: backups are sealed to {} from now on", asked.actor(), to->text());
    return no_content();
}

}  // namespace dtr::api::admin
