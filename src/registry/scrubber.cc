// A single bad object is judged when the next good one was seen: a medium that is gone makes every object bad, and
// then none of them is touched.
#include "registry/scrubber.h"

#include <algorithm>
#include <charconv>

#include "base/fault.h"
#include "sys/log.h"

namespace dtr::registry {
namespace {

constexpr Micros kLookEvery = 60 * kSecond;
constexpr std::size_t kPage = 256;
constexpr std::size_t kReadBytes = 1U << 20;
constexpr std::size_t kReadsPerStep = 4;
constexpr std::size_t kSuspectsMax = 32;
constexpr std::size_t kUsesMax = 100;
constexpr std::string_view kPlace = "scrub";
constexpr std::string_view kBegun = "scrub.begun";
constexpr std::string_view kFinished = "scrub.finished";

Micros read_time(const std::string& text) {
    Micros time = 0;
    std::from_chars(text.data(), text.data() + text.size(), time);
    return time;
}

// Digests are spread evenly, so how far the walk is stands in the first digits of where it is.
double progress_at(std::string_view place) {
    const std::string_view digits = place.substr(place.find(':') + 1).substr(0, 8);
    std::uint32_t number = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
    return static_cast<double>(number) / 4294967296.0;
}

std::string names_of(const std::vector<meta::Use>& uses) {
    std::string names;
    for (const meta::Use& use : uses)
        names +=
            fmt::format("{}{}{}{}", names.empty() ? "" : ", ", use.repository, use.tag.empty() ? "" : ":", use.tag);
    return names.empty() ? "nothing" : names;
}

}  // namespace

Scrub::Scrub(Context& context, ScrubTotals& totals, std::string after, std::uint64_t bytes_per_s)
    : context_(context),
      totals_(totals),
      place_(std::move(after)),
      bytes_per_s_(bytes_per_s),
      started_(context.clock.monotonic()) {}

Micros Scrub::pause() const {
    if (bytes_per_s_ == 0) return 0;
    const auto due = static_cast<Micros>(static_cast<double>(report_.bytes) / static_cast<double>(bytes_per_s_) *
                                         static_cast<double>(kSecond));
    return std::max<Micros>(0, started_ + due - context_.clock.monotonic());
}

Result<bool> Scrub::step() {
    if (index_ == page_.size()) {
        DTR_TRY(next_page());
        if (page_.empty()) {
            DTR_TRY(release_suspects());
            DTR_TRY(finish());
            return false;
        }
    }
    if (!hasher_) DTR_TRY(start_object());
    if (!hasher_) return true;  // it could not be opened, and is settled
    for (std::size_t i = 0; i < kReadsPerStep; ++i) {
        const auto more = read_some();
        if (!more) {
            DTR_TRY(settle(more.error().message));
            return true;
        }
        if (!*more) {
            const meta::Object& object = page_[index_].object;
            const bool good = hasher_->finish() == object.digest;
            DTR_TRY(settle(good ? std::string() : "its bytes do not match its digest"));
            return true;
        }
    }
    return true;
}

Status Scrub::finish() {
    report_.finished = true;
    totals_.last_finished = context_.clock.now();
    return context_.meta.collector().set_bookmark(kFinished, std::to_string(totals_.last_finished));
}

Status Scrub::next_page() {
    DTR_ASSIGN(page_, context_.meta.scrub().page(place_, kPage));
    index_ = 0;
    return {};
}

Status Scrub::start_object() {
    const meta::Object& object = page_[index_].object;
    auto reader = context_.blobs.open({object.digest, object.generation});
    if (!reader) return settle(reader.error().message);
    if ((*reader)->size() != object.size)
        return settle(fmt::format("it has {} bytes, but {} were stored", (*reader)->size(), object.size));
    reader_ = std::move(*reader);
    hasher_.emplace(object.digest.algorithm());
    offset_ = 0;
    return {};
}

Result<bool> Scrub::read_some() {
    std::string buffer(std::min<std::uint64_t>(kReadBytes, page_[index_].object.size - offset_), '\0');
    if (buffer.empty()) return false;
    DTR_ASSIGN(const std::size_t got, reader_->read(buffer.data(), buffer.size(), offset_));
    if (got == 0) return fail(ErrorCode::corrupt, "it became shorter");
    hasher_->update(std::string_view(buffer.data(), got));
    offset_ += got;
    report_.bytes += got;
    totals_.bytes += got;
    return offset_ < page_[index_].object.size;
}

// The object at hand is read: `why` it is bad, or nothing. A bad one gets a second look, for the fault may have been on
// the way.
Status Scrub::settle(const std::string& why) {
    reader_.reset();
    hasher_.reset();
    if (!why.empty() && !second_look_) {
        second_look_ = true;
        return {};
    }
    second_look_ = false;
    const meta::ScrubObject found = page_[index_++];
    place_ = found.object.digest.to_string();
    ++report_.objects;
    ++totals_.objects;
    if (!why.empty()) {
        suspects_.emplace_back(found, why);
        if (suspects_.size() < kSuspectsMax) return {};
        return fail(ErrorCode::refused,
                    fmt::format("{} objects in a row are bad, the last because {}", suspects_.size(), why),
                    "check whether the image store is mounted and readable; nothing was quarantined");
    }
    DTR_TRY(release_suspects());
    if (found.state != meta::ObjectState::quarantined) return {};
    DTR_ASSIGN(const bool released, context_.meta.scrub().release(found.object));
    if (released) {
        ++report_.released;
        log::info("{} is intact again and served", found.object.digest.to_string());
    }
    return {};
}

Status Scrub::release_suspects() {
    for (const auto& [found, why] : suspects_) DTR_TRY(judge(found, why));
    suspects_.clear();
    return {};
}

Status Scrub::judge(const meta::ScrubObject& found, const std::string& why) {
    if (found.state == meta::ObjectState::live) {
        DTR_TRY(fault_point("scrub.quarantine"));
        DTR_ASSIGN(const bool quarantined, context_.meta.scrub().quarantine(found.object));
        if (!quarantined) return {};  // collected, or replaced by a push, while it was read
    }
    ++report_.bad_objects;
    ++totals_.bad;
    DTR_ASSIGN(auto uses, context_.meta.scrub().uses(found.object.digest, kUsesMax));
    log::error("{} is quarantined: {}; needed by {}; pushing it again repairs it", found.object.digest.to_string(), why,
               names_of(uses));
    if (report_.bad.size() < kBadMax) report_.bad.push_back({found.object, why, std::move(uses)});
    return {};
}

Scrubber::Scrubber(Context& context)
    : context_(context), schedule_(context.clock, {"scrub", [] { return kLookEvery; }}, [this](PeriodicTask& task) {
          scrub_if_due(task);
      }) {}

std::unique_ptr<Scrub> Scrubber::begin(std::optional<std::uint64_t> bytes_per_s) {
    return std::make_unique<Scrub>(context_, totals_, std::string(),
                                   bytes_per_s.value_or(context_.settings.scrub_bytes_per_s));
}

void Scrubber::start() {
    if (const auto finished = context_.meta.collector().bookmark(kFinished))
        totals_.last_finished = read_time(*finished);
    schedule_.start();
}

// A walk is due if one was interrupted, or if the last began long enough ago.
Result<bool> Scrubber::due() {
    const Micros interval = context_.settings.scrub_interval;
    if (interval == 0 || context_.settings.read_only) return false;
    DTR_ASSIGN(const std::string place, context_.meta.collector().bookmark(kPlace));
    if (!place.empty()) return true;
    DTR_ASSIGN(const std::string begun, context_.meta.collector().bookmark(kBegun));
    const Micros at = read_time(begun);
    const Micros now = context_.clock.now();
    if (now - at >= interval || at > now) {
        DTR_TRY(context_.meta.collector().set_bookmark(kBegun, std::to_string(now)));
        return !begun.empty();  // a new registry has nothing old enough to have rotted
    }
    return false;
}

void Scrubber::scrub_if_due(PeriodicTask& task) {
    constexpr Micros kBookmarkEvery = 10 * kSecond;
    const auto wanted = due();
    if (!wanted) log::warn("scrub: {}", wanted.error().text());
    if (!wanted || !*wanted) return;
    const auto place = context_.meta.collector().bookmark(kPlace);
    Scrub scrub(context_, totals_, place ? *place : std::string(), context_.settings.scrub_bytes_per_s);
    Micros noted = context_.clock.monotonic();
    Result<bool> more = true;
    while (more && *more && !task.stopping()) {
        more = scrub.step();
        totals_.progress = progress_at(scrub.place());
        if (context_.clock.monotonic() - noted > kBookmarkEvery) {
            noted = context_.clock.monotonic();
            (void)context_.meta.collector().set_bookmark(kPlace, scrub.place());
        }
        (void)task.pause(scrub.pause());
    }
    totals_.progress = 0;
    if (!more) {
        ++totals_.failed;
        log::error("scrub: {}", more.error().text());
    }
    const bool over = !more || scrub.report().finished;
    (void)context_.meta.collector().set_bookmark(kPlace, over ? std::string() : scrub.place());
    if (scrub.report().finished)
        log::info("scrubbed {} objects with {} bytes, {} bad", scrub.report().objects, scrub.report().bytes,
                  scrub.report().bad_objects);
}

}  // namespace dtr::registry
