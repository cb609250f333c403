// dtr oidc: the settings of sign-in through an OpenID Connect provider, over HTTP.
#include <boost/json.hpp>
#include <cstdio>
#include <map>
#include <optional>

#include "cli/admin_calls.h"
#include "cli/dtr/commands.h"
#include "cli/exit_code.h"
#include "sys/disk.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

constexpr const char* kPath = "/enzi/v0/config/auth/oidc";
constexpr std::size_t kCaBytesMax = 48U << 10;

struct OidcCommand {
    Connection connection;
    std::map<std::string, std::optional<std::string>> texts;  // by the member of the settings
    std::string client_secret_file;
    std::string ca_file;
    bool no_client_secret = false;
    bool insecure = false;
    bool verify = false;
    bool enable = false;
    bool disable = false;
};

void print_oidc(const json::object& settings) {
    for (const auto& [key, value] : settings) {
        std::string text;
        if (value.is_array()) {
            for (const json::value& one : value.get_array())
                if (one.is_string()) text += (text.empty() ? "" : " ") + std::string(one.get_string());
        } else {
            text = value.is_string() ? std::string(value.get_string()) : json::serialize(value);
        }
        print_line(fmt::format("{}\t{}", visible(key), visible(text)));
    }
}

json::array words(std::string_view text) {
    json::array out;
    while (!text.empty()) {
        const std::string_view word = text.substr(0, text.find(' '));
        text.remove_prefix(std::min(text.size(), word.size() + 1));
        if (!word.empty()) out.emplace_back(word);
    }
    return out;
}

Status apply_flags(const OidcCommand& command, json::object& settings) {
    for (const auto& [member, text] : command.texts) {
        if (!text) continue;
        if (member == "scopes")
            settings[member] = words(*text);
        else
            settings[member] = *text;
    }
    if (!command.client_secret_file.empty()) {
        DTR_ASSIGN(const Secret secret, read_password_file(command.client_secret_file));
        settings["clientSecret"] = secret.expose();
    }
    if (command.no_client_secret) settings["clientSecret"] = nullptr;
    if (!command.ca_file.empty()) {
        DTR_ASSIGN(const std::string pem, read_file(real_disk(), command.ca_file, kCaBytesMax));
        settings["caPEM"] = pem;
    }
    if (command.insecure) settings["insecureTLS"] = true;
    if (command.verify) settings["insecureTLS"] = false;
    if (command.disable) settings["enabled"] = false;
    if (command.enable) settings["enabled"] = true;
    return {};
}

Status show_oidc(OidcCommand& command) {
    DTR_ASSIGN(const json::object settings, get_object(command.connection, kPath, "cannot show the OIDC settings"));
    print_oidc(settings);
    return {};
}

// The server keeps no secret for another provider than the one it was given for, and refuses such a change.
void drop_secret_of_another(const json::object& before, json::object& settings) {
    const auto differs = [&](std::string_view member) {
        const auto* was = before.if_contains(member);
        const auto* is = settings.if_contains(member);
        return was != nullptr && (is == nullptr || *is != *was);
    };
    const auto* had = before.if_contains("hasClientSecret");
    const auto* insecure = settings.if_contains("insecureTLS");
    const bool unchecked = differs("insecureTLS") && insecure != nullptr && *insecure == true;
    if (had == nullptr || *had != true || settings.contains("clientSecret")) return;
    if (!differs("issuer") && !differs("clientID") && !unchecked) return;
    settings["clientSecret"] = nullptr;
    say("warning: the stored client secret belongs to another provider or client, and is removed: use "
        "--client-secret-file");
}

// Settings that are not given stay unchanged.
Status set_oidc(OidcCommand& command) {
    DTR_ASSIGN(json::object settings, get_object(command.connection, kPath, "cannot read the OIDC settings"));
    const auto* issuer = settings.if_contains("issuer");
    const bool first = issuer == nullptr || !issuer->is_string() || issuer->get_string().empty();
    if (first) settings["enabled"] = true;
    const json::object before = settings;
    DTR_TRY(apply_flags(command, settings));
    drop_secret_of_another(before, settings);
    DTR_ASSIGN(const json::object now,
               call_object(command.connection, "PUT", kPath, settings, "cannot change the OIDC settings"));
    print_oidc(now);
    if (command.insecure)
        say("warning: the provider's certificate is not checked: anybody on the network path can impersonate it");
    return {};
}

}  // namespace

void add_oidc(Program& program) {
    auto* app = program.app.add_subcommand("oidc", "Sign-in through an OpenID Connect provider: set, show");
    app->require_subcommand(1);
    const auto add = [&](const char* name, const char* about, Status (*run)(OidcCommand&)) {
        auto* sub = app->add_subcommand(name, about);
        auto command = std::make_shared<OidcCommand>();
        command->connection.add_options(*sub);
        sub->callback([&program, command, run] {
            program.run = [command, run] {
                const auto done = run(*command);
                return done ? static_cast<int>(kGood) : report(done.error());
            };
        });
        return std::pair(sub, command);
    };
    add("show", "Show the settings: name, TAB, value; the client secret is not shown", show_oidc);
    auto added = add("set", "Change the settings that are given; the others stay", set_oidc);
    CLI::App* change = added.first;  // no structured binding: clang 14 lets no lambda name one
    const auto changing = added.second;
    const auto text = [change, command = changing](const char* flag, const char* member, const char* about) {
        change->add_option(flag, command->texts[member], about);
    };
    text("--issuer", "issuer", "The provider's URL, exactly as it states it");
    text("--client-id", "clientID", "Client ID of this registry at the provider");
    change->add_option("--client-secret-file", changing->client_secret_file,
                       "File whose first line is the client secret");
    change->add_flag("--no-client-secret", changing->no_client_secret, "Use no secret: a public client");
    text("--scopes", "scopes", "Separated by spaces; default \"openid profile\"");
    text("--username-claim", "usernameClaim", "Claim that names the account; default preferred_username");
    text("--username-domain", "usernameDomain", "Remove \"@DOMAIN\" from that claim");
    text("--full-name-claim", "fullNameClaim", "Claim with the person's name; default name");
    text("--groups-claim", "groupsClaim", "Claim with the groups that fill teams; empty: none");
    text("--admin-group", "adminGroup",
         "Group whose members, among those who sign in here, are the only administrators; empty: leave that alone");
    change->add_option("--ca-file", changing->ca_file, "PEM file: trust exactly these roots for the provider");
    change->add_flag("--insecure-tls", changing->insecure, "Accept any certificate (for trials)");
    change->add_flag("--verify-tls", changing->verify, "Check the certificate again");
    change->add_flag("--enable", changing->enable, "Let people sign in");
    change->add_flag("--disable", changing->disable, "Let nobody sign in; the settings are kept")->excludes("--enable");
}

}  // namespace dtr::cli
