// The coroutine of a connection:
//
//   [PROXY header ->] [handshake ->] { wait for a first byte -> receive a head -> exchange } ... -> linger -> close
//
// It waits in four ways only: for the socket (Wait), for a worker (OnPool), for others to have their turn (Turn), for
// a moment (Pause). Everything between two waits is ordinary code that cannot block. While it waits for a request it
// holds no buffer. Every wait for the socket has a deadline; the head's spans all its reads, so that a client which
// sends a byte now and then gains nothing.
#include "http/session.h"

#include <boost/asio/post.hpp>
#include <ctime>

#include "http/forwarded.h"
#include "http/proxy_protocol.h"
#include "sys/log.h"

namespace dtr::http {
namespace {

constexpr Micros kLinger = 2 * kSecond;
constexpr Micros kLingerWhenStopping = kSecond / 4;
constexpr Micros kTurnAwayTimeout = 2 * kSecond;
constexpr Micros kRetryPool = kSecond / 200;
// A client that pipelines must not keep a thread from its other connections.
constexpr unsigned kInARowMax = 16;

constexpr std::size_t kRefusalsMax = 64;
// Memory goes back to the system when so many connections have been open, and a quarter is left.
constexpr std::size_t kManyConnections = 64;

IpAddress address_of(const asio::ip::address& address) {
    const auto bytes = address.is_v4() ? asio::ip::make_address_v6(asio::ip::v4_mapped, address.to_v4()).to_bytes()
                                       : address.to_v6().to_bytes();
    return IpAddress(bytes);
}

IpAddress peer_of(const Socket& socket) {
    boost::system::error_code ec;
    const auto endpoint = socket.remote_endpoint(ec);
    return ec ? IpAddress() : address_of(endpoint.address());
}

}  // namespace

// Waits for the socket to become readable or writable, at most until the deadline.
class Session::Wait {
  public:
    Wait(Session& session, Next what, Micros deadline) : session_(session), what_(what), deadline_(deadline) {}
    bool await_ready() const { return session_.loop_.aborting; }
    void await_suspend(std::coroutine_handle<> handle) {
        session_.deadline_ = deadline_;
        session_.expired_ = false;
        session_.served_in_a_row_ = 0;
        const auto type = what_ == Next::readable ? Socket::wait_read : Socket::wait_write;
        session_.socket_.async_wait(type, [this, handle](const boost::system::error_code& ec) {
            ready_ = !ec;
            handle.resume();
        });
    }
    Wake await_resume() const {
        session_.deadline_ = 0;
        if (session_.loop_.aborting) return Wake::cancelled;
        if (ready_) return Wake::ready;
        return session_.expired_ ? Wake::expired : Wake::cancelled;
    }

  private:
    Session& session_;
    Next what_;
    Micros deadline_;
    bool ready_ = false;
};

// Runs Exchange::advance() on a worker. False, without having waited, if the pool's queue is full.
class Session::OnPool {
  public:
    OnPool(Session& session, Exchange& exchange, Next& next) : loop_(session.loop_), exchange_(exchange), next_(next) {}
    bool await_ready() const { return false; }
    bool await_suspend(std::coroutine_handle<> handle) {
        handle_ = handle;
        std::function<void()> task = [this] {
            next_ = exchange_.advance();
            asio::post(loop_.context, [this] { handle_.resume(); });
        };
        pool_ = &loop_.shared.pool(exchange_.pool());
        // What has begun is let through: it was allowed once.
        if (exchange_.begun()) pool_->shares.take_anyway(exchange_.client(), 1);
        if (!exchange_.begun() && !pool_->shares.take(exchange_.client(), 1)) return false;
        taken_ = pool_->workers.submit(std::move(task), exchange_.client().site);
        if (!taken_) pool_->shares.give_back(exchange_.client(), 1);
        return taken_;
    }
    bool await_resume() const {
        if (taken_) pool_->shares.give_back(exchange_.client(), 1);
        return taken_;
    }

  private:
    Loop& loop_;
    Exchange& exchange_;
    Next& next_;
    std::coroutine_handle<> handle_;
    PoolOfWork* pool_ = nullptr;
    bool taken_ = false;
};

Session::Session(Loop& loop, Socket socket, SslPtr ssl, unsigned authorities, Admission admission)
    : loop_(loop),
      shared_(loop.shared),
      socket_(std::move(socket)),
      transport_(socket_.native_handle(), std::move(ssl)),
      peer_(peer_of(socket_)),
      peer_text_(peer_.text()),
      authorities_(authorities),
      admission_(admission) {
    loop_.add(*this);
    // A trusted proxy's connections are those of its clients, who are counted each, if it says at once whose they are.
    const bool proxy = shared_.options.trusted_proxies.contains(peer_);
    expects_proxy_header_ = proxy && shared_.options.proxy_protocol;
    if (!proxy) {
        count_for(peer_);
    } else {
        key_ = shared_.client_keys.of(peer_);
        if (admission_ == Admission::turn_away) ++shared_.turned_away;
    }
}

Session::~Session() {
    loop_.remove(*this);
    loop_.load.fetch_sub(1);
    transport_ = Transport(-1, nullptr);
    boost::system::error_code ec;
    socket_.close(ec);
    if (counted_) shared_.connection_shares.give_back(key_, 1);
    if (admission_ == Admission::turn_away) --shared_.turned_away;
    shrink_if_quiet();
    MutexLock lock(shared_.mutex);
    if (shared_.connections.fetch_sub(1) == 1) shared_.ended.notify_all();
}

void Session::start(Loop& loop, Socket socket, Wire wire, Admission admission) {
    boost::system::error_code ec;
    socket.non_blocking(true, ec);
    socket.set_option(asio::ip::tcp::no_delay(true), ec);
    unsigned authorities = 0;
    SslPtr ssl = wire == Wire::tls ? loop.shared.tls.accept_on(socket.native_handle(), authorities) : nullptr;
    const bool usable = wire == Wire::plain || ssl;
    std::unique_ptr<Session> session(new Session(loop, std::move(socket), std::move(ssl), authorities, admission));
    const bool answered = session->admission_ == Admission::serve || loop.shared.turned_away <= kRefusalsMax;
    if (usable && answered) run(std::move(session));
}

// The connection is one of theirs from now on; if they have too many, it is turned away.
void Session::count_for(const IpAddress& client) {
    key_ = shared_.client_keys.of(client);
    if (admission_ == Admission::serve) {
        counted_ = shared_.connection_shares.take(key_, 1);
        if (counted_) return;
        admission_ = Admission::turn_away;
    } else if (expects_proxy_header_) {
        return;  // counted when it came
    }
    ++shared_.turned_away;
}

// After many have left, their memory goes back: on a worker, as it takes a moment.
void Session::shrink_if_quiet() {
    const std::size_t left = shared_.connections.load() - 1;
    std::size_t peak = shared_.connections_peak.load();
    if (left + 1 > peak) shared_.connections_peak = left + 1;
    if (peak < kManyConnections || left > peak / 4) return;
    if (!shared_.connections_peak.compare_exchange_strong(peak, left)) return;
    (void)shared_.pool(Pool::lookup).workers.submit([] { shrink_heap(); });
}

void Session::expire(Micros now) {
    if (deadline_ == 0 || now < deadline_) return;
    deadline_ = 0;
    expired_ = true;
    cancel_wait();
}

void Session::stop_if_idle() {
    if (state_ != State::busy) cancel_wait();
}

void Session::cancel_wait() {
    boost::system::error_code ec;
    socket_.cancel(ec);
}

Detached Session::run(std::unique_ptr<Session> session) {
    Session& self = *session;
    bool going = true;
    if (self.expects_proxy_header_) going = co_await self.receive_proxy_header();
    if (going && self.transport_.tls()) going = co_await self.handshake();
    while (going) {
        going = co_await self.await_request();
        if (!going) break;
        going = co_await self.serve();
        if (going && ++self.served_in_a_row_ >= kInARowMax) {
            self.served_in_a_row_ = 0;
            Turn turn(self.loop_);
            co_await turn;
        }
    }
    if (self.fate_ == Fate::finish) co_await self.linger();
}

// Reads the header alone, as what follows is for TLS.
Task<bool> Session::receive_proxy_header() {
    const Micros deadline = monotonic_now() + shared_.options.header_timeout;
    std::string bytes;
    while (true) {
        const ProxyHeader header = parse_proxy_header(bytes);
        if (header.state == ProxyHeader::State::bad) {
            log::warn("{} is a trusted proxy, but its connection does not begin with a PROXY header", peer_text_);
            co_return false;
        }
        if (header.state == ProxyHeader::State::done) {
            if (header.source) set_peer(*header.source);
            count_for(peer_);
            co_return true;
        }
        const IoResult r = transport_.receive_raw(loop_.scratch.get(), std::min(header.missing, Loop::kScratchBytes));
        if (r.state == Io::done) bytes.append(loop_.scratch.get(), r.bytes);
        if (r.state == Io::done) continue;
        if (r.state != Io::want_read) co_return false;
        Wait wait(*this, Next::readable, deadline);
        const Wake wake = co_await wait;
        if (wake != Wake::ready) co_return false;
    }
}

void Session::set_peer(const IpAddress& peer) {
    peer_ = peer;
    peer_text_ = peer.text();
}

// Who asks: the peer, or whom a trusted proxy names.
ClientKey Session::name_client(Request& request) {
    request.tls = transport_.tls();
    request.proxy.clear();
    request.peer = peer_text_;
    if (shared_.options.trusted_proxies.empty() || !shared_.options.trusted_proxies.contains(peer_)) return key_;
    request.proxy = peer_text_;
    const auto client = forwarded_client(shared_.options.trusted_proxies, request.headers);
    if (!client) return key_;
    request.peer = client->text();
    return shared_.client_keys.of(*client);
}

void Session::name_request(Request& request) {
    const std::string_view given = request.proxy.empty() ? std::string_view() : forwarded_id(request.headers);
    if (given.empty())
        loop_.request_ids.next(request.id);
    else
        request.id.assign(given);
}

// HTTP/1.0 needs no Host, and it may be empty: what the client has connected to is as good.
void Session::supply_host(Request& request) {
    if (!request.header("Host").empty()) return;
    boost::system::error_code ec;
    const auto local = socket_.local_endpoint(ec);
    if (ec) return;
    const std::string address = address_of(local.address()).text();
    const bool v6 = address.find(':') != std::string::npos;
    set_host(request, fmt::format("{}{}{}:{}", v6 ? "[" : "", address, v6 ? "]" : "", local.port()));
}

Task<bool> Session::handshake() {
    const Micros patience = admission_ == Admission::serve ? shared_.options.header_timeout
                                                           : std::min(kTurnAwayTimeout, shared_.options.header_timeout);
    const Micros deadline = monotonic_now() + patience;
    while (true) {
        const IoResult r = transport_.handshake();
        if (r.state == Io::done) {
            client_ = transport_.client_certificate();
            co_return true;
        }
        if (r.state == Io::closed) {
            if (const std::string why = transport_.certificate_refusal(); !why.empty())
                log::info("{} presented a client certificate that is not accepted: {}", peer_text_, why);
            if (transport_.fall_back_to_plain()) {
                const HeadEnd head_end{0, 400, "this port uses TLS: use https"};
                fate_ = co_await refuse(head_end);
            }
            co_return false;
        }
        const Next what = r.state == Io::want_read ? Next::readable : Next::writable;
        Wait wait(*this, what, deadline);
        const Wake wake = co_await wait;
        if (wake != Wake::ready) co_return false;
    }
}

Io Session::fill_input() {
    const IoResult r = transport_.read(loop_.scratch.get(), Loop::kScratchBytes);
    if (r.state == Io::done) input_.append({loop_.scratch.get(), r.bytes});
    return r.state;
}

// True when bytes of a request are there; false if the connection ends instead, for want of one or of time.
Task<bool> Session::await_request() {
    fate_ = Fate::abort;
    if (!input_.empty()) co_return true;
    if (loop_.stopping) co_return false;
    const Micros patience = admission_ == Admission::serve ? shared_.options.idle_timeout : kTurnAwayTimeout;
    const Micros deadline = monotonic_now() + patience;
    bool try_first = !transport_.drained();
    while (true) {
        Io state = Io::want_read;
        if (std::exchange(try_first, true)) state = fill_input();
        if (state == Io::done) co_return true;
        if (state == Io::closed || state == Io::failed) co_return false;
        input_.release_if_empty();
        state_ = State::idle;
        const Next what = state == Io::want_read ? Next::readable : Next::writable;
        Wait wait(*this, what, deadline);
        const Wake wake = co_await wait;
        state_ = State::busy;
        if (wake == Wake::ready) continue;
        // stop() may have been faster than a request that has arrived already.
        if (wake == Wake::cancelled && !loop_.aborting && fill_input() == Io::done) co_return true;
        transport_.end_sending();
        co_return false;
    }
}

// Gathers one whole head in the input.
Task<Session::HeadEnd> Session::receive_head() {
    const std::size_t limit = shared_.options.header_bytes_max;
    Micros deadline = 0;
    std::size_t searched = 0;
    while (true) {
        while (searched == 0 && (input_.view().starts_with('\r') || input_.view().starts_with('\n')))
            input_.consume(1);  // empty lines before a request are to be ignored (RFC 9112 section 2.2)
        const std::string_view bytes = input_.view();
        const std::size_t end = find_head_end(bytes, searched);
        if (end != std::string_view::npos && end <= limit) co_return HeadEnd{end, 0, ""};
        if (end != std::string_view::npos || bytes.size() > limit)
            co_return HeadEnd{0, 431, "the request line and headers are too long"};
        if (hopeless_head(bytes)) co_return HeadEnd{0, 400, "this is not an HTTP/1.1 request"};
        searched = bytes.size();
        if (deadline == 0)
            deadline =
                monotonic_now() + (admission_ == Admission::serve ? shared_.options.header_timeout : kTurnAwayTimeout);
        const Io state = fill_input();
        if (state == Io::done) continue;
        if (state == Io::closed || state == Io::failed) co_return HeadEnd{};
        const Next what = state == Io::want_read ? Next::readable : Next::writable;
        Wait wait(*this, what, deadline);
        const Wake wake = co_await wait;
        if (wake == Wake::expired) co_return HeadEnd{0, 408, "the request's headers took too long"};
        if (wake == Wake::cancelled) co_return HeadEnd{};
    }
}

// Serves one request. True if another may follow.
Task<bool> Session::serve() {
    HeadEnd head_end = co_await receive_head();
    if (head_end.size == 0) {
        if (head_end.refusal != 0) fate_ = co_await refuse(head_end);
        co_return false;
    }
    const Micros since = monotonic_now();
    Request request = std::move(loop_.request);
    const Result<Head> head = parse_head(input_.view().substr(0, head_end.size), request);
    if (!head) read_request_line(input_.view().substr(0, head_end.size), request);
    const ClientKey client = name_client(request);
    name_request(request);
    if (head) supply_host(request);
    const bool was_known = !client_.common_name.empty();
    forget_client_if_over();
    request.client_certificate = client_.common_name;
    input_.consume(head_end.size);
    Head facts = head ? *head : Head{};
    if (admission_ == Admission::turn_away || (was_known && client_.common_name.empty())) facts.keep_alive = false;
    Exchange exchange(shared_, transport_, input_, facts, std::move(request), client);
    if (!head) {
        exchange.refuse(refusal_status(head.error()), head.error().message);
    } else if (admission_ == Admission::turn_away) {
        exchange.refuse(503, "too many connections");
    } else {
        decide_now(exchange);
    }
    fate_ = co_await conduct(exchange);
    if (fate_ == Fate::abort) transport_.reset();
    report(exchange, since);
    loop_.request = exchange.take_request();
    co_return fate_ == Fate::keep;
}

// An answer to something that is not a request.
Task<Fate> Session::refuse(HeadEnd head_end) {
    const Micros since = monotonic_now();
    Request request;
    read_request_line(input_.view(), request);
    const ClientKey client = name_client(request);
    name_request(request);
    Exchange exchange(shared_, transport_, input_, Head{}, std::move(request), client);
    exchange.refuse(head_end.refusal, head_end.detail);
    const Fate fate = co_await conduct(exchange);
    report(exchange, since);
    co_return fate;
}

// A connection may outlive its client's certificate, or the authority that it was held to.
void Session::forget_client_if_over() {
    if (client_.common_name.empty()) return;
    if (authorities_ != shared_.tls.authorities() || std::time(nullptr) > client_.ends) client_ = {};
}

// Asks the handler for an answer at once, else for the pool.
void Session::decide_now(Exchange& exchange) {
    const log::RequestScope scope(exchange.request().id);
    const char* what = "an unknown exception";
    try {
        if (auto response = shared_.handler.try_now(exchange.request())) {
            exchange.answer(std::move(*response));
        } else {
            exchange.follow(shared_.handler.plan(exchange.request()));
        }
        return;
    } catch (const std::exception& e) {
        what = e.what();
        exchange.crash("handler", what);
    } catch (...) {
        exchange.crash("handler", what);
    }
}

Task<Fate> Session::conduct(Exchange& exchange) {
    std::uint64_t progress_at_expiry = 0;
    Measured pace;
    bool late = false;
    while (true) {
        Next next = Next::done;
        bool advanced = true;
        if (exchange.needs_worker()) {
            advanced = co_await advance_on_pool(exchange, next);
        } else {
            next = exchange.advance();
        }
        if (!advanced) break;
        if (late && exchange.progress() == progress_at_expiry && next != Next::done) break;
        late = false;
        if (next == Next::done) co_return exchange.fate();
        if (next == Next::again) continue;
        if (const Micros end = exchange.body_deadline(); end != 0 && monotonic_now() >= end) {
            exchange.time_out();
            continue;
        }
        if (is_too_slow(pace, exchange.progress())) {
            exchange.time_out();
            continue;
        }
        const Micros began = monotonic_now();
        const Micros patience = exchange.patience() != 0 ? exchange.patience() : shared_.options.idle_timeout;
        Micros deadline = began + patience;
        if (const Micros end = exchange.body_deadline(); end != 0) deadline = std::min(deadline, end);
        Wait wait(*this, next, deadline);
        const Wake wake = co_await wait;
        if (wake == Wake::cancelled) break;
        pace.waited += monotonic_now() - began;
        // A socket that gathers bytes may hold some without having reported them: only an empty read is the end.
        late = wake == Wake::expired && monotonic_now() - began >= patience;
        progress_at_expiry = exchange.progress();
    }
    co_await give_up(exchange);
    co_return Fate::abort;
}

// Only the time in which we wait for the client counts. Slow and honest clients are welcome while there is room for others.
bool Session::is_too_slow(Measured& pace, std::uint64_t progress) {
    const ServerOptions& options = shared_.options;
    if (pace.waited >= options.transfer_window) {
        const std::uint64_t least = options.transfer_rate * static_cast<std::uint64_t>(pace.waited) / kSecond;
        pace.slow = progress - pace.progress < least;
        pace.waited = 0;
        pace.progress = progress;
    }
    return pace.slow && shared_.connections.load() >= options.connections_max - options.connections_max / 4;
}

// One advance() on a worker. Work that has not begun and finds the queue full is refused; what was begun tries again until
// there is room. False: the server is being stopped.
Task<bool> Session::advance_on_pool(Exchange& exchange, Next& next) {
    while (true) {
        OnPool on_pool(*this, exchange, next);
        const bool taken = co_await on_pool;
        if (taken) co_return true;
        if (shared_.aborting) co_return false;
        if (!exchange.begun()) {
            const bool password = exchange.pool() == Pool::password;
            ++shared_.pool(exchange.pool()).refused;
            exchange.refuse(password ? 429 : 503, password ? "too many logins are waiting: try again in a moment"
                                                           : "all workers are busy, and too many requests are waiting");
            next = Next::again;
            co_return true;
        }
        Timer timer(loop_.context);
        Pause pause(timer, kRetryPool);
        co_await pause;
    }
}

// Sinks and sources may have files to close and rows to write, so they die on a worker.
Task<void> Session::give_up(Exchange& exchange) {
    exchange.give_up();
    Next next = Next::done;
    if (exchange.holds_resources()) co_await advance_on_pool(exchange, next);
    exchange.advance();  // does nothing more if a worker did it
}

// Ends the sending direction and reads on for a while: a socket closed with unread bytes resets the connection, and
// the client would lose the answer.
Task<void> Session::linger() {
    transport_.end_sending();
    state_ = State::lingering;
    const Micros deadline = monotonic_now() + (loop_.stopping ? kLingerWhenStopping : kLinger);
    while (monotonic_now() < deadline) {
        const IoResult r = transport_.receive_raw(loop_.scratch.get(), Loop::kScratchBytes);
        if (r.state == Io::closed) break;
        Wait wait(*this, Next::readable, deadline);
        const Wake wake = co_await wait;
        if (wake != Wake::ready) break;
    }
}

void Session::report(const Exchange& exchange, Micros since) {
    if (!exchange.was_answered()) return;
    const log::RequestScope scope(exchange.request().id);
    Answered answered = exchange.answered();
    answered.duration = monotonic_now() - since;
    try {
        shared_.handler.answered(exchange.request(), answered);
    } catch (const std::exception& e) {
        log::error("the handler failed to report an answer: {}", e.what());
    } catch (...) {
        log::error("the handler failed to report an answer");
    }
}

}  // namespace dtr::http
