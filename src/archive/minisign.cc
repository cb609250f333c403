// FILE.minisig   := "untrusted comment: signature of a dtr backup" LF
//                   base64( "ED" id[8] ed25519(BLAKE2b-512(FILE))[64] ) LF
//                   "trusted comment: " text LF
//                   base64( ed25519(signature[64] text)[64] ) LF
// public key     := base64( "Ed" id[8] key[32] )
// signing key    := base64( seed[32] id[8] )      (ours alone; minisign has another form for its
// own)
#include "archive/minisign.h"

#include <sodium.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/encoding.h"

namespace dtr::archive {
namespace {

constexpr std::size_t kKeyBytes = crypto_sign_PUBLICKEYBYTES;
constexpr std::size_t kSignatureBytes = crypto_sign_BYTES;
constexpr std::size_t kIdBytes = 8;
constexpr std::size_t kCommentMax = 200;
constexpr std::string_view kTrusted = "trusted comment: ";

const unsigned char* unsigned_bytes(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* unsigned_bytes(std::string& text) {
    return reinterpret_cast<unsigned char*>(text.data());
}

void start_sodium() {
    static const bool ok = sodium_init() >= 0;
    DTR_CHECK(ok);
}

std::string blake2b_512(std::string_view content) {
    std::string out(crypto_generichash_BYTES_MAX, '\0');
    crypto_generichash(unsigned_bytes(out), out.size(), unsigned_bytes(content), content.size(), nullptr, 0);
    return out;
}

std::string sign(const Secret& seed, std::string_view message) {
    start_sodium();
    std::array<unsigned char, kKeyBytes> public_key{};
    std::array<unsigned char, crypto_sign_SECRETKEYBYTES> secret_key{};
    crypto_sign_seed_keypair(public_key.data(), secret_key.data(), unsigned_bytes(seed.expose()));
    std::string signature(kSignatureBytes, '\0');
    crypto_sign_detached(unsigned_bytes(signature), nullptr, unsigned_bytes(message), message.size(),
                         secret_key.data());
    sodium_memzero(secret_key.data(), secret_key.size());
    return signature;
}

bool verify(const std::string& key, std::string_view message, std::string_view signature) {
    start_sodium();
    return key.size() == kKeyBytes && signature.size() == kSignatureBytes &&
           crypto_sign_verify_detached(unsigned_bytes(signature), unsigned_bytes(message), message.size(),
                                       unsigned_bytes(key)) == 0;
}

bool is_comment(std::string_view text) {
    return text.size() <= kCommentMax &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

std::string encode(std::string_view id, std::string_view signature, std::string_view comment, std::string_view global) {
    return fmt::format("{}\n{}\n{}{}\n{}\n", kUntrustedComment, base64_encode(fmt::format("ED{}{}", id, signature)),
                       kTrusted, comment, base64_encode(global));
}

struct ParsedSignature {
    std::string id, signature, comment, global;
};

Result<ParsedSignature> decode(std::string_view text) {
    const auto malformed = [] { return fail(ErrorCode::corrupt, "the signature file is malformed"); };
    if (text.size() > 1024) return malformed();
    std::array<std::string_view, 4> lines;
    std::string_view rest = text;
    for (auto& line : lines) {
        const std::size_t end = rest.find('\n');
        if (end == std::string_view::npos) return malformed();
        line = rest.substr(0, end);
        rest.remove_prefix(end + 1);
    }
    const auto first = base64_decode(lines[1]);
    const auto global = base64_decode(lines[3]);
    if (!first || first->size() != 2 + kIdBytes + kSignatureBytes || !global || !lines[2].starts_with(kTrusted))
        return malformed();
    ParsedSignature out{first->substr(2, kIdBytes), first->substr(2 + kIdBytes),
                        std::string(lines[2].substr(kTrusted.size())), *global};
    // One encoding only: else bits of this file could change unseen.
    if (!is_comment(out.comment) || encode(out.id, out.signature, out.comment, out.global) != text) return malformed();
    return out;
}

}  // namespace

Result<PublicKey> PublicKey::parse(std::string_view text) {
    const auto raw = base64_decode(text);
    if (!raw || raw->size() != 2 + kIdBytes + kKeyBytes || !raw->starts_with("Ed"))
        return fail(ErrorCode::invalid, "a signer's public key is malformed", "it has 56 characters, starting with RW");
    PublicKey key;
    key.id_ = raw->substr(2, kIdBytes);
    key.key_ = raw->substr(2 + kIdBytes);
    return key;
}

std::string PublicKey::text() const {
    return base64_encode(fmt::format("Ed{}{}", id_, key_));
}

std::string PublicKey::key_id() const {
    std::string out;
    for (auto c = id_.rbegin(); c != id_.rend(); ++c) out += fmt::format("{:02X}", static_cast<unsigned char>(*c));
    return out;
}

bool PublicKey::id_is_derived() const {
    return !key_.empty() && blake2b_512(key_).starts_with(id_);
}

SigningKey SigningKey::generate(Random& random) {
    start_sodium();
    std::string seed = random.bytes(crypto_sign_SEEDBYTES);
    SigningKey key;
    key.seed_ = Secret(std::move(seed));
    std::array<unsigned char, crypto_sign_SECRETKEYBYTES> secret_key{};
    key.public_key_.key_.resize(kKeyBytes);
    crypto_sign_seed_keypair(unsigned_bytes(key.public_key_.key_), secret_key.data(),
                             unsigned_bytes(key.seed_.expose()));
    sodium_memzero(secret_key.data(), secret_key.size());
    key.public_key_.id_ = blake2b_512(key.public_key_.key_).substr(0, kIdBytes);
    return key;
}

Result<SigningKey> SigningKey::parse(const Secret& text) {
    start_sodium();
    auto raw = base64_decode(text.expose());
    if (!raw || raw->size() != crypto_sign_SEEDBYTES + kIdBytes)
        return fail(ErrorCode::invalid, "a signing key is malformed");
    SigningKey key;
    key.seed_ = Secret(raw->substr(0, crypto_sign_SEEDBYTES));
    key.public_key_.id_ = raw->substr(crypto_sign_SEEDBYTES);
    wipe(*raw);
    std::array<unsigned char, crypto_sign_SECRETKEYBYTES> secret_key{};
    key.public_key_.key_.resize(kKeyBytes);
    crypto_sign_seed_keypair(unsigned_bytes(key.public_key_.key_), secret_key.data(),
                             unsigned_bytes(key.seed_.expose()));
    sodium_memzero(secret_key.data(), secret_key.size());
    return key;
}

Secret SigningKey::serialize() const {
    std::string raw(seed_.expose());
    raw += public_key_.id_;
    Secret out(base64_encode(raw));
    wipe(raw);
    return out;
}

std::string SigningKey::sign_file(std::string_view content, std::string_view trusted_comment) const {
    DTR_CHECK(is_comment(trusted_comment));
    start_sodium();
    const std::string signature = sign(seed_, blake2b_512(content));
    const std::string global = sign(seed_, signature + std::string(trusted_comment));
    return encode(public_key_.id_, signature, trusted_comment, global);
}

std::string SigningKey::sign_raw(std::string_view context, std::string_view message) const {
    return sign(seed_, fmt::format("{}{}", context, message));
}

Result<std::string> verify_file(const PublicKey& key, std::string_view content, std::string_view signature) {
    start_sodium();
    DTR_ASSIGN(const ParsedSignature parsed, decode(signature));
    if (parsed.id != key.raw_id())
        return fail(ErrorCode::untrusted, fmt::format("the signature was not made with key {}", key.key_id()));
    if (!verify(key.raw(), blake2b_512(content), parsed.signature))
        return fail(ErrorCode::corrupt,
                    fmt::format("the signature of key {} does not match the content", key.key_id()));
    if (!verify(key.raw(), parsed.signature + parsed.comment, parsed.global))
        return fail(ErrorCode::corrupt, "the signature does not match its trusted comment");
    return parsed.comment;
}

bool verify_raw(const PublicKey& key, std::string_view context, std::string_view message, std::string_view signature) {
    return verify(key.raw(), fmt::format("{}{}", context, message), signature);
}

}  // namespace dtr::archive
