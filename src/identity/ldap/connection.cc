// libldap keeps global options that it reads from files and variables on its first use; every one that matters is set on
// the handle, so what it read has no effect. Roots of trust can be given only as a file: they are an anonymous one.
#include "identity/ldap/connection.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "sys/fd.h"

namespace dtr::identity {
namespace {

constexpr const char* kSystemRoots = "/etc/ssl/certs/ca-certificates.crt";

timeval to_timeval(std::chrono::milliseconds time) {
    timeval out{};
    out.tv_sec = time.count() / 1000;
    out.tv_usec = (time.count() % 1000) * 1000;
    return out;
}

berval to_berval(std::string_view bytes) {
    return {bytes.size(), const_cast<char*>(bytes.data())};  // libldap only reads it
}

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

// The server's words, fit for a line of ours.
std::string printable(const char* text) {
    std::string out(text == nullptr ? "" : text);
    out.resize(std::min<std::size_t>(out.size(), 300));
    for (char& c : out)
        if (static_cast<unsigned char>(c) < 0x20) c = ' ';
    while (!out.empty() && out.back() == ' ') out.pop_back();
    return out;
}

struct FreeControls {
    void operator()(LDAPControl** controls) const { libldap().ldap_controls_free(controls); }
};
struct FreeControl {
    void operator()(LDAPControl* control) const { libldap().ldap_control_free(control); }
};
struct FreeText {
    void operator()(char* text) const { libldap().ldap_memfree(text); }
};
struct FreeBer {
    void operator()(BerElement* element) const { libldap().ber_free(element, 0); }
};
struct FreeValues {
    void operator()(berval** values) const { libldap().ldap_value_free_len(values); }
};
using Text = std::unique_ptr<char, FreeText>;

}  // namespace

Result<Connection> Connection::open(const DirectorySettings& settings, const LdapOptions& options,
                                    std::chrono::milliseconds total) {
    DTR_TRY(libldap().library.usable());
    const Deadline deadline = std::chrono::steady_clock::now() + total;
    std::string_view rest = settings.server_url;
    for (;;) {
        const std::size_t space = rest.find(' ');
        auto opened = open_one(rest.substr(0, space), settings, options, deadline);
        if (opened || space == std::string_view::npos || opened.error().code != ErrorCode::unavailable) return opened;
        rest.remove_prefix(space + 1);
    }
}

Result<Connection> Connection::open_one(std::string_view server, const DirectorySettings& settings,
                                        const LdapOptions& options, Deadline deadline) {
    DTR_ASSIGN(auto channel, Channel::connect(server, std::chrono::milliseconds(options.connect_timeout_ms), deadline));
    Connection out(std::move(channel), server, options, deadline);
    LDAP* handle = nullptr;
    const int code = libldap().ldap_init_fd(out.channel_->fd(), LDAP_PROTO_EXT, out.server_.c_str(), &handle);
    if (code != LDAP_SUCCESS)
        return fail(ErrorCode::invalid,
                    fmt::format("the directory's address {}: {}", server, libldap().ldap_err2string(code)));
    out.handle_.reset(handle);
    DTR_TRY(out.prepare());
    if (settings.start_tls || server.starts_with("ldaps://")) DTR_TRY(out.begin_tls(settings));
    out.channel_->limit(std::chrono::milliseconds(options.answer_timeout_ms));
    return out;
}

template <class T>
Status Connection::set(int option, const T& value, std::string_view what) {
    if (libldap().ldap_set_option(handle_.get(), option, &value) == LDAP_OPT_SUCCESS) return {};
    return fail(ErrorCode::internal, fmt::format("libldap does not accept the option: {}", what));
}

Status Connection::prepare() {
    LDAP* const handle = handle_.get();
    Sockbuf* buffer = nullptr;
    ber_len_t most = options_.message_bytes_max;
    if (libldap().ldap_get_option(handle, LDAP_OPT_SOCKBUF, &buffer) != LDAP_OPT_SUCCESS || !channel_->attach(buffer) ||
        libldap().ber_sockbuf_ctrl(buffer, LBER_SB_OPT_SET_MAX_INCOMING, &most) < 0)
        return fail(ErrorCode::internal, "libldap does not accept the connection");
    DTR_TRY(set(LDAP_OPT_PROTOCOL_VERSION, int{LDAP_VERSION3}, "version 3"));
    DTR_TRY(set(LDAP_OPT_TIMEOUT, to_timeval(std::chrono::milliseconds(options_.answer_timeout_ms)), "answer timeout"));
    DTR_TRY(set(LDAP_OPT_DEREF, int{LDAP_DEREF_NEVER}, "aliases"));
    DTR_TRY(set(LDAP_OPT_SIZELIMIT, int{LDAP_NO_LIMIT}, "size limit"));
    DTR_TRY(set(LDAP_OPT_TIMELIMIT, int{LDAP_NO_LIMIT}, "time limit"));
    // A connection that broke must not come back by itself, without TLS or a deadline.
    if (libldap().ldap_set_option(handle, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) != LDAP_OPT_SUCCESS ||
        libldap().ldap_set_option(handle, LDAP_OPT_RESTART, libldap().ber_pvt_opt_on) != LDAP_OPT_SUCCESS ||
        libldap().ldap_set_option(handle, LDAP_OPT_URI, "ldapi://%2Fdev%2Fnull") != LDAP_OPT_SUCCESS)
        return fail(ErrorCode::internal, "libldap does not accept the option: referrals");
    return {};
}

Status Connection::prepare_tls(const DirectorySettings& settings) {
    DTR_TRY(set(LDAP_OPT_X_TLS_REQUIRE_CERT, int{settings.skip_verify ? LDAP_OPT_X_TLS_NEVER : LDAP_OPT_X_TLS_HARD},
                "certificate check"));
    DTR_TRY(set(LDAP_OPT_X_TLS_PROTOCOL_MIN, int{LDAP_OPT_X_TLS_PROTOCOL_TLS1_2}, "TLS 1.2"));
    std::string roots = kSystemRoots;
    UniqueFd file;
    if (!settings.root_certificates.empty()) {
        file.reset(::memfd_create("roots", MFD_CLOEXEC));
        const std::string& pem = settings.root_certificates;
        if (!file.valid() || ::write(file.get(), pem.data(), pem.size()) != static_cast<ssize_t>(pem.size()))
            return fail(system_error(errno, "keeping the directory's root certificates in memory"));
        roots = fmt::format("/proc/self/fd/{}", file.get());
    }
    if (libldap().ldap_set_option(handle_.get(), LDAP_OPT_X_TLS_CACERTFILE, roots.c_str()) != LDAP_OPT_SUCCESS ||
        libldap().ldap_set_option(handle_.get(), LDAP_OPT_X_TLS_CACERTDIR, nullptr) != LDAP_OPT_SUCCESS)
        return fail(ErrorCode::internal, "libldap does not accept the option: root certificates");
    const int is_server = 0;
    if (libldap().ldap_set_option(handle_.get(), LDAP_OPT_X_TLS_NEWCTX, &is_server) != LDAP_OPT_SUCCESS)
        return fail(ErrorCode::untrusted,
                    fmt::format("the root certificates for the directory {} cannot be used", server_),
                    "rootCerts takes PEM text; without it, the system's roots are used (package ca-certificates)");
    return {};
}

Status Connection::begin_tls(const DirectorySettings& settings) {
    DTR_TRY(prepare_tls(settings));
    const int code = settings.start_tls ? libldap().ldap_start_tls_s(handle_.get(), nullptr, nullptr)
                                        : libldap().ldap_install_tls(handle_.get());
    if (code == LDAP_SUCCESS) return require_good_version();
    if (!channel_->trouble().empty() || code == LDAP_TIMEOUT || code == LDAP_SERVER_DOWN)
        return broken(code, "beginning TLS");
    if (code > 0)
        return fail(ErrorCode::unsupported,
                    fmt::format("the directory {} does not start TLS: {} {}", server_, libldap().ldap_err2string(code),
                                diagnosis()),
                    "try ldaps://, or check whether the server has a certificate");
    return fail(ErrorCode::untrusted,
                fmt::format("the directory {} presents a certificate that is not accepted: it is for another name, has "
                            "expired, or was not issued under the given roots",
                            server_),
                settings.root_certificates.empty()
                    ? "give the directory's CA as rootCerts"
                    : "check that rootCerts is the directory's CA and that its certificate has the name in serverURL");
}

// With GnuTLS libldap takes LDAP_OPT_X_TLS_PROTOCOL_MIN and does not keep to it; and a priority string of its own leaks
// 8 KiB a connection. So it is looked at before anything secret is sent.
Status Connection::require_good_version() {
    char* text = nullptr;
    (void)libldap().ldap_get_option(handle_.get(), LDAP_OPT_X_TLS_VERSION, &text);
    const Text owner(text);
    const std::string version = printable(text);
    if (version.ends_with("1.2") || version.ends_with("1.3")) return {};
    return fail(
        ErrorCode::untrusted,
        fmt::format("the directory {} supports nothing better than {}", server_, version.empty() ? "?" : version),
        "TLS 1.2 is the minimum");
}

std::string Connection::diagnosis() const {
    char* text = nullptr;
    if (libldap().ldap_get_option(handle_.get(), LDAP_OPT_DIAGNOSTIC_MESSAGE, &text) != LDAP_OPT_SUCCESS) return {};
    const Text owner(text);
    return printable(text);
}

tl::unexpected<Error> Connection::broken(int code, std::string_view what) const {
    const std::string why = diagnosis();
    const std::string text = fmt::format("the directory {}: {}: {}{}{}", server_, what, libldap().ldap_err2string(code),
                                         why.empty() ? "" : ": ", why);
    if (code == LDAP_TIMEOUT) return fail(ErrorCode::unavailable, text, "it is slow, or something drops the traffic");
    if (code == LDAP_FILTER_ERROR || code == LDAP_PARAM_ERROR || code == LDAP_ENCODING_ERROR)
        return fail(ErrorCode::invalid, text, "check the filters in the directory's settings");
    return fail(ErrorCode::unavailable, text, "is serverURL right, the server up, and may this machine reach it?");
}

tl::unexpected<Error> Connection::refused(const Answer& answer, std::string_view what) const {
    const std::string text =
        fmt::format("the directory {}: {}: {}{}{}", server_, what, libldap().ldap_err2string(answer.code),
                    answer.text.empty() ? "" : ": ", answer.text);
    switch (answer.code) {
        case LDAP_NO_SUCH_OBJECT:
            return fail(ErrorCode::not_found, text,
                        "check that the DN is right and that the search account may see it");
        case LDAP_INSUFFICIENT_ACCESS:
            return fail(ErrorCode::denied, text, "allow the search account (readerDN) to read there");
        case LDAP_CONFIDENTIALITY_REQUIRED:
        case LDAP_STRONG_AUTH_REQUIRED:
            return fail(ErrorCode::denied, text, "the server wants encryption: ldaps:// or startTLS");
        case LDAP_SIZELIMIT_EXCEEDED:
        case LDAP_ADMINLIMIT_EXCEEDED:
            return fail(ErrorCode::invalid, text,
                        "the server does not return more at once: leave noSimplePagination false, or raise its limit");
        case LDAP_UNAVAILABLE_CRITICAL_EXTENSION:
            return fail(ErrorCode::unsupported, text,
                        "the server does not support paged results: set noSimplePagination");
        case LDAP_INVALID_DN_SYNTAX:
        case LDAP_REFERRAL:
        case LDAP_UNDEFINED_TYPE:
        case LDAP_INAPPROPRIATE_MATCHING:
            return fail(ErrorCode::invalid, text, "check the directory's settings");
        default:
            return fail(ErrorCode::unavailable, text, "see the directory's own log");
    }
}

// The next message that answers `id`.
Result<Connection::Message> Connection::next(int id) {
    using std::chrono::milliseconds;
    const auto left = std::chrono::duration_cast<milliseconds>(deadline_ - std::chrono::steady_clock::now());
    const milliseconds wait = std::clamp(left, milliseconds(0), milliseconds(options_.answer_timeout_ms));
    timeval time = to_timeval(wait);
    LDAPMessage* message = nullptr;
    const int type = libldap().ldap_result(handle_.get(), id, LDAP_MSG_ONE, &time, &message);
    if (type > 0) return Message(message);
    if (type == 0) return broken(LDAP_TIMEOUT, "waiting for its answer");
    int code = LDAP_SERVER_DOWN;
    (void)libldap().ldap_get_option(handle_.get(), LDAP_OPT_RESULT_CODE, &code);
    return broken(code, "waiting for its answer");
}

Result<Connection::Answer> Connection::finish(LDAPMessage* message) {
    Answer out;
    char* text = nullptr;
    LDAPControl** controls = nullptr;
    const int code =
        libldap().ldap_parse_result(handle_.get(), message, &out.code, nullptr, &text, nullptr, &controls, 0);
    const Text text_owner(text);
    const std::unique_ptr<LDAPControl*, FreeControls> owner(controls);
    if (code != LDAP_SUCCESS) return broken(code, "reading its answer");
    out.text = printable(text);
    LDAPControl* const page = libldap().ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, controls, nullptr);
    if (page == nullptr) return out;
    ber_int_t estimate = 0;
    berval cookie{};
    if (libldap().ldap_parse_pageresponse_control(handle_.get(), page, &estimate, &cookie) != LDAP_SUCCESS)
        return broken(LDAP_DECODING_ERROR, "reading a page's end");
    if (cookie.bv_val != nullptr) out.cookie.assign(cookie.bv_val, cookie.bv_len);
    libldap().ber_memfree(cookie.bv_val);
    return out;
}

Status Connection::bind(const std::string& dn, const Secret& password) {
    if (password.empty() && !dn.empty())
        return fail(ErrorCode::invalid, "a directory login without a password would be anonymous");
    berval credential = to_berval(password.expose());
    int id = 0;
    const int code =
        libldap().ldap_sasl_bind(handle_.get(), dn.c_str(), LDAP_SASL_SIMPLE, &credential, nullptr, nullptr, &id);
    if (code != LDAP_SUCCESS) return broken(code, "logging in");
    DTR_ASSIGN(const Message message, next(id));
    DTR_ASSIGN(const Answer answer, finish(message.get()));
    switch (answer.code) {
        case LDAP_SUCCESS:
            return {};
        case LDAP_INVALID_CREDENTIALS:
        case LDAP_NO_SUCH_OBJECT:
        case LDAP_INAPPROPRIATE_AUTH:    // an entry without a password
        case LDAP_CONSTRAINT_VIOLATION:  // locked, after too many attempts
        case LDAP_UNWILLING_TO_PERFORM:  // locked or expired, elsewhere
        case LDAP_INSUFFICIENT_ACCESS:
            return fail(
                ErrorCode::unauthenticated,
                fmt::format("the directory {} does not let {} log in: {}{}{}", server_, dn.empty() ? "anonymously" : dn,
                            libldap().ldap_err2string(answer.code), answer.text.empty() ? "" : ": ", answer.text));
        default:
            return refused(answer, "logging in");
    }
}

Status Connection::search(const LdapSearch& search, const std::function<Status(const FoundEntry&)>& callback) {
    std::string cookie;
    do {
        DTR_ASSIGN(cookie, search_page(search, cookie, callback));
    } while (!cookie.empty());
    return {};
}

Result<std::string> Connection::search_page(const LdapSearch& search, const std::string& cookie,
                                            const std::function<Status(const FoundEntry&)>& callback) {
    const std::string what = fmt::format("searching '{}' for {}", search.base, search.filter);
    std::vector<char*> attributes;
    for (const std::string& name : search.attributes) attributes.push_back(const_cast<char*>(name.c_str()));
    char none[] = LDAP_NO_ATTRS;
    if (attributes.empty()) attributes.push_back(none);
    attributes.push_back(nullptr);

    std::unique_ptr<LDAPControl, FreeControl> page;
    LDAPControl* controls[2] = {nullptr, nullptr};
    if (search.paged) {
        berval place = to_berval(cookie);
        LDAPControl* made = nullptr;
        const int code = libldap().ldap_create_page_control(handle_.get(), options_.page_size, &place, 1, &made);
        if (code != LDAP_SUCCESS) return broken(code, what);
        page.reset(made);
        controls[0] = made;
    }
    const int scope = search.scope == Scope::base        ? LDAP_SCOPE_BASE
                      : search.scope == Scope::one_level ? LDAP_SCOPE_ONELEVEL
                                                         : LDAP_SCOPE_SUBTREE;
    int id = 0;
    const int code = libldap().ldap_search_ext(handle_.get(), search.base.c_str(), scope, search.filter.c_str(),
                                               attributes.data(), 0, controls, nullptr, nullptr, LDAP_NO_LIMIT, &id);
    if (code != LDAP_SUCCESS) return broken(code, what);
    for (;;) {
        DTR_ASSIGN(const Message message, next(id));
        const int type = libldap().ldap_msgtype(message.get());
        if (type == LDAP_RES_SEARCH_REFERENCE) continue;
        if (type == LDAP_RES_SEARCH_ENTRY) {
            if (auto taken = callback(read(message.get())); !taken) {
                (void)libldap().ldap_abandon_ext(handle_.get(), id, nullptr, nullptr);
                return fail(taken.error());
            }
            continue;
        }
        DTR_ASSIGN(Answer answer, finish(message.get()));
        if (answer.code != LDAP_SUCCESS) return refused(answer, what);
        return std::move(answer.cookie);
    }
}

FoundEntry Connection::read(LDAPMessage* message) {
    FoundEntry out;
    const Text dn(libldap().ldap_get_dn(handle_.get(), message));
    if (dn) out.dn = dn.get();
    BerElement* place = nullptr;
    for (Text name(libldap().ldap_first_attribute(handle_.get(), message, &place)); name;
         name.reset(libldap().ldap_next_attribute(handle_.get(), message, place))) {
        const std::unique_ptr<berval*, FreeValues> values(
            libldap().ldap_get_values_len(handle_.get(), message, name.get()));
        std::vector<std::string>& list = out.values[lower(name.get())];
        for (berval** value = values.get(); value != nullptr && *value != nullptr; ++value)
            list.emplace_back((*value)->bv_val, (*value)->bv_len);
    }
    const std::unique_ptr<BerElement, FreeBer> owner(place);
    return out;
}

}  // namespace dtr::identity
