// PROXY headers: read as the session does, byte by byte as it is told, a header is the same as at once, and never read past.
#include "http/proxy_protocol.h"

#include "fuzz/fuzz.h"

namespace dtr::fuzz {

void one(std::string_view input) {
    using State = http::ProxyHeader::State;
    std::size_t at = 0;
    http::ProxyHeader header = http::parse_proxy_header({});
    while (header.state == State::more) {
        FUZZ_CHECK(header.missing > 0 && at + header.missing <= http::kProxyHeaderBytesMax);
        if (header.missing > input.size() - at) return;
        at += header.missing;
        header = http::parse_proxy_header(input.substr(0, at));
    }
    if (header.state == State::bad) return;
    FUZZ_CHECK(http::parse_proxy_header(input.substr(0, at)).source == header.source);
    for (std::size_t cut = 0; cut < at; cut += 1 + at / 64)
        FUZZ_CHECK(http::parse_proxy_header(input.substr(0, cut)).state == State::more);
    if (at < input.size()) FUZZ_CHECK(http::parse_proxy_header(input.substr(0, at + 1)).state == State::bad);
    if (header.source) FUZZ_CHECK(IpAddress::parse(header.source->text()) == header.source);
}

}  // namespace dtr::fuzz
