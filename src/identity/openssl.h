// Owners and PEM for OpenSSL objects. Inside identity/ only.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"

namespace dtr::identity {

template <auto Free>
struct FreeWith {
    template <class T>
    void operator()(T* object) const {
        Free(object);
    }
};
using BioPtr = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;
using PkeyPtr = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, FreeWith<X509_free>>;

// internal, with OpenSSL's own reason, whose queue is emptied.
Error openssl_error(std::string_view what);

Result<PkeyPtr> make_p256_key();
Result<Secret> private_key_pem(EVP_PKEY& key);                          // PKCS#8
Result<PkeyPtr> parse_private_key(std::string_view pem);                // invalid; never asks for a passphrase
Result<X509Ptr> parse_certificate(std::string_view pem);                // the first one; invalid
Result<std::vector<X509Ptr>> parse_certificates(std::string_view pem);  // all, at least one; invalid

}  // namespace dtr::identity
