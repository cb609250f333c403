#include "api/liveness.h"

#include <fmt/format.h>
#include <pthread.h>

#include <chrono>

namespace dtr::api {
namespace {

constexpr Micros kPeriod = kSecond;
constexpr Micros kStale = 15 * kSecond;

}  // namespace

void Liveness::start() {
    if (thread_.joinable()) return;
    thread_ = std::thread([this] {
        pthread_setname_np(pthread_self(), "dtr-liveness");
        run();
    });
}

void Liveness::stop() {
    {
        const MutexLock lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
}

void Liveness::run() {
    while (true) {
        std::string error = check_();
        const MutexLock lock(mutex_);
        error_ = std::move(error);
        checked_ = clock_.monotonic();
        if (!stopping_) wake_.wait_for(mutex_, std::chrono::microseconds(kPeriod));
        if (stopping_) return;
    }
}

std::optional<std::string> Liveness::error() const {
    const MutexLock lock(mutex_);
    if (!error_) return std::nullopt;
    const Micros age = clock_.monotonic() - checked_;
    if (error_->empty() && age > kStale) return fmt::format("the stores have not answered for {} s", age / kSecond);
    return error_;
}

}  // namespace dtr::api
