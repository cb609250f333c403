// std::mutex with clang's thread-safety annotations, so that GUARDED_BY is checked by the tidy build.
#pragma once

#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define DTR_ANNOTATE(x) __attribute__((x))
#else
#define DTR_ANNOTATE(x)
#endif
#define GUARDED_BY(x) DTR_ANNOTATE(guarded_by(x))
#define REQUIRES(...) DTR_ANNOTATE(requires_capability(__VA_ARGS__))

namespace dtr {

class DTR_ANNOTATE(capability("mutex")) Mutex {
  public:
    void lock() DTR_ANNOTATE(acquire_capability()) { mutex_.lock(); }
    void unlock() DTR_ANNOTATE(release_capability()) { mutex_.unlock(); }

  private:
    friend class CondVar;
    std::mutex mutex_;
};

class DTR_ANNOTATE(scoped_lockable) MutexLock {
  public:
    explicit MutexLock(Mutex& mutex) DTR_ANNOTATE(acquire_capability(mutex)) : mutex_(mutex) { mutex_.lock(); }
    ~MutexLock() DTR_ANNOTATE(release_capability()) { mutex_.unlock(); }
    MutexLock(const MutexLock&) = delete;
    MutexLock& operator=(const MutexLock&) = delete;

  private:
    Mutex& mutex_;
};

// Waits while the annotated mutex is held; every wait may wake spuriously, so wait in a loop on the condition.
class CondVar {
  public:
    void wait(Mutex& mutex) DTR_ANNOTATE(requires_capability(mutex)) {
        std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
        condition_.wait(lock);
        lock.release();
    }
    // False if the time passed first.
    template <class Duration>
    bool wait_for(Mutex& mutex, Duration duration) DTR_ANNOTATE(requires_capability(mutex)) {
        std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
        const bool woken = condition_.wait_for(lock, duration) == std::cv_status::no_timeout;
        lock.release();
        return woken;
    }
    void notify_one() { condition_.notify_one(); }
    void notify_all() { condition_.notify_all(); }

  private:
    std::condition_variable condition_;
};

}  // namespace dtr
