#include "registry/upload_seal.h"

#include <fmt/format.h>

#include <charconv>

#include "base/encoding.h"
#include "identity/keyed_hash.h"

namespace dtr::registry {
namespace {

constexpr std::size_t kRandomDigits = UploadSeal::kRowDigits;
constexpr std::size_t kAccountDigits = 32;
constexpr std::size_t kTimeDigits = 14;
constexpr std::size_t kAlgorithmDigits = 2;
constexpr std::size_t kBodyDigits = kRandomDigits + kAccountDigits + kTimeDigits + kAlgorithmDigits;
constexpr std::size_t kMarkDigits = 32;

constexpr std::string_view kNobody = "00000000000000000000000000000000";

// A uuid without its dashes; what is none is nobody.
std::string digits_of(std::string_view uuid) {
    std::string digits;
    for (const char c : uuid)
        if (c != '-') digits += c;
    return digits.size() == kAccountDigits && is_lower_hex(digits) ? digits : std::string(kNobody);
}

std::string uuid_of(std::string_view digits) {
    if (digits == kNobody) return {};
    return fmt::format("{}-{}-{}-{}-{}", digits.substr(0, 8), digits.substr(8, 4), digits.substr(12, 4),
                       digits.substr(16, 4), digits.substr(20));
}

std::optional<DigestAlgorithm> algorithm_of(std::string_view digits) {
    if (digits == "00") return DigestAlgorithm::sha256;
    if (digits == "01") return DigestAlgorithm::sha512;
    return std::nullopt;
}

meta::Upload session(std::string_view repository, std::string_view account_id, DigestAlgorithm algorithm, Micros at) {
    meta::Upload upload;
    upload.repository = repository;
    upload.account_id = account_id;
    upload.hash_state = Hasher(algorithm).save();
    upload.started_at = at;
    return upload;
}

}  // namespace

UploadSeal::UploadSeal(const Secret& secret) {
    Hasher hasher;
    hasher.update("dtr upload sessions\n");
    hasher.update(secret.expose());
    key_ = Secret(hasher.finish_raw());
}

std::string UploadSeal::mark(std::string_view repository, std::string_view body) const {
    return hex_encode(identity::keyed_hash(key_.expose(), {repository, body})).substr(0, kMarkDigits);
}

meta::Upload UploadSeal::make(std::string_view repository, std::string_view account_id, DigestAlgorithm algorithm,
                              Micros now, Random& random) const {
    const std::string account = digits_of(account_id);
    meta::Upload upload = session(repository, uuid_of(account), algorithm, now);
    const std::string body = fmt::format("{}{}{:014x}{}", random_hex(random, kRandomDigits / 2), account, now,
                                         algorithm == DigestAlgorithm::sha256 ? "00" : "01");
    upload.id = body + mark(repository, body);
    return upload;
}

std::optional<meta::Upload> UploadSeal::open(std::string_view repository, std::string_view id) const {
    if (id.size() != kBodyDigits + kMarkDigits || !is_lower_hex(id)) return std::nullopt;
    const std::string_view body = id.substr(0, kBodyDigits);
    if (!equal_constant_time(id.substr(kBodyDigits), mark(repository, body))) return std::nullopt;
    const std::string_view time = body.substr(kRandomDigits + kAccountDigits, kTimeDigits);
    Micros at = 0;
    const auto read = std::from_chars(time.data(), time.data() + time.size(), at, 16);
    const auto algorithm = algorithm_of(body.substr(kBodyDigits - kAlgorithmDigits));
    if (read.ec != std::errc() || !algorithm) return std::nullopt;
    meta::Upload upload = session(repository, uuid_of(body.substr(kRandomDigits, kAccountDigits)), *algorithm, at);
    upload.id = id;
    return upload;
}

}  // namespace dtr::registry
