// A new certificate or authority makes a new SSL_CTX, with new ticket keys; running connections keep theirs by reference
// count.
//
// Whether a client's certificate is good is OpenSSL's to say. It lets pass, in the part of a client, a certificate that
// names no purpose at all; ours do name theirs, so the callback asks for it.
#include "http/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <utility>

namespace dtr::http {
namespace {

struct OpensslFree {
    void operator()(BIO* p) const { BIO_free(p); }
    void operator()(X509* p) const { X509_free(p); }
    void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
    void operator()(X509_STORE* p) const { X509_STORE_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, OpensslFree>;

std::string openssl_reason() {
    const unsigned long code = ERR_peek_last_error();
    const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
    ERR_clear_error();
    return reason == nullptr ? "no reason given" : reason;
}

tl::unexpected<Error> bad(std::string_view what) {
    return fail(ErrorCode::invalid, fmt::format("cannot use the TLS certificate: {}: {}", what, openssl_reason()),
                "give the leaf certificate, then its chain, and the matching unencrypted private key, all PEM");
}

// An encrypted key must fail, not ask at the terminal.
int no_passphrase(char*, int, int, void*) {
    return 0;
}

int choose_alpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned in_size,
                void*) {
    static constexpr unsigned char kOurs[] = "\x08http/1.1";
    const int found =
        SSL_select_next_proto(const_cast<unsigned char**>(out), out_size, kOurs, sizeof kOurs - 1, in, in_size);
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

void set_policy(SSL_CTX* context) {
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
    SSL_CTX_set_mode(context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    // One receive call per record instead of two.
    SSL_CTX_set_read_ahead(context, 1);
    // Tickets resume without memory on our side.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    static constexpr unsigned char kName[] = "dtr";
    SSL_CTX_set_session_id_context(context, kName, sizeof kName - 1);
    SSL_CTX_set_alpn_select_cb(context, choose_alpn, nullptr);
}

// The common name, if the certificate has exactly one that is text.
std::string common_name(const X509* certificate) {
    const X509_NAME* subject = X509_get_subject_name(certificate);
    const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) return {};
    unsigned char* utf8 = nullptr;
    const int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (size < 0) return {};
    std::string name(reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(size));
    OPENSSL_free(utf8);
    const bool text = std::all_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) > ' '; });
    return text ? name : std::string();
}

int check_client(int good, X509_STORE_CTX* chain) {
    if (good != 1 || X509_STORE_CTX_get_error_depth(chain) != 0) return good;
    X509* certificate = X509_STORE_CTX_get_current_cert(chain);
    // Without the extension all bits are set.
    const std::uint32_t purposes = X509_get_extended_key_usage(certificate);
    if (purposes == UINT32_MAX || (purposes & XKU_SSL_CLIENT) == 0) {
        X509_STORE_CTX_set_error(chain, X509_V_ERR_INVALID_PURPOSE);
        return 0;
    }
    if (common_name(certificate).empty()) {
        X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    return 1;
}

// A ticket holds the client's certificate, and must not outlive it: then there is a whole handshake, which says so.
SSL_TICKET_RETURN check_ticket(SSL*, SSL_SESSION* session, const unsigned char*, std::size_t, SSL_TICKET_STATUS status,
                               void*) {
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) return SSL_TICKET_RETURN_IGNORE_RENEW;
    const X509* certificate = SSL_SESSION_get0_peer(session);
    if (certificate != nullptr && X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

Status load_authorities(SSL_CTX* context, const std::string& pem) {
    const Owned<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    const Owned<X509_STORE> store(X509_STORE_new());
    if (!store) return bad("no store of authorities");
    bool any = false;
    while (const Owned<X509> authority{PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)}) {
        if (X509_STORE_add_cert(store.get(), authority.get()) != 1 ||
            SSL_CTX_add_client_CA(context, authority.get()) != 1)
            return bad("a client authority is not accepted");
        any = true;
    }
    const unsigned long code = ERR_peek_last_error();
    if (!any || ERR_GET_LIB(code) != ERR_LIB_PEM || ERR_GET_REASON(code) != PEM_R_NO_START_LINE)
        return bad("the client authority cannot be read");
    ERR_clear_error();
    SSL_CTX_set1_verify_cert_store(context, store.get());
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, check_client);
    SSL_CTX_set_session_ticket_cb(context, nullptr, check_ticket, nullptr);
    return {};
}

Status load_certificates(SSL_CTX* context, const std::string& pem) {
    const Owned<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    const Owned<X509> leaf(PEM_read_bio_X509_AUX(bio.get(), nullptr, no_passphrase, nullptr));
    if (!leaf) return bad("it has no certificate");
    if (SSL_CTX_use_certificate(context, leaf.get()) != 1) return bad("the leaf is not accepted");
    while (Owned<X509> issuer{PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)}) {
        if (SSL_CTX_add0_chain_cert(context, issuer.get()) != 1) return bad("the chain is not accepted");
        static_cast<void>(issuer.release());
    }
    const unsigned long code = ERR_peek_last_error();
    if (ERR_GET_LIB(code) != ERR_LIB_PEM || ERR_GET_REASON(code) != PEM_R_NO_START_LINE)
        return bad("the chain cannot be read");
    ERR_clear_error();
    return {};
}

}  // namespace

void SslFree::operator()(ssl_st* ssl) const {
    SSL_free(ssl);
}
void SslFree::operator()(ssl_ctx_st* context) const {
    SSL_CTX_free(context);
}

// Makes the context of what the members say.
Status TlsContext::renew() {
    ERR_clear_error();
    std::unique_ptr<SSL_CTX, SslFree> fresh(SSL_CTX_new(TLS_server_method()));
    if (!fresh) return bad("no TLS context");
    set_policy(fresh.get());
    DTR_TRY(load_certificates(fresh.get(), certificate_pem_));
    const std::string_view key_pem = key_pem_.expose();
    const Owned<BIO> bio(BIO_new_mem_buf(key_pem.data(), static_cast<int>(key_pem.size())));
    const Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
    if (!key) return bad("the private key cannot be read");
    if (SSL_CTX_use_PrivateKey(fresh.get(), key.get()) != 1 || SSL_CTX_check_private_key(fresh.get()) != 1)
        return bad("the private key does not belong to the certificate");
    if (!authorities_pem_.empty()) DTR_TRY(load_authorities(fresh.get(), authorities_pem_));
    context_ = std::move(fresh);
    return {};
}

Status TlsContext::set_certificate(const std::string& certificate_pem, const Secret& private_key_pem) {
    MutexLock lock(mutex_);
    std::string old_certificate = std::exchange(certificate_pem_, certificate_pem);
    Secret old_key = std::exchange(key_pem_, private_key_pem);
    Status renewed = renew();
    if (!renewed) {
        certificate_pem_ = std::move(old_certificate);
        key_pem_ = std::move(old_key);
    }
    return renewed;
}

Status TlsContext::set_client_authorities(const std::string& authorities_pem) {
    MutexLock lock(mutex_);
    if (authorities_pem == authorities_pem_) return {};
    std::string old = std::exchange(authorities_pem_, authorities_pem);
    if (context_) {  // without TLS, a certificate that comes brings them into force
        if (Status renewed = renew(); !renewed) {
            authorities_pem_ = std::move(old);
            return renewed;
        }
    }
    ++authorities_number_;
    return {};
}

SslPtr TlsContext::accept_on(int fd, unsigned& authorities) {
    SslPtr ssl;
    {
        MutexLock lock(mutex_);
        if (context_) ssl.reset(SSL_new(context_.get()));
        authorities = authorities_number_.load();
    }
    if (ssl) {
        SSL_set_fd(ssl.get(), fd);
        SSL_set_accept_state(ssl.get());
    }
    return ssl;
}

ClientCertificate client_certificate(ssl_st* ssl) {
    const X509* certificate = SSL_get0_peer_certificate(ssl);
    std::tm ends{};
    if (certificate == nullptr || SSL_get_verify_result(ssl) != X509_V_OK ||
        ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &ends) != 1)
        return {};
    return {common_name(certificate), static_cast<std::int64_t>(timegm(&ends))};
}

std::string client_refusal(ssl_st* ssl) {
    const long result = SSL_get_verify_result(ssl);
    if (result == X509_V_OK) return {};
    if (result == X509_V_ERR_APPLICATION_VERIFICATION) return "it has no common name, or more than one";
    return X509_verify_cert_error_string(result);
}

}  // namespace dtr::http
