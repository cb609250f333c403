// A string that must not be seen: it has no stream or format operator, compares in constant time and is wiped when it
// dies. expose() is the one way out; grep for it to see where secrets go.
#pragma once

#include <string>
#include <string_view>

namespace dtr {

class Secret {
  public:
    Secret() = default;
    explicit Secret(std::string value) : value_(std::move(value)) {}
    Secret(const Secret&) = default;
    Secret(Secret&& other) noexcept : value_(other.value_) { other.wipe(); }
    Secret& operator=(const Secret& other);
    Secret& operator=(Secret&& other) noexcept;
    ~Secret() { wipe(); }

    [[nodiscard]] std::string_view expose() const { return value_; }
    [[nodiscard]] bool empty() const { return value_.empty(); }
    friend bool operator==(const Secret& a, const Secret& b);

  private:
    void wipe() noexcept;
    std::string value_;
};

bool equal_constant_time(std::string_view a, std::string_view b);
void wipe(std::string& bytes) noexcept;  // overwrites, then empties

}  // namespace dtr
