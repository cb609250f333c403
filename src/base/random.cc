#include "base/random.h"

#include <openssl/rand.h>

#include <string_view>

#include "base/check.h"
#include "base/encoding.h"

namespace dtr {
namespace {

class SystemRandom final : public Random {
  public:
    std::string bytes(std::size_t count) override {
        std::string out(count, '\0');
        DTR_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(count)) == 1);
        return out;
    }
};

}  // namespace

Random& system_random() {
    static SystemRandom random;
    return random;
}

std::uint64_t SeededRandom::next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 2685821657736338717ULL;
}

std::string SeededRandom::bytes(std::size_t count) {
    std::string out;
    out.reserve(count);
    while (out.size() < count) {
        std::uint64_t word = next();
        for (int i = 0; i < 8 && out.size() < count; ++i, word >>= 8) out.push_back(static_cast<char>(word & 0xffU));
    }
    return out;
}

std::string random_hex(Random& random, std::size_t byte_count) {
    return hex_encode(random.bytes(byte_count));
}

std::string random_uuid(Random& random) {
    std::string raw = random.bytes(16);
    raw[6] = static_cast<char>((static_cast<unsigned char>(raw[6]) & 0x0fU) | 0x40U);
    raw[8] = static_cast<char>((static_cast<unsigned char>(raw[8]) & 0x3fU) | 0x80U);
    const std::string hex = hex_encode(raw);
    return hex.substr(0, 8) + '-' + hex.substr(8, 4) + '-' + hex.substr(12, 4) + '-' + hex.substr(16, 4) + '-' +
           hex.substr(20);
}

std::string random_password(Random& random) {
    constexpr std::string_view alphabet = "abcdefghjkmnpqrstuvwxyz023456789";
    static_assert(alphabet.size() == 32);
    std::string out;
    for (const char c : random.bytes(24)) out.push_back(alphabet[static_cast<unsigned char>(c) % 32U]);
    return out;
}

}  // namespace dtr
