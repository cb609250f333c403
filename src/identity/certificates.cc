// X.509 version 3 (RFC 5280). Names go into subjectAltName as values, never through OpenSSL's
// configuration syntax, in which a comma in a name could add another name.
#include "identity/certificates.h"

#include <arpa/inet.h>
#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <optional>

#include "base/encoding.h"
#include "identity/openssl.h"

namespace dtr::identity {
namespace {

using ExtensionPtr = std::unique_ptr<X509_EXTENSION, FreeWith<X509_EXTENSION_free>>;
using GeneralNamesPtr = std::unique_ptr<GENERAL_NAMES, FreeWith<GENERAL_NAMES_free>>;
using GeneralNamePtr = std::unique_ptr<GENERAL_NAME, FreeWith<GENERAL_NAME_free>>;
using StringPtr = std::unique_ptr<ASN1_STRING, FreeWith<ASN1_STRING_free>>;
using TimePtr = std::unique_ptr<ASN1_TIME, FreeWith<ASN1_TIME_free>>;

constexpr std::size_t kCommonNameBytesMax = 64;  // RFC 5280, ub-common-name
constexpr std::size_t kNamesMax = 100;
constexpr long kVersion3 = 2;
constexpr Micros kRenewalAhead = 30 * kDay;
constexpr std::string_view kOrganization = "dtr";

const unsigned char* bytes_of(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

// 4 or 16 bytes if the text is an address ("[::1]" too).
std::optional<std::string> address_bytes(std::string_view text) {
    if (text.size() > 2 && text.front() == '[' && text.back() == ']') text = text.substr(1, text.size() - 2);
    const std::string name(text);
    std::array<char, 16> out{};
    if (inet_pton(AF_INET, name.c_str(), out.data()) == 1) return std::string(out.data(), 4);
    if (inet_pton(AF_INET6, name.c_str(), out.data()) == 1) return std::string(out.data(), 16);
    return std::nullopt;
}

bool is_dns_name(std::string_view name) {
    if (name.starts_with("*.")) name.remove_prefix(2);
    if (name.empty() || name.size() > 253) return false;
    while (true) {
        const std::size_t dot = std::min(name.find('.'), name.size());
        const std::string_view label = name.substr(0, dot);
        const bool good = !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
                          std::all_of(label.begin(), label.end(), [](char c) {
                              return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                                     c == '-' || c == '_';
                          });
        if (!good) return false;
        if (dot == name.size()) return true;
        name.remove_prefix(dot + 1);
    }
}

Status add_name_part(X509_NAME* name, const char* field, std::string_view value) {
    if (X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, bytes_of(value), static_cast<int>(value.size()), -1,
                                   0) != 1)
        return fail(openssl_error("writing a certificate's subject"));
    return {};
}

Status set_time(ASN1_TIME* target, Micros time) {
    if (ASN1_TIME_set(target, static_cast<std::time_t>(time / kSecond)) == nullptr)
        return fail(openssl_error("writing a certificate's dates"));
    return {};
}

// The common name is left out if it does not fit: the names that count are elsewhere.
Status fill_basics(X509& certificate, EVP_PKEY& key, std::string_view common_name, Micros begins, Micros ends,
                   Random& random) {
    std::string serial = random.bytes(16);
    serial[0] = static_cast<char>((static_cast<unsigned char>(serial[0]) & 0x7fU) | 0x40U);  // positive, never zero
    BIGNUM* number = BN_bin2bn(bytes_of(serial), static_cast<int>(serial.size()), nullptr);
    const bool numbered =
        number != nullptr && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(&certificate)) != nullptr;
    BN_free(number);
    if (!numbered || X509_set_version(&certificate, kVersion3) != 1 || X509_set_pubkey(&certificate, &key) != 1)
        return fail(openssl_error("making a certificate"));
    DTR_TRY(set_time(X509_getm_notBefore(&certificate), begins));
    DTR_TRY(set_time(X509_getm_notAfter(&certificate), ends));
    X509_NAME* subject = X509_get_subject_name(&certificate);
    DTR_TRY(add_name_part(subject, "O", kOrganization));
    if (!common_name.empty() && common_name.size() <= kCommonNameBytesMax)
        DTR_TRY(add_name_part(subject, "CN", common_name));
    return {};
}

// `value` is a constant of this file.
Status add_extension(X509& certificate, X509& issuer, int nid, const char* value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, &issuer, &certificate, nullptr, nullptr, 0);
    const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
    if (!extension || X509_add_ext(&certificate, extension.get(), -1) != 1)
        return fail(openssl_error("adding to a certificate"));
    return {};
}

Result<GeneralNamePtr> general_name(const std::string& name) {
    const auto address = address_bytes(name);
    if (!address && !is_dns_name(name))
        return fail(ErrorCode::invalid, fmt::format("'{}' is neither a host name nor an address", name.substr(0, 100)),
                    "give names such as registry.example.com or 192.0.2.7, without port or scheme");
    GeneralNamePtr out(GENERAL_NAME_new());
    StringPtr value(ASN1_STRING_type_new(address ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING));
    const std::string_view content = address ? *address : name;
    if (!out || !value || ASN1_STRING_set(value.get(), content.data(), static_cast<int>(content.size())) != 1)
        return fail(openssl_error("naming a certificate"));
    GENERAL_NAME_set0_value(out.get(), address ? GEN_IPADD : GEN_DNS, value.release());
    return out;
}

Status add_names(X509& certificate, const std::vector<std::string>& names) {
    if (names.empty() || names.size() > kNamesMax)
        return fail(ErrorCode::invalid, fmt::format("a server certificate for {} names", names.size()),
                    fmt::format("give 1 to {}", kNamesMax));
    const GeneralNamesPtr list(GENERAL_NAMES_new());
    if (!list) return fail(openssl_error("naming a certificate"));
    for (const std::string& name : names) {
        DTR_ASSIGN(GeneralNamePtr entry, general_name(name));
        if (sk_GENERAL_NAME_push(list.get(), entry.get()) <= 0) return fail(openssl_error("naming a certificate"));
        static_cast<void>(entry.release());
    }
    if (X509_add1_ext_i2d(&certificate, NID_subject_alt_name, list.get(), 0, X509V3_ADD_APPEND) != 1)
        return fail(openssl_error("naming a certificate"));
    return {};
}

Result<KeyAndCertificate> sign_and_write(X509& certificate, EVP_PKEY& key, EVP_PKEY& authority_key) {
    if (X509_sign(&certificate, &authority_key, EVP_sha256()) == 0) return fail(openssl_error("signing a certificate"));
    const BioPtr bio(BIO_new(BIO_s_mem()));
    if (!bio || PEM_write_bio_X509(bio.get(), &certificate) != 1) return fail(openssl_error("writing a certificate"));
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    KeyAndCertificate out;
    out.certificate_pem.assign(data, static_cast<std::size_t>(size));
    DTR_ASSIGN(out.key_pem, private_key_pem(key));
    return out;
}

Result<Micros> time_of(const ASN1_TIME* time) {
    std::tm fields{};
    if (ASN1_TIME_to_tm(time, &fields) != 1)
        return fail(ErrorCode::invalid, "the dates of a certificate's validity cannot be read");
    return static_cast<Micros>(timegm(&fields)) * kSecond;
}

Result<Micros> end_of(const X509& certificate) {
    return time_of(X509_get0_notAfter(&certificate));
}

Status check_match(X509& certificate, EVP_PKEY& key) {
    if (X509_check_private_key(&certificate, &key) == 1) return {};
    ERR_clear_error();
    return fail(ErrorCode::invalid, "the private key does not belong to the certificate",
                "give the key that the certificate was issued for; the certificate itself comes "
                "first, its chain after it");
}

struct Leaf {
    std::string_view common_name;
    const char* purposes;
    const std::vector<std::string>* names;  // null: none
    Micros validity;
};

Result<KeyAndCertificate> issue(const KeyAndCertificate& authority, const Leaf& leaf, Clock& clock, Random& random) {
    DTR_ASSIGN(const X509Ptr issuer, parse_certificate(authority.certificate_pem));
    DTR_ASSIGN(const PkeyPtr issuer_key, parse_private_key(authority.key_pem.expose()));
    DTR_TRY(check_match(*issuer, *issuer_key));
    DTR_ASSIGN(const Micros issuer_end, end_of(*issuer));
    const Micros now = clock.now();
    if (issuer_end <= now)
        return fail(ErrorCode::refused,
                    fmt::format("the certificate authority expired at {}", format_rfc3339(issuer_end)),
                    "create a new authority, then issue certificates again");
    if (leaf.validity <= 0) return fail(ErrorCode::invalid, "a certificate must be valid for some time");
    const Micros validity = std::min(leaf.validity, kServerValidityMax - kCertificateBackdate);

    DTR_ASSIGN(const PkeyPtr key, make_p256_key());
    const X509Ptr certificate(X509_new());
    if (!certificate) return fail(openssl_error("making a certificate"));
    DTR_TRY(fill_basics(*certificate, *key, leaf.common_name, now - kCertificateBackdate,
                        std::min(now + validity, issuer_end), random));
    if (X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer.get())) != 1)
        return fail(openssl_error("making a certificate"));
    DTR_TRY(add_extension(*certificate, *issuer, NID_basic_constraints, "critical,CA:FALSE"));
    DTR_TRY(add_extension(*certificate, *issuer, NID_key_usage, "critical,digitalSignature"));
    DTR_TRY(add_extension(*certificate, *issuer, NID_ext_key_usage, leaf.purposes));
    DTR_TRY(add_extension(*certificate, *issuer, NID_subject_key_identifier, "hash"));
    DTR_TRY(add_extension(*certificate, *issuer, NID_authority_key_identifier, "keyid"));
    if (leaf.names != nullptr) DTR_TRY(add_names(*certificate, *leaf.names));
    return sign_and_write(*certificate, *key, *issuer_key);
}

}  // namespace

Result<KeyAndCertificate> make_authority(std::string_view common_name, Clock& clock, Random& random) {
    if (common_name.empty() || common_name.size() > kCommonNameBytesMax || !is_valid_utf8(common_name))
        return fail(ErrorCode::invalid, "the name of a certificate authority must have 1 to 64 bytes of text");
    DTR_ASSIGN(const PkeyPtr key, make_p256_key());
    const X509Ptr certificate(X509_new());
    if (!certificate) return fail(openssl_error("making a certificate"));
    const Micros now = clock.now();
    DTR_TRY(fill_basics(*certificate, *key, common_name, now - kCertificateBackdate, now + kAuthorityValidity, random));
    if (X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get())) != 1)
        return fail(openssl_error("making a certificate"));
    DTR_TRY(add_extension(*certificate, *certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
    DTR_TRY(add_extension(*certificate, *certificate, NID_key_usage, "critical,keyCertSign,cRLSign"));
    DTR_TRY(add_extension(*certificate, *certificate, NID_subject_key_identifier, "hash"));
    return sign_and_write(*certificate, *key, *key);
}

Result<KeyAndCertificate> issue_server_certificate(const KeyAndCertificate& authority,
                                                   const ServerCertificateRequest& request, Clock& clock,
                                                   Random& random) {
    if (!is_valid_utf8(request.common_name)) return fail(ErrorCode::invalid, "a certificate's name must be UTF-8");
    return issue(authority, {request.common_name, "serverAuth", &request.names, request.validity}, clock, random);
}

Result<KeyAndCertificate> issue_client_certificate(const KeyAndCertificate& authority, std::string_view common_name,
                                                   Micros validity, Clock& clock, Random& random) {
    const bool printable =
        std::all_of(common_name.begin(), common_name.end(), [](char c) { return c > ' ' && c < '\x7f'; });
    if (common_name.empty() || common_name.size() > kCommonNameBytesMax || !printable)
        return fail(ErrorCode::invalid,
                    "the id in a service's certificate must have 1 to 64 printable ASCII characters");
    return issue(authority, {common_name, "clientAuth", nullptr, validity}, clock, random);
}

Result<bool> renewal_due(std::string_view certificate_pem, Micros now) {
    DTR_ASSIGN(const X509Ptr certificate, parse_certificate(certificate_pem));
    DTR_ASSIGN(const Micros begins, time_of(X509_get0_notBefore(certificate.get())));
    DTR_ASSIGN(const Micros ends, time_of(X509_get0_notAfter(certificate.get())));
    return ends - now < std::min(kRenewalAhead, (ends - begins) / 3);
}

Result<bool> is_for_clients(std::string_view certificate_pem) {
    DTR_ASSIGN(const X509Ptr certificate, parse_certificate(certificate_pem));
    return (X509_get_extended_key_usage(certificate.get()) & XKU_SSL_CLIENT) != 0;
}

Result<bool> issued_by(std::string_view certificate_pem, std::string_view authority_pem) {
    DTR_ASSIGN(const X509Ptr certificate, parse_certificate(certificate_pem));
    DTR_ASSIGN(const std::vector<X509Ptr> authorities, parse_certificates(authority_pem));
    const bool found = std::any_of(authorities.begin(), authorities.end(), [&](const X509Ptr& authority) {
        return X509_check_issued(authority.get(), certificate.get()) == X509_V_OK &&
               X509_verify(certificate.get(), X509_get0_pubkey(authority.get())) == 1;
    });
    ERR_clear_error();
    return found;
}

Result<std::string> fingerprint(std::string_view certificate_pem) {
    DTR_ASSIGN(const X509Ptr certificate, parse_certificate(certificate_pem));
    std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
    unsigned size = 0;
    if (X509_digest(certificate.get(), EVP_sha256(), hash.data(), &size) != 1)
        return fail(openssl_error("hashing a certificate"));
    std::string out = "SHA256";
    for (unsigned i = 0; i < size; ++i) out += fmt::format(":{:02X}", hash[i]);
    return out;
}

Status check_pair(std::string_view certificate_pem, const Secret& key_pem) {
    DTR_ASSIGN(const X509Ptr certificate, parse_certificate(certificate_pem));
    DTR_ASSIGN(const PkeyPtr key, parse_private_key(key_pem.expose()));
    return check_match(*certificate, *key);
}

Result<Micros> not_after(std::string_view certificate_pem) {
    DTR_ASSIGN(const X509Ptr certificate, parse_certificate(certificate_pem));
    return end_of(*certificate);
}

Result<std::vector<std::string>> certificate_names(std::string_view certificate_pem) {
    DTR_ASSIGN(const X509Ptr certificate, parse_certificate(certificate_pem));
    std::vector<std::string> out;
    const GeneralNamesPtr list(
        static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)));
    ERR_clear_error();
    for (int i = 0; list && i < sk_GENERAL_NAME_num(list.get()); ++i) {
        int type = 0;
        const auto* value =
            static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(list.get(), i), &type));
        if (type != GEN_DNS && type != GEN_IPADD) continue;
        const std::string content(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                                  static_cast<std::size_t>(ASN1_STRING_length(value)));
        if (type == GEN_DNS) {
            out.push_back(content);
        } else if (content.size() == 4 || content.size() == 16) {
            std::array<char, INET6_ADDRSTRLEN> text{};
            inet_ntop(content.size() == 4 ? AF_INET : AF_INET6, content.data(), text.data(), text.size());
            out.emplace_back(text.data());
        }
    }
    return out;
}

}  // namespace dtr::identity
