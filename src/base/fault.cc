#include "base/fault.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace dtr {
namespace {

std::atomic<FaultInjector*> current{nullptr};

// Disk operations are points by themselves ("disk.write", ...); the others mark transactions and the steps of restore.
constexpr std::string_view kFaultPoints[] = {
    "disk.create",         "disk.write",         "disk.sync",       "disk.sync_dir",  "disk.rename",
    "disk.remove",         "disk.mkdir",         "disk.truncate",   "disk.link",      "meta.begin",
    "meta.commit",         "meta.committed",     "restore.staged",  "restore.sealed", "restore.hygiene",
    "restore.before_flip", "restore.flipped",    "restore.retired", "undo.hygiene",   "undo.before_flip",
    "undo.flipped",        "undo.before_forget", "rekey.written",   "rekey.replaced",
};

class EnvironmentInjector final : public FaultInjector {
  public:
    EnvironmentInjector(bool die, std::string target) : die_(die), target_(std::move(target)) {}

    Status at(std::string_view point) override {
        const long n = ++passed_;
        if (target_ == "trace") {
            std::fprintf(stderr, "fault-point %ld %.*s\n", n, static_cast<int>(point.size()), point.data());
            return {};
        }
        const bool numeric = !target_.empty() && target_.find_first_not_of("0123456789") == std::string::npos;
        if (numeric ? n != std::atol(target_.c_str()) : point != target_) return {};
        if (die_) _exit(137);
        return fail(ErrorCode::internal, fmt::format("injected fault at {}", point));
    }

  private:
    bool die_;
    std::string target_;
    std::atomic<long> passed_{0};
};

}  // namespace

void set_fault_injector(FaultInjector* injector) {
    current.store(injector, std::memory_order_release);
}
FaultInjector* fault_injector() {
    return current.load(std::memory_order_acquire);
}

void install_fault_injector_from_environment() {
    const char* text = std::getenv("DTR_FAULT");
    if (text == nullptr) return;
    const std::string spec(text);
    if (spec == "trace") {
        static EnvironmentInjector injector(false, "trace");
        set_fault_injector(&injector);
    } else if (spec.starts_with("die:") || spec.starts_with("fail:")) {
        static EnvironmentInjector injector(spec[0] == 'd', spec.substr(spec.find(':') + 1));
        set_fault_injector(&injector);
    }
}

std::span<const std::string_view> all_fault_points() {
    return kFaultPoints;
}

}  // namespace dtr
