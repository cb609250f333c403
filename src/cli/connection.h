// How an online command reaches a server: the predecessor's --ucp-* flags and environment names.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/secret.h"
#include "sys/http_client.h"

namespace dtr::cli {

struct Connection {
    std::string url;
    std::string username;
    std::string password;  // of the flag or UCP_PASSWORD
    std::string password_file;
    std::string ca;  // PEM text, not a file name
    std::string ca_fingerprint;
    bool insecure = false;
    bool may_ask = true;             // on the terminal, for address and name
    std::string replica_id;          // whom calls are for; empty: any of its cluster
    std::string cluster_id;          // or its first digits; empty: the only one that UCP knows replicas of
    bool at_replica = false;         // UCP itself cannot answer, whichever program asks
    std::string purpose = "manage";  // of the token that is shown to it: "manage" or "backup"

    void add_options(CLI::App& command);
    // Of a command that is for a replica: which one, or of which cluster.
    void add_choice_of_replica(CLI::App& command);
    // A call to `path` with credentials and trust filled in: to UCP for "/enzi/...", else to a replica. Where UCP stands
    // alone it is asked for the replica's address, its cluster's CA and a token for it, so that the password goes to UCP
    // only. Asks on /dev/tty for address, name and password if they are missing. invalid if there is no terminal to ask on;
    // refused, with the list, if UCP knows replicas of several clusters and none was chosen; what asking UCP fails with.
    Result<HttpCall> call(std::string method, const std::string& path);

    // The id of the cluster that call() goes to: known after the first to a replica, else empty.
    [[nodiscard]] const std::string& cluster() const { return cluster_; }

    // Whether that cluster's accounts are at a UCP that stands alone, and its recovery key in escrow there: likewise.
    [[nodiscard]] bool has_ucp() const { return replica_.has_value(); }

    // The same to UCP, whatever the path.
    Result<HttpCall> call_ucp(std::string method, const std::string& path);

    // Something is missing that would be asked for on the terminal.
    [[nodiscard]] bool would_ask() const;
    // Whether anybody answers at UCP's address, without credentials. unavailable, untrusted.
    Status probe();

  private:
    struct Replica {
        std::string url;
        HttpTrust trust;
        Secret token;
        std::chrono::steady_clock::time_point until;
    };
    Status find_replica();
    Status take_replica(const HttpAnswer& answer);
    Status ask_for_what_is_missing();
    Result<Secret> find_password();
    Secret asked_;
    bool embedded_ = false;  // UCP is the replica
    std::string cluster_;    // whom calls to a replica go to, once one was made
    bool warned_ = false;    // that nothing is checked: once is enough
    bool warned_of_plain_ = false;
    std::optional<Replica> replica_;
};

// The error that an answer outside 2xx means; `doing` begins its message.
Error answer_error(const HttpAnswer& answer, std::string_view doing);

// "https://registry.example:443/x" -> "registry.example:443".
std::string without_scheme(std::string url);
// Host part of an external URL or of host:port.
std::string host_of(std::string url);

// The code with the name that a server sent; internal if there is no such code.
ErrorCode error_code_of(std::string_view name);

// Reads a password file: its first line without the line end.
Result<Secret> read_password_file(const std::string& path);
// Ask on /dev/tty, so that stdin and stdout may be archives; the first without echo. invalid: no terminal, or no answer.
Result<Secret> prompt_password(const std::string& question);
Result<std::string> prompt_text(const std::string& question);
// Twice, and the answers must agree.
Result<Secret> prompt_new_password(const std::string& question);

}  // namespace dtr::cli
