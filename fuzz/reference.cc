// Names of repositories and tags, against the grammar of the specification written as an automaton.
#include "oci/reference.h"

#include "fuzz/fuzz.h"

namespace dtr::fuzz {
namespace {

bool alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

// [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*, separated by '/'.
bool is_name(std::string_view text) {
    enum { begin, word, dot, underscore, underscores, dashes } state = begin;
    for (const char c : text) {
        if (alnum(c)) {
            state = word;
        } else if (state == word && c == '/') {
            state = begin;
        } else if (state == word && c == '.') {
            state = dot;
        } else if (state == word && c == '_') {
            state = underscore;
        } else if (state == underscore && c == '_') {
            state = underscores;
        } else if ((state == word || state == dashes) && c == '-') {
            state = dashes;
        } else {
            return false;
        }
    }
    return state == word && text.size() <= oci::kRepositoryNameBytesMax;
}

bool is_tag(std::string_view text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const bool letter = alnum(c) || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || (c != '.' && c != '-'))) return false;
    }
    return !text.empty() && text.size() <= oci::kTagBytesMax;
}

}  // namespace

void one(std::string_view input) {
    const auto name = oci::check_repository_name(input);
    FUZZ_CHECK(name.has_value() == is_name(input));
    const auto tag = oci::check_tag(input);
    FUZZ_CHECK(tag.has_value() == is_tag(input));
    for (const auto* status : {&name, &tag})
        if (!*status) FUZZ_CHECK(status->error().code == ErrorCode::invalid && status->error().message.size() < 1000);
    const std::string_view owner = oci::namespace_of(input);
    FUZZ_CHECK(owner.empty() || (input.starts_with(owner) && input.substr(owner.size()).starts_with('/')));
    if (name && !owner.empty()) FUZZ_CHECK(oci::check_repository_name(owner).has_value());
}

}  // namespace dtr::fuzz
