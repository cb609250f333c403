// Deadlines are not timers: a connection writes down when its wait ends, and the loop looks at all of them a few times
// per timeout. Arming a timer twice per request would cost more than parsing the request.
#include "http/loop.h"

#include <pthread.h>

#include <algorithm>
#include <boost/asio/post.hpp>

#include "http/session.h"

namespace dtr::http {

Loop::Loop(Shared& s) : shared(s), request_ids(system_random()) {}

void Loop::start() {
    thread_ = std::thread([this] {
        pthread_setname_np(pthread_self(), "dtr-io");
        context.run();
    });
}

void Loop::finish() {
    asio::post(context, [this] { timer_.cancel(); });
    work_.reset();
    if (thread_.joinable()) thread_.join();
}

void Loop::add(Session& session) {
    session.slot = sessions_.size();
    sessions_.push_back(&session);
    if (!sweeping_) sweep();
}

void Loop::remove(Session& session) {
    Session* const last = sessions_.back();
    sessions_[session.slot] = last;
    last->slot = session.slot;
    sessions_.pop_back();
}

void Loop::stop_idle() {
    stopping = true;
    for (Session* session : sessions_) session->stop_if_idle();
}

void Loop::abort_all() {
    aborting = true;
    for (Session* session : sessions_) session->cancel_wait();
}

Detached Loop::sweep() {
    sweeping_ = true;
    const Micros shortest = std::min(shared.options.header_timeout, shared.options.idle_timeout);
    const Micros period = std::clamp<Micros>(shortest / 8, kSecond / 100, kSecond / 2);
    while (!sessions_.empty()) {
        Pause pause(timer_, period);
        const bool passed = co_await pause;
        if (!passed) break;
        const Micros now = monotonic_now();
        // Cancelling only queues the waits' ends, so no session leaves the list here.
        for (Session* session : sessions_) session->expire(now);
    }
    sweeping_ = false;
}

void Turn::await_suspend(std::coroutine_handle<> handle) {
    asio::post(loop_.context, [handle] { handle.resume(); });
}

}  // namespace dtr::http
