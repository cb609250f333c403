#include "http/message.h"

#include <algorithm>

#include "base/encoding.h"
#include "http/server.h"
#include "http/wire.h"

namespace dtr::http {
namespace {

// application/x-www-form-urlencoded: '+' is a space, then percent escapes.
Result<std::string> decode_query(std::string_view text) {
    std::string spaced(text);
    for (char& c : spaced)
        if (c == '+') c = ' ';
    return percent_decode(spaced);
}

// Calls use(name, raw value) for each parameter until it says false.
template <class Use>
void each_parameter(std::string_view query, Use use) {
    while (!query.empty()) {
        const std::size_t end = query.find('&');
        const std::string_view pair = query.substr(0, end);
        query.remove_prefix(end == std::string_view::npos ? query.size() : end + 1);
        if (pair.empty()) continue;
        const std::size_t equals = pair.find('=');
        const auto value = equals == std::string_view::npos ? std::string_view{} : pair.substr(equals + 1);
        const auto name = decode_query(pair.substr(0, equals));
        if (name && !use(*name, value)) return;
    }
}

class CollectingSink final : public BodySink {
  public:
    CollectingSink(std::size_t limit, std::function<Response(std::string)> done, std::function<Response()> too_large,
                   std::function<Pool(const std::string&)> done_on)
        : limit_(limit), done_(std::move(done)), too_large_(std::move(too_large)), done_on_(std::move(done_on)) {}

    bool write(std::string_view chunk) override {
        if (chunk.size() > limit_ - body_.size()) {
            over_ = true;
            std::string().swap(body_);
            return false;
        }
        if (body_.size() + chunk.size() > body_.capacity())
            body_.reserve(std::min(limit_, std::max(2 * body_.size(), body_.size() + chunk.size())));
        body_.append(chunk);
        return true;
    }
    Response finish() override { return over_ ? too_large_() : done_(std::move(body_)); }
    [[nodiscard]] std::size_t held() const override { return body_.capacity(); }
    [[nodiscard]] std::optional<Pool> finish_on() const override {
        if (over_ || !done_on_) return std::nullopt;
        return done_on_(body_);
    }

  private:
    std::size_t limit_;
    std::function<Response(std::string)> done_;
    std::function<Response()> too_large_;
    std::function<Pool(const std::string&)> done_on_;
    std::string body_;
    bool over_ = false;
};

}  // namespace

std::string_view Request::header(std::string_view name) const {
    for (const auto& [key, value] : headers)
        if (equal_no_case(key, name)) return value;
    return {};
}

std::vector<std::string> Request::query_values(std::string_view name) const {
    std::vector<std::string> values;
    each_parameter(query, [&](const std::string& key, std::string_view raw) {
        if (key == name)
            if (auto value = decode_query(raw)) values.push_back(std::move(*value));
        return true;
    });
    return values;
}

std::optional<std::string> Request::query_value(std::string_view name) const {
    std::optional<std::string> found;
    each_parameter(query, [&](const std::string& key, std::string_view raw) {
        if (key == name)
            if (auto value = decode_query(raw)) found = std::move(*value);
        return !found;
    });
    return found;
}

std::unique_ptr<BodySink> collect_body(std::size_t limit, std::function<Response(std::string)> done,
                                       std::function<Response()> too_large,
                                       std::function<Pool(const std::string&)> done_on) {
    return std::make_unique<CollectingSink>(limit, std::move(done), std::move(too_large), std::move(done_on));
}

Result<Address> parse_address(std::string_view text) {
    const auto bad = [&](std::string_view why) {
        return fail(ErrorCode::invalid, fmt::format("cannot read the address \"{}\": {}", text, why),
                    "write host:port, [IPv6]:port or :port");
    };
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return bad("it has no port");
    std::string_view host = text.substr(0, colon);
    const std::string_view digits = text.substr(colon + 1);
    if (!host.empty() && host.front() == '[') {
        if (host.size() < 3 || host.back() != ']') return bad("the bracket is not closed");
        host = host.substr(1, host.size() - 2);
    } else if (host.find(':') != std::string_view::npos) {
        return bad("an IPv6 address needs brackets");
    }
    for (const char c : host)
        if (static_cast<unsigned char>(c) <= ' ' || c == '[' || c == ']' || c == '/')
            return bad("the host has a character that is not allowed in a name or address");
    if (digits.empty() || digits.size() > 5) return bad("the port is not a number up to 65535");
    unsigned port = 0;
    for (const char c : digits) {
        if (c < '0' || c > '9') return bad("the port is not a number up to 65535");
        port = port * 10 + static_cast<unsigned>(c - '0');
    }
    if (port > 65535) return bad("the port is not a number up to 65535");
    return Address{std::string(host), static_cast<std::uint16_t>(port)};
}

}  // namespace dtr::http
