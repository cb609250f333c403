// scope    ::= type ":" name ":" action ("," action)*
// type     ::= [a-z0-9]+ ("(" [a-z0-9]+ ")")?
// name     ::= (host (":" port)? "/")? component ("/" component)*      kept as it is, checked where
// it is used action   ::= [a-z]+ | "*"
//
// The type ends at the first ':', the actions begin after the last: what lies between is the name.
#include "identity/scope.h"

#include <algorithm>

namespace dtr::identity {
namespace {

constexpr std::size_t kScopeBytesMax = 512;
constexpr std::size_t kActionsMax = 16;

bool is_word(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(),
                                        [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
}

bool is_name(std::string_view text) {
    return !text.empty() &&
           std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f && c != '"' && c != '\\'; });
}

void add_action(Access& access, std::string_view action) {
    if (std::find(access.actions.begin(), access.actions.end(), action) == access.actions.end())
        access.actions.emplace_back(action);
}

}  // namespace

Result<Access> parse_scope(std::string_view text) {
    const auto bad = [&](std::string_view why) {
        return fail(ErrorCode::invalid, fmt::format("a token scope {}", why),
                    "a scope looks like repository:alice/tools:pull,push");
    };
    if (text.size() > kScopeBytesMax) return bad("is too long");
    const std::size_t first = text.find(':');
    const std::size_t last = text.rfind(':');
    if (first == std::string_view::npos || first == last) return bad("does not have three parts");

    Access out;
    std::string_view type = text.substr(0, first);
    if (const std::size_t open = type.find('('); open != std::string_view::npos) {
        if (type.back() != ')' || !is_word(type.substr(open + 1, type.size() - open - 2)))
            return bad("has a malformed class");
        type = type.substr(0, open);
    }
    if (!is_word(type)) return bad("has no valid type");
    out.type = type;

    const std::string_view name = text.substr(first + 1, last - first - 1);
    if (!is_name(name)) return bad("has no valid name");
    out.name = name;

    std::string_view actions = text.substr(last + 1);
    while (!actions.empty()) {
        const std::size_t comma = std::min(actions.find(','), actions.size());
        const std::string_view action = actions.substr(0, comma);
        actions.remove_prefix(std::min(comma + 1, actions.size()));
        if (action.empty()) continue;
        if (action != "*" && !is_word(action)) return bad("has a malformed action");
        add_action(out, action);
        if (out.actions.size() > kActionsMax) return bad("has too many actions");
    }
    return out;
}

Result<std::vector<Access>> parse_scopes(std::string_view text) {
    std::vector<Access> out;
    std::size_t count = 0;
    while (true) {
        const std::size_t begin = text.find_first_not_of(' ');
        if (begin == std::string_view::npos) return out;
        text.remove_prefix(begin);
        const std::size_t end = std::min(text.find(' '), text.size());
        if (++count > kScopesMax)
            return fail(ErrorCode::invalid, fmt::format("more than {} scopes for one token", kScopesMax),
                        "request several tokens");
        DTR_ASSIGN(Access access, parse_scope(text.substr(0, end)));
        text.remove_prefix(end);
        const auto same = std::find_if(out.begin(), out.end(), [&](const Access& other) {
            return other.type == access.type && other.name == access.name;
        });
        if (same == out.end()) {
            out.push_back(std::move(access));
        } else {
            for (const std::string& action : access.actions) add_action(*same, action);
        }
    }
}

bool grants(const std::vector<Access>& access, std::string_view type, std::string_view name, std::string_view action) {
    return std::any_of(access.begin(), access.end(), [&](const Access& entry) {
        return entry.type == type && entry.name == name &&
               std::any_of(entry.actions.begin(), entry.actions.end(),
                           [&](const std::string& granted) { return granted == action || granted == "*"; });
    });
}

}  // namespace dtr::identity
