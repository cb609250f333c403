#include "sys/certificate_pin.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <array>
#include <limits>
#include <memory>

namespace dtr {
namespace {

constexpr std::size_t kDigits = 64;

struct OpensslFree {
    void operator()(BIO* p) const { BIO_free(p); }
    void operator()(X509* p) const { X509_free(p); }
};

char upper(char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
}

// Without `prefix`, whose letters may be small or capital.
std::string_view without(std::string_view text, std::string_view prefix) {
    if (text.size() < prefix.size()) return text;
    for (std::size_t i = 0; i < prefix.size(); ++i)
        if (upper(text[i]) != upper(prefix[i])) return text;
    return text.substr(prefix.size());
}

std::string spelled(std::string_view digits) {
    std::string out = "SHA256";
    for (std::size_t i = 0; i < digits.size(); i += 2) {
        out += ':';
        out += digits.substr(i, 2);
    }
    return out;
}

std::string fingerprint_of(const X509* certificate) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
    unsigned size = 0;
    if (X509_digest(certificate, EVP_sha256(), hash.data(), &size) != 1) return {};
    std::string digits;
    for (unsigned i = 0; i < size; ++i) digits += fmt::format("{:02X}", hash[i]);
    return spelled(digits);
}

std::string pem_of(X509* certificate) {
    const std::unique_ptr<BIO, OpensslFree> bio(BIO_new(BIO_s_mem()));
    if (!bio || PEM_write_bio_X509(bio.get(), certificate) != 1) return {};
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return {data, static_cast<std::size_t>(size)};
}

}  // namespace

Result<std::string> parse_fingerprint(std::string_view text) {
    std::string digits;
    bool good = true;
    for (const char c : without(without(without(text, "SHA256"), " Fingerprint="), ":")) {
        const char digit = upper(c);
        if (digit == ':' && digits.size() % 2 == 0) continue;
        good = good && ((digit >= '0' && digit <= '9') || (digit >= 'A' && digit <= 'F'));
        digits += digit;
    }
    if (!good || digits.size() != kDigits)
        return fail(ErrorCode::invalid,
                    fmt::format("'{}' is not the SHA-256 fingerprint of a certificate", text.substr(0, 120)),
                    "it looks like SHA256:AB:CD:... with 64 hexadecimal digits, as `openssl x509 -noout -fingerprint "
                    "-sha256` prints it");
    return spelled(digits);
}

std::string certificate_with(const std::string& pem, std::string_view fingerprint) {
    if (pem.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) return {};
    const std::unique_ptr<BIO, OpensslFree> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    std::string found;
    while (found.empty()) {
        const std::unique_ptr<X509, OpensslFree> certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
        if (!certificate) break;
        if (fingerprint_of(certificate.get()) == fingerprint) found = pem_of(certificate.get());
    }
    ERR_clear_error();
    return found;
}

}  // namespace dtr
