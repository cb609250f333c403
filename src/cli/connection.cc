#include "cli/connection.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>

#include "cli/streams.h"

namespace dtr::cli {

namespace json = boost::json;

void Connection::add_options(CLI::App& command) {
    command.add_option("--ucp-url", url, "Address of UCP, or of the replica with embedded UCP: HOST:PORT")
        ->envname("UCP_URL");
    command.add_option("--ucp-username", username, "Name of an administrator")->envname("UCP_USERNAME");
    command.add_option("--ucp-password", password, "Password; better: --ucp-password-file, UCP_PASSWORD, or be asked")
        ->envname("UCP_PASSWORD");
    command.add_option("--ucp-password-file", password_file, "File with the password in its first line");
    command.add_option("--ucp-ca", ca, "PEM text of UCP's CA, as in --ucp-ca \"$(cat ca.pem)\"")->envname("UCP_CA");
    command
        .add_option("--ucp-ca-fingerprint", ca_fingerprint,
                    "Trust only the CA with this SHA-256 fingerprint; without --ucp-ca it is fetched from /ca")
        ->envname("UCP_CA_FINGERPRINT");
    command.add_flag("--ucp-insecure-tls", insecure, "Do not check the server's certificate")
        ->envname("UCP_INSECURE_TLS");
}

Result<Secret> read_password_file(const std::string& path) {
    DTR_ASSIGN(std::string text, read_named_file(path));
    const std::size_t end = text.find_first_of("\r\n");
    Secret first(text.substr(0, end));
    wipe(text);
    if (first.empty()) return fail(ErrorCode::invalid, fmt::format("{} holds no password in its first line", path));
    return first;
}

Result<Secret> prompt_password(const std::string& question) {
    UniqueFd terminal(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
    if (!terminal.valid())
        return fail(ErrorCode::invalid, "no password was given, and there is no terminal to ask on",
                    "use --ucp-password-file FILE or UCP_PASSWORD");
    termios before{};
    if (::tcgetattr(terminal.get(), &before) != 0) return fail(system_error(errno, "cannot use the terminal"));
    termios silent = before;
    silent.c_lflag &= static_cast<tcflag_t>(~ECHO);
    ::tcsetattr(terminal.get(), TCSAFLUSH, &silent);
    std::string line;
    bool ended = ::write(terminal.get(), question.data(), question.size()) < 0;
    for (char c = 0; !ended && line.size() < 4096;) {
        ended = ::read(terminal.get(), &c, 1) != 1 || c == '\n';
        if (!ended) line.push_back(c);
    }
    ::tcsetattr(terminal.get(), TCSAFLUSH, &before);
    const bool told = ::write(terminal.get(), "\n", 1) == 1;
    if (line.empty() || !told) return fail(ErrorCode::invalid, "no password was typed");
    Secret typed(line);
    wipe(line);
    return typed;
}

Result<Secret> Connection::find_password() {
    if (!password_file.empty()) return read_password_file(password_file);
    if (!password.empty()) return Secret(password);
    if (asked_.empty()) {
        DTR_ASSIGN(asked_, prompt_password(fmt::format("Password of {} at {}: ", username, url)));
    }
    return asked_;
}

Result<HttpCall> Connection::call(std::string method, const std::string& path) {
    if (url.empty()) return fail(ErrorCode::invalid, "no server was named", "use --ucp-url HOST:PORT or UCP_URL");
    if (username.empty())
        return fail(ErrorCode::invalid, "no user was named", "use --ucp-username NAME or UCP_USERNAME");
    if (insecure && ca_fingerprint.empty())
        std::fprintf(stderr, "dtr: warning: the server's certificate is not checked\n");
    HttpCall call;
    call.method = std::move(method);
    std::string base = url.find("://") == std::string::npos ? "https://" + url : url;
    while (!base.empty() && base.back() == '/') base.pop_back();
    call.url = base + path;
    call.basic_username = username;
    DTR_ASSIGN(call.basic_password, find_password());
    call.trust = {ca, insecure, ca_fingerprint};
    return call;
}

ErrorCode error_code_of(std::string_view name) {
    for (int code = 0; code < static_cast<int>(ErrorCode::internal); ++code)
        if (name == to_string(static_cast<ErrorCode>(code))) return static_cast<ErrorCode>(code);
    return ErrorCode::internal;
}

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
    }
    ErrorCode code = ErrorCode::internal;
    switch (answer.status) {
        case 400:
            code = ErrorCode::invalid;
            break;
        case 401:
            code = ErrorCode::unauthenticated;
            break;
        case 403:
            code = ErrorCode::denied;
            break;
        case 404:
            code = ErrorCode::not_found;
            break;
        case 405:
        case 412:
            code = ErrorCode::refused;
            break;
        case 409:
            code = ErrorCode::conflict;
            break;
        case 429:
        case 502:
        case 503:
        case 504:
            code = ErrorCode::unavailable;
            break;
        case 507:
            code = ErrorCode::no_space;
            break;
        default:
            break;
    }
    return {code, std::move(message), std::move(hint)};
}

}  // namespace dtr::cli
