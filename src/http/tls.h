// The server's certificate and TLS policy (design section 5): TLS 1.2 with forward secrecy and AEAD, TLS 1.3, tickets for
// resumption, ALPN http/1.1. Clients may show a certificate of one authority, if one is set.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "base/result.h"
#include "base/secret.h"

struct ssl_st;
struct ssl_ctx_st;

namespace dtr::http {

struct SslFree {
    void operator()(ssl_st* ssl) const;
    void operator()(ssl_ctx_st* context) const;
};
using SslPtr = std::unique_ptr<ssl_st, SslFree>;

// Thread-safe.
class TlsContext {
  public:
    // Leaf first, then its chain. invalid if either PEM cannot be read, is empty, or the two do not belong together; the
    // certificate in force stays then.
    Status set_certificate(const std::string& certificate_pem, const Secret& private_key_pem);
    // Clients are asked for a certificate, which they need not have; one that is shown must lead to a certificate of
    // `authorities_pem`, be in its time and say that it is for clients (extended key usage clientAuth), or the handshake
    // fails. Sessions from before are not resumed. Empty: nobody is asked. invalid if nothing can be read, then what was in
    // force stays.
    Status set_client_authorities(const std::string& authorities_pem);
    // The server side of TLS on a connected socket, which it does not own. Null if there is no certificate yet.
    // `authorities`: which of the clients' authorities, by number, it is held to.
    [[nodiscard]] SslPtr accept_on(int fd, unsigned& authorities);
    // The number of those in force.
    [[nodiscard]] unsigned authorities() const { return authorities_number_.load(); }

  private:
    Status renew() REQUIRES(mutex_);

    Mutex mutex_;
    std::string certificate_pem_ GUARDED_BY(mutex_);
    Secret key_pem_ GUARDED_BY(mutex_);
    std::string authorities_pem_ GUARDED_BY(mutex_);
    std::atomic<unsigned> authorities_number_{0};  // changes under the mutex
    std::unique_ptr<ssl_ctx_st, SslFree> context_ GUARDED_BY(mutex_);
};

struct ClientCertificate {
    std::string common_name;
    std::int64_t ends = 0;  // seconds since 1970
};
// Of a session whose handshake is done: what the client showed and was accepted, now or before the session was resumed; else
// empty.
ClientCertificate client_certificate(ssl_st* ssl);
// Why the client's certificate was not accepted; empty if that was not the trouble.
std::string client_refusal(ssl_st* ssl);

}  // namespace dtr::http
