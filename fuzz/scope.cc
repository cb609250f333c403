// Scopes of tokens: what is taken, said again, is the same.
#include "identity/scope.h"

#include <algorithm>

#include "fuzz/fuzz.h"

namespace dtr::fuzz {

void one(std::string_view input) {
    const auto parsed = identity::parse_scopes(input);
    if (!parsed) {
        FUZZ_CHECK(parsed.error().code == ErrorCode::invalid || parsed.error().code == ErrorCode::exhausted);
        return;
    }
    FUZZ_CHECK(parsed->size() <= identity::kScopesMax);
    std::string text;
    std::size_t most = 0;
    for (const auto& access : *parsed) {
        std::string actions;
        for (const auto& action : access.actions) {
            actions += (actions.empty() ? "" : ",") + action;
            FUZZ_CHECK(std::count(access.actions.begin(), access.actions.end(), action) == 1);
            FUZZ_CHECK(identity::grants(*parsed, access.type, access.name, action));
        }
        most = std::max(most, access.actions.size());
        FUZZ_CHECK(identity::grants(*parsed, access.type, access.name, "nothing") ==
                   (std::count(access.actions.begin(), access.actions.end(), "*") == 1 ||
                    std::count(access.actions.begin(), access.actions.end(), "nothing") == 1));
        text += fmt::format("{}{}:{}:{}", text.empty() ? "" : " ", access.type, access.name, actions);
    }
    FUZZ_CHECK(text.size() <= input.size());
    // Merging may bring together more actions than one scope may have.
    if (most <= 16 && std::none_of(parsed->begin(), parsed->end(), [](const auto& a) { return a.name.size() > 300; }))
        if (const auto again = identity::parse_scopes(text)) FUZZ_CHECK(*again == *parsed);
}

}  // namespace dtr::fuzz
