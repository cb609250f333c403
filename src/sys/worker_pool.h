// A bounded pool of threads for work that blocks. A full queue refuses instead of growing.
//
// Tasks run in their order; or, where they take long, so that no owner keeps the others waiting: next is one of whoever has
// the fewest running, and nobody has more than so many at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace dtr {

class WorkerPool {
  public:
    static constexpr std::size_t kInOrder = 0;
    // `name` shows in thread lists (15 characters at most). queue_max counts waiting tasks only. running_max: of one owner.
    WorkerPool(std::string name, std::size_t threads, std::size_t queue_max, std::size_t running_max = kInOrder);
    ~WorkerPool();  // drain()s
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    // False if the queue is full or the pool is draining: the task was not taken. Tasks must not throw. Thread-safe.
    [[nodiscard]] bool submit(std::function<void()> task, std::uint64_t owner = 0);
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
    struct Task {
        std::function<void()> work;
        std::uint64_t owner = 0;
    };
    void run();
    [[nodiscard]] std::size_t next() const REQUIRES(mutex_);  // in the queue; its size: none may run now

    std::string name_;
    std::size_t queue_max_;
    const std::size_t running_max_;
    mutable Mutex mutex_;
    CondVar wake_;
    std::deque<Task> queue_ GUARDED_BY(mutex_);
    std::vector<std::uint64_t> running_ GUARDED_BY(mutex_);  // owners of the tasks that run
    bool draining_ GUARDED_BY(mutex_) = false;
    const std::size_t thread_count_;
    std::vector<std::jthread> threads_;
};

}  // namespace dtr
