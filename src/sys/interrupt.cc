// The one state of the process: who waits for signals, whether one came, and what to do at a forced end. The mutex is held
// while the forced end runs, so that uninterruptible_from_here() and the destructors of OnForcedEnd come before it or not
// at all.
#include "sys/interrupt.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "sys/fd.h"

namespace dtr {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};

struct State {
    std::atomic<bool> requested{false};
    std::atomic<int> event{-1};
    Mutex mutex;
    bool committed GUARDED_BY(mutex) = false;
    std::vector<std::function<void()>*> at_forced_end GUARDED_BY(mutex);
};

State& state() {
    static State one;
    return one;
}

tl::unexpected<Error> cancelled() {
    return fail(ErrorCode::cancelled, "interrupted");
}

bool is_ignored(int signal) {
    struct sigaction action {};
    return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

// True if `fd` became ready; -1 waits for the interruption alone. A negative `timeout_ms` is forever.
Result<bool> wait_for(int fd, short events, int timeout_ms) {
    pollfd both[2] = {{interrupt_fd(), POLLIN, 0}, {fd, events, 0}};
    while (true) {
        const int ready = ::poll(both, 2, timeout_ms);
        if (ready < 0 && errno == EINTR) continue;
        if (ready < 0) return fail(system_error(errno, "cannot wait for bytes"));
        if (both[0].revents != 0) return cancelled();
        return ready > 0;
    }
}

}  // namespace

class Interrupts::Watcher {
  public:
    explicit Watcher(Options options) : options_(std::move(options)) {
        sigset_t set;
        sigemptyset(&set);
        for (const int signal : kSignals)
            if (!is_ignored(signal)) sigaddset(&set, signal);
        signals_ = UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
        stop_ = UniqueFd(::eventfd(0, EFD_CLOEXEC));
        event_ = UniqueFd(::eventfd(0, EFD_CLOEXEC));
        if (!signals_.valid() || !stop_.valid() || !event_.valid()) return;  // no descriptors: signals end us as usual
        pthread_sigmask(SIG_BLOCK, &set, &before_);
        state().event = event_.get();
        thread_ = std::thread([this] { run(); });
    }

    ~Watcher() {
        if (!thread_.joinable()) return;
        const std::uint64_t one = 1;
        (void)!::write(stop_.get(), &one, sizeof one);
        thread_.join();
        pthread_sigmask(SIG_SETMASK, &before_, nullptr);
        state().event = -1;
        state().requested = false;
        const MutexLock lock(state().mutex);
        state().committed = false;
    }
    Watcher(const Watcher&) = delete;
    Watcher& operator=(const Watcher&) = delete;

  private:
    void run() {
        int patience_ms = -1;
        while (true) {
            pollfd both[2] = {{stop_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
            const int ready = ::poll(both, 2, patience_ms);
            if (ready < 0 && errno == EINTR) continue;
            if (both[0].revents != 0) return;
            signalfd_siginfo info{};
            if (ready > 0 && ::read(signals_.get(), &info, sizeof info) != sizeof info) continue;
            if (ready == 0 || state().requested)
                end();
            else if (request())
                patience_ms = static_cast<int>(options_.patience / 1000);
        }
    }

    bool request() {
        const MutexLock lock(state().mutex);
        if (state().committed) {
            options_.say("too late to interrupt: it is finishing");
            return false;
        }
        state().requested = true;
        const std::uint64_t one = 1;
        (void)!::write(event_.get(), &one, sizeof one);
        return true;
    }

    void end() {
        const MutexLock lock(state().mutex);
        options_.say("interrupted");
        for (const auto* run : state().at_forced_end) (*run)();
        ::_exit(options_.exit_code);
    }

    Options options_;
    UniqueFd signals_;
    UniqueFd stop_;
    UniqueFd event_;
    sigset_t before_{};
    std::thread thread_;
};

Interrupts::Interrupts(Options options) : watcher_(new Watcher(std::move(options))) {}
Interrupts::~Interrupts() {
    delete watcher_;
}

bool interrupted() {
    return state().requested;
}

int interrupt_fd() {
    return state().event;
}

Status check_interrupt() {
    if (interrupted()) return cancelled();
    return {};
}

Status wait_readable(int fd) {
    DTR_TRY(wait_for(fd, POLLIN, -1));
    return {};
}

Status wait_writable(int fd) {
    DTR_TRY(wait_for(fd, POLLOUT, -1));
    return {};
}

Status sleep_unless_interrupted(Micros duration) {
    DTR_TRY(wait_for(-1, 0, static_cast<int>(duration / 1000)));
    return {};
}

Status uninterruptible_from_here() {
    const MutexLock lock(state().mutex);
    if (state().requested) return cancelled();
    state().committed = interrupt_fd() >= 0;
    return {};
}

OnForcedEnd::OnForcedEnd(std::function<void()> run) : run_(std::move(run)) {
    const MutexLock lock(state().mutex);
    state().at_forced_end.push_back(&run_);
}

OnForcedEnd::~OnForcedEnd() {
    const MutexLock lock(state().mutex);
    std::erase(state().at_forced_end, &run_);
}

}  // namespace dtr
