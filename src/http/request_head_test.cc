#include "http/request_head.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace dtr::http {
namespace {

Result<Head> parse(const std::string& head, Request& request) {
    return parse_head(head, request);
}

TEST(ParseHead, FillsARequest) {
    Request r;
    const auto head = parse(
        "PUT /v2/a%20b/x?digest=sha256:1&y=%41 HTTP/1.1\r\nHost: h\r\nX-A:  v \r\n"
        "Content-Length: 12\r\nExpect: 100-Continue\r\n\r\n",
        r);
    ASSERT_TRUE(head);
    EXPECT_EQ(r.method, "PUT");
    EXPECT_EQ(r.path, "/v2/a b/x");
    EXPECT_EQ(r.query, "digest=sha256:1&y=%41");
    EXPECT_EQ(r.header("x-a"), "v");
    EXPECT_EQ(r.content_length, 12U);
    EXPECT_TRUE(r.has_body);
    EXPECT_TRUE(head->keep_alive);
    EXPECT_TRUE(head->expects_continue);
    EXPECT_FALSE(head->chunked);
}

TEST(ParseHead, ReusesARequestCompletely) {
    Request r;
    ASSERT_TRUE(
        parse("PUT /long/path/that/is/not/small?q=1 HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\n"
              "Content-Length: 5\r\n\r\n",
              r));
    ASSERT_TRUE(parse("GET / HTTP/1.1\r\nHost: other\r\n\r\n", r));
    EXPECT_EQ(r.method, "GET");
    EXPECT_EQ(r.path, "/");
    EXPECT_EQ(r.query, "");
    EXPECT_EQ(r.headers, (Headers{{"Host", "other"}}));
    EXPECT_FALSE(r.content_length);
    EXPECT_FALSE(r.has_body);
}

TEST(ParseHead, KnowsPersistence) {
    Request r;
    EXPECT_FALSE(parse("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", r)->keep_alive);
    EXPECT_FALSE(parse("GET / HTTP/1.0\r\n\r\n", r)->keep_alive);
    EXPECT_TRUE(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", r)->keep_alive);
    EXPECT_TRUE(parse("GET / HTTP/1.0\r\n\r\n", r)->http10);
}

TEST(ParseHead, AcceptsAbsoluteTargets) {
    Request r;
    ASSERT_TRUE(parse("GET http://host:1/p?q HTTP/1.1\r\nHost: h\r\n\r\n", r));
    EXPECT_EQ(r.path, "/p");
    EXPECT_EQ(r.query, "q");
    ASSERT_TRUE(parse("GET https://host HTTP/1.1\r\nHost: h\r\n\r\n", r));
    EXPECT_EQ(r.path, "/");
}

// RFC 9112 section 3.2.2; a proxy before us has routed by the target.
TEST(ParseHead, TheAuthorityOfATargetIsTheHost) {
    Request r;
    ASSERT_TRUE(parse("GET http://real:1/p HTTP/1.1\r\nHost: other\r\n\r\n", r));
    EXPECT_EQ(r.header("Host"), "real:1");
    ASSERT_TRUE(parse("GET http://real?q HTTP/1.0\r\n\r\n", r));
    EXPECT_EQ(r.header("Host"), "real");
    EXPECT_EQ(r.headers.size(), 1U);
}

TEST(ParseHead, WhatAHostMayBe) {
    for (const std::string& host : std::vector<std::string>{"", "registry.example:5000", "[2001:db8::1]:443",
                                                            "127.0.0.1", "a_b", "xn--bcher-kva.example."}) {
        Request r;
        ASSERT_TRUE(parse("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n", r)) << host;
        EXPECT_EQ(r.header("Host"), host);
    }
}

TEST(ParseHead, AStarIsTheTargetOfOptions) {
    Request r;
    ASSERT_TRUE(parse("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", r));
    EXPECT_EQ(r.path, "*");
}

TEST(ParseHead, SaysWhichRefusalItIs) {
    const auto status = [](const std::string& line) {
        Request r;
        const auto head = parse("PUT / HTTP/1.1\r\nHost: h\r\n" + line + "\r\n\r\n", r);
        return head ? 0 : refusal_status(head.error());
    };
    EXPECT_EQ(status("Transfer-Encoding: chunked"), 0);
    EXPECT_EQ(status("Transfer-Encoding: gzip"), 501);
    EXPECT_EQ(status("Transfer-Encoding: gzip, chunked"), 501);
    EXPECT_EQ(status("Transfer-Encoding: identity"), 501);
    EXPECT_EQ(status("Transfer-Encoding: chunked, chunked"), 400);
    EXPECT_EQ(status("Transfer-Encoding: chunked\r\nContent-Length: 1"), 400);
    EXPECT_EQ(status("Content-Length: 1\r\nExpect: miracles"), 417);
    EXPECT_EQ(status("Expect: miracles\r\nA: b\r\n c"), 400);
}

TEST(ParseHead, RefusesWhatIsAmbiguousOrBroken) {
    const std::string host = "Host: h\r\n";
    for (const std::string& bad : std::vector<std::string>{
             "GET /%zz HTTP/1.1\r\n" + host,
             "GET /%4 HTTP/1.1\r\n" + host,
             "GET /a%00b HTTP/1.1\r\n" + host,
             "GET /%ff HTTP/1.1\r\n" + host,
             "GET /%c3%28 HTTP/1.1\r\n" + host,
             "GET a HTTP/1.1\r\n" + host,
             "GET * HTTP/1.1\r\n" + host,
             "GET /a#b HTTP/1.1\r\n" + host,
             "GET / HTTP/1.1\r\n",
             "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n",
             "GET / HTTP/1.1\r\nHost: a/b\r\n",
             "GET / HTTP/1.1\r\nHost: a b\r\n",
             "GET / HTTP/1.1\r\nHost: u@a\r\n",
             "GET / HTTP/1.1\r\nHost: a\",realm=\"b\r\n",
             "GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n",
             "GET http://a\"b/ HTTP/1.1\r\n" + host,
             "OPTIONS *x HTTP/1.1\r\n" + host,
             "GET / HTTP/2.0\r\n" + host,
             "GET / HTTP/0.9\r\n" + host,
             "GET /  HTTP/1.1\r\n" + host,
             "G@T / HTTP/1.1\r\n" + host,
             "GET / HTTP/1.1\r\n" + host + "A b: c\r\n",
             "GET / HTTP/1.1\r\n" + host + "A : c\r\n",
             "GET / HTTP/1.1\r\n" + host + ": c\r\n",
             "GET / HTTP/1.1\r\n" + host + std::string("A: \0b\r\n", 7),
             "PUT / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
             "PUT / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
             "PUT / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked, chunked\r\n",
             "PUT / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
             "PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n",
             "PUT / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nContent-Length: 5\r\n",
             "PUT / HTTP/1.1\r\n" + host + "Content-Length: 5, 5\r\n",
             "PUT / HTTP/1.1\r\n" + host + "Content-Length: -5\r\n",
             "PUT / HTTP/1.1\r\n" + host + "Content-Length: +5\r\n",
             "PUT / HTTP/1.1\r\n" + host + "Content-Length: 0x5\r\n",
             "PUT / HTTP/1.1\r\n" + host + "Content-Length:\r\n",
             "PUT / HTTP/1.1\r\n" + host + "Content-Length: 99999999999999999999\r\n",
             "GET / HTTP/1.1\r\n" + host + "A: b\r\n c\r\n",
             "GET / HTTP/1.1\r\n" + host + "A: b\r\n\tc\r\n",
             "GET http:///p HTTP/1.1\r\n" + host,
             "GET http://u@h/p HTTP/1.1\r\n" + host}) {
        Request r;
        const auto head = parse(bad + "\r\n", r);
        ASSERT_FALSE(head) << bad;
        EXPECT_EQ(head.error().code, ErrorCode::invalid);
        EXPECT_FALSE(head.error().message.empty());
    }
}

TEST(FindHeadEnd, FindsAnEndAcrossPieces) {
    const std::string head = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    for (std::size_t searched = 0; searched < head.size(); ++searched)
        EXPECT_EQ(find_head_end(head + "more", searched), head.size());
    EXPECT_EQ(find_head_end(head.substr(0, head.size() - 1), 0), std::string::npos);
}

TEST(HopelessHead, KnowsGarbageEarly) {
    EXPECT_TRUE(hopeless_head("\x16\x03\x01"));
    EXPECT_TRUE(hopeless_head("GET / HTTP/1.1\nHost"));
    EXPECT_TRUE(hopeless_head(std::string_view("\0", 1)));
    EXPECT_FALSE(hopeless_head("GET / HT"));
    EXPECT_FALSE(hopeless_head("GET / HTTP/1.1\r\nHost"));
    EXPECT_FALSE(hopeless_head(""));
}

// Feeds `in` as the body reader does, in pieces of `step` bytes; the decoded body, or "bad" or "unfinished".
std::string decode(const std::string& in, std::size_t step, std::size_t capacity, std::size_t* rest = nullptr) {
    ChunkDecoder decoder;
    std::string held, out;
    std::vector<char> buffer(capacity);
    for (std::size_t at = 0; at < in.size(); at += step) {
        held += in.substr(at, step);
        while (true) {
            const auto r = decoder.decode(held, buffer.data(), capacity);
            out.append(buffer.data(), r.produced);
            held.erase(0, r.consumed);
            if (r.state == ChunkDecoder::State::bad) return "bad";
            if (r.state == ChunkDecoder::State::done) {
                if (rest != nullptr) *rest = held.size() + (in.size() - std::min(in.size(), at + step));
                return out;
            }
            if (r.consumed == 0) break;
        }
    }
    return "unfinished";
}

TEST(ChunkDecoder, DecodesHoweverItIsTorn) {
    const std::string in = "5\r\nhello\r\n1;x=\"y\"\r\n,\r\nA\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n";
    for (std::size_t step = 1; step <= in.size() + 4; ++step)
        for (const std::size_t capacity : {std::size_t{1}, std::size_t{3}, std::size_t{100}}) {
            std::size_t rest = 0;
            EXPECT_EQ(decode(in + "next", step, capacity, &rest), "hello,0123456789") << step << " " << capacity;
            EXPECT_EQ(rest, 4U);
        }
    for (std::size_t step = 1; step < 6; ++step) EXPECT_EQ(decode("0\r\n\r\n", step, 10), "");
}

TEST(ChunkDecoder, RefusesBrokenCoding) {
    for (const char* bad :
         {"x\r\nhello", "5\r\nhelloX\r\n0\r\n\r\n", "-1\r\nabcde", "\r\n\r\n\r\nabc", "5 \r\n\r\nhello",
          "ffffffffffffffffff\r\nabc", "5\nhello\r\n0\r\n\r\n", "1\r\na\r\n0\r\nBad Trailer\r\n\r\n"})
        for (std::size_t step = 1; step < 8; ++step) EXPECT_EQ(decode(bad, step, 100), "bad") << bad;
}

TEST(ChunkDecoder, SurvivesMutations) {
    const std::string good = "5\r\nhello\r\n1;x=y\r\n,\r\nA\r\n0123456789\r\n0\r\nT: t\r\n\r\n";
    SeededRandom random(7);
    for (int round = 0; round < 20000; ++round) {
        std::string in = good;
        const auto changes = random.next() % 4 + 1;
        for (std::uint64_t i = 0; i < changes; ++i) {
            static constexpr std::string_view kPieces = "\r\n0;:=\" x5Aa";
            const std::size_t at = random.next() % in.size();
            switch (random.next() % 3) {
                case 0:
                    in[at] = kPieces[random.next() % kPieces.size()];
                    break;
                case 1:
                    in.erase(at, random.next() % 4 + 1);
                    break;
                default:
                    in.insert(at, 1, kPieces[random.next() % kPieces.size()]);
            }
            if (in.empty()) in = "0";
        }
        decode(in, random.next() % 7 + 1, random.next() % 12 + 1);
    }
}

TEST(ParseHead, SurvivesMutations) {
    const std::string good =
        "PUT /a%20b?x=y HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: a, b\r\n c\r\n\r\n";
    SeededRandom random(8);
    for (int round = 0; round < 20000; ++round) {
        std::string in = good;
        for (std::uint64_t i = random.next() % 4 + 1; i > 0; --i) {
            const std::size_t at = random.next() % in.size();
            if (random.next() % 2 == 0)
                in[at] = static_cast<char>(random.next());
            else
                in.erase(at, random.next() % 4 + 1);
            if (in.empty()) in = "G";
        }
        const std::size_t end = find_head_end(in, 0);
        Request r;
        if (end != std::string::npos) static_cast<void>(parse(in.substr(0, end), r));
    }
}

}  // namespace
}  // namespace dtr::http
