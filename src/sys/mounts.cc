#include "sys/mounts.h"

#include <fcntl.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "sys/fd.h"

namespace dtr {
namespace {

// Blank, tab, line feed and backslash stand as \040 and the like.
std::string unescaped(std::string_view field) {
    std::string out;
    const auto octal = [](char c) { return c >= '0' && c <= '7'; };
    for (std::size_t i = 0; i < field.size(); ++i) {
        if (field[i] == '\\' && i + 3 < field.size() && octal(field[i + 1]) && octal(field[i + 2]) &&
            octal(field[i + 3])) {
            out.push_back(static_cast<char>((field[i + 1] - '0') * 64 + (field[i + 2] - '0') * 8 + field[i + 3] - '0'));
            i += 3;
        } else {
            out.push_back(field[i]);
        }
    }
    return out;
}

bool lies_in(std::string_view path, std::string_view directory) {
    if (directory == "/") return path.starts_with('/');
    return path.starts_with(directory) && (path.size() == directory.size() || path[directory.size()] == '/');
}

}  // namespace

// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
Mounts Mounts::parse(std::string_view mountinfo) {
    Mounts mounts;
    std::istringstream lines{std::string(mountinfo)};
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string id, parent, device, root, point, word, type;
        if (!(words >> id >> parent >> device >> root >> point)) continue;
        while (words >> word && word != "-") {
        }
        if (words >> type) mounts.mounts_.push_back({unescaped(root), unescaped(point), type});
    }
    return mounts;
}

Mounts Mounts::of_this_process() {
    std::ifstream file("/proc/self/mountinfo", std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return parse(text.str());
}

// The longest mount point above the path; of two on the same point the later one covers the other.
const Mount* Mounts::of(std::string_view path) const {
    const Mount* found = nullptr;
    for (const Mount& mount : mounts_)
        if (lies_in(path, mount.point) && (found == nullptr || mount.point.size() >= found->point.size()))
            found = &mount;
    return found;
}

Result<FileSystemRoom> file_system_room(const std::string& path) {
    struct statvfs s {};
    if (::statvfs(path.c_str(), &s) != 0) return fail(system_error(errno, "cannot measure " + path));
    FileSystemRoom room;
    room.free_bytes = static_cast<std::uint64_t>(s.f_bavail) * s.f_frsize;
    room.total_bytes = static_cast<std::uint64_t>(s.f_blocks) * s.f_frsize;
    room.free_files = s.f_files == 0 ? ~std::uint64_t{0} : s.f_favail;
    room.read_only = (s.f_flag & ST_RDONLY) != 0;
    return room;
}

Status take_blocks(const std::string& path, std::uint64_t bytes) {
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
    if (file.get() < 0) return fail(system_error(errno, "cannot open " + path));
    int done = 0;
    do {
        done = ::fallocate(file.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes));
    } while (done != 0 && errno == EINTR);
    if (done == 0) return {};
    if (errno == EOPNOTSUPP || errno == ENOSYS)
        return fail(ErrorCode::unsupported, path + ": its file system does not support it");
    return fail(system_error(errno, "cannot reserve space for " + path));
}

std::string resolved(const std::string& path) {
    std::error_code error;
    const auto absolute = std::filesystem::absolute(path, error);
    if (error) return path;
    const auto canonical = std::filesystem::weakly_canonical(absolute, error);
    std::string text = (error ? absolute.lexically_normal() : canonical).string();
    while (text.size() > 1 && text.back() == '/') text.pop_back();
    return text;
}

}  // namespace dtr
