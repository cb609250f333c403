// Against a peer of a few lines that answers what it was told to, whatever it is asked.
#include "sys/http_client.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "sys/fd.h"

namespace dtr {
namespace {

class ScriptedPeer {
  public:
    // Takes one connection, reads until a header's end (and `body_bytes` more), sends `answer`, closes.
    explicit ScriptedPeer(std::string answer, std::size_t body_bytes = 0)
        : answer_(std::move(answer)), body_bytes_(body_bytes) {
        listener_.reset(::socket(AF_INET, SOCK_STREAM, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
            ::listen(listener_.get(), 4) != 0 ||
            ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
            ADD_FAILURE() << "cannot listen on loopback";
        port_ = ntohs(address.sin_port);
        thread_ = std::jthread([this] { serve(); });
    }
    ~ScriptedPeer() {
        ::shutdown(listener_.get(), SHUT_RDWR);
        thread_.join();
    }
    ScriptedPeer(const ScriptedPeer&) = delete;
    ScriptedPeer& operator=(const ScriptedPeer&) = delete;

    [[nodiscard]] std::string url(const std::string& scheme = "http") const {
        return fmt::format("{}://127.0.0.1:{}/path", scheme, port_);
    }
    // What was received, after the call.
    std::string request() {
        ::shutdown(listener_.get(), SHUT_RDWR);
        if (thread_.joinable()) thread_.join();
        thread_ = std::jthread([] {});
        return request_;
    }

  private:
    void serve() {
        const UniqueFd connection(::accept(listener_.get(), nullptr, nullptr));
        if (!connection.valid()) return;
        char buffer[4096];
        std::size_t end = std::string::npos;
        while (end == std::string::npos || request_.size() < end + 4 + body_bytes_) {
            const ssize_t n = ::recv(connection.get(), buffer, sizeof buffer, 0);
            if (n <= 0) return;
            request_.append(buffer, static_cast<std::size_t>(n));
            end = request_.find("\r\n\r\n");
            if (request_[0] == '\x16') break;  // a TLS client's greeting
        }
        for (std::size_t at = 0; at < answer_.size();) {
            const ssize_t n = ::send(connection.get(), answer_.data() + at, answer_.size() - at, MSG_NOSIGNAL);
            if (n <= 0) return;
            at += static_cast<std::size_t>(n);
        }
    }

    std::string answer_;
    std::size_t body_bytes_;
    UniqueFd listener_;
    std::uint16_t port_ = 0;
    std::string request_;
    std::jthread thread_;
};

HttpCall get(const std::string& url) {
    HttpCall call;
    call.url = url;
    call.connect_timeout_ms = 5000;
    call.idle_timeout_ms = 5000;
    return call;
}

TEST(HttpClient, AnswersWithStatusHeadersAndBody) {
    ScriptedPeer peer("HTTP/1.1 404 Not Found\r\nX-Some-HEADER:  spaced \r\nContent-Length: 4\r\n\r\nbody");
    const auto answer = curl_http_client().call(get(peer.url()));
    ASSERT_TRUE(answer) << answer.error().text();
    EXPECT_EQ(answer->status, 404);
    EXPECT_EQ(answer->body, "body");
    EXPECT_EQ(answer->header("x-some-header"), "spaced");
    EXPECT_EQ(answer->header("none"), "");
    EXPECT_THAT(peer.request(), testing::StartsWith("GET /path HTTP/1.1\r\n"));
}

TEST(HttpClient, SendsWhatItIsGiven) {
    ScriptedPeer peer("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", 5);
    HttpCall call = get(peer.url());
    call.method = "POST";
    call.body = std::string("a\0b c", 5);
    call.headers = {{"Content-Type", "application/x-test"}};
    call.basic_username = "admin";
    call.basic_password = Secret("pass:word");
    EXPECT_EQ(curl_http_client().call(call)->status, 201);
    const std::string request = peer.request();
    EXPECT_THAT(request, testing::StartsWith("POST /path HTTP/1.1\r\n"));
    EXPECT_THAT(request, testing::HasSubstr("Content-Type: application/x-test\r\n"));
    EXPECT_THAT(request, testing::HasSubstr("Authorization: Basic YWRtaW46cGFzczp3b3Jk\r\n"));
    EXPECT_TRUE(request.ends_with(call.body));
}

TEST(HttpClient, AWholeCallMayBeLimitedInTime) {
    ScriptedPeer peer("", 1000);  // waits for a body that does not come
    HttpCall call = get(peer.url());
    call.timeout_ms = 50;
    const auto answer = curl_http_client().call(call);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ErrorCode::unavailable);
}

TEST(HttpClient, ACallThatHangsEndsWhenItIsToldTo) {
    ScriptedPeer peer("", 1000);  // waits for a body that does not come
    HttpCall call = get(peer.url());
    call.idle_timeout_ms = 3'600'000;
    std::stop_source source;
    call.stop = source.get_token();
    std::jthread other([&] { source.request_stop(); });
    EXPECT_EQ(curl_http_client().call(call).error().code, ErrorCode::cancelled);
}

TEST(HttpClient, StreamsGoodBodiesAndCollectsOthers) {
    for (const int status : {200, 500}) {
        ScriptedPeer peer(fmt::format("HTTP/1.1 {} X\r\nContent-Length: 6\r\n\r\nstream", status));
        HttpCall call = get(peer.url());
        std::string streamed;
        std::string seen;
        call.on_header = [&](std::string_view name, std::string_view value) {
            seen += fmt::format("{}={};", name, value);
        };
        call.on_body = [&](std::string_view bytes) {
            streamed += bytes;
            return true;
        };
        const auto answer = curl_http_client().call(call);
        ASSERT_TRUE(answer);
        EXPECT_EQ(streamed, status == 200 ? "stream" : "");
        EXPECT_EQ(answer->body, status == 200 ? "" : "stream");
        EXPECT_EQ(seen, "content-length=6;");
    }
}

TEST(HttpClient, HeadHasNoBody) {
    ScriptedPeer peer("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    HttpCall call = get(peer.url());
    call.method = "HEAD";
    const auto answer = curl_http_client().call(call);
    ASSERT_TRUE(answer) << answer.error().text();
    EXPECT_EQ(answer->header("content-length"), "1000");
}

TEST(HttpClient, ErrorsAreTold) {
    std::string closed_url;
    {
        const ScriptedPeer gone("");
        closed_url = gone.url();
    }
    const auto closed = curl_http_client().call(get(closed_url));
    ASSERT_FALSE(closed);
    EXPECT_EQ(closed.error().code, ErrorCode::unavailable);
    EXPECT_TRUE(closed.error().retryable());
    EXPECT_THAT(closed.error().message, testing::HasSubstr(closed_url));

    EXPECT_EQ(curl_http_client().call(get("http://no-such-host.invalid/")).error().code, ErrorCode::unavailable);
    EXPECT_EQ(curl_http_client().call(get("file:///etc/passwd")).error().code, ErrorCode::invalid);
    EXPECT_EQ(curl_http_client().call(get("gopher://127.0.0.1/")).error().code, ErrorCode::invalid);
    EXPECT_EQ(curl_http_client().call(get("http://")).error().code, ErrorCode::invalid);
    EXPECT_EQ(curl_http_client().call(get("http://host:99999999/")).error().code, ErrorCode::invalid);
}

TEST(HttpClient, ABrokenAnswerIsUnavailable) {
    for (const char* answer : {"", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
                               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"}) {
        const ScriptedPeer peer(answer);
        const auto broken = curl_http_client().call(get(peer.url()));
        ASSERT_FALSE(broken) << answer;
        EXPECT_EQ(broken.error().code, ErrorCode::unavailable) << answer;
    }
    const ScriptedPeer plain("this is not TLS");
    EXPECT_EQ(curl_http_client().call(get(plain.url("https"))).error().code, ErrorCode::unavailable);
}

TEST(HttpClient, BoundsAndRefusals) {
    {
        const ScriptedPeer peer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + std::string(100, 'x'));
        HttpCall call = get(peer.url());
        call.body_limit = 99;
        EXPECT_EQ(curl_http_client().call(call).error().code, ErrorCode::exhausted);
    }
    const ScriptedPeer peer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + std::string(100, 'x'));
    HttpCall call = get(peer.url());
    call.on_body = [](std::string_view) { return false; };
    EXPECT_EQ(curl_http_client().call(call).error().code, ErrorCode::cancelled);
}

TEST(HttpClient, RedirectsAreNotFollowed) {
    ScriptedPeer peer("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/elsewhere\r\nContent-Length: 0\r\n\r\n");
    const auto answer = curl_http_client().call(get(peer.url()));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 302);
}

}  // namespace
}  // namespace dtr
