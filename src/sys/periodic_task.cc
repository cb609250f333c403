#include "sys/periodic_task.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>

namespace dtr {
namespace {

constexpr Micros kWaitMax = 24 * 3600 * kSecond;  // then the clock is looked at again; sums cannot overflow

}  // namespace

PeriodicTask::PeriodicTask(Clock& clock, Options options, Work work)
    : clock_(clock), options_(std::move(options)), work_(std::move(work)), wanted_(options_.first == First::at_once) {}

void PeriodicTask::start() {
    thread_ = std::jthread([this] { run(); });
    ::pthread_setname_np(thread_.native_handle(), options_.name.substr(0, 15).c_str());
}

void PeriodicTask::stop() {
    {
        const MutexLock lock(mutex_);
        stopping_ = true;
        changed_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
}

void PeriodicTask::run_soon() {
    const MutexLock lock(mutex_);
    wanted_ = true;
    changed_.notify_all();
}

void PeriodicTask::look_again() {
    const MutexLock lock(mutex_);
    changed_.notify_all();
}

bool PeriodicTask::stopping() {
    const MutexLock lock(mutex_);
    return stopping_;
}

bool PeriodicTask::pause(Micros duration) {
    const MutexLock lock(mutex_);
    const Micros begun = clock_.monotonic();
    while (!stopping_) {
        const Micros passed = clock_.monotonic() - begun;
        if (passed >= duration) return true;
        wait(duration - passed);
    }
    return false;
}

void PeriodicTask::run() {
    while (wait_for_turn()) work_(*this);
}

// False: the end.
bool PeriodicTask::wait_for_turn() {
    const MutexLock lock(mutex_);
    const Micros ended = clock_.monotonic();
    while (!stopping_ && !wanted_) {
        const Micros period = options_.period();
        const Micros passed = clock_.monotonic() - ended;
        if (passed >= period) break;
        wait(period - passed);
    }
    wanted_ = false;
    return !stopping_;
}

void PeriodicTask::wait(Micros left) {
    (void)changed_.wait_for(mutex_, std::chrono::microseconds(std::min(left, kWaitMax)));
}

}  // namespace dtr
