// How fallible functions answer: a value, or an Error made for the person who reads it.
//
// No exception crosses a module boundary. A code exists only if some caller acts on it (an HTTP status, an exit code,
// a retry); everything else about a failure belongs in the message.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace dtr {

enum class ErrorCode {
    not_found,            // the thing named is not there
    already_exists,       // and must not be
    invalid,              // the request or the bytes break a rule the sender can read
    wrong_digest,         // the bytes hash to another digest than the sender named
    denied,               // known caller, not allowed
    unauthenticated,      // unknown caller
    conflict,             // lost a race or breaks a reference; the caller may look again
    stale,                // what it was decided by has changed; nothing was done, decide again
    precondition_failed,  // what is there is not what the sender said they saw
    unavailable,          // try again later: the only retryable code
    exhausted,            // over one of our bounds
    no_space,             // the disk is full or its reserve is reached
    corrupt,              // bytes do not match what vouches for them
    untrusted,            // wrong or missing key, passphrase, signer
    unsupported,          // a version or feature this program does not know
    refused,              // would be unsafe; an explicit flag may allow it
    lost,                 // a fence or a consistent view was lost on the way
    cancelled,            // stopped from outside; may be resumed
    internal              // our bug
};

const char* to_string(ErrorCode code);

struct Error {
    ErrorCode code = ErrorCode::internal;
    std::string message;             // what was tried, on what, why it failed
    std::string hint;                // what the reader may do about it; may be empty
    std::int64_t retry_after_s = 0;  // seconds after which trying again may help; 0: not known, or never

    // The same error seen from one level up: "context: message".
    [[nodiscard]] Error in(std::string_view context) const;
    // message, then " (hint: ...)" if there is one.
    [[nodiscard]] std::string text() const;
    [[nodiscard]] bool retryable() const { return code == ErrorCode::unavailable; }
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

inline tl::unexpected<Error> fail(ErrorCode code, std::string message, std::string hint = {}) {
    return tl::unexpected<Error>(Error{code, std::move(message), std::move(hint)});
}
inline tl::unexpected<Error> fail(Error error) {
    return tl::unexpected<Error>(std::move(error));
}

// What a lookup found, or nothing if it answered not_found. Any other error stays one.
template <class T>
Result<std::optional<T>> found_or_none(Result<T> lookup) {
    if (lookup) return std::optional<T>(std::move(*lookup));
    if (lookup.error().code == ErrorCode::not_found) return std::optional<T>();
    return fail(std::move(lookup).error());
}

// For what is over in so many seconds; the hint says so too.
inline tl::unexpected<Error> fail_for(std::int64_t seconds, ErrorCode code, std::string message) {
    return tl::unexpected<Error>(Error{code, std::move(message), fmt::format("try again in {} s", seconds), seconds});
}

// The error for a failed system call: ENOSPC and EDQUOT become no_space, ENOENT not_found, EEXIST already_exists.
Error system_error(int errno_value, std::string_view what);

}  // namespace dtr

#define DTR_CONCAT_(a, b) a##b
#define DTR_CONCAT(a, b) DTR_CONCAT_(a, b)

// Returns the error of `expression` (a Status or Result whose value is not needed) to the caller.
// (__COUNTER__, because an expression may hold a lambda with a DTR_TRY of its own.)
#define DTR_TRY(expression) DTR_TRY_(DTR_CONCAT(dtr_try_result_, __COUNTER__), expression)
#define DTR_TRY_(temporary, expression)                                                                       \
    do {                                                                                                      \
        if (auto temporary = (expression); !temporary) return ::tl::unexpected(std::move(temporary).error()); \
    } while (false)

// DTR_ASSIGN(auto file, open(path)): declares or assigns the value, or returns the error.
#define DTR_ASSIGN(target, expression) DTR_ASSIGN_(target, DTR_CONCAT(dtr_assign_result_, __COUNTER__), expression)
#define DTR_ASSIGN_(target, temporary, expression)                         \
    auto temporary = (expression);                                         \
    if (!temporary) return ::tl::unexpected(std::move(temporary).error()); \
    target = std::move(*temporary)
