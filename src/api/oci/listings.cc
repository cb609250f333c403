// Tag lists, the catalog and referrers (OCI Distribution 1.1, end-8, end-12; Registry HTTP API V2, "Listing Repositories").
#include <algorithm>
#include <boost/json.hpp>

#include "api/errors.h"
#include "api/oci/distribution.h"
#include "base/encoding.h"
#include "oci/index_json.h"
#include "oci/manifest.h"
#include "oci/media_types.h"

namespace dtr::api::oci {

namespace json = boost::json;

namespace {

constexpr std::size_t kTagsStandard = 10'000;
constexpr std::size_t kTagsMax = 100'000;
constexpr std::size_t kRepositoriesStandard = 100;
constexpr std::size_t kRepositoriesMax = 10'000;
// A page ends with its bytes, whatever `n` says, and is read in steps: who asks for the most costs little, too.
constexpr std::size_t kNamesPageBytes = 1U << 20;
constexpr std::size_t kNamesStep = 1'000;
constexpr std::size_t kReferrersPage = 1'000;
// Annotations are copied from manifests of up to 4 MiB each, so a page is bounded by its bytes too.
constexpr std::size_t kReferrersPageBytes = 1U << 20;
constexpr std::size_t kReferrersStep = 16;

std::string next_link(std::string_view path, std::string_view last, std::size_t n) {
    return fmt::format("<{}?last={}&n={}>; rel=\"next\"", path, percent_encode(last), n);
}

struct NamesPage {
    std::string array = "[";  // JSON
    std::string last = {};
    bool more = false;
};

// The names after `after`, `n` at most. `fetch(after, limit)` answers rows that have one each.
template <class Fetch>
Result<NamesPage> names_page(std::string after, std::size_t n, Fetch&& fetch) {
    NamesPage page;
    std::size_t count = 0;
    while (!page.more) {
        const std::size_t limit = std::min(kNamesStep, n - count + 1);  // one too many says whether there are more
        DTR_ASSIGN(const auto rows, fetch(after, limit));
        for (const auto& row : rows) {
            page.more = count == n || page.array.size() > kNamesPageBytes;
            if (page.more) break;
            page.array += (count++ == 0 ? "" : ",") + json::serialize(json::string_view(row.name));
            page.last = row.name;
        }
        if (rows.size() < limit) break;
        after = page.last;
    }
    page.array += ']';
    return page;
}

http::Response answer_names(std::string document, std::string_view path, const NamesPage& page, std::size_t n) {
    http::Response response;
    response.set("Content-Type", "application/json");
    response.body = std::move(document);
    if (page.more && !page.last.empty()) response.set("Link", next_link(path, page.last, n));
    return response;
}

struct ReferrersPage {
    std::vector<dtr::oci::Descriptor> descriptors;
    bool more = false;
};

Result<ReferrersPage> referrers_page(const Exchange& exchange, const Digest& subject, const std::string& type,
                                     std::string after) {
    ReferrersPage page;
    std::size_t bytes = 0;
    while (true) {
        DTR_ASSIGN(auto rows, exchange.services.registry.manifests().referrers(exchange.route.repository, subject, type,
                                                                               after, kReferrersStep));
        for (meta::Manifest& row : rows) {
            bytes += row.annotations_json.size();
            page.more =
                page.descriptors.size() == kReferrersPage || (!page.descriptors.empty() && bytes > kReferrersPageBytes);
            if (page.more) return page;
            page.descriptors.push_back({std::move(row.media_type), std::move(row.digest), row.size, false,
                                        std::move(row.artifact_type), std::move(row.annotations_json)});
        }
        if (rows.size() < kReferrersStep) return page;
        after = page.descriptors.back().digest.to_string();
    }
}

}  // namespace

http::Reply list_tags(const Exchange& exchange) {
    const auto n = page_size(exchange.request, kTagsStandard, kTagsMax);
    if (!n) return error_response(400, "PAGINATION_NUMBER_INVALID", n.error().message);
    const std::string last = exchange.request.query_value("last").value_or("");
    const std::string& repository = exchange.route.repository;
    registry::Tags& tags = exchange.services.registry.tags();
    const auto page = names_page(
        last, *n, [&](const std::string& after, std::size_t limit) { return tags.list(repository, after, limit); });
    if (!page) return error_response(page.error());
    return answer_names(
        fmt::format(R"({{"name":{},"tags":{}}})", json::serialize(json::string_view(repository)), page->array),
        fmt::format("/v2/{}/tags/list", repository), *page, *n);
}

http::Reply list_catalog(Asked& asked) {
    Services& services = asked.services;
    const http::Request& request = asked.request;
    const auto n = page_size(request, kRepositoriesStandard, kRepositoriesMax);
    if (!n) return error_response(400, "PAGINATION_NUMBER_INVALID", n.error().message);
    const std::string last = request.query_value("last").value_or("");
    const auto visible = visible_to(services, asked.caller);
    if (!visible) return error_response(visible.error());
    registry::Repositories& repositories = services.registry.repositories();
    const auto page = names_page(last, *n, [&](const std::string& after, std::size_t limit) {
        return repositories.list(*visible, after, limit);
    });
    if (!page) return error_response(page.error());
    return answer_names(fmt::format(R"({{"repositories":{}}})", page->array), "/v2/_catalog", *page, *n);
}

http::Reply list_referrers(const Exchange& exchange) {
    const auto subject = Digest::parse(exchange.route.reference);
    if (!subject) return error_response(400, "DIGEST_INVALID", subject.error().message, subject.error().hint);
    std::string type = exchange.request.query_value("artifactType").value_or("");
    // No media type has a space: it was a plus that the sender did not escape ("application/vnd.x+json").
    std::replace(type.begin(), type.end(), ' ', '+');
    const std::string last = exchange.request.query_value("last").value_or("");
    const auto page = referrers_page(exchange, *subject, type, last);
    if (!page) return error_response(page.error());
    http::Response response;
    response.set("Content-Type", std::string(dtr::oci::media::kOciIndex));
    if (!type.empty()) response.set("OCI-Filters-Applied", "artifactType");
    if (page->more) {
        std::string link = fmt::format("</v2/{}/referrers/{}?last={}", exchange.route.repository, subject->to_string(),
                                       percent_encode(page->descriptors.back().digest.to_string()));
        if (!type.empty()) link += "&artifactType=" + percent_encode(type);
        response.set("Link", link + ">; rel=\"next\"");
    }
    response.body = dtr::oci::referrers_index(page->descriptors);
    return response;
}

}  // namespace dtr::api::oci
