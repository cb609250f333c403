// Stages: [admit ->] call -> [receive -> finish ->] send | stream -> [drain ->] over.
//
//   admit    the handler finds out who asks                                    worker, plan.admit_on
//   call     the handler answers, or asks for the body with a sink             worker, plan.handle_on
//   receive  the sink gets the body                                            worker; a small body's: lookup
//   finish   the sink answers                                                  worker, as it says
//   send     head and a body in memory                                         any thread
//   stream   head and a source: sendfile, or a buffer at a time                worker, transfer
//   drain    a short body that nobody wanted, so that the connection can stay  any thread
//
// Between stages of different pools the exchange changes threads. What the handler has not begun is not begun for a client
// who has left.
//
// Workers read from and write to the socket themselves. It never blocks, so a slow client cannot hold a worker; a fast
// one is served without a change of threads, from one buffer that stays in the worker's cache, and buffers exist per
// worker instead of per connection. Only what the socket would not take of a chunk is kept for a slow reader.
#include "http/exchange.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "sys/log.h"

namespace dtr::http {
namespace {

constexpr std::uint64_t kDrainMax = 64U << 10;
constexpr std::size_t kFileSlice = 1U << 20;
// After so many bytes a transfer goes to the end of the queue.
constexpr std::size_t kTurnBytes = 8U << 20;
// So does one that has held its worker for so long, as where a step of it is work of its own.
constexpr Micros kTurnTime = kSecond / 4;
// A client that takes no more is left with a chunk of ours: a small one, unless it has proven to be quick.
constexpr std::size_t kSlowChunk = 48U << 10;
constexpr std::uint64_t kProvenBytes = 1U << 20;
// Room around a chunk for its framing.
constexpr std::size_t kChunkHead = 18;  // 16 digits, CRLF
constexpr std::size_t kChunkTail = 2;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr std::string_view kLastChunk = "0\r\n\r\n";

// The calling thread's transfer buffer.
char* thread_buffer(std::size_t size) {
    thread_local std::unique_ptr<char[]> buffer;
    thread_local std::size_t capacity = 0;
    if (capacity < size) {
        buffer = std::make_unique_for_overwrite<char[]>(size);
        capacity = size;
    }
    return buffer.get();
}

}  // namespace

Exchange::Exchange(Shared& shared, Transport& transport, Input& input, const Head& head, Request request,
                   const ClientKey& client)
    : shared_(shared),
      transport_(transport),
      head_(head),
      request_(std::move(request)),
      client_(client),
      memory_(shared.memory, client),
      body_(head, input, transport),
      invited_(!head.expects_continue) {}

void Exchange::follow(const Plan& plan) {
    plan_ = plan;
    finish_on_ = plan.handle_on;
    stage_ = plan.admit_on ? Stage::admit : Stage::call;
}

Pool Exchange::pool() const {
    switch (stage_) {
        case Stage::admit:
            return plan_.admit_on.value_or(plan_.handle_on);
        case Stage::receive:  // receiving it slowly is not a job for a small pool
            return plan_.pace == Pace::small_body ? Pool::lookup : plan_.handle_on;
        case Stage::finish:
            return finish_on_;
        case Stage::stream:
            return plan_.handle_on == Pool::stream ? Pool::stream : Pool::transfer;
        default:
            return plan_.handle_on;
    }
}

Answered Exchange::answered() const {
    Answered done;
    done.status = status_;
    done.sent = sent_ > framing_bytes_ ? sent_ - framing_bytes_ : 0;
    done.received = body_.decoded();
    done.user = user_;
    return done;
}

Next Exchange::advance() {
    const log::RequestScope scope(request_.id);
    turn_bytes_ = 0;
    turn_began_ = monotonic_now();
    const Pool here = pool();
    if (!given_up_ && client_left()) {
        ++shared_.pool(here).abandoned;
        given_up_ = true;
    }
    const bool on_worker = needs_worker();
    while (true) {
        if (const auto next = step()) return *next;
        if (needs_worker() && (!on_worker || pool() != here)) return Next::again;
    }
}

// Who ends the sending direction may still be reading, so that is the end only where work is dear.
bool Exchange::client_left() const {
    if (!is_handlers()) return false;
    const Pool here = pool();
    return transport_.peer_left(here == Pool::lookup || here == Pool::transfer ? Departure::broken : Departure::ended);
}

// Nothing: the next step can follow at once.
std::optional<Next> Exchange::step() {
    if (given_up_ || shared_.aborting.load(std::memory_order_relaxed)) return end(Fate::abort);
    if (timed_out_) {
        if (stage_ != Stage::receive) return end(Fate::abort);
        timed_out_ = false;
        sink_.reset();
        refuse(408, "the body took too long");
        return {};
    }
    switch (stage_) {
        case Stage::admit:
            return admit();
        case Stage::call:
            return call();
        case Stage::receive:
            return receive();
        case Stage::finish:
            return finish_sink();
        case Stage::send:
            return send();
        case Stage::stream:
            return file_ ? stream_file() : stream_source();
        case Stage::drain:
            return drain();
        case Stage::over:
            break;
    }
    return Next::done;
}

std::optional<Next> Exchange::end(Fate fate) {
    sink_.reset();
    source_.reset();
    fate_ = fate;
    stage_ = Stage::over;
    return Next::done;
}

std::optional<Next> Exchange::wait_for(Io state) {
    switch (state) {
        case Io::want_read:
            return Next::readable;
        case Io::want_write:
            return Next::writable;
        default:
            return end(Fate::abort);
    }
}

// True if this turn has lasted long enough.
bool Exchange::spend(std::size_t bytes) {
    turn_bytes_ += bytes;
    return turn_bytes_ >= kTurnBytes || monotonic_now() - turn_began_ >= kTurnTime;
}

// --- the handler ---

Response Exchange::make_refusal(int status, std::string_view detail) {
    const log::RequestScope scope(request_.id);
    Response response;
    try {
        response = shared_.handler.refusal(request_, status, detail);
    } catch (...) {
        response = Response{};
        response.status = status;
        response.body.assign(detail).push_back('\n');
    }
    if ((status == 503 || status == 429) && !has_header(response.headers, "Retry-After"))
        response.set("Retry-After", "1");
    return response;
}

// A handler must not throw: our bug, told in the log, not to the client. A path may be a secret; the access log, which knows
// which parts are, has it under the same id.
Response Exchange::crashed(std::string_view where, std::string_view what) {
    log::error("{} failed on {}: {}", where, printable(request_.method), printable(what));
    return make_refusal(500, "internal error");
}

void Exchange::refuse(int status, std::string_view detail) {
    answer(make_refusal(status, detail));
}

std::optional<Next> Exchange::admit() {
    stage_ = Stage::call;
    try {
        if (auto response = shared_.handler.admit(request_)) answer(std::move(*response));
    } catch (const std::exception& e) {
        answer(crashed("handler", e.what()));
    } catch (...) {
        answer(crashed("handler", "an unknown exception"));
    }
    return {};
}

std::optional<Next> Exchange::call() {
    std::optional<Reply> reply;
    try {
        Request copy = request_;
        reply.emplace(shared_.handler.handle(std::move(copy)));
    } catch (const std::exception& e) {
        reply.emplace(crashed("handler", e.what()));
    } catch (...) {
        reply.emplace(crashed("handler", "an unknown exception"));
    }
    if (auto* response = std::get_if<Response>(&*reply)) {
        answer(std::move(*response));
        return {};
    }
    sink_ = std::get<std::unique_ptr<BodySink>>(std::move(*reply));
    if (!sink_) {
        answer(crashed("handler", "neither a response nor a sink"));
        return {};
    }
    sink_used_ = true;
    if (!invited_ && !body_.begun()) {
        pending_ = kContinue;
        framing_bytes_ += kContinue.size();
    }
    invited_ = true;
    receiving_since_ = monotonic_now();
    stage_ = Stage::receive;
    return {};
}

Micros Exchange::body_deadline() const {
    if (stage_ != Stage::receive || plan_.pace != Pace::small_body) return 0;
    const std::uint64_t bytes = head_.chunked ? body_.received() : head_.length;
    const ServerOptions& options = shared_.options;
    return receiving_since_ + options.small_body_timeout +
           static_cast<Micros>(bytes / options.small_body_rate) * kSecond;
}

// False: no more of the body is wanted; if the sink has crashed, the answer is already there.
bool Exchange::feed_sink(std::string_view bytes) {
    try {
        return sink_->write(bytes);
    } catch (const std::exception& e) {
        answer(crashed("body sink", e.what()));
    } catch (...) {
        answer(crashed("body sink", "an unknown exception"));
    }
    return false;
}

std::optional<Next> Exchange::receive() {
    if (const auto blocked = flush_pending()) return blocked;
    const std::size_t capacity = shared_.options.body_buffer_bytes;
    char* const buffer = thread_buffer(kChunkHead + capacity + kChunkTail);
    while (!body_.finished()) {
        const BodyReader::Piece piece = body_.read(buffer, capacity);
        if (piece.bytes > 0 && !feed_sink({buffer, piece.bytes})) {
            if (stage_ != Stage::receive) return {};
            return received();
        }
        if (!memory_.keep(sink_->held())) {
            sink_.reset();
            refuse(503, "the server is receiving and sending too much at the moment");
            return {};
        }
        if (piece.malformed) {
            sink_.reset();
            refuse(400, "the chunked transfer coding of the body is malformed");
            return {};
        }
        if (piece.bytes == 0 && piece.state != Io::done) {
            if (piece.state == Io::want_read) body_.gather();
            return wait_for(piece.state);
        }
        if (spend(piece.bytes)) return Next::again;
    }
    return received();
}

std::optional<Next> Exchange::received() {
    stage_ = Stage::finish;
    try {
        finish_on_ = sink_->finish_on().value_or(plan_.handle_on);
    } catch (const std::exception& e) {
        answer(crashed("body sink", e.what()));
    } catch (...) {
        answer(crashed("body sink", "an unknown exception"));
    }
    return {};
}

std::optional<Next> Exchange::finish_sink() {
    std::optional<Response> response;
    try {
        response.emplace(sink_->finish());
    } catch (const std::exception& e) {
        response.emplace(crashed("body sink", e.what()));
    } catch (...) {
        response.emplace(crashed("body sink", "an unknown exception"));
    }
    answer(std::move(*response));
    return {};
}

// --- the answer ---

// Whether there is memory for a body that the client may be slow to take.
bool Exchange::fits(const Response& response) {
    if (response.source || request_.method == "HEAD") return true;
    return response.shared_body ? memory_.keep(response.shared_body) : memory_.keep(response.body.size());
}

void Exchange::answer(Response response) {
    sink_.reset();
    memory_.release();
    if (!fits(response)) response = make_refusal(503, "the server is receiving and sending too much at the moment");
    framing_ = frame_source(response);
    if (request_.method == "HEAD" || framing_.kind == Framing::Kind::bodiless) {
        response.body.clear();
        response.shared_body.reset();
        response.source.reset();
    }
    keep_ = may_keep(response, framing_);
    const auto persistence = !keep_         ? Persistence::close
                             : head_.http10 ? Persistence::http10_keep
                                            : Persistence::http11_keep;
    const std::size_t before = pending_.size();
    append_head(pending_, response.status, response.headers, framing_, persistence, request_.id);
    framing_bytes_ += pending_.size() - before;
    status_ = response.status;
    user_ = std::move(response.user);
    text_ = std::move(response.body);
    shared_text_ = std::move(response.shared_body);
    source_ = std::move(response.source);
    patience_ = response.patience;
    if (!source_) {
        file_.reset();
        stage_ = Stage::send;
        return;
    }
    source_left_ = framing_.length;
    head_waits_ = true;
    stage_ = Stage::stream;
}

Framing Exchange::frame_source(const Response& response) {
    using Kind = Framing::Kind;
    if (response.status < 200 || response.status == 204 || response.status == 304) return {Kind::bodiless, 0};
    if (!response.source) {
        const bool told = request_.method == "HEAD" && response.content_length;
        return {Kind::length, told ? *response.content_length : response.text().size()};
    }
    file_ = response.source->file();
    const auto length = file_ && !response.content_length ? file_->length : response.content_length;
    if (transport_.tls()) file_.reset();
    if (length) return {Kind::length, *length};
    return {head_.http10 ? Kind::until_close : Kind::chunked, 0};
}

bool Exchange::may_keep(const Response& response, Framing framing) const {
    if (!head_.keep_alive || response.close || framing.kind == Framing::Kind::until_close) return false;
    if (shared_.stopping.load(std::memory_order_relaxed)) return false;
    if (body_.finished()) return true;
    // An uninvited client may send its body or leave it out, so nobody knows where the next request begins.
    return !sink_used_ && body_.at_most(kDrainMax) && (invited_ || body_.at_hand());
}

// Sends what is pending and then `behind`, of which `taken` bytes were taken in the end.
std::optional<Next> Exchange::flush(std::string_view behind, Transport::Follows follows, std::size_t& taken) {
    taken = 0;
    while (pending_sent_ < pending_.size() || taken < behind.size()) {
        const std::string_view first = std::string_view(pending_).substr(pending_sent_);
        const IoResult r = transport_.write(first, behind.substr(taken), follows);
        if (r.state != Io::done) return wait_for(r.state);
        sent_ += r.bytes;
        const std::size_t of_first = std::min(r.bytes, first.size());
        pending_sent_ += of_first;
        taken += r.bytes - of_first;
    }
    pending_.clear();
    pending_sent_ = 0;
    return {};
}

std::optional<Next> Exchange::flush_pending() {
    std::size_t taken = 0;
    return flush({}, Transport::Follows::nothing, taken);
}

std::optional<Next> Exchange::send() {
    std::size_t taken = 0;
    const std::string_view text = shared_text_ ? std::string_view(*shared_text_) : std::string_view(text_);
    const auto blocked = flush(text.substr(text_sent_), Transport::Follows::nothing, taken);
    text_sent_ += taken;
    if (blocked) return blocked;
    return sent_all();
}

std::optional<Next> Exchange::sent_all() {
    source_.reset();
    shared_text_.reset();
    memory_.release();
    if (!keep_) return end(Fate::finish);
    if (body_.finished()) return end(Fate::keep);
    stage_ = Stage::drain;
    return {};
}

std::optional<Next> Exchange::stream_file() {
    if (head_waits_ || !pending_.empty()) {
        std::size_t taken = 0;
        const auto follows = source_left_ > 0 ? Transport::Follows::more : Transport::Follows::nothing;
        if (const auto blocked = flush({}, follows, taken)) return blocked;
        head_waits_ = false;
    }
    while (source_left_ > 0) {
        const auto want = static_cast<std::size_t>(std::min({source_left_, file_->length, std::uint64_t{kFileSlice}}));
        const IoResult r = want == 0 ? IoResult{} : transport_.send_file(file_->fd, file_->offset, want);
        if (r.state == Io::failed || (r.state == Io::done && r.bytes == 0)) {
            log::error("cannot send the whole body of an answer: {} bytes are missing: {}", source_left_,
                       r.state == Io::failed ? std::strerror(errno) : "the file is too short");
            return end(Fate::abort);
        }
        if (r.state != Io::done) return wait_for(r.state);
        sent_ += r.bytes;
        source_left_ -= r.bytes;
        file_->offset += r.bytes;
        file_->length -= r.bytes;
        if (source_left_ > 0 && spend(r.bytes)) return Next::again;
    }
    return sent_all();
}

std::optional<Next> Exchange::stream_source() {
    const std::size_t capacity = shared_.options.body_buffer_bytes;
    char* const buffer = thread_buffer(kChunkHead + capacity + kChunkTail);
    const bool measured = framing_.kind == Framing::Kind::length;
    while (true) {
        const bool slow = sent_ < kProvenBytes || transport_.unsent() > kSlowChunk;
        if (!std::exchange(head_waits_, false))
            if (const auto blocked = flush_pending()) return blocked;
        if (!source_ || (measured && source_left_ == 0)) {
            if (const auto blocked = flush_pending()) return blocked;
            return sent_all();
        }
        std::size_t want = slow ? std::min(capacity, kSlowChunk) : capacity;
        if (measured) want = static_cast<std::size_t>(std::min<std::uint64_t>(want, source_left_));
        Result<std::size_t> got = fail(ErrorCode::internal, "it threw an exception");
        try {
            got = source_->read(buffer + kChunkHead, want);
        } catch (const std::exception& e) {
            got = fail(ErrorCode::internal, e.what());
        } catch (...) {
        }
        if (got && measured && *got == 0) got = fail(ErrorCode::internal, "it ended before its length");
        if (!got || *got > want) {
            log::error("cannot send the whole body of an answer: {}",
                       got ? "it returned more than was asked for" : printable(got.error().text()));
            return end(Fate::abort);
        }
        if (measured) source_left_ -= *got;
        if (const auto blocked = send_chunk(buffer, *got)) return blocked;
        if (source_ && spend(*got)) return Next::again;
    }
}

// Sends `size` bytes that lie at buffer + kChunkHead, framed. None: the source has ended.
std::optional<Next> Exchange::send_chunk(char* buffer, std::size_t size) {
    std::string_view bytes(buffer + kChunkHead, size);
    if (size == 0) source_.reset();
    if (framing_.kind == Framing::Kind::chunked) {
        if (size == 0) {
            bytes = kLastChunk;
            framing_bytes_ += bytes.size();
        } else {
            char digits[16];
            const auto end_of_digits = std::to_chars(digits, digits + sizeof digits, size, 16).ptr;
            const auto count = static_cast<std::size_t>(end_of_digits - digits);
            char* const start = buffer + kChunkHead - 2 - count;
            std::memcpy(start, digits, count);
            std::memcpy(start + count, "\r\n", 2);
            std::memcpy(buffer + kChunkHead + size, "\r\n", kChunkTail);
            bytes = {start, count + 2 + size + kChunkTail};
            framing_bytes_ += count + 2 + kChunkTail;
        }
    }
    std::size_t taken = 0;
    const auto blocked = flush(bytes, Transport::Follows::nothing, taken);
    if (blocked && stage_ != Stage::over) {
        pending_.erase(0, std::exchange(pending_sent_, 0));
        pending_.append(bytes.substr(taken));
    }
    return blocked;
}

std::optional<Next> Exchange::drain() {
    char scratch[8192];
    while (!body_.finished()) {
        const BodyReader::Piece piece = body_.read(scratch, sizeof scratch);
        if (piece.bytes == 0 && piece.state != Io::done) return wait_for(piece.state);
    }
    return end(Fate::keep);
}

}  // namespace dtr::http
