// A disk whose n-th write is cut short.
#pragma once

#include <unistd.h>

#include <atomic>

#include "sys/disk.h"
#include "test/support/faults.h"

namespace dtr::test {

// Forwards to the real disk; the n-th write puts down half of its bytes, then fails or ends the process.
class TearingDisk final : public Disk {
  public:
    TearingDisk(int n, bool die) : n_(n), die_(die) {}
    [[nodiscard]] bool hit() const { return writes_ >= n_; }

    Status write_all(int fd, std::string_view bytes) override {
        if (++writes_ != n_) return real_.write_all(fd, bytes);
        (void)real_.write_all(fd, bytes.substr(0, bytes.size() / 2));
        if (die_) _exit(kDied);
        return fail(ErrorCode::no_space, "injected short write");
    }
    Result<UniqueFd> open_read(const std::string& path) override { return real_.open_read(path); }
    Result<UniqueFd> create(const std::string& path, OnExisting existing, unsigned mode) override {
        return real_.create(path, existing, mode);
    }
    Result<std::size_t> read_at(int fd, char* out, std::size_t count, std::uint64_t offset) override {
        return real_.read_at(fd, out, count, offset);
    }
    Status truncate(int fd, std::uint64_t size) override { return real_.truncate(fd, size); }
    Status sync(int fd) override { return real_.sync(fd); }
    Status sync_directory(const std::string& path) override { return real_.sync_directory(path); }
    Status rename(const std::string& from, const std::string& to) override { return real_.rename(from, to); }
    Status remove(const std::string& path) override { return real_.remove(path); }
    Status make_directory(const std::string& path, unsigned mode) override { return real_.make_directory(path, mode); }
    Result<FileInfo> stat(const std::string& path) override { return real_.stat(path); }
    Result<std::vector<std::string>> list(const std::string& path) override { return real_.list(path); }
    Result<DiskSpace> space(const std::string& path) override { return real_.space(path); }

  private:
    Disk& real_ = real_disk();
    int n_;
    bool die_;
    std::atomic<int> writes_{0};
};

}  // namespace dtr::test
