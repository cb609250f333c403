// Fingerprints of certificates: the SHA-256 of the DER, as people compare them.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace dtr {

// One spelling, "SHA256:AB:CD:...", of what people and tools write: with or without "SHA256:" or openssl's "SHA256
// Fingerprint=", colons and capitals. invalid if it is none.
Result<std::string> parse_fingerprint(std::string_view text);

// The PEM, alone, of the certificate in `pem` that has this fingerprint (as parse_fingerprint writes it); empty if none has.
std::string certificate_with(const std::string& pem, std::string_view fingerprint);

}  // namespace dtr
