#include "sys/new_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "base/fault.h"

namespace dtr {
namespace {

constexpr std::string_view kOwnPrefix = ".dtr-";
constexpr std::string_view kOwnSuffix = ".part";
constexpr std::size_t kOwnRandomBytes = 8;
constexpr std::size_t kTailBytes = 16U << 10;  // of an archive: its seal and the signature
constexpr std::int64_t kLeftoverAgeS = 24LL * 3600;

std::string in_directory(const std::string& directory, const std::string& name) {
    return directory == "/" ? "/" + name : directory + '/' + name;
}

bool is_own_form(std::string_view name) {
    if (name.size() != kOwnPrefix.size() + 2 * kOwnRandomBytes + kOwnSuffix.size()) return false;
    return name.starts_with(kOwnPrefix) && name.ends_with(kOwnSuffix) &&
           name.substr(kOwnPrefix.size(), 2 * kOwnRandomBytes).find_first_not_of("0123456789abcdef") ==
               std::string_view::npos;
}

// Whoever writes one holds its lock. `mine` is one that was just made: owners may be mapped on this filesystem.
void sweep(const std::string& directory, const struct stat& mine, Disk& disk) {
    const auto names = disk.list(directory);
    if (!names) return;
    for (const std::string& name : *names) {
        if (!is_own_form(name)) continue;
        const std::string path = in_directory(directory, name);
        struct stat s {};
        if (::lstat(path.c_str(), &s) != 0 || !S_ISREG(s.st_mode) || s.st_uid != mine.st_uid ||
            s.st_mtime > mine.st_mtime - kLeftoverAgeS)
            continue;
        const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
        if (fd.valid() && ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) (void)disk.remove(path);
    }
}

tl::unexpected<Error> cannot_be(ErrorCode code, const std::string& path, std::string_view why, std::string hint = {}) {
    return fail(code, fmt::format("{} {}", path, why), std::move(hint));
}

Status check_parent(const std::string& path) {
    const std::string directory = parent_directory(path);
    struct stat s {};
    if (::stat(directory.c_str(), &s) != 0 && errno == ENOENT)
        return cannot_be(ErrorCode::not_found, directory, "does not exist",
                         "create the directory, or give another one");
    if (errno = 0; ::stat(directory.c_str(), &s) != 0) return fail(system_error(errno, "cannot look at " + directory));
    if (!S_ISDIR(s.st_mode)) return cannot_be(ErrorCode::invalid, directory, "is not a directory");
    if (::access(directory.c_str(), W_OK | X_OK) != 0 && (errno == EACCES || errno == EROFS))
        return cannot_be(ErrorCode::invalid, directory, "cannot be written to", "give a file in another directory");
    return {};
}

// A file that is there and will be replaced: what would fail only at the end is looked for now.
Status check_replaceable(const std::string& path, const struct stat& file) {
    constexpr const char* kElsewhere = "give another file";
    if (::access(path.c_str(), W_OK) != 0 && (errno == EPERM || errno == EROFS))
        return cannot_be(ErrorCode::refused, path, "cannot be replaced: it is immutable, or its disk is read-only",
                         kElsewhere);
    struct statx more {};
    if (::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, 0, &more) == 0 &&
        (more.stx_attributes & more.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0)
        return cannot_be(ErrorCode::refused, path, "is a mount point, and cannot be replaced",
                         "mount its directory instead");
    struct stat directory {};
    if (::stat(parent_directory(path).c_str(), &directory) != 0) return {};
    const uid_t us = ::geteuid();
    if ((directory.st_mode & S_ISVTX) != 0 && us != 0 && file.st_uid != us && directory.st_uid != us)
        return cannot_be(ErrorCode::refused, path, "belongs to somebody else, and cannot be replaced", kElsewhere);
    return {};
}

// Where a link leads, if it may be followed.
Result<std::string> follow(const std::string& path, const struct stat& link) {
    if (link.st_uid != ::geteuid() && link.st_uid != 0)
        return cannot_be(ErrorCode::refused, path, "is a link created by somebody else", "give the file itself");
    char resolved[PATH_MAX];
    if (::realpath(path.c_str(), resolved) == nullptr) {
        if (errno == ENOENT)
            return cannot_be(ErrorCode::refused, path, "is a link to something that does not exist",
                             "give the file itself, or remove the link");
        return fail(system_error(errno, "cannot follow the link " + path));
    }
    return std::string(resolved);
}

}  // namespace

Result<Place> look_at_place(const std::string& path) {
    if (path.empty() || path.back() == '/')
        return fail(ErrorCode::invalid, fmt::format("'{}' does not name a file", path));
    struct stat s {};
    if (::lstat(path.c_str(), &s) != 0) {
        if (errno == ENAMETOOLONG) return cannot_be(ErrorCode::invalid, path, "is too long for a file name");
        if (errno != ENOENT && errno != ENOTDIR) return fail(system_error(errno, "cannot look at " + path));
        DTR_TRY(check_parent(path));
        return Place{Place::Kind::file, path};
    }
    Place place{Place::Kind::file, path};
    if (S_ISLNK(s.st_mode)) {
        // What a shell hands over - /dev/stdout, /dev/fd/63 - is a link, too, to what has no other name.
        const bool is_there = ::stat(path.c_str(), &s) == 0;
        if (is_there && (S_ISFIFO(s.st_mode) || S_ISCHR(s.st_mode))) return Place{Place::Kind::stream, path};
        struct stat link {};
        if (::lstat(path.c_str(), &link) != 0) return fail(system_error(errno, "cannot look at " + path));
        DTR_ASSIGN(place.path, follow(path, link));
        if (::lstat(place.path.c_str(), &s) != 0) return fail(system_error(errno, "cannot look at " + place.path));
    }
    if (S_ISDIR(s.st_mode)) return cannot_be(ErrorCode::invalid, path, "is a directory", "give a file in it");
    if (S_ISFIFO(s.st_mode) || S_ISCHR(s.st_mode) || S_ISBLK(s.st_mode)) {
        place.kind = Place::Kind::stream;
        return place;
    }
    if (!S_ISREG(s.st_mode)) return cannot_be(ErrorCode::invalid, path, "is neither a file, a device nor a FIFO");
    DTR_TRY(check_parent(place.path));
    DTR_TRY(check_replaceable(place.path, s));
    return place;
}

Result<std::unique_ptr<NewFile>> NewFile::create(const std::string& path, Disk& disk, Random& random) {
    std::unique_ptr<NewFile> file(new NewFile(disk, path));
    DTR_TRY(file->make(random));
    return file;
}

Status NewFile::make(Random& random) {
    const std::string directory = parent_directory(path_);
    const std::string own =
        in_directory(directory, fmt::format("{}{}{}", kOwnPrefix, random_hex(random, kOwnRandomBytes), kOwnSuffix));
    auto created = disk_.create(own, OnExisting::refuse, 0600);
    if (!created) {
        Error error = std::move(created).error();
        error.message = fmt::format("cannot write to {}: {}", directory, error.message);
        // Whoever may not write there named a wrong place; no credential is amiss.
        if (error.code == ErrorCode::denied || error.code == ErrorCode::unavailable) error.code = ErrorCode::invalid;
        return fail(std::move(error));
    }
    fd_ = std::move(*created);
    own_ = own;
    on_forced_end_ = std::make_unique<OnForcedEnd>([own] { (void)::unlink(own.c_str()); });
    return look_at_own();
}

Status NewFile::look_at_own() {
    (void)::flock(fd_.get(), LOCK_EX | LOCK_NB);  // not everywhere; then it is the age that protects it
    struct stat s {};
    if (::fstat(fd_.get(), &s) != 0) return fail(system_error(errno, "cannot look at " + own_));
    if ((s.st_mode & 07777) != 0600) (void)::fchmod(fd_.get(), 0600);
    if (::fstat(fd_.get(), &s) != 0) return fail(system_error(errno, "cannot look at " + own_));
    if ((s.st_mode & 0077) != 0)
        caveats_.push_back(fmt::format("the filesystem of {} does not keep files private: its mode is {:o}", path_,
                                       s.st_mode & 07777));
    if (s.st_uid != ::geteuid())
        caveats_.push_back(fmt::format("the filesystem of {} makes user {} its owner", path_, s.st_uid));
    sweep(parent_directory(path_), s, disk_);
    return {};
}

NewFile::~NewFile() {
    remove_own();
}

void NewFile::remove_own() noexcept {
    if (own_.empty()) return;
    (void)::unlink(own_.c_str());
    own_.clear();
}

void NewFile::remember(std::string_view bytes) {
    if (bytes.size() >= kTailBytes) {
        tail_ = bytes.substr(bytes.size() - kTailBytes);
        return;
    }
    tail_.append(bytes);
    if (tail_.size() > kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
}

Status NewFile::write(std::string_view bytes) {
    DTR_TRY(check_interrupt());
    if (auto done = disk_.write_all(fd_.get(), bytes); !done) return fail(done.error().in(path_));
    remember(bytes);
    written_ += bytes.size();
    if (written_ - written_back_ >= kWritebackBytes) {
        disk_.start_writeback(fd_.get(), written_back_, written_ - written_back_);
        written_back_ = written_;
    }
    return {};
}

Status NewFile::sync() {
    if (auto synced = disk_.sync(fd_.get()); !synced) return fail(synced.error().in(path_));
    return {};
}

Status NewFile::commit(Existing existing) {
    DTR_TRY(sync());
    DTR_TRY(take_name(existing));
    in_place_ = true;
    if (auto synced = disk_.sync_directory(parent_directory(path_)); !synced) {
        // The file is there, whole. Some filesystems cannot sync a directory, and some directories cannot be opened.
        if (synced.error().code != ErrorCode::unsupported && synced.error().code != ErrorCode::denied)
            return fail(synced.error().in(
                fmt::format("{} is complete and in place, but not yet safe from a power loss", path_)));
        caveats_.push_back(
            fmt::format("the directory of {} cannot be synced here: until the disk has written it by itself, a power "
                        "loss may undo the file name",
                        path_));
    }
    return check();
}

Status NewFile::take_name(Existing existing) {
    if (existing == Existing::replaced) {
        DTR_TRY(disk_.rename(own_, path_));
    } else {
        DTR_TRY(fault_point("disk.rename"));
        DTR_TRY(take_free_name());
    }
    own_.clear();
    on_forced_end_.reset();
    return {};
}

// Never over another file.
Status NewFile::take_free_name() {
    if (::renameat2(AT_FDCWD, own_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE) == 0) return {};
    const auto is_there = [this] { return cannot_be(ErrorCode::already_exists, path_, "already exists"); };
    if (errno == EEXIST) return is_there();
    if (errno != EINVAL && errno != ENOSYS) return fail(system_error(errno, "cannot rename to " + path_));
    // A filesystem that cannot (NFS): a second name that must be new, and the first one goes.
    if (::link(own_.c_str(), path_.c_str()) == 0) {
        (void)::unlink(own_.c_str());
        return {};
    }
    if (errno == EEXIST) return is_there();
    // Nor hard links (FAT): what is left is to look first.
    struct stat s {};
    if (::lstat(path_.c_str(), &s) == 0) return is_there();
    return disk_.rename(own_, path_);
}

// Not what we did, but what is there.
Status NewFile::check() {
    const UniqueFd found(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat there {};
    struct stat ours {};
    if (!found.valid() || ::fstat(found.get(), &there) != 0 || ::fstat(fd_.get(), &ours) != 0)
        return fail(system_error(errno, fmt::format("{} was written, but cannot be looked at", path_)));
    const std::uint64_t begin = written_ - tail_.size();
    std::string tail(tail_.size(), '\0');
    DTR_ASSIGN(const std::size_t got, disk_.read_at(found.get(), tail.data(), tail.size(), begin));
    if (there.st_size == static_cast<off_t>(written_) && got == tail_.size() && tail == tail_) return {};
    in_place_ = false;
    if (there.st_dev != ours.st_dev || there.st_ino != ours.st_ino)
        return cannot_be(ErrorCode::conflict, path_,
                         "was taken by another file at the same moment; this one was removed", "use a different name");
    return fail(ErrorCode::corrupt, fmt::format("{} does not hold what was written to it", path_),
                "check its disk and the system's log");
}

Status write_new_file(const std::string& path, std::string_view bytes, NewFile::Existing existing, Disk& disk) {
    DTR_ASSIGN(const auto file, NewFile::create(path, disk));
    DTR_TRY(file->write(bytes));
    return file->commit(existing);
}

}  // namespace dtr
