#include "backup/contents.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "archive/copy_text.h"
#include "archive/names.h"
#include "archive/zstd.h"

namespace dtr::backup {
namespace {

constexpr std::size_t kPartTextMax = 64U << 20;
constexpr std::size_t kConfigBytesMax = 64U << 20;   // of all configuration parts together: they are held in memory
constexpr std::size_t kSecretsBytesMax = 64U << 20;  // of all secret configuration values together

struct TableSum {
    std::uint64_t rows = 0;
    archive::Fingerprint sum;
};

tl::unexpected<Error> malformed(const archive::Entry& entry, std::string_view why) {
    return fail(ErrorCode::corrupt, fmt::format("{}: {}", entry.name.text, why));
}

bool is_integer(std::string_view text) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size();
}

class ContentReader {
  public:
    ContentReader(archive::ArchiveReader& archive, const ContentOptions& options, ContentVisitor& visitor)
        : archive_(archive), options_(options), visitor_(visitor) {}

    Status run() {
        DTR_TRY(require_known_schema(archive_.header()));
        if (archive_.header().encryption != archive::Encryption::none)
            return fail(ErrorCode::unsupported, "this archive's entries are encrypted, which this release cannot read");
        while (true) {
            DTR_ASSIGN(const auto entry, archive_.next());
            if (!entry) break;
            if (auto taken = take(*entry); !taken) return taken;
        }
        DTR_TRY(give_config());
        return compare_with_seal();
    }

  private:
    Status take(const archive::Entry& entry) {
        using archive::EntryKind;
        // Secrets end where the layout or the inventory begins; a value named by config/ must have come by then.
        if (entry.name.kind > EntryKind::secret) DTR_TRY(give_config());
        switch (entry.name.kind) {
            case EntryKind::config:
                return take_config(entry);
            case EntryKind::secret:
                return options_.with_secrets ? take_secret(entry) : Status{};
            default:
                break;
        }
        if (options_.config_only) return {};
        switch (entry.name.kind) {
            case EntryKind::table:
                return take_rows(entry, meta::Part::content);
            case EntryKind::account_table:
                return take_rows(entry, meta::Part::accounts);
            case EntryKind::fingerprints:
                return take_fingerprints(entry);
            case EntryKind::blob_sha256:
                return visitor_.blob(Digest::from_hex(DigestAlgorithm::sha256, entry.name.part), entry.size, archive_);
            case EntryKind::blob_sha512:
                return visitor_.blob(Digest::from_hex(DigestAlgorithm::sha512, entry.name.part), entry.size, archive_);
            case EntryKind::inventory:
                return take_inventory(entry);
            default:
                return {};
        }
    }

    Result<std::string> decompressed(const archive::Entry& entry) {
        DTR_ASSIGN(const std::string bytes, archive_.read_entry());
        auto text = archive::zstd_decompress(
            bytes, archive::expansion_limit(bytes.size(), archive_.header().limits.expansion_max, kPartTextMax));
        if (!text) return fail(ErrorCode::corrupt, fmt::format("{}: {}", entry.name.text, text.error().message));
        return text;
    }

    Status take_config(const archive::Entry& entry) {
        DTR_ASSIGN(const std::string text, decompressed(entry));
        config_bytes_ += text.size();
        if (config_bytes_ > kConfigBytesMax) return malformed(entry, "more configuration than any cluster holds");
        DTR_ASSIGN(auto lines, parse_config_lines(text));
        std::move(lines.begin(), lines.end(), std::back_inserter(config_));
        return {};
    }

    // Everything of config/ has been read, and every secret it names.
    Status give_config() {
        if (config_given_) return {};
        config_given_ = true;
        for (const ConfigLine& line : config_) {
            std::optional<Secret> value;
            if (line.secret.empty()) {
                value = Secret(line.value);
            } else if (options_.with_secrets) {
                const auto it = secrets_.find(line.secret);
                if (it == secrets_.end())
                    return fail(ErrorCode::corrupt,
                                fmt::format("the archive lacks the secret value of '{}'", line.key));
                value = std::move(it->second);
            }
            DTR_TRY(visitor_.config_entry(line, value));
        }
        config_.clear();
        secrets_.clear();
        return compare_fingerprints();
    }

    Result<Secret> opened(const archive::Entry& entry) {
        DTR_ASSIGN(std::string bytes, archive_.read_entry());
        if (!entry.name.encrypted) return Secret(std::move(bytes));
        auto plain = archive::age_decrypt(bytes, options_.keys);
        if (plain) return plain;
        Error error = plain.error().in("cannot open " + entry.name.text);
        if (error.code == ErrorCode::untrusted) {
            error.message += "; it is sealed to";
            for (const std::string& recipient : archive_.header().recipients) error.message += " " + recipient;
        }
        return fail(std::move(error));
    }

    // "config.<n>.<key>", or "<table>.<n>.copy": rows of a secret table.
    Status take_secret(const archive::Entry& entry) {
        const std::string& name = entry.name.part;
        if (name.starts_with("config.")) {
            secret_bytes_ += entry.size;
            if (secret_bytes_ > kSecretsBytesMax) return malformed(entry, "more secrets than any cluster holds");
            DTR_ASSIGN(secrets_[name], opened(entry));
            return {};
        }
        if (options_.config_only) return {};
        const meta::Table* table = meta::find_table(name.substr(0, name.find('.')));
        if (table == nullptr || table->part != meta::Part::secret) return malformed(entry, "holds no known table");
        DTR_ASSIGN(const Secret text, opened(entry));
        return each_line(entry, *table, text.expose(), nullptr);
    }

    Status take_rows(const archive::Entry& entry, meta::Part part) {
        const meta::Table* table = meta::find_table(entry.name.part);
        if (table == nullptr || table->part != part) return malformed(entry, "holds no known table");
        DTR_ASSIGN(const std::string text, decompressed(entry));
        return each_line(entry, *table, text, &sums_[std::string(table->name)]);
    }

    Status each_line(const archive::Entry& entry, const meta::Table& table, std::string_view text, TableSum* sum) {
        archive::CopyLines lines(text);
        while (true) {
            DTR_ASSIGN(const auto line, lines.next());
            if (!line) return {};
            if (sum != nullptr) {
                sum->sum.add(*line);
                ++sum->rows;
            }
            DTR_ASSIGN(meta::Cut::Row row, archive::copy_parse(*line));
            if (auto fits = fit(table, row); !fits) return malformed(entry, fits.error().message);
            ++rows_;
            DTR_TRY(visitor_.row(table, row));
        }
    }

    // Holds a row to its table's description, and turns bytea text into bytes.
    static Status fit(const meta::Table& table, meta::Cut::Row& row) {
        if (row.size() != table.columns.size()) return fail(ErrorCode::corrupt, "a row has a wrong number of columns");
        for (std::size_t i = 0; i < row.size(); ++i) {
            const meta::Column& column = table.columns[i];
            if (!row[i]) {
                if (column.nullable) continue;
                return fail(ErrorCode::corrupt, fmt::format("column {} is null", column.name));
            }
            if (column.type == meta::ColumnType::integer && !is_integer(*row[i]))
                return fail(ErrorCode::corrupt, fmt::format("column {} is no number", column.name));
            if (column.type == meta::ColumnType::bytes) {
                DTR_ASSIGN(row[i], archive::parse_bytea(*row[i]));
            }
        }
        return {};
    }

    Status take_fingerprints(const archive::Entry&) {
        DTR_ASSIGN(const std::string text, archive_.read_entry());
        DTR_ASSIGN(expected_, archive::parse_fingerprints(text));
        return {};
    }

    Status compare_fingerprints() {
        if (options_.config_only) return {};
        if (archive_.header().kind == archive::BackupKind::full) DTR_TRY(require_all_fingerprints());
        for (const archive::TableFingerprint& table : expected_) {
            const TableSum& actual = sums_[table.table];
            if (actual.rows != table.rows || actual.sum.hex() != table.sum)
                return fail(ErrorCode::corrupt,
                            fmt::format("table {} has {} rows that do not match the fingerprint of {}", table.table,
                                        actual.rows, table.rows));
        }
        return {};
    }

    Status require_all_fingerprints() const {
        const archive::Header& header = archive_.header();
        for (const auto* names : {&header.tables, &header.account_tables})
            for (const std::string& name : *names)
                if (std::none_of(expected_.begin(), expected_.end(),
                                 [&](const archive::TableFingerprint& one) { return one.table == name; }))
                    return fail(ErrorCode::corrupt, fmt::format("the archive lacks the fingerprint of table {}", name));
        return {};
    }

    Status take_inventory(const archive::Entry& entry) {
        DTR_ASSIGN(const std::string text, decompressed(entry));
        std::string_view rest = text;
        while (!rest.empty()) {
            const std::size_t end = rest.find('\n');
            if (end == std::string_view::npos) return malformed(entry, "ends within a line");
            const std::string_view line = rest.substr(0, end);
            rest.remove_prefix(end + 1);
            inventory_.add(line);
            ++inventory_entries_;
            DTR_TRY(inventory_line(entry, line));
        }
        return {};
    }

    Status inventory_line(const archive::Entry& entry, std::string_view line) {
        const std::size_t first = line.find(' ');
        const std::size_t second = first == std::string_view::npos ? first : line.find(' ', first + 1);
        if (second == std::string_view::npos) return malformed(entry, "a line is malformed");
        const auto digest = Digest::parse(line.substr(0, first));
        std::uint64_t size = 0;
        const auto [end, error] = std::from_chars(line.data() + first + 1, line.data() + second, size);
        const std::string_view place = line.substr(second + 1);
        if (!digest || error != std::errc() || end != line.data() + second)
            return malformed(entry, "a line is malformed");
        using Place = ContentVisitor::Place;
        if (place == "archive") return visitor_.inventory_entry(*digest, size, Place::archive);
        if (place == "store") return visitor_.inventory_entry(*digest, size, Place::store);
        if (place == "synthetic") return visitor_.inventory_entry(*digest, size, Place::synthetic);
        return malformed(entry, "a line names an unknown place");
    }

    Status compare_with_seal() {
        const archive::SealInput& seal = archive_.seal().input;
        if (options_.config_only || archive_.header().kind == archive::BackupKind::config) return {};
        // Tables in secrets/ have no fingerprint of their own; their rows are counted here.
        if (options_.with_secrets && rows_ != seal.rows)
            return fail(ErrorCode::corrupt, fmt::format("the archive has {} rows, its seal says {}", rows_, seal.rows));
        if (inventory_entries_ != seal.inventory_entries || inventory_.hex() != seal.inventory_sum)
            return fail(ErrorCode::corrupt, "the inventory does not match what the seal says of it");
        return {};
    }

    archive::ArchiveReader& archive_;
    const ContentOptions& options_;
    ContentVisitor& visitor_;
    std::vector<ConfigLine> config_;
    std::size_t config_bytes_ = 0;
    std::map<std::string, Secret> secrets_;
    std::uint64_t secret_bytes_ = 0;
    bool config_given_ = false;
    std::uint64_t rows_ = 0;
    std::map<std::string, TableSum> sums_;
    std::vector<archive::TableFingerprint> expected_;
    archive::Fingerprint inventory_;
    std::uint64_t inventory_entries_ = 0;
};

}  // namespace

Status require_known_schema(const archive::Header& header) {
    if (header.schema_version > meta::kSchemaVersion)
        return fail(
            ErrorCode::unsupported,
            fmt::format("the backup has schema {}, this program knows {}", header.schema_version, meta::kSchemaVersion),
            fmt::format("read it with dtr {} or later", header.product_version));
    if (header.schema_version < 1)
        return fail(ErrorCode::corrupt,
                    fmt::format("the backup has schema {}, which never was", header.schema_version));
    return {};
}

Status read_contents(archive::ArchiveReader& archive, const ContentOptions& options, ContentVisitor& visitor) {
    return ContentReader(archive, options, visitor).run();
}

}  // namespace dtr::backup
