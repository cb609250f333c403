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

bool is_link(const std::string& path) {
    struct stat s {};
    return ::lstat(path.c_str(), &s) == 0 && S_ISLNK(s.st_mode);
}

constexpr const char* kDamagedHint =
    "this file names the live data; bring the system back with dtr restore into an empty directory";

std::string string_field(const json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

std::int64_t integer_field(const json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    return value != nullptr && value->is_int64() ? value->as_int64() : 0;
}

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
    : disk_(disk), path_(std::move(path)), lock_(std::move(lock)) {}

Result<std::unique_ptr<DataDirectory>> DataDirectory::open(Disk& disk, std::string path, bool create) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    if (path.empty()) return fail(ErrorCode::invalid, "the data directory's name is empty", "use --data-dir DIR");
    if (!create && !exists(disk, path + "/config"))
        return fail(ErrorCode::not_found, fmt::format("{} is not a data directory", path),
                    "give the right --data-dir, or run dtr serve to install one");
    for (const char* folder : kFolders) DTR_TRY(make_directories(disk, path + '/' + folder));
    const std::string lock_path = path + "/config/lock";
    UniqueFd lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock.valid()) return fail(system_error(errno, "cannot open " + lock_path));
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
        return fail(ErrorCode::refused, fmt::format("another process is using {}", path),
                    "stop the replica that runs on it, or talk to it with --ucp-url");
    return std::unique_ptr<DataDirectory>(new DataDirectory(disk, std::move(path), std::move(lock)));
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
    return missing == "ca/, config/, metadata/, registry/";
}

Result<std::optional<Current>> DataDirectory::current() {
    const std::string path = path_ + "/config/CURRENT";
    if (!exists(disk_, path)) return std::optional<Current>();
    DTR_ASSIGN(const json::object fields, read_document(disk_, path));
    Current current;
    current.format = static_cast<int>(integer_field(fields, "format"));
    if (current.format != 1)
        return fail(ErrorCode::unsupported, fmt::format("{} has format {}, this program knows 1", path, current.format),
                    "run the release that wrote it, or a later one");
    current.replica_id = string_field(fields, "replica_id");
    current.cluster_id = string_field(fields, "cluster_id");
    current.epoch = integer_field(fields, "epoch");
    current.generation = string_field(fields, "generation");
    current.restored_from = string_field(fields, "restored_from");
    current.undo_generation = string_field(fields, "undo_generation");
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
    Staging staging{string_field(fields, "purpose"), string_field(fields, "backup_id"),
                    string_field(fields, "generation"), string_field(fields, "object_generation"),
                    string_field(fields, "retired_generation")};
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

Status DataDirectory::end_staging(bool discard) {
    DTR_ASSIGN(const auto staged, staging());
    if (!staged) return {};
    if (discard) {
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
        return fail(ErrorCode::internal, fmt::format("'{}' is no generation to remove", generation));
    DTR_TRY(remove_tree(disk_, config_path(generation)));
    DTR_TRY(remove_tree(disk_, ca_path(generation)));
    DTR_TRY(remove_tree(disk_, metadata_path(generation)));
    return remove_handed_out(generation);
}

Status DataDirectory::remove_handed_out(const std::string& generation) {
    for (const std::string name : kHandedOut)
        for (const char* suffix : {"", ".part"})
            if (const std::string file = handed_out(name, generation) + suffix; exists(disk_, file))
                DTR_TRY(disk_.remove(file));
    return {};
}

Status DataDirectory::hand_out(const std::string& name, std::string_view contents, const std::string& generation) {
    const std::string link_path = path_ + '/' + name;
    if (!is_link(link_path) && exists(disk_, link_path))
        return fail(ErrorCode::refused,
                    fmt::format("{} is in the way: a file of that name is about to be made", link_path),
                    "move it to a safe place, then try again");
    if (!generation.empty()) {
        DTR_ASSIGN(const auto live, current());
        if (live && live->generation != generation) return write_file(disk_, handed_out(name, generation), contents);
    }
    DTR_TRY(write_file(disk_, handed_out(name, {}), contents));
    return link(name);
}

Status DataDirectory::link(const std::string& name) {
    const std::string path = path_ + '/' + name;
    if (exists(disk_, path)) return {};
    DTR_TRY(fault_point("disk.link"));
    if (::symlink(("config/" + name).c_str(), path.c_str()) != 0)
        return fail(system_error(errno, "cannot link " + path));
    return disk_.sync_directory(path_);
}

Status DataDirectory::take_over(const Staging& staging) {
    DTR_ASSIGN(const auto live, current());
    if (!live || live->generation != staging.generation) return {};
    for (const std::string name : kHandedOut) {
        const std::string place = handed_out(name, {});
        const std::string own = handed_out(name, live->generation);
        const bool has_own = exists(disk_, own);
        const bool steps_aside =
            has_own || std::find(staging.set_aside.begin(), staging.set_aside.end(), name) != staging.set_aside.end();
        if (steps_aside && exists(disk_, place) && !live->undo_generation.empty())
            DTR_TRY(disk_.rename(place, handed_out(name, live->undo_generation)));
        if (has_own) {
            DTR_TRY(link(name));
            DTR_TRY(disk_.rename(own, place));  // last: that it is gone means that all of this is done
            DTR_TRY(disk_.sync_directory(path_ + "/config"));
        } else if (steps_aside && is_link(path_ + '/' + name)) {
            DTR_TRY(disk_.sync_directory(path_ + "/config"));
            DTR_TRY(disk_.remove(path_ + '/' + name));
        }
    }
    return {};
}

Status DataDirectory::take_back() {
    DTR_ASSIGN(const auto live, current());
    if (live) {
        DTR_ASSIGN(const auto staged, staging());
        if (staged && staged->generation != live->generation && staged->generation != live->undo_generation)
            DTR_TRY(remove_handed_out(staged->generation));
    } else {
        for (const std::string name : kHandedOut)
            if (const std::string linked = path_ + '/' + name; is_link(linked)) DTR_TRY(disk_.remove(linked));
        DTR_TRY(remove_handed_out({}));
    }
    const std::string unfinished_flip = path_ + "/config/CURRENT.part";
    return exists(disk_, unfinished_flip) ? disk_.remove(unfinished_flip) : Status{};
}

bool DataDirectory::has_handed_out(const std::string& name, const std::string& generation) {
    return exists(disk_, handed_out(name, generation));
}

std::string DataDirectory::new_generation(Random& random) {
    return "g-" + random_hex(random, 4);
}

}  // namespace dtr::config
