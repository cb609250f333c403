#include "registry/tags.h"

namespace dtr::registry {

Result<std::vector<meta::Tag>> Tags::list(std::string_view repository, std::string_view after, std::size_t limit) {
    return context_.meta.content().list_tags(repository, after, limit);
}

// Tags are listed after a name, so the one that is asked for is the first after what is just before it.
Result<meta::Tag> Tags::find(std::string_view repository, std::string_view tag) {
    if (!tag.empty()) {
        std::string before(tag);
        before.back() = static_cast<char>(before.back() - 1);
        before.push_back('\x7e');
        DTR_ASSIGN(auto tags, list(repository, before, 1));
        if (!tags.empty() && tags.front().name == tag) return std::move(tags.front());
    }
    return fail(ErrorCode::not_found, fmt::format("repository {} has no tag {}", repository, tag));
}

Status Tags::remove(std::string_view repository, std::string_view tag, const meta::Expected& expected,
                    meta::Actor actor) {
    DTR_TRY(admit_change(context_));
    return context_.meta.content().remove_tag(repository, tag, expected, actor);
}

}  // namespace dtr::registry
