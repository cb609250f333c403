// What a client says of a name before it changes it (RFC 9110, 13.1.1 and 13.1.2).
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "base/digest.h"

namespace dtr::meta {

struct Expected {
    struct Digests {
        bool any = false;  // whatever there is
        std::vector<Digest> of = {};

        [[nodiscard]] bool has(const std::optional<Digest>& current) const {
            return current && (any || std::find(of.begin(), of.end(), *current) != of.end());
        }
    };
    std::optional<Digests> match = std::nullopt;       // it stands for one of these
    std::optional<Digests> none_match = std::nullopt;  // it stands for none of these, or for nothing

    // Whether that is true of a name that stands for `current`.
    [[nodiscard]] bool holds(const std::optional<Digest>& current) const {
        return (!match || match->has(current)) && !(none_match && none_match->has(current));
    }
};

}  // namespace dtr::meta
