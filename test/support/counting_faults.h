// Makes the n-th fault point passed while this object lives fail, counted from 1.
#pragma once

#include <atomic>
#include <string>

#include "base/fault.h"

namespace dtr::test {

class FailNth final : public FaultInjector {
  public:
    explicit FailNth(int n, ErrorCode code = ErrorCode::no_space) : n_(n), code_(code) { set_fault_injector(this); }
    ~FailNth() override { set_fault_injector(nullptr); }
    FailNth(const FailNth&) = delete;
    FailNth& operator=(const FailNth&) = delete;

    Status at(std::string_view point) override {
        if (++passed_ != n_) return {};
        hit_ = true;
        return fail(code_, fmt::format("injected fault at {}", point));
    }
    [[nodiscard]] bool hit() const { return hit_; }
    [[nodiscard]] int passed() const { return passed_; }

  private:
    int n_;
    ErrorCode code_;
    std::atomic<int> passed_{0};
    std::atomic<bool> hit_{false};
};

}  // namespace dtr::test
