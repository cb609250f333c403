#include "backup/verify.h"

#include <map>

#include "archive/copy_text.h"
#include "backup/contents.h"
#include "backup/digest_set.h"
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

std::size_t column(const meta::Table& table, std::string_view name) {
    for (std::size_t i = 0; i < table.columns.size(); ++i)
        if (table.columns[i].name == name) return i;
    return 0;
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
    Status inventory_entry(const Digest&, std::uint64_t, Place) override { return {}; }

  protected:
    VerifyReport& report_;
};

// References are closed: what rows name is in the inventory, what manifests need is among what their repositories hold,
// every manifest parses, and blobs have the size that the inventory says. Needs ~33 bytes a digest.
class Level3 final : public Level2 {
  public:
    explicit Level3(VerifyReport& report, bool images) : Level2(report), images_(images) {}

    Status row(const meta::Table& table, const meta::Cut::Row& row) override {
        DTR_TRY(Level2::row(table, row));
        if (table.name == "manifests") {
            DTR_ASSIGN(const Digest digest, Digest::parse(*row[column(table, "digest")]));
            manifests_.add(digest);
        } else if (table.name == "repository_blobs") {
            DTR_ASSIGN(const Digest digest, Digest::parse(*row[column(table, "digest")]));
            linked_.add(digest);
        } else if (table.name == "manifest_references" && *row[column(table, "may_be_absent")] != "0") {
            DTR_ASSIGN(const Digest digest, Digest::parse(*row[column(table, "digest")]));
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
            return fail(ErrorCode::corrupt, fmt::format("manifest {}: {}", digest.to_string(), parsed.error().message));
        for (const oci::Need& need : parsed->needs) {
            sizes_.claim(need.digest, need.size);
            if (!need.may_be_absent && !linked_.contains(need.digest) && !manifests_.contains(need.digest) &&
                !optional_.contains(need.digest))
                return fail(ErrorCode::corrupt, fmt::format("manifest {} needs {}, which no repository holds",
                                                            digest.to_string(), need.digest.to_string()));
        }
        return {};
    }

    Status inventory_entry(const Digest& digest, std::uint64_t size, Place place) override {
        if (!sizes_.agrees(digest, size))
            return fail(ErrorCode::corrupt,
                        fmt::format("a manifest gives {} another size than its {} bytes", digest.to_string(), size));
        if (place != Place::synthetic) present_.add(digest);
        if (place != Place::store) listed_.add(fmt::format("{} {}", digest.to_string(), size));
        return {};
    }

    // After the last entry.
    Status close() {
        sort_rows();
        present_.sort();
        if (images_ && report_.manifests != manifests_.size())
            return fail(ErrorCode::corrupt, fmt::format("{} manifests are named, {} are in the archive",
                                                        manifests_.size(), report_.manifests));
        if (listed_.hex() != carried_.hex())
            return fail(ErrorCode::corrupt, "the inventory does not list the blobs that are in the archive");
        DTR_TRY(check(manifests_));
        return check(linked_);
    }

  private:
    [[nodiscard]] Status require_present(const Digest& digest) const {
        if (present_.contains(digest)) return {};
        return fail(ErrorCode::corrupt,
                    fmt::format("{} is named by a repository but is not in the inventory", digest.to_string()));
    }

    void sort_rows() {
        if (sorted_) return;
        sorted_ = true;
        for (DigestSet* set : {&manifests_, &linked_, &optional_}) set->sort();
    }
    [[nodiscard]] Status check(const DigestSet& set) const {
        return set.each([this](const Digest& digest) { return require_present(digest); });
    }

    bool images_;
    bool sorted_ = false;
    DigestSet manifests_;
    DigestSet linked_;
    DigestSet optional_;
    DigestSet present_;
    SizeClaims sizes_;              // what manifests say of the blobs they need
    archive::Fingerprint carried_;  // "<digest> <size>" of blobs in the archive
    archive::Fingerprint listed_;   // the same of the inventory
};

void describe(const archive::ArchiveReader& reader, VerifyReport& report) {
    report.backup_id = reader.header().backup_id;
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
    const bool sealed_away = reader.header().secrets == archive::SecretPolicy::omitted;
    const ContentOptions contents{false, options.with_secrets && !sealed_away, options.keys};
    report.secrets_opened = contents.with_secrets;
    if (options.level == 2) {
        Level2 level(report);
        return read_contents(reader, contents, level);
    }
    Level3 level(report, reader.header().images == archive::ImageScope::include);
    DTR_TRY(read_contents(reader, contents, level));
    return level.close();
}

}  // namespace

Result<VerifyReport> verify(archive::ByteSource& source, const VerifyOptions& options) {
    DTR_ASSIGN(const auto reader, archive::ArchiveReader::open(source, options.anchors));
    VerifyReport report;
    report.level = options.level;
    describe(*reader, report);
    if (report.trust == archive::SignerTrust::untrusted) return fail(reader->require_verified().error());
    while (true) {
        DTR_TRY(read_at_level(*reader, options, report));
        report.entries += reader->seal().entries;
        report.seal_digest = reader->seal_digest();
        DTR_ASSIGN(const bool more, reader->next_archive());
        if (!more) break;
    }
    report.bytes = reader->bytes_read();
    return report;
}

}  // namespace dtr::backup
