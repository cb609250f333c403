#include "cli/predecessor_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>

#include "cli/program.h"

namespace dtr::cli {
namespace {

using ::testing::HasSubstr;

// Our commands, and which of the predecessor's each stands for.
const std::map<std::string, PredecessorCommand> kOurs = {{"serve", kOfInstall},
                                                         {"backup", kOfBackup},
                                                         {"restore", kOfRestore},
                                                         {"reconfigure", kOfReconfigure},
                                                         {"dumpcerts", kOfDumpcerts}};

const std::map<std::string, std::string> kSamples = {
    {"--existing-replica-id", "0123456789ab"}, {"--replica-id", "000000000000"}, {"--log-level", "INFO"},
    {"--replica-https-port", "443"},           {"--replica-http-port", "80"},    {"--ucp-url", "ucp.example:443"}};

class Variable {
  public:
    Variable(std::string name, const std::string& value) : name_(std::move(name)) {
        ::setenv(name_.c_str(), value.c_str(), 1);
    }
    ~Variable() { ::unsetenv(name_.c_str()); }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

  private:
    std::string name_;
};

// All commands, parsed but not run.
struct Parsed {
    explicit Parsed(std::vector<std::string> words) {
        app.set_help_all_flag("--help-extended", "");
        add_dtr_commands(program);
        std::reverse(words.begin(), words.end());
        try {
            app.parse(words);
        } catch (const CLI::CallForHelp&) {
        } catch (const CLI::CallForAllHelp&) {
        } catch (const CLI::ParseError& e) {
            error = e.what();
        }
    }
    backup::StoreOpeners none;
    CLI::App app;
    Program program{"dtr", app, none};
    std::string error;
};

TEST(PredecessorFlags, EachIsAcceptedWhereItWas) {
    for (const PredecessorFlag& flag : predecessor_flags())
        for (const auto& [command, stands_for] : kOurs) {
            if ((flag.commands & stands_for) == 0) continue;
            SCOPED_TRACE(command + " " + flag.name);
            const auto sample = kSamples.find(flag.name);
            const std::string value = sample == kSamples.end() ? "5" : sample->second;
            std::vector<std::string> words = {command, flag.name};
            if (flag.takes_value) words.push_back(value);
            Parsed given(words);
            EXPECT_EQ(given.error, "");
            const CLI::Option* option = given.app.get_subcommand(command)->get_option_no_throw(flag.name);
            ASSERT_NE(option, nullptr);
            const bool ours = !option->get_group().empty();
            EXPECT_TRUE(ours || flag.ignored != nullptr) << "it must mean something";
            if (ours && flag.environment != std::string()) {
                EXPECT_EQ(option->get_envname(), flag.environment);
            }
            const auto vain = given_in_vain(given.app);
            ASSERT_EQ(vain.size(), ours ? 0U : 1U);
            if (!ours) {
                EXPECT_EQ(vain[0], fmt::format("{} ({})", flag.name, flag.ignored));
            }
            if (flag.environment == std::string()) continue;
            const Variable variable(flag.environment, flag.takes_value ? value : "true");
            const Parsed by_environment({command});
            EXPECT_EQ(by_environment.error, "");
            const auto again = given_in_vain(by_environment.app);
            ASSERT_EQ(again.size(), ours ? 0U : 1U);
            if (!ours) {
                EXPECT_THAT(again[0], ::testing::StartsWith(flag.environment));
            }
        }
}

// The names themselves, so that none goes missing from the table.
TEST(PredecessorFlags, TheTableIsWhole) {
    std::set<std::string> known;
    for (const PredecessorFlag& flag : predecessor_flags()) {
        EXPECT_TRUE(known.insert(flag.name).second) << flag.name << " twice";
        if (*flag.environment != '\0') {
            EXPECT_TRUE(known.insert(flag.environment).second) << flag.environment << " twice";
        }
    }
    for (const char* name : {"--ucp-url",
                             "--ucp-username",
                             "--ucp-password",
                             "--ucp-ca",
                             "--ucp-insecure-tls",
                             "--debug",
                             "--hub-username",
                             "--hub-password",
                             "--existing-replica-id",
                             "--replica-id",
                             "--config-only",
                             "--ucp-node",
                             "--dtr-external-url",
                             "--replica-http-port",
                             "--replica-https-port",
                             "--http-proxy",
                             "--https-proxy",
                             "--no-proxy",
                             "--log-protocol",
                             "--log-host",
                             "--log-level",
                             "--etcd-heartbeat-interval",
                             "--etcd-election-timeout",
                             "--etcd-snapshot-count",
                             "--unsafe",
                             "--skip-network-test",
                             "--extra-envs",
                             "--nfs-storage-url",
                             "--dtr-storage-volume",
                             "--enable-pprof",
                             "--dtr-ca",
                             "--dtr-cert",
                             "--dtr-key",
                             "--overlay-subnet",
                             "--unsafe-join",
                             "--help-extended",
                             "--enzi-ca",
                             "--enzi-insecure-tls",
                             "--replica-rethinkdb-cache-mb",
                             "--offline-backup",
                             "--dtr-use-default-storage",
                             "--async-nfs",
                             "--nfs-options",
                             "--storage-migrated",
                             "--client-cert-auth-ca",
                             "--custom-ca-cert-bundle",
                             "--max-wait",
                             "--nocolor",
                             "--ignore-events-table",
                             "--ignore-scan-data"})
        EXPECT_TRUE(known.contains(name)) << name;
    for (const char* name : {"UCP_URL",
                             "UCP_USERNAME",
                             "UCP_PASSWORD",
                             "UCP_CA",
                             "UCP_INSECURE_TLS",
                             "DEBUG",
                             "DTR_REPLICA_ID",
                             "DTR_INSTALL_REPLICA_ID",
                             "UCP_NODE",
                             "DTR_EXTERNAL_URL",
                             "REPLICA_HTTP_PORT",
                             "REPLICA_HTTPS_PORT",
                             "DTR_HTTP_PROXY",
                             "DTR_HTTPS_PROXY",
                             "DTR_NO_PROXY",
                             "LOG_PROTOCOL",
                             "LOG_HOST",
                             "LOG_LEVEL",
                             "DTR_UNSAFE_JOIN",
                             "DTR_SKIP_NETWORK_TEST",
                             "NFS_STORAGE_URL",
                             "DTR_STORAGE_VOLUME",
                             "DTR_PPROF",
                             "DTR_CA",
                             "DTR_CERT",
                             "DTR_KEY",
                             "DTR_OVERLAY_SUBNET",
                             "ENZI_TLS_CA",
                             "ENZI_TLS_INSECURE",
                             "RETHINKDB_CACHE_MB",
                             "DTR_OFFLINE_BACKUP",
                             "DTR_DEFAULT_STORAGE",
                             "ASYNC_NFS",
                             "NFS_OPTIONS",
                             "CLIENT_CA",
                             "CUSTOM_CA_CERTS_BUNDLE",
                             "MAX_WAIT",
                             "NOCOLOR"})
        EXPECT_TRUE(known.contains(name)) << name;
}

TEST(PredecessorFlags, AWholeLineOfOldFlags) {
    const Parsed install({"serve", "--etcd-heartbeat-interval", "100", "--extra-envs", "A=b&C=d", "--ucp-node", "n1",
                          "--ucp-node=n2", "--unsafe", "--replica-id", "0123456789ab"});
    EXPECT_EQ(install.error, "");
    EXPECT_THAT(given_in_vain(install.app),
                ::testing::ElementsAre(HasSubstr("--ucp-node ("), HasSubstr("--extra-envs ("), HasSubstr("--unsafe ("),
                                       HasSubstr("--etcd-heartbeat-interval (")));
    // What a variable holds cannot be wrong if it is ignored.
    const Variable odd("ASYNC_NFS", "whatever");
    const Parsed restore({"restore"});
    EXPECT_EQ(restore.error, "");
    EXPECT_THAT(given_in_vain(restore.app), ::testing::ElementsAre(HasSubstr("ASYNC_NFS (")));
    EXPECT_NE(Parsed({"backup", "--ucp-node", "n1"}).error, "") << "backup never had it";
    EXPECT_NE(Parsed({"status", "--hub-username", "x"}).error, "") << "nor this command";
}

TEST(PredecessorFlags, OurCertificateFlagsAreMeant) {
    for (const char* name : {"--dtr-ca", "--dtr-cert", "--dtr-key", "--replica-https-port", "--log-level"}) {
        const Parsed all({"version"});
        EXPECT_FALSE(all.app.get_subcommand("serve")->get_option(name)->get_group().empty()) << name;
        const bool certificate = std::string(name).starts_with("--dtr-");
        EXPECT_NE(all.app.get_subcommand("reconfigure")->get_option(name)->get_group().empty(), certificate) << name;
    }
}

TEST(PredecessorFlags, NewerNamesOfVariables) {
    const Variable newer("MSR_REPLICA_ID", "0123456789ab");
    const Variable both("MSR_EXTERNAL_URL", "new.example");
    const Variable old("DTR_EXTERNAL_URL", "old.example");
    adopt_newer_environment();
    EXPECT_STREQ(std::getenv("DTR_REPLICA_ID"), "0123456789ab");
    EXPECT_STREQ(std::getenv("DTR_EXTERNAL_URL"), "old.example");
    ::unsetenv("DTR_REPLICA_ID");
}

TEST(PredecessorFlags, SecretsAreOverwritten) {
    std::vector<std::string> words = {"dtr",
                                      "serve",
                                      "--dtr-key",
                                      "KEY-TEXT",
                                      "--hub-password=hub",
                                      "--ucp-password",
                                      "s3cret",
                                      "--ucp-password-file",
                                      "kept",
                                      "--dtr-key"};
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    EXPECT_THAT(hide_secrets(static_cast<int>(argv.size()), argv.data()),
                ::testing::ElementsAre("--dtr-key", "--hub-password", "--ucp-password"));
    EXPECT_EQ(words[3], "xxxxxxxx");
    EXPECT_EQ(words[4], "--hub-password=xxx");
    EXPECT_EQ(words[6], "xxxxxx");
    EXPECT_EQ(words[8], "kept");
}

}  // namespace
}  // namespace dtr::cli
