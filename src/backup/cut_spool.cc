#include "backup/cut_spool.h"

#include <algorithm>
#include <charconv>

#include "archive/age.h"
#include "archive/copy_text.h"
#include "archive/names.h"
#include "archive/zstd.h"
#include "backup/config_lines.h"
#include "backup/layout_index.h"
#include "meta/schema.h"

namespace dtr::backup {
namespace {

constexpr int kConfigTries = 20;

// Gathers text into parts of at most archive::kPartBytesMax before `flush` takes each.
class PartBuffer {
  public:
    using Flush = std::function<Status(std::string_view text)>;
    explicit PartBuffer(Flush flush) : flush_(std::move(flush)) {}

    Status add(std::string_view line) {
        if (!text_.empty() && text_.size() + line.size() > archive::kPartBytesMax) DTR_TRY(end());
        text_.append(line);
        return {};
    }
    Status end() {
        if (text_.empty()) return {};
        DTR_TRY(flush_(text_));
        text_.clear();
        return {};
    }

  private:
    Flush flush_;
    std::string text_;
};

// A value as the secret policy lets it into the spool: sealed before it touches the disk.
Result<std::string> seal(std::string_view plain, const CutOptions& options, Random& random) {
    if (options.secrets == archive::SecretPolicy::plaintext) return std::string(plain);
    return archive::age_encrypt(plain, options.recipients, random);
}

Status spool_table(const meta::Table& table, meta::Cut& snapshot, const CutOptions& options, Random& random,
                   CutSpool& cut) {
    const bool secret = table.part == meta::Part::secret;
    if (secret && options.secrets == archive::SecretPolicy::omitted) return {};
    std::uint64_t part = 0;
    PartBuffer buffer([&](std::string_view text) -> Status {
        if (secret) {
            DTR_ASSIGN(const std::string sealed, seal(text, options, random));
            const std::string name = fmt::format("{}.{:06}.copy", table.name, part++);
            DTR_ASSIGN(SpooledPart spooled, cut.spool.append(archive::secret_name(name, options.secrets), sealed));
            cut.secrets.push_back(std::move(spooled));
            return {};
        }
        const bool account = table.part == meta::Part::accounts;
        DTR_ASSIGN(SpooledPart spooled, cut.spool.append(account ? archive::account_table_name(table.name, part)
                                                                 : archive::table_name(table.name, part),
                                                         archive::zstd_compress(text)));
        ++part;
        (account ? cut.accounts : cut.tables).push_back(std::move(spooled));
        return {};
    });
    archive::Fingerprint fingerprint;
    std::uint64_t rows = 0;
    std::string line;
    DTR_TRY(snapshot.each_row(table, [&](const meta::Cut::Row& row) -> Status {
        line.clear();
        archive::CopyRow values = row;
        for (std::size_t i = 0; i < table.columns.size(); ++i)
            if (table.columns[i].type == meta::ColumnType::bytes && values[i])
                values[i] = archive::bytea_text(*values[i]);
        DTR_TRY(archive::copy_append(line, values));
        fingerprint.add(std::string_view(line).substr(0, line.size() - 1));
        ++rows;
        return buffer.add(line);
    }));
    DTR_TRY(buffer.end());
    cut.rows += rows;
    if (!secret) cut.fingerprints.push_back({std::string(table.name), rows, fingerprint.hex()});
    return {};
}

bool is_carried(const meta::Table& table, const CutOptions& options) {
    // Every secret table is of accounts.
    return table.part == meta::Part::content || (options.accounts && table.part != meta::Part::local);
}

Status spool_objects(meta::Cut& snapshot, CutSpool& cut) {
    PartBuffer buffer([&](std::string_view text) -> Status {
        DTR_ASSIGN(SpooledPart spooled, cut.spool.append("objects", text));
        cut.object_lists.push_back(std::move(spooled));
        return {};
    });
    DTR_TRY(snapshot.each_lost([&](const Digest& digest) -> Status {
        cut.lost.push_back(digest);
        return {};
    }));
    std::sort(cut.lost.begin(), cut.lost.end());
    std::size_t lost = 0;
    const auto add_lost = [&]() { return buffer.add(fmt::format("{} - 0\n", cut.lost[lost++].to_string())); };
    DTR_TRY(snapshot.each_object([&](const meta::Object& object) -> Status {
        while (lost < cut.lost.size() && cut.lost[lost] < object.digest) DTR_TRY(add_lost());
        ++cut.objects;
        cut.object_bytes += object.size;
        return buffer.add(fmt::format("{} {} {}\n", object.digest.to_string(), object.generation, object.size));
    }));
    while (lost < cut.lost.size()) DTR_TRY(add_lost());
    return buffer.end();
}

Status spool_config(const config::Snapshot& snapshot, const CutOptions& options, Random& random, CutSpool& cut) {
    cut.config_revision = snapshot.revision;
    PartBuffer buffer([&](std::string_view text) -> Status {
        DTR_ASSIGN(SpooledPart spooled,
                   cut.spool.append(archive::config_name(cut.config.size()), archive::zstd_compress(text)));
        cut.config.push_back(std::move(spooled));
        return {};
    });
    std::size_t index = 0;
    for (const config::Entry& entry : snapshot.entries) {
        ConfigLine line{entry.key, entry.modified, {}, {}};
        if (entry.secret) {
            line.secret = config_secret_name(index++, entry.key);
            if (options.secrets != archive::SecretPolicy::omitted) {
                DTR_ASSIGN(const std::string sealed, seal(entry.value.expose(), options, random));
                DTR_ASSIGN(SpooledPart spooled,
                           cut.spool.append(archive::secret_name(line.secret, options.secrets), sealed));
                cut.secrets.push_back(std::move(spooled));
            }
        } else {
            line.value = entry.value.expose();
        }
        DTR_TRY(buffer.add(format_config_line(line)));
    }
    return buffer.end();
}

// The configuration at one revision around the snapshot: if it moved while the snapshot was taken, both are taken again.
Result<std::pair<config::Snapshot, std::unique_ptr<meta::Cut>>> bracketed(const BackupSource& source) {
    for (int i = 0; i < kConfigTries; ++i) {
        DTR_ASSIGN(config::Snapshot configuration, source.config.list(""));
        DTR_ASSIGN(std::unique_ptr<meta::Cut> snapshot, source.meta.changes().cut());
        DTR_ASSIGN(const std::int64_t after, source.config.revision());
        if (after == configuration.revision) return std::pair(std::move(configuration), std::move(snapshot));
    }
    return fail(ErrorCode::conflict, "the configuration keeps changing", "try again when nobody is changing settings");
}

}  // namespace

Result<CutSpool> take_cut(const BackupSource& source, const CutOptions& options) {
    DTR_ASSIGN(Spool spool, Spool::open(source.disk, source.spool_directory, random_hex(source.random, 8)));
    CutSpool cut(std::move(spool));
    DTR_ASSIGN(auto taken, bracketed(source));
    auto& [configuration, snapshot] = taken;
    cut.position = snapshot->position();
    DTR_TRY(spool_config(configuration, options, source.random, cut));
    if (!options.config_only) {
        for (const meta::Table& table : meta::tables())
            if (is_carried(table, options)) DTR_TRY(spool_table(table, *snapshot, options, source.random, cut));
        DTR_TRY(spool_objects(*snapshot, cut));
        snapshot.reset();
        DTR_TRY(build_layout_index(cut));
    }
    std::sort(cut.secrets.begin(), cut.secrets.end(),
              [](const SpooledPart& a, const SpooledPart& b) { return a.name < b.name; });
    return cut;
}

SpooledRows::SpooledRows(const Spool& spool, const std::vector<SpooledPart>& parts, std::string_view table)
    : spool_(spool) {
    const std::string prefix = fmt::format("db/{}/", table);
    for (const SpooledPart& part : parts)
        if (part.name.starts_with(prefix)) parts_.push_back(part);
}

Status SpooledRows::load_next_part() {
    DTR_ASSIGN(const std::string compressed, spool_.read(parts_[index_++]));
    DTR_ASSIGN(text_, archive::zstd_decompress(compressed, 64U << 20));
    rest_ = text_;
    return {};
}

Result<std::optional<meta::Cut::Row>> SpooledRows::next() {
    while (rest_.empty()) {
        if (index_ == parts_.size()) return std::optional<meta::Cut::Row>();
        DTR_TRY(load_next_part());
    }
    const std::size_t end = rest_.find('\n');
    DTR_ASSIGN(meta::Cut::Row row, archive::copy_parse(rest_.substr(0, end)));
    rest_.remove_prefix(end + 1);
    return std::optional(std::move(row));
}

Status each_cut_object(const CutSpool& cut, const std::function<Status(const CutObject&)>& callback) {
    std::size_t synthetic = 0;
    const auto before = [&](const Digest& digest) {
        return synthetic < cut.synthetic.size() && cut.synthetic[synthetic].digest < digest;
    };
    for (const SpooledPart& part : cut.object_lists) {
        DTR_ASSIGN(const std::string text, cut.spool.read(part));
        std::string_view rest = text;
        while (!rest.empty()) {
            const std::string_view line = rest.substr(0, rest.find('\n'));
            rest.remove_prefix(line.size() + 1);
            const std::size_t first = line.find(' ');
            const std::size_t second = line.find(' ', first + 1);
            CutObject object;
            DTR_ASSIGN(object.digest, Digest::parse(line.substr(0, first)));
            object.generation = line.substr(first + 1, second - first - 1);
            object.lost = object.generation == "-";
            if (object.lost) object.generation.clear();
            std::from_chars(line.data() + second + 1, line.data() + line.size(), object.size);
            while (before(object.digest)) DTR_TRY(callback(cut.synthetic[synthetic++]));
            // Somebody pushed the very bytes that we would make up: then they stay what they are.
            if (synthetic < cut.synthetic.size() && cut.synthetic[synthetic].digest == object.digest) ++synthetic;
            DTR_TRY(callback(object));
        }
    }
    while (synthetic < cut.synthetic.size()) DTR_TRY(callback(cut.synthetic[synthetic++]));
    return {};
}

}  // namespace dtr::backup
