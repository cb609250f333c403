// Who can open an archive: its recipients, a passphrase, and the age stream it may be in.
//
// age allows no recipients besides a passphrase. Therefore a backup sealed to one has its own key pair among
// its recipients, and the private half of that is in the header, sealed to the passphrase: the passphrase opens the
// backup, the recovery key opens it too, and scrypt runs once per archive and not once per entry.
#pragma once

#include <memory>
#include <string>

#include "archive/age.h"
#include "archive/documents.h"
#include "archive/stream.h"
#include "base/random.h"
#include "base/result.h"

namespace dtr::archive {

struct PassphraseKey {
    AgeRecipient recipient;
    std::string sealed;  // Header::passphrase_key
};
Result<PassphraseKey> make_passphrase_key(const Secret& passphrase, Random& random,
                                          int work_factor = kScryptWorkFactor);

// "age1…, age1… and a passphrase": whom the archive is sealed to, for messages.
std::string describe_recipients(const Header& header);

// The identities that open what `header` says is sealed, one of the passphrase among them if that was needed. untrusted,
// naming the recipients, if none does. Runs scrypt (seconds, 256 MiB) only if no identity fits.
Result<AgeKeys> unlock(const Header& header, const AgeKeys& keys);

// The archive of `source`: as it comes, or what the age stream holds that it turns out to be. The source must outlive it.
// untrusted if it is encrypted and no key fits; corrupt, saying what it is, if it is not an archive at all.
Result<std::unique_ptr<ByteSource>> open_stream(ByteSource& source, const AgeKeys& keys);

}  // namespace dtr::archive
