// Fault injectors for sweeps: record what is passed, die at the n-th point. (FailNth is in counting_faults.h.)
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <functional>
#include <map>
#include <string>

#include "base/fault.h"
#include "base/mutex.h"

namespace dtr::test {

// Counts how often each point is passed while this object lives.
class RecordFaultPoints final : public FaultInjector {
  public:
    RecordFaultPoints() { set_fault_injector(this); }
    ~RecordFaultPoints() override { set_fault_injector(nullptr); }
    RecordFaultPoints(const RecordFaultPoints&) = delete;
    RecordFaultPoints& operator=(const RecordFaultPoints&) = delete;

    Status at(std::string_view point) override {
        const MutexLock lock(mutex_);
        ++passed_[std::string(point)];
        return {};
    }
    std::map<std::string, int> passed() {
        const MutexLock lock(mutex_);
        return passed_;
    }

  private:
    Mutex mutex_;
    std::map<std::string, int> passed_ GUARDED_BY(mutex_);
};

// Fails every point of one name.
class FailAt final : public FaultInjector {
  public:
    explicit FailAt(std::string name) : name_(std::move(name)) { set_fault_injector(this); }
    ~FailAt() override { set_fault_injector(nullptr); }
    FailAt(const FailAt&) = delete;
    FailAt& operator=(const FailAt&) = delete;

    Status at(std::string_view point) override {
        if (point != name_) return {};
        return fail(ErrorCode::internal, "injected fault at " + name_);
    }

  private:
    std::string name_;
};

inline constexpr int kDied = 137;

// Ends the process at the n-th point, counted from 1, as kill -9 would: nothing is flushed, nobody's destructor runs.
class DieAtNth final : public FaultInjector {
  public:
    explicit DieAtNth(int n) : n_(n) { set_fault_injector(this); }
    Status at(std::string_view) override {
        if (++passed_ == n_) _exit(kDied);
        return {};
    }

  private:
    int n_;
    std::atomic<int> passed_{0};
};

// Runs `work` in a child process and answers what it returned, or kDied if it died on the way.
inline int in_child(const std::function<int()>& work) {
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child == 0) _exit(work());
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) != child) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace dtr::test
