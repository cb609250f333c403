#include "identity/certificates.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <fstream>

#include "identity/openssl.h"
#include "test/support/temp_dir.h"

namespace dtr::identity {
namespace {

struct Output {
    std::string text;
    int status = -1;
};

Output run(const std::string& command) {
    Output out;
    FILE* pipe = popen((command + " 2>&1").c_str(), "r");
    if (pipe == nullptr) return out;
    std::array<char, 4096> buffer{};
    while (const std::size_t size = std::fread(buffer.data(), 1, buffer.size(), pipe))
        out.text.append(buffer.data(), size);
    out.status = pclose(pipe);
    return out;
}

class CertificatesTest : public testing::Test {
  protected:
    void SetUp() override {
        auto made = make_authority("dtr test CA", clock_, system_random());
        ASSERT_TRUE(made) << made.error().text();
        authority_ = *std::move(made);
        write("ca.pem", authority_.certificate_pem);
    }
    std::string write(const std::string& name, std::string_view text) {
        const std::string path = dir_.path() + "/" + name;
        std::ofstream(path) << text;
        return path;
    }
    Result<KeyAndCertificate> issue(std::vector<std::string> names, Micros validity = 397 * kDay,
                                    std::string common_name = "registry") {
        return issue_server_certificate(authority_, {std::move(common_name), std::move(names), validity}, clock_,
                                        system_random());
    }

    test::TempDir dir_;
    ManualClock clock_{system_clock().now() / kSecond * kSecond};
    KeyAndCertificate authority_;
};

TEST_F(CertificatesTest, OpensslAcceptsTheChain) {
    const auto server =
        issue({"registry.example.com", "*.example.com", "localhost", "127.0.0.1", "::1", "[2001:db8::7]"});
    ASSERT_TRUE(server) << server.error().text();
    const std::string path = write("server.pem", server->certificate_pem);
    const std::string ca = dir_.path() + "/ca.pem";
    for (const char* name :
         {"-verify_hostname registry.example.com", "-verify_hostname a.example.com", "-verify_hostname localhost",
          "-verify_ip 127.0.0.1", "-verify_ip ::1", "-verify_ip 2001:db8::7"}) {
        const Output verified =
            run("openssl verify -x509_strict -purpose sslserver " + std::string(name) + " -CAfile " + ca + " " + path);
        EXPECT_EQ(verified.status, 0) << name << ": " << verified.text;
    }
    EXPECT_NE(run("openssl verify -x509_strict -purpose sslclient -CAfile " + ca + " " + path).status, 0);
    EXPECT_FALSE(*is_for_clients(server->certificate_pem));
    EXPECT_NE(run("openssl verify -verify_hostname other.example.org -CAfile " + ca + " " + path).status, 0);
    EXPECT_NE(run("openssl verify -verify_ip 127.0.0.2 -CAfile " + ca + " " + path).status, 0);
    EXPECT_EQ(*certificate_names(server->certificate_pem),
              (std::vector<std::string>{"registry.example.com", "*.example.com", "localhost", "127.0.0.1", "::1",
                                        "2001:db8::7"}));
}

TEST_F(CertificatesTest, TextSaysWhatTheyAreFor) {
    const std::string ca = run("openssl x509 -noout -text -in " + dir_.path() + "/ca.pem").text;
    for (const char* part : {"Version: 3", "CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign", "prime256v1",
                             "ecdsa-with-SHA256", "CN = dtr test CA", "X509v3 Basic Constraints: critical"})
        EXPECT_NE(ca.find(part), std::string::npos) << part << "\n" << ca;
    const auto server = issue({"localhost"});
    const std::string text = run("openssl x509 -noout -text -in " + write("s.pem", server->certificate_pem)).text;
    for (const char* part :
         {"CA:FALSE", "Digital Signature", "TLS Web Server Authentication\n", "DNS:localhost",
          "X509v3 Authority Key Identifier", "Issuer: O = dtr, CN = dtr test CA", "Subject: O = dtr, CN = registry"})
        EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
}

TEST_F(CertificatesTest, KeysAreUnencryptedPkcs8) {
    EXPECT_TRUE(authority_.key_pem.expose().starts_with("-----BEGIN PRIVATE KEY-----"));
    const auto server = issue({"localhost"});
    const Output checked = run("openssl pkey -noout -text -in " + write("k.pem", server->key_pem.expose()));
    EXPECT_NE(checked.text.find("NIST CURVE: P-256"), std::string::npos) << checked.text;
}

TEST_F(CertificatesTest, DatesHoldTheirBounds) {
    EXPECT_EQ(*not_after(authority_.certificate_pem), clock_.now() + kAuthorityValidity);
    EXPECT_EQ(*not_after(issue({"localhost"})->certificate_pem), clock_.now() + 397 * kDay);
    EXPECT_EQ(*not_after(issue({"localhost"}, 10'000 * kDay)->certificate_pem),
              clock_.now() + kServerValidityMax - kCertificateBackdate);
    EXPECT_EQ(issue({"localhost"}, 0).error().code, ErrorCode::invalid);
    const auto x509 = *parse_certificate(authority_.certificate_pem);
    const std::time_t early = static_cast<std::time_t>(clock_.now() / kSecond) - 3600;
    EXPECT_EQ(ASN1_TIME_cmp_time_t(X509_get0_notBefore(x509.get()), early), 0);

    clock_.advance(kAuthorityValidity - 10 * kDay);
    EXPECT_EQ(*not_after(issue({"localhost"})->certificate_pem), *not_after(authority_.certificate_pem));
    clock_.advance(11 * kDay);
    EXPECT_EQ(issue({"localhost"}).error().code, ErrorCode::refused);
}

TEST_F(CertificatesTest, DatesPast2050) {
    clock_.set_wall(*parse_rfc3339("2049-06-01T00:00:00Z"));
    const auto authority = make_authority("late", clock_, system_random());
    ASSERT_TRUE(authority);
    EXPECT_EQ(*not_after(authority->certificate_pem), clock_.now() + kAuthorityValidity);
}

TEST_F(CertificatesTest, SerialsDiffer) {
    const auto serial = [&](const std::string& pem) {
        return run("openssl x509 -noout -serial -in " + write("x.pem", pem)).text;
    };
    const std::string first = serial(issue({"localhost"})->certificate_pem);
    EXPECT_NE(first, serial(issue({"localhost"})->certificate_pem));
    EXPECT_EQ(first.size(), std::string("serial=\n").size() + 32);
}

TEST_F(CertificatesTest, NamesThatAreNoneAreRefused) {
    for (const std::string& name :
         {std::string(), std::string("a b"), std::string("localhost:443"), std::string("https://x"),
          std::string("a,DNS:evil.example"), std::string("a\nb"), std::string("-a.example"), std::string("a..b"),
          std::string("*"), std::string("a.*.b"), std::string("\xc3\xa9.example"), std::string(300, 'a'),
          std::string(64, 'a') + ".example", std::string("a\0b", 3)}) {
        const auto answer = issue({"localhost", name});
        ASSERT_FALSE(answer) << name;
        EXPECT_EQ(answer.error().code, ErrorCode::invalid) << answer.error().text();
    }
    EXPECT_EQ(issue({}).error().code, ErrorCode::invalid);
    EXPECT_EQ(issue(std::vector<std::string>(101, "localhost")).error().code, ErrorCode::invalid);
    EXPECT_FALSE(make_authority("", clock_, system_random()));
    EXPECT_FALSE(make_authority(std::string(65, 'a'), clock_, system_random()));
}

TEST_F(CertificatesTest, LongCommonNameIsLeftOut) {
    const std::string host = std::string(60, 'a') + ".registry.example.com";
    const auto server = issue({host}, 397 * kDay, host);
    ASSERT_TRUE(server) << server.error().text();
    EXPECT_EQ(run("openssl verify -verify_hostname " + host + " -CAfile " + dir_.path() + "/ca.pem " +
                  write("l.pem", server->certificate_pem))
                  .status,
              0);
}

TEST_F(CertificatesTest, FingerprintIsThatOfOpenssl) {
    const auto own = fingerprint(authority_.certificate_pem);
    ASSERT_TRUE(own);
    const std::string theirs = run("openssl x509 -noout -fingerprint -sha256 -in " + dir_.path() + "/ca.pem").text;
    EXPECT_NE(theirs.find(own->substr(std::string("SHA256:").size())), std::string::npos) << *own << " " << theirs;
    EXPECT_TRUE(own->starts_with("SHA256:"));
    EXPECT_EQ(*fingerprint("leading text\n" + authority_.certificate_pem + issue({"localhost"})->certificate_pem),
              *own);
}

TEST_F(CertificatesTest, PairsAreChecked) {
    const auto server = issue({"localhost"});
    EXPECT_TRUE(check_pair(server->certificate_pem, server->key_pem));
    EXPECT_TRUE(check_pair(server->certificate_pem + authority_.certificate_pem, server->key_pem));
    EXPECT_EQ(check_pair(authority_.certificate_pem + server->certificate_pem, server->key_pem).error().code,
              ErrorCode::invalid);
    EXPECT_EQ(check_pair(server->certificate_pem, authority_.key_pem).error().code, ErrorCode::invalid);
    EXPECT_EQ(issue_server_certificate({server->key_pem, authority_.certificate_pem}, {"x", {"localhost"}}, clock_,
                                       system_random())
                  .error()
                  .code,
              ErrorCode::invalid);
}

TEST_F(CertificatesTest, ClientCertificatesAreForClientsOnly) {
    const auto client = issue_client_certificate(authority_, "3f2a-service", 90 * kDay, clock_, system_random());
    ASSERT_TRUE(client) << client.error().text();
    const std::string path = write("client.pem", client->certificate_pem);
    const std::string verify = "openssl verify -x509_strict -CAfile " + dir_.path() + "/ca.pem -purpose ";
    EXPECT_EQ(run(verify + "sslclient " + path).status, 0) << run(verify + "sslclient " + path).text;
    EXPECT_NE(run(verify + "sslserver " + path).status, 0);
    EXPECT_TRUE(*is_for_clients(client->certificate_pem));
    const std::string text = run("openssl x509 -noout -text -in " + path).text;
    EXPECT_NE(text.find("Subject: O = dtr, CN = 3f2a-service"), std::string::npos) << text;
    EXPECT_EQ(text.find("Web Server"), std::string::npos) << text;
    EXPECT_EQ(text.find("Alternative"), std::string::npos) << text;
    EXPECT_TRUE(check_pair(client->certificate_pem, client->key_pem));
    EXPECT_EQ(*not_after(client->certificate_pem), clock_.now() + 90 * kDay);
    for (const std::string& id : {std::string(), std::string("a b"), std::string("a\nb"), std::string(65, 'a')})
        EXPECT_EQ(issue_client_certificate(authority_, id, kDay, clock_, system_random()).error().code,
                  ErrorCode::invalid);
    EXPECT_EQ(issue_client_certificate(authority_, "a", 0, clock_, system_random()).error().code, ErrorCode::invalid);
}

TEST_F(CertificatesTest, RenewalComesInTime) {
    const Micros begin = clock_.now();
    const std::string year = issue({"localhost"})->certificate_pem;
    const std::string day = issue({"localhost"}, kDay)->certificate_pem;
    EXPECT_FALSE(*renewal_due(year, begin + 366 * kDay));
    EXPECT_TRUE(*renewal_due(year, begin + 368 * kDay));
    EXPECT_TRUE(*renewal_due(year, begin + 1000 * kDay));
    EXPECT_FALSE(*renewal_due(day, begin));
    EXPECT_TRUE(*renewal_due(day, begin + kDay * 3 / 4));
    EXPECT_EQ(renewal_due("none", begin).error().code, ErrorCode::invalid);
}

TEST_F(CertificatesTest, IssuersAreKnownByTheirSignature) {
    const std::string leaf = issue({"localhost"})->certificate_pem;
    const auto other = make_authority("dtr test CA", clock_, system_random());  // of the same name
    EXPECT_TRUE(*issued_by(leaf, authority_.certificate_pem));
    EXPECT_TRUE(*issued_by(leaf, other->certificate_pem + authority_.certificate_pem));
    EXPECT_FALSE(*issued_by(leaf, other->certificate_pem));
    EXPECT_FALSE(*issued_by(leaf, leaf));
    EXPECT_FALSE(issued_by(leaf, ""));
    EXPECT_FALSE(issued_by("", authority_.certificate_pem));
    EXPECT_FALSE(issued_by(leaf, authority_.certificate_pem + "-----BEGIN CERTIFICATE-----\nAA\n"));
}

TEST_F(CertificatesTest, GarbageIsRefused) {
    for (const std::string& text :
         {std::string(), std::string("hello"),
          std::string("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
          std::string(authority_.key_pem.expose()), authority_.certificate_pem.substr(0, 200)}) {
        EXPECT_EQ(fingerprint(text).error().code, ErrorCode::invalid);
        EXPECT_EQ(not_after(text).error().code, ErrorCode::invalid);
        EXPECT_EQ(certificate_names(text).error().code, ErrorCode::invalid);
        EXPECT_EQ(check_pair(text, authority_.key_pem).error().code, ErrorCode::invalid);
    }
    for (const std::string& key : {std::string(), std::string("hello"), authority_.certificate_pem})
        EXPECT_EQ(check_pair(authority_.certificate_pem, Secret(key)).error().code, ErrorCode::invalid);
    SeededRandom random(3);
    for (int i = 0; i < 300; ++i) {
        std::string damaged = authority_.certificate_pem;
        damaged[random.next() % damaged.size()] = static_cast<char>(random.next());
        static_cast<void>(fingerprint(damaged));
        static_cast<void>(certificate_names(damaged));
        static_cast<void>(not_after(damaged));
        std::string key(authority_.key_pem.expose());
        key[random.next() % key.size()] = static_cast<char>(random.next());
        static_cast<void>(check_pair(authority_.certificate_pem, Secret(key)));
    }
}

TEST_F(CertificatesTest, EncryptedKeyIsRefusedWithoutAsking) {
    const std::string path = write("plain.pem", authority_.key_pem.expose());
    const Output encrypted = run("openssl pkcs8 -topk8 -passout pass:secret -in " + path);
    ASSERT_EQ(encrypted.status, 0);
    EXPECT_EQ(check_pair(authority_.certificate_pem, Secret(encrypted.text)).error().code, ErrorCode::invalid);
}

}  // namespace
}  // namespace dtr::identity
