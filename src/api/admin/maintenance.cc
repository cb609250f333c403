// Long work that an operator asks for: POST /api/v0/gc, POST /api/v0/scrub. The answer is a line of JSON about once a
// second while it continues; the last one has "done" or "error". Whoever hangs up ends the work at its next step.
#include <boost/json.hpp>

#include "api/admin/admin.h"
#include "base/units.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;

constexpr Micros kLineEvery = kSecond;

// Work in steps, as a body. `Work` has step() -> Result<bool> (false: done), pause() and describe().
template <class Work>
class WorkSource final : public http::BodySource {
  public:
    WorkSource(Work work, Clock& clock, NamedSlots::Hold slot)
        : slot_(std::move(slot)), work_(std::move(work)), clock_(clock) {}

    Result<std::size_t> read(char* out, std::size_t capacity) override {
        if (line_.empty() && !over_) line_ = next_line();
        const std::size_t count = std::min(capacity, line_.size());
        line_.copy(out, count);
        line_.erase(0, count);
        return count;
    }

  private:
    std::string next_line() {
        const Micros end = clock_.monotonic() + kLineEvery;
        Result<bool> more = true;
        for (Micros now = clock_.monotonic(); more && *more && now < end; now = clock_.monotonic()) {
            if (now < next_step_at_) {
                clock_.sleep(std::min(end, next_step_at_) - now);
                continue;
            }
            more = work_.step();
            next_step_at_ = clock_.monotonic() + work_.pause();
        }
        json::object line = work_.describe();
        over_ = !more || !*more;
        if (!more) {
            line["error"] = to_string(more.error().code);
            line["message"] = more.error().message;
            line["hint"] = more.error().hint;
        } else {
            line["done"] = over_;
        }
        return json::serialize(line) + "\n";
    }

    const NamedSlots::Hold slot_;
    Work work_;
    Clock& clock_;
    std::string line_;
    Micros next_step_at_ = 0;  // monotonic; a step's pause may be longer than a line
    bool over_ = false;
};

struct Collecting {
    std::unique_ptr<registry::Collection> collection;

    Result<bool> step() { return collection->step(); }
    [[nodiscard]] Micros pause() const { return collection->pause(); }
    [[nodiscard]] json::object describe() const {
        const registry::CollectionReport& report = collection->report();
        return {{"condemned", report.condemned},
                {"removed", report.removed},
                {"bytes", report.bytes},
                {"orphans", report.orphans},
                {"uploads", report.uploads},
                {"stuck", report.stuck},
                {"held", report.held},
                {"heldByFence", report.held_by_fence},
                {"waitsUntil", report.waits_until == 0 ? std::string() : format_rfc3339(report.waits_until)}};
    }
};

struct Scrubbing {
    std::unique_ptr<registry::Scrub> scrub;

    Result<bool> step() { return scrub->step(); }
    [[nodiscard]] Micros pause() const { return scrub->pause(); }
    [[nodiscard]] json::object describe() const {
        const registry::ScrubReport& report = scrub->report();
        json::object line{{"objects", report.objects},
                          {"bytes", report.bytes},
                          {"released", report.released},
                          {"badObjects", report.bad_objects}};
        if (!report.finished) return line;
        json::array bad;
        for (const registry::BadObject& one : report.bad) {
            json::array uses;
            for (const meta::Use& use : one.uses)
                uses.push_back(json::object{{"repository", use.repository}, {"tag", use.tag}});
            bad.push_back(
                json::object{{"digest", one.object.digest.to_string()}, {"why", one.why}, {"uses", std::move(uses)}});
        }
        line["bad"] = std::move(bad);
        return line;
    }
};

template <class Work>
http::Response stream(Work work, Clock& clock, NamedSlots::Hold slot) {
    http::Response response;
    response.set("Content-Type", "application/x-ndjson");
    response.source = std::make_unique<WorkSource<Work>>(std::move(work), clock, std::move(slot));
    return response;
}

bool wants(const http::Request& request, std::string_view flag) {
    return request.query_value(flag).value_or("") == "true";
}

}  // namespace

http::Reply collect_garbage(Asked& asked) {
    Services& services = asked.services;
    const http::Request& request = asked.request;
    registry::CollectionOptions options;
    if (const auto text = request.query_value("grace")) {
        const auto grace = parse_duration(*text);
        if (!grace) return error_response(400, "INVALID", grace.error().message, grace.error().hint);
        options.grace = *grace;
    }
    options.dry_run = wants(request, "dry-run");
    options.all_orphans = wants(request, "orphans");
    if (wants(request, "confirm") && !options.dry_run)
        if (auto confirmed =
                act_elsewhere(asked, Event{"restore.confirm", ""}, [&] { return services.confirm_restore(); });
            !confirmed)
            return error_response(confirmed.error());
    auto slot = services.maintenance.take(asked.actor());
    if (!slot) return error_response(slot.error());
    auto collection = services.registry.collector().begin(options);
    if (!collection) return error_response(collection.error());
    if (!options.dry_run)
        if (auto announced = announce(asked, {"gc.start", "", request.query_value("grace").value_or("")}); !announced)
            return error_response(announced.error());
    return stream(Collecting{std::move(*collection)}, services.clock, std::move(*slot));
}

http::Reply scrub(Asked& asked) {
    std::optional<std::uint64_t> rate;
    if (const auto text = asked.request.query_value("rate")) {
        const auto parsed = parse_size(*text);
        if (!parsed) return error_response(400, "INVALID", parsed.error().message, parsed.error().hint);
        rate = *parsed;
    }
    auto slot = asked.services.maintenance.take(asked.actor());
    if (!slot) return error_response(slot.error());
    return stream(Scrubbing{asked.services.registry.scrubber().begin(rate)}, asked.services.clock, std::move(*slot));
}

}  // namespace dtr::api::admin
