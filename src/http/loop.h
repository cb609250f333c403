// One I/O thread: its reactor, its connections, and the buffers they share because only one of them runs at a time.
#pragma once

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <thread>
#include <vector>

#include "http/request_id.h"
#include "http/shared.h"
#include "http/task.h"

namespace dtr::http {

namespace asio = boost::asio;
using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<asio::ip::tcp, Executor>;
using Timer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;

class Session;

// All but the constructor, run() and the atomics belongs to the loop's own thread.
class Loop {
  public:
    static constexpr std::size_t kScratchBytes = 64U << 10;

    explicit Loop(Shared& shared);

    void start();   // the thread
    void finish();  // ends it; no connection may be left

    void add(Session& session);
    void remove(Session& session);
    void stop_idle();  // ends connections that wait for a request
    void abort_all();  // ends all waiting

    Shared& shared;
    asio::io_context context{1};
    bool stopping = false;
    bool aborting = false;
    std::atomic<std::size_t> load{0};  // connections, also those on their way here
    std::unique_ptr<char[]> scratch = std::make_unique_for_overwrite<char[]>(kScratchBytes);
    Request request;  // memory for the next head
    RequestIds request_ids;

  private:
    Detached sweep();

    asio::executor_work_guard<Executor> work_{context.get_executor()};
    Timer timer_{context};
    bool sweeping_ = false;
    std::vector<Session*> sessions_;
    std::thread thread_;
};

// co_await pause(timer, duration): false if the timer was cancelled.
class Pause {
  public:
    Pause(Timer& timer, Micros duration) : timer_(timer) { timer_.expires_after(std::chrono::microseconds(duration)); }
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
        timer_.async_wait([this, handle](const boost::system::error_code& ec) {
            ok_ = !ec;
            handle.resume();
        });
    }
    bool await_resume() const { return ok_; }

  private:
    Timer& timer_;
    bool ok_ = false;
};

// co_await turn(loop): lets everything else that is ready on this thread run first.
class Turn {
  public:
    explicit Turn(Loop& loop) : loop_(loop) {}
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> handle);
    void await_resume() const {}

  private:
    Loop& loop_;
};

}  // namespace dtr::http
