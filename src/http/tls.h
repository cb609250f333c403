// The server's certificate and TLS policy (design section 5): TLS 1.2 with forward secrecy and AEAD, TLS 1.3, tickets for
// resumption, ALPN http/1.1.
#pragma once

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
    // The server side of TLS on a connected socket, which it does not own. Null if there is no certificate yet.
    [[nodiscard]] SslPtr accept_on(int fd);

  private:
    Mutex mutex_;
    std::unique_ptr<ssl_ctx_st, SslFree> context_ GUARDED_BY(mutex_);
};

}  // namespace dtr::http
