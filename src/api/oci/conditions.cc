#include "api/oci/conditions.h"

#include "api/errors.h"
#include "http/wire.h"

namespace dtr::api::oci {
namespace {

constexpr std::string_view kBlank = " \t";

std::string_view without_blanks(std::string_view text) {
    const std::size_t first = text.find_first_not_of(kBlank);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::string all_lines(const http::Request& request, std::string_view name) {
    std::string lines;
    for (const auto& [key, value] : request.headers)
        if (http::equal_no_case(key, name)) lines += (lines.empty() ? "" : ",") + value;
    return lines;
}

struct EntityTag {
    std::string_view opaque;
    bool is_weak = false;
};

// Takes the first tag and the comma behind it. A tag may hold commas, but no quote.
Result<EntityTag> take_tag(std::string_view& list) {
    EntityTag tag;
    if (list.starts_with("W/\"")) {
        tag.is_weak = true;
        list.remove_prefix(2);
    }
    if (list.starts_with('"')) {
        const std::size_t end = list.find('"', 1);
        if (end == std::string_view::npos) return fail(ErrorCode::invalid, "an entity tag has no closing quote");
        tag.opaque = list.substr(1, end - 1);
        list = without_blanks(list.substr(end + 1));
        if (!list.empty() && list.front() != ',')
            return fail(ErrorCode::invalid, "entity tags are not separated by a comma");
    } else {
        tag.opaque = without_blanks(list.substr(0, list.find(',')));
        list.remove_prefix(std::min(list.size(), list.find(',')));
        if (tag.opaque.find_first_of("\"* \t") != std::string_view::npos)
            return fail(ErrorCode::invalid, "this is not an entity tag");
    }
    list.remove_prefix(std::min<std::size_t>(list.size(), 1));
    return tag;
}

enum class Comparison { strong, weak };

Result<std::optional<meta::Expected::Digests>> read_tags(const http::Request& request, std::string_view name,
                                                         Comparison comparison) {
    const std::string lines = all_lines(request, name);
    std::string_view rest = without_blanks(lines);
    if (rest.empty()) return std::optional<meta::Expected::Digests>();
    meta::Expected::Digests digests;
    if (rest == "*") {
        digests.any = true;
        return std::optional(std::move(digests));
    }
    while (!rest.empty()) {
        const auto tag = take_tag(rest);
        if (!tag) return fail(ErrorCode::invalid, fmt::format("{}: {}", name, tag.error().message));
        rest = without_blanks(rest);
        if (tag->is_weak && comparison == Comparison::strong) continue;
        // What is not a digest is not a tag of ours, and matches nothing.
        if (auto digest = Digest::parse(tag->opaque)) digests.of.push_back(std::move(*digest));
    }
    return std::optional(std::move(digests));
}

}  // namespace

std::string entity_tag(const Digest& digest) {
    return '"' + digest.to_string() + '"';
}

http::Response condition_failed(const Digest& digest) {
    http::Response response =
        error_response(412, "PRECONDITION_FAILED", "the current state is not what the request expects",
                       fmt::format("the current one is {}", digest.to_string()));
    response.set("ETag", entity_tag(digest));
    return response;
}

bool Conditions::range_holds(const Digest& digest) const {
    return if_range.empty() || without_blanks(if_range) == entity_tag(digest);
}

std::optional<http::Response> Conditions::answer_to_read(const Digest& digest) const {
    if (expected.match && !expected.match->has(digest)) return condition_failed(digest);
    if (expected.none_match && expected.none_match->has(digest)) {
        http::Response response;
        response.status = 304;
        return response;
    }
    return std::nullopt;
}

Result<Conditions> read_conditions(const http::Request& request) {
    Conditions conditions;
    DTR_ASSIGN(conditions.expected.match, read_tags(request, "If-Match", Comparison::strong));
    DTR_ASSIGN(conditions.expected.none_match, read_tags(request, "If-None-Match", Comparison::weak));
    conditions.if_range = request.header("If-Range");
    return conditions;
}

}  // namespace dtr::api::oci
