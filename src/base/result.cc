#include "base/result.h"

#include <cerrno>
#include <system_error>

namespace dtr {

const char* to_string(ErrorCode code) {
    switch (code) {
        case ErrorCode::not_found:
            return "not_found";
        case ErrorCode::already_exists:
            return "already_exists";
        case ErrorCode::invalid:
            return "invalid";
        case ErrorCode::wrong_digest:
            return "wrong_digest";
        case ErrorCode::denied:
            return "denied";
        case ErrorCode::unauthenticated:
            return "unauthenticated";
        case ErrorCode::conflict:
            return "conflict";
        case ErrorCode::stale:
            return "stale";
        case ErrorCode::precondition_failed:
            return "precondition_failed";
        case ErrorCode::unavailable:
            return "unavailable";
        case ErrorCode::exhausted:
            return "exhausted";
        case ErrorCode::no_space:
            return "no_space";
        case ErrorCode::corrupt:
            return "corrupt";
        case ErrorCode::untrusted:
            return "untrusted";
        case ErrorCode::unsupported:
            return "unsupported";
        case ErrorCode::refused:
            return "refused";
        case ErrorCode::lost:
            return "lost";
        case ErrorCode::cancelled:
            return "cancelled";
        case ErrorCode::internal:
            return "internal";
    }
    return "internal";
}

Error Error::in(std::string_view context) const {
    return Error{code, fmt::format("{}: {}", context, message), hint, retry_after_s};
}

std::string Error::text() const {
    return hint.empty() ? message : fmt::format("{} (hint: {})", message, hint);
}

Error system_error(int errno_value, std::string_view what) {
    ErrorCode code = ErrorCode::internal;
    std::string hint;
    switch (errno_value) {
        case ENOENT:
        case ENOTDIR:
            code = ErrorCode::not_found;
            break;
        case EEXIST:
            code = ErrorCode::already_exists;
            break;
        case EACCES:
        case EPERM:
            code = ErrorCode::denied;
            hint = "check the owner and mode of the path, and the user that runs this program";
            break;
        case ENOSPC:
        case EDQUOT:
            code = ErrorCode::no_space;
            hint = "free space on that filesystem and try again";
            break;
        case EFBIG:
            code = ErrorCode::no_space;
            hint = "this process or that filesystem has a limit on file sizes; raise it (ulimit -f)";
            break;
        case EROFS:
            code = ErrorCode::unavailable;
            hint = "that filesystem is read-only; check the system's log for the reason, and mount it writable";
            break;
        case EMFILE:
        case ENFILE:
            code = ErrorCode::exhausted;
            break;
        case EINTR:
            code = ErrorCode::cancelled;
            break;
        default:
            break;
    }
    Error error{code, fmt::format("{}: {}", what, std::generic_category().message(errno_value)), std::move(hint)};
    if (code == ErrorCode::exhausted) error.retry_after_s = 5;  // descriptors: others give theirs back
    return error;
}

}  // namespace dtr
