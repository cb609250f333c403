// A map of at most so many entries by string; a new one pushes out the one used longest ago. Not
// thread-safe.
#pragma once

#include <cstddef>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace dtr {

template <class Value>
class LruCache {
  public:
    explicit LruCache(std::size_t capacity) : capacity_(capacity == 0 ? 1 : capacity) {}

    // Null if it is not there; else valid until the next put, erase or clear.
    Value* find(std::string_view key) {
        const auto found = index_.find(key);
        if (found == index_.end()) return nullptr;
        order_.splice(order_.begin(), order_, found->second);
        return &found->second->second;
    }

    Value& put(std::string key, Value value) {
        if (Value* existing = find(key)) {
            *existing = std::move(value);
            return *existing;
        }
        if (index_.size() >= capacity_) {
            index_.erase(order_.back().first);
            order_.pop_back();
        }
        order_.emplace_front(std::move(key), std::move(value));
        index_.emplace(order_.front().first, order_.begin());
        return order_.front().second;
    }

    void erase(std::string_view key) {
        const auto found = index_.find(key);
        if (found == index_.end()) return;
        const auto entry = found->second;
        index_.erase(found);
        order_.erase(entry);
    }

    void clear() {
        index_.clear();
        order_.clear();
    }

    [[nodiscard]] std::size_t size() const { return index_.size(); }

  private:
    using Entries = std::list<std::pair<std::string, Value>>;

    std::size_t capacity_;
    Entries order_;                                                           // most recently used first
    std::unordered_map<std::string_view, typename Entries::iterator> index_;  // keys are in order_
};

}  // namespace dtr
