#include "sys/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <memory>

#include "base/fault.h"

namespace dtr {
namespace {

tl::unexpected<Error> failed(std::string_view doing, const std::string& path) {
    return fail(system_error(errno, fmt::format("cannot {} {}", doing, path)));
}

class RealDisk final : public Disk {
  public:
    Result<UniqueFd> open_read(const std::string& path) override {
        UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
        if (!fd.valid()) return failed("open", path);
        return fd;
    }

    Result<UniqueFd> create(const std::string& path, OnExisting existing, unsigned mode) override {
        DTR_TRY(fault_point("disk.create"));
        const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (existing == OnExisting::refuse ? O_EXCL : 0);
        UniqueFd fd(::open(path.c_str(), flags, mode));
        if (!fd.valid()) return failed("create", path);
        if (::lseek(fd.get(), 0, SEEK_END) < 0) return failed("seek in", path);
        return fd;
    }

    Status write_all(int fd, std::string_view bytes) override {
        while (!bytes.empty()) {
            DTR_TRY(fault_point("disk.write"));
            const ssize_t n = ::write(fd, bytes.data(), bytes.size());
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return fail(system_error(errno, "cannot write file"));
            bytes.remove_prefix(static_cast<std::size_t>(n));
        }
        return {};
    }

    Result<std::size_t> read_at(int fd, char* out, std::size_t count, std::uint64_t offset) override {
        std::size_t got = 0;
        while (got < count) {
            const ssize_t n = ::pread(fd, out + got, count - got, static_cast<off_t>(offset + got));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return fail(system_error(errno, "cannot read file"));
            if (n == 0) break;
            got += static_cast<std::size_t>(n);
        }
        return got;
    }

    Status truncate(int fd, std::uint64_t size) override {
        DTR_TRY(fault_point("disk.truncate"));
        if (::ftruncate(fd, static_cast<off_t>(size)) != 0 || ::lseek(fd, static_cast<off_t>(size), SEEK_SET) < 0)
            return fail(system_error(errno, "cannot truncate file"));
        return {};
    }

    Status sync(int fd) override {
        DTR_TRY(fault_point("disk.sync"));
        if (::fdatasync(fd) != 0) return fail(system_error(errno, "cannot sync file"));
        return {};
    }

    Status sync_directory(const std::string& path) override {
        DTR_TRY(fault_point("disk.sync_dir"));
        UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (fd.valid() && ::fsync(fd.get()) == 0) return {};
        Error error = system_error(errno, "cannot sync directory " + path);
        if (errno == EINVAL || errno == ENOTSUP || errno == ENOSYS) error.code = ErrorCode::unsupported;
        return fail(std::move(error));
    }

    Status rename(const std::string& from, const std::string& to) override {
        DTR_TRY(fault_point("disk.rename"));
        if (::rename(from.c_str(), to.c_str()) != 0) return failed("rename to", to);
        return {};
    }

    Status remove(const std::string& path) override {
        DTR_TRY(fault_point("disk.remove"));
        if (::remove(path.c_str()) != 0) return failed("remove", path);
        return {};
    }

    Status make_directory(const std::string& path, unsigned mode) override {
        if (::access(path.c_str(), F_OK) == 0) return {};
        DTR_TRY(fault_point("disk.mkdir"));
        if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) return failed("make directory", path);
        return {};
    }

    Result<FileInfo> stat(const std::string& path) override {
        struct stat s {};
        if (::lstat(path.c_str(), &s) != 0) return failed("look at", path);
        return FileInfo{static_cast<std::uint64_t>(s.st_size), S_ISDIR(s.st_mode), s.st_mtim.tv_sec, s.st_ctim.tv_sec};
    }

    Result<std::vector<std::string>> list(const std::string& path) override {
        const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
        if (!dir) return failed("list", path);
        std::vector<std::string> names;
        while (const dirent* entry = ::readdir(dir.get())) {
            std::string name = entry->d_name;
            if (name != "." && name != "..") names.push_back(std::move(name));
        }
        return names;
    }

    Result<DiskSpace> space(const std::string& path) override {
        struct statvfs s {};
        if (::statvfs(path.c_str(), &s) != 0) return failed("measure", path);
        return DiskSpace{static_cast<std::uint64_t>(s.f_bavail) * s.f_frsize,
                         static_cast<std::uint64_t>(s.f_blocks) * s.f_frsize};
    }
};

}  // namespace

void Disk::start_writeback(int fd, std::uint64_t offset, std::uint64_t length) {
    (void)::sync_file_range(fd, static_cast<off64_t>(offset), static_cast<off64_t>(length), SYNC_FILE_RANGE_WRITE);
}

Disk& real_disk() {
    static RealDisk disk;
    return disk;
}

Result<std::string> read_file(Disk& disk, const std::string& path, std::size_t limit) {
    DTR_ASSIGN(const FileInfo info, disk.stat(path));
    if (info.size > limit) return fail(ErrorCode::exhausted, fmt::format("{} is larger than {} bytes", path, limit));
    DTR_ASSIGN(const UniqueFd fd, disk.open_read(path));
    std::string out(info.size, '\0');
    DTR_ASSIGN(const std::size_t got, disk.read_at(fd.get(), out.data(), out.size(), 0));
    out.resize(got);
    return out;
}

Status write_file(Disk& disk, const std::string& path, std::string_view bytes, unsigned mode) {
    const std::string temporary = path + ".part";
    if (exists(disk, temporary)) DTR_TRY(disk.remove(temporary));
    {
        DTR_ASSIGN(const UniqueFd fd, disk.create(temporary, OnExisting::refuse, mode));
        DTR_TRY(disk.write_all(fd.get(), bytes));
        DTR_TRY(disk.sync(fd.get()));
    }
    DTR_TRY(disk.rename(temporary, path));
    return disk.sync_directory(parent_directory(path));
}

Status make_directories(Disk& disk, const std::string& path, unsigned mode) {
    if (path.empty() || exists(disk, path)) return {};
    const std::string parent = parent_directory(path);
    if (parent != path) DTR_TRY(make_directories(disk, parent, mode));
    DTR_TRY(disk.make_directory(path, mode));
    return disk.sync_directory(parent);
}

Status remove_tree(Disk& disk, const std::string& path) {
    const auto info = disk.stat(path);
    if (!info) return info.error().code == ErrorCode::not_found ? Status{} : fail(info.error());
    if (info->is_directory) {
        DTR_ASSIGN(const auto names, disk.list(path));
        for (const std::string& name : names) DTR_TRY(remove_tree(disk, path + '/' + name));
    }
    return disk.remove(path);
}

bool exists(Disk& disk, const std::string& path) {
    return disk.stat(path).has_value();
}

std::string parent_directory(const std::string& path) {
    const std::size_t slash = path.find_last_of('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace dtr
