// The data directory of one replica, its lock, and CURRENT: the one file whose rename makes a restore happen.
//
//   config/lock       held by the one process that may write
//   config/CURRENT    which generation of each folder is live (docs/formats/data-directory.md)
//   config/STAGING    an installation or a restore on its way: nothing it names is live
//   config/<gen>/ ca/<gen>/ metadata/<gen>/    generations; registry/ is shared by all of them
//
// Each of the four folders may be a mount of its own: nothing is renamed from one to another.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

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
};

struct Staging {
    std::string purpose;            // "install" | "restore"
    std::string backup_id;          // of the archive being restored; empty for an installation
    std::string generation;         // of the three folders
    std::string object_generation;  // of the blobs written into registry/
};

class DataDirectory {
  public:
    // Takes the lock, making the directory if `create`. refused: another process holds it; not_found: no directory.
    static Result<std::unique_ptr<DataDirectory>> open(Disk& disk, std::string path, bool create);
    DataDirectory(const DataDirectory&) = delete;
    DataDirectory& operator=(const DataDirectory&) = delete;

    // True if none of the four folders holds anything: the only state in which a replica installs itself.
    Result<bool> empty();
    // Folders that are missing or empty, for the message when some are and some are not.
    Result<std::string> missing_folders();

    // Nothing if there is no CURRENT; corrupt if it is damaged.
    Result<std::optional<Current>> current();
    // Durable when it returns: the old CURRENT or the new one, whatever happens.
    Status flip(const Current& current);

    Result<std::optional<Staging>> staging();
    Status begin_staging(const Staging& staging);
    // Forgets a staging; with `discard` its folders go too, and if nothing is live what it handed out (objects in
    // registry/ stay for the collector).
    Status end_staging(bool discard);

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::string config_path(const std::string& generation) const {
        return path_ + "/config/" + generation;
    }
    [[nodiscard]] std::string ca_path(const std::string& generation) const { return path_ + "/ca/" + generation; }
    [[nodiscard]] std::string metadata_path(const std::string& generation) const {
        return path_ + "/metadata/" + generation;
    }
    [[nodiscard]] std::string registry_path() const { return path_ + "/registry"; }

    // Writes config/<name> (0600) for the operator and links it as <dir>/<name>. refused if that is a file of somebody's.
    Status hand_out(const std::string& name, std::string_view contents);
    // Removes what a staging that never went live has handed out, and its unfinished flip.
    Status take_back();
    static std::string new_generation(Random& random);

  private:
    DataDirectory(Disk& disk, std::string path, UniqueFd lock);

    Disk& disk_;
    std::string path_;
    UniqueFd lock_;
};

}  // namespace dtr::config
