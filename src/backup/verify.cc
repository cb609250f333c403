#include "backup/verify.h"

#include <set>

#include "archive/copy_text.h"
#include "archive/unlock.h"
#include "backup/contents.h"
#include "backup/digest_set.h"
#include "backup/reference_graph.h"
#include "oci/manifest.h"

namespace dtr::backup {
namespace {

Status drain(archive::ByteSource& content) {
    char buffer[64U << 10];
    while (true) {
        DTR_ASSIGN(const std::size_t got, content.read(buffer, sizeof buffer));
        if (got == 0) return {};
    }
}

class Level2 : public ContentVisitor {
  public:
    explicit Level2(VerifyReport& report) : report_(report) {}
    Status config_entry(const ConfigLine&, const std::optional<Secret>&) override { return {}; }
    Status row(const meta::Table&, const meta::Cut::Row&) override {
        ++report_.rows;
        return {};
    }
    Status blob(const Digest&, std::uint64_t, archive::ByteSource& content) override {
        ++report_.blobs;
        return drain(content);
    }
    Status inventory_entry(const Digest& digest, std::uint64_t, Place place) override {
        if (place == Place::missing) report_.missing.digests.push_back(digest);
        return {};
    }

  protected:
    VerifyReport& report_;
};

// References are closed: what rows name is in the inventory, what manifests need is among what their repositories hold,
// every manifest parses, is of the type and needs what its rows say, and blobs have the size that the inventory says. Needs
// ~33 bytes a digest, and what ReferenceGraph needs.
class Level3 final : public Level2 {
  public:
    Level3(VerifyReport& report, bool images, ContentVisitor* also) : Level2(report), images_(images), also_(also) {}

    Status config_entry(const ConfigLine& line, const std::optional<Secret>& value) override {
        return also_ != nullptr ? also_->config_entry(line, value) : Status{};
    }

    Status row(const meta::Table& table, const meta::Cut::Row& row) override {
        DTR_TRY(Level2::row(table, row));
        if (also_ != nullptr) DTR_TRY(also_->row(table, row));
        DTR_TRY(graph_.add(table, row));
        const auto field = [&](std::string_view name) -> const std::string& {
            return *row[meta::column_index(table, name)];
        };
        if (table.name == "manifests") {
            DTR_ASSIGN(const Digest digest, Digest::parse(field("digest")));
            manifests_.add(digest);
            facts_.add(fmt::format("{} {} {}", digest.to_string(), field("media_type"), field("size")));
            if (types_.size() < kTypesMax) types_.insert(field("media_type"));
        } else if (table.name == "repository_blobs") {
            DTR_ASSIGN(const Digest digest, Digest::parse(field("digest")));
            linked_.add(digest);
        } else if (table.name == "manifest_references" && field("may_be_absent") != "0") {
            DTR_ASSIGN(const Digest digest, Digest::parse(field("digest")));
            optional_.add(digest);
        }
        return {};
    }

    Status blob(const Digest& digest, std::uint64_t size, archive::ByteSource& content) override {
        sort_rows();
        carried_.add(fmt::format("{} {}", digest.to_string(), size));
        if (!manifests_.contains(digest)) return Level2::blob(digest, size, content);
        ++report_.blobs;
        ++report_.manifests;
        DTR_ASSIGN(const std::string bytes, archive::read_all(content, oci::kManifestBytesMax));
        auto parsed = oci::parse_manifest(bytes, "");
        if (!parsed)
            return concerning(digest, fmt::format("manifest {}: {}", digest.to_string(), parsed.error().message));
        std::vector<Digest> needs;
        for (const oci::Need& need : parsed->needs) {
            needs.push_back(need.digest);
            sizes_.claim(need.digest, need.size);
            if (!need.may_be_absent && !linked_.contains(need.digest) && !manifests_.contains(need.digest) &&
                !optional_.contains(need.digest))
                return concerning(digest, fmt::format("manifest {} needs {}, which no repository holds",
                                                      digest.to_string(), need.digest.to_string()));
        }
        if (!type_and_size_agree(digest, size, bytes))
            return concerning(digest, fmt::format("manifest {} has type {} and {} bytes, but its row says otherwise",
                                                  digest.to_string(), parsed->media_type, size));
        if (!graph_.agrees(digest, needs))
            return concerning(digest,
                              fmt::format("manifest {} needs different blobs than its rows say", digest.to_string()));
        return {};
    }

    Status inventory_entry(const Digest& digest, std::uint64_t size, Place place) override {
        DTR_TRY(Level2::inventory_entry(digest, size, place));
        if (place == Place::missing) {
            missing_manifests_ += manifests_.contains(digest) ? 1 : 0;
            present_.add(digest);  // for all that is asked of the archive
            return {};
        }
        if (!sizes_.agrees(digest, size))
            return concerning(
                digest, fmt::format("a manifest gives {} a size other than its {} bytes", digest.to_string(), size));
        if (place != Place::synthetic) present_.add(digest);
        if (place != Place::store) listed_.add(fmt::format("{} {}", digest.to_string(), size));
        return also_ != nullptr ? also_->inventory_entry(digest, size, place) : Status{};
    }

    // After the last entry.
    Status close() {
        sort_rows();
        present_.sort();
        if (images_ && report_.manifests + missing_manifests_ != manifests_.size())
            return fail(ErrorCode::corrupt, fmt::format("{} manifests are referenced, but {} are in the archive",
                                                        manifests_.size(), report_.manifests));
        if (listed_.hex() != carried_.hex())
            return fail(ErrorCode::corrupt, "the inventory does not list the blobs that are in the archive");
        DTR_TRY(check(manifests_));
        DTR_TRY(check(linked_));
        if (!report_.missing.digests.empty()) report_.missing.sufferers = graph_.sufferers(report_.missing.digests);
        return {};
    }

  private:
    // Rows may give a type only where the manifest itself names none.
    [[nodiscard]] bool type_and_size_agree(const Digest& digest, std::uint64_t size, std::string_view bytes) const {
        bool found = false;
        for (const std::string& type : types_) {
            if (!facts_.contains(fmt::format("{} {} {}", digest.to_string(), type, size))) continue;
            const auto parsed = oci::parse_manifest(bytes, type);
            if (!parsed || parsed->media_type != type) return false;
            found = true;
        }
        return found || types_.size() == kTypesMax;
    }

    // Names the tags that cannot be pulled for it.
    [[nodiscard]] tl::unexpected<Error> concerning(const Digest& digest, const std::string& why) const {
        return fail(ErrorCode::corrupt, fmt::format("{}; this concerns {}", why,
                                                    describe_sufferers(graph_.sufferers(std::span(&digest, 1)))));
    }

    [[nodiscard]] Status require_present(const Digest& digest) const {
        if (present_.contains(digest)) return {};
        return concerning(
            digest, fmt::format("{} is referenced by a repository but is not in the inventory", digest.to_string()));
    }

    void sort_rows() {
        if (sorted_) return;
        sorted_ = true;
        graph_.close();
        facts_.sort();
        for (DigestSet* set : {&manifests_, &linked_, &optional_}) set->sort();
    }
    [[nodiscard]] Status check(const DigestSet& set) const {
        return set.each([this](const Digest& digest) { return require_present(digest); });
    }

    bool images_;
    ContentVisitor* also_;
    bool sorted_ = false;
    ReferenceGraph graph_;
    DigestSet manifests_;
    DigestSet linked_;
    DigestSet optional_;
    DigestSet present_;
    std::uint64_t missing_manifests_ = 0;
    static constexpr std::size_t kTypesMax = 100;  // more different ones are not told apart
    std::set<std::string> types_;
    FactSet facts_;                 // "<digest> <media type> <size>" as rows have it
    SizeClaims sizes_;              // what manifests say of the blobs they need
    archive::Fingerprint carried_;  // "<digest> <size>" of blobs in the archive
    archive::Fingerprint listed_;   // the same of the inventory
};

void describe(const archive::ArchiveReader& reader, VerifyReport& report) {
    report.backup_id = reader.header().backup_id;
    report.cluster_id = reader.header().cluster_id;
    report.cut_at = reader.header().cut_at;
    report.trust = reader.trust();
    report.signer = reader.header().signer().key_id();
}

Status read_at_level(archive::ArchiveReader& reader, const VerifyOptions& options, VerifyReport& report) {
    if (options.level <= 1) {
        while (true) {
            DTR_ASSIGN(const auto entry, reader.next());
            if (!entry) return {};
        }
    }
    const archive::Header& header = reader.header();
    ContentOptions contents{false, options.with_secrets && header.secrets != archive::SecretPolicy::omitted, {}};
    const bool sealed = contents.with_secrets && header.secrets == archive::SecretPolicy::sealed;
    if (sealed || header.encryption == archive::Encryption::entries) {
        DTR_ASSIGN(contents.keys, archive::unlock(header, options.keys));
    }
    report.secrets_opened = contents.with_secrets;
    if (options.level == 2) {
        Level2 level(report);
        return read_contents(reader, contents, level);
    }
    Level3 level(report, reader.header().images == archive::ImageScope::include, options.also);
    DTR_TRY(read_contents(reader, contents, level));
    return level.close();
}

}  // namespace

Result<VerifyReport> verify_opened(archive::ArchiveReader& reader, const VerifyOptions& options) {
    VerifyReport report;
    report.level = options.level;
    describe(reader, report);
    if (report.trust == archive::SignerTrust::untrusted) return fail(reader.require_verified().error());
    DTR_TRY(read_at_level(reader, options, report));
    report.missing_blobs = reader.header().missing_blobs;
    report.entries = reader.seal().entries;
    report.seal_digest = reader.seal_digest();
    return report;
}

Result<VerifyReport> verify(archive::ByteSource& source, const VerifyOptions& options) {
    DTR_ASSIGN(const auto input, archive::open_stream(source, options.keys));
    DTR_ASSIGN(const auto reader, archive::ArchiveReader::open(*input, options.anchors));
    VerifyReport report;
    report.level = options.level;
    describe(*reader, report);
    if (report.trust == archive::SignerTrust::untrusted) return fail(reader->require_verified().error());
    while (true) {
        DTR_TRY(read_at_level(*reader, options, report));
        report.missing_blobs += reader->header().missing_blobs;
        report.entries += reader->seal().entries;
        report.seal_digest = reader->seal_digest();
        DTR_ASSIGN(const bool more, reader->next_archive());
        if (!more) break;
    }
    report.bytes = reader->bytes_read();
    return report;
}

}  // namespace dtr::backup
