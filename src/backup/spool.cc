#include "backup/spool.h"

namespace dtr::backup {

namespace {

constexpr std::string_view kPrefix = "spool-";

// Spools are unlinked as soon as they are made, so a name is left over from a process that died in between. (Or another
// backup is right there: it does not mind that its name is gone.)
void remove_left_over(Disk& disk, const std::string& directory) {
    const auto names = disk.list(directory);
    if (!names) return;
    for (const std::string& name : *names)
        if (name.starts_with(kPrefix)) (void)disk.remove(directory + '/' + name);
}

}  // namespace

Result<Spool> Spool::open(Disk& disk, const std::string& directory, const std::string& unique) {
    remove_left_over(disk, directory);
    const std::string path = fmt::format("{}/{}{}", directory, kPrefix, unique);
    DTR_ASSIGN(UniqueFd fd, disk.create(path, OnExisting::refuse, 0600));
    if (auto removed = disk.remove(path); !removed && removed.error().code != ErrorCode::not_found)
        return fail(removed.error());
    return Spool(disk, std::move(fd));
}

Result<SpooledPart> Spool::append(std::string name, std::string_view bytes) {
    if (auto written = disk_->write_all(fd_.get(), bytes); !written)
        return fail(written.error().in("cannot spool " + name));
    const SpooledPart part{std::move(name), size_, bytes.size()};
    size_ += bytes.size();
    return part;
}

Result<std::string> Spool::read(const SpooledPart& part) const {
    std::string bytes(part.size, '\0');
    DTR_ASSIGN(const std::size_t got, disk_->read_at(fd_.get(), bytes.data(), bytes.size(), part.offset));
    if (got != bytes.size()) return fail(ErrorCode::corrupt, "the spool is shorter than what was written to it");
    return bytes;
}

}  // namespace dtr::backup
