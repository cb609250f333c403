// Where image bytes live: layers, configurations, manifests.
//
// A physical object is (digest, generation): the generation is random, chosen by whoever writes the object, and held in
// the blob's metadata row. Two pushes of the same content therefore never share a name, and the collector, which removes
// exactly one generation, can never destroy bytes that a later push was told are safe (design note 0001).
//
// A store knows nothing of repositories and trusts its caller about digests: the caller hashes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/result.h"

namespace dtr::blob {

struct ObjectId {
    Digest digest;
    std::string generation;  // 16 lower-case hex digits
    friend bool operator==(const ObjectId&, const ObjectId&) = default;
};

using UploadId = std::string;  // 32 lower-case hex digits

struct ObjectInfo {
    std::uint64_t size = 0;  // bytes
    Micros placed_at = 0;    // when it got its name, by the medium's clock
};

struct UploadInfo {
    UploadId id;
    Micros written_at = 0;  // when bytes last came, by the medium's clock
};

// Reads one object. Thread-safe; stays readable while open even if the object is removed.
class BlobReader {
  public:
    virtual ~BlobReader() = default;
    [[nodiscard]] virtual std::uint64_t size() const = 0;
    // Up to `count` bytes from `offset`; fewer only at the end.
    virtual Result<std::size_t> read(char* out, std::size_t count, std::uint64_t offset) = 0;
    // A descriptor for sendfile, valid as long as this object; -1 if the medium has none.
    [[nodiscard]] virtual int descriptor() const { return -1; }
};

// Collects the bytes of one upload. One thread at a time. Destroying it keeps what was appended: such bytes survive the
// process (not power loss) and are reached again by resume().
class BlobWriter {
  public:
    virtual ~BlobWriter() = default;
    virtual Status append(std::string_view bytes) = 0;       // no_space when the medium is full
    [[nodiscard]] virtual std::uint64_t offset() const = 0;  // bytes so far
    // Makes the upload the object `id`, visible and durable (survives power loss) when this returns, or leaves
    // everything as it was. The writer is spent. An existing object of that very id is an error.
    virtual Status commit(const ObjectId& id) = 0;
};

struct Features {
    bool local = false;        // on this machine's own disk: a backup includes images by default
    bool descriptors = false;  // readers have descriptors
    bool redirects = false;    // redirect_url may answer
};

struct ObjectPage {
    std::vector<ObjectId> objects;
    std::string next;  // cursor for the following page; empty: that was all
};

// Thread-safe. Errors: not_found, no_space, unavailable (retryable), corrupt, internal.
class BlobStore {
  public:
    virtual ~BlobStore() = default;
    [[nodiscard]] virtual Features features() const = 0;

    virtual Result<ObjectInfo> stat(const ObjectId& id) = 0;
    virtual Result<std::unique_ptr<BlobReader>> open(const ObjectId& id) = 0;
    // A small object in one call, durable when it returns. Writing an id that exists with the same size is good.
    virtual Status put(const ObjectId& id, std::string_view bytes) = 0;
    // Removes exactly this generation. A missing one is good.
    virtual Status remove(const ObjectId& id) = 0;
    // Every object, in no promised order; may miss or show objects that change meanwhile.
    virtual Result<ObjectPage> list(const std::string& cursor, std::size_t limit) = 0;

    virtual Result<std::unique_ptr<BlobWriter>> begin(const UploadId& id) = 0;
    // Continues an upload at `offset`, dropping any bytes after it. corrupt if fewer bytes are there.
    virtual Result<std::unique_ptr<BlobWriter>> resume(const UploadId& id, std::uint64_t offset) = 0;
    // What was uploaded so far, to hash it again under another algorithm.
    virtual Result<std::unique_ptr<BlobReader>> open_upload(const UploadId& id) = 0;
    virtual Status discard(const UploadId& id) = 0;  // a missing one is good
    // Every upload that is not finished, and what interrupted writers left beside them.
    virtual Result<std::vector<UploadInfo>> list_uploads() = 0;

    // Room left, if the medium can tell.
    virtual Result<std::optional<std::uint64_t>> free_bytes() = 0;
};

}  // namespace dtr::blob
