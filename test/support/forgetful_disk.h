// A disk that loses, when told so, whatever was not synced: the worst that a power loss may do to files that go through
// Disk. (SQLite keeps its own promises and does not pass here.)
//
// Bytes after the last sync of a file are cut off. A file made, renamed or removed since its directory was last synced
// goes back to how it was: removals are held back until then.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "sys/disk.h"

namespace dtr::test {

// For any number of threads: a restore stages on several. Recursive, as the power may fail inside an operation (at the
// fault point of the real disk).
class ForgetfulDisk final : public Disk {
  public:
    explicit ForgetfulDisk(std::string trash) : trash_(std::move(trash)) {
        std::filesystem::create_directories(trash_);
    }

    // The power fails here. Nothing may be done with the disk afterwards.
    void lose() {
        const Lock lock(mutex_);
        for (auto it = undo_.rbegin(); it != undo_.rend(); ++it) it->second();
        for (const auto& [path, synced] : synced_) {
            std::error_code error;
            if (std::filesystem::is_regular_file(path, error) && std::filesystem::file_size(path, error) > synced)
                std::filesystem::resize_file(path, synced, error);
        }
    }

    // The power fails and the process ends; until then other threads wait for the disk.
    [[noreturn]] void die(int exit_code) {
        const Lock lock(mutex_);
        lose();
        _exit(exit_code);
    }

    Result<UniqueFd> open_read(const std::string& path) override {
        const Lock lock(mutex_);
        return real_.open_read(path);
    }
    Result<UniqueFd> create(const std::string& path, OnExisting existing, unsigned mode) override {
        const Lock lock(mutex_);
        const bool is_new = !exists(real_, path);
        auto fd = real_.create(path, existing, mode);
        if (fd && is_new) {
            synced_[path] = 0;
            changed(path, [path] { std::filesystem::remove(path); });
        } else if (fd) {
            synced_.emplace(path, std::filesystem::file_size(path));
        }
        return fd;
    }
    Status write_all(int fd, std::string_view bytes) override {
        const Lock lock(mutex_);
        return real_.write_all(fd, bytes);
    }
    Result<std::size_t> read_at(int fd, char* out, std::size_t count, std::uint64_t offset) override {
        const Lock lock(mutex_);
        return real_.read_at(fd, out, count, offset);
    }
    Status truncate(int fd, std::uint64_t size) override {
        const Lock lock(mutex_);
        return real_.truncate(fd, size);
    }
    Status sync(int fd) override {
        const Lock lock(mutex_);
        DTR_TRY(real_.sync(fd));
        const std::string path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd));
        synced_[path] = std::filesystem::file_size(path);
        return {};
    }
    Status sync_directory(const std::string& path) override {
        const Lock lock(mutex_);
        DTR_TRY(real_.sync_directory(path));
        std::erase_if(undo_, [&](const auto& one) { return one.first == path; });
        return {};
    }
    Status rename(const std::string& from, const std::string& to) override {
        const Lock lock(mutex_);
        const bool replaces = exists(real_, to);
        const std::string old = hidden();
        if (replaces) std::filesystem::copy_file(to, old);
        DTR_TRY(real_.rename(from, to));
        if (auto moved = synced_.extract(from)) {
            moved.key() = to;
            synced_.erase(to);
            synced_.insert(std::move(moved));
        }
        changed(to, [this, from, to, old, replaces] {
            std::error_code error;
            std::filesystem::rename(to, from, error);
            if (auto moved = synced_.extract(to)) {
                moved.key() = from;
                synced_.insert(std::move(moved));
            }
            if (replaces) std::filesystem::copy_file(old, to, error);
        });
        return {};
    }
    Status remove(const std::string& path) override {
        const Lock lock(mutex_);
        std::error_code error;
        if (!std::filesystem::is_regular_file(path, error)) return real_.remove(path);
        const std::string old = hidden();
        std::filesystem::copy_file(path, old);
        DTR_TRY(real_.remove(path));
        changed(path, [path, old] {
            std::error_code ignored;
            std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
            std::filesystem::copy_file(old, path, ignored);
        });
        return {};
    }
    Status make_directory(const std::string& path, unsigned mode) override {
        const Lock lock(mutex_);
        return real_.make_directory(path, mode);
    }
    Result<FileInfo> stat(const std::string& path) override {
        const Lock lock(mutex_);
        return real_.stat(path);
    }
    Result<std::vector<std::string>> list(const std::string& path) override {
        const Lock lock(mutex_);
        return real_.list(path);
    }
    Result<DiskSpace> space(const std::string& path) override {
        const Lock lock(mutex_);
        return real_.space(path);
    }

  private:
    using Lock = std::lock_guard<std::recursive_mutex>;

    void changed(const std::string& path, std::function<void()> undo) {
        undo_.emplace_back(parent_directory(path), std::move(undo));
    }
    std::string hidden() { return fmt::format("{}/{}", trash_, ++hidden_); }

    Disk& real_ = real_disk();
    std::recursive_mutex mutex_;
    std::string trash_;
    int hidden_ = 0;
    std::vector<std::pair<std::string, std::function<void()>>> undo_;  // by directory, until it is synced
    std::map<std::string, std::uint64_t> synced_;                      // bytes that would be left of a file
};

}  // namespace dtr::test
