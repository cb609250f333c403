// What every fuzz entry starts with. An entry asserts properties, not only that nothing crashes: what a parser takes it
// writes again byte for byte, what a writer makes its reader takes, output is bounded by input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

// Stops the fuzzer, which keeps the input.
#define FUZZ_CHECK(condition)                                                                       \
    do {                                                                                            \
        if (!(condition)) {                                                                         \
            std::fprintf(stderr, "property broken: %s at %s:%d\n", #condition, __FILE__, __LINE__); \
            std::abort();                                                                           \
        }                                                                                           \
    } while (false)

namespace dtr::fuzz {

void one(std::string_view input);  // each entry defines it

// The value of what cannot fail here; a failure is a finding.
template <class T>
T must(Result<T> result) {
    if (!result) std::fprintf(stderr, "%s\n", result.error().text().c_str());
    FUZZ_CHECK(result.has_value());
    return *std::move(result);
}
inline void must(const Status& status) {
    if (!status) std::fprintf(stderr, "%s\n", status.error().text().c_str());
    FUZZ_CHECK(status.has_value());
}

// Takes decisions off the front of the input.
class Choices {
  public:
    explicit Choices(std::string_view input) : rest_(input) {}
    [[nodiscard]] bool empty() const { return rest_.empty(); }
    std::uint8_t byte() {
        if (rest_.empty()) return 0;
        const auto value = static_cast<std::uint8_t>(rest_.front());
        rest_.remove_prefix(1);
        return value;
    }
    std::uint32_t number() {
        std::uint32_t value = 0;
        for (int i = 0; i < 4; ++i) value = value << 8U | byte();
        return value;
    }
    std::string_view take(std::size_t count) {
        const std::string_view out = rest_.substr(0, count);
        rest_.remove_prefix(out.size());
        return out;
    }
    [[nodiscard]] std::string_view rest() const { return rest_; }

  private:
    std::string_view rest_;
};

}  // namespace dtr::fuzz
