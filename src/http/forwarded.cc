#include "http/forwarded.h"

#include "http/wire.h"

namespace dtr::http {
namespace {

std::string_view trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// "192.0.2.1", "2001:db8::1"; some proxies add a port: "192.0.2.1:80", "[2001:db8::1]:80".
std::optional<IpAddress> read_address(std::string_view text) {
    if (const auto bare = IpAddress::parse(text)) return bare;
    if (text.starts_with('[')) return IpAddress::parse(text.substr(1, text.find(']') - 1));
    return IpAddress::parse(text.substr(0, text.find(':')));
}

}  // namespace

std::optional<IpAddress> forwarded_client(const IpRanges& trusted, const Headers& headers) {
    std::string lines;
    for (const auto& [name, value] : headers)
        if (equal_no_case(name, "X-Forwarded-For")) lines += (lines.empty() ? "" : ",") + value;
    std::string_view list = lines;
    std::optional<IpAddress> furthest;
    while (!list.empty()) {
        const std::size_t comma = list.rfind(',');
        const std::string_view last = trimmed(comma == std::string_view::npos ? list : list.substr(comma + 1));
        list = comma == std::string_view::npos ? std::string_view() : list.substr(0, comma);
        if (last.empty()) continue;
        const auto address = read_address(last);
        if (!address) return furthest;
        furthest = address;
        if (!trusted.contains(*address)) break;
    }
    return furthest;
}

}  // namespace dtr::http
