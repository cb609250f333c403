// dtr health: is the server of a data directory well? For HEALTHCHECK, systemd and the like: no credentials, no shell.
//
// A server notes where it listens in its lock file; it is asked there, on this machine. Nothing secret is sent, so its
// certificate is not looked at.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "cli/dtr/commands.h"
#include "cli/exit_code.h"
#include "config/data_directory.h"
#include "http/server.h"
#include "sys/http_client.h"

namespace dtr::cli {
namespace {

struct HealthCommand {
    std::string data_dir;
    bool write = false;
};

// The image is one for both programs, and its HEALTHCHECK too: without --data-dir, whichever server runs is asked.
std::vector<std::string> directories(const HealthCommand& command) {
    if (!command.data_dir.empty()) return {command.data_dir};
    const auto of = [](const char* variable, const char* otherwise) {
        const char* value = std::getenv(variable);
        return std::string(value == nullptr || *value == '\0' ? otherwise : value);
    };
    return {of("DTR_DATA_DIR", kDefaultDataDir), of("UCP_DATA_DIR", kDefaultUcpDataDir)};
}

// "https://0.0.0.0:8443" -> "https://127.0.0.1:8443".
Result<std::string> on_this_machine(const std::string& url) {
    const std::size_t at = url.find("://");
    if (at == std::string::npos) return fail(ErrorCode::corrupt, "the lock file holds no address");
    DTR_ASSIGN(http::Address address, http::parse_address(url.substr(at + 3)));
    if (address.host.empty() || address.host == "0.0.0.0") address.host = "127.0.0.1";
    if (address.host == "::") address.host = "::1";
    const bool is_v6 = address.host.find(':') != std::string::npos;
    return fmt::format("{}://{}{}{}:{}", url.substr(0, at), is_v6 ? "[" : "", address.host, is_v6 ? "]" : "",
                       address.port);
}

Status ask(const std::string& url, bool write) {
    HttpCall call;
    DTR_ASSIGN(call.url, on_this_machine(url));
    call.url += write ? "/health?write=1" : "/health";
    call.trust.insecure = true;
    call.timeout_ms = 10'000;
    call.body_limit = 64U << 10;
    DTR_ASSIGN(const HttpAnswer answer, curl_http_client().call(call));
    print_line(answer.body);
    if (answer.status == 200) return {};
    return fail(ErrorCode::unavailable, fmt::format("{} answers {}", call.url, answer.status));
}

Status check(const HealthCommand& command) {
    const auto candidates = directories(command);
    std::size_t running = 0;
    for (const std::string& directory : candidates) {
        DTR_ASSIGN(const auto urls, config::DataDirectory::served_at(real_disk(), directory));
        if (urls.empty()) continue;
        ++running;
        // Plain HTTP costs less, if it is there.
        const auto plain =
            std::find_if(urls.begin(), urls.end(), [](const std::string& url) { return url.starts_with("http://"); });
        DTR_TRY(ask(plain == urls.end() ? urls.front() : *plain, command.write));
    }
    if (running != 0) return {};
    return fail(ErrorCode::unavailable,
                fmt::format("no server is running on {}{}", candidates.front(),
                            candidates.size() > 1 ? " or " + candidates.back() : ""),
                "give its --data-dir");
}

}  // namespace

void add_health(Program& program) {
    auto* app = program.app.add_subcommand("health",
                                           "Check whether the server on this machine is healthy; needs no credentials");
    auto command = std::make_shared<HealthCommand>();
    app->add_option(
        "--data-dir", command->data_dir,
        fmt::format("Data directory of the server; otherwise {} and {}", kDefaultDataDir, kDefaultUcpDataDir));
    app->add_flag("--write", command->write, "Healthy must include accepting pushes");
    app->callback([&program, command] {
        program.run = [command] {
            const auto checked = check(*command);
            return checked ? static_cast<int>(kGood) : report(checked.error());
        };
    });
}

}  // namespace dtr::cli
