#include "sys/worker_pool.h"

#include <pthread.h>

namespace dtr {

WorkerPool::WorkerPool(std::string name, std::size_t threads, std::size_t queue_max)
    : name_(name.substr(0, 15)), queue_max_(queue_max), thread_count_(threads) {
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

bool WorkerPool::submit(std::function<void()> task) {
    {
        MutexLock lock(mutex_);
        if (draining_ || queue_.size() >= queue_max_) return false;
        queue_.push_back(std::move(task));
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
    return {thread_count_, running_, queue_.size(), queue_max_};
}

void WorkerPool::run() {
    bool ran = false;
    while (true) {
        std::function<void()> task;
        {
            MutexLock lock(mutex_);
            if (ran) --running_;
            ran = true;
            while (queue_.empty() && !draining_) wake_.wait(mutex_);
            if (queue_.empty()) return;
            task = std::move(queue_.front());
            queue_.pop_front();
            ++running_;
        }
        task();
    }
}

}  // namespace dtr
