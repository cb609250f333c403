#include "cli/connection.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "base/encoding.h"
#include "base/json_fields.h"
#include "cli/keys.h"
#include "cli/program.h"
#include "cli/server_url.h"
#include "cli/streams.h"
#include "identity/certificates.h"
#include "sys/interrupt.h"
#include "sys/proxy.h"

namespace dtr::cli {

namespace json = boost::json;

namespace {

constexpr std::int64_t kUcpTimeoutMs = 30'000;

std::string check_cluster_id(const std::string& text) {
    return text.size() >= 8 && text.size() <= 32 && is_lower_hex(text)
               ? std::string()
               : "a cluster's id is 32 lower-case hex digits; at least the first 8 are needed";
}

}  // namespace

void Connection::add_options(CLI::App& command) {
    command.add_option("--ucp-url", url, "Address of UCP, or of the replica that embeds it: HOST:PORT")
        ->envname("UCP_URL");
    command.add_option("--ucp-username", username, "Name of an administrator")->envname("UCP_USERNAME");
    command
        .add_option("--ucp-password", password,
                    "Password; it is safer to use --ucp-password-file or UCP_PASSWORD, or to type it when asked")
        ->envname("UCP_PASSWORD");
    command.add_option("--ucp-password-file", password_file, "File whose first line is the password");
    command.add_option("--ucp-ca", ca, "PEM text of UCP's CA, as in --ucp-ca \"$(cat ca.pem)\"")->envname("UCP_CA");
    command
        .add_option("--ucp-ca-fingerprint", ca_fingerprint,
                    "Trust only the CA with this SHA-256 fingerprint; without --ucp-ca it is fetched from /ca")
        ->envname("UCP_CA_FINGERPRINT");
    command.add_flag("--ucp-insecure-tls", insecure, "Do not check the server's certificate")
        ->envname("UCP_INSECURE_TLS");
}

void Connection::add_choice_of_replica(CLI::App& command) {
    command.add_option("--existing-replica-id", replica_id, "Id of the replica to talk to")
        ->envname("DTR_REPLICA_ID")
        ->check(check_replica_id);
    command
        .add_option("--cluster-id", cluster_id,
                    "Id of the cluster to talk to, or its first digits, if several are registered with UCP")
        ->envname("DTR_CLUSTER_ID")
        ->check(check_cluster_id);
}

std::string without_scheme(std::string url) {
    if (const auto scheme = url.find("://"); scheme != std::string::npos) url = url.substr(scheme + 3);
    return url.substr(0, url.find('/'));
}

// Host part of an external URL or host:port.
std::string host_of(std::string url) {
    url = without_scheme(std::move(url));
    if (!url.empty() && url.front() == '[') return url.substr(1, url.find(']') - 1);
    return url.substr(0, url.find(':'));
}

Result<Secret> read_password_file(const std::string& path) {
    DTR_ASSIGN(std::string text, read_named_file(path));
    const std::size_t end = text.find_first_of("\r\n");
    Secret first(text.substr(0, end));
    wipe(text);
    if (first.empty()) return fail(ErrorCode::invalid, fmt::format("the first line of {} holds no password", path));
    return first;
}

namespace {

// The terminal as it was, when this dies.
class Silence {
  public:
    explicit Silence(int terminal) : terminal_(terminal) {
        if (::tcgetattr(terminal_, &before_) != 0) return;
        termios silent = before_;
        silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
        silent_ = ::tcsetattr(terminal_, TCSAFLUSH, &silent) == 0;
        if (silent_) at_forced_end_.emplace([this] { restore(); });
    }
    ~Silence() {
        at_forced_end_.reset();
        if (silent_) restore();
    }
    Silence(const Silence&) = delete;
    Silence& operator=(const Silence&) = delete;
    [[nodiscard]] bool silent() const { return silent_; }

  private:
    void restore() { (void)::tcsetattr(terminal_, TCSAFLUSH, &before_); }

    int terminal_;
    termios before_{};
    bool silent_ = false;
    std::optional<OnForcedEnd> at_forced_end_;
};

Result<UniqueFd> open_terminal() {
    UniqueFd terminal(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
    if (!terminal.valid()) return fail(ErrorCode::invalid, "there is no terminal to ask at");
    return terminal;
}

Result<std::string> ask_terminal(int terminal, const std::string& question) {
    std::string line;
    bool ended = ::write(terminal, question.data(), question.size()) < 0;
    for (char c = 0; !ended && line.size() < 4096;) {
        DTR_TRY(wait_readable(terminal));
        ended = ::read(terminal, &c, 1) != 1 || c == '\n';
        if (!ended) line.push_back(c);
    }
    if (line.empty()) return fail(ErrorCode::invalid, "nothing was typed");
    return line;
}

}  // namespace

Result<Secret> prompt_password(const std::string& question) {
    const auto terminal = open_terminal();
    if (!terminal)
        return fail(ErrorCode::invalid, "no password was given, and there is no terminal to ask at",
                    "use --ucp-password-file FILE or UCP_PASSWORD");
    const Silence silence(terminal->get());
    if (!silence.silent()) return fail(system_error(errno, "cannot use the terminal"));
    auto line = ask_terminal(terminal->get(), question);
    const bool told = ::write(terminal->get(), "\n", 1) == 1;
    if (!line && line.error().code == ErrorCode::cancelled) return fail(line.error());
    if (!line || !told) return fail(ErrorCode::invalid, "no password was typed");
    Secret typed(*line);
    wipe(*line);
    return typed;
}

Result<std::string> prompt_text(const std::string& question) {
    DTR_ASSIGN(const UniqueFd terminal, open_terminal());
    return ask_terminal(terminal.get(), question);
}

Result<Secret> prompt_new_password(const std::string& question) {
    DTR_ASSIGN(Secret first, prompt_password(question));
    DTR_ASSIGN(const Secret second, prompt_password("Again: "));
    if (!(first == second)) return fail(ErrorCode::invalid, "the two passwords differ");
    return first;
}

namespace {

// A file's name in the place of its text is the usual mistake.
Status check_ca(const std::string& ca) {
    if (ca.empty() || identity::fingerprint(ca)) return {};
    std::error_code ignored;
    const bool names_file = ca.size() < 4096 && ca.find('\n') == ca.npos && std::filesystem::exists(ca, ignored);
    return fail(ErrorCode::invalid,
                names_file ? fmt::format("--ucp-ca takes the text of a certificate, not a file name: {}", ca)
                           : std::string("--ucp-ca holds no certificate"),
                "give the text: --ucp-ca \"$(cat ca.pem)\"");
}

}  // namespace

Status Connection::ask_for_what_is_missing() {
    DTR_TRY(check_ca(ca));
    const auto ask_for = [this](std::string& field, const std::string& question) {
        if (!field.empty() || !may_ask) return;
        if (auto typed = prompt_text(question)) field = std::move(*typed);
    };
    ask_for(url, "Address of UCP (HOST:PORT): ");
    DTR_TRY(check_interrupt());
    if (url.empty()) return fail(ErrorCode::invalid, "no server was given", "use --ucp-url HOST:PORT or UCP_URL");
    DTR_TRY(check_server_url(url));
    ask_for(username, fmt::format("Name of an administrator at {}: ", url));
    DTR_TRY(check_interrupt());
    if (username.empty())
        return fail(ErrorCode::invalid, "no user was given", "use --ucp-username NAME or UCP_USERNAME");
    return {};
}

Result<Secret> Connection::find_password() {
    if (!password_file.empty()) return read_password_file(password_file);
    if (!password.empty()) return Secret(password);
    if (asked_.empty()) {
        DTR_ASSIGN(asked_, prompt_password(fmt::format("Password of {} at {}: ", username, url)));
    }
    return asked_;
}

Result<HttpCall> Connection::call_ucp(std::string method, const std::string& path) {
    DTR_TRY(ask_for_what_is_missing());
    if (insecure && ca_fingerprint.empty() && !std::exchange(warned_, true))
        say("warning: the server's certificate is not checked");
    HttpCall call;
    call.method = std::move(method);
    DTR_ASSIGN(const std::string base, parse_server_url(url));
    if (base.starts_with("http://") && !is_loopback(base) && !std::exchange(warned_of_plain_, true))
        say(fmt::format("warning: the password crosses the network unencrypted: {} is plain http; use https", base));
    call.url = base + path;
    call.basic_username = username;
    DTR_ASSIGN(call.basic_password, find_password());
    call.trust = {ca, insecure, ca_fingerprint};
    return call;
}

bool Connection::would_ask() const {
    return url.empty() || username.empty() || (password.empty() && password_file.empty() && asked_.empty());
}

Status Connection::probe() {
    DTR_ASSIGN(const std::string base, parse_server_url(url));
    HttpCall question;
    question.url = base + "/_ping";
    question.trust = {ca, insecure, ca_fingerprint};
    DTR_TRY(curl_http_client().call(question));
    return {};
}

namespace {

std::optional<json::object> object_in(const HttpAnswer& answer) {
    boost::system::error_code error;
    json::value document = json::parse(answer.body, error);
    if (error || !document.is_object()) return std::nullopt;
    return std::move(document.as_object());
}

// A line for each replica of each cluster, from which to choose.
void say_clusters(const json::object& fields) {
    const auto* replicas = fields.if_contains("replicas");
    if (replicas == nullptr || !replicas->is_array()) return;
    for (const json::value& one : replicas->as_array())
        if (const auto* replica = one.if_object())
            say(fmt::format("cluster {} ({}): replica {} at {}, last seen {}", text_field(*replica, "clusterId"),
                            text_field(*replica, "serviceName"), text_field(*replica, "id"),
                            text_field(*replica, "address"), text_field(*replica, "lastSeen")));
}

}  // namespace

Status Connection::find_replica() {
    if (embedded_ || (replica_ && std::chrono::steady_clock::now() < replica_->until)) return {};
    const std::string id = replica_id.empty() ? "any" : replica_id;
    DTR_ASSIGN(HttpCall question, call_ucp("POST", "/enzi/v0/replicas/" + percent_encode(id) + "/token"));
    question.headers.emplace_back("Content-Type", "application/json");
    json::object fields{{"purpose", purpose}};
    if (!cluster_id.empty()) fields["clusterId"] = cluster_id;
    question.body = json::serialize(fields);
    question.idle_timeout_ms = kUcpTimeoutMs;
    question.timeout_ms = kUcpTimeoutMs;
    DTR_ASSIGN(const HttpAnswer answer, curl_http_client().call(question));
    if (answer.status == 200) return take_replica(answer);
    const bool is_about_us = answer.status == 401 || answer.status == 403;
    Error refusal = answer_error(answer, is_about_us ? fmt::format("{} refuses {}", url, username) : url);
    if (answer.status == 404) refusal.code = ErrorCode::refused;
    if (answer.status == 412) say_clusters(object_in(answer).value_or(json::object()));
    return fail(std::move(refusal));
}

Status Connection::take_replica(const HttpAnswer& answer) {
    const auto answered = object_in(answer);
    if (!answered) return fail(ErrorCode::unavailable, fmt::format("{}: UCP's answer cannot be read", url));
    const json::object& fields = *answered;
    cluster_ = text_field(fields, "clusterId");
    if (text_field(fields, "token").empty()) {
        embedded_ = true;
        return {};
    }
    // Half of what a token lives: a call takes its time.
    replica_ = Replica{"https://" + text_field(fields, "address"),
                       {text_field(fields, "ca"), false, {}},
                       Secret(text_field(fields, "token")),
                       std::chrono::steady_clock::now() + std::chrono::seconds(30)};
    return {};
}

Result<HttpCall> Connection::call(std::string method, const std::string& path) {
    if (path.starts_with("/enzi/") || (program_name() == "ucp" && !at_replica))
        return call_ucp(std::move(method), path);
    DTR_TRY(find_replica());
    HttpCall call;
    if (embedded_) {
        DTR_ASSIGN(call, call_ucp(std::move(method), path));
    } else {
        call.method = std::move(method);
        call.url = replica_->url + path;
        call.basic_username = username;
        call.basic_password = replica_->token;
        call.trust = replica_->trust;
    }
    // Whoever answers there must be of the cluster that was found.
    if (!cluster_.empty()) call.headers.emplace_back("Dtr-Cluster-Id", cluster_);
    return call;
}

ErrorCode error_code_of(std::string_view name) {
    for (int code = 0; code < static_cast<int>(ErrorCode::internal); ++code)
        if (name == to_string(static_cast<ErrorCode>(code))) return static_cast<ErrorCode>(code);
    return ErrorCode::internal;
}

namespace {

ErrorCode code_of(int status) {
    switch (status) {
        case 400:
        case 413:
        case 414:
        case 431:
            return ErrorCode::invalid;
        case 401:
            return ErrorCode::unauthenticated;
        case 403:
            return ErrorCode::denied;
        case 404:
            return ErrorCode::not_found;
        case 405:
        case 412:
            return ErrorCode::refused;
        case 409:
            return ErrorCode::conflict;
        case 429:
        case 502:
        case 503:
        case 504:
            return ErrorCode::unavailable;
        case 507:
            return ErrorCode::no_space;
        default:
            return ErrorCode::internal;
    }
}

}  // namespace

Error answer_error(const HttpAnswer& answer, std::string_view doing) {
    std::string message = fmt::format("{}: HTTP status {}", doing, answer.status);
    std::string hint;
    boost::system::error_code error;
    const json::value document = json::parse(answer.body, error);
    if (!error && document.is_object()) {
        if (const auto* errors = document.as_object().if_contains("errors"); errors != nullptr && errors->is_array() &&
                                                                             !errors->as_array().empty() &&
                                                                             errors->as_array()[0].is_object()) {
            const json::object& first = errors->as_array()[0].as_object();
            if (const auto* text = first.if_contains("message"); text != nullptr && text->is_string())
                message = fmt::format("{}: {}", doing, std::string_view(text->as_string()));
            if (const auto* text = first.if_contains("detail"); text != nullptr && text->is_string())
                hint = std::string_view(text->as_string());
        }
        if (const auto* id = document.as_object().if_contains("request_id");
            answer.status >= 500 && id != nullptr && id->is_string())
            hint += fmt::format("{}see the server's log for request {}", hint.empty() ? "" : "; ",
                                std::string_view(id->as_string()));
    }
    // Never followed: the password is for the server that was named.
    if (answer.status >= 300 && answer.status < 400)
        return {ErrorCode::invalid, std::move(message),
                fmt::format("the server names another address: {}; give that one if you trust it",
                            answer.header("location").substr(0, 300))};
    return {code_of(answer.status), std::move(message), std::move(hint)};
}

}  // namespace dtr::cli
