// How a command ends on SIGINT, SIGTERM or SIGHUP.
//
// A thread of its own takes the signals. First it asks: whoever waits for bytes sees it (interrupted(), interrupt_fd()),
// fails with `cancelled` and unwinds as after any error, so that nothing half-made stays. What stands still - a disk, a
// peer, a question on the terminal - is waited for a moment only, and not at all at the second signal: then the
// OnForcedEnd that are alive are run, and the process ends.
//
// Past uninterruptible_from_here() a signal changes nothing: to say "interrupted" would be untrue.
//
// Without an Interrupts alive nothing here is ever interrupted, and signals do what they always did.
#pragma once

#include <functional>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace dtr {

class Interrupts {
  public:
    struct Options {
        int exit_code = 1;                          // of a forced end
        std::function<void(std::string_view)> say;  // to the operator; from the thread that takes the signals
        Micros patience = 2 * kSecond;              // between the request and a forced end
    };
    // One at a time, before the process has other threads: they inherit that the signals are blocked. A signal that the
    // process was started to ignore (nohup) stays ignored.
    explicit Interrupts(Options options);
    ~Interrupts();
    Interrupts(const Interrupts&) = delete;
    Interrupts& operator=(const Interrupts&) = delete;

    class Watcher;

  private:
    Watcher* watcher_;
};

[[nodiscard]] bool interrupted();
// Readable once a signal came; -1 if nobody takes them.
[[nodiscard]] int interrupt_fd();
// cancelled if a signal came.
Status check_interrupt();
// Waits until `fd` can be read (written) without waiting, or has failed; cancelled if a signal comes before.
Status wait_readable(int fd);
Status wait_writable(int fd);
// Sleeps; cancelled if a signal comes before it is over.
Status sleep_unless_interrupted(Micros duration);

// To be called right before the step that makes what the command is for true. cancelled if a signal came before; else
// none has an effect any more.
Status uninterruptible_from_here();

// Runs if the process is ended without being unwound, on the thread that takes the signals and beside all others.
class OnForcedEnd {
  public:
    explicit OnForcedEnd(std::function<void()> run);
    ~OnForcedEnd();
    OnForcedEnd(const OnForcedEnd&) = delete;
    OnForcedEnd& operator=(const OnForcedEnd&) = delete;

  private:
    std::function<void()> run_;
};

}  // namespace dtr
