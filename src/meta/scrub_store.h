// What the scrubber needs from the metadata: objects in order, their quarantine, and who suffers from it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "meta/types.h"

namespace dtr::meta {

struct ScrubObject {
    Object object;
    ObjectState state = ObjectState::live;  // or quarantined
};

// A repository in which something needs an object.
struct Use {
    std::string repository;
    std::string tag;  // that leads to it, or empty
};

class ScrubStore {
  public:
    virtual ~ScrubStore() = default;
    // Live and quarantined objects after `after` (a digest, byte order), at most `limit`.
    virtual Result<std::vector<ScrubObject>> page(std::string_view after, std::size_t limit) = 0;
    // A live object becomes quarantined; a quarantined one becomes live again. Only if this generation is still the
    // digest's object and in the state it leaves: true if so.
    virtual Result<bool> quarantine(const Object& object) = 0;
    virtual Result<bool> release(const Object& object) = 0;
    // By repository and tag, at most `limit`; none: nobody needs it.
    virtual Result<std::vector<Use>> uses(const Digest& digest, std::size_t limit) = 0;
    virtual Result<std::vector<Object>> list_quarantined(std::size_t limit) = 0;
};

}  // namespace dtr::meta
