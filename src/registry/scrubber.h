// Reads what is stored and compares it with its digest, before somebody needs it and it is too late.
//
// An object whose bytes are lost or wrong is quarantined: it is not served, a push is told to send it, and gets it a
// new place. If its bytes turn out to be good after all (a volume came back), it is released.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "registry/context.h"
#include "sys/periodic_task.h"

namespace dtr::registry {

struct BadObject {
    meta::Object object;
    std::string why;
    std::vector<meta::Use> uses;  // some of them, if there are very many
};

struct ScrubReport {
    std::uint64_t objects = 0;
    std::uint64_t bytes = 0;
    std::uint64_t released = 0;  // from quarantine
    std::vector<BadObject> bad;  // at most kBadMax; the count is bad_objects
    std::uint64_t bad_objects = 0;
    bool finished = false;
};

// Of all walks of this process; kept up to date while they go on.
struct ScrubTotals {
    std::atomic<std::uint64_t> objects{0};
    std::atomic<std::uint64_t> bytes{0};
    std::atomic<std::uint64_t> bad{0};
    std::atomic<std::uint64_t> failed{0};  // walks that ended in an error
    std::atomic<Micros> last_finished{0};  // wall time of the last whole walk, also of an earlier process; 0: none was
    std::atomic<double> progress{0};       // of the walk on schedule, from 0 to 1; 0: there is none
};

// One walk over all objects, in steps of at most a few megabytes. One thread; ending it early is good at any step.
class Scrub {
  public:
    static constexpr std::size_t kBadMax = 1000;
    // From after `after` (a digest; empty: from the start) at that rate (0: unlimited).
    Scrub(Context& context, ScrubTotals& totals, std::string after, std::uint64_t bytes_per_s);
    // False: it was the last one. refused: so many objects are bad, one after another, that the fault must lie
    // elsewhere; these were not quarantined.
    Result<bool> step();
    [[nodiscard]] const ScrubReport& report() const { return report_; }
    [[nodiscard]] const std::string& place() const { return place_; }  // the last digest that is done
    // How long to wait before the next step to keep to the rate.
    [[nodiscard]] Micros pause() const;

  private:
    Status next_page();
    Status start_object();
    Result<bool> read_some();  // false: the object is read to its end
    Status settle(const std::string& why);
    Status judge(const meta::ScrubObject& found, const std::string& why);
    Status release_suspects();

    Status finish();

    Context& context_;
    ScrubTotals& totals_;
    std::string place_;
    std::uint64_t bytes_per_s_;
    Micros started_;
    ScrubReport report_;
    std::vector<meta::ScrubObject> page_;
    std::size_t index_ = 0;
    std::unique_ptr<blob::BlobReader> reader_;
    std::optional<Hasher> hasher_;
    std::uint64_t offset_ = 0;
    bool second_look_ = false;
    // Bad ones since the last good one, not quarantined yet.
    std::vector<std::pair<meta::ScrubObject, std::string>> suspects_;
};

// Thread-safe.
class Scrubber {
  public:
    explicit Scrubber(Context& context);
    Scrubber(const Scrubber&) = delete;
    Scrubber& operator=(const Scrubber&) = delete;

    // A walk of its own, whatever the schedule does.
    std::unique_ptr<Scrub> begin(std::optional<std::uint64_t> bytes_per_s);

    // At most `limit` of the objects that nobody is served.
    Result<std::vector<meta::Object>> quarantined(std::size_t limit) {
        return context_.meta.scrub().list_quarantined(limit);
    }

    // The thread that walks every settings.scrub_interval, and after a restart goes on where it was.
    void start();
    void stop() { schedule_.stop(); }
    [[nodiscard]] const ScrubTotals& totals() const { return totals_; }

  private:
    void scrub_if_due(PeriodicTask& task);
    Result<bool> due();

    Context& context_;
    ScrubTotals totals_;
    PeriodicTask schedule_;
};

}  // namespace dtr::registry
