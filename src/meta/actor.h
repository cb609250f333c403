// Who a change is made for, and what must still hold for them when it is made.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "meta/types.h"

namespace dtr::meta {

// Borrows its texts for the length of a call. Every method that takes one checks it in the transaction that acts.
struct Actor {
    Actor(std::string_view named) : name(named) {}    // NOLINT(google-explicit-constructor): a name is an actor
    Actor(const std::string& named) : name(named) {}  // NOLINT(google-explicit-constructor)
    Actor(const char* named) : name(named) {}         // NOLINT(google-explicit-constructor)
    Actor(std::string_view named, std::optional<std::int64_t> version, const AuditEvent* event = nullptr)
        : name(named), account_version(version), audit(event) {}

    std::string_view name;  // of the account, as the change log has it
    // AccountStore::version() at which it was decided that they may do this, if that must still hold when it is done.
    // `stale` if it has moved: nothing was changed, decide again. An act of several changes gives it only to the first of
    // them, because a change to accounts moves the version itself.
    std::optional<std::int64_t> account_version = std::nullopt;
    const AuditEvent* audit = nullptr;  // if not null, recorded in the same transaction
};

}  // namespace dtr::meta
