// The one way to files, so that a test can count, fail, shorten or die at every operation.
//
// Each mutating call passes the fault point "disk.<operation>" first. Paths are built by callers from typed values
// (digests, generations, ids), never from a name that came from outside; a final component that is a symbolic link is
// not followed. Thread-safe. Errors carry the path; ENOSPC is no_space.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace dtr {

struct FileInfo {
    std::uint64_t size = 0;
    bool is_directory = false;
    std::int64_t modified_s = 0;  // seconds since 1970
    std::int64_t changed_s = 0;   // the same; a rename counts, too
};

struct DiskSpace {
    std::uint64_t free_bytes = 0;
    std::uint64_t total_bytes = 0;
};

// Writeback of a long file is started in steps of this size.
inline constexpr std::uint64_t kWritebackBytes = 8U << 20;

enum class OnExisting { refuse, open };

class Disk {
  public:
    virtual ~Disk() = default;

    virtual Result<UniqueFd> open_read(const std::string& path) = 0;
    // Opens for writing at its end of data. An existing file is refused with already_exists, or opened.
    virtual Result<UniqueFd> create(const std::string& path, OnExisting existing, unsigned mode) = 0;
    virtual Status write_all(int fd, std::string_view bytes) = 0;  // at the descriptor's position
    virtual Result<std::size_t> read_at(int fd, char* out, std::size_t count, std::uint64_t offset) = 0;
    virtual Status truncate(int fd, std::uint64_t size) = 0;  // and moves the position there
    // The disk may begin with these bytes, so that sync() has less left to wait for. Promises nothing, and cannot fail.
    virtual void start_writeback(int fd, std::uint64_t offset, std::uint64_t length);
    virtual Status sync(int fd) = 0;
    virtual Status sync_directory(const std::string& path) = 0;  // unsupported: this filesystem cannot
    virtual Status rename(const std::string& from, const std::string& to) = 0;
    virtual Status remove(const std::string& path) = 0;                         // a file or an empty directory
    virtual Status make_directory(const std::string& path, unsigned mode) = 0;  // exists: good
    virtual Result<FileInfo> stat(const std::string& path) = 0;
    virtual Result<std::vector<std::string>> list(const std::string& path) = 0;  // unsorted, no dots
    virtual Result<DiskSpace> space(const std::string& path) = 0;
};

Disk& real_disk();

// --- what callers want, made from the above ---

// Whole file; exhausted if it is larger than `limit`.
Result<std::string> read_file(Disk& disk, const std::string& path, std::size_t limit = 16U << 20);
// Atomic and durable: temporary beside it, fsync, rename, fsync of the directory.
Status write_file(Disk& disk, const std::string& path, std::string_view bytes, unsigned mode = 0600);
Status make_directories(Disk& disk, const std::string& path, unsigned mode = 0700);
// Removes a tree; a missing one is good.
Status remove_tree(Disk& disk, const std::string& path);
bool exists(Disk& disk, const std::string& path);
std::string parent_directory(const std::string& path);

}  // namespace dtr
