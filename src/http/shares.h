// How much of something bounded (connections, waiting work, memory) each network of clients holds, so that nobody takes it
// from all others: who asks for more must leave something behind. One network alone gets two thirds of it, two get two
// fifths each, and so on, so that there is always room for whoever comes next.
//
// Counted in cells of fixed number under a key of this process. Two networks seldom meet in all of their cells; if they do,
// they share.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/ip_address.h"
#include "base/random.h"

namespace dtr::http {

// Whose it is that something is held by: an address's network, and for IPv6 its site (/48), as keyed hashes.
struct ClientKey {
    std::uint64_t network = 0;
    std::uint64_t site = 0;
};

class ClientKeys {
  public:
    explicit ClientKeys(Random& random);
    [[nodiscard]] ClientKey of(const IpAddress& address) const;

  private:
    std::array<std::uint64_t, 2> key_{};
};

// Thread-safe, without locks.
class Shares {
  public:
    enum class Rule {
        fair,      // a network holds at most twice, and a site four times, what is left
        unlimited  // as long as there is any
    };
    Shares(std::size_t capacity, Rule rule);

    // False if the capacity or the client's part of it does not allow so much more; nothing was taken then.
    [[nodiscard]] bool take(const ClientKey& client, std::size_t amount);
    void take_anyway(const ClientKey& client, std::size_t amount);
    void give_back(const ClientKey& client, std::size_t amount);
    [[nodiscard]] std::size_t used() const { return used_.load(std::memory_order_relaxed); }

  private:
    static constexpr std::size_t kRows = 4;
    static constexpr std::size_t kCells = 1024;  // of a row
    using Cells = std::array<std::array<std::atomic<std::size_t>, kCells>, kRows>;

    [[nodiscard]] bool allows(const ClientKey& client) const;
    [[nodiscard]] std::size_t held(std::uint64_t key) const;
    void add(std::uint64_t key, std::size_t amount);
    // Each row by other bits of the key.
    [[nodiscard]] std::atomic<std::size_t>& cell(std::size_t row, std::uint64_t key) const {
        return cells_->at(row).at((key >> (row * 16)) % kCells);
    }

    const std::size_t capacity_;
    const Rule rule_;
    std::atomic<std::size_t> used_{0};
    std::unique_ptr<Cells> cells_;
};

}  // namespace dtr::http
