// The primitives of age, over OpenSSL. For archive/age*.cc only. Thread-safe, except for a
// ChunkCipher.
#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"

namespace dtr::archive::age {

inline constexpr std::size_t kKeyBytes = 32;
inline constexpr std::size_t kFileKeyBytes = 16;
inline constexpr std::size_t kTagBytes = 16;

std::string hmac_sha256(std::string_view key, std::string_view data);
Secret hkdf_sha256(const Secret& key, std::string_view salt, std::string_view info);  // 32 bytes

// A scalar of X25519, of kKeyBytes.
class X25519Key {
  public:
    explicit X25519Key(const Secret& scalar);
    [[nodiscard]] std::string public_half() const;
    // invalid if the share is of low order (the result would be all zero).
    [[nodiscard]] Result<Secret> agree(std::string_view share) const;

  private:
    struct Free {
        void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    };
    std::unique_ptr<EVP_PKEY, Free> key_;
};

// 2^work_factor rounds, r = 8, p = 1.
Result<Secret> scrypt(const Secret& passphrase, std::string_view salt, int work_factor);

// ChaCha20-Poly1305 under one key, without additional data.
class ChunkCipher {
  public:
    explicit ChunkCipher(const Secret& key);
    void seal(std::string_view nonce, std::string_view plain,
              std::string& out);  // replaces out; 16 bytes longer
    // False if it does not authenticate; out is then empty.
    bool open(std::string_view nonce, std::string_view sealed, std::string& out);

  private:
    struct Free {
        void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
    };
    Secret key_;
    std::unique_ptr<EVP_CIPHER_CTX, Free> context_;
};

// Bech32 (BIP 173) without its limit of length. `hrp` in the case of the text. decode: invalid
// unless canonical.
std::string bech32_encode(std::string_view hrp, std::string_view data);
Result<std::string> bech32_decode(std::string_view hrp, std::string_view text);

}  // namespace dtr::archive::age
