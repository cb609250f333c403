#include "test/support/replica_kit.h"

#include <algorithm>

#include "archive/stream.h"
#include "backup/seal_keys.h"
#include "blob/fs/fs_blob_store.h"
#include "config/file/file_config_store.h"
#include "meta/schema.h"
#include "meta/sqlite/sqlite_meta_store.h"
#include "oci/manifest.h"
#include "sys/log.h"

namespace dtr::test {
namespace {

constexpr std::string_view kManifestType = "application/vnd.oci.image.manifest.v1+json";
constexpr std::string_view kIndexType = "application/vnd.oci.image.index.v1+json";
constexpr std::string_view kConfigType = "application/vnd.oci.image.config.v1+json";
[[maybe_unused]] const bool quiet = log::set_level("error");  // thousands of stores are opened

constexpr std::string_view kLayerType = "application/vnd.oci.image.layer.v1.tar+gzip";

}  // namespace

backup::StoreOpeners embedded_stores(Disk& disk) {
    const auto database = [](const std::string& directory) { return directory + "/dtr.sqlite"; };
    return {
        [=](const std::string& directory) {
            return meta::open_sqlite_meta_store({database(directory), 2}, system_clock(), system_random());
        },
        [=](const std::string& directory) {
            return meta::open_sqlite_bulk_loader(database(directory), system_clock());
        },
        [&disk](const std::string& root) { return blob::open_fs_blob_store(disk, root); },
        [&disk](const std::string& settings, const std::string& keys) {
            return config::open_file_config_store(disk, {settings, keys});
        },
    };
}

// --- opening ---

Result<Site> open_site(const std::string& path, Disk& disk) {
    Site site;
    site.openers = std::make_unique<backup::StoreOpeners>(embedded_stores(disk));
    DTR_ASSIGN(site.directory, config::DataDirectory::open_or_create(disk, path));
    return site;
}

namespace {

Status open_in(Site& site, Disk& disk) {
    site.environment.reset(
        new cluster::Environment{*site.directory, *site.openers, disk, system_clock(), system_random()});
    cluster::ReplicaOptions options;
    options.product_version = "0.1.0-test";
    options.settings["storage.reserve"] = "0";
    DTR_ASSIGN(site.replica, cluster::Replica::open(*site.environment, options));
    return {};
}

cluster::InstallOptions install_options() {
    cluster::InstallOptions options;
    options.admin_password = Secret(kAdminPassword);
    options.server_names = {"localhost"};
    return options;
}

}  // namespace

Result<Site> open_replica(const std::string& path, Disk& disk) {
    DTR_ASSIGN(Site site, open_site(path, disk));
    DTR_TRY(open_in(site, disk));
    return site;
}

Result<cluster::InstallReport> install(const std::string& path) {
    DTR_ASSIGN(Site site, open_site(path));
    cluster::Environment environment{*site.directory, *site.openers, real_disk(), system_clock(), system_random()};
    return cluster::install(environment, install_options());
}

Result<Site> serve(const std::string& path) {
    DTR_ASSIGN(Site site, open_site(path));
    DTR_ASSIGN(const auto staged, site.directory->staging());
    DTR_ASSIGN(const bool empty, site.directory->empty());
    DTR_ASSIGN(const auto current, site.directory->current());
    if (empty || (!current && staged && staged->purpose == "install")) {
        cluster::Environment environment{*site.directory, *site.openers, real_disk(), system_clock(), system_random()};
        DTR_TRY(cluster::install(environment, install_options()));
    }
    DTR_TRY(open_in(site, real_disk()));
    return site;
}

// --- filling ---

std::string random_text(std::uint64_t seed, std::size_t size) {
    SeededRandom random(seed + 1);
    return random.bytes(size);
}

std::string descriptor_json(std::string_view media_type, const Digest& digest, std::size_t size) {
    return fmt::format(R"({{"mediaType":"{}","digest":"{}","size":{}}})", media_type, digest.to_string(), size);
}

Result<Digest> push_blob(cluster::Replica& replica, const std::string& repository, std::string_view bytes,
                         DigestAlgorithm algorithm) {
    const Digest digest = Digest::of(bytes, algorithm);
    DTR_ASSIGN(const auto session, replica.registry().uploads().begin_single({repository, "", "admin", algorithm}));
    DTR_TRY(session->append(bytes));
    DTR_TRY(session->finish(digest, "admin"));
    return digest;
}

Result<Digest> push_manifest(cluster::Replica& replica, const std::string& repository, const std::string& tag,
                             std::string_view bytes, DigestAlgorithm algorithm) {
    registry::ManifestPush push;
    push.repository = repository;
    push.actor = "admin";
    if (tag.empty() || algorithm != DigestAlgorithm::sha256) push.digest = Digest::of(bytes, algorithm);
    if (!tag.empty()) push.tags = {tag};
    DTR_ASSIGN(const auto pushed, replica.registry().manifests().push(push, bytes));
    return pushed.digest;
}

Result<Digest> push_image(cluster::Replica& replica, const std::string& repository, const std::string& tag,
                          const std::vector<LayerSpec>& layers) {
    std::string listed;
    for (const LayerSpec& layer : layers) {
        DTR_ASSIGN(const Digest digest,
                   push_blob(replica, repository, random_text(layer.seed, layer.size), layer.algorithm));
        listed += (listed.empty() ? "" : ",") + descriptor_json(kLayerType, digest, layer.size);
    }
    const std::string config = fmt::format(
        R"({{"architecture":"amd64","os":"linux","config":{{"Labels":{{"for":"{}:{}"}}}}}})", repository, tag);
    DTR_ASSIGN(const Digest config_digest, push_blob(replica, repository, config));
    return push_manifest(
        replica, repository, tag,
        fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}})", kManifestType,
                    descriptor_json(kConfigType, config_digest, config.size()), listed));
}

Status fill_sample(cluster::Replica& replica, std::size_t layer_bytes) {
    registry::Registry& registry = replica.registry();
    const std::size_t small = layer_bytes / 3;
    DTR_ASSIGN(const Digest one, push_image(replica, "team/app", "1", {{1, layer_bytes}, {2, small}}));
    DTR_ASSIGN(const Digest two, push_image(replica, "team/app", "2", {{1, layer_bytes}, {3, small}}));
    // The same blob in a second repository; sha512 content; an empty layer; a tag that no OCI reference can spell.
    DTR_TRY(
        push_image(replica, "team/web", "_odd..tag", {{1, layer_bytes}, {4, small, DigestAlgorithm::sha512}, {5, 0}}));
    DTR_TRY(push_image(replica, "base", "latest", {{6, small}}));
    DTR_TRY(replica.meta().repositories().set_visibility("base", meta::Visibility::everyone, "admin"));
    DTR_TRY(replica.meta().repositories().create("team/empty", meta::Visibility::restricted, "admin"));

    DTR_ASSIGN(const auto stored_one, registry.manifests().get("team/app", one));
    DTR_ASSIGN(const auto stored_two, registry.manifests().get("team/app", two));
    const std::string index = fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","manifests":[{},{}]}})", kIndexType,
                                          descriptor_json(kManifestType, one, stored_one.bytes->size()),
                                          descriptor_json(kManifestType, two, stored_two.bytes->size()));
    DTR_TRY(push_manifest(replica, "team/app", "multi", index));
    DTR_ASSIGN(const Digest empty_config, push_blob(replica, "team/app", "{}"));
    const std::string referrer = fmt::format(
        R"({{"schemaVersion":2,"mediaType":"{}","artifactType":"application/example.sbom","config":{},"layers":[],)"
        R"("subject":{},"annotations":{{"note":"tab\tand \"quotes\""}}}})",
        kManifestType, descriptor_json("application/vnd.oci.empty.v1+json", empty_config, 2),
        descriptor_json(kManifestType, one, stored_one.bytes->size()));
    DTR_TRY(push_manifest(replica, "team/app", "", referrer));
    DTR_TRY(push_manifest(replica, "team/app", "", referrer, DigestAlgorithm::sha512));

    DTR_TRY(
        replica.accounts().create_user({"alice", "Alice \\ \"A\" \xc3\x86", Secret(kUserPassword), false}, "admin"));
    DTR_TRY(replica.config().apply({
        {"settings/motd", Secret("line 1\nline 2 \\ \xc3\xa9"), false, std::nullopt},
        {"settings/binary", Secret(std::string("\0\xff\xfe raw", 8)), false, std::nullopt},
        {"settings/webhook-secret", Secret("hook-canary-7f3a9c55e1"), true, std::nullopt},
    }));
    return {};
}

// --- backing up and restoring ---

Result<std::string> back_up(cluster::Replica& replica, const backup::BackupOptions& options, std::string* partial) {
    DTR_ASSIGN(const auto job, backup::BackupJob::prepare(replica.backup_source(), options));
    archive::StringSink sink;
    const auto written = job->write(sink);
    if (!written) {
        if (partial != nullptr) *partial = sink.take();
        return fail(written.error());
    }
    return sink.take();
}

backup::RestoreOptions with_recovery_key(const std::string& path) {
    const auto text = must(read_file(real_disk(), path + "/recovery-key"));
    auto file = must(archive::parse_identity_file(Secret(text)));
    backup::RestoreOptions options;
    options.keys.identities = std::move(file.identities);
    for (const std::string& signer : file.signers)
        options.anchors.keys.push_back(must(archive::PublicKey::parse(signer)));
    return options;
}

Result<backup::RestoreReport> restore_into(const std::string& path, archive::ByteSource& source,
                                           const backup::RestoreOptions& options, Disk& disk) {
    DTR_ASSIGN(Site site, open_site(path, disk));
    cluster::Environment environment{*site.directory, *site.openers, disk, system_clock(), system_random()};
    const auto hooks = cluster::restore_hooks(environment, {"localhost"});
    return backup::restore(source, *site.directory, *site.openers, options, hooks, disk, system_clock(),
                           system_random());
}

Result<backup::RestoreReport> restore_into(const std::string& path, std::string_view archive,
                                           const backup::RestoreOptions& options, Disk& disk) {
    archive::StringSource source(archive);
    return restore_into(path, source, options, disk);
}

Result<backup::UndoReport> undo_in(const std::string& path, bool rewind, Disk& disk) {
    DTR_ASSIGN(Site site, open_site(path, disk));
    return backup::undo_restore(*site.directory, *site.openers, {rewind, ""}, system_clock(), system_random());
}

// --- comparing ---

namespace {

bool renewed_by_restore(const std::string& key) {
    return key.starts_with("ca/token/") || key == backup::kSignerKey || key == backup::kSignerChain ||
           key == backup::kImageStoreKey || key == backup::kCollectorHeldKey;
}

Result<Digest> hash_of(blob::BlobStore& blobs, const meta::Object& object) {
    DTR_ASSIGN(const auto reader, blobs.open({object.digest, object.generation}));
    if (reader->size() != object.size)
        return fail(ErrorCode::corrupt,
                    fmt::format("{} has {} bytes, not {}", object.digest.to_string(), reader->size(), object.size));
    std::string bytes(object.size, '\0');
    DTR_ASSIGN(const std::size_t got, reader->read(bytes.data(), bytes.size(), 0));
    return Digest::of(std::string_view(bytes).substr(0, got), object.digest.algorithm());
}

Status add_objects(const backup::BackupSource& source, meta::Cut& cut, Logical& out) {
    std::uint64_t stored = 0;
    DTR_TRY(cut.each_object([&](const meta::Object& object) -> Status {
        DTR_ASSIGN(const Digest actual, hash_of(source.blobs, object));
        if (actual != object.digest)
            return fail(ErrorCode::corrupt, fmt::format("the bytes of {} are damaged", object.digest.to_string()));
        out.objects[object.digest.to_string()] = object.size;
        return {};
    }));
    std::string cursor;
    do {
        DTR_ASSIGN(const auto page, source.blobs.list(cursor, 1000));
        stored += page.objects.size();
        cursor = page.next;
    } while (!cursor.empty());
    out.surplus_objects = stored - out.objects.size();
    DTR_ASSIGN(const auto uploads, source.blobs.list_uploads());
    out.uploads = uploads.size();
    return {};
}

}  // namespace

std::uint64_t Logical::rows() const {
    std::uint64_t count = 0;
    for (const auto& [name, lines] : tables) count += lines.size();
    return count;
}

Result<Logical> logical(cluster::Replica& replica) {
    Logical out;
    const backup::BackupSource source = replica.backup_source();
    DTR_ASSIGN(const auto cut, source.meta.changes().cut());
    for (const meta::Table& table : meta::tables()) {
        if (table.part == meta::Part::local) continue;
        auto& lines = out.tables[std::string(table.name)];
        DTR_TRY(cut->each_row(table, [&](const meta::Cut::Row& row) -> Status {
            std::string line;
            for (const auto& value : row) line += value ? *value + '|' : std::string("(null)|");
            lines.push_back(std::move(line));
            return {};
        }));
    }
    DTR_TRY(add_objects(source, *cut, out));
    DTR_ASSIGN(const config::Snapshot snapshot, source.config.list(""));
    for (const config::Entry& entry : snapshot.entries)
        if (!renewed_by_restore(entry.key))
            out.config[entry.key] = (entry.secret ? "secret:" : "plain:") + std::string(entry.value.expose());
    return out;
}

std::string difference(const Logical& expected, const Logical& actual, bool secrets) {
    std::string out;
    for (const auto& [name, lines] : expected.tables) {
        if (!secrets && name == "account_secrets") continue;
        const auto it = actual.tables.find(name);
        if (it == actual.tables.end() || it->second != lines)
            out += fmt::format("table {}: {} rows, expected {}\n", name,
                               it == actual.tables.end() ? 0 : it->second.size(), lines.size());
    }
    for (const auto& [key, value] : expected.config)
        if (const auto it = actual.config.find(key); it == actual.config.end() || it->second != value)
            out += fmt::format("configuration {} {}\n", key, it == actual.config.end() ? "is missing" : "differs");
    for (const auto& [key, value] : actual.config)
        if (!expected.config.contains(key)) out += fmt::format("configuration {} is new\n", key);
    if (expected.objects != actual.objects)
        out += fmt::format("{} objects, expected {}\n", actual.objects.size(), expected.objects.size());
    return out;
}

Status check_whole(cluster::Replica& replica) {
    registry::Registry& registry = replica.registry();
    const auto cut = replica.meta().changes().cut();
    if (!cut) return fail(cut.error());
    std::map<std::string, std::string> names;
    DTR_TRY((*cut)->each_row(meta::table(meta::TableId::repositories), [&](const meta::Cut::Row& row) -> Status {
        names[*row[0]] = *row[1];
        return {};
    }));
    DTR_TRY((*cut)->each_row(meta::table(meta::TableId::tags), [&](const meta::Cut::Row& row) -> Status {
        if (auto tagged = registry.manifests().get_tagged(names[*row[0]], *row[1]); !tagged)
            return fail(tagged.error().in(fmt::format("{}:{}", names[*row[0]], *row[1])));
        return {};
    }));
    return (*cut)->each_row(meta::table(meta::TableId::manifests), [&](const meta::Cut::Row& row) -> Status {
        const std::string& repository = names[*row[0]];
        DTR_ASSIGN(const Digest digest, Digest::parse(*row[1]));
        DTR_ASSIGN(const auto manifest, registry.manifests().get(repository, digest));
        DTR_ASSIGN(const auto parsed, oci::parse_manifest(*manifest.bytes, ""));
        for (const oci::Need& need : parsed.needs) {
            if (need.may_be_absent) continue;
            DTR_ASSIGN(const meta::Object object, registry.blobs().stat(repository, need.digest));
            DTR_ASSIGN(const Digest actual, hash_of(replica.backup_source().blobs, object));
            if (actual != need.digest) return fail(ErrorCode::corrupt, "damaged: " + need.digest.to_string());
        }
        return {};
    });
}

Result<identity::Principal> log_in(cluster::Replica& replica, const std::string& name, const std::string& password) {
    return replica.authenticator().authenticate(name, Secret(password), "127.0.0.1");
}

}  // namespace dtr::test
