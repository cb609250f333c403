// The asynchronous shell: accepts, speaks TLS and HTTP/1.1, and holds all that a slow client can hold, so that handlers
// may be ordinary blocking code on bounded pools.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ip_address.h"
#include "base/result.h"
#include "base/secret.h"
#include "http/message.h"

namespace dtr::http {

// How slowly the client may send a body.
enum class Pace {
    small_body,  // gathered in memory: 30 s, and a second for each 4 KiB, in all
    transfer     // a blob's: 1 KiB/s over five minutes, without the time that we kept the client waiting; enforced when
                 // connections run short
};

// Where a request's work runs.
struct Plan {
    std::optional<Pool> admit_on;  // first Handler::admit() runs there
    Pool handle_on = Pool::lookup;
    Pace pace = Pace::small_body;
};

// How a request was answered.
struct Answered {
    int status = 0;
    std::uint64_t sent = 0;      // bytes of the answer's body
    std::uint64_t received = 0;  // bytes of the request's body
    Micros duration = 0;         // from the end of the head to the end of the answer
    std::string_view user = {};  // Response::user
};

class Handler {
  public:
    virtual ~Handler() = default;
    // Called first, on an I/O thread: an answer that needs no waiting at all (a cache hit), or nothing. Never blocks.
    virtual std::optional<Response> try_now(const Request&) { return std::nullopt; }
    virtual Plan plan(const Request& request) = 0;  // next, on an I/O thread; never blocks
    // On a worker of plan.admit_on: what has to be known first and takes another pool than the rest, who asks above all. An
    // answer ends the request. May set `attachment`.
    virtual std::optional<Response> admit(Request&) { return std::nullopt; }
    // On a worker of plan.handle_on. A sink is asked for only if the request has a body; a Response leaves the body unread,
    // which ends the connection unless the body is short. An exception is our bug: logged, and answered with refusal(500).
    virtual Reply handle(Request request) = 0;
    // Answers made by the server itself (400, 408, 429, 431, 500, 503) in the application's error shape. `detail` is a
    // sentence for the client. On any thread, never blocks. Of a request that could not be read, method and path are there
    // if its first line says them, and nothing else.
    virtual Response refusal(const Request& request, int status, std::string_view detail) = 0;
    // After each answer, whole or broken off, for logs and metrics; on an I/O thread, never blocks.
    virtual void answered(const Request&, const Answered&) {}
};

struct Address {
    std::string host;  // name or address; empty: all
    std::uint16_t port = 0;
};
Result<Address> parse_address(std::string_view text);  // "host:port", "[v6]:port", ":port"

struct PoolSize {
    unsigned threads = 1;
    std::size_t queue_max = 1;  // waiting tasks; over it: 429 of passwords, 503 of others, with Retry-After
};

// A pool at this moment.
struct PoolUse {
    const char* name = "";
    unsigned threads = 0;
    std::size_t running = 0;
    std::size_t queued = 0;
    std::size_t queue_max = 0;
    std::uint64_t refused = 0;    // requests so far, for a full queue
    std::uint64_t abandoned = 0;  // requests so far, whose client had left before their turn
};

struct ServerOptions {
    std::vector<Address> tls_addresses;
    std::vector<Address> plain_addresses;
    std::string certificate_pem;  // leaf first, then its chain
    Secret private_key_pem;
    IpRanges trusted_proxies;     // their X-Forwarded-For says who the client is, their X-Request-Id what it is called
    bool proxy_protocol = false;  // and their connections begin with a PROXY header, before TLS
    std::string client_ca_pem;    // clients may show a certificate under it: see set_client_ca
    unsigned io_threads = 2;
    std::array<PoolSize, kPools> pools = {{{4, 1024}, {8, 1024}, {2, 32}, {4, 64}, {4, 16}}};  // by Pool
    std::size_t connections_max = 8192;  // over it: accepted, answered 503, closed; far over it: closed
    std::size_t header_bytes_max = 32U << 10;
    std::size_t body_buffer_bytes = 256U << 10;  // per worker
    std::size_t memory_max = 32U << 20;          // bodies and answers in memory, of all together; over it: 503
    bool share_fairly = true;                  // no address takes all of connections, queues and memory from the others
    Micros header_timeout = 15 * kSecond;      // from first byte of a request to its last header
    Micros idle_timeout = 75 * kSecond;        // keep-alive, and no progress on a body
    Micros small_body_timeout = 30 * kSecond;  // of a body that is gathered in memory, and
    std::uint64_t small_body_rate = 4096;      // a second for each so many bytes
    Micros transfer_window = 300 * kSecond;    // a transfer's client is slow, if for so long of our waiting for it
    std::uint64_t transfer_rate = 1024;        // fewer bytes than this a second have moved
    Micros drain_timeout = 8 * kSecond;        // stop(): running requests get this long

    PoolSize& size_of(Pool pool) { return pools.at(static_cast<std::size_t>(pool)); }
};

class Server {
  public:
    // Binds and listens; serving starts with start(). unavailable if an address cannot be bound, invalid if TLS is asked
    // for without a usable certificate. `handler` outlives the server. Has the process ignore SIGPIPE if nobody handles it.
    static Result<std::unique_ptr<Server>> open(ServerOptions options, Handler& handler);
    virtual ~Server() = default;

    virtual void start() = 0;
    // The bound addresses, tls first, as host:port with real port numbers.
    [[nodiscard]] virtual std::vector<std::string> addresses() const = 0;
    // Replaces the certificate for new connections. Thread-safe.
    virtual Status set_certificate(const std::string& certificate_pem, const Secret& private_key_pem) = 0;
    // Replaces the authorities whose certificates clients may show, for new connections; empty: nobody is asked. A
    // certificate that is shown must lead to one of them, be in its time and be made for clients, or there is no
    // connection. Sessions that clients could resume end, and on open connections clients are not known any more.
    // invalid if it cannot be read. Thread-safe.
    virtual Status set_client_ca(const std::string& authorities_pem) = 0;
    // Refuses new connections, ends idle ones, lets running requests finish within drain_timeout, then breaks the rest off
    // and joins all threads; a call of the handler that is running is waited for. Idempotent. Not from a handler.
    virtual void stop() = 0;
    [[nodiscard]] virtual std::size_t open_connections() const = 0;
    [[nodiscard]] virtual std::vector<PoolUse> pools() const = 0;  // in the order of Pool
};

}  // namespace dtr::http
