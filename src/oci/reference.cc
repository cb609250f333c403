// name      ::= component ("/" component)*
// component ::= alnum+ (separator alnum+)*
// separator ::= "." | "_" | "__" | "-"+
//
// One pass; what may follow depends only on the run of separators just read.
#include "oci/reference.h"

namespace dtr::oci {
namespace {

constexpr std::string_view kNameHint =
    "use lower-case letters and digits, joined by single '.', '_', '__' or dashes, in parts "
    "separated by '/'";

bool is_lower_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool is_separator(std::string_view run) {
    return run == "." || run == "_" || run == "__" || run.find_first_not_of('-') == std::string_view::npos;
}

// What names are quoted in messages: short, and without bytes that could harm a terminal or a log.
std::string quoted(std::string_view text) {
    std::string out;
    for (const char c : text.substr(0, 100)) out.push_back(c >= ' ' && c < 0x7f ? c : '?');
    if (text.size() > 100) out += "...";
    return out;
}

tl::unexpected<Error> bad_name(std::string_view name, std::string_view why) {
    return fail(ErrorCode::invalid, fmt::format("'{}' is not a repository name: {}", quoted(name), why),
                std::string(kNameHint));
}

}  // namespace

Status check_repository_name(std::string_view name) {
    if (name.empty()) return bad_name(name, "it is empty");
    if (name.size() > kRepositoryNameBytesMax)
        return bad_name(name, fmt::format("{} bytes are more than {}", name.size(), kRepositoryNameBytesMax));
    std::size_t at = 0;
    while (true) {
        const std::size_t word = at;
        while (at < name.size() && is_lower_alnum(name[at])) ++at;
        if (at == word)
            return bad_name(name, at == name.size() ? "it ends in a separator"
                                                    : fmt::format("byte {} must be a letter or a digit", at + 1));
        if (at == name.size()) return {};
        if (name[at] == '/') {
            ++at;
            continue;
        }
        const std::size_t run = at;
        while (at < name.size() && (name[at] == '.' || name[at] == '_' || name[at] == '-')) ++at;
        if (at == run) return bad_name(name, fmt::format("byte {} is not allowed", at + 1));
        if (!is_separator(name.substr(run, at - run)))
            return bad_name(name, fmt::format("'{}' is not a separator", quoted(name.substr(run, at - run))));
    }
}

Status check_tag(std::string_view tag) {
    const auto bad = [&](std::string_view why) {
        return fail(ErrorCode::invalid, fmt::format("'{}' is not a tag: {}", quoted(tag), why),
                    "use letters, digits, '_', '.' and '-', not beginning with '.' or '-'");
    };
    if (tag.empty()) return bad("it is empty");
    if (tag.size() > kTagBytesMax) return bad(fmt::format("{} bytes are more than {}", tag.size(), kTagBytesMax));
    for (std::size_t i = 0; i < tag.size(); ++i) {
        const char c = tag[i];
        const bool word = is_lower_alnum(c) || (c >= 'A' && c <= 'Z') || c == '_';
        if (!word && (i == 0 || (c != '.' && c != '-'))) return bad(fmt::format("byte {} is not allowed", i + 1));
    }
    return {};
}

std::string_view namespace_of(std::string_view repository) {
    const std::size_t slash = repository.find('/');
    return slash == std::string_view::npos ? std::string_view{} : repository.substr(0, slash);
}

}  // namespace dtr::oci
