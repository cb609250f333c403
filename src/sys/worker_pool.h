// A bounded pool of threads for work that blocks. A full queue refuses instead of growing.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace dtr {

class WorkerPool {
  public:
    // `name` shows in thread lists (15 characters at most). queue_max counts waiting tasks only.
    WorkerPool(std::string name, std::size_t threads, std::size_t queue_max);
    ~WorkerPool();  // drain()s
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    // False if the queue is full or the pool is draining: the task was not taken. Tasks must not throw. Thread-safe.
    [[nodiscard]] bool submit(std::function<void()> task);
    // Runs what is queued, takes nothing new, joins the threads. Idempotent.
    void drain();

    struct Use {
        std::size_t threads = 0;
        std::size_t running = 0;  // tasks
        std::size_t queued = 0;
        std::size_t queue_max = 0;
    };
    [[nodiscard]] Use use() const;  // thread-safe

  private:
    void run();

    std::string name_;
    std::size_t queue_max_;
    mutable Mutex mutex_;
    CondVar wake_;
    std::deque<std::function<void()>> queue_ GUARDED_BY(mutex_);
    std::size_t running_ GUARDED_BY(mutex_) = 0;
    bool draining_ GUARDED_BY(mutex_) = false;
    const std::size_t thread_count_;
    std::vector<std::jthread> threads_;
};

}  // namespace dtr
