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

    void add_options(CLI::App& command);
    // A call to `path` with credentials and trust filled in; asks for the password on /dev/tty if none was given.
    // invalid if something is missing.
    Result<HttpCall> call(std::string method, const std::string& path);

  private:
    Result<Secret> find_password();
    Secret asked_;
};

// The error that an answer outside 2xx means; `doing` begins its message.
Error answer_error(const HttpAnswer& answer, std::string_view doing);

// The code whose name a server gave; internal if it is none.
ErrorCode error_code_of(std::string_view name);

// Reads a password file: its first line without the line end.
Result<Secret> read_password_file(const std::string& path);
// Asks on /dev/tty without echo; refused if there is no terminal.
Result<Secret> prompt_password(const std::string& question);

}  // namespace dtr::cli
