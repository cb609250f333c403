#include "identity/openssl.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <limits>

namespace dtr::identity {
namespace {

// Without a callback OpenSSL would ask on the terminal for the passphrase of an encrypted key.
int no_passphrase(char*, int, int, void*) {
    return -1;
}

Result<BioPtr> read_bio(std::string_view bytes) {
    if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()))
        return fail(ErrorCode::invalid, "PEM text is too large");
    BioPtr bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
    if (!bio) return fail(openssl_error("reading PEM"));
    return bio;
}

}  // namespace

Error openssl_error(std::string_view what) {
    const unsigned long code = ERR_get_error();
    const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
    ERR_clear_error();
    return {ErrorCode::internal, fmt::format("{}: {}", what, reason == nullptr ? "OpenSSL failed" : reason), ""};
}

Result<PkeyPtr> make_p256_key() {
    PkeyPtr key(EVP_EC_gen("P-256"));
    if (!key) return fail(openssl_error("making a P-256 key"));
    return key;
}

Result<Secret> private_key_pem(EVP_PKEY& key) {
    const BioPtr bio(BIO_new(BIO_s_secmem()));
    if (!bio || PEM_write_bio_PKCS8PrivateKey(bio.get(), &key, nullptr, nullptr, 0, nullptr, nullptr) != 1)
        return fail(openssl_error("writing a private key"));
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return Secret(std::string(data, static_cast<std::size_t>(size)));
}

Result<PkeyPtr> parse_private_key(std::string_view pem) {
    DTR_ASSIGN(const BioPtr bio, read_bio(pem));
    PkeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
    if (!key) {
        ERR_clear_error();
        return fail(ErrorCode::invalid, "the text is not a PEM private key", "give a key without a passphrase");
    }
    return key;
}

Result<X509Ptr> parse_certificate(std::string_view pem) {
    DTR_ASSIGN(const BioPtr bio, read_bio(pem));
    X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
    if (!certificate) {
        ERR_clear_error();
        return fail(ErrorCode::invalid, "the text holds no PEM certificate");
    }
    return certificate;
}

Result<std::vector<X509Ptr>> parse_certificates(std::string_view pem) {
    DTR_ASSIGN(const BioPtr bio, read_bio(pem));
    std::vector<X509Ptr> out;
    while (X509Ptr certificate{PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)})
        out.push_back(std::move(certificate));
    const unsigned long code = ERR_peek_last_error();
    const bool at_end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    if (out.empty() || !at_end)
        return fail(ErrorCode::invalid, "the text holds a PEM certificate that cannot be read, or no certificate");
    return out;
}

}  // namespace dtr::identity
