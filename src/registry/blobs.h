// Blobs that are there: reading them, promising them, mounting them elsewhere, unlinking them (OCI Distribution 1.1,
// "Pulling blobs", "Mounting a blob from another repository", "Deleting blobs"). How they come: uploads.h.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "registry/batches.h"
#include "registry/context.h"

namespace dtr::registry {

struct OpenBlob {
    meta::Object object;
    std::unique_ptr<blob::BlobReader> reader;
};

// Thread-safe. not_found: the repository neither links the blob nor holds it as a manifest.
class Blobs {
  public:
    Blobs(Context& context, Batches& batches) : context_(context), batches_(batches) {}

    // corrupt: its bytes are lost, or of another size.
    Result<OpenBlob> open(std::string_view repository, const Digest& digest);
    Result<meta::Object> stat(std::string_view repository, const Digest& digest);
    // The same for somebody who will not send what they are told is there: the blob is leased with the answer.
    Result<meta::Object> promise(std::string_view repository, const Digest& digest);
    // A repository that links the blob and is `visible`: the source of a mount that names none.
    Result<std::string> find_source(const meta::RepositoryStore::Visible& visible, const Digest& digest);
    // Links into `repository` what `source` links. refused in read-only mode; no_space below the reserve.
    Result<meta::Object> mount(std::string_view repository, std::string_view source, const Digest& digest,
                               meta::Actor actor);
    // conflict, naming the manifest, if one of that repository needs it; refused in read-only mode.
    Status unlink(std::string_view repository, const Digest& digest, meta::Actor actor);

  private:
    Context& context_;
    Batches& batches_;
};

}  // namespace dtr::registry
