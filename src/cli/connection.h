// How an online command reaches a server: the predecessor's --ucp-* flags and environment names.
#pragma once

#include <CLI/CLI.hpp>
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
    bool may_ask = true;  // on the terminal, for address and name

    void add_options(CLI::App& command);
    // A call to `path` with credentials and trust filled in. Asks on /dev/tty for address, name and password if they are
    // missing. invalid if there is no terminal to ask on.
    Result<HttpCall> call(std::string method, const std::string& path);

  private:
    Status ask_for_what_is_missing();
    Result<Secret> find_password();
    Secret asked_;
};

// The error that an answer outside 2xx means; `doing` begins its message.
Error answer_error(const HttpAnswer& answer, std::string_view doing);

// invalid unless the server is the replica with this id; an empty one is not asked for.
Status require_replica(Connection& connection, const std::string& replica_id);

// The code whose name a server gave; internal if it is none.
ErrorCode error_code_of(std::string_view name);

// Reads a password file: its first line without the line end.
Result<Secret> read_password_file(const std::string& path);
// Ask on /dev/tty, so that stdin and stdout may be archives; the first without echo. invalid: no terminal, or no answer.
Result<Secret> prompt_password(const std::string& question);
Result<std::string> prompt_text(const std::string& question);
// Twice, and the answers must agree.
Result<Secret> prompt_new_password(const std::string& question);

}  // namespace dtr::cli
