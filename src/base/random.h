// Randomness, injectable; the system source is OpenSSL's CSPRNG.
#pragma once

#include <cstdint>
#include <string>

namespace dtr {

class Random {
  public:
    virtual ~Random() = default;
    virtual std::string bytes(std::size_t count) = 0;  // thread-safe
};

Random& system_random();

// xorshift from a seed: for tests that must replay. Not thread-safe, never for secrets.
class SeededRandom final : public Random {
  public:
    explicit SeededRandom(std::uint64_t seed) : state_(seed * 2685821657736338717ULL + 1) {}
    std::string bytes(std::size_t count) override;
    std::uint64_t next();

  private:
    std::uint64_t state_;
};

std::string random_hex(Random& random, std::size_t byte_count);  // 2 * byte_count lower-case digits
std::string random_uuid(Random& random);                         // RFC 4122 version 4
std::string random_password(Random& random);                     // 24 characters, 120 bits, safe in URLs and shells

}  // namespace dtr
