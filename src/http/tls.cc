// A new certificate makes a new SSL_CTX, with new ticket keys; running connections keep theirs by reference count.
#include "http/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <array>

namespace dtr::http {
namespace {

struct OpensslFree {
    void operator()(BIO* p) const { BIO_free(p); }
    void operator()(X509* p) const { X509_free(p); }
    void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
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

Status load_certificates(SSL_CTX* context, const std::string& pem) {
    const Owned<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    const Owned<X509> leaf(PEM_read_bio_X509_AUX(bio.get(), nullptr, no_passphrase, nullptr));
    if (!leaf) return bad("no certificate in it");
    if (SSL_CTX_use_certificate(context, leaf.get()) != 1) return bad("the leaf is refused");
    while (Owned<X509> issuer{PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)}) {
        if (SSL_CTX_add0_chain_cert(context, issuer.get()) != 1) return bad("the chain is refused");
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

Status TlsContext::set_certificate(const std::string& certificate_pem, const Secret& private_key_pem) {
    ERR_clear_error();
    std::unique_ptr<SSL_CTX, SslFree> fresh(SSL_CTX_new(TLS_server_method()));
    if (!fresh) return bad("no TLS context");
    set_policy(fresh.get());
    DTR_TRY(load_certificates(fresh.get(), certificate_pem));
    const std::string_view key_pem = private_key_pem.expose();
    const Owned<BIO> bio(BIO_new_mem_buf(key_pem.data(), static_cast<int>(key_pem.size())));
    const Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
    if (!key) return bad("the private key cannot be read");
    if (SSL_CTX_use_PrivateKey(fresh.get(), key.get()) != 1 || SSL_CTX_check_private_key(fresh.get()) != 1)
        return bad("the private key does not belong to the certificate");
    MutexLock lock(mutex_);
    context_ = std::move(fresh);
    return {};
}

SslPtr TlsContext::accept_on(int fd) {
    SslPtr ssl;
    {
        MutexLock lock(mutex_);
        if (context_) ssl.reset(SSL_new(context_.get()));
    }
    if (ssl) {
        SSL_set_fd(ssl.get(), fd);
        SSL_set_accept_state(ssl.get());
    }
    return ssl;
}

}  // namespace dtr::http
