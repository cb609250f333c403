#include "http/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "http/testing.h"

namespace dtr::http {
namespace {

using namespace testing;

struct TlsPair {
    std::string certificate;
    std::string key;
};

std::string pem_text(const std::function<void(BIO*)>& write) {
    BIO* bio = BIO_new(BIO_s_mem());
    write(bio);
    char* data = nullptr;
    const auto size = BIO_get_mem_data(bio, &data);
    std::string out(data, static_cast<std::size_t>(size));
    BIO_free(bio);
    return out;
}

TlsPair make_pair(const char* name) {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_sign(x, key, EVP_sha256());
    TlsPair pair{pem_text([&](BIO* b) { PEM_write_bio_X509(b, x); }),
                 pem_text([&](BIO* b) { PEM_write_bio_PrivateKey(b, key, nullptr, nullptr, 0, nullptr, nullptr); })};
    X509_free(x);
    EVP_PKEY_free(key);
    return pair;
}

ServerOptions tls_options(const TlsPair& pair) {
    ServerOptions o = plain_options();
    o.plain_addresses.clear();
    o.tls_addresses = {{"127.0.0.1", 0}};
    o.certificate_pem = pair.certificate;
    o.private_key_pem = Secret(pair.key);
    return o;
}

struct CtxFree {
    void operator()(SSL_CTX* c) const { SSL_CTX_free(c); }
};

// A TLS client that trusts exactly one certificate.
struct TlsClient {
    explicit TlsClient(const Server& server, const std::string& trusted, SSL_SESSION* session = nullptr,
                       const std::function<void(SSL*)>& set = {})
        : client(server), context(SSL_CTX_new(TLS_client_method())) {
        BIO* bio = BIO_new_mem_buf(trusted.data(), static_cast<int>(trusted.size()));
        X509* root = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
        X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), root);
        X509_free(root);
        BIO_free(bio);
        SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
        SSL_CTX_set_options(context.get(), SSL_OP_IGNORE_UNEXPECTED_EOF);
        ssl.reset(SSL_new(context.get()));
        if (session != nullptr) SSL_set_session(ssl.get(), session);
        if (set) set(ssl.get());
        SSL_set_fd(ssl.get(), client.fd());
        connected = SSL_connect(ssl.get()) == 1;
        ERR_clear_error();
        client.use_tls(ssl.get());
    }
    Client client;
    std::unique_ptr<SSL_CTX, CtxFree> context;
    SslPtr ssl;
    bool connected = false;
};

TEST(Tls, ServesEverythingPlainDoes) {
    const TlsPair pair = make_pair("one");
    SinkRecord record;
    Service service(tls_options(pair), [&](TestHandler& h) {
        h.work = [&](const Request& r) -> Reply {
            EXPECT_TRUE(r.tls);
            if (r.has_body) return std::make_unique<PatternSink>(record);
            if (r.path == "/text") return text(patterned(3'000'000));
            Response a;
            a.source = std::make_unique<PatternSource>(10U << 20);
            if (r.path == "/length") a.content_length = 10U << 20;
            return a;
        };
    });
    TlsClient tls(*service.server, pair.certificate);
    ASSERT_TRUE(tls.connected);
    EXPECT_STREQ(SSL_get_version(tls.ssl.get()), "TLSv1.3");
    Client& client = tls.client;
    for (const char* path : {"/length", "/chunked", "/text"}) {
        const Answer a = client.get(path);
        EXPECT_TRUE(a.whole);
        EXPECT_TRUE(is_pattern(a.body)) << path;
        EXPECT_GE(a.body.size(), 3'000'000U);
    }
    client.send("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: 20000000\r\n\r\n");
    client.send(patterned(20'000'000));
    EXPECT_EQ(client.answer().body, "20000000");
    client.send("PUT / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (std::uint64_t i = 0; i < 100; ++i) client.send(fmt::format("{:x}\r\n{}\r\n", 1000, patterned(1000, i * 1000)));
    client.send("0\r\n\r\n");
    EXPECT_EQ(client.answer().body, "100000");
    EXPECT_TRUE(record.good);
    client.send("GET /text HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(client.answer().whole);
    EXPECT_TRUE(client.ended());
}

TEST(Tls, SlowReadersLoseNothing) {
    const TlsPair pair = make_pair("one");
    Service service(tls_options(pair), [&](TestHandler& h) {
        h.work = [&](const Request& r) -> Reply {
            if (r.path == "/text") return text(patterned(8U << 20));
            Response a;
            a.source = std::make_unique<PatternSource>(8U << 20);
            return a;
        };
    });
    for (const char* path : {"/text", "/source"}) {
        TlsClient tls(*service.server, pair.certificate);
        tls.client.send(std::string("GET ") + path + " HTTP/1.1\r\nHost: t\r\n\r\n");
        for (int i = 0; i < 20; ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
            ASSERT_TRUE(tls.client.fill());
        }
        const Answer a = tls.client.answer();
        EXPECT_TRUE(a.whole);
        EXPECT_EQ(a.body.size(), 8U << 20);
        EXPECT_TRUE(is_pattern(a.body));
    }
}

TEST(Tls, ReadsFilesThroughTheirSource) {
    struct Both final : PatternSource {
        using PatternSource::PatternSource;
        [[nodiscard]] std::optional<FileSlice> file() const override { return FileSlice{-1, 0, 500'000}; }
    };
    const TlsPair pair = make_pair("one");
    Service service(tls_options(pair), [&](TestHandler& h) {
        h.work = [&](const Request&) {
            Response a;
            a.source = std::make_unique<Both>(500'000);
            return a;
        };
    });
    TlsClient tls(*service.server, pair.certificate);
    const Answer a = tls.client.get("/");
    EXPECT_EQ(a.header("Content-Length"), "500000");
    EXPECT_TRUE(a.whole);
    EXPECT_TRUE(is_pattern(a.body));
}

TEST(Tls, ResumesSessions) {
    const TlsPair pair = make_pair("one");
    Service service(tls_options(pair));
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        const auto set = [&](SSL* ssl) { SSL_set_max_proto_version(ssl, version); };
        TlsClient first(*service.server, pair.certificate, nullptr, set);
        ASSERT_TRUE(first.connected);
        EXPECT_EQ(first.client.get("/").status, 200);
        EXPECT_FALSE(SSL_session_reused(first.ssl.get()));
        SSL_SESSION* session = SSL_get1_session(first.ssl.get());
        TlsClient second(*service.server, pair.certificate, session, set);
        EXPECT_EQ(second.client.get("/").status, 200);
        EXPECT_TRUE(SSL_session_reused(second.ssl.get()));
        SSL_SESSION_free(session);
    }
}

TEST(Tls, NegotiatesNothingOld) {
    const TlsPair pair = make_pair("one");
    Service service(tls_options(pair));
    TlsClient old(*service.server, pair.certificate, nullptr, [](SSL* ssl) {
        SSL_set_security_level(ssl, 0);
        SSL_set_max_proto_version(ssl, TLS1_1_VERSION);
    });
    EXPECT_FALSE(old.connected);
    TlsClient weak(*service.server, pair.certificate, nullptr, [](SSL* ssl) {
        SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
        SSL_set_cipher_list(ssl, "ECDHE-ECDSA-AES128-SHA:AES128-GCM-SHA256");
    });
    EXPECT_FALSE(weak.connected);
    const auto offer = [](std::string_view protocols) {
        return [protocols](SSL* ssl) {
            SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(protocols.data()),
                                static_cast<unsigned>(protocols.size()));
        };
    };
    TlsClient both(*service.server, pair.certificate, nullptr, offer("\x02h2\x08http/1.1"));
    ASSERT_TRUE(both.connected);
    const unsigned char* chosen = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(both.ssl.get(), &chosen, &size);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(chosen), size), "http/1.1");
    TlsClient h2(*service.server, pair.certificate, nullptr, offer("\x02h2"));
    EXPECT_FALSE(h2.connected);
}

TEST(Tls, ChangesItsCertificateForNewConnections) {
    const TlsPair one = make_pair("one");
    const TlsPair two = make_pair("two");
    Service service(tls_options(one));
    TlsClient before(*service.server, one.certificate);
    ASSERT_TRUE(before.connected);
    ASSERT_TRUE(service.server->set_certificate(two.certificate, Secret(two.key)));
    EXPECT_EQ(before.client.get("/").status, 200);
    TlsClient stale(*service.server, one.certificate);
    EXPECT_FALSE(stale.connected);
    TlsClient after(*service.server, two.certificate);
    EXPECT_TRUE(after.connected);
    for (const auto& [certificate, key] : std::vector<std::pair<std::string, std::string>>{
             {one.certificate, two.key},
             {"", two.key},
             {two.certificate, ""},
             {two.certificate + "-----BEGIN CERTIFICATE-----\nAA\n", two.key}}) {
        const auto r = service.server->set_certificate(certificate, Secret(key));
        ASSERT_FALSE(r);
        EXPECT_EQ(r.error().code, ErrorCode::invalid);
        EXPECT_FALSE(r.error().hint.empty());
    }
    TlsClient still(*service.server, two.certificate);
    EXPECT_TRUE(still.connected);
}

TEST(Tls, AnswersPlainHttpInPlain) {
    const TlsPair pair = make_pair("one");
    Service service(tls_options(pair));
    Client client(*service.server);
    const Answer a = client.get("/");
    EXPECT_EQ(a.status, 400);
    EXPECT_NE(a.body.find("https"), std::string::npos);
    EXPECT_TRUE(client.ended());
}

TEST(Tls, BoundsTheHandshake) {
    const TlsPair pair = make_pair("one");
    ServerOptions o = tls_options(pair);
    o.header_timeout = 100 * kMillisecond;
    Service service(o);
    Client silent(*service.server);
    Client garbage(*service.server);
    garbage.send(std::string("\x16\x03\x01\x00\x20") + std::string(32, 'x'));
    while (garbage.fill()) {
    }
    EXPECT_TRUE(silent.ended());
    EXPECT_TRUE(eventually([&] { return service.server->open_connections() == 0; }));
}

TEST(Tls, NeedsACertificate) {
    ServerOptions o = plain_options();
    o.tls_addresses = {{"127.0.0.1", 0}};
    TestHandler handler;
    const auto r = Server::open(o, handler);
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().code, ErrorCode::invalid);
}

}  // namespace
}  // namespace dtr::http
