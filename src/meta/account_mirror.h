// Accounts kept in step with those of another system (a UCP of its own): docs/design/0009. The source reads a feed of its
// own rows; the mirror applies it, in the source's order, and remembers how far it is.
//
// What is mirrored: users and organisations, members, teams, team members. No secrets.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "meta/types.h"

namespace dtr::meta {

class MetaStore;

// How far a feed went. Transactions count within an epoch of the source: one that came back from a backup begins another.
struct FeedPosition {
    std::string epoch_id;
    std::int64_t transaction = 0;
    friend bool operator==(const FeedPosition&, const FeedPosition&) = default;
};

struct AccountFeed {
    FeedPosition position;  // ask from here the next time
    bool complete = false;  // all rows there are, instead of what changed
    std::vector<Change>
        changes;  // table, operation and row_json; of a complete one in an order in which rows refer back
};

// What changed after `after`, or everything if that is not given, of another epoch, or no longer in the log. May block.
Result<AccountFeed> read_account_feed(MetaStore& source, const std::optional<FeedPosition>& after);

// Thread-safe.
class AccountMirror {
  public:
    virtual ~AccountMirror() = default;
    // Where the last feed ended; nothing before the first.
    virtual Result<std::optional<FeedPosition>> position() = 0;
    // One synced transaction, recorded; counts the accounts' version up if anything changed. Accounts that go take their
    // tokens, secrets and grants here with them. corrupt: a malformed row.
    virtual Status apply(const AccountFeed& feed) = 0;
    // The same with a complete feed of another source, where accounts and teams have other ids: `accounts` and `teams` say
    // which (old -> new); access tokens and grants go to the new ones.
    virtual Status adopt(const AccountFeed& feed, const std::map<std::string, std::string>& accounts,
                         const std::map<std::string, std::string>& teams) = 0;
};

}  // namespace dtr::meta
