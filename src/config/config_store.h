// Configuration: small values under slash-separated keys, with revisions, as etcd has them.
//
// A value may be secret: a backup carries it only inside secrets/. Keys under "ca/" are key material and certificates.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"

namespace dtr::config {

struct Entry {
    std::string key;  // [a-z0-9._/-]+, no component empty, "." or "..", at most 200 bytes
    Secret value;     // at most 1 MiB; a Secret in every case, so that no value is printed by accident
    bool secret = false;
    std::int64_t modified = 0;  // revision that wrote it
};

struct Change {
    std::string key;
    std::optional<Secret> value;  // none: delete
    bool secret = false;
    // If set, the change (and with it the whole transaction) happens only if the key's `modified` is this; 0: absent.
    std::optional<std::int64_t> expected;
};

struct Snapshot {
    std::int64_t revision = 0;
    std::vector<Entry> entries;  // by key in byte order
};

// Thread-safe. A transaction is durable when it returns.
class ConfigStore {
  public:
    virtual ~ConfigStore() = default;
    virtual Result<Entry> get(std::string_view key) = 0;  // not_found
    virtual Result<Snapshot> list(std::string_view prefix) = 0;
    // All or nothing; answers the new revision. conflict names the first key that was not as expected.
    virtual Result<std::int64_t> apply(const std::vector<Change>& changes) = 0;
    virtual Result<std::int64_t> revision() = 0;
};

Status check_key(std::string_view key);

}  // namespace dtr::config
