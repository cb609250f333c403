// A set of digests for reference checks over whole archives: 32 or 64 bytes each, sorted once.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/encoding.h"

namespace dtr::backup {

// Filled first, then frozen with sort(), then asked.
class DigestSet {
  public:
    void add(const Digest& digest) {
        if (digest.algorithm() == DigestAlgorithm::sha256)
            sha256_.push_back(raw<32>(digest));
        else
            sha512_.push_back(raw<64>(digest));
    }
    void sort() {
        sort(sha256_);
        sort(sha512_);
    }
    [[nodiscard]] bool contains(const Digest& digest) const {
        if (digest.algorithm() == DigestAlgorithm::sha256)
            return std::binary_search(sha256_.begin(), sha256_.end(), raw<32>(digest));
        return std::binary_search(sha512_.begin(), sha512_.end(), raw<64>(digest));
    }
    // Until the callback fails.
    [[nodiscard]] Status each(const std::function<Status(const Digest&)>& callback) const {
        for (const auto& key : sha256_) DTR_TRY(callback(digest_of(DigestAlgorithm::sha256, key)));
        for (const auto& key : sha512_) DTR_TRY(callback(digest_of(DigestAlgorithm::sha512, key)));
        return {};
    }
    [[nodiscard]] std::size_t size() const { return sha256_.size() + sha512_.size(); }

  private:
    template <std::size_t N>
    using Raw = std::array<unsigned char, N>;

    template <std::size_t N>
    static Raw<N> raw(const Digest& digest) {
        Raw<N> key{};
        const std::string bytes = hex_decode(digest.hex()).value_or("");
        std::memcpy(key.data(), bytes.data(), std::min(bytes.size(), N));
        return key;
    }
    template <std::size_t N>
    static Digest digest_of(DigestAlgorithm algorithm, const Raw<N>& key) {
        return Digest::from_hex(algorithm, hex_encode({reinterpret_cast<const char*>(key.data()), N}));
    }
    template <class List>
    static void sort(List& list) {
        std::sort(list.begin(), list.end());
        list.erase(std::unique(list.begin(), list.end()), list.end());
    }

    std::vector<Raw<32>> sha256_;
    std::vector<Raw<64>> sha512_;
};

// Short texts that were said, to ask later whether one of them was: 8 bytes each. Good for finding mistakes; a text that
// was never said may pass for one that was, if somebody takes the trouble to look for it.
class FactSet {
  public:
    void add(std::string_view fact) { facts_.push_back(std::hash<std::string_view>()(fact)); }
    void sort() { std::sort(facts_.begin(), facts_.end()); }
    [[nodiscard]] bool contains(std::string_view fact) const {
        return std::binary_search(facts_.begin(), facts_.end(), std::hash<std::string_view>()(fact));
    }

  private:
    std::vector<std::size_t> facts_;
};

// Sizes that descriptors claim, to be held against what is there. All claims come before the first question.
class SizeClaims {
  public:
    void claim(const Digest& digest, std::uint64_t size) { claims_.push_back({key(digest), size}); }
    // False if somebody claimed another size for `digest`.
    [[nodiscard]] bool agrees(const Digest& digest, std::uint64_t size) {
        if (!sorted_) {
            std::sort(claims_.begin(), claims_.end());
            claims_.erase(std::unique(claims_.begin(), claims_.end()), claims_.end());
            sorted_ = true;
        }
        const auto first = std::lower_bound(claims_.begin(), claims_.end(), Claim{key(digest), 0});
        for (auto it = first; it != claims_.end() && it->first == key(digest); ++it)
            if (it->second != size) return false;
        return true;
    }

  private:
    // Half a SHA-256 distinguishes digests well enough here, with half the memory: a collision only means a false alarm.
    using Key = std::array<char, 16>;
    using Claim = std::pair<Key, std::uint64_t>;
    static Key key(const Digest& digest) {
        Key half{};
        const std::string raw = hex_decode(digest.hex().substr(0, 32)).value_or("");
        std::memcpy(half.data(), raw.data(), std::min(raw.size(), half.size()));
        return half;
    }
    std::vector<Claim> claims_;
    bool sorted_ = false;
};

}  // namespace dtr::backup
