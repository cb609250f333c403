#include "sys/worker_pool.h"

#include <pthread.h>

namespace dtr {

WorkerPool::WorkerPool(std::string name, std::size_t threads, std::size_t queue_max)
    : name_(name.substr(0, 15)), queue_max_(queue_max) {
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

void WorkerPool::run() {
    while (true) {
        std::function<void()> task;
        {
            MutexLock lock(mutex_);
            while (queue_.empty() && !draining_) wake_.wait(mutex_);
            if (queue_.empty()) return;
            task = std::move(queue_.front());
            queue_.pop_front();
        }
        task();
    }
}

}  // namespace dtr
