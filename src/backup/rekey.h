// A new recovery key for a cluster. Its private half is written down for the operator before the cluster's configuration
// names its public half: at no moment do backups seal to a key that nobody holds.
//
// Backups made before stay sealed to the old key; whoever still needs them keeps it.
#pragma once

#include <functional>
#include <string>

#include "archive/age.h"
#include "base/random.h"
#include "base/result.h"
#include "config/config_store.h"
#include "sys/disk.h"
#include "sys/new_file.h"

namespace dtr::backup {

struct RecoveryState {
    std::string cluster_id;
    archive::AgeRecipient recipient;  // what backups are sealed to
    std::string signer;               // "RW…", who seals them
};
Result<RecoveryState> recovery_state(config::ConfigStore& config, const std::string& cluster_id);

// The server's half, one transaction. conflict if backups are not sealed to `from` any more.
Status replace_recipient(config::ConfigStore& config, const archive::AgeRecipient& from,
                         const archive::AgeRecipient& to);

// Where the operator gets the key file: read() answers what is there (not_found if nothing does); write() makes it
// durable, 0600.
struct KeyPlace {
    std::string name;  // for messages
    std::function<Result<std::string>()> read;
    std::function<Status(std::string_view contents, NewFile::Existing existing)> write;
};
// As look_at_place() says; invalid for what is not a file.
Result<KeyPlace> file_place(Disk& disk, const std::string& path);

// Makes a key, writes it to `place`, then has `replace` put it in force; or continues with one that was interrupted, if the
// file says that it replaces the key in force. refused if any other file is in the way: it is never overwritten. After
// another error the file stays, because it may be in force; running the same again continues with it.
Result<archive::AgeRecipient> rekey(
    const RecoveryState& state, const KeyPlace& place,
    const std::function<Status(const archive::AgeRecipient& from, const archive::AgeRecipient& to)>& replace,
    Random& random);

}  // namespace dtr::backup
