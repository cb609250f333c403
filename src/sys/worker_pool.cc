#include "sys/worker_pool.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

namespace dtr {

WorkerPool::WorkerPool(std::string name, std::size_t threads, std::size_t queue_max, std::size_t running_max)
    : name_(name.substr(0, 15)), queue_max_(queue_max), running_max_(running_max), thread_count_(threads) {
    running_.reserve(threads);
    threads_.reserve(threads);
    for (std::size_t i = 0; i < threads; ++i)
        threads_.emplace_back([this] {
            pthread_setname_np(pthread_self(), name_.c_str());
            run();
        });
}

WorkerPool::~WorkerPool() {
    drain();
}

bool WorkerPool::submit(std::function<void()> task, std::uint64_t owner) {
    {
        MutexLock lock(mutex_);
        if (draining_ || queue_.size() >= queue_max_) return false;
        queue_.push_back({std::move(task), owner});
    }
    wake_.notify_one();
    return true;
}

void WorkerPool::drain() {
    {
        MutexLock lock(mutex_);
        draining_ = true;
    }
    wake_.notify_all();
    threads_.clear();
}

WorkerPool::Use WorkerPool::use() const {
    MutexLock lock(mutex_);
    return {thread_count_, running_.size(), queue_.size(), queue_max_};
}

std::size_t WorkerPool::next() const {
    if (running_max_ == kInOrder || draining_) return 0;
    std::size_t best = queue_.size();
    std::size_t fewest = running_max_;
    for (std::size_t i = 0; i < queue_.size() && fewest > 0; ++i) {
        const auto running = static_cast<std::size_t>(std::count(running_.begin(), running_.end(), queue_[i].owner));
        if (running >= fewest) continue;
        fewest = running;
        best = i;
    }
    return best;
}

void WorkerPool::run() {
    Task task;
    bool ran = false;
    while (true) {
        {
            MutexLock lock(mutex_);
            if (std::exchange(ran, true)) running_.erase(std::find(running_.begin(), running_.end(), task.owner));
            // Whoever ends a task comes here itself, so that nobody is woken for what may run only now.
            while (next() == queue_.size() && !(draining_ && queue_.empty())) wake_.wait(mutex_);
            if (queue_.empty()) return;
            const auto taken = queue_.begin() + static_cast<std::ptrdiff_t>(next());
            task = std::move(*taken);
            queue_.erase(taken);
            running_.push_back(task.owner);
        }
        task.work();
        task.work = nullptr;
    }
}

}  // namespace dtr
