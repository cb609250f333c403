// /api/v0/repositories/{name}/tags[/{tag}], in the predecessor's shapes.
#include <boost/json.hpp>

#include "api/admin/admin.h"
#include "oci/reference.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;

json::object describe_tag(meta::ContentStore& content, const std::string& repository, const meta::Tag& tag) {
    json::object row{
        {"name", tag.name}, {"digest", tag.digest.to_string()}, {"updatedAt", format_rfc3339(tag.updated_at)}};
    const auto manifest = content.find_manifest(repository, tag.digest);
    if (!manifest) return row;  // moved meanwhile
    row["manifest"] = json::object{{"digest", manifest->digest.to_string()},
                                   {"mediaType", manifest->media_type},
                                   {"size", manifest->size},
                                   {"createdAt", format_rfc3339(manifest->pushed_at)}};
    return row;
}

Result<std::size_t> count_tags(meta::ContentStore& content, const std::string& repository) {
    constexpr std::size_t kStep = 10'000;
    std::size_t all = 0;
    std::string after;
    while (true) {
        DTR_ASSIGN(const auto tags, content.list_tags(repository, after, kStep));
        all += tags.size();
        if (tags.size() < kStep) return all;
        after = tags.back().name;
    }
}

// Tags are listed after a name, so the one that is asked for is the first after what is just before it.
http::Response show_tag(meta::ContentStore& content, const std::string& repository, const std::string& name) {
    const auto manifest = content.find_tagged(repository, name);
    if (!manifest) return error_response(manifest.error(), "NO_SUCH_TAG");
    std::string before = name;
    before.back() = static_cast<char>(before.back() - 1);
    before.push_back('\x7e');
    const auto tags = content.list_tags(repository, before, 1);
    if (!tags) return error_response(tags.error(), "NO_SUCH_TAG");
    if (tags->empty() || tags->front().name != name)
        return error_response(404, "NO_SUCH_TAG", fmt::format("repository {} has no tag {}", repository, name));
    return json_response(200, describe_tag(content, repository, tags->front()));
}

}  // namespace

http::Reply list_tags(Asked& asked) {
    const http::Request& request = asked.request;
    meta::ContentStore& content = asked.services.registry.content();
    const std::string& repository = asked.repository->name;
    const auto page = page_of(request);
    if (!page) return error_response(page.error(), "", "INVALID");
    const auto tags = content.list_tags(repository, page->start, page->limit);
    if (!tags) return error_response(tags.error(), "NO_SUCH_REPOSITORY");
    json::array items;
    for (const meta::Tag& tag : *tags) items.push_back(describe_tag(content, repository, tag));
    http::Response response = json_response(200, items);
    if (tags->size() == page->limit) response.set("X-Next-Page-Start", tags->back().name);
    if (!wants_count(request)) return response;
    const auto all = count_tags(content, repository);
    if (!all) return error_response(all.error(), "NO_SUCH_REPOSITORY");
    response.set("X-Resource-Count", std::to_string(*all));
    return response;
}

http::Reply show_tag(Asked& asked) {
    const std::string& tag = asked.at("tag");
    if (auto good = dtr::oci::check_tag(tag); !good) return error_response(good.error(), "", "INVALID");
    return show_tag(asked.services.registry.content(), asked.repository->name, tag);
}

http::Reply remove_tag(Asked& asked) {
    const std::string& tag = asked.at("tag");
    if (auto good = dtr::oci::check_tag(tag); !good) return error_response(good.error(), "", "INVALID");
    if (auto open = asked.services.registry.admit_change(); !open) return error_response(open.error());
    const auto removed = act(asked, {"tag.remove", asked.repository->name + ":" + tag}, [&](meta::Actor actor) {
        return asked.services.registry.content().remove_tag(asked.repository->name, tag, actor);
    });
    if (!removed) return error_response(removed.error(), "NO_SUCH_TAG");
    return no_content();
}

}  // namespace dtr::api::admin
