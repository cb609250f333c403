// Conditional requests (RFC 9110, section 13) to what is named by its digest, which is its entity tag too.
#pragma once

#include <optional>
#include <string>

#include "base/digest.h"
#include "base/result.h"
#include "http/message.h"
#include "meta/expected.h"

namespace dtr::api::oci {

struct Conditions {
    // If-Match compares strongly, If-None-Match weakly. Both take lists, on several lines too, and "*". Changes hand it to
    // the store, which holds it against what is there in the transaction that acts.
    meta::Expected expected = {};
    std::string if_range = {};  // as sent

    [[nodiscard]] bool any() const { return expected.match || expected.none_match; }
    // Whether a Range may be followed: strong tags alone say so. Nothing here has a date, so none ever matches.
    [[nodiscard]] bool range_holds(const Digest& digest) const;
    // The answer, if it is not the representation itself: 412 or 304, in the order of 13.2.2. Without entity headers.
    [[nodiscard]] std::optional<http::Response> answer_to_read(const Digest& digest) const;
};

// invalid: a list of entity tags that is none. A tag without its quotes is taken, as some clients send digests so.
Result<Conditions> read_conditions(const http::Request& request);

std::string entity_tag(const Digest& digest);

http::Response condition_failed(const Digest& digest);

}  // namespace dtr::api::oci
