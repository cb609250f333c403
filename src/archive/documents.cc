// JSON with two spaces of indentation, fields in the order below, one LF at the end; integers in
// decimal; strings as Boost.JSON writes them. parse() builds the structure leniently and then
// demands that writing it again gives the same bytes: that one comparison refuses unknown, missing,
// repeated and reordered fields, spacing, and other spellings.
#include "archive/documents.h"

#include <algorithm>
#include <boost/json.hpp>

#include "archive/age.h"
#include "archive/names.h"
#include "base/encoding.h"

namespace dtr::archive {
namespace {

namespace json = boost::json;

constexpr std::string_view kHeaderType = "dtr-backup-header";
constexpr std::string_view kSealType = "dtr-backup-seal";
constexpr std::string_view kFingerprintsType = "dtr-backup-fingerprints";
constexpr std::string_view kSuccession = "dtr signer succession v1\n";
constexpr std::size_t kDepthMax = 6;
constexpr std::size_t kTextMax = 256;
constexpr std::size_t kTablesMax = 200;
constexpr std::size_t kFingerprintsBytesMax = 256 * 1024;

void print(std::string& out, const json::value& value, std::size_t depth) {
    const std::string indent(2 * (depth + 1), ' ');
    const auto close = [&](char bracket) {
        out += '\n';
        out.append(2 * depth, ' ');
        out += bracket;
    };
    if (const auto* object = value.if_object(); object != nullptr && !object->empty()) {
        const char* separator = "{\n";
        for (const auto& member : *object) {
            out += separator + indent + json::serialize(json::string(member.key())) + ": ";
            print(out, member.value(), depth + 1);
            separator = ",\n";
        }
        close('}');
    } else if (const auto* array = value.if_array(); array != nullptr && !array->empty()) {
        const char* separator = "[\n";
        for (const auto& element : *array) {
            out += separator + indent;
            print(out, element, depth + 1);
            separator = ",\n";
        }
        close(']');
    } else {
        out += json::serialize(value);
    }
}

std::string print(const json::object& object) {
    std::string out;
    print(out, object, 0);
    out += '\n';
    return out;
}

json::array strings(const std::vector<std::string>& values) {
    json::array out;
    for (const auto& value : values) out.emplace_back(value);
    return out;
}

json::value text_or_null(const std::string& text) {
    return text.empty() ? json::value() : json::value(text);
}

// Reads what is there; what is missing or of another type reads as empty and is caught by the
// comparison.
class Fields {
  public:
    explicit Fields(const json::value* value) : object_(value == nullptr ? nullptr : value->if_object()) {}

    [[nodiscard]] const json::value* at(std::string_view name) const {
        return object_ == nullptr ? nullptr : object_->if_contains(name);
    }
    [[nodiscard]] Fields object(std::string_view name) const { return Fields(at(name)); }
    [[nodiscard]] std::string text(std::string_view name) const { return text_of(at(name)); }
    [[nodiscard]] std::uint64_t number(std::string_view name) const {
        const auto* value = at(name);
        if (value == nullptr) return 0;
        if (const auto* small = value->if_int64(); small != nullptr && *small >= 0)
            return static_cast<std::uint64_t>(*small);
        const auto* large = value->if_uint64();
        return large == nullptr ? 0 : *large;
    }
    [[nodiscard]] std::int64_t signed_number(std::string_view name) const {
        const auto* value = at(name);
        const auto* number = value == nullptr ? nullptr : value->if_int64();
        return number == nullptr ? 0 : *number;
    }
    [[nodiscard]] bool flag(std::string_view name) const {
        const auto* value = at(name);
        const auto* flag = value == nullptr ? nullptr : value->if_bool();
        return flag != nullptr && *flag;
    }
    [[nodiscard]] std::vector<const json::value*> list(std::string_view name) const {
        std::vector<const json::value*> out;
        const auto* value = at(name);
        if (const auto* array = value == nullptr ? nullptr : value->if_array())
            for (const auto& element : *array) out.push_back(&element);
        return out;
    }
    [[nodiscard]] std::vector<std::string> texts(std::string_view name) const {
        std::vector<std::string> out;
        for (const auto* value : list(name)) out.push_back(text_of(value));
        return out;
    }
    template <class Enum>
    [[nodiscard]] Enum choice(std::string_view name, std::initializer_list<Enum> all) const {
        const std::string word = text(name);
        for (const Enum one : all)
            if (to_string(one) == word) return one;
        return *all.begin();
    }

  private:
    static std::string text_of(const json::value* value) {
        const auto* string = value == nullptr ? nullptr : value->if_string();
        return string == nullptr ? std::string() : std::string(*string);
    }
    const json::object* object_;
};

Result<json::value> parse_json(std::string_view text, std::size_t limit, std::string_view what) {
    if (text.size() > limit) return fail(ErrorCode::corrupt, fmt::format("{} is larger than {} bytes", what, limit));
    json::parse_options options;
    options.max_depth = kDepthMax;
    boost::system::error_code error;
    json::value value = json::parse(text, error, {}, options);
    if (error) return fail(ErrorCode::corrupt, fmt::format("{} is malformed JSON: {}", what, error.message()));
    return value;
}

Status check_format(const Fields& fields, std::string_view type, std::string_view what) {
    if (fields.text("type") != type) return fail(ErrorCode::corrupt, fmt::format("{} is not {}", what, type));
    const std::uint64_t format = fields.number("format");
    if (format > kFormat)
        return fail(ErrorCode::unsupported,
                    fmt::format("{}: this archive has format {}, but this program reads formats up to {}", what, format,
                                kFormat),
                    "use a newer dtr");
    return {};
}

bool is_text(std::string_view text) {
    return text.size() <= kTextMax && is_valid_utf8(text) && std::none_of(text.begin(), text.end(), [](char c) {
               return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
           });
}

bool is_hex(std::string_view text, std::size_t length) {
    return text.size() == length && is_lower_hex(text);
}

tl::unexpected<Error> bad(std::string_view what) {
    return fail(ErrorCode::invalid, std::string(what));
}

bool unique_tables(const std::vector<std::string>& tables) {
    for (std::size_t i = 0; i < tables.size(); ++i)
        if (!is_table_name(tables[i]) || std::find(tables.begin(), tables.begin() + static_cast<std::ptrdiff_t>(i),
                                                   tables[i]) != tables.begin() + static_cast<std::ptrdiff_t>(i))
            return false;
    return tables.size() <= kTablesMax;
}

std::string succession_message(const PublicKey& key, std::uint64_t epoch) {
    return fmt::format("{}\n{}\n", key.text(), epoch);
}

Status validate_signers(const std::vector<Signer>& signers) {
    if (signers.empty() || signers.size() > kSignersMax)
        return bad(fmt::format("signers: 1 to {} are allowed, not {}", kSignersMax, signers.size()));
    for (std::size_t i = 0; i < signers.size(); ++i) {
        const Signer& signer = signers[i];
        if (signer.key.empty()) return bad("signers: a key is malformed");
        for (std::size_t j = 0; j < i; ++j)
            if (signers[j].key.raw() == signer.key.raw()) return bad("signers: a key is listed twice");
        if (i == 0) {
            if (!signer.endorsement.empty()) return bad("signers: the first has an endorsement");
            continue;
        }
        if (signer.epoch < signers[i - 1].epoch) return bad("signers: epochs are not in ascending order");
        if (!verify_raw(signers[i - 1].key, kSuccession, succession_message(signer.key, signer.epoch),
                        signer.endorsement))
            return bad(fmt::format("signers: key {} is not endorsed by the one before it", signer.key.key_id()));
    }
    return {};
}

Status validate_limits(const Limits& limits) {
    const auto within = [](std::uint64_t value, std::uint64_t max) { return value >= 1 && value <= max; };
    if (!within(limits.entry_bytes_max, kBlobBytesMax) || !within(limits.expansion_max, kExpansionMax) ||
        !within(limits.sums_entries, kSumsEntriesMax) || !within(limits.sums_bytes, kSumsBytesMax))
        return bad("limits: one is zero or exceeds what this format allows");
    return {};
}

Result<Signer> parse_signer(const json::value* value) {
    const Fields fields(value);
    Signer signer;
    DTR_ASSIGN(signer.key, PublicKey::parse(fields.text("key")));
    signer.epoch = fields.number("epoch");
    if (const std::string endorsement = fields.text("endorsement"); !endorsement.empty()) {
        DTR_ASSIGN(signer.endorsement, base64_decode(endorsement));
    }
    return signer;
}

}  // namespace

std::string_view to_string(BackupKind kind) {
    switch (kind) {
        case BackupKind::full:
            return "full";
        case BackupKind::increment:
            return "increment";
        case BackupKind::config:
            return "config";
    }
    return "";
}

std::string_view to_string(SecretPolicy policy) {
    switch (policy) {
        case SecretPolicy::sealed:
            return "sealed";
        case SecretPolicy::plaintext:
            return "plaintext";
        case SecretPolicy::omitted:
            return "omitted";
    }
    return "";
}

std::string_view to_string(Encryption encryption) {
    return encryption == Encryption::none ? "none" : "entries";
}

std::string_view to_string(ImageScope scope) {
    switch (scope) {
        case ImageScope::include:
            return "include";
        case ImageScope::inventory:
            return "inventory";
        case ImageScope::none:
            return "none";
    }
    return "";
}

std::string endorse(const SigningKey& predecessor, const PublicKey& key, std::uint64_t epoch) {
    return predecessor.sign_raw(kSuccession, succession_message(key, epoch));
}

Status validate(const Header& h) {
    if (h.format != kFormat || h.oldest_reader < 1 || h.oldest_reader > h.format) return bad("format: unknown");
    if (!is_hex(h.backup_id, 32)) return bad("backup_id: 32 hex digits are needed");
    if (h.cut_at < 0 || h.cut_at % kSecond != 0 || h.cut_at / kSecond >= (std::int64_t{1} << 33))
        return bad("cut_at: whole seconds between 1970 and 2242 are needed");
    if (h.kind == BackupKind::increment ? !is_hex(h.parent_seal, 64) : !h.parent_seal.empty())
        return bad("parent_seal: an increment needs the digest of its parent's seal, other backups have none");
    for (const auto* text : {&h.cluster_id, &h.replica_id, &h.product_version, &h.metadata_store, &h.config_store,
                             &h.image_store, &h.storage_id})
        if (!is_text(*text)) return bad("a text is longer than 256 bytes or has control characters");
    if (!is_hex(h.epoch_id, 32)) return bad("epoch_id: 32 hex digits are needed");
    if (!unique_tables(h.tables) || !unique_tables(h.account_tables))
        return bad("tables: a name is malformed or listed twice");
    if (h.recipients.size() > kTablesMax) return bad("recipients: too many");
    for (const auto& recipient : h.recipients) DTR_TRY(AgeRecipient::parse(recipient));
    if (h.passphrase_key.size() > kPassphraseKeyBytesMax || (!h.passphrase_key.empty() && h.recipients.empty()))
        return bad("passphrase_key: larger than 1 KiB, or without a recipient");
    if (h.encryption == Encryption::entries && (h.recipients.empty() || h.secrets == SecretPolicy::plaintext))
        return bad("encryption: without recipients, or with secrets in clear");
    DTR_TRY(validate_limits(h.limits));
    return validate_signers(h.signers);
}

std::string to_json(const Header& h) {
    json::array signers;
    for (const Signer& signer : h.signers) {
        json::object one{{"key", signer.key.text()}, {"epoch", signer.epoch}};
        if (!signer.endorsement.empty()) one["endorsement"] = base64_encode(signer.endorsement);
        signers.push_back(std::move(one));
    }
    return print(json::object{
        {"type", kHeaderType},
        {"format", h.format},
        {"oldest_reader", h.oldest_reader},
        {"backup_id", h.backup_id},
        {"cut_at", format_rfc3339(h.cut_at)},
        {"kind", to_string(h.kind)},
        {"parent_seal", text_or_null(h.parent_seal)},
        {"cluster", {{"id", h.cluster_id}, {"epoch", h.epoch}, {"epoch_id", h.epoch_id}, {"replica_id", h.replica_id}}},
        {"versions", {{"product", h.product_version}, {"schema", h.schema_version}}},
        {"stores",
         {{"metadata", h.metadata_store},
          {"config", h.config_store},
          {"images", h.image_store},
          {"storage_id", h.storage_id}}},
        {"scope",
         {{"images", to_string(h.images)},
          {"accounts", h.accounts},
          {"tables", strings(h.tables)},
          {"account_tables", strings(h.account_tables)}}},
        {"signer", h.signers.empty() ? std::string() : h.signer().key_id()},
        {"signers", std::move(signers)},
        {"recipients", strings(h.recipients)},
        {"passphrase_key", text_or_null(base64_encode(h.passphrase_key))},
        {"secrets", to_string(h.secrets)},
        {"encryption", to_string(h.encryption)},
        {"missing_blobs", h.missing_blobs},
        {"limits",
         {{"entry_bytes_max", h.limits.entry_bytes_max},
          {"expansion_max", h.limits.expansion_max},
          {"sums_entries", h.limits.sums_entries},
          {"sums_bytes", h.limits.sums_bytes}}},
    });
}

Result<Header> parse_header(std::string_view text) {
    constexpr std::string_view what = "HEADER.json";
    DTR_ASSIGN(const json::value value, parse_json(text, kHeaderBytesMax, what));
    const Fields all(&value);
    DTR_TRY(check_format(all, kHeaderType, what));
    Header h;
    h.format = static_cast<int>(all.number("format"));
    h.oldest_reader = static_cast<int>(std::min<std::uint64_t>(all.number("oldest_reader"), 1000));
    h.backup_id = all.text("backup_id");
    h.cut_at = parse_rfc3339(all.text("cut_at")).value_or(-1);
    h.kind = all.choice("kind", {BackupKind::full, BackupKind::increment, BackupKind::config});
    h.parent_seal = all.text("parent_seal");
    const Fields cluster = all.object("cluster");
    h.cluster_id = cluster.text("id");
    h.epoch = cluster.number("epoch");
    h.epoch_id = cluster.text("epoch_id");
    h.replica_id = cluster.text("replica_id");
    h.product_version = all.object("versions").text("product");
    h.schema_version = all.object("versions").signed_number("schema");
    const Fields stores = all.object("stores");
    h.metadata_store = stores.text("metadata");
    h.config_store = stores.text("config");
    h.image_store = stores.text("images");
    h.storage_id = stores.text("storage_id");
    const Fields scope = all.object("scope");
    h.images = scope.choice("images", {ImageScope::include, ImageScope::inventory, ImageScope::none});
    h.accounts = scope.flag("accounts");
    h.tables = scope.texts("tables");
    h.account_tables = scope.texts("account_tables");
    const auto signers = all.list("signers");
    if (signers.size() > kSignersMax) return fail(ErrorCode::corrupt, "HEADER.json has too many signers");
    for (const auto* one : signers) {
        auto signer = parse_signer(one);
        if (!signer) return fail(ErrorCode::corrupt, fmt::format("HEADER.json: {}", signer.error().message));
        h.signers.push_back(std::move(*signer));
    }
    h.recipients = all.texts("recipients");
    if (const std::string sealed = all.text("passphrase_key"); !sealed.empty()) {
        auto bytes = base64_decode(sealed);
        if (!bytes) return fail(ErrorCode::corrupt, "HEADER.json: passphrase_key is not base64");
        h.passphrase_key = std::move(*bytes);
    }
    h.secrets = all.choice("secrets", {SecretPolicy::sealed, SecretPolicy::plaintext, SecretPolicy::omitted});
    h.encryption = all.choice("encryption", {Encryption::none, Encryption::entries});
    h.missing_blobs = all.number("missing_blobs");
    const Fields limits = all.object("limits");
    h.limits.entry_bytes_max = limits.number("entry_bytes_max");
    h.limits.expansion_max = limits.number("expansion_max");
    h.limits.sums_entries = limits.number("sums_entries");
    h.limits.sums_bytes = limits.number("sums_bytes");
    if (const auto valid = validate(h); !valid)
        return fail(ErrorCode::corrupt, fmt::format("HEADER.json: {}", valid.error().message));
    if (to_json(h) != text) return fail(ErrorCode::corrupt, "HEADER.json is not in its canonical form");
    return h;
}

std::string to_json(const Seal& s) {
    const SealInput& in = s.input;
    return print(json::object{
        {"type", kSealType},
        {"format", s.format},
        {"backup_id", s.backup_id},
        {"header_digest", s.header_digest},
        {"parent_seal", text_or_null(s.parent_seal)},
        {"sums_digest", s.sums_digest},
        {"entries", s.entries},
        {"content_bytes", s.content_bytes},
        {"archive_bytes", s.archive_bytes},
        {"sums", s.sums},
        {"cut",
         {{"config_revision", in.config_revision},
          {"snapshot", in.snapshot},
          {"log_epoch", in.log_epoch},
          {"log_position", in.log_position},
          {"storage_id", s.storage_id}}},
        {"fence", {{"id", in.fence_id}, {"live", in.fence_live}}},
        {"counts",
         {{"rows", in.rows},
          {"blobs", in.blobs},
          {"blob_bytes", in.blob_bytes},
          {"missing_blobs", in.missing_blobs},
          {"inventory_entries", in.inventory_entries},
          {"inventory_sum", text_or_null(in.inventory_sum)}}},
        {"duration_us", in.duration},
        {"versions", {{"product", s.product_version}, {"schema", s.schema_version}}},
    });
}

Result<Seal> parse_seal(std::string_view text) {
    constexpr std::string_view what = "SEAL.json";
    DTR_ASSIGN(const json::value value, parse_json(text, kSealBytesMax, what));
    const Fields all(&value);
    DTR_TRY(check_format(all, kSealType, what));
    Seal s;
    s.format = static_cast<int>(all.number("format"));
    s.backup_id = all.text("backup_id");
    s.header_digest = all.text("header_digest");
    s.parent_seal = all.text("parent_seal");
    s.sums_digest = all.text("sums_digest");
    s.entries = all.number("entries");
    s.content_bytes = all.number("content_bytes");
    s.archive_bytes = all.number("archive_bytes");
    s.sums = all.number("sums");
    const Fields cut = all.object("cut");
    s.input.config_revision = cut.text("config_revision");
    s.input.snapshot = cut.text("snapshot");
    s.input.log_epoch = cut.number("log_epoch");
    s.input.log_position = cut.text("log_position");
    s.storage_id = cut.text("storage_id");
    s.input.fence_id = all.object("fence").text("id");
    s.input.fence_live = all.object("fence").flag("live");
    const Fields counts = all.object("counts");
    s.input.rows = counts.number("rows");
    s.input.blobs = counts.number("blobs");
    s.input.blob_bytes = counts.number("blob_bytes");
    s.input.missing_blobs = counts.number("missing_blobs");
    s.input.inventory_entries = counts.number("inventory_entries");
    s.input.inventory_sum = counts.text("inventory_sum");
    s.input.duration = all.signed_number("duration_us");
    s.product_version = all.object("versions").text("product");
    s.schema_version = all.object("versions").signed_number("schema");
    if (s.format != kFormat || !is_hex(s.backup_id, 32) || !is_hex(s.header_digest, 64) || !is_hex(s.sums_digest, 64) ||
        !(s.parent_seal.empty() || is_hex(s.parent_seal, 64)) ||
        !(s.input.inventory_sum.empty() || is_hex(s.input.inventory_sum, 64)))
        return fail(ErrorCode::corrupt, "SEAL.json: a digest or id is malformed");
    if (!s.input.fence_id.empty() && !s.input.fence_live)
        return fail(ErrorCode::corrupt, "SEAL.json: its fence had been lost, so it seals nothing");
    if (to_json(s) != text) return fail(ErrorCode::corrupt, "SEAL.json is not in its canonical form");
    return s;
}

std::string seal_digest(std::string_view seal_json) {
    return Digest::of(seal_json).hex();
}

std::string to_json(const std::vector<TableFingerprint>& tables) {
    json::array list;
    for (const auto& one : tables) list.push_back({{"table", one.table}, {"rows", one.rows}, {"sum", one.sum}});
    return print(json::object{{"type", kFingerprintsType}, {"format", kFormat}, {"tables", std::move(list)}});
}

Result<std::vector<TableFingerprint>> parse_fingerprints(std::string_view text) {
    constexpr std::string_view what = "db/fingerprints.json";
    DTR_ASSIGN(const json::value value, parse_json(text, kFingerprintsBytesMax, what));
    const Fields all(&value);
    DTR_TRY(check_format(all, kFingerprintsType, what));
    std::vector<TableFingerprint> out;
    std::vector<std::string> names;
    for (const auto* one : all.list("tables")) {
        const Fields fields(one);
        out.push_back({fields.text("table"), fields.number("rows"), fields.text("sum")});
        names.push_back(out.back().table);
        if (!is_hex(out.back().sum, 64) || out.size() > 2 * kTablesMax)
            return fail(ErrorCode::corrupt, "db/fingerprints.json: a sum is malformed");
    }
    std::sort(names.begin(), names.end());
    if (std::adjacent_find(names.begin(), names.end()) != names.end() ||
        !std::all_of(names.begin(), names.end(), is_table_name))
        return fail(ErrorCode::corrupt, "db/fingerprints.json: a table is malformed or listed twice");
    if (to_json(out) != text) return fail(ErrorCode::corrupt, "db/fingerprints.json is not in its canonical form");
    return out;
}

}  // namespace dtr::archive
