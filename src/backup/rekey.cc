#include "backup/rekey.h"

#include "backup/seal_keys.h"
#include "base/fault.h"

namespace dtr::backup {
namespace {

// Names the key that was in force when this one was made: only then may an interrupted change continue with it.
std::string replaces_line(const archive::AgeRecipient& from) {
    return "# replaces: " + from.text() + "\n";
}

tl::unexpected<Error> in_the_way(const KeyPlace& place, std::string_view what) {
    return fail(
        ErrorCode::refused, fmt::format("{} is in the way: {}", place.name, what),
        "move it to a safe place (backups sealed to it need it), or give another file with --output; then try again");
}

// The identity of a change that was interrupted; nothing if the place is free.
Result<std::optional<archive::AgeIdentity>> left_over(const RecoveryState& state, const KeyPlace& place) {
    DTR_ASSIGN(const auto text, found_or_none(place.read()));
    if (!text) return std::optional<archive::AgeIdentity>();
    const Secret secret(*text);
    auto file = archive::parse_identity_file(secret);
    if (!file || file->identities.size() != 1)
        return in_the_way(place, "it is not a recovery key, and is not overwritten");
    archive::AgeIdentity& identity = file->identities.front();
    if (identity.recipient() == state.recipient) return in_the_way(place, "it holds the current key");
    if (secret.expose().find(replaces_line(state.recipient)) == std::string_view::npos)
        return in_the_way(place, "it holds another recovery key, and is not overwritten");
    return std::optional(std::move(identity));
}

}  // namespace

Result<RecoveryState> recovery_state(config::ConfigStore& config, const std::string& cluster_id) {
    DTR_ASSIGN(SealKeys keys, load_seal_keys(config));
    return RecoveryState{cluster_id, std::move(keys.recipient), keys.signer.public_key().text()};
}

Status replace_recipient(config::ConfigStore& config, const archive::AgeRecipient& from,
                         const archive::AgeRecipient& to) {
    DTR_ASSIGN(const config::Entry entry, config.get(kRecipientKey));
    if (entry.value.expose() == to.text()) return {};  // it was done, and the answer was lost
    if (entry.value.expose() != from.text())
        return fail(ErrorCode::conflict,
                    fmt::format("backups are now sealed to {}, not to {}", entry.value.expose(), from.text()),
                    "somebody else changed the recovery key");
    DTR_TRY(config.apply({{kRecipientKey, Secret(to.text()), false, entry.modified}}));
    return {};
}

Result<KeyPlace> file_place(Disk& disk, const std::string& path) {
    DTR_ASSIGN(const Place place, look_at_place(path));
    if (place.kind != Place::Kind::file || path == "-")
        return fail(ErrorCode::invalid,
                    fmt::format("{} is not a regular file: a key written there cannot be kept", path), "name a file");
    return KeyPlace{path, [&disk, at = place.path] { return read_file(disk, at, 64U << 10); },
                    [&disk, at = place.path](std::string_view contents, NewFile::Existing existing) {
                        return write_new_file(at, contents, existing, disk);
                    }};
}

Result<archive::AgeRecipient> rekey(
    const RecoveryState& state, const KeyPlace& place,
    const std::function<Status(const archive::AgeRecipient& from, const archive::AgeRecipient& to)>& replace,
    Random& random) {
    DTR_ASSIGN(auto identity, left_over(state, place));
    const auto existing = identity ? NewFile::Existing::replaced : NewFile::Existing::kept;
    if (!identity) identity = archive::AgeIdentity::generate(random);
    const Secret file =
        archive::format_identity_file(*identity, {state.signer},
                                      "recovery key of dtr cluster " + state.cluster_id +
                                          ": move it to a safe place, it opens the secrets of every backup");
    DTR_TRY(place.write(replaces_line(state.recipient) + std::string(file.expose()), existing));
    DTR_TRY(fault_point("rekey.written"));
    if (auto replaced = replace(state.recipient, identity->recipient()); !replaced) {
        Error error = replaced.error();
        error.message += fmt::format("; the new key is in {}, and may not be in use yet", place.name);
        error.hint += error.hint.empty() ? "" : "; ";
        error.hint += "run the same command again: it continues with that key";
        return fail(std::move(error));
    }
    DTR_TRY(fault_point("rekey.replaced"));
    return identity->recipient();
}

}  // namespace dtr::backup
