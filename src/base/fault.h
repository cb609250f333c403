// Named places where a test may make the program fail or die.
//
// Every step that changes something outside the process passes a fault point. Without an injector a point costs one
// relaxed load. `kFaultPoints` is the complete list: a sweep that met a name which is not in it, or missed one it should
// have met, fails.
#pragma once

#include <atomic>
#include <span>
#include <string_view>

#include "base/result.h"

namespace dtr {

class FaultInjector {
  public:
    virtual ~FaultInjector() = default;
    // Called at each point, from any thread. May return an error, or end the process.
    virtual Status at(std::string_view point) = 0;
};

// The active injector, or null. Not owned. Set it before threads start.
void set_fault_injector(FaultInjector* injector);
FaultInjector* fault_injector();

// Reads DTR_FAULT="die:N" | "die:NAME" | "fail:N" | "fail:NAME" | "trace" and installs the matching injector: die at (or
// fail) the N-th point passed, counted from 1, or the first point of that name; trace prints each name on stderr.
// Does nothing without the variable.
void install_fault_injector_from_environment();

inline Status fault_point(std::string_view point) {
    FaultInjector* injector = fault_injector();
    return injector == nullptr ? Status{} : injector->at(point);
}

std::span<const std::string_view> all_fault_points();

}  // namespace dtr
