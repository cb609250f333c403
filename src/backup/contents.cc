#include "backup/contents.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "archive/copy_text.h"
#include "archive/names.h"
#include "archive/unlock.h"
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

// Passes plaintext on, and its end only if it is what the blob's name and size say.
class HashedBlob final : public archive::ByteSource {
  public:
    HashedBlob(archive::ByteSource& plain, const archive::Entry& entry, const Digest& digest, std::uint64_t size)
        : plain_(plain), entry_(entry), digest_(digest), left_(size), hasher_(digest.algorithm()) {}

    Result<std::size_t> read(char* buffer, std::size_t size) override {
        if (ended_) return std::size_t{0};
        auto got = plain_.read(buffer, size);
        if (!got) return fail(got.error().in(entry_.name.text));
        if (*got > left_) return malformed(entry_, "it holds more bytes than its size allows");
        left_ -= *got;
        hasher_.update({buffer, *got});
        if (*got != 0) return got;
        ended_ = true;
        if (left_ != 0 || hasher_.finish() != digest_)
            return malformed(entry_, "its plaintext does not hash to its name");
        return got;
    }

  private:
    archive::ByteSource& plain_;
    const archive::Entry& entry_;
    const Digest& digest_;
    std::uint64_t left_;
    Hasher hasher_;
    bool ended_ = false;
};

class ContentReader {
  public:
    ContentReader(archive::ArchiveReader& archive, const ContentOptions& options, ContentVisitor& visitor)
        : archive_(archive), options_(options), visitor_(visitor) {}

    Status run() {
        DTR_TRY(require_known_schema(archive_.header()));
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
                return take_blob(entry, Digest::from_hex(DigestAlgorithm::sha256, entry.name.part));
            case EntryKind::blob_sha512:
                return take_blob(entry, Digest::from_hex(DigestAlgorithm::sha512, entry.name.part));
            case EntryKind::inventory:
                return take_inventory(entry);
            default:
                return {};
        }
    }

    Result<std::string> decompressed(const archive::Entry& entry) {
        DTR_ASSIGN(const Secret plain, opened(entry));
        const std::string_view bytes = plain.expose();
        auto text = archive::zstd_decompress(
            bytes, archive::expansion_limit(bytes.size(), archive_.header().limits.expansion_max, kPartTextMax));
        if (!text) return fail(ErrorCode::corrupt, fmt::format("{}: {}", entry.name.text, text.error().message));
        return text;
    }

    Status take_config(const archive::Entry& entry) {
        DTR_ASSIGN(const std::string text, decompressed(entry));
        config_bytes_ += text.size();
        if (config_bytes_ > kConfigBytesMax) return malformed(entry, "it has more configuration than any cluster");
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

    // The plaintext of a small entry.
    Result<Secret> opened(const archive::Entry& entry) {
        DTR_ASSIGN(std::string bytes, archive_.read_entry());
        if (!entry.name.encrypted) return Secret(std::move(bytes));
        auto plain = archive::age_decrypt(bytes, options_.keys);
        if (plain) return plain;
        Error error = plain.error().in("cannot open " + entry.name.text);
        if (error.code == ErrorCode::untrusted) {
            error.message += "; it is sealed to";
            error.message += " " + archive::describe_recipients(archive_.header());
        }
        return fail(std::move(error));
    }

    // The archive checks the name of a plain blob; that of an encrypted one says what its plaintext hashes to.
    Status take_blob(const archive::Entry& entry, const Digest& digest) {
        if (!entry.name.encrypted) return visitor_.blob(digest, entry.size, archive_);
        const auto size = archive::age_plain_size(entry.size, archive_.header().recipients.size());
        if (!size) return malformed(entry, "its size does not match an age file for the recipients of this backup");
        auto decryptor = archive::AgeDecryptor::open(archive_, options_.keys);
        if (!decryptor) return fail(decryptor.error().in("cannot open " + entry.name.text));
        HashedBlob content(**decryptor, entry, digest, *size);
        return visitor_.blob(digest, *size, content);
    }

    // "config.<n>.<key>", or "<table>.<n>.copy": rows of a secret table.
    Status take_secret(const archive::Entry& entry) {
        const std::string& name = entry.name.part;
        if (name.starts_with("config.")) {
            secret_bytes_ += entry.size;
            if (secret_bytes_ > kSecretsBytesMax) return malformed(entry, "it has more secrets than any cluster");
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
        if (row.size() != table.columns.size())
            return fail(ErrorCode::corrupt, "a row has the wrong number of columns");
        for (std::size_t i = 0; i < row.size(); ++i) {
            const meta::Column& column = table.columns[i];
            if (!row[i]) {
                if (column.nullable) continue;
                return fail(ErrorCode::corrupt, fmt::format("column {} is null", column.name));
            }
            if (column.type == meta::ColumnType::integer && !is_integer(*row[i]))
                return fail(ErrorCode::corrupt, fmt::format("column {} is not a number", column.name));
            if (column.type == meta::ColumnType::bytes) {
                DTR_ASSIGN(row[i], archive::parse_bytea(*row[i]));
            }
        }
        return {};
    }

    Status take_fingerprints(const archive::Entry& entry) {
        DTR_ASSIGN(const Secret text, opened(entry));
        DTR_ASSIGN(expected_, archive::parse_fingerprints(text.expose()));
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
            if (end == std::string_view::npos) return malformed(entry, "ends in the middle of a line");
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
        if (place == "missing") {
            ++missing_;
            return visitor_.inventory_entry(*digest, size, Place::missing);
        }
        return malformed(entry, "a line names an unknown place");
    }

    Status compare_with_seal() {
        const archive::SealInput& seal = archive_.seal().input;
        if (options_.config_only || archive_.header().kind == archive::BackupKind::config) return {};
        // Tables in secrets/ have no fingerprint of their own; their rows are counted here.
        if (options_.with_secrets && rows_ != seal.rows)
            return fail(ErrorCode::corrupt,
                        fmt::format("the archive has {} rows, but its seal says {}", rows_, seal.rows));
        if (inventory_entries_ != seal.inventory_entries || inventory_.hex() != seal.inventory_sum)
            return fail(ErrorCode::corrupt, "the inventory does not match its description in the seal");
        if (missing_ != seal.missing_blobs || missing_ != archive_.header().missing_blobs)
            return fail(ErrorCode::corrupt, fmt::format("the inventory lacks {} blobs; the header says {}, the seal {}",
                                                        missing_, archive_.header().missing_blobs, seal.missing_blobs));
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
    std::uint64_t missing_ = 0;
};

}  // namespace

Status require_known_schema(const archive::Header& header) {
    if (header.schema_version > meta::kSchemaVersion)
        return fail(ErrorCode::unsupported,
                    fmt::format("the backup has schema {}, but this program knows only up to {}", header.schema_version,
                                meta::kSchemaVersion),
                    fmt::format("read it with dtr {} or later", header.product_version));
    if (header.schema_version < 1)
        return fail(ErrorCode::corrupt,
                    fmt::format("the backup has schema {}, which never existed", header.schema_version));
    return {};
}

Status read_contents(archive::ArchiveReader& archive, const ContentOptions& options, ContentVisitor& visitor) {
    return ContentReader(archive, options, visitor).run();
}

}  // namespace dtr::backup
