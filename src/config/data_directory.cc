#include "config/data_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cerrno>

#include "base/fault.h"
#include "base/json_fields.h"
#include "sys/log.h"
#include "sys/mounts.h"

namespace dtr::config {
namespace {

namespace json = boost::json;
constexpr std::array<const char*, 4> kFolders = {"ca", "config", "metadata", "registry"};
constexpr std::array<const char*, 2> kHandedOut = {"recovery-key", "admin-password"};

// Files of a folder that mean nothing: the lock, a volume's own, and a STAGING that was never finished.
bool counts_as_nothing(const std::string& name) {
    return name == "lock" || name == "lost+found" || name == "STAGING.part";
}

bool is_generation(const std::string& name) {
    return name.starts_with("g-") && name.size() <= 64 &&
           name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
}

bool is_link_to(const std::string& path, const std::string& target) {
    std::array<char, 256> text{};
    const ssize_t size = ::readlink(path.c_str(), text.data(), text.size());
    return size >= 0 && std::string_view(text.data(), static_cast<std::size_t>(size)) == target;
}

bool same_mount(const std::string& one, const std::string& other) {
    const Mounts mounts = Mounts::of_this_process();
    return mounts.of(resolved(one)) == mounts.of(resolved(other));
}

// The first three, for a message.
std::string some_of(std::vector<std::string> names) {
    std::sort(names.begin(), names.end());
    std::string text;
    for (std::size_t i = 0; i < names.size() && i < 3; ++i) text.append(i == 0 ? "" : ", ").append(names[i]);
    return names.size() > 3 ? text + fmt::format(" and {} more", names.size() - 3) : text;
}

// Files next to our four folders belong to somebody else.
Status refuse_strangers(Disk& disk, const std::string& path) {
    DTR_ASSIGN(auto names, disk.list(path));
    std::erase_if(names, [](const std::string& name) {
        return name == "lost+found" || std::find(kFolders.begin(), kFolders.end(), name) != kFolders.end();
    });
    if (names.empty()) return {};
    return fail(ErrorCode::refused, fmt::format("{} is not empty: it holds {}", path, some_of(std::move(names))),
                "give an empty directory, or move these away");
}

constexpr const char* kDamagedHint =
    "this file names the live data; bring the system back with dtr restore into an empty directory";

Result<json::object> read_document(Disk& disk, const std::string& path) {
    DTR_ASSIGN(const std::string text, read_file(disk, path, 64U << 10));
    boost::system::error_code error;
    json::value document = json::parse(text, error);
    if (error || !document.is_object())
        return fail(ErrorCode::corrupt, fmt::format("{} is damaged", path), kDamagedHint);
    return std::move(document.as_object());
}

}  // namespace

DataDirectory::DataDirectory(Disk& disk, std::string path, UniqueFd lock)
    : disk_(disk),
      path_(std::move(path)),
      place_(same_mount(path_, path_ + "/config") && ::access(path_.c_str(), W_OK) == 0 ? path_ : path_ + "/config"),
      lock_(std::move(lock)) {}

Result<std::unique_ptr<DataDirectory>> DataDirectory::open(Disk& disk, std::string path) {
    if (!path.empty() && !exists(disk, path + "/config"))
        return fail(ErrorCode::not_found, fmt::format("{} is not a data directory", path),
                    "give the right --data-dir, or run dtr serve to create one");
    return open_or_create(disk, std::move(path));
}

Result<std::unique_ptr<DataDirectory>> DataDirectory::open_or_create(Disk& disk, std::string path) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    if (path.empty()) return fail(ErrorCode::invalid, "the data directory's name is empty", "use --data-dir DIR");
    const bool is_new = std::none_of(kFolders.begin(), kFolders.end(),
                                     [&](const std::string& folder) { return exists(disk, path + '/' + folder); });
    if (is_new && exists(disk, path)) DTR_TRY(refuse_strangers(disk, path));
    for (const char* folder : kFolders) DTR_TRY(make_directories(disk, path + '/' + folder));
    const std::string lock_path = path + "/config/lock";
    UniqueFd lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock.valid()) return fail(system_error(errno, "cannot open " + lock_path));
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
        return fail(ErrorCode::refused, fmt::format("another process is using {}", path),
                    "stop the replica that runs on it, or talk to it with --ucp-url");
    if (::ftruncate(lock.get(), 0) != 0) return fail(system_error(errno, "cannot empty " + lock_path));
    return std::unique_ptr<DataDirectory>(new DataDirectory(disk, std::move(path), std::move(lock)));
}

Status DataDirectory::announce(const std::vector<std::string>& urls) {
    std::string text;
    for (const std::string& url : urls) text += url + '\n';
    DTR_TRY(disk_.truncate(lock_.get(), 0));
    return disk_.write_all(lock_.get(), text);
}

Result<std::vector<std::string>> DataDirectory::served_at(Disk& disk, const std::string& path) {
    std::vector<std::string> urls;
    const std::string lock_path = path + "/config/lock";
    if (!exists(disk, lock_path)) return urls;
    DTR_ASSIGN(const std::string text, read_file(disk, lock_path, 4096));
    for (std::size_t at = 0, end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
        urls.push_back(text.substr(at, end - at));
    return urls;
}

Result<std::string> DataDirectory::missing_folders() {
    std::string missing;
    for (const char* folder : kFolders) {
        DTR_ASSIGN(const auto names, disk_.list(path_ + '/' + folder));
        bool filled = false;
        for (const std::string& name : names) filled = filled || !counts_as_nothing(name);
        if (!filled) missing += fmt::format("{}{}/", missing.empty() ? "" : ", ", folder);
    }
    return missing;
}

Result<std::string> DataDirectory::in_the_way() {
    std::vector<std::string> names;
    for (const std::string folder : kFolders) {
        DTR_ASSIGN(const auto inside, disk_.list(path_ + '/' + folder));
        for (const std::string& name : inside)
            if (!counts_as_nothing(name)) names.push_back(folder + '/' + name);
    }
    return some_of(std::move(names));
}

std::string DataDirectory::missing_of(const std::string& generation) {
    std::string missing;
    const auto note = [&](const char* folder) { missing.append(missing.empty() ? "" : ", ").append(folder); };
    const auto holds_something = [&](const std::string& path) {
        const auto names = disk_.list(path);
        return names && !names->empty();
    };
    if (!holds_something(ca_path(generation))) note("ca/");
    if (!holds_something(config_path(generation))) note("config/");
    if (!holds_something(metadata_path(generation))) note("metadata/");
    if (!exists(disk_, registry_path() + "/blobs")) note("registry/");
    return missing;
}

Result<bool> DataDirectory::empty() {
    DTR_ASSIGN(const std::string missing, missing_folders());
    if (missing != "ca/, config/, metadata/, registry/") return false;
    DTR_TRY(refuse_strangers(disk_, path_));
    return true;
}

Result<std::optional<Current>> DataDirectory::current() {
    const std::string path = path_ + "/config/CURRENT";
    if (!exists(disk_, path)) return std::optional<Current>();
    DTR_ASSIGN(const json::object fields, read_document(disk_, path));
    Current current;
    current.format = static_cast<int>(integer_field(fields, "format"));
    if (current.format != 1)
        return fail(ErrorCode::unsupported,
                    fmt::format("{} has format {}, but this program knows only format 1", path, current.format),
                    "run the release that wrote it, or a later one");
    current.replica_id = text_field(fields, "replica_id");
    current.cluster_id = text_field(fields, "cluster_id");
    current.epoch = integer_field(fields, "epoch");
    current.generation = text_field(fields, "generation");
    current.restored_from = text_field(fields, "restored_from");
    current.undo_generation = text_field(fields, "undo_generation");
    current.since_transaction = integer_field(fields, "since_transaction");
    current.since_revision = integer_field(fields, "since_revision");
    current.since_settings = integer_field(fields, "since_settings");
    if (!is_generation(current.generation) || current.replica_id.empty() || current.cluster_id.empty() ||
        current.epoch < 1 || (!current.undo_generation.empty() && !is_generation(current.undo_generation)))
        return fail(ErrorCode::corrupt, fmt::format("{} is damaged: it names no generation, replica or epoch", path),
                    kDamagedHint);
    return std::optional(std::move(current));
}

Status DataDirectory::flip(const Current& current) {
    const json::object fields{{"format", current.format},
                              {"replica_id", current.replica_id},
                              {"cluster_id", current.cluster_id},
                              {"epoch", current.epoch},
                              {"generation", current.generation},
                              {"restored_from", current.restored_from},
                              {"undo_generation", current.undo_generation},
                              {"since_transaction", current.since_transaction},
                              {"since_revision", current.since_revision},
                              {"since_settings", current.since_settings}};
    return write_file(disk_, path_ + "/config/CURRENT", json::serialize(fields) + "\n");
}

Result<std::optional<Staging>> DataDirectory::staging() {
    const std::string path = path_ + "/config/STAGING";
    if (!exists(disk_, path)) return std::optional<Staging>();
    DTR_ASSIGN(const json::object fields, read_document(disk_, path));
    Staging staging{text_field(fields, "purpose"), text_field(fields, "backup_id"), text_field(fields, "generation"),
                    text_field(fields, "object_generation"), text_field(fields, "retired_generation")};
    if (const auto* names = fields.if_contains("set_aside"); names != nullptr && names->is_array())
        for (const json::value& name : names->as_array())
            if (name.is_string()) staging.set_aside.emplace_back(name.as_string());
    if (!is_generation(staging.generation) ||
        (!staging.retired_generation.empty() && !is_generation(staging.retired_generation)))
        return fail(ErrorCode::corrupt, fmt::format("{} is damaged: it names no generation", path), kDamagedHint);
    return std::optional(std::move(staging));
}

Status DataDirectory::begin_staging(const Staging& staging) {
    const json::object fields{{"purpose", staging.purpose},
                              {"backup_id", staging.backup_id},
                              {"generation", staging.generation},
                              {"object_generation", staging.object_generation},
                              {"retired_generation", staging.retired_generation},
                              {"set_aside", json::value_from(staging.set_aside)}};
    return write_file(disk_, path_ + "/config/STAGING", json::serialize(fields) + "\n");
}

Status DataDirectory::end_staging(Staged folders) {
    DTR_ASSIGN(const auto staged, staging());
    if (!staged) return {};
    if (folders == Staged::discard) {
        DTR_ASSIGN(const auto live, current());
        if (!live) DTR_TRY(take_back());
        if (!live || (staged->generation != live->generation && staged->generation != live->undo_generation))
            DTR_TRY(remove_generation(staged->generation));
    }
    DTR_TRY(disk_.remove(path_ + "/config/STAGING"));
    return disk_.sync_directory(path_ + "/config");
}

Status DataDirectory::remove_generation(const std::string& generation) {
    DTR_ASSIGN(const auto live, current());
    if (!is_generation(generation) || (live && (generation == live->generation || generation == live->undo_generation)))
        return fail(ErrorCode::internal, fmt::format("'{}' is not a generation that can be removed", generation));
    DTR_TRY(remove_tree(disk_, config_path(generation)));
    DTR_TRY(remove_tree(disk_, ca_path(generation)));
    DTR_TRY(remove_tree(disk_, metadata_path(generation)));
    return remove_handed_out(generation);
}

Status DataDirectory::remove_handed_out(const std::string& generation) {
    for (const std::string name : kHandedOut)
        for (const char* suffix : {"", ".part"})
            if (const std::string file = waiting(name, generation) + suffix; exists(disk_, file))
                DTR_TRY(disk_.remove(file));
    return {};
}

Status DataDirectory::hand_out(const std::string& name, std::string_view contents, const std::string& generation) {
    return write_file(disk_, generation.empty() ? place_ + '/' + name : waiting(name, generation), contents);
}

// Renamed only into a free place: what is there may be somebody's only copy.
Status DataDirectory::take_place(const std::string& name, const std::string& from) {
    const std::string place = place_ + '/' + name;
    if (exists(disk_, place)) {
        log::warn("{} is in the way: the new one remains at {}", place, from);
        return {};
    }
    DTR_TRY(disk_.rename(from, place));
    DTR_TRY(disk_.sync_directory(place_));
    return disk_.sync_directory(path_ + "/config");
}

Status DataDirectory::take_over(const Staging& staging) {
    DTR_ASSIGN(const auto live, current());
    if (!live || live->generation != staging.generation) return {};
    DTR_TRY(replace_links());
    for (const std::string name : kHandedOut) {
        const std::string place = place_ + '/' + name;
        const std::string own = waiting(name, live->generation);
        const bool has_own = exists(disk_, own);
        const bool steps_aside =
            has_own || std::find(staging.set_aside.begin(), staging.set_aside.end(), name) != staging.set_aside.end();
        if (steps_aside && exists(disk_, place) && !live->undo_generation.empty()) {
            DTR_TRY(disk_.rename(place, waiting(name, live->undo_generation)));
            DTR_TRY(disk_.sync_directory(path_ + "/config"));
            DTR_TRY(disk_.sync_directory(place_));
        }
        if (has_own) DTR_TRY(take_place(name, own));  // last: that it is gone means that all of this is done
    }
    return {};
}

Status DataDirectory::take_back() {
    DTR_ASSIGN(const auto live, current());
    DTR_ASSIGN(const auto staged, staging());
    if (staged && (!live || (staged->generation != live->generation && staged->generation != live->undo_generation)))
        DTR_TRY(remove_handed_out(staged->generation));
    if (!live) {
        // Of an installation by a release that handed out before the flip.
        for (const std::string name : kHandedOut) {
            if (const std::string link = path_ + '/' + name; is_link_to(link, "config/" + name))
                DTR_TRY(disk_.remove(link));
            for (const char* suffix : {"", ".part"})
                if (const std::string file = path_ + "/config/" + name + suffix; exists(disk_, file))
                    DTR_TRY(disk_.remove(file));
        }
    }
    const std::string unfinished_flip = path_ + "/config/CURRENT.part";
    return exists(disk_, unfinished_flip) ? disk_.remove(unfinished_flip) : Status{};
}

Status DataDirectory::replace_links() {
    for (const std::string name : kHandedOut) {
        const std::string link = path_ + '/' + name;
        const std::string file = path_ + "/config/" + name;
        const bool linked = is_link_to(link, "config/" + name);
        if (place_ == path_ && exists(disk_, file) && (linked || !exists(disk_, link))) {
            DTR_TRY(disk_.rename(file, link));
        } else if (linked) {
            DTR_TRY(disk_.remove(link));
        } else {
            continue;
        }
        DTR_TRY(disk_.sync_directory(path_));
        DTR_TRY(disk_.sync_directory(path_ + "/config"));
    }
    return {};
}

bool DataDirectory::has_handed_out(const std::string& name, const std::string& generation) {
    return exists(disk_, waiting(name, generation));
}

std::string DataDirectory::place_of(const std::string& name) {
    const std::string place = place_ + '/' + name;
    const auto live = current();
    if (!live || !*live || exists(disk_, place)) return place;
    const std::string still_waiting = waiting(name, (*live)->generation);
    return exists(disk_, still_waiting) ? still_waiting : place;
}

std::vector<std::string> DataDirectory::left_to_carry_away() {
    std::vector<std::string> files;
    const auto live = current();
    for (const std::string name : kHandedOut) {
        files.push_back(path_ + '/' + name);
        files.push_back(path_ + "/config/" + name);
        if (live && *live) files.push_back(waiting(name, (*live)->generation));
    }
    std::erase_if(files, [this](const std::string& file) { return !exists(disk_, file); });
    return files;
}

std::string DataDirectory::new_generation(Random& random) {
    return "g-" + random_hex(random, 4);
}

}  // namespace dtr::config
