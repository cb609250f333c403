// Clients with certificates against a real server, and servers whose authority is known by its fingerprint.
#include <gmock/gmock.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "http/testing.h"
#include "sys/certificate_pin.h"
#include "sys/http_client.h"

namespace dtr::http {
namespace {

using namespace testing;
using ::testing::HasSubstr;

struct Free {
    void operator()(X509* p) const { X509_free(p); }
    void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
    void operator()(BIO* p) const { BIO_free(p); }
    void operator()(SSL_CTX* p) const { SSL_CTX_free(p); }
    void operator()(SSL_SESSION* p) const { SSL_SESSION_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

std::string pem(const std::function<void(BIO*)>& write) {
    const Owned<BIO> bio(BIO_new(BIO_s_mem()));
    write(bio.get());
    char* data = nullptr;
    const auto size = BIO_get_mem_data(bio.get(), &data);
    return {data, static_cast<std::size_t>(size)};
}

struct Identity {
    Owned<X509> x509;
    Owned<EVP_PKEY> key;
    [[nodiscard]] std::string certificate() const {
        return pem([&](BIO* b) { PEM_write_bio_X509(b, x509.get()); });
    }
    [[nodiscard]] std::string key_pem() const {
        return pem([&](BIO* b) { PEM_write_bio_PrivateKey(b, key.get(), nullptr, nullptr, 0, nullptr, nullptr); });
    }
    [[nodiscard]] std::string fingerprint() const {
        unsigned char hash[EVP_MAX_MD_SIZE];
        unsigned size = 0;
        X509_digest(x509.get(), EVP_sha256(), hash, &size);
        std::string out = "SHA256";
        for (unsigned i = 0; i < size; ++i) out += fmt::format(":{:02X}", hash[i]);
        return out;
    }
};

struct Wanted {
    std::vector<std::string> names = {"service"};
    const char* purposes = "clientAuth";  // null: the certificate does not say
    const Identity* issuer = nullptr;     // null: itself, an authority
    long begins = -3600;                  // seconds from now
    long ends = 3600;
};

void extend(X509* x, X509* issuer, int nid, const char* value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, x, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
}

Identity make(const Wanted& wanted) {
    static long serial = 0;
    Identity out{Owned<X509>(X509_new()), Owned<EVP_PKEY>(EVP_EC_gen("P-256"))};
    X509* x = out.x509.get();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x), wanted.begins);
    X509_gmtime_adj(X509_getm_notAfter(x), wanted.ends);
    X509_set_pubkey(x, out.key.get());
    for (const std::string& name : wanted.names)
        X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                                   reinterpret_cast<const unsigned char*>(name.data()), static_cast<int>(name.size()),
                                   -1, 0);
    const Identity& issuer = wanted.issuer != nullptr ? *wanted.issuer : out;
    X509_set_issuer_name(x, X509_get_subject_name(issuer.x509.get()));
    if (wanted.issuer == nullptr) {
        extend(x, x, NID_basic_constraints, "critical,CA:TRUE");
    } else {
        extend(x, issuer.x509.get(), NID_subject_alt_name, "IP:127.0.0.1");
        if (wanted.purposes != nullptr) extend(x, issuer.x509.get(), NID_ext_key_usage, wanted.purposes);
    }
    X509_sign(x, issuer.key.get(), EVP_sha256());
    return out;
}

Identity authority(const std::string& name = "an authority") {
    Wanted wanted;
    wanted.names = {name};
    return make(wanted);
}

Wanted under(const Identity& issuer, const char* purposes = "clientAuth") {
    Wanted wanted;
    wanted.issuer = &issuer;
    wanted.purposes = purposes;
    return wanted;
}

ServerOptions options_of(const Identity& server, const std::string& client_ca) {
    ServerOptions o = plain_options();
    o.plain_addresses.clear();
    o.tls_addresses = {{"127.0.0.1", 0}};
    o.certificate_pem = server.certificate();
    o.private_key_pem = Secret(server.key_pem());
    o.client_ca_pem = client_ca;
    return o;
}

// Answers the client's name, as "<name>".
void tell_name(TestHandler& handler) {
    handler.work = [](const Request& r) { return text("<" + r.client_certificate + ">"); };
}

struct Visit {
    std::string told;  // empty: no answer
    bool resumed = false;
    Owned<SSL_SESSION> session;
};

// One request, twice on the connection, with a certificate or none. The server itself is not checked.
Visit visit(const Server& server, const Identity* identity, SSL_SESSION* session = nullptr,
            int version = TLS1_3_VERSION) {
    Client client(server);
    const Owned<SSL_CTX> context(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_max_proto_version(context.get(), version);
    if (identity != nullptr) {
        SSL_CTX_use_certificate(context.get(), identity->x509.get());
        SSL_CTX_use_PrivateKey(context.get(), identity->key.get());
    }
    const SslPtr ssl(SSL_new(context.get()));
    if (session != nullptr) SSL_set_session(ssl.get(), session);
    SSL_set_fd(ssl.get(), client.fd());
    Visit out;
    if (SSL_connect(ssl.get()) == 1) {
        client.use_tls(ssl.get());
        out.told = client.get("/").body;
        if (!out.told.empty()) {
            EXPECT_EQ(client.get("/again").body, out.told);
        }
        out.resumed = SSL_session_reused(ssl.get()) == 1;
        out.session.reset(SSL_get1_session(ssl.get()));
        SSL_shutdown(ssl.get());  // or the session counts as broken
    }
    ERR_clear_error();
    return out;
}

TEST(MutualTls, AClientIsKnownByItsCertificate) {
    const Identity ca = authority();
    const Identity server = make(under(ca, "serverAuth"));
    const Identity client = make(under(ca));
    const Identity both = make(under(ca, "serverAuth,clientAuth"));
    Service service(options_of(server, ca.certificate()), tell_name);
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        EXPECT_EQ(visit(*service.server, &client, nullptr, version).told, "<service>");
        EXPECT_EQ(visit(*service.server, &both, nullptr, version).told, "<service>");
        EXPECT_EQ(visit(*service.server, nullptr, nullptr, version).told, "<>");
    }
}

TEST(MutualTls, WhatIsNotGoodIsNoConnection) {
    const Identity ca = authority();
    const Identity impostor = authority();  // another key under the same name
    const Identity server = make(under(ca, "serverAuth"));
    Service service(options_of(server, ca.certificate()), tell_name);
    std::vector<std::pair<std::string, Identity>> bad;
    bad.emplace_back("of another authority", make(under(impostor)));
    bad.emplace_back("for servers only", make(under(ca, "serverAuth")));
    bad.emplace_back("for nothing that is said", make(under(ca, nullptr)));
    Wanted wanted = under(ca);
    wanted.ends = -60;
    bad.emplace_back("expired", make(wanted));
    wanted = under(ca);
    wanted.begins = 600;
    bad.emplace_back("of the future", make(wanted));
    for (const std::vector<std::string>& names :
         {std::vector<std::string>{}, {"one", "two"}, {std::string("a\0b", 3)}, {"a b"}}) {
        wanted = under(ca);
        wanted.names = names;
        bad.emplace_back(fmt::format("with {} names", names.size()), make(wanted));
    }
    const Identity leaf = make(under(ca));
    bad.emplace_back("issued by a leaf", make(under(leaf)));
    bad.emplace_back("its own authority", authority("service"));
    for (const auto& [what, identity] : bad)
        for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION})
            EXPECT_EQ(visit(*service.server, &identity, nullptr, version).told, "") << what;
    EXPECT_EQ(service.handler.answers, 0);
    EXPECT_EQ(visit(*service.server, nullptr).told, "<>");
}

TEST(MutualTls, WithoutAnAuthorityNobodyIsAsked) {
    const Identity ca = authority();
    const Identity server = make(under(ca, "serverAuth"));
    const Identity client = make(under(ca));
    Service service(options_of(server, ""), tell_name);
    EXPECT_EQ(visit(*service.server, &client).told, "<>");
}

TEST(MutualTls, AResumedSessionKeepsItsClient) {
    const Identity ca = authority();
    const Identity server = make(under(ca, "serverAuth"));
    const Identity client = make(under(ca));
    Service service(options_of(server, ca.certificate()), tell_name);
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        const Visit known = visit(*service.server, &client, nullptr, version);
        const Visit again = visit(*service.server, &client, known.session.get(), version);
        EXPECT_TRUE(again.resumed);
        EXPECT_EQ(again.told, "<service>");
        const Visit nobody = visit(*service.server, nullptr, nullptr, version);
        const Visit still = visit(*service.server, nullptr, nobody.session.get(), version);
        EXPECT_TRUE(still.resumed);
        EXPECT_EQ(still.told, "<>");
    }
}

TEST(MutualTls, ATicketDoesNotOutliveTheCertificate) {
    const Identity ca = authority();
    const Identity server = make(under(ca, "serverAuth"));
    Wanted wanted = under(ca);
    wanted.ends = 2;
    const Identity client = make(wanted);
    Service service(options_of(server, ca.certificate()), tell_name);
    std::vector<Visit> known;
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        known.push_back(visit(*service.server, &client, nullptr, version));
        ASSERT_EQ(known.back().told, "<service>");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(3100));
    for (const Visit& before : known) {
        const int version = SSL_SESSION_get_protocol_version(before.session.get());
        EXPECT_EQ(visit(*service.server, &client, before.session.get(), version).told, "");
        const Visit nobody = visit(*service.server, nullptr, before.session.get(), version);
        EXPECT_FALSE(nobody.resumed);
        EXPECT_EQ(nobody.told, "<>");
    }
}

TEST(MutualTls, TheAuthorityIsChangedWhileItRuns) {
    const Identity one = authority("one");
    const Identity two = authority("two");
    const Identity server = make(under(one, "serverAuth"));
    const Identity first = make(under(one));
    const Identity second = make(under(two));
    Service service(options_of(server, one.certificate()), tell_name);
    const Visit before = visit(*service.server, &first);
    EXPECT_EQ(before.told, "<service>");
    EXPECT_EQ(visit(*service.server, &second).told, "");

    ASSERT_TRUE(service.server->set_client_ca(one.certificate() + two.certificate()));  // both, for the change
    EXPECT_EQ(visit(*service.server, &first).told, "<service>");
    EXPECT_EQ(visit(*service.server, &second).told, "<service>");

    ASSERT_TRUE(service.server->set_client_ca(two.certificate()));
    EXPECT_EQ(visit(*service.server, &first, before.session.get()).told, "");  // nor by a ticket
    EXPECT_EQ(visit(*service.server, &second).told, "<service>");

    for (const std::string& bad : {std::string("hello"), two.certificate() + "-----BEGIN CERTIFICATE-----\nAA\n"})
        EXPECT_EQ(service.server->set_client_ca(bad).error().code, ErrorCode::invalid);
    EXPECT_EQ(visit(*service.server, &second).told, "<service>");

    // A new certificate of the server does not forget them.
    const Identity renewed = make(under(two, "serverAuth"));
    ASSERT_TRUE(service.server->set_certificate(renewed.certificate(), Secret(renewed.key_pem())));
    EXPECT_EQ(visit(*service.server, &second).told, "<service>");
    ASSERT_TRUE(service.server->set_client_ca(""));
    EXPECT_EQ(visit(*service.server, &second).told, "<>");
}

TEST(MutualTls, AnOpenConnectionDoesNotOutliveItsCertificate) {
    const Identity ca = authority();
    const Identity server = make(under(ca, "serverAuth"));
    Wanted wanted = under(ca);
    wanted.ends = 2;
    const Identity brief = make(wanted);
    const Identity lasting = make(under(ca));
    Service service(options_of(server, ca.certificate()), tell_name);
    const auto connect = [&](const Identity& identity, Client& client) {
        const Owned<SSL_CTX> context(SSL_CTX_new(TLS_client_method()));
        SSL_CTX_use_certificate(context.get(), identity.x509.get());
        SSL_CTX_use_PrivateKey(context.get(), identity.key.get());
        SslPtr ssl(SSL_new(context.get()));
        SSL_set_fd(ssl.get(), client.fd());
        EXPECT_EQ(SSL_connect(ssl.get()), 1);
        client.use_tls(ssl.get());
        return ssl;
    };
    Client one(*service.server);
    Client two(*service.server);
    const SslPtr first = connect(brief, one);
    const SslPtr second = connect(lasting, two);
    EXPECT_EQ(one.get("/").body, "<service>");
    EXPECT_EQ(two.get("/").body, "<service>");
    std::this_thread::sleep_for(std::chrono::milliseconds(3100));
    EXPECT_EQ(one.get("/").body, "<>");
    EXPECT_TRUE(one.ended()) << "so that the client comes anew";
    EXPECT_EQ(two.get("/").body, "<service>");
    ASSERT_TRUE(service.server->set_certificate(server.certificate(), Secret(server.key_pem())));
    EXPECT_EQ(two.get("/").body, "<service>");
    ASSERT_TRUE(service.server->set_client_ca(authority("another").certificate()));
    EXPECT_EQ(two.get("/").body, "<>");
    EXPECT_TRUE(two.ended());
}

TEST(MutualTls, ABadAuthorityIsNoServer) {
    const Identity ca = authority();
    TestHandler handler;
    const auto opened = Server::open(options_of(make(under(ca, "serverAuth")), "nonsense"), handler);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::invalid);
}

HttpCall get(const Server& server, const std::string& path = "/") {
    HttpCall call;
    call.url = fmt::format("https://127.0.0.1:{}{}", port_of(server), path);
    call.connect_timeout_ms = 5000;
    call.idle_timeout_ms = 5000;
    return call;
}

TEST(MutualTls, TheClientOfThisProgramShowsItsOwn) {
    const Identity ca = authority();
    const Identity server = make(under(ca, "serverAuth"));
    const Identity client = make(under(ca));
    Service service(options_of(server, ca.certificate()), tell_name);
    HttpCall call = get(*service.server);
    call.trust.ca_pem = ca.certificate();
    call.client_certificate_pem = client.certificate();
    call.client_key_pem = Secret(client.key_pem());
    const auto answer = curl_http_client().call(call);
    ASSERT_TRUE(answer) << answer.error().text();
    EXPECT_EQ(answer->body, "<service>");

    const Identity stranger = make(under(authority()));
    call.client_certificate_pem = stranger.certificate();
    call.client_key_pem = Secret(stranger.key_pem());
    const auto refused = curl_http_client().call(call);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::untrusted) << refused.error().text();

    call.client_key_pem = Secret(client.key_pem());  // of another certificate
    EXPECT_EQ(curl_http_client().call(call).error().code, ErrorCode::invalid);
}

// A server with /ca, which remembers what else was asked, and with which credentials.
struct PinnedServer {
    PinnedServer(const Identity& server, std::string ca, const std::string& chain = "")
        : options(options_of(server, "")), served(std::move(ca)) {
        options.certificate_pem += chain;
        service = std::make_unique<Service>(options, [this](TestHandler& handler) {
            handler.work = [this](const Request& r) {
                if (!r.header("authorization").empty()) ++credentials;
                return r.path == "/ca" ? text(served) : text("in");
            };
        });
    }
    Result<HttpAnswer> call(const std::string& fingerprint, const std::string& ca = "", bool insecure = false) {
        HttpCall call = get(*service->server, "/secret");
        call.basic_username = "admin";
        call.basic_password = Secret("s3cret");
        call.trust = {ca, insecure, fingerprint};
        return curl_http_client().call(call);
    }
    ServerOptions options;
    std::string served;
    std::atomic<int> credentials{0};
    std::unique_ptr<Service> service;
};

TEST(CertificatePin, TheRightOneIsTrusted) {
    const Identity ca = authority();
    const Identity old = authority("the one before");
    PinnedServer server(make(under(ca, "serverAuth")), old.certificate() + ca.certificate());
    for (const std::string& ca_text : {std::string(), ca.certificate(), old.certificate() + ca.certificate()}) {
        const auto answer = server.call(ca.fingerprint(), ca_text);
        ASSERT_TRUE(answer) << answer.error().text();
        EXPECT_EQ(answer->body, "in");
    }
    EXPECT_EQ(server.credentials, 3);
    std::string plain = ca.fingerprint().substr(7);
    plain.erase(std::remove(plain.begin(), plain.end(), ':'), plain.end());
    EXPECT_TRUE(server.call("sha256 Fingerprint=" + ca.fingerprint().substr(7)));
    EXPECT_TRUE(server.call(plain));
}

TEST(CertificatePin, TheWrongOneGetsNoCredentials) {
    const Identity ca = authority();
    const Identity other = authority("other");
    // What a man in the middle can do: present a certificate of their own, and return anybody's CA at /ca.
    PinnedServer between(make(under(other, "serverAuth")), ca.certificate());
    PinnedServer server(make(under(ca, "serverAuth")), ca.certificate());
    const std::vector<std::pair<std::string, Result<HttpAnswer>>> tried = {
        {"not at /ca", server.call(other.fingerprint())},
        {"not the given", server.call(ca.fingerprint(), other.certificate())},
        {"not even insecure", server.call(other.fingerprint(), "", true)},
        {"given and agreeing, but not the server's", server.call(other.fingerprint(), other.certificate())},
        {"somebody between", between.call(ca.fingerprint())},
        {"somebody between, insecure", between.call(ca.fingerprint(), "", true)},
        {"somebody between, CA given", between.call(ca.fingerprint(), ca.certificate())},
    };
    for (const auto& [what, answer] : tried) {
        ASSERT_FALSE(answer) << what;
        EXPECT_EQ(answer.error().code, ErrorCode::untrusted) << what << ": " << answer.error().text();
    }
    EXPECT_EQ(server.credentials, 0);
    EXPECT_EQ(between.credentials, 0);
}

TEST(CertificatePin, AnAuthorityInTheChainWillDo) {
    const Identity ca = authority();
    PinnedServer server(make(under(ca, "serverAuth")), "none here", ca.certificate());
    const auto answer = server.call(ca.fingerprint());
    ASSERT_TRUE(answer) << answer.error().text();
    EXPECT_EQ(answer->body, "in");
}

TEST(CertificatePin, NonsenseIsSaidToBeSo) {
    for (const char* bad : {"SHA256:", "AB", "SHA256:zz", "sha1:AB:CD"}) {
        HttpCall call;
        call.url = "https://127.0.0.1:1/";
        call.trust.ca_fingerprint = bad;
        EXPECT_EQ(curl_http_client().call(call).error().code, ErrorCode::invalid) << bad;
    }
    HttpCall call;
    call.url = "http://127.0.0.1:1/";
    call.trust.ca_fingerprint = std::string(64, 'a');
    EXPECT_EQ(curl_http_client().call(call).error().code, ErrorCode::invalid);
    EXPECT_EQ(certificate_with("nonsense", *parse_fingerprint(std::string(64, 'a'))), "");
}

}  // namespace
}  // namespace dtr::http
