#include "cluster/rekey.h"

#include "cluster/replica.h"

namespace dtr::cluster {
namespace {

// Where an installation hands it out.
backup::KeyPlace handed_out(Environment& environment) {
    const std::string path = environment.directory.place_of("recovery-key");
    return {path, [&environment, path] { return read_file(environment.disk, path, 64U << 10); },
            [&environment](std::string_view contents, NewFile::Existing) {
                return environment.directory.hand_out("recovery-key", contents);
            }};
}

}  // namespace

Result<archive::AgeRecipient> rekey(Environment& environment, const std::string& output) {
    DTR_ASSIGN(const auto replica, Replica::open(environment, {}));
    DTR_ASSIGN(const backup::RecoveryState state,
               backup::recovery_state(replica->config(), replica->current().cluster_id));
    DTR_ASSIGN(const auto ucp, load_ucp_access(replica->config()));
    if (ucp)
        return fail(
            ErrorCode::refused,
            fmt::format("UCP at {} keeps the recovery key in escrow, but would not receive the new one", ucp->url),
            fmt::format("start the registry and run dtr rekey --ucp-url {}", ucp->url));
    backup::KeyPlace place = handed_out(environment);
    if (!output.empty()) {
        DTR_ASSIGN(place, backup::file_place(environment.disk, output));
    }
    return backup::rekey(
        state, place,
        [&](const archive::AgeRecipient& from, const archive::AgeRecipient& to) -> Status {
            meta::AuditEvent event;
            event.actor = "rekey --offline";
            event.action = "key.change";
            event.subject = to.text();
            event.detail = fmt::format("from {}", from.text());
            DTR_TRY(replica->meta().audit().add(event));
            return backup::replace_recipient(replica->config(), from, to);
        },
        environment.random);
}

}  // namespace dtr::cluster
