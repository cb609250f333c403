// age v1 (age-encryption.org/v1): X25519 recipients or one passphrase (scrypt), ChaCha20-Poly1305
// in 64 KiB chunks. Files go both ways between this and the age tool. Strict: only canonical
// base64, no low-order shares, work factor at most 20, scrypt alone, no empty final chunk but the
// only one, nothing after the end.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "archive/stream.h"
#include "base/random.h"
#include "base/result.h"
#include "base/secret.h"

namespace dtr::archive {

inline constexpr std::size_t kAgeChunkBytes = 64 * 1024;
inline constexpr int kScryptWorkFactor = 18;     // what we write: 2^18, 256 MiB
inline constexpr int kScryptWorkFactorMax = 20;  // what we read

// A public key.
class AgeRecipient {
  public:
    static Result<AgeRecipient> parse(std::string_view text);  // "age1…"; invalid if malformed
    [[nodiscard]] std::string text() const;
    [[nodiscard]] const std::string& raw() const { return key_; }  // 32 bytes
    friend bool operator==(const AgeRecipient&, const AgeRecipient&) = default;

  private:
    friend class AgeIdentity;
    std::string key_;
};

// A private key.
class AgeIdentity {
  public:
    static AgeIdentity generate(Random& random);
    static Result<AgeIdentity> parse(const Secret& text);  // "AGE-SECRET-KEY-1…"; invalid if malformed
    [[nodiscard]] Secret text() const;
    [[nodiscard]] const AgeRecipient& recipient() const { return recipient_; }
    [[nodiscard]] const Secret& raw() const { return key_; }  // 32 bytes

  private:
    Secret key_;
    AgeRecipient recipient_;
};

// A recovery-key file: one identity or more, one a line, with comments; among these the anchors "#
// dtr-signer: RW…".
struct IdentityFile {
    std::vector<AgeIdentity> identities;
    std::vector<std::string> signers;  // "RW…", as they stand in the file
};
// invalid if a line is neither empty, comment nor identity, or if there is no identity; at most 64
// KiB.
Result<IdentityFile> parse_identity_file(const Secret& text);
Secret format_identity_file(const AgeIdentity& identity, const std::vector<std::string>& signers,
                            std::string_view comment = {});

// Bytes of the encrypted form.
std::uint64_t age_encrypted_size(std::uint64_t plain_size, std::size_t recipients);
// The other way; nothing if no file for so many recipients has that size.
std::optional<std::uint64_t> age_plain_size(std::uint64_t encrypted_size, std::size_t recipients);
inline constexpr std::string_view kAgeMagic = "age-encryption.org/v1\n";  // how every age file begins

// Encrypts into `sink`; give all bytes to write(), then finish(). At least one recipient, at most
// 200.
class AgeEncryptor final : public ByteSink {
  public:
    static Result<std::unique_ptr<AgeEncryptor>> open(ByteSink& sink, const std::vector<AgeRecipient>& recipients,
                                                      Random& random = system_random());
    static Result<std::unique_ptr<AgeEncryptor>> open(ByteSink& sink, const Secret& passphrase,
                                                      Random& random = system_random(),
                                                      int work_factor = kScryptWorkFactor);
    ~AgeEncryptor() override;
    Status write(std::string_view bytes) override;
    Status finish();

  private:
    struct State;
    explicit AgeEncryptor(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

struct AgeKeys {
    std::vector<AgeIdentity> identities;
    std::optional<Secret> passphrase;
};

// Decrypts what it pulls from `source`. Each read gives only authenticated bytes; 0 is given only
// after the final chunk authenticated and the source ended: until then the plaintext may have been
// cut and must not be acted on.
class AgeDecryptor final : public ByteSource {
  public:
    // Reads the header. untrusted if no key fits, corrupt if the file is malformed or its header
    // was changed.
    static Result<std::unique_ptr<AgeDecryptor>> open(ByteSource& source, const AgeKeys& keys);
    ~AgeDecryptor() override;
    Result<std::size_t> read(char* buffer, std::size_t size) override;
    [[nodiscard]] bool complete() const;

  private:
    struct State;
    explicit AgeDecryptor(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

Result<std::string> age_encrypt(std::string_view plain, const std::vector<AgeRecipient>& recipients,
                                Random& random = system_random());
Result<std::string> age_encrypt(std::string_view plain, const Secret& passphrase, Random& random = system_random(),
                                int work_factor = kScryptWorkFactor);
Result<Secret> age_decrypt(std::string_view encrypted, const AgeKeys& keys);

}  // namespace dtr::archive
