// Ed25519 signatures in the form of minisign's prehashed algorithm "ED": `minisign -V` of any
// distribution checks them. Thread-safe: values and pure functions.
#pragma once

#include <string>
#include <string_view>

#include "base/random.h"
#include "base/result.h"
#include "base/secret.h"

namespace dtr::archive {

inline constexpr std::string_view kUntrustedComment = "untrusted comment: signature of a dtr backup";

class PublicKey {
  public:
    PublicKey() = default;
    // The text minisign prints, "RW…" (56 characters, canonical base64). invalid if malformed.
    static Result<PublicKey> parse(std::string_view text);

    [[nodiscard]] std::string text() const;                          // "RW…"
    [[nodiscard]] std::string key_id() const;                        // 16 upper-case hex digits, as minisign shows it
    [[nodiscard]] const std::string& raw() const { return key_; }    // 32 bytes
    [[nodiscard]] const std::string& raw_id() const { return id_; }  // 8 bytes
    [[nodiscard]] bool empty() const { return key_.empty(); }
    // True if the id is made from the key, as SigningKey makes it: only then does an id say
    // anything about the key.
    [[nodiscard]] bool id_is_derived() const;
    friend bool operator==(const PublicKey&, const PublicKey&) = default;

  private:
    friend class SigningKey;
    std::string id_;
    std::string key_;
};

class SigningKey {
  public:
    // The key id is the first 8 bytes of BLAKE2b-512 of the public key.
    static SigningKey generate(Random& random);
    // What serialize() gave: base64 of seed (32 bytes) and key id (8 bytes). invalid if malformed.
    static Result<SigningKey> parse(const Secret& text);
    [[nodiscard]] Secret serialize() const;
    [[nodiscard]] const PublicKey& public_key() const { return public_key_; }

    // The bytes of FILE.minisig for the file's content. `trusted_comment` is printable ASCII, at
    // most 200 characters.
    [[nodiscard]] std::string sign_file(std::string_view content, std::string_view trusted_comment) const;
    // A bare 64-byte Ed25519 signature over context + message.
    [[nodiscard]] std::string sign_raw(std::string_view context, std::string_view message) const;

  private:
    Secret seed_;
    PublicKey public_key_;
};

// The trusted comment. `signature` must be byte for byte what sign_file() would write: any other
// form is corrupt, as is a signature that does not fit; untrusted if it names another key than
// `key`.
Result<std::string> verify_file(const PublicKey& key, std::string_view content, std::string_view signature);
bool verify_raw(const PublicKey& key, std::string_view context, std::string_view message, std::string_view signature);

}  // namespace dtr::archive
