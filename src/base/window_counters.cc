#include "base/window_counters.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/check.h"

namespace dtr {

WindowCounters::Key WindowCounters::key_of(std::string_view hash) {
    Key key;
    DTR_CHECK(hash.size() >= sizeof key.cells);
    std::memcpy(key.cells.data(), hash.data(), sizeof key.cells);
    return key;
}

WindowCounters::WindowCounters(std::size_t width, Micros window)
    : width_(std::max<std::size_t>(width, 1)),
      slot_length_(std::max<Micros>(window / kSlots, 1)),
      cells_(static_cast<Cell*>(std::calloc(kRows * width_, sizeof(Cell)))) {
    DTR_CHECK(cells_ != nullptr);
}

WindowCounters::Counts WindowCounters::counts_at(const Cell& cell, std::int64_t slot) {
    const auto now = static_cast<std::uint32_t>(slot);
    const std::uint32_t passed = std::min<std::uint32_t>(now - cell.last_slot, kSlots);
    Counts counts = cell.counts;
    for (std::uint32_t i = 0; i < passed; ++i) counts[(now - i) % kSlots] = 0;
    return counts;
}

WindowCounters::Counts& WindowCounters::turned_to(Cell& cell, std::int64_t slot) {
    cell.counts = counts_at(cell, slot);
    cell.last_slot = static_cast<std::uint32_t>(slot);
    return cell.counts;
}

std::int64_t WindowCounters::add(const Key& key, Micros now) {
    const std::int64_t slot = now / slot_length_;
    for (std::size_t row = 0; row < kRows; ++row) {
        std::uint8_t& count = turned_to(cell(key, row), slot)[static_cast<std::size_t>(slot % kSlots)];
        if (count < kCountMax) ++count;
    }
    return slot;
}

void WindowCounters::take_back(const Key& key, std::int64_t counted_at, Micros now) {
    const std::int64_t slot = now / slot_length_;
    if (counted_at + kSlots <= slot) return;
    for (std::size_t row = 0; row < kRows; ++row) {
        std::uint8_t& count = turned_to(cell(key, row), slot)[static_cast<std::size_t>(counted_at % kSlots)];
        if (count > 0) --count;
    }
}

int WindowCounters::count(const Key& key, Micros now) const {
    int least = std::numeric_limits<int>::max();
    for (std::size_t row = 0; row < kRows; ++row) {
        const Counts counts = counts_at(cell(key, row), now / slot_length_);
        least = std::min(least, std::accumulate(counts.begin(), counts.end(), 0));
    }
    return least;
}

Micros WindowCounters::until_below(const Key& key, int limit, Micros now) const {
    const std::int64_t slot = now / slot_length_;
    std::int64_t soonest = kSlots;  // in slots from the beginning of this one
    for (std::size_t row = 0; row < kRows; ++row) {
        const Counts counts = counts_at(cell(key, row), slot);
        int left = std::accumulate(counts.begin(), counts.end(), 0);
        std::int64_t wait = 0;
        // The oldest goes first, at the beginning of the next slot.
        while (left >= limit && wait < kSlots) left -= counts[static_cast<std::size_t>((slot + ++wait) % kSlots)];
        soonest = std::min(soonest, wait);
    }
    return soonest == 0 ? 0 : (slot + soonest) * slot_length_ - now;
}

}  // namespace dtr
