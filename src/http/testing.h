// For this folder's tests: a handler made of functions, a server on an ephemeral port, and a client that sees every byte.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "http/server.h"
#include "http/tls.h"
#include "http/wire.h"
#include "sys/fd.h"

namespace dtr::http::testing {

inline constexpr Micros kMillisecond = kSecond / 1000;

inline Response text(std::string body, int status = 200) {
    Response r;
    r.status = status;
    r.body = std::move(body);
    return r;
}

inline bool eventually(const std::function<bool()>& condition, int ms = 5000) {
    for (int i = 0; i < ms; ++i) {
        if (condition()) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return condition();
}

// A body of `total` bytes whose byte i is a function of i.
inline char pattern(std::uint64_t i) {
    return static_cast<char>((i * 31 + i / 4093) & 0xff);
}

class PatternSource : public BodySource {
  public:
    explicit PatternSource(std::uint64_t total) : total_(total) {}
    ~PatternSource() override {
        if (destroyed != nullptr) ++*destroyed;
    }
    Result<std::size_t> read(char* out, std::size_t capacity) override {
        if (at_ == fail_at) return fail(ErrorCode::corrupt, "the disk lied");
        std::uint64_t n = std::min<std::uint64_t>(capacity, total_ - at_);
        if (fail_at > at_) n = std::min(n, fail_at - at_);
        for (std::uint64_t i = 0; i < n; ++i) out[i] = pattern(at_ + i);
        at_ += n;
        return static_cast<std::size_t>(n);
    }
    std::uint64_t fail_at = UINT64_MAX;
    std::atomic<int>* destroyed = nullptr;

  private:
    std::uint64_t total_;
    std::uint64_t at_ = 0;
};

struct SinkRecord {
    std::atomic<std::uint64_t> bytes{0};
    std::atomic<bool> good{true};  // every byte as pattern() says
    std::atomic<int> finished{0};
    std::atomic<int> destroyed{0};
};

class PatternSink : public BodySink {
  public:
    explicit PatternSink(SinkRecord& record) : record_(record) {}
    ~PatternSink() override { ++record_.destroyed; }
    bool write(std::string_view chunk) override {
        for (const char c : chunk) {
            if (c != pattern(at_++)) record_.good = false;
        }
        record_.bytes += chunk.size();
        return at_ <= limit;
    }
    Response finish() override {
        ++record_.finished;
        return at_ <= limit ? text(std::to_string(at_), 201) : text("too much", 413);
    }
    std::uint64_t limit = UINT64_MAX;

  private:
    SinkRecord& record_;
    std::uint64_t at_ = 0;
};

class TestHandler : public Handler {
  public:
    std::function<std::optional<Response>(const Request&)> now;
    std::function<Reply(Request)> work = [](const Request& r) { return text(r.method + " " + r.path); };
    std::function<Plan(const Request&)> planned;
    std::function<std::optional<Response>(Request&)> admitted;
    std::function<Response(int, std::string_view)> refuse;
    std::atomic<int> answers{0};
    std::atomic<int> last_status{0};
    std::atomic<std::uint64_t> last_bytes{0};
    // What answered() was told, of each.
    struct Told {
        std::string id;
        std::string method;
        std::string path;
        std::string user;
        int status = 0;
        std::uint64_t received = 0;
    };
    Mutex told_mutex;
    std::vector<Told> told GUARDED_BY(told_mutex);

    std::optional<Response> try_now(const Request& r) override { return now ? now(r) : std::nullopt; }
    Plan plan(const Request& r) override { return planned ? planned(r) : Plan{}; }
    std::optional<Response> admit(Request& r) override { return admitted ? admitted(r) : std::nullopt; }
    Reply handle(Request r) override { return work(std::move(r)); }
    Response refusal(const Request&, int status, std::string_view detail) override {
        return refuse ? refuse(status, detail) : text("refused: " + std::string(detail), status);
    }
    void answered(const Request& request, const Answered& done) override {
        last_status = done.status;
        last_bytes = done.sent;
        const MutexLock lock(told_mutex);
        told.push_back({request.id, request.method, request.path, std::string(done.user), done.status, done.received});
        ++answers;
    }
};

inline ServerOptions plain_options() {
    ServerOptions o;
    o.plain_addresses = {{"127.0.0.1", 0}};
    o.drain_timeout = 2 * kSecond;
    o.share_fairly = false;  // all tests have one address
    return o;
}

inline std::uint16_t port_of(const Server& server, std::size_t which = 0) {
    return parse_address(server.addresses().at(which))->port;
}

struct Answer {
    int status = 0;  // 0: none came
    Headers headers;
    std::string body;
    bool whole = false;  // the end of the body was told as it must be
    [[nodiscard]] std::string header(std::string_view name) const {
        for (const auto& [key, value] : headers)
            if (equal_no_case(key, name)) return value;
        return "";
    }
};

class Client {
  public:
    explicit Client(std::uint16_t port, int receive_buffer = 0) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
        if (receive_buffer > 0) ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
        const timeval patience{10, 0};
        ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        connected_ = ::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    }
    explicit Client(const Server& server) : Client(port_of(server)) {}

    // Does not own the SSL, whose handshake is done.
    void use_tls(SSL* ssl) { ssl_ = ssl; }
    [[nodiscard]] int fd() const { return fd_.get(); }
    [[nodiscard]] bool connected() const { return connected_; }

    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            const auto n = ssl_ != nullptr ? SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()))
                                           : ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (n <= 0) return false;
            bytes.remove_prefix(static_cast<std::size_t>(n));
        }
        return true;
    }

    // False at the end, on a reset and after ten seconds.
    bool fill() {
        char chunk[65536];
        const auto n =
            ssl_ != nullptr ? SSL_read(ssl_, chunk, sizeof chunk) : ::recv(fd_.get(), chunk, sizeof chunk, 0);
        if (n <= 0) {
            reset_ = n < 0 && errno == ECONNRESET;
            return false;
        }
        got_.append(chunk, static_cast<std::size_t>(n));
        return true;
    }
    [[nodiscard]] bool was_reset() const { return reset_; }

    Answer answer() {
        Answer a;
        if (read_head(a)) read_body(a);
        return a;
    }
    // The answer to a HEAD request has no body.
    Answer answer_to_head() {
        Answer a;
        a.whole = read_head(a);
        return a;
    }

    Answer get(const std::string& path) {
        send("GET " + path + " HTTP/1.1\r\nHost: t\r\n\r\n");
        return answer();
    }

    // True if the connection ends, with nothing more on it.
    bool ended() { return got_.empty() && !fill() && errno != EAGAIN; }
    void close() { fd_.reset(); }
    void finish_sending() { ::shutdown(fd_.get(), SHUT_WR); }

  private:
    bool read_head(Answer& a) {
        std::size_t end = 0;
        while ((end = got_.find("\r\n\r\n")) == std::string::npos)
            if (!fill()) return false;
        parse(got_.substr(0, end + 2), a);
        got_.erase(0, end + 4);
        return true;
    }

    void read_body(Answer& a) {
        if (a.status < 200 || a.status == 204 || a.status == 304) {
            a.whole = true;
        } else if (!a.header("Content-Length").empty()) {
            a.whole = take(std::stoull(a.header("Content-Length")), a.body);
        } else if (a.header("Transfer-Encoding") == "chunked") {
            a.whole = take_chunks(a.body);
        } else {
            while (fill()) {
            }
            a.body = std::exchange(got_, "");
            a.whole = !reset_;
        }
    }

    static void parse(const std::string& head, Answer& a) {
        a.status = std::stoi(head.substr(9, 3));
        std::size_t at = head.find("\r\n") + 2;
        while (at < head.size()) {
            const std::size_t end = head.find("\r\n", at);
            const std::size_t colon = head.find(": ", at);
            a.headers.emplace_back(head.substr(at, colon - at), head.substr(colon + 2, end - colon - 2));
            at = end + 2;
        }
    }
    bool take(std::uint64_t count, std::string& out) {
        while (got_.size() < count)
            if (!fill()) {
                out += std::exchange(got_, "");
                return false;
            }
        out += got_.substr(0, count);
        got_.erase(0, count);
        return true;
    }
    bool take_chunks(std::string& out) {
        while (true) {
            std::size_t end = 0;
            while ((end = got_.find("\r\n")) == std::string::npos)
                if (!fill()) return false;
            const std::uint64_t size = std::stoull(got_.substr(0, end), nullptr, 16);
            got_.erase(0, end + 2);
            std::string crlf;
            if (!take(size, out) || !take(2, crlf)) return false;
            EXPECT_EQ(crlf, "\r\n");
            if (size == 0) return true;
        }
    }

    UniqueFd fd_;
    SSL* ssl_ = nullptr;
    bool connected_ = false;
    bool reset_ = false;
    std::string got_;
};

// A handler and its running server.
struct Service {
    explicit Service(const ServerOptions& options = plain_options(),
                     const std::function<void(TestHandler&)>& set = {}) {
        if (set) set(handler);
        auto opened = Server::open(options, handler);
        if (!opened) ADD_FAILURE() << opened.error().text();
        server = std::move(*opened);
        server->start();
    }
    TestHandler handler;
    std::unique_ptr<Server> server;  // stops before the handler goes
};

inline bool is_pattern(std::string_view body, std::uint64_t from = 0) {
    for (std::size_t i = 0; i < body.size(); ++i)
        if (body[i] != pattern(from + i)) return false;
    return true;
}

inline std::string patterned(std::uint64_t size, std::uint64_t from = 0) {
    std::string s(size, '\0');
    for (std::uint64_t i = 0; i < size; ++i) s[i] = pattern(from + i);
    return s;
}

inline std::uint64_t resident_peak_kib() {
    std::ifstream in("/proc/self/status");
    for (std::string line; std::getline(in, line);)
        if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6));
    return 0;
}

}  // namespace dtr::http::testing
