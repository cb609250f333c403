#include "backup/spool.h"

namespace dtr::backup {

Result<Spool> Spool::open(Disk& disk, const std::string& directory, const std::string& unique) {
    const std::string path = fmt::format("{}/spool-{}", directory, unique);
    DTR_ASSIGN(UniqueFd fd, disk.create(path, true, 0600));
    DTR_TRY(disk.remove(path));
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
