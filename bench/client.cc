// Requests go out as one write where they are small; answers are parsed just as far as a registry needs: status,
// Content-Length or chunked coding, Location, WWW-Authenticate, Connection.
#include "bench/client.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/encoding.h"

namespace dtr::bench {
namespace {

constexpr int kTimeoutSeconds = 120;

bool same(std::string_view a, std::string_view b) {
    return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

std::string_view trim(std::string_view text) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\r')) text.remove_suffix(1);
    return text;
}

Result<std::uint64_t> number(std::string_view text, int base) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc() || end == text.data())
        return fail(ErrorCode::invalid, fmt::format("not a number: {}", text));
    return value;
}

// key="value" in a challenge.
std::string field(std::string_view challenge, std::string_view key) {
    const std::string head = fmt::format("{}=\"", key);
    const auto at = challenge.find(head);
    if (at == std::string_view::npos) return {};
    const auto begin = at + head.size();
    return std::string(challenge.substr(begin, challenge.find('"', begin) - begin));
}

// The string value of a member, good enough for a token answer.
std::string json_string(std::string_view json, std::string_view key) {
    const auto at = json.find(fmt::format("\"{}\"", key));
    if (at == std::string_view::npos) return {};
    const auto begin = json.find('"', json.find(':', at)) + 1;
    return std::string(json.substr(begin, json.find('"', begin) - begin));
}

}  // namespace

Result<Head> parse_head(std::string_view text) {
    Head head;
    if (text.size() < 12 || !text.starts_with("HTTP/1.")) return fail(ErrorCode::invalid, "no HTTP answer");
    DTR_ASSIGN(const std::uint64_t status, number(text.substr(9, 3), 10));
    head.status = static_cast<int>(status);
    std::size_t at = text.find('\n') + 1;
    while (at < text.size()) {
        const std::size_t end = text.find('\n', at);
        const std::string_view line = text.substr(at, end - at);
        at = end == std::string_view::npos ? text.size() : end + 1;
        const std::size_t colon = line.find(':');
        if (colon == std::string_view::npos) continue;
        const std::string_view name = line.substr(0, colon);
        const std::string_view value = trim(line.substr(colon + 1));
        if (same(name, "content-length")) {
            DTR_ASSIGN(head.content_length, number(value, 10));
        } else if (same(name, "transfer-encoding")) {
            head.chunked = same(value, "chunked");
        } else if (same(name, "connection")) {
            head.close = same(value, "close");
        } else if (same(name, "location")) {
            head.location = value;
        } else if (same(name, "www-authenticate") && head.www_authenticate.empty()) {
            head.www_authenticate = value;
        }
    }
    return head;
}

Result<UniqueFd> dial(const Target& target) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int error = ::getaddrinfo(target.host.c_str(), target.port.c_str(), &hints, &found); error != 0)
        return fail(ErrorCode::unavailable, fmt::format("{}: {}", target.host, ::gai_strerror(error)));
    UniqueFd fd;
    int last = 0;
    for (const addrinfo* a = found; a != nullptr && !fd.valid(); a = a->ai_next) {
        UniqueFd candidate(::socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (candidate.valid() && ::connect(candidate.get(), a->ai_addr, a->ai_addrlen) == 0)
            fd = std::move(candidate);
        else
            last = errno;
    }
    ::freeaddrinfo(found);
    if (!fd.valid()) return fail(system_error(last, fmt::format("connect to {}:{}", target.host, target.port)));
    const int one = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    const timeval limit{kTimeoutSeconds, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return fd;
}

Status Connection::open() {
    DTR_ASSIGN(fd_, dial(target_));
    end_ = 0;
    begin_ = 0;
    return {};
}

Status Connection::send(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n < 0) return fail(system_error(errno, "send"));
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
}

Result<bool> Connection::fill() {
    if (begin_ > 0) {
        std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
    }
    if (end_ == kReadBytes) return fail(ErrorCode::invalid, "the head of an answer is too long");
    const ssize_t n = ::recv(fd_.get(), buffer_.get() + end_, kReadBytes - end_, 0);
    if (n < 0) return fail(system_error(errno, "receive"));
    end_ += static_cast<std::size_t>(n);
    return n > 0;
}

std::string Connection::head_of(std::string_view method, std::string_view path, std::uint64_t length,
                                std::string_view content_type) const {
    std::string head = fmt::format("{} {} HTTP/1.1\r\nHost: {}:{}\r\n", method, path, target_.host, target_.port);
    if (!target_.authorization.empty()) head += fmt::format("Authorization: {}\r\n", target_.authorization);
    if (method == "GET" || method == "HEAD")
        head += "Accept: application/vnd.oci.image.manifest.v1+json\r\n";
    else
        head += fmt::format("Content-Length: {}\r\n", length);
    if (!content_type.empty()) head += fmt::format("Content-Type: {}\r\n", content_type);
    return head + "\r\n";
}

Status Connection::read_exactly(std::uint64_t length, const Consume& take) {
    while (length > 0) {
        if (begin_ == end_) {
            DTR_ASSIGN(const bool more, fill());
            if (!more) return fail(ErrorCode::unavailable, "the server closed the connection inside a body");
        }
        const std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(length, end_ - begin_));
        take(received().substr(0, n));
        begin_ += n;
        length -= n;
    }
    return {};
}

Result<std::string> Connection::read_line() {
    for (;;) {
        const std::size_t end = received().find('\n');
        if (end != std::string::npos) {
            std::string line(trim(received().substr(0, end)));
            begin_ += end + 1;
            return line;
        }
        DTR_ASSIGN(const bool more, fill());
        if (!more) return fail(ErrorCode::unavailable, "the server closed the connection inside a body");
    }
}

Status Connection::read_body(const Head& head, const Consume& take) {
    if (!head.chunked) return read_exactly(head.content_length, take);
    for (;;) {
        DTR_ASSIGN(const std::string size, read_line());
        DTR_ASSIGN(const std::uint64_t length, number(size, 16));
        DTR_TRY(read_exactly(length, take));
        DTR_TRY(read_line());
        if (length == 0) return {};
    }
}

Result<Answer> Connection::read_answer(bool no_body, const Consume& consume) {
    std::size_t end = std::string::npos;
    while ((end = received().find("\r\n\r\n")) == std::string::npos) {
        DTR_ASSIGN(const bool more, fill());
        if (!more) return fail(ErrorCode::unavailable, "the server closed the connection");
    }
    Answer answer;
    DTR_ASSIGN(answer.head, parse_head(received().substr(0, end + 4)));
    begin_ += end + 4;
    if (!no_body && answer.head.status != 204) {
        const Consume keep = [&answer](std::string_view piece) { answer.body.append(piece); };
        DTR_TRY(read_body(answer.head, consume && answer.head.status == 200 ? consume : keep));
    }
    if (answer.head.close) fd_.reset();
    return answer;
}

Result<Answer> Connection::request(std::string_view method, std::string_view path, std::string_view body,
                                   std::string_view content_type, const Consume& consume) {
    const std::string head = head_of(method, path, body.size(), content_type);
    for (int attempt = 0;; ++attempt) {
        const bool fresh = !fd_.valid();
        if (fresh) DTR_TRY(open());
        Status sent = body.size() < kReadBytes ? send(head + std::string(body)) : send(head);
        if (sent && body.size() >= kReadBytes) sent = send(body);
        // A server may answer, and close, before it has taken the whole body.
        auto answer = read_answer(method == "HEAD", consume);
        if (answer) return answer;
        fd_.reset();
        if (fresh || attempt > 0) return sent ? std::move(answer) : fail(sent.error());
    }
}

Result<Answer> Connection::upload(std::string_view method, std::string_view path, std::uint64_t length,
                                  const Produce& produce) {
    fd_.reset();
    DTR_TRY(open());
    DTR_TRY(send(head_of(method, path, length, "application/octet-stream")));
    for (std::uint64_t sent = 0; sent < length;) {
        const std::string_view piece = produce();
        DTR_TRY(send(piece));
        sent += piece.size();
    }
    return read_answer(false, {});
}

Result<Target> log_in(const std::string& url, const std::string& user, const std::string& password,
                      const std::string& repository) {
    constexpr std::string_view kScheme = "http://";
    const std::size_t colon = url.rfind(':');
    if (!url.starts_with(kScheme) || colon <= kScheme.size())
        return fail(ErrorCode::invalid, fmt::format("{}: give http://HOST:PORT", url));
    Target target{url.substr(kScheme.size(), colon - kScheme.size()), url.substr(colon + 1), {}};
    while (!target.port.empty() && target.port.back() == '/') target.port.pop_back();

    Connection connection(target);
    DTR_ASSIGN(const Answer first, connection.request("GET", "/v2/"));
    if (first.head.status == 200) return target;
    const std::string& challenge = first.head.www_authenticate;
    const std::string basic = "Basic " + base64_encode(user + ":" + password);
    if (first.head.status != 401 || challenge.empty())
        return fail(ErrorCode::unsupported,
                    fmt::format("{}/v2/ answers {} without a challenge", url, first.head.status));
    if (same(std::string_view(challenge).substr(0, 5), "Basic")) {
        target.authorization = basic;
        return target;
    }
    std::string path = field(challenge, "realm");
    const std::size_t slash = path.find('/', path.find("//") == std::string::npos ? 0 : path.find("//") + 2);
    path = slash == std::string::npos ? "/" : path.substr(slash);
    path += fmt::format("?service={}&scope=repository:{}:pull,push", percent_encode(field(challenge, "service")),
                        repository);
    Target asking = target;
    asking.authorization = basic;
    Connection issuer(asking);
    DTR_ASSIGN(const Answer token, issuer.request("GET", path));
    if (token.head.status != 200)
        return fail(ErrorCode::unauthenticated, fmt::format("{} answers {}: {}", path, token.head.status, token.body));
    target.authorization = "Bearer " + json_string(token.body, "token");
    return target;
}

}  // namespace dtr::bench
