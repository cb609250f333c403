// Content digests (OCI image specification, "Digests") and the incremental hash behind them.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace dtr {

enum class DigestAlgorithm : unsigned char { sha256, sha512 };

std::string_view to_string(DigestAlgorithm algorithm);                  // "sha256"
Result<DigestAlgorithm> parse_digest_algorithm(std::string_view name);  // unsupported if unknown
std::size_t hex_length(DigestAlgorithm algorithm);                      // 64 or 128

// A value: algorithm and lower-case hex, always well formed unless default-constructed (then empty()).
class Digest {
  public:
    Digest() = default;
    // "sha256:<64 hex>". invalid if malformed, unsupported if well formed but of an algorithm we do not know.
    static Result<Digest> parse(std::string_view text);
    static Digest from_hex(DigestAlgorithm algorithm, std::string hex);  // trusts its caller
    static Digest of(std::string_view bytes, DigestAlgorithm algorithm = DigestAlgorithm::sha256);

    [[nodiscard]] DigestAlgorithm algorithm() const { return algorithm_; }
    [[nodiscard]] const std::string& hex() const { return hex_; }
    [[nodiscard]] std::string to_string() const;
    [[nodiscard]] bool empty() const { return hex_.empty(); }

    friend bool operator==(const Digest&, const Digest&) = default;
    friend auto operator<=>(const Digest&, const Digest&) = default;

  private:
    DigestAlgorithm algorithm_ = DigestAlgorithm::sha256;
    std::string hex_;
};

// Incremental hash whose middle can be written down, so that an upload survives its process.
// Not thread-safe.
class Hasher {
  public:
    explicit Hasher(DigestAlgorithm algorithm = DigestAlgorithm::sha256);
    // Continues from save(). corrupt if the bytes are not such a state.
    static Result<Hasher> load(std::string_view state);
    Hasher(const Hasher& other);
    Hasher& operator=(const Hasher& other);
    Hasher(Hasher&&) noexcept;
    Hasher& operator=(Hasher&&) noexcept;
    ~Hasher();

    void update(std::string_view bytes);
    [[nodiscard]] Digest finish() const;           // of everything so far; more may follow
    [[nodiscard]] std::string finish_raw() const;  // the same as 32 or 64 bytes
    [[nodiscard]] std::string save() const;        // at most 256 bytes; little endian, versioned
    [[nodiscard]] DigestAlgorithm algorithm() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace dtr

template <>
struct std::hash<dtr::Digest> {
    std::size_t operator()(const dtr::Digest& d) const noexcept { return std::hash<std::string>()(d.hex()); }
};
