#include "http/request_id.h"

#include <algorithm>
#include <cstring>

#include "http/wire.h"

namespace dtr::http {
namespace {

constexpr std::size_t kForwardedMax = 128;

bool is_harmless(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view("._~+/=:@-").find(c) != std::string_view::npos;
}

}  // namespace

RequestIds::RequestIds(Random& random) {
    std::memcpy(&state_, random.bytes(sizeof state_).data(), sizeof state_);
}

// splitmix64, which goes through all numbers before one comes again.
void RequestIds::next(std::string& out) {
    state_ += 0x9e3779b97f4a7c15U;
    std::uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
    mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
    mixed ^= mixed >> 31U;
    out.resize(16);
    for (char& digit : out) {
        digit = "0123456789abcdef"[mixed >> 60U];
        mixed <<= 4U;
    }
}

std::string_view forwarded_id(const Headers& headers) {
    std::string_view found;
    for (const auto& [name, value] : headers) {
        if (!equal_no_case(name, "X-Request-Id")) continue;
        if (!found.empty()) return {};
        found = value;
    }
    if (found.size() > kForwardedMax || !std::all_of(found.begin(), found.end(), is_harmless)) return {};
    return found;
}

}  // namespace dtr::http
