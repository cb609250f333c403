// How often each key was seen lately, in memory that never grows: a count-min sketch over a sliding window.
//
// A count is never too small, up to kCountMax. It is too large where other keys share all four of its cells, which takes
// many more keys than there are cells. Who makes keys from names that strangers choose hashes them under a secret, so that
// nobody can aim at another's cells. Not thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "base/clock.h"

namespace dtr {

class WindowCounters {
  public:
    static constexpr std::size_t kRows = 4;
    static constexpr int kCountMax = 255;  // within a twelfth of the window
    struct Key {
        std::array<std::uint32_t, kRows> cells{};
    };
    // Of at least 16 bytes that are as good as random, and the same for the same thing.
    static Key key_of(std::string_view hash);

    // `width` cells in each row, 64 bytes of memory for each; the system gives a page when it is first written.
    WindowCounters(std::size_t width, Micros window);

    // Answers when it was counted, for take_back(). Times are monotonic and do not go back.
    std::int64_t add(const Key& key, Micros now);
    // Undoes one add(), if that is not forgotten already.
    void take_back(const Key& key, std::int64_t counted_at, Micros now);
    // What was seen within the window that ends now; the window is shorter by up to a twelfth.
    [[nodiscard]] int count(const Key& key, Micros now) const;
    // How long until the count is below `limit`, if nothing is added.
    [[nodiscard]] Micros until_below(const Key& key, int limit, Micros now) const;

  private:
    static constexpr std::int64_t kSlots = 12;
    using Counts = std::array<std::uint8_t, kSlots>;
    // Of the twelve slots up to `last_slot`, each at its number modulo twelve.
    struct Cell {
        std::uint32_t last_slot;
        Counts counts;
    };
    struct Free {
        void operator()(Cell* cells) const { std::free(cells); }
    };
    Cell& cell(const Key& key, std::size_t row) const { return cells_[row * width_ + key.cells[row] % width_]; }
    // What the cell's counts are by `slot`.
    static Counts counts_at(const Cell& cell, std::int64_t slot);
    // The same, and stored.
    static Counts& turned_to(Cell& cell, std::int64_t slot);

    std::size_t width_;
    Micros slot_length_;
    std::unique_ptr<Cell[], Free> cells_;
};

}  // namespace dtr
