// Where rows wait between the snapshot and the stream: an unlinked file beside the data, so that a slow reader of the
// archive never holds the database (archive-format.md, "The cut").
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sys/disk.h"

namespace dtr::backup {

struct SpooledPart {
    std::string name;  // of the archive's entry; without meaning for the spool
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
};

// One thread. Vanishes with the process.
class Spool {
  public:
    // Makes the file in `directory`, 0600, and unlinks it at once.
    static Result<Spool> open(Disk& disk, const std::string& directory, const std::string& unique);

    Result<SpooledPart> append(std::string name, std::string_view bytes);  // no_space
    Result<std::string> read(const SpooledPart& part) const;

  private:
    Spool(Disk& disk, UniqueFd fd) : disk_(&disk), fd_(std::move(fd)) {}
    Disk* disk_;
    UniqueFd fd_;
    std::uint64_t size_ = 0;
};

}  // namespace dtr::backup
