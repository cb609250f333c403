// Certificates of the cluster: its own authority, and server certificates under it. All keys are
// ECDSA P-256.
//
// Certificates begin an hour early, so that clocks may differ. PEM throughout; private keys are
// PKCS#8. Thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "base/secret.h"

namespace dtr::identity {

inline constexpr Micros kDay = 24 * 3600 * kSecond;
inline constexpr Micros kAuthorityValidity = 3650 * kDay;
inline constexpr Micros kServerValidityMax = 825 * kDay;  // what browsers accept at most
inline constexpr Micros kCertificateBackdate = 3600 * kSecond;

struct KeyAndCertificate {
    Secret key_pem;
    std::string certificate_pem;
};

// Self-signed, ten years, CA:TRUE with path length 0, keyCertSign and cRLSign.
Result<KeyAndCertificate> make_authority(std::string_view common_name, Clock& clock, Random& random);

struct ServerCertificateRequest {
    std::string common_name;
    std::vector<std::string> names;  // DNS names or addresses, told apart by looking; at least one
    Micros validity = 397 * kDay;    // at most kServerValidityMax, and not beyond the authority's own end
};

// For servers, and for nothing else. invalid: a name that is neither.
Result<KeyAndCertificate> issue_server_certificate(const KeyAndCertificate& authority,
                                                   const ServerCertificateRequest& request, Clock& clock,
                                                   Random& random);

// For a service that shows its certificate to another (mutual TLS), and for nothing else. `common_name` is the service's id,
// 1 to 64 bytes of printable ASCII. At most kServerValidityMax, and not beyond the authority's own end.
Result<KeyAndCertificate> issue_client_certificate(const KeyAndCertificate& authority, std::string_view common_name,
                                                   Micros validity, Clock& clock, Random& random);

// It is time for a new one: less than 30 days and less than a third of its validity are left.
Result<bool> renewal_due(std::string_view certificate_pem, Micros now);
// Whether it may be shown by a client (its first certificate): those that earlier releases issued for servers may.
Result<bool> is_for_clients(std::string_view certificate_pem);
// Whether `authority_pem` (one or several) signed the first certificate, whatever the time.
Result<bool> issued_by(std::string_view certificate_pem, std::string_view authority_pem);

// "SHA256:AB:CD:..." of the first certificate's DER. invalid if there is none.
Result<std::string> fingerprint(std::string_view certificate_pem);
// invalid unless the key is the private half of the first certificate's.
Status check_pair(std::string_view certificate_pem, const Secret& key_pem);
Result<Micros> not_after(std::string_view certificate_pem);
// DNS names and addresses the first certificate is for.
Result<std::vector<std::string>> certificate_names(std::string_view certificate_pem);

}  // namespace dtr::identity
