// The data directory of one replica, its lock, and CURRENT: the one file whose rename makes a restore happen.
//
//   config/lock       held by the one process that may write
//   config/CURRENT    which generation of each folder is live (docs/formats/data-directory.md)
//   config/STAGING    an installation or a restore on its way: nothing it names is live
//   config/<gen>/ ca/<gen>/ metadata/<gen>/    generations; registry/ is shared by all of them
//
// Each of the four folders may be a mount of its own: nothing is renamed from one to another.
//
// What the operator is to move away (recovery-key, admin-password) is in DIR itself, where DIR and config/ are one
// mount; else in config/, as DIR may then be gone with its container. It is a file, never a link: moving it moves it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "sys/disk.h"

namespace dtr::config {

struct Current {
    int format = 1;
    std::string replica_id;  // 12 lower-case hex digits
    std::string cluster_id;  // 32 lower-case hex digits
    std::int64_t epoch = 1;
    std::string generation;     // names config/<gen>, ca/<gen> and metadata/<gen>
    std::string restored_from;  // backup id, or empty
    // The generation that was live before the last restore over data, or before it was undone; empty: none. Kept whole,
    // with its objects in registry/, so that one more rename brings it back.
    std::string undo_generation = {};
    // Where the change log and the configuration stood when this generation went live, and how many settings there were
    // (without keys that servers write): what is beyond was written since.
    std::int64_t since_transaction = 0;
    std::int64_t since_revision = 0;
    std::int64_t since_settings = 0;
};

struct Staging {
    std::string purpose;            // "install" | "restore" | "undo" | "forget"
    std::string backup_id;          // of the archive being restored, else empty
    std::string generation;         // of the three folders
    std::string object_generation;  // of the blobs written into registry/
    // Known right before a flip over live data, and done after it.
    std::string retired_generation = {};  // the undo state that the flip replaces: to be removed
    std::vector<std::string> set_aside =
        {};  // files handed out by the old state, wrong for the new one, which has none
};

class DataDirectory {
  public:
    // Takes the lock and empties its file. refused: another process holds the lock; not_found: no data directory.
    static Result<std::unique_ptr<DataDirectory>> open(Disk& disk, std::string path);
    // Also makes the directory if there is none. refused as well if it would be made among somebody else's files.
    static Result<std::unique_ptr<DataDirectory>> open_or_create(Disk& disk, std::string path);
    DataDirectory(const DataDirectory&) = delete;
    DataDirectory& operator=(const DataDirectory&) = delete;

    // Notes the URLs under which the process that holds the lock serves, for others on this machine; gone with the next
    // lock.
    Status announce(const std::vector<std::string>& urls);
    // What was announced in a directory last; empty: nothing. Somebody must be there for it to mean anything.
    static Result<std::vector<std::string>> served_at(Disk& disk, const std::string& path);

    // True if none of the four folders holds anything: the only state in which a replica installs itself. refused, naming
    // them, if the folders are empty and other people's files are beside them.
    Result<bool> empty();
    // Folders that are missing or empty, for the message when some are and some are not.
    Result<std::string> missing_folders();
    // What the four folders hold, for the message when they should hold nothing.
    Result<std::string> in_the_way();
    // Folders in which a generation is missing or holds nothing: opening a store there would make an empty one.
    std::string missing_of(const std::string& generation);

    // Nothing if there is no CURRENT; corrupt if it is damaged.
    Result<std::optional<Current>> current();
    // Durable when it returns: the old CURRENT or the new one, whatever happens.
    Status flip(const Current& current);

    Result<std::optional<Staging>> staging();
    Status begin_staging(const Staging& staging);
    // Forgets a staging. `discard` also removes its folders and the files it handed out, unless they are live or kept
    // for undo (objects in registry/ stay).
    enum class Staged { keep, discard };
    Status end_staging(Staged folders);
    // Removes a generation's folders and what it handed out. Never the live one or the one kept for undo.
    Status remove_generation(const std::string& generation);

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::string config_path(const std::string& generation) const {
        return path_ + "/config/" + generation;
    }
    [[nodiscard]] std::string ca_path(const std::string& generation) const { return path_ + "/ca/" + generation; }
    [[nodiscard]] std::string metadata_path(const std::string& generation) const {
        return path_ + "/metadata/" + generation;
    }
    [[nodiscard]] std::string registry_path() const { return path_ + "/registry"; }

    // Writes a secret (0600) for the operator. Of a staged `generation` it waits as config/<name>.<generation> until
    // take_over(); without one it is in its place at once.
    Status hand_out(const std::string& name, std::string_view contents, const std::string& generation = {});
    [[nodiscard]] bool has_handed_out(const std::string& name, const std::string& generation);
    // Where the operator finds it, or would.
    [[nodiscard]] std::string place_of(const std::string& name);
    // Secrets that have not been moved away yet.
    std::vector<std::string> left_to_carry_away();
    // After a flip: what the generation that is live now has handed out takes its place, and what the one before has
    // steps aside as config/<name>.<undo generation>. May be repeated. Never over a file of somebody else's.
    Status take_over(const Staging& staging);
    // Removes what a staging that never went live has handed out, and its unfinished flip.
    Status take_back();
    // Directories of older releases have the file in config/ and a link to it: the file takes the link's place.
    Status replace_links();
    static std::string new_generation(Random& random);

  private:
    DataDirectory(Disk& disk, std::string path, UniqueFd lock);
    [[nodiscard]] std::string waiting(const std::string& name, const std::string& generation) const {
        return path_ + "/config/" + name + '.' + generation;
    }
    Status take_place(const std::string& name, const std::string& from);
    Status remove_handed_out(const std::string& generation);

    Disk& disk_;
    std::string path_;
    std::string place_;  // DIR or DIR/config: of what is handed out
    UniqueFd lock_;
};

}  // namespace dtr::config
