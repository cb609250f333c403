#include "archive/age_crypto.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>

#include <algorithm>

#include "base/check.h"

namespace dtr::archive::age {
namespace {

const unsigned char* bytes_of(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes_of(std::string& text) {
    return reinterpret_cast<unsigned char*>(text.data());
}

struct FreeKeyContext {
    void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};
constexpr std::string_view kBech32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

std::uint32_t polymod(std::string_view values, std::uint32_t sum) {
    constexpr std::uint32_t generator[] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3};
    for (const char value : values) {
        const std::uint32_t top = sum >> 25U;
        sum = (sum & 0x1ffffffU) << 5U ^ static_cast<unsigned char>(value);
        for (unsigned i = 0; i < 5; ++i)
            if ((top >> i & 1U) != 0) sum ^= generator[i];
    }
    return sum;
}

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

std::uint32_t hrp_sum(std::string_view hrp) {
    std::string expanded;
    for (const char c : hrp) expanded.push_back(static_cast<char>(static_cast<unsigned char>(c) >> 5U));
    expanded.push_back(0);
    for (const char c : hrp) expanded.push_back(static_cast<char>(c & 31));
    return polymod(expanded, 1);
}

}  // namespace

std::string hmac_sha256(std::string_view key, std::string_view data) {
    std::string out(32, '\0');
    unsigned size = 32;
    DTR_CHECK(HMAC(EVP_sha256(), key.data() == nullptr ? "" : key.data(), static_cast<int>(key.size()), bytes_of(data),
                   data.size(), bytes_of(out), &size) != nullptr);
    return out;
}

// RFC 5869 with one block of output.
Secret hkdf_sha256(const Secret& key, std::string_view salt, std::string_view info) {
    std::string extracted = hmac_sha256(salt, key.expose());
    Secret out(hmac_sha256(extracted, std::string(info) + '\x01'));
    wipe(extracted);
    return out;
}

X25519Key::X25519Key(const Secret& scalar)
    : key_(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, bytes_of(scalar.expose()), scalar.expose().size())) {
    DTR_CHECK(key_ != nullptr);
}

std::string X25519Key::public_half() const {
    std::string out(kKeyBytes, '\0');
    std::size_t size = kKeyBytes;
    DTR_CHECK(EVP_PKEY_get_raw_public_key(key_.get(), bytes_of(out), &size) == 1);
    return out;
}

Result<Secret> X25519Key::agree(std::string_view share) const {
    const std::unique_ptr<EVP_PKEY, Free> theirs(
        EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, bytes_of(share), share.size()));
    std::unique_ptr<EVP_PKEY_CTX, FreeKeyContext> context(EVP_PKEY_CTX_new(key_.get(), nullptr));
    std::string out(kKeyBytes, '\0');
    std::size_t size = kKeyBytes;
    // OpenSSL itself refuses an all-zero result; this does not depend on it.
    const bool ok = theirs != nullptr && context != nullptr && EVP_PKEY_derive_init(context.get()) == 1 &&
                    EVP_PKEY_derive_set_peer(context.get(), theirs.get()) == 1 &&
                    EVP_PKEY_derive(context.get(), bytes_of(out), &size) == 1 && size == kKeyBytes &&
                    std::any_of(out.begin(), out.end(), [](char c) { return c != 0; });
    if (!ok) return fail(ErrorCode::invalid, "an X25519 share is of low order");
    return Secret(std::move(out));
}

Result<Secret> scrypt(const Secret& passphrase, std::string_view salt, int work_factor) {
    const std::uint64_t n = std::uint64_t{1} << static_cast<unsigned>(work_factor);
    const std::uint64_t memory = 128 * 8 * (n + 16);
    std::string out(kKeyBytes, '\0');
    if (EVP_PBE_scrypt(passphrase.expose().data(), passphrase.expose().size(), bytes_of(salt), salt.size(), n, 8, 1,
                       memory, bytes_of(out), out.size()) != 1)
        return fail(ErrorCode::exhausted, fmt::format("scrypt with work factor {} failed; it needs {} MiB of memory",
                                                      work_factor, memory >> 20U));
    return Secret(std::move(out));
}

ChunkCipher::ChunkCipher(const Secret& key) : key_(key), context_(EVP_CIPHER_CTX_new()) {
    DTR_CHECK(context_ != nullptr && key.expose().size() == kKeyBytes);
}

void ChunkCipher::seal(std::string_view nonce, std::string_view plain, std::string& out) {
    out.resize(plain.size() + kTagBytes);
    int n = 0;
    DTR_CHECK(EVP_EncryptInit_ex(context_.get(), EVP_chacha20_poly1305(), nullptr, bytes_of(key_.expose()),
                                 bytes_of(nonce)) == 1);
    if (!plain.empty())
        DTR_CHECK(
            EVP_EncryptUpdate(context_.get(), bytes_of(out), &n, bytes_of(plain), static_cast<int>(plain.size())) == 1);
    DTR_CHECK(EVP_EncryptFinal_ex(context_.get(), bytes_of(out) + n, &n) == 1);
    DTR_CHECK(EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, bytes_of(out) + plain.size()) == 1);
}

bool ChunkCipher::open(std::string_view nonce, std::string_view sealed, std::string& out) {
    out.clear();
    if (sealed.size() < kTagBytes) return false;
    const std::size_t size = sealed.size() - kTagBytes;
    std::string tag(sealed.substr(size));
    out.resize(size);
    int n = 0;
    bool ok = EVP_DecryptInit_ex(context_.get(), EVP_chacha20_poly1305(), nullptr, bytes_of(key_.expose()),
                                 bytes_of(nonce)) == 1 &&
              EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag.data()) == 1;
    if (ok && size != 0)
        ok = EVP_DecryptUpdate(context_.get(), bytes_of(out), &n, bytes_of(sealed), static_cast<int>(size)) == 1;
    unsigned char none[16];
    ok = ok && EVP_DecryptFinal_ex(context_.get(), none, &n) == 1;
    if (!ok) wipe(out);
    return ok;
}

std::string bech32_encode(std::string_view hrp, std::string_view data) {
    const bool upper = !hrp.empty() && hrp[0] >= 'A' && hrp[0] <= 'Z';
    std::string values;
    unsigned bits = 0;
    std::uint32_t word = 0;
    for (const char c : data) {
        word = (word << 8U | static_cast<unsigned char>(c)) & 0xfffU;
        for (bits += 8; bits >= 5; bits -= 5) values.push_back(static_cast<char>(word >> (bits - 5) & 31U));
    }
    if (bits > 0) values.push_back(static_cast<char>(word << (5 - bits) & 31U));
    const std::uint32_t sum = polymod(std::string(6, '\0'), polymod(values, hrp_sum(lower(hrp)))) ^ 1U;
    for (unsigned i = 0; i < 6; ++i) values.push_back(static_cast<char>(sum >> (5 * (5 - i)) & 31U));
    std::string out = std::string(hrp) + '1';
    for (const char value : values) {
        const char c = kBech32[static_cast<unsigned char>(value)];
        out.push_back(upper && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
    }
    wipe(values);
    return out;
}

Result<std::string> bech32_decode(std::string_view hrp, std::string_view text) {
    const auto malformed = [] { return fail(ErrorCode::invalid, "a key is not canonical Bech32"); };
    if (!text.starts_with(hrp) || text.size() < hrp.size() + 7 || text.size() > 512 || text[hrp.size()] != '1')
        return malformed();
    std::string small = lower(text.substr(hrp.size() + 1));
    std::string data;
    unsigned bits = 0;
    std::uint32_t word = 0;
    for (const char c : std::string_view(small).substr(0, small.size() - 6)) {
        const std::size_t value = kBech32.find(c);
        if (value == std::string_view::npos) return malformed();
        word = (word << 5U | static_cast<std::uint32_t>(value)) & 0xfffU;
        bits += 5;
        if (bits >= 8) {
            bits -= 8;
            data.push_back(static_cast<char>(word >> bits & 0xffU));
        }
    }
    wipe(small);
    // Covers the checksum, the case, and the spare bits.
    std::string again = bech32_encode(hrp, data);
    const bool same = again == text;
    wipe(again);
    if (!same) return malformed();
    return data;
}

}  // namespace dtr::archive::age
