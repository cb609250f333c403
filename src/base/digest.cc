// EVP of OpenSSL 3.0 cannot write down a hash in the middle, so the low-level contexts are used here and nowhere else;
// both reach the same assembly. Saved state, version 1, little endian:
//   u8 version=1 | u8 algorithm | 8 x u32 or u64 chaining value | u64 total bytes | pending block bytes (total % block)
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/digest.h"

#include <openssl/sha.h>

#include <cstdint>
#include <cstring>
#include <variant>

#include "base/encoding.h"

namespace dtr {

std::string_view to_string(DigestAlgorithm algorithm) {
    return algorithm == DigestAlgorithm::sha256 ? "sha256" : "sha512";
}

std::size_t hex_length(DigestAlgorithm algorithm) {
    return algorithm == DigestAlgorithm::sha256 ? 64 : 128;
}

Result<DigestAlgorithm> parse_digest_algorithm(std::string_view name) {
    if (name == "sha256") return DigestAlgorithm::sha256;
    if (name == "sha512") return DigestAlgorithm::sha512;
    return fail(ErrorCode::unsupported, fmt::format("digest algorithm '{}' is not supported", name.substr(0, 32)),
                "use sha256 or sha512");
}

// digest ::= algorithm ":" encoded; algorithm ::= component (separator component)*; encoded ::= [a-zA-Z0-9=_-]+
Result<Digest> Digest::parse(std::string_view text) {
    const auto bad = [&] {
        return fail(ErrorCode::invalid, fmt::format("'{}' is not a digest", text.substr(0, 200)),
                    "a digest looks like sha256:<64 lower-case hex digits>");
    };
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos || colon == 0 || text.size() > 300) return bad();
    const std::string_view name = text.substr(0, colon);
    const std::string_view encoded = text.substr(colon + 1);
    if (encoded.empty()) return bad();
    bool component_open = false;
    for (const char c : name) {
        const bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        const bool separator = c == '+' || c == '.' || c == '_' || c == '-';
        if (!alnum && (!separator || !component_open)) return bad();
        component_open = alnum;
    }
    if (!component_open) return bad();
    for (const char c : encoded) {
        const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '=' ||
                        c == '_' || c == '-';
        if (!ok) return bad();
    }
    DTR_ASSIGN(const DigestAlgorithm algorithm, parse_digest_algorithm(name));
    if (encoded.size() != hex_length(algorithm) || !is_lower_hex(encoded)) return bad();
    return from_hex(algorithm, std::string(encoded));
}

Digest Digest::from_hex(DigestAlgorithm algorithm, std::string hex) {
    Digest d;
    d.algorithm_ = algorithm;
    d.hex_ = std::move(hex);
    return d;
}

Digest Digest::of(std::string_view bytes, DigestAlgorithm algorithm) {
    Hasher h(algorithm);
    h.update(bytes);
    return h.finish();
}

std::string Digest::to_string() const {
    std::string out(dtr::to_string(algorithm_));
    out += ':';
    out += hex_;
    return out;
}

struct Hasher::State {
    std::variant<SHA256_CTX, SHA512_CTX> context;
    std::uint64_t total = 0;
};

Hasher::Hasher(DigestAlgorithm algorithm) : state_(std::make_unique<State>()) {
    if (algorithm == DigestAlgorithm::sha256) {
        SHA256_Init(&state_->context.emplace<SHA256_CTX>());
    } else {
        SHA512_Init(&state_->context.emplace<SHA512_CTX>());
    }
}

Hasher::Hasher(const Hasher& other) : state_(std::make_unique<State>(*other.state_)) {}
Hasher& Hasher::operator=(const Hasher& other) {
    if (this != &other) state_ = std::make_unique<State>(*other.state_);
    return *this;
}
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;
Hasher::~Hasher() = default;

void Hasher::update(std::string_view bytes) {
    state_->total += bytes.size();
    if (auto* c256 = std::get_if<SHA256_CTX>(&state_->context)) {
        SHA256_Update(c256, bytes.data(), bytes.size());
    } else {
        SHA512_Update(&std::get<SHA512_CTX>(state_->context), bytes.data(), bytes.size());
    }
}

std::string Hasher::finish_raw() const {
    unsigned char out[SHA512_DIGEST_LENGTH];
    if (const auto* c256 = std::get_if<SHA256_CTX>(&state_->context)) {
        SHA256_CTX copy = *c256;
        SHA256_Final(out, &copy);
        return {reinterpret_cast<const char*>(out), SHA256_DIGEST_LENGTH};
    }
    SHA512_CTX copy = std::get<SHA512_CTX>(state_->context);
    SHA512_Final(out, &copy);
    return {reinterpret_cast<const char*>(out), SHA512_DIGEST_LENGTH};
}

Digest Hasher::finish() const {
    return Digest::from_hex(algorithm(), hex_encode(finish_raw()));
}

DigestAlgorithm Hasher::algorithm() const {
    return std::holds_alternative<SHA256_CTX>(state_->context) ? DigestAlgorithm::sha256 : DigestAlgorithm::sha512;
}

namespace {

template <class Word>
void put_word(std::string& out, Word word) {
    for (std::size_t i = 0; i < sizeof(Word); ++i)
        out.push_back(static_cast<char>(static_cast<std::uint64_t>(word) >> (8 * i) & 0xffU));
}

template <class Word>
Word get_word(std::string_view in, std::size_t at) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(Word); ++i)
        value |= static_cast<std::uint64_t>(static_cast<unsigned char>(in[at + i])) << (8 * i);
    return static_cast<Word>(value);
}

constexpr std::size_t kHeader = 2;

}  // namespace

std::string Hasher::save() const {
    std::string out;
    out.push_back(1);
    out.push_back(static_cast<char>(algorithm()));
    if (const auto* c256 = std::get_if<SHA256_CTX>(&state_->context)) {
        for (const SHA_LONG h : c256->h) put_word<std::uint32_t>(out, h);
        put_word<std::uint64_t>(out, state_->total);
        out.append(reinterpret_cast<const char*>(c256->data), c256->num);
    } else {
        const auto& c512 = std::get<SHA512_CTX>(state_->context);
        for (const SHA_LONG64 h : c512.h) put_word<std::uint64_t>(out, h);
        put_word<std::uint64_t>(out, state_->total);
        out.append(reinterpret_cast<const char*>(c512.u.p), c512.num);
    }
    return out;
}

Result<Hasher> Hasher::load(std::string_view in) {
    const auto bad = [] { return fail(ErrorCode::corrupt, "saved hash state is damaged"); };
    if (in.size() < kHeader || in[0] != 1 || in[1] < 0 || in[1] > 1) return bad();
    const auto algorithm = static_cast<DigestAlgorithm>(in[1]);
    Hasher h(algorithm);
    const bool is256 = algorithm == DigestAlgorithm::sha256;
    const std::size_t word = is256 ? 4 : 8;
    const std::size_t block = is256 ? 64 : 128;
    const std::size_t fixed = kHeader + 8 * word + 8;
    if (in.size() < fixed) return bad();
    const auto total = get_word<std::uint64_t>(in, fixed - 8);
    const std::string_view pending = in.substr(fixed);
    if (pending.size() != total % block) return bad();
    h.state_->total = total;
    const std::uint64_t low_bits = total << 3;
    const std::uint64_t high_bits = total >> 61;
    if (is256) {
        auto& c = std::get<SHA256_CTX>(h.state_->context);
        for (std::size_t i = 0; i < 8; ++i) c.h[i] = get_word<std::uint32_t>(in, kHeader + i * 4);
        c.Nl = static_cast<SHA_LONG>(low_bits);
        c.Nh = static_cast<SHA_LONG>(low_bits >> 32);
        std::memcpy(c.data, pending.data(), pending.size());
        c.num = static_cast<unsigned>(pending.size());
    } else {
        auto& c = std::get<SHA512_CTX>(h.state_->context);
        for (std::size_t i = 0; i < 8; ++i) c.h[i] = get_word<std::uint64_t>(in, kHeader + i * 8);
        c.Nl = low_bits;
        c.Nh = high_bits;
        std::memcpy(c.u.p, pending.data(), pending.size());
        c.num = static_cast<unsigned>(pending.size());
    }
    return h;
}

}  // namespace dtr
