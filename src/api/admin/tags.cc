// /api/v0/repositories/{name}/tags[/{tag}], in the predecessor's shapes.
#include <boost/json.hpp>

#include "api/admin/admin.h"
#include "oci/reference.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;

json::object describe_tag(registry::Registry& registry, const std::string& repository, const meta::Tag& tag) {
    json::object row{
        {"name", tag.name}, {"digest", tag.digest.to_string()}, {"updatedAt", format_rfc3339(tag.updated_at)}};
    const auto manifest = registry.manifests().find(repository, tag.digest);
    if (!manifest) return row;  // moved meanwhile
    row["manifest"] = json::object{{"digest", manifest->digest.to_string()},
                                   {"mediaType", manifest->media_type},
                                   {"size", manifest->size},
                                   {"createdAt", format_rfc3339(manifest->pushed_at)}};
    return row;
}

Result<std::size_t> count_tags(registry::Tags& tags, const std::string& repository) {
    constexpr std::size_t kStep = 10'000;
    std::size_t all = 0;
    std::string after;
    while (true) {
        DTR_ASSIGN(const auto rows, tags.list(repository, after, kStep));
        all += rows.size();
        if (rows.size() < kStep) return all;
        after = rows.back().name;
    }
}

}  // namespace

http::Reply list_tags(Asked& asked) {
    const http::Request& request = asked.request;
    registry::Registry& registry = asked.services.registry;
    const std::string& repository = asked.repository->name;
    const auto page = page_of(request);
    if (!page) return error_response(page.error(), "", "INVALID");
    const auto tags = registry.tags().list(repository, page->start, page->limit);
    if (!tags) return error_response(tags.error(), "NO_SUCH_REPOSITORY");
    json::array items;
    for (const meta::Tag& tag : *tags) items.push_back(describe_tag(registry, repository, tag));
    http::Response response = json_response(200, items);
    if (tags->size() == page->limit) response.set("X-Next-Page-Start", tags->back().name);
    if (!wants_count(request)) return response;
    const auto all = count_tags(registry.tags(), repository);
    if (!all) return error_response(all.error(), "NO_SUCH_REPOSITORY");
    response.set("X-Resource-Count", std::to_string(*all));
    return response;
}

http::Reply show_tag(Asked& asked) {
    const std::string& tag = asked.at("tag");
    if (auto good = dtr::oci::check_tag(tag); !good) return error_response(good.error(), "", "INVALID");
    const auto row = asked.services.registry.tags().find(asked.repository->name, tag);
    if (!row) return error_response(row.error(), "NO_SUCH_TAG");
    return json_response(200, describe_tag(asked.services.registry, asked.repository->name, *row));
}

http::Reply remove_tag(Asked& asked) {
    const std::string& tag = asked.at("tag");
    if (auto good = dtr::oci::check_tag(tag); !good) return error_response(good.error(), "", "INVALID");
    const auto removed = act(asked, {"tag.remove", asked.repository->name + ":" + tag}, [&](meta::Actor actor) {
        return asked.services.registry.tags().remove(asked.repository->name, tag, {}, actor);
    });
    if (!removed) return error_response(removed.error(), "NO_SUCH_TAG");
    return no_content();
}

}  // namespace dtr::api::admin
