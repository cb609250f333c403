// The cluster's keys for backups, as they are in the configuration: who seals, and to whom secrets are sealed.
//
//   ca/seal/signer.key   secret   the signing key of this epoch
//   ca/seal/chain.json            every signing key so far with its epoch and its predecessor's endorsement
//   recovery/recipient            the public half of the recovery key ("age1...")
//   recovery/image-store          identity of the image store, 32 hex digits
#pragma once

#include <string>
#include <vector>

#include "archive/age.h"
#include "archive/documents.h"
#include "archive/minisign.h"
#include "base/random.h"
#include "config/config_store.h"

namespace dtr::backup {

inline constexpr const char* kSignerKey = "ca/seal/signer.key";
inline constexpr const char* kSignerChain = "ca/seal/chain.json";
inline constexpr const char* kRecipientKey = "recovery/recipient";
inline constexpr const char* kImageStoreKey = "recovery/image-store";

struct SealKeys {
    archive::SigningKey signer;
    std::vector<archive::Signer> chain;  // ends with the signer
    archive::AgeRecipient recipient;
    std::string image_store_id;
};

Result<SealKeys> load_seal_keys(config::ConfigStore& config);

std::string chain_to_json(const std::vector<archive::Signer>& chain);
Result<std::vector<archive::Signer>> chain_from_json(std::string_view json);

// The changes that give a cluster its first keys.
std::vector<config::Change> first_seal_keys(const archive::SigningKey& signer, std::int64_t epoch,
                                            const archive::AgeRecipient& recipient, Random& random);
// The changes by which `successor` follows `predecessor` in `epoch`.
std::vector<config::Change> succeed_signer(const archive::SigningKey& predecessor, std::vector<archive::Signer> chain,
                                           const archive::SigningKey& successor, std::int64_t epoch);

}  // namespace dtr::backup
