#include "http/shares.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>

namespace dtr::http {
namespace {

std::uint64_t rotate(std::uint64_t x, int by) {
    return x << by | x >> (64 - by);
}

// SipHash-2-4 of 16 bytes and their length.
std::uint64_t sip_hash(const std::array<std::uint64_t, 2>& key, std::uint64_t first, std::uint64_t second) {
    std::uint64_t v0 = key[0] ^ 0x736f6d6570736575ULL;
    std::uint64_t v1 = key[1] ^ 0x646f72616e646f6dULL;
    std::uint64_t v2 = key[0] ^ 0x6c7967656e657261ULL;
    std::uint64_t v3 = key[1] ^ 0x7465646279746573ULL;
    const auto round = [&] {
        v0 += v1, v1 = rotate(v1, 13) ^ v0, v0 = rotate(v0, 32);
        v2 += v3, v3 = rotate(v3, 16) ^ v2;
        v0 += v3, v3 = rotate(v3, 21) ^ v0;
        v2 += v1, v1 = rotate(v1, 17) ^ v2, v2 = rotate(v2, 32);
    };
    for (const std::uint64_t word : {first, second, std::uint64_t{16} << 56}) {
        v3 ^= word;
        round();
        round();
        v0 ^= word;
    }
    v2 ^= 0xff;
    for (int i = 0; i < 4; ++i) round();
    return v0 ^ v1 ^ v2 ^ v3;
}

std::uint64_t hashed(const std::array<std::uint64_t, 2>& key, const IpAddress& address, std::uint64_t tier) {
    std::array<std::uint64_t, 2> words{};
    std::memcpy(words.data(), address.bytes().data(), sizeof words);
    return sip_hash(key, words[0], words[1] ^ tier);
}

}  // namespace

ClientKeys::ClientKeys(Random& random) {
    const std::string bytes = random.bytes(sizeof key_);
    std::memcpy(key_.data(), bytes.data(), sizeof key_);
}

ClientKey ClientKeys::of(const IpAddress& address) const {
    return {hashed(key_, network_of(address), 0), hashed(key_, site_of(address), ~0ULL)};
}

Shares::Shares(std::size_t capacity, Rule rule) : capacity_(capacity), rule_(rule) {
    static_assert(kCells <= 1U << 16 && kRows * 16 <= 64);
    if (rule == Rule::fair) cells_ = std::make_unique<Cells>();
}

// More than somebody holds only if others meet them in every row.
std::size_t Shares::held(std::uint64_t key) const {
    std::size_t least = std::numeric_limits<std::size_t>::max();
    for (std::size_t row = 0; row < kRows; ++row)
        least = std::min(least, cell(row, key).load(std::memory_order_relaxed));
    return least;
}

void Shares::add(std::uint64_t key, std::size_t amount) {
    for (std::size_t row = 0; row < kRows; ++row)
        cell(row, key).fetch_add(amount, std::memory_order_relaxed);  // modulo 2^64: a negative one takes away
}

bool Shares::allows(const ClientKey& client) const {
    const std::size_t used = used_.load(std::memory_order_relaxed);
    if (used > capacity_) return false;
    if (rule_ == Rule::unlimited) return true;
    const std::size_t left = capacity_ - used;
    return held(client.network) <= 2 * left && held(client.site) <= 4 * left;
}

bool Shares::take(const ClientKey& client, std::size_t amount) {
    take_anyway(client, amount);
    if (allows(client)) return true;
    give_back(client, amount);
    return false;
}

void Shares::take_anyway(const ClientKey& client, std::size_t amount) {
    used_.fetch_add(amount, std::memory_order_relaxed);
    if (rule_ == Rule::unlimited) return;
    add(client.network, amount);
    add(client.site, amount);
}

void Shares::give_back(const ClientKey& client, std::size_t amount) {
    used_.fetch_sub(amount, std::memory_order_relaxed);
    if (rule_ == Rule::unlimited) return;
    add(client.network, 0 - amount);
    add(client.site, 0 - amount);
}

}  // namespace dtr::http
