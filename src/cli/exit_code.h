// Exit codes of the programs (docs/operating/command-line.md).
#pragma once

#include "base/result.h"

namespace dtr::cli {

enum ExitCode : int {
    kGood = 0,
    kUnexpected = 1,
    kUsage = 2,
    kUnreachable = 3,
    kDegraded = 4,
    kIntegrity = 5,
    kCredential = 6,
    kVersion = 7,
    kNoSpace = 8,
    kLost = 9,
    kRefused = 10,
    kInterrupted = 11
};

inline int exit_code(const Error& error) {
    switch (error.code) {
        case ErrorCode::invalid:
        case ErrorCode::wrong_digest:
        case ErrorCode::not_found:
            return kUsage;
        case ErrorCode::unavailable:
        case ErrorCode::exhausted:
            return kUnreachable;
        case ErrorCode::corrupt:
            return kIntegrity;
        case ErrorCode::denied:
        case ErrorCode::unauthenticated:
        case ErrorCode::untrusted:
            return kCredential;
        case ErrorCode::unsupported:
            return kVersion;
        case ErrorCode::no_space:
            return kNoSpace;
        case ErrorCode::conflict:
        case ErrorCode::stale:
        case ErrorCode::precondition_failed:
        case ErrorCode::lost:
            return kLost;
        case ErrorCode::already_exists:
        case ErrorCode::refused:
            return kRefused;
        case ErrorCode::cancelled:
            return kInterrupted;
        case ErrorCode::internal:
            break;
    }
    return kUnexpected;
}

}  // namespace dtr::cli
