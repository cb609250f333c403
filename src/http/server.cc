// Listeners live on the first loop; each accepted connection goes to the loop that has fewest, and stays there.
//
// stop() is a gate: listeners close and idle connections end; running requests have drain_timeout; then every wait is
// cancelled, workers finish what they are at, and with the last connection the loops end.
#include "http/server.h"

#include <sys/resource.h>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <csignal>
#include <deque>

#include "http/session.h"
#include "sys/log.h"

namespace dtr::http {
namespace {

using tcp = asio::ip::tcp;
using Acceptor = asio::basic_socket_acceptor<tcp, Executor>;
using boost::system::error_code;

// Connections over the limit that get an answer; beyond them there is only a closed door.
constexpr std::size_t kTurnedAwayMax = 64;
constexpr Micros kAcceptPause = kSecond / 10;

struct Listener {
    Acceptor acceptor;
    bool tls;
};

// co_await accept: the next connection, made for the loop it will live on.
class Accept {
  public:
    Accept(Acceptor& acceptor, Loop& loop) : acceptor_(acceptor), loop_(loop), socket(loop.context) {}
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
        acceptor_.async_accept(loop_.context.get_executor(), [this, handle](const error_code& ec, Socket accepted) {
            ec_ = ec;
            if (!ec) socket = std::move(accepted);
            handle.resume();
        });
    }
    error_code await_resume() const { return ec_; }

  private:
    Acceptor& acceptor_;
    Loop& loop_;
    error_code ec_;

  public:
    Socket socket;
};

std::string text_of(const Address& address) {
    const bool v6 = address.host.find(':') != std::string::npos;
    return fmt::format("{}{}{}:{}", v6 ? "[" : "", address.host, v6 ? "]" : "", address.port);
}

tl::unexpected<Error> cannot_listen(const Address& address, const error_code& ec) {
    return fail(ErrorCode::unavailable, fmt::format("cannot listen on {}: {}", text_of(address), ec.message()),
                "check whether another process uses the port, and whether the address belongs to this machine");
}

Result<std::vector<tcp::endpoint>> resolve(const Address& address, Loop& loop) {
    if (address.host.empty())
        return std::vector{tcp::endpoint(tcp::v6(), address.port), tcp::endpoint(tcp::v4(), address.port)};
    error_code ec;
    tcp::resolver resolver(loop.context);
    const auto found = resolver.resolve(address.host, std::to_string(address.port), tcp::resolver::passive, ec);
    if (ec) return cannot_listen(address, ec);
    std::vector<tcp::endpoint> endpoints;
    for (const auto& entry : found) endpoints.push_back(entry.endpoint());
    return endpoints;
}

error_code listen_on(Acceptor& acceptor, const tcp::endpoint& endpoint, bool dual_stack) {
    error_code ec;
    acceptor.open(endpoint.protocol(), ec);
    if (!ec) acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
    if (!ec && endpoint.address().is_v6()) acceptor.set_option(asio::ip::v6_only(!dual_stack), ec);
    if (!ec) acceptor.bind(endpoint, ec);
    if (!ec) acceptor.listen(asio::socket_base::max_listen_connections, ec);
    return ec;
}

class AsioServer final : public Server {
  public:
    AsioServer(ServerOptions options, Handler& handler) : shared_(std::move(options), handler) {
        for (unsigned i = 0; i < shared_.options.io_threads; ++i) loops_.emplace_back(shared_);
    }
    ~AsioServer() override { stop(); }

    Status set_certificate(const std::string& certificate_pem, const Secret& private_key_pem) override {
        return shared_.tls.set_certificate(certificate_pem, private_key_pem);
    }
    Status set_client_ca(const std::string& authorities_pem) override {
        return shared_.tls.set_client_authorities(authorities_pem);
    }
    Status listen(const Address& address, bool tls);
    void start() override;
    void stop() override;
    [[nodiscard]] std::vector<std::string> addresses() const override { return addresses_; }
    [[nodiscard]] std::size_t open_connections() const override { return shared_.connections.load(); }
    [[nodiscard]] std::vector<PoolUse> pools() const override;

  private:
    Detached accept_from(Listener& listener);
    void admit(Loop& loop, Socket socket, bool tls);
    Loop& idlest_loop();
    bool wait_for_connections(Micros patience);

    Shared shared_;
    std::deque<Loop> loops_;
    std::deque<Listener> listeners_;
    std::vector<std::string> addresses_;
    Mutex life_;  // start and stop exclude each other
    bool started_ GUARDED_BY(life_) = false;
    bool stopped_ GUARDED_BY(life_) = false;
};

// Listens on every address the name has. One that this machine lacks (IPv6 off) does not matter if another is there.
Status AsioServer::listen(const Address& address, bool tls) {
    DTR_ASSIGN(auto endpoints, resolve(address, loops_.front()));
    std::uint16_t port = address.port;
    error_code last;
    bool any = false;
    for (auto& endpoint : endpoints) {
        endpoint.port(port);
        Acceptor acceptor(loops_.front().context);
        last = listen_on(acceptor, endpoint, address.host.empty());
        if (last == asio::error::address_family_not_supported || last == asio::error::no_protocol_option ||
            last == boost::system::errc::address_not_available)
            continue;
        if (last) return cannot_listen(address, last);
        const auto bound = acceptor.local_endpoint(last);
        port = bound.port();
        addresses_.push_back(text_of({bound.address().to_string(), port}));
        listeners_.push_back({std::move(acceptor), tls});
        any = true;
        if (address.host.empty()) break;  // the IPv6 socket takes both
    }
    if (!any) return cannot_listen(address, last);
    return {};
}

std::vector<PoolUse> AsioServer::pools() const {
    std::vector<PoolUse> all;
    for (const PoolOfWork& pool : shared_.pools) {
        const WorkerPool::Use use = pool.workers.use();
        all.push_back({pool.name, static_cast<unsigned>(use.threads), use.running, use.queued, use.queue_max,
                       pool.refused.load(), pool.abandoned.load()});
    }
    return all;
}

void AsioServer::start() {
    MutexLock lock(life_);
    if (started_ || stopped_) return;
    started_ = true;
    for (Loop& loop : loops_) loop.start();
    asio::post(loops_.front().context, [this] {
        for (Listener& listener : listeners_) accept_from(listener);
    });
}

Loop& AsioServer::idlest_loop() {
    return *std::min_element(loops_.begin(), loops_.end(),
                             [](const Loop& a, const Loop& b) { return a.load < b.load; });
}

Detached AsioServer::accept_from(Listener& listener) {
    Timer timer(loops_.front().context);
    while (!shared_.stopping) {
        Loop& loop = idlest_loop();
        Accept accept(listener.acceptor, loop);
        const error_code ec = co_await accept;
        if (shared_.stopping || ec == asio::error::operation_aborted) break;
        if (ec) {
            log::warn("cannot accept a connection: {}", ec.message());
            Pause pause(timer, kAcceptPause);  // out of descriptors or memory: some may come free
            co_await pause;
            continue;
        }
        admit(loop, std::move(accept.socket), listener.tls);
    }
    error_code ignored;
    listener.acceptor.close(ignored);
}

void AsioServer::admit(Loop& loop, Socket socket, bool tls) {
    const std::size_t before = shared_.connections.load();
    const std::size_t limit = shared_.options.connections_max;
    if (before >= limit + kTurnedAwayMax) return;
    const Admission admission = before < limit ? Admission::serve : Admission::turn_away;
    shared_.connections.fetch_add(1);
    loop.load.fetch_add(1);
    asio::dispatch(loop.context, [&loop, tls, admission, s = std::move(socket)]() mutable {
        Session::start(loop, std::move(s), tls ? Wire::tls : Wire::plain, admission);
    });
}

// False if some are left after that time.
bool AsioServer::wait_for_connections(Micros patience) {
    const Micros deadline = monotonic_now() + patience;
    MutexLock lock(shared_.mutex);
    while (shared_.connections.load() > 0) {
        const Micros left = deadline - monotonic_now();
        if (left <= 0) return false;
        shared_.ended.wait_for(shared_.mutex, std::chrono::microseconds(left));
    }
    return true;
}

void AsioServer::stop() {
    MutexLock lock(life_);
    if (std::exchange(stopped_, true)) return;
    shared_.stopping = true;
    if (started_) {
        asio::post(loops_.front().context, [this] {
            error_code ignored;
            for (Listener& listener : listeners_) listener.acceptor.close(ignored);
        });
        for (Loop& loop : loops_) asio::post(loop.context, [&loop] { loop.stop_idle(); });
        if (!wait_for_connections(shared_.options.drain_timeout))
            log::warn("{} connections did not end in time and were cut", shared_.connections.load());
        shared_.aborting = true;
        for (Loop& loop : loops_) asio::post(loop.context, [&loop] { loop.abort_all(); });
    }
    for (PoolOfWork& pool : shared_.pools) pool.workers.drain();
    if (!started_) return;
    while (!wait_for_connections(kSecond)) {
    }
    for (Loop& loop : loops_) loop.finish();
}

// As many connections as there are descriptors for: three of four, as blobs that are sent and stores take some, too. The
// process gets what the system allows it, if the usual number does not do.
std::size_t connections_for(std::size_t wanted) {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
    const rlim_t needed = wanted + wanted / 3 + 1;
    if (limit.rlim_cur < needed && limit.rlim_cur < limit.rlim_max) {
        rlimit more = limit;
        more.rlim_cur = std::min(needed, limit.rlim_max);
        if (::setrlimit(RLIMIT_NOFILE, &more) == 0) limit = more;
    }
    if (limit.rlim_cur >= needed) return wanted;
    const auto possible = static_cast<std::size_t>(limit.rlim_cur - limit.rlim_cur / 4);
    log::warn("at most {} connections instead of {}: the limit on open files (ulimit -n) is {}", possible, wanted,
              limit.rlim_cur);
    return possible;
}

// Nonsense in options becomes the least that works.
ServerOptions sane(ServerOptions options) {
    const auto at_least = [](auto& value, auto least) {
        value = std::max<std::decay_t<decltype(value)>>(value, least);
    };
    at_least(options.io_threads, 1U);
    for (PoolSize& size : options.pools) {
        at_least(size.threads, 1U);
        at_least(size.queue_max, 1U);
    }
    options.connections_max = connections_for(options.connections_max);
    at_least(options.header_bytes_max, 256U);
    at_least(options.body_buffer_bytes, 4096U);
    return options;
}

}  // namespace

Result<std::unique_ptr<Server>> Server::open(ServerOptions options, Handler& handler) {
    // OpenSSL and sendfile cannot be told per call not to raise it.
    struct sigaction action {};
    if (::sigaction(SIGPIPE, nullptr, &action) == 0 && action.sa_handler == SIG_DFL) std::signal(SIGPIPE, SIG_IGN);

    options = sane(std::move(options));
    const Secret key = std::exchange(options.private_key_pem, Secret());
    const auto tls_addresses = options.tls_addresses;
    const auto plain_addresses = options.plain_addresses;
    const std::string certificate = options.certificate_pem;
    const std::string client_ca = options.client_ca_pem;
    auto server = std::make_unique<AsioServer>(std::move(options), handler);
    if (!tls_addresses.empty() || !certificate.empty()) DTR_TRY(server->set_certificate(certificate, key));
    DTR_TRY(server->set_client_ca(client_ca));
    for (const Address& address : tls_addresses) DTR_TRY(server->listen(address, true));
    for (const Address& address : plain_addresses) DTR_TRY(server->listen(address, false));
    return server;
}

}  // namespace dtr::http
