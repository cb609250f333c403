// The coroutine type of the asynchronous shell: lazy, single-threaded, no exceptions.
//
// Why not asio::awaitable: a connection waits for one thing at a time on one thread, so neither cancellation slots nor
// executors are needed; without them a call that needs no waiting costs one frame, and the file that uses it compiles
// in seconds. A child that ends without waiting continues its parent by returning, not by a jump: g++ promises no
// tail calls in unoptimised builds, and a loop of such children would otherwise eat the stack.
//
// Rules (g++ 12.2): the awaited operand is a plain call whose arguments are named; no lambdas or braces inside it.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

namespace dtr::http {

template <class T>
class Task;

namespace detail {

// Whoever waits for a task is resumed from its end, unless the task ended while it was being started.
struct TaskPromiseBase {
    std::coroutine_handle<> waiter;

    struct FinalAwaiter {
        bool await_ready() noexcept { return false; }
        template <class Promise>
        void await_suspend(std::coroutine_handle<Promise> self) noexcept {
            // The waiter may destroy this frame: nothing of it may be touched afterwards.
            if (const auto parent = self.promise().waiter) parent.resume();
        }
        void await_resume() noexcept {}
    };
    std::suspend_always initial_suspend() noexcept { return {}; }
    FinalAwaiter final_suspend() noexcept { return {}; }
    void unhandled_exception() noexcept { std::terminate(); }  // only bad_alloc can come here
};

template <class T>
struct TaskPromise : TaskPromiseBase {
    std::optional<T> value;
    Task<T> get_return_object();
    void return_value(T v) { value.emplace(std::move(v)); }
    T take() { return std::move(*value); }
};

template <>
struct TaskPromise<void> : TaskPromiseBase {
    Task<void> get_return_object();
    void return_void() {}
    void take() {}
};

}  // namespace detail

template <class T = void>
class [[nodiscard]] Task {
  public:
    using promise_type = detail::TaskPromise<T>;
    using Handle = std::coroutine_handle<promise_type>;

    explicit Task(Handle handle) : handle_(handle) {}
    Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    Task& operator=(Task&&) = delete;
    ~Task() {
        if (handle_) handle_.destroy();
    }

    bool await_ready() noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> waiter) {
        handle_.resume();
        if (handle_.done()) return false;
        handle_.promise().waiter = waiter;
        return true;
    }
    T await_resume() { return handle_.promise().take(); }

  private:
    Handle handle_;
};

template <class T>
Task<T> detail::TaskPromise<T>::get_return_object() {
    return Task<T>(std::coroutine_handle<TaskPromise<T>>::from_promise(*this));
}
inline Task<void> detail::TaskPromise<void>::get_return_object() {
    return Task<void>(std::coroutine_handle<TaskPromise<void>>::from_promise(*this));
}

// A coroutine that nobody waits for: runs at once, frees itself at its end.
struct Detached {
    struct promise_type {
        Detached get_return_object() noexcept { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept { std::terminate(); }
    };
};

}  // namespace dtr::http
