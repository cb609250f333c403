#include "cluster/ucp_link.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <chrono>
#include <utility>

#include "base/encoding.h"
#include "base/json_fields.h"
#include "identity/certificates.h"
#include "sys/log.h"

namespace dtr::cluster {
namespace {

namespace json = boost::json;

constexpr const char* kUrl = "ucp/url";
constexpr const char* kServiceId = "ucp/service";
constexpr const char* kCa = "ca/ucp/ca.crt";
constexpr const char* kClientCertificate = "ca/ucp/client.crt";
constexpr const char* kClientKey = "ca/ucp/client.key";
constexpr std::int64_t kAdministratorTimeoutMs = 30'000;
constexpr std::int64_t kConnectTimeoutMs = 2'000;
constexpr std::int64_t kAnswerTimeoutMs = 5'000;
constexpr std::int64_t kFeedTimeoutMs = 60'000;  // it may be long; that no byte comes is noticed before
constexpr std::int64_t kGoodbyeTimeoutMs = 2'000;
constexpr Micros kSlow = 3 * kSecond / 2;  // a call that failed after this long let somebody wait
constexpr Micros kSilence = 5 * kSecond;   // and nobody else waits for this long, or until it answers
constexpr Micros kRoundPatience = 5 * kSecond;
constexpr int kLoginsAtOnce = 8;
constexpr std::size_t kFeedBytesMax = 512U << 20;

Result<std::string> text(config::ConfigStore& config, const char* key) {
    DTR_ASSIGN(const config::Entry entry, config.get(key));
    return std::string(entry.value.expose());
}

Result<json::object> parse_answer(const std::string& body) {
    boost::system::error_code error;
    json::value document = json::parse(body, error);
    if (error || !document.is_object()) return fail(ErrorCode::corrupt, "UCP's answer cannot be read");
    return std::move(document.as_object());
}

std::int64_t seconds_of(const std::string& text) {
    std::int64_t seconds = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    return error == std::errc() && end == text.data() + text.size() && seconds > 0 ? seconds : 0;
}

// What another program says of itself goes into our messages as text, and nothing else.
Error refusal(const HttpAnswer& answer, std::string_view doing) {
    ErrorCode code = ErrorCode::unavailable;
    if (answer.status == 400) code = ErrorCode::invalid;
    if (answer.status == 401) code = ErrorCode::unauthenticated;
    if (answer.status == 403) code = ErrorCode::denied;
    if (answer.status == 404) code = ErrorCode::not_found;
    if (answer.status == 405 || answer.status == 412) code = ErrorCode::refused;
    if (answer.status == 409) code = ErrorCode::conflict;
    if (answer.status == 429) code = ErrorCode::exhausted;
    if (answer.status == 507) code = ErrorCode::no_space;
    Error refused{code, fmt::format("{}: HTTP status {}", doing, answer.status), {}};
    refused.retry_after_s = seconds_of(answer.header("retry-after"));
    boost::system::error_code error;
    const json::value document = json::parse(answer.body, error);
    const auto* fields = error ? nullptr : document.if_object();
    const auto* errors = fields == nullptr ? nullptr : fields->if_contains("errors");
    if (errors == nullptr || !errors->is_array() || errors->as_array().empty() || !errors->as_array()[0].is_object())
        return refused;
    const json::object& first = errors->as_array()[0].as_object();
    refused.message = fmt::format("{}: {}", doing, printable(text_field(first, "message")));
    refused.hint = printable(text_field(first, "detail"));
    return refused;
}

Result<meta::AccountFeed> parse_feed(const std::string& body) {
    DTR_ASSIGN(const json::object fields, parse_answer(body));
    const auto* position = fields.if_contains("position");
    const auto* rows = fields.if_contains("changes");
    if (position == nullptr || !position->is_int64() || rows == nullptr || !rows->is_array())
        return fail(ErrorCode::corrupt, "the accounts that UCP sent cannot be read");
    meta::AccountFeed feed;
    feed.position = {text_field(fields, "epoch"), position->as_int64()};
    feed.complete = flag_field(fields, "complete");
    for (const json::value& row : rows->as_array()) {
        const auto* one = row.if_object();
        if (one == nullptr) return fail(ErrorCode::corrupt, "the accounts that UCP sent cannot be read");
        meta::Change change;
        change.table = text_field(*one, "table");
        change.operation = text_field(*one, "operation") == "D" ? 'D' : 'U';
        const auto* content = one->if_contains("row");
        change.row_json = content == nullptr ? "null" : json::serialize(*content);
        feed.changes.push_back(std::move(change));
    }
    return feed;
}

}  // namespace

Result<std::optional<UcpAccess>> load_ucp_access(config::ConfigStore& config) {
    DTR_ASSIGN(const auto url, found_or_none(text(config, kUrl)));
    if (!url) return std::optional<UcpAccess>();
    UcpAccess access;
    access.url = *url;
    DTR_ASSIGN(access.service_id, text(config, kServiceId));
    DTR_ASSIGN(access.trust.ca_pem, text(config, kCa));
    DTR_ASSIGN(access.client_certificate_pem, text(config, kClientCertificate));
    DTR_ASSIGN(const config::Entry key, config.get(kClientKey));
    access.client_key_pem = key.value;
    return std::optional(std::move(access));
}

std::vector<config::Change> ucp_access_changes(const UcpAccess& access) {
    const auto put = [](const char* key, std::string value) {
        return config::Change{key, Secret(std::move(value)), false, std::nullopt};
    };
    return {put(kUrl, access.url), put(kServiceId, access.service_id), put(kCa, access.trust.ca_pem),
            put(kClientCertificate, access.client_certificate_pem),
            config::Change{kClientKey, access.client_key_pem, true, std::nullopt}};
}

bool has_ucp_of_its_own(const std::vector<config::Change>& settings) {
    return std::any_of(settings.begin(), settings.end(),
                       [](const config::Change& one) { return one.key == kUrl && one.value; });
}

// --- an administrator's calls ---

Result<HttpAnswer> UcpAdministrator::call(std::string method, const std::string& path, const std::string& body,
                                          std::string_view doing) {
    HttpCall call = admin_;
    call.method = std::move(method);
    call.url += path;
    call.timeout_ms = kAdministratorTimeoutMs;
    call.body_limit = kFeedBytesMax;
    if (!body.empty()) {
        call.headers.emplace_back("Content-Type", "application/json");
        call.body = body;
    }
    auto answer = client_.call(call);
    if (!answer) return fail(answer.error().in(std::string(doing)));
    if (answer->status < 200 || answer->status >= 300) return fail(refusal(*answer, doing));
    return answer;
}

Status UcpAdministrator::check() {
    DTR_TRY(call("GET", "/enzi/v0/services", "", fmt::format("cannot use UCP at {}", admin_.url)));
    return {};
}

Result<UcpAccess> UcpAdministrator::register_cluster(std::string_view name, std::string_view cluster_id,
                                                     std::string_view parent_cluster_id) {
    json::object registration{{"name", name}, {"clusterId", cluster_id}};
    if (!parent_cluster_id.empty()) registration["parentClusterId"] = parent_cluster_id;
    DTR_ASSIGN(const HttpAnswer answer,
               call("POST", "/enzi/v0/services", json::serialize(registration), "cannot register with UCP"));
    DTR_ASSIGN(const json::object fields, parse_answer(answer.body));
    UcpAccess access;
    access.url = admin_.url;
    access.service_id = text_field(fields, "id");
    access.trust.ca_pem = text_field(fields, "ca");
    access.client_certificate_pem = text_field(fields, "certificate");
    access.client_key_pem = Secret(text_field(fields, "key"));
    if (access.service_id.empty() || access.trust.ca_pem.empty() || access.client_key_pem.empty())
        return fail(ErrorCode::corrupt, "UCP's answer to the registration cannot be read");
    return access;
}

Status UcpAdministrator::escrow(std::string_view cluster_id, const Secret& identity_file) {
    DTR_TRY(call("PUT", "/enzi/v0/escrow",
                 json::serialize(json::object{{"clusterId", cluster_id}, {"identity", identity_file.expose()}}),
                 "cannot hand the recovery key to UCP"));
    return {};
}

Result<Secret> UcpAdministrator::release(std::string_view recipient) {
    DTR_ASSIGN(const HttpAnswer answer,
               call("POST", "/enzi/v0/escrow/release", json::serialize(json::object{{"recipient", recipient}}),
                    "cannot get the recovery key from UCP"));
    DTR_ASSIGN(const json::object fields, parse_answer(answer.body));
    return Secret(text_field(fields, "identity"));
}

Result<meta::AccountFeed> UcpAdministrator::accounts() {
    DTR_ASSIGN(const HttpAnswer answer, call("GET", "/enzi/v0/feed", "", "cannot read the accounts of UCP"));
    return parse_feed(answer.body);
}

// --- the link ---

UcpLink::UcpLink(HttpClient& client, meta::MetaStore& meta, identity::AccountVersion& version, Clock& clock,
                 Options options)
    : client_(client),
      meta_(meta),
      version_(version),
      clock_(clock),
      options_(std::move(options)),
      url_(options_.access.url),
      access_(options_.access),
      rounds_(clock, {"ucp-link", [this] { return options_.poll_interval; }, PeriodicTask::First::at_once},
              [this](PeriodicTask&) { round(); }) {}

void UcpLink::start(Presence presence) {
    presence_ = std::move(presence);
    started_ = true;
    rounds_.start();
}

void UcpLink::stop() {
    {
        const MutexLock lock(mutex_);
        stopping_ = true;
        ended_.notify_all();
    }
    stop_.request_stop();
    rounds_.stop();
    if (std::exchange(started_, false)) say_goodbye();
}

Status UcpLink::require_fresh() const {
    const Micros at = fresh_at_.load(std::memory_order_acquire);
    const Micros age = clock_.monotonic() - at;
    if (at != 0 && (!options_.max_age || age <= options_.max_age())) return {};
    return fail(ErrorCode::unavailable,
                at == 0 ? fmt::format("UCP at {} could not be reached for accounts yet", url_)
                        : fmt::format("UCP at {} has not answered for {} s", url_, age / kSecond),
                "public repositories can be pulled without a login; the administrator of UCP can help");
}

Status UcpLink::settle(Micros patience) {
    Status settled;
    {
        const MutexLock lock(mutex_);
        const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(patience);
        while (!usable_ && !stopping_) {
            const auto left = end - std::chrono::steady_clock::now();
            if (left <= left.zero()) break;
            (void)ended_.wait_for(mutex_, left);
        }
        if (stopping_) return fail(ErrorCode::cancelled, "stopping");
        if (!usable_)
            settled = !last_round_ ? last_round_
                                   : fail(ErrorCode::unavailable,
                                          fmt::format("UCP at {} could not be reached for accounts yet", url_));
    }
    settled_.store(true, std::memory_order_release);
    return settled;
}

// --- asking UCP ---

HttpCall UcpLink::prepare(std::string method, const std::string& path, std::string body) {
    HttpCall call;
    call.method = std::move(method);
    UcpAccess now = access();
    call.url = url_ + path;
    call.trust = std::move(now.trust);
    call.client_certificate_pem = std::move(now.client_certificate_pem);
    call.client_key_pem = std::move(now.client_key_pem);
    call.connect_timeout_ms = kConnectTimeoutMs;
    call.idle_timeout_ms = kAnswerTimeoutMs;
    call.timeout_ms = kAnswerTimeoutMs;
    call.body_limit = kFeedBytesMax;
    call.stop = stop_.get_token();
    if (!body.empty()) call.headers.emplace_back("Content-Type", "application/json");
    call.body = std::move(body);
    return call;
}

Result<HttpAnswer> UcpLink::send(HttpCall call) {
    const Micros began = clock_.monotonic();
    auto answer = client_.call(call);
    wipe(call.body);
    if (answer) {
        silent_until_.store(0, std::memory_order_relaxed);
        return answer;
    }
    const Micros now = clock_.monotonic();
    if (now - began >= kSlow) silent_until_.store(now + kSilence, std::memory_order_relaxed);
    return fail(answer.error().in("UCP at " + url_));
}

Status UcpLink::synchronise() {
    DTR_ASSIGN(const auto position, meta_.account_mirror().position());
    const Micros asked_at = clock_.monotonic();
    HttpCall question = prepare("GET",
                                position ? fmt::format("/enzi/v0/feed?after={}&epoch={}", position->transaction,
                                                       percent_encode(position->epoch_id))
                                         : "/enzi/v0/feed",
                                "");
    question.timeout_ms = kFeedTimeoutMs;
    DTR_ASSIGN(const HttpAnswer answer, send(std::move(question)));
    if (answer.status != 200)
        return fail(refusal(answer, fmt::format("UCP at {} does not provide its accounts", url_)));
    DTR_ASSIGN(const meta::AccountFeed feed, parse_feed(answer.body));
    if (feed.complete || !feed.changes.empty() || !position || !(*position == feed.position)) {
        DTR_TRY(meta_.account_mirror().apply(feed));
        version_.invalidate();
    }
    fresh_at_.store(asked_at, std::memory_order_release);
    return {};
}

Status UcpLink::report() {
    const std::string ca = presence_.ca();
    json::object fields{{"address", presence_.address}, {"ca", ca}, {"version", options_.version}};
    fields["clusterId"] = options_.cluster_id;
    if (!options_.parent_cluster_id.empty()) fields["parentClusterId"] = options_.parent_cluster_id;
    DTR_ASSIGN(const HttpAnswer answer,
               send(prepare("PUT", "/enzi/v0/replicas/" + options_.replica_id, json::serialize(fields))));
    if (answer.status != 200) return fail(refusal(answer, fmt::format("UCP at {} does not accept this replica", url_)));
    DTR_ASSIGN(const json::object given, parse_answer(answer.body));
    return refresh_access(text_field(given, "ca"), text_field(given, "issuer"));
}

// Nobody is sent here any more, and a cluster that was restored in place need not wait for this one to fall silent.
void UcpLink::say_goodbye() {
    if (reported_at_ == 0) return;
    HttpCall goodbye = prepare("DELETE", "/enzi/v0/replicas/" + options_.replica_id, "");
    goodbye.timeout_ms = kGoodbyeTimeoutMs;
    goodbye.stop = {};
    if (const auto told = send(std::move(goodbye)); !told) log::debug("{}", told.error().text());
}

UcpAccess UcpLink::access() {
    const MutexLock lock(access_mutex_);
    return access_;
}

Status UcpLink::refresh_access(const std::string& trusted, const std::string& issuer) {
    UcpAccess next = access();
    DTR_ASSIGN(const bool due, identity::renewal_due(next.client_certificate_pem, clock_.now()));
    DTR_ASSIGN(const bool current, identity::issued_by(next.client_certificate_pem, issuer));
    const bool followed = trusted == next.trust.ca_pem;
    if (followed && current && !due) return {};
    next.trust.ca_pem = trusted;
    if (due || !current) {
        DTR_ASSIGN(const HttpAnswer answer, send(prepare("POST", "/enzi/v0/service/renew", "")));
        if (answer.status != 200)
            return fail(refusal(answer, fmt::format("UCP at {} does not renew our certificate", url_)));
        DTR_ASSIGN(const json::object fields, parse_answer(answer.body));
        next.client_certificate_pem = text_field(fields, "certificate");
        next.client_key_pem = Secret(text_field(fields, "key"));
    }
    if (options_.save) DTR_TRY(options_.save(next));
    log::info("{} from UCP at {}", due || !current ? "a new certificate" : "another authority", url_);
    const MutexLock lock(access_mutex_);
    access_ = std::move(next);
    return {};
}

Status UcpLink::report_if_due() {
    if (reported_at_ != 0 && clock_.monotonic() - reported_at_ < options_.report_interval) return {};
    DTR_TRY(report());
    reported_at_ = clock_.monotonic();
    return {};
}

void UcpLink::round() {
    {
        const MutexLock lock(mutex_);
        ++rounds_begun_;
    }
    const Status mirrored = synchronise();
    Status done = mirrored ? report_if_due() : mirrored;
    if (!done && !failing_ && done.error().code != ErrorCode::cancelled) log::warn("{}", done.error().text());
    if (done && failing_) log::info("UCP at {} answers again", url_);
    failing_ = !done;
    const MutexLock lock(mutex_);
    ++rounds_ended_;
    usable_ = usable_ || done.has_value();
    last_mirrored_ = mirrored;
    last_round_ = std::move(done);
    ended_.notify_all();
}

Status UcpLink::await_round() {
    const MutexLock lock(mutex_);
    const std::uint64_t next = rounds_begun_ + 1;
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(kRoundPatience);
    while (rounds_ended_ < next && !stopping_) {
        rounds_.run_soon();
        const auto left = end - std::chrono::steady_clock::now();
        if (left <= left.zero())
            return fail(ErrorCode::unavailable, fmt::format("UCP at {} does not provide its accounts in time", url_));
        (void)ended_.wait_for(mutex_, left);
    }
    if (stopping_) return fail(ErrorCode::cancelled, "stopping");
    return last_mirrored_;
}

// --- logins ---

// A place among those who wait for UCP.
class UcpLink::Turn {
  public:
    static Result<Turn> take(UcpLink& link) {
        const Micros silence = link.silent_until_.load(std::memory_order_relaxed) - link.clock_.monotonic();
        if (silence > 0)
            return fail_for(silence / kSecond + 1, ErrorCode::unavailable,
                            fmt::format("UCP at {} does not answer", link.url_));
        if (link.waiting_.fetch_add(1) < kLoginsAtOnce) return Turn(link);
        link.waiting_.fetch_sub(1);
        return fail_for(1, ErrorCode::unavailable, fmt::format("too many logins are waiting for UCP at {}", link.url_));
    }
    Turn(Turn&& other) noexcept : link_(std::exchange(other.link_, nullptr)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
        if (link_ != nullptr) link_->waiting_.fetch_sub(1);
    }

  private:
    explicit Turn(UcpLink& link) : link_(&link) {}
    UcpLink* link_;
};

Result<identity::CheckedAccount> UcpLink::check(const meta::Account*, std::string_view name, const Secret& password,
                                                std::string_view peer) {
    DTR_ASSIGN(const Turn turn, Turn::take(*this));
    std::string body = json::serialize(json::object{
        {"username", name}, {"password", password.expose()}, {"address", peer}, {"clusterId", options_.cluster_id}});
    DTR_ASSIGN(const HttpAnswer answer, send(prepare("POST", "/enzi/v0/service/login", std::move(body))));
    if (answer.status == 401) return fail(ErrorCode::unauthenticated, "login: the name or the password is wrong");
    if (answer.status != 200) return fail(refusal(answer, fmt::format("UCP at {} refuses the login", url_)));
    DTR_ASSIGN(const json::object fields, parse_answer(answer.body));
    const std::string id = text_field(fields, "id");
    auto account = meta_.accounts().find_by_id(id);
    if (!account && account.error().code == ErrorCode::not_found) {
        DTR_TRY(await_round());  // younger than the last one
        account = meta_.accounts().find_by_id(id);
    }
    if (!account) return fail(account.error().in("login"));
    identity::CheckedAccount checked(std::move(*account));
    checked.by_token = flag_field(fields, "byToken");
    checked.backup_only = flag_field(fields, "backupOnly");
    return checked;
}

}  // namespace dtr::cluster
