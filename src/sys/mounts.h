// What is mounted where, as this process sees it (/proc/self/mountinfo, proc(5)), and how much room there is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace dtr {

struct Mount {
    std::string root;   // the directory of its file system that is mounted
    std::string point;  // where
    std::string type;   // "ext4", "overlay", "tmpfs", ...
};

class Mounts {
  public:
    // Lines that are not mountinfo are skipped.
    static Mounts parse(std::string_view mountinfo);
    // Empty where /proc is not mounted.
    static Mounts of_this_process();

    // The mount that an absolute path without links lies on, whether or not it exists; null if the table is empty.
    [[nodiscard]] const Mount* of(std::string_view path) const;

  private:
    std::vector<Mount> mounts_;  // in the order in which they were mounted
};

struct FileSystemRoom {
    std::uint64_t free_bytes = 0;  // for those who are not root
    std::uint64_t total_bytes = 0;
    std::uint64_t free_files = 0;  // inodes; very many where none are counted
    bool read_only = false;
};
Result<FileSystemRoom> file_system_room(const std::string& path);
// Blocks for the file's first so many bytes, which nobody else gets then; neither its length nor its bytes change.
// unsupported: its file system cannot; no_space.
Status take_blocks(const std::string& path, std::uint64_t bytes);

// Absolute, links followed as far as the path exists.
std::string resolved(const std::string& path);

}  // namespace dtr
