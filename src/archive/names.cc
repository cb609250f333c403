// entry   := "HEADER.json" [".minisig"] | "RESTORE.txt" | "SHA256SUMS" | "SEAL.json" [".minisig"] |
// "sums/" n
//          | inner [".age"]                         (".age" exactly under `encryption: entries`; on
//          secrets: unless plaintext)
// inner   := "config/" n ".ndjson.zst" | "db/schema.sql" | "db/" table "/" n ".copy.zst" |
// "changes/" n ".ndjson.zst"
//          | "db/fingerprints.json" | "accounts/" table "/" n ".copy.zst" | "secrets/" secret |
//          "oci-layout" | "index.json" | "blobs/sha256/" 64hex | "blobs/sha512/" 128hex |
//          "inventory/" n ".zst"
// n       := "0" | [1-9][0-9]{0,9}        table := [a-z_][a-z0-9_]{0,62}        secret :=
// [a-z0-9][a-z0-9._-]{0,90}
//
// All letters of a variable part are lower case, so two names cannot differ in case only.
#include "archive/names.h"

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "base/encoding.h"

namespace dtr::archive {
namespace {

bool is_lower_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool take(std::string_view& text, std::string_view head) {
    if (!text.starts_with(head)) return false;
    text.remove_prefix(head.size());
    return true;
}

bool drop(std::string_view& text, std::string_view tail) {
    if (!text.ends_with(tail)) return false;
    text.remove_suffix(tail.size());
    return true;
}

std::optional<std::uint64_t> number(std::string_view text) {
    if (text.empty() || text.size() > 10 || (text.size() > 1 && text[0] == '0')) return std::nullopt;
    std::uint64_t value = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') return std::nullopt;
        value = value * 10 + static_cast<std::uint64_t>(c - '0');
    }
    return value;
}

std::optional<EntryKind> fixed_kind(std::string_view name) {
    if (name == "HEADER.json") return EntryKind::header;
    if (name == "HEADER.json.minisig") return EntryKind::header_signature;
    if (name == "RESTORE.txt") return EntryKind::restore_text;
    if (name == "SHA256SUMS") return EntryKind::sha256sums;
    if (name == "SEAL.json") return EntryKind::seal;
    if (name == "SEAL.json.minisig") return EntryKind::seal_signature;
    return std::nullopt;
}

std::optional<EntryKind> fixed_inner_kind(std::string_view name) {
    if (name == "db/schema.sql") return EntryKind::schema;
    if (name == "db/fingerprints.json") return EntryKind::fingerprints;
    if (name == "oci-layout") return EntryKind::oci_layout;
    if (name == "index.json") return EntryKind::index;
    return std::nullopt;
}

bool numbered(EntryName& out, EntryKind kind, std::string_view rest, std::string_view tail) {
    if (!drop(rest, tail)) return false;
    const auto n = number(rest);
    if (!n) return false;
    out.kind = kind;
    out.number = *n;
    return true;
}

bool in_table(EntryName& out, EntryKind kind, std::string_view rest) {
    const std::size_t slash = rest.find('/');
    if (slash == std::string_view::npos || !is_table_name(rest.substr(0, slash))) return false;
    out.part = rest.substr(0, slash);
    return numbered(out, kind, rest.substr(slash + 1), ".copy.zst");
}

bool blob(EntryName& out, EntryKind kind, std::string_view hex, std::size_t length) {
    if (hex.size() != length || !is_lower_hex(hex)) return false;
    out.kind = kind;
    out.part = hex;
    return true;
}

bool parse_inner(EntryName& out, std::string_view name) {
    if (const auto kind = fixed_inner_kind(name)) {
        out.kind = *kind;
        return true;
    }
    if (take(name, "config/")) return numbered(out, EntryKind::config, name, ".ndjson.zst");
    if (take(name, "db/")) return in_table(out, EntryKind::table, name);
    if (take(name, "changes/")) return numbered(out, EntryKind::changes, name, ".ndjson.zst");
    if (take(name, "accounts/")) return in_table(out, EntryKind::account_table, name);
    if (take(name, "blobs/sha256/")) return blob(out, EntryKind::blob_sha256, name, 64);
    if (take(name, "blobs/sha512/")) return blob(out, EntryKind::blob_sha512, name, 128);
    if (take(name, "inventory/")) return numbered(out, EntryKind::inventory, name, ".zst");
    if (take(name, "secrets/") && is_secret_name(name)) {
        out.kind = EntryKind::secret;
        out.part = name;
        return true;
    }
    return false;
}

bool is_plain_kind(EntryKind kind) {
    switch (kind) {
        case EntryKind::header:
        case EntryKind::header_signature:
        case EntryKind::restore_text:
        case EntryKind::sums:
        case EntryKind::sha256sums:
        case EntryKind::seal:
        case EntryKind::seal_signature:
            return true;
        default:
            return false;
    }
}

std::string printable(std::string_view name) {
    std::string out;
    for (const char c : name.substr(0, 120)) out.push_back(c >= 0x20 && c < 0x7f ? c : '?');
    return out;
}

}  // namespace

bool is_secret_name(std::string_view name) {
    if (name.empty() || name.size() > 91 || !is_lower_alnum(name[0]) || name.ends_with(".age")) return false;
    return std::all_of(name.begin(), name.end(),
                       [](char c) { return is_lower_alnum(c) || c == '.' || c == '_' || c == '-'; });
}

bool is_table_name(std::string_view name) {
    if (name.empty() || name.size() > 63 || (name[0] >= '0' && name[0] <= '9')) return false;
    return std::all_of(name.begin(), name.end(), [](char c) { return is_lower_alnum(c) || c == '_'; });
}

Result<EntryName> parse_entry_name(std::string_view name) {
    EntryName out;
    out.text = name;
    if (const auto kind = fixed_kind(name)) {
        out.kind = *kind;
        return out;
    }
    std::string_view rest = name;
    if (take(rest, "sums/")) {
        if (numbered(out, EntryKind::sums, rest, "")) return out;
    } else {
        out.encrypted = drop(rest, ".age");
        if (parse_inner(out, rest)) return out;
    }
    return fail(ErrorCode::corrupt, fmt::format("\"{}\" is not an entry of this format", printable(name)),
                "the archive was changed, or was not made by dtr");
}

std::string prefix_directory(const Header& header) {
    return fmt::format("dtr-backup-{}-{}/", format_compact_utc(header.cut_at), header.backup_id.substr(0, 8));
}

bool is_prefix_directory(std::string_view text) {
    // dtr-backup-20261122T082441Z-0123abcd/
    if (text.size() != 37 || !take(text, "dtr-backup-") || !drop(text, "/")) return false;
    const auto digit = [&](std::size_t i) { return text[i] >= '0' && text[i] <= '9'; };
    for (std::size_t i = 0; i < 15; ++i)
        if (i == 8 ? text[i] != 'T' : !digit(i)) return false;
    return text[15] == 'Z' && text[16] == '-' && is_lower_hex(text.substr(17));
}

std::string config_name(std::uint64_t n) {
    return fmt::format("config/{}.ndjson.zst", n);
}
std::string table_name(std::string_view table, std::uint64_t n) {
    return fmt::format("db/{}/{}.copy.zst", table, n);
}
std::string changes_name(std::uint64_t n) {
    return fmt::format("changes/{}.ndjson.zst", n);
}
std::string account_table_name(std::string_view table, std::uint64_t n) {
    return fmt::format("accounts/{}/{}.copy.zst", table, n);
}
std::string inventory_name(std::uint64_t n) {
    return fmt::format("inventory/{}.zst", n);
}
std::string sums_name(std::uint64_t n) {
    return fmt::format("sums/{}", n);
}
std::string secret_name(std::string_view name, SecretPolicy policy) {
    return fmt::format("secrets/{}{}", name, policy == SecretPolicy::sealed ? ".age" : "");
}
std::string blob_name(const Digest& digest) {
    return fmt::format("blobs/{}/{}", to_string(digest.algorithm()), digest.hex());
}

void EntryOrder::set_header(const Header& header) {
    header_ = &header;
}

Status EntryOrder::check_policy(const EntryName& name) const {
    if (is_plain_kind(name.kind)) return {};
    bool encrypted = header_->encryption == Encryption::entries;
    if (name.kind == EntryKind::secret) {
        if (header_->secrets == SecretPolicy::omitted)
            return fail(ErrorCode::corrupt, fmt::format("{}: the header says that secrets are left out", name.text));
        encrypted = header_->secrets == SecretPolicy::sealed;
    }
    if (name.encrypted != encrypted)
        return fail(ErrorCode::corrupt,
                    fmt::format("{}: the header says that it is {}encrypted", name.text, encrypted ? "" : "not "));
    if (name.kind == EntryKind::changes && header_->kind != BackupKind::increment)
        return fail(ErrorCode::corrupt, fmt::format("{}: only an increment has changes", name.text));
    if (name.kind == EntryKind::table && header_->kind == BackupKind::config)
        return fail(ErrorCode::corrupt, fmt::format("{}: a backup of kind config has no rows", name.text));
    return {};
}

Status EntryOrder::admit_table(const EntryName& name, const std::vector<std::string>& tables) {
    const auto found = std::find(tables.begin(), tables.end(), name.part);
    if (found == tables.end())
        return fail(ErrorCode::corrupt, fmt::format("{}: the header does not list this table", name.text));
    const auto index = static_cast<std::size_t>(found - tables.begin());
    const bool same = last_ == name.kind && index == table_index_;
    const bool later = last_ != name.kind || index > table_index_;
    if (same ? name.number != number_ + 1 : !later || name.number != 0)
        return fail(ErrorCode::corrupt, fmt::format("{} is out of order", name.text));
    table_index_ = index;
    return {};
}

Status EntryOrder::admit(const EntryName& name) {
    const auto out_of_order = [&] { return fail(ErrorCode::corrupt, fmt::format("{} is out of order", name.text)); };
    if (name.kind == EntryKind::sums) {
        if (!started_ || last_ < EntryKind::header_signature || last_ >= EntryKind::sha256sums ||
            name.number != next_sums_ || next_sums_ >= kSumsCountMax)
            return out_of_order();
        ++next_sums_;
        return {};
    }
    // The six entries no archive lacks: each may only come after the one before it.
    const auto must_follow = [&](EntryKind before) { return started_ && last_ == before; };
    switch (name.kind) {
        case EntryKind::header:
            if (started_) return out_of_order();
            break;
        case EntryKind::header_signature:
            if (!must_follow(EntryKind::header)) return out_of_order();
            break;
        case EntryKind::restore_text:
            if (!must_follow(EntryKind::header_signature)) return out_of_order();
            break;
        case EntryKind::seal:
            if (!must_follow(EntryKind::sha256sums)) return out_of_order();
            break;
        case EntryKind::seal_signature:
            if (!must_follow(EntryKind::seal)) return out_of_order();
            break;
        default:
            if (!started_ || last_ < EntryKind::restore_text || last_ > EntryKind::sha256sums || name.kind < last_)
                return out_of_order();
    }
    const bool same_kind = started_ && name.kind == last_;
    if (name.kind > EntryKind::restore_text) {
        DTR_CHECK(header_ != nullptr);
        DTR_TRY(check_policy(name));
    }
    switch (name.kind) {
        case EntryKind::config:
        case EntryKind::changes:
        case EntryKind::inventory:
            if (name.number != (same_kind ? number_ + 1 : 0)) return out_of_order();
            break;
        case EntryKind::table:
            DTR_TRY(admit_table(name, header_->tables));
            break;
        case EntryKind::account_table:
            DTR_TRY(admit_table(name, header_->account_tables));
            break;
        case EntryKind::secret:
        case EntryKind::blob_sha256:
        case EntryKind::blob_sha512:
            if (same_kind && name.part <= part_) return out_of_order();
            break;
        default:
            if (same_kind) return out_of_order();
    }
    started_ = true;
    last_ = name.kind;
    part_ = name.part;
    number_ = name.number;
    return {};
}

}  // namespace dtr::archive
