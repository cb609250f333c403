#include "cluster/rotation.h"

#include <optional>
#include <utility>
#include <vector>

#include "cluster/install.h"
#include "identity/certificates.h"

namespace dtr::cluster {
namespace {

constexpr const char* kNextKey = "ca/next.key";
constexpr const char* kNextCertificate = "ca/next.crt";
constexpr const char* kOldKey = "ca/old.key";
constexpr const char* kOldCertificate = "ca/old.crt";

// An authority as it is stored, with what it takes to notice that somebody replaces it.
struct Stored {
    identity::KeyAndCertificate pair;
    std::int64_t modified = 0;
};

Result<Stored> load(config::ConfigStore& config, const char* key, const char* certificate) {
    DTR_ASSIGN(const config::Entry secret, config.get(key));
    DTR_ASSIGN(const config::Entry shown, config.get(certificate));
    return Stored{{secret.value, std::string(shown.value.expose())}, shown.modified};
}

using Changes = std::vector<config::Change>;

void put_pair(Changes& changes, const char* key, const char* certificate, const identity::KeyAndCertificate& pair,
              std::optional<std::int64_t> expected = {}) {
    changes.push_back({key, pair.key_pem, true, std::nullopt});
    changes.push_back({certificate, Secret(pair.certificate_pem), false, expected});
}

void drop(Changes& changes, const char* key, const char* certificate, std::int64_t expected) {
    changes.push_back({key, std::nullopt, false, std::nullopt});
    changes.push_back({certificate, std::nullopt, false, expected});
}

// A server certificate for the names of the one there is.
Status put_server_certificate(config::ConfigStore& config, Changes& changes, const identity::KeyAndCertificate& under,
                              Clock& clock, Random& random) {
    DTR_ASSIGN(const config::Entry now, config.get(kServerCertificate));
    DTR_ASSIGN(const auto names, identity::certificate_names(now.value.expose()));
    if (names.empty()) return fail(ErrorCode::corrupt, "the server's certificate has no names");
    DTR_ASSIGN(const auto server, identity::issue_server_certificate(under, {names.front(), names}, clock, random));
    put_pair(changes, kServerKey, kServerCertificate, server, now.modified);
    return {};
}

Status begin(config::ConfigStore& config, std::string_view cluster_id, Clock& clock, Random& random) {
    // A name of its own, so that nobody takes one for the other.
    const std::string name =
        fmt::format("dtr cluster {} {}", cluster_id.substr(0, 8), format_rfc3339(clock.now() / kSecond * kSecond));
    DTR_ASSIGN(const auto next, identity::make_authority(name, clock, random));
    Changes changes;
    put_pair(changes, kNextKey, kNextCertificate, next, 0);
    DTR_TRY(config.apply(changes));
    return {};
}

// Puts one authority in force and keeps the other under another name.
Status change(config::ConfigStore& config, Clock& clock, Random& random) {
    DTR_ASSIGN(const Stored next, load(config, kNextKey, kNextCertificate));
    DTR_ASSIGN(const Stored root, load(config, kAuthorityKey, kAuthorityCertificate));
    Changes changes;
    put_pair(changes, kAuthorityKey, kAuthorityCertificate, next.pair, root.modified);
    put_pair(changes, kOldKey, kOldCertificate, root.pair, 0);
    drop(changes, kNextKey, kNextCertificate, next.modified);
    DTR_TRY(put_server_certificate(config, changes, next.pair, clock, random));
    DTR_TRY(config.apply(changes));
    return {};
}

Status forget(config::ConfigStore& config, const char* key, const char* certificate) {
    DTR_ASSIGN(const Stored stored, load(config, key, certificate));
    Changes changes;
    drop(changes, key, certificate, stored.modified);
    DTR_TRY(config.apply(changes));
    return {};
}

Status go_back(config::ConfigStore& config, Clock& clock, Random& random) {
    DTR_ASSIGN(const Stored old, load(config, kOldKey, kOldCertificate));
    DTR_ASSIGN(const Stored root, load(config, kAuthorityKey, kAuthorityCertificate));
    Changes changes;
    put_pair(changes, kAuthorityKey, kAuthorityCertificate, old.pair, root.modified);
    drop(changes, kOldKey, kOldCertificate, old.modified);
    DTR_TRY(put_server_certificate(config, changes, old.pair, clock, random));
    DTR_TRY(config.apply(changes));
    return {};
}

constexpr std::pair<std::string_view, RotationStep> kSteps[] = {{"begin", RotationStep::begin},
                                                                {"switch", RotationStep::change},
                                                                {"finish", RotationStep::finish},
                                                                {"cancel", RotationStep::cancel}};

}  // namespace

std::string_view to_string(RotationPhase phase) {
    switch (phase) {
        case RotationPhase::begun:
            return "begun";
        case RotationPhase::switched:
            return "switched";
        default:
            return "none";
    }
}

Result<RotationStep> parse_rotation_step(std::string_view text) {
    for (const auto& [name, step] : kSteps)
        if (name == text) return step;
    return fail(ErrorCode::invalid, fmt::format("'{}' is not a step of a rotation", text.substr(0, 64)),
                "begin, switch, finish or cancel");
}

Result<Rotation> rotation(config::ConfigStore& config) {
    Rotation now;
    DTR_ASSIGN(const config::Entry authority, config.get(kAuthorityCertificate));
    now.authority = authority.value.expose();
    DTR_ASSIGN(const auto next, found_or_none(config.get(kNextCertificate)));
    DTR_ASSIGN(const auto old, found_or_none(config.get(kOldCertificate)));
    if (next) {
        now.phase = RotationPhase::begun;
        now.other = next->value.expose();
    } else if (old) {
        now.phase = RotationPhase::switched;
        now.other = old->value.expose();
    }
    return now;
}

Status rotate(config::ConfigStore& config, RotationStep step, std::string_view cluster_id, Clock& clock,
              Random& random) {
    DTR_ASSIGN(const Rotation now, rotation(config));
    const auto out_of_turn = [&](const char* hint) {
        return fail(ErrorCode::refused, fmt::format("the rotation of the authority is at '{}'", to_string(now.phase)),
                    hint);
    };
    switch (step) {
        case RotationStep::begin:
            if (now.phase != RotationPhase::none) return out_of_turn("finish or cancel it first");
            return begin(config, cluster_id, clock, random);
        case RotationStep::change:
            if (now.phase != RotationPhase::begun)
                return out_of_turn("it can be switched only once, after it has begun");
            return change(config, clock, random);
        case RotationStep::finish:
            if (now.phase != RotationPhase::switched) return out_of_turn("switch first");
            return forget(config, kOldKey, kOldCertificate);
        case RotationStep::cancel:
            break;
    }
    if (now.phase == RotationPhase::none) return out_of_turn("there is nothing to cancel");
    return now.phase == RotationPhase::begun ? forget(config, kNextKey, kNextCertificate)
                                             : go_back(config, clock, random);
}

}  // namespace dtr::cluster
