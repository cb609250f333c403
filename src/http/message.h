// What a handler sees of a request and says in answer. Plain values: no Beast, no sockets, no OCI.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace dtr::http {

// The pools of threads that work runs on, one for each kind, so that no kind starves another. Each has a queue of its own.
enum class Pool {
    lookup,    // short work on metadata
    transfer,  // the bytes of blobs
    password,  // hashes passwords: few threads, a short queue, 429 when it is full
    outside,   // waits for another system (UCP, a directory, an OIDC provider): few threads, a short queue
    stream     // held long by few: backups, collection, scrubbing
};
inline constexpr std::size_t kPools = 5;

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Request {
    std::string id;                               // in logs and X-Request-Id: a trusted proxy's, or made here
    std::string method;                           // as sent: "GET", "PATCH"
    std::string path;                             // percent-decoded, begins with '/', no query
    std::string query;                            // raw, without '?'
    Headers headers;                              // as sent, in order
    std::optional<std::uint64_t> content_length;  // as sent, also 0; absent without the header
    std::string peer;                             // the client's address without port
    std::string proxy;                            // of a trusted proxy that said so; else empty
    bool tls = false;
    std::string client_certificate;  // common name of the client's certificate, once verified; else empty
    bool has_body = false;           // content_length above 0, or chunked
    // The handler's own, from Handler::admit() to handle() and answered(); of this request alone.
    std::shared_ptr<const void> attachment;

    // First header of that name (compared without case), or empty.
    [[nodiscard]] std::string_view header(std::string_view name) const;
    // Values of a query parameter, percent- and plus-decoded, in order. Undecodable ones are left out.
    [[nodiscard]] std::vector<std::string> query_values(std::string_view name) const;
    [[nodiscard]] std::optional<std::string> query_value(std::string_view name) const;
};

// A body produced piece by piece, and destroyed, on worker threads. One thread at a time.
class BodySource {
  public:
    virtual ~BodySource() = default;
    // Fills `out` with the next bytes; 0 ends the body. An error ends the connection without a proper end, so that no
    // client takes the rest for whole.
    virtual Result<std::size_t> read(char* out, std::size_t capacity) = 0;

    struct FileSlice {
        int fd = -1;
        std::uint64_t offset = 0;
        std::uint64_t length = 0;
    };
    // If the whole body is a slice of a file, where: the session may then use sendfile. The descriptor lives as long
    // as this object.
    [[nodiscard]] virtual std::optional<FileSlice> file() const { return std::nullopt; }
};

struct Response {
    int status = 200;
    Headers headers;   // without Content-Length, Transfer-Encoding, Connection, Date: the session adds those
    std::string body;  // used if `source` is null
    // Instead of `body`: bytes that many answers may share, sent from where they are and kept until then.
    std::shared_ptr<const std::string> shared_body;
    std::unique_ptr<BodySource> source;
    // Length of `source`'s body; absent: chunked. For HEAD: what GET would have sent.
    std::optional<std::uint64_t> content_length;
    bool close = false;  // end the connection after this answer
    std::string user;    // whose credentials were verified, for logs; empty: nobody's
    // How long the client may take no byte of this answer's body before it counts as gone; 0: the server's idle timeout.
    Micros patience = 0;

    // Of an answer without `source`.
    [[nodiscard]] std::string_view text() const { return shared_body ? *shared_body : std::string_view(body); }
    void set(std::string name, std::string value) { headers.emplace_back(std::move(name), std::move(value)); }
};

// Receives a request body piece by piece, and is destroyed, on worker threads (on an I/O thread if a small body finds the
// queue of its pool full). One thread at a time.
class BodySink {
  public:
    virtual ~BodySink() = default;  // destroyed without finish(): the client went away
    // False: stop reading; finish() then holds the refusal, and the connection is closed after it.
    virtual bool write(std::string_view chunk) = 0;
    virtual Response finish() = 0;  // called once, after the last chunk or a false
    // Bytes of the body that it keeps in memory.
    [[nodiscard]] virtual std::size_t held() const { return 0; }
    // Asked before finish(): the pool that it runs on, if not the one that handle() ran on. Never blocks.
    [[nodiscard]] virtual std::optional<Pool> finish_on() const { return std::nullopt; }
};

using Reply = std::variant<Response, std::unique_ptr<BodySink>>;

// Collects a body of at most `limit` bytes, then calls `done`. Over the limit, `too_large` makes the answer. `done_on` may
// read from the body which pool `done` needs; without it that is the handler's. It never blocks.
std::unique_ptr<BodySink> collect_body(std::size_t limit, std::function<Response(std::string)> done,
                                       std::function<Response()> too_large,
                                       std::function<Pool(const std::string&)> done_on = {});

}  // namespace dtr::http
