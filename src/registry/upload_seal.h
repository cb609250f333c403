// The id of an upload session, which is the session itself as long as it holds no byte: what it is for, sealed, so that
// beginning one costs no row.
//
// With the first byte the session gets a row, which is called by the first 32 digits, and so is the session from then on:
// when it is over, that name means nothing, while its sealed one still looks like a session without bytes.
//
//   32 hex digits at random · 32 the account's uuid (zeros: none) · 14 microseconds since 1970 · 2 the algorithm ·
//   32 of a keyed hash over the repository's name and what stands before
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/random.h"
#include "base/secret.h"
#include "meta/types.h"

namespace dtr::registry {

// Thread-safe.
class UploadSeal {
  public:
    static constexpr std::size_t kRowDigits = 32;

    // Replicas that share `secret` know each other's sessions.
    explicit UploadSeal(const Secret& secret);

    // A session of offset 0 with its id. `account_id`: a uuid, or nobody's.
    [[nodiscard]] meta::Upload make(std::string_view repository, std::string_view account_id, DigestAlgorithm algorithm,
                                    Micros now, Random& random) const;
    // The same session, of its id. Nothing if the id was not made here, or for another repository.
    [[nodiscard]] std::optional<meta::Upload> open(std::string_view repository, std::string_view id) const;

  private:
    [[nodiscard]] std::string mark(std::string_view repository, std::string_view body) const;

    Secret key_;
};

}  // namespace dtr::registry
