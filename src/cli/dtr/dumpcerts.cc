// dtr dumpcerts: the cluster's certificates and private keys, as a tar. dtr images: what a release consists of.
#include <boost/json.hpp>
#include <cstdio>

#include "archive/tar.h"
#include "cli/admin_calls.h"
#include "cli/dtr/commands.h"
#include "cli/exit_code.h"
#include "cli/keys.h"
#include "cli/output.h"
#include "cli/predecessor_flags.h"
#include "cli/streams.h"
#include "cluster/install.h"
#include "sys/log.h"

namespace dtr::cli {
namespace {

namespace json = boost::json;

constexpr const char* kFolder = "dtr-certs/";
constexpr std::string_view kPrefix = "ca/";
constexpr std::size_t kNameMax = 90;  // with the folder it fits a tar header

struct DumpCommand {
    Connection connection;
    std::string output;
    std::string data_dir = default_data_dir();
    bool offline = false;
    bool debug = false;
};

using Files = std::vector<std::pair<std::string, Secret>>;

// A server's answer may be anything.
Status check_name(const std::string& name) {
    DTR_TRY(config::check_key(name));
    if (!name.starts_with(kPrefix) || name.size() > kNameMax)
        return fail(ErrorCode::corrupt, fmt::format("the server sent a file named '{}'", name.substr(0, 100)));
    return {};
}

Result<Files> ask_for_files(DumpCommand& command) {
    DTR_ASSIGN(const json::object answer, call_object(command.connection, "POST", "/api/v0/certificates/dump", {},
                                                      "the server refused to send the keys"));
    const auto* list = answer.if_contains("files");
    if (list == nullptr || !list->is_array())
        return fail(ErrorCode::unavailable, "the server's answer is not a list of files");
    Files files;
    for (const json::value& item : list->as_array()) {
        const auto* name = item.is_object() ? item.as_object().if_contains("name") : nullptr;
        const auto* content = item.is_object() ? item.as_object().if_contains("content") : nullptr;
        if (name == nullptr || content == nullptr || !name->is_string() || !content->is_string())
            return fail(ErrorCode::unavailable, "the server's list of files is malformed");
        files.emplace_back(name->as_string(), Secret(std::string(content->as_string())));
    }
    return files;
}

Result<Files> read(const DumpCommand& command, const backup::StoreOpeners& openers) {
    DTR_ASSIGN(const auto directory, config::DataDirectory::open(real_disk(), command.data_dir));
    DTR_ASSIGN(const auto current, directory->current());
    if (!current) return fail(ErrorCode::refused, fmt::format("no registry is installed in {}", command.data_dir));
    DTR_ASSIGN(const auto config,
               openers.config(directory->config_path(current->generation), directory->ca_path(current->generation)));
    DTR_ASSIGN(const config::Snapshot snapshot, config->list(kPrefix));
    Files files;
    for (const config::Entry& entry : snapshot.entries) files.emplace_back(entry.key, entry.value);
    return files;
}

Status dump(DumpCommand& command, const backup::StoreOpeners& openers) {
    // Before anything is asked for: it refuses a terminal.
    DTR_ASSIGN(auto sink, OutputSink::open(command.output));
    DTR_ASSIGN(const Files files, command.offline ? read(command, openers) : ask_for_files(command));
    const std::int64_t now = system_clock().now() / kSecond;
    for (const auto& [name, content] : files) {
        DTR_TRY(check_name(name));
        const std::string_view bytes = content.expose();
        DTR_TRY(sink->write(archive::tar_header(kFolder + name.substr(kPrefix.size()), bytes.size(), now)));
        DTR_TRY(sink->write(bytes));
        DTR_TRY(sink->write(std::string(archive::tar_padding(bytes.size()), '\0')));
    }
    DTR_TRY(sink->write(std::string(archive::kTarEndBytes, '\0')));
    DTR_TRY(sink->finish());
    say(fmt::format("{} certificates and keys, unencrypted: keep them where nobody else can read them", files.size()));
    return {};
}

}  // namespace

void add_dumpcerts(Program& program) {
    auto* app = program.app.add_subcommand("dumpcerts", "Write all certificates and private keys to stdout as a tar");
    auto command = std::make_shared<DumpCommand>();
    command->connection.add_options(*app);
    command->connection.add_choice_of_replica(*app);
    app->add_option("--output,-o", command->output, "Write to FILE instead of stdout")->check(check_file_name);
    app->add_flag("--offline", command->offline, "Read the data directory; no replica may be running on it");
    app->add_option("--data-dir", command->data_dir, "Data directory for --offline")
        ->envname("DTR_DATA_DIR")
        ->capture_default_str();
    app->add_flag("--debug", command->debug, "Verbose log on stderr")->envname("DEBUG");
    accept_predecessor_flags(*app, kOfDumpcerts);
    app->callback([&program, command] {
        program.run = [&program, command] {
            if (command->debug) log::set_level(log::Level::debug);
            const auto dumped = dump(*command, program.openers);
            return dumped ? static_cast<int>(kGood) : report(dumped.error());
        };
    });
    app->footer(
        "Examples:\n  dtr dumpcerts --ucp-url 127.0.0.1:8443 --ucp-ca \"$(cat ca.pem)\" --ucp-username admin > "
        "certs.tar\n"
        "  dtr dumpcerts --offline --data-dir /var/lib/dtr > certs.tar");
}

void add_images(Program& program) {
    program.app.add_subcommand("images", "Print the container images that make up a release")->callback([&program] {
        program.run = [] {
            print_line(fmt::format("dtr:{}", kProductVersion));
            return static_cast<int>(kGood);
        };
    });
}

}  // namespace dtr::cli
