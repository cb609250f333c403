// /api/v0/events, of everything or of one repository, /api/v0/audit and /api/v0/failed_logins.
#include <boost/json.hpp>
#include <charconv>
#include <limits>
#include <optional>

#include "api/admin/admin.h"
#include "base/encoding.h"

namespace dtr::api::admin {

namespace json = boost::json;

namespace {

// Of one answer. A manifest's row may hold annotations of megabytes, so rows are read a few at a time.
constexpr std::size_t kChangesPerAnswer = 1000;
constexpr std::size_t kChangesPerSearch = 20'000;  // of one repository, most are of others
constexpr std::size_t kChangesPerRead = 16;
constexpr std::size_t kEventBytesPerAnswer = 4U << 20;

// Nothing for a change that is not an event.
std::optional<json::object> event_of(const meta::Change& change) {
    const bool tag = change.table == "tags";
    if (!tag && change.table != "manifests" && change.table != "repositories") return std::nullopt;
    const std::string_view object = tag ? "TAG" : change.table == "manifests" ? "MANIFEST" : "REPO";
    const bool deleted = change.operation == 'D';
    const std::string_view verb = object == "REPO" ? (deleted ? "DELETED" : "UPDATED") : deleted ? "DELETE" : "PUSH";
    boost::system::error_code error;
    return json::object{{"sequence", change.sequence},
                        {"publishedAt", format_rfc3339(change.at)},
                        {"actor", change.actor},
                        {"type", fmt::format("{}_{}", object, verb)},
                        {"object", json::parse(change.row_json, error)}};
}

// A place in the list of failed logins: the last failure, the address and the name of the row, as the hex of
// "TIME ADDRESS NAME". Neither of the two has a space (identity/failed_logins.h).
std::string place_of_login(const meta::FailedLogin& row) {
    return hex_encode(fmt::format("{} {} {}", row.last_at, row.address, row.name));
}

Result<meta::FailedLogin> parse_place_of_login(std::string_view text) {
    const auto wrong = [] { return fail(ErrorCode::invalid, "after is not the next of an earlier answer"); };
    const auto decoded = hex_decode(text);
    if (!decoded) return wrong();
    const std::size_t first = decoded->find(' ');
    const std::size_t second = first == std::string::npos ? first : decoded->find(' ', first + 1);
    if (second == std::string::npos) return wrong();
    meta::FailedLogin place;
    const auto [end, error] = std::from_chars(decoded->data(), decoded->data() + first, place.last_at);
    if (error != std::errc() || end != decoded->data() + first) return wrong();
    place.address = decoded->substr(first + 1, second - first - 1);
    place.name = decoded->substr(second + 1);
    return place;
}

// What of the log is asked for.
struct WantedEvents {
    std::int64_t after = 0;  // sequence of the last one seen
    std::optional<meta::RepositoryId> repository;
    std::string actor;
    std::string type;
    Micros published_after = 0;
    Micros published_before = std::numeric_limits<Micros>::max();
};

Result<WantedEvents> wanted_events(const http::Request& request) {
    WantedEvents all;
    if (const auto text = request.query_value("after")) {
        const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), all.after);
        if (error != std::errc() || end != text->data() + text->size())
            return fail(ErrorCode::invalid, "after is not a number");
    }
    all.actor = request.query_value("actorId").value_or("");
    all.type = request.query_value("eventType").value_or("");
    if (const auto text = request.query_value("publishedAfter")) {
        DTR_ASSIGN(all.published_after, parse_rfc3339(*text));
    }
    if (const auto text = request.query_value("publishedBefore")) {
        DTR_ASSIGN(all.published_before, parse_rfc3339(*text));
    }
    return all;
}

bool is_wanted(const WantedEvents& wanted, const meta::Change& change, const json::object& event) {
    if (change.at <= wanted.published_after || change.at >= wanted.published_before) return false;
    if (!wanted.actor.empty() && change.actor != wanted.actor) return false;
    if (!wanted.type.empty() && event.at("type").as_string() != wanted.type) return false;
    if (!wanted.repository) return true;
    const auto* row = event.at("object").if_object();
    const auto* id =
        row == nullptr ? nullptr : row->if_contains(change.table == "repositories" ? "id" : "repository_id");
    if (id == nullptr) return false;
    return id->is_int64() && id->as_int64() == *wanted.repository;
}

http::Response read_events(Services& services, const WantedEvents& wanted) {
    json::array events;
    std::size_t bytes = 0;
    std::int64_t last = wanted.after;
    const std::size_t most = wanted.repository ? kChangesPerSearch : kChangesPerAnswer;
    for (std::size_t seen = 0; seen < most && events.size() < kChangesPerAnswer && bytes < kEventBytesPerAnswer;) {
        const auto changes = services.registry.changes(last, kChangesPerRead);
        if (!changes) return error_response(changes.error());
        for (const meta::Change& change : *changes) {
            last = change.sequence;
            auto event = event_of(change);
            if (!event || !is_wanted(wanted, change, *event)) continue;
            bytes += change.row_json.size();
            events.push_back(std::move(*event));
        }
        seen += changes->size();
        if (changes->size() < kChangesPerRead) break;
    }
    return json_response(200, json::object{{"events", std::move(events)}, {"last", last}});
}

}  // namespace

// Pushes and deletes as the change log has them, oldest first; `after` is the sequence of the last one seen. An answer
// without events whose `last` has grown is not the end.
http::Reply list_events(Asked& asked) {
    const auto all = wanted_events(asked.request);
    return all ? read_events(asked.services, *all) : error_response(all.error(), "", "INVALID");
}

http::Reply list_events_of_repository(Asked& asked) {
    auto some = wanted_events(asked.request);
    if (!some) return error_response(some.error(), "", "INVALID");
    some->repository = asked.repository->id;
    return read_events(asked.services, *some);
}

// Newest first; `before` is the sequence of the oldest one seen.
http::Reply list_audit(Asked& asked) {
    std::int64_t before = 0;
    if (const auto text = asked.request.query_value("before")) {
        const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), before);
        if (error != std::errc() || end != text->data() + text->size())
            return error_response(400, "INVALID", "before is not a number");
    }
    const auto rows = asked.services.audit.list(before, kChangesPerAnswer);
    if (!rows) return error_response(rows.error());
    json::array events;
    for (const meta::AuditEvent& row : *rows)
        events.push_back(json::object{{"sequence", row.sequence},
                                      {"happenedAt", format_rfc3339(row.happened_at)},
                                      {"actor", row.actor},
                                      {"address", row.address},
                                      {"action", row.action},
                                      {"subject", row.subject},
                                      {"detail", row.detail}});
    return json_response(200, json::object{{"events", std::move(events)}});
}

http::Reply list_failed_logins(Asked& asked) {
    std::optional<meta::FailedLogin> after;
    if (const auto text = asked.request.query_value("after")) {
        auto place = parse_place_of_login(*text);
        if (!place) return error_response(place.error(), "NOT_FOUND", "INVALID");
        after = *std::move(place);
    }
    const auto rows = asked.services.failed_logins.list(after ? &*after : nullptr, kChangesPerAnswer);
    if (!rows) return error_response(rows.error());
    json::array logins;
    for (const meta::FailedLogin& row : *rows)
        logins.push_back(json::object{{"name", row.name},
                                      {"address", row.address},
                                      {"firstAt", format_rfc3339(row.first_at)},
                                      {"lastAt", format_rfc3339(row.last_at)},
                                      {"wrong", row.failures},
                                      {"refused", row.refused}});
    json::object answer{{"failedLogins", std::move(logins)}};
    if (rows->size() == kChangesPerAnswer) answer["next"] = place_of_login(rows->back());
    return json_response(200, answer);
}

}  // namespace dtr::api::admin
