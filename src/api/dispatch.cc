// A body is asked for only when its sender may do what it is for, and what they may is asked once more when it is there: it
// may have dripped for as long as the server's pace allows, and accounts, grants and tokens have changed meanwhile.
#include "api/dispatch.h"

#include <algorithm>
#include <boost/json.hpp>

#include "api/access.h"
#include "api/addressee.h"
#include "api/errors.h"

namespace dtr::api {
namespace {

namespace json = boost::json;
using AskedPtr = std::shared_ptr<Asked>;  // shared: with the sink of its body, which outlives dispatch()

http::Response nothing_there(const Services& services, const http::Request& request, const Found& found) {
    if (found.is_elsewhere && services.is_ucp)
        return error_response(404, "UNSUPPORTED", "this is UCP, which holds no images",
                              "ask the registry: GET /enzi/v0/replicas lists its replicas");
    return error_response(404, "NOT_FOUND", fmt::format("nothing is served at {}", request.path.substr(0, 200)));
}

http::Response method_not_allowed(const Services& services, const Found& found) {
    http::Response response =
        found.kept_at_ucp && services.link != nullptr
            ? error_response(405, "UNSUPPORTED", fmt::format("accounts are managed at UCP, {}", services.link->url()))
            : error_response(405, "UNSUPPORTED", "this method is not supported here",
                             fmt::format("allowed: {}", found.allowed));
    response.set("Allow", found.allowed);
    return response;
}

http::Response options(std::string_view allowed) {
    http::Response response;
    response.status = 204;
    response.set("Allow", std::string(allowed));
    return response;
}

// Methods of the path but for the one that is refused at present: a blob in use, a registry that is read only.
std::string allowed_besides(const Services& services, std::string_view method, std::string_view path) {
    const std::string all = find_routes(&services, method, path).allowed;
    std::string others;
    for (std::string_view rest = all; !rest.empty();) {
        const std::size_t comma = std::min(rest.find(", "), rest.size());
        const std::string_view one = rest.substr(0, comma);
        if (one != method) others += (others.empty() ? "" : ", ") + std::string(one);
        rest.remove_prefix(std::min(comma + 2, rest.size()));
    }
    return others;
}

bool says_what_is_allowed(const http::Response& response) {
    return std::any_of(response.headers.begin(), response.headers.end(),
                       [](const auto& header) { return header.first == "Allow"; });
}

// What every answer to a request has, whichever handler or body made it.
class Finish {
  public:
    Finish(const Services& services, const http::Request& request)
        : services_(services),
          method_(request.method),
          path_(request.path),
          is_registry_(is_registry_path(request.path)) {}

    void operator()(http::Response& response) const {
        if (is_registry_) mark_registry_answer(response);
        if (response.user.empty()) response.user = user_;
        if (response.status == 405 && !says_what_is_allowed(response))
            response.set("Allow", allowed_besides(services_, method_, path_));
    }

    // Whoever is found to ask.
    [[nodiscard]] std::string& user() { return user_; }

  private:
    const Services& services_;
    std::string method_;
    std::string path_;
    bool is_registry_;
    std::string user_;
};

// A browser that knows somebody's password sends it whichever page asks, but says which one that is.
bool from_another_site(const Services& services, const http::Request& request) {
    if (request.method == "GET" || request.method == "HEAD") return false;
    if (!request.path.starts_with("/api/") && !request.path.starts_with("/enzi/")) return false;
    if (const auto site = request.header("Sec-Fetch-Site"); !site.empty() && site != "same-origin" && site != "none")
        return true;
    const auto page = request.header("Origin");
    return !page.empty() && page != origin(services, request);
}

// --- bodies ---

bool needs_body(Body body) {
    return body == Body::json || body == Body::text;
}

bool is_collected(Body body) {
    return body != Body::none && body != Body::stream;
}

bool is_json(Body body) {
    return body == Body::json || body == Body::json_or_none;
}

// What is left of metadata/ is for those who make room and keep order.
std::optional<http::Response> refuse_without_room(const Asked& asked) {
    if (!asked.match.route->options.adds_rows || asked.caller.principal.is_admin) return std::nullopt;
    const Status room = asked.services.registry.require_room();
    return room ? std::nullopt : std::optional(error_response(room.error()));
}

http::Response too_large(std::size_t bytes_max) {
    return error_response(413, "SIZE_INVALID", "the body is too large", fmt::format("at most {} bytes", bytes_max));
}

// Of a reply to a collected body, which has nothing more to come.
http::Response response_of(http::Reply reply) {
    if (auto* response = std::get_if<http::Response>(&reply)) return std::move(*response);
    return error_response(500, "UNKNOWN", "internal error; see the server's log");
}

http::Response handle_fields(Asked& asked, const json::object& fields) {
    asked.fields = &fields;
    http::Response response = response_of(asked.match.route->handle(asked));
    asked.fields = nullptr;
    return response;
}

http::Response with_body(Asked& asked, std::string text) {
    if (auto refused = check_again(asked)) return std::move(*refused);
    if (auto refused = refuse_without_room(asked)) return std::move(*refused);
    if (!is_json(asked.match.route->options.body)) {
        asked.body = std::move(text);
        return response_of(asked.match.route->handle(asked));
    }
    boost::system::error_code error;
    const json::value document = json::parse(text, error);
    if (error || !document.is_object()) return error_response(400, "INVALID", "the body is not a JSON object");
    return handle_fields(asked, document.get_object());
}

// What a handler takes piece by piece: asked again before it acts. Refused then, it is ended as if the client had gone.
class CheckedSink final : public http::BodySink {
  public:
    CheckedSink(AskedPtr asked, std::unique_ptr<http::BodySink> sink)
        : asked_(std::move(asked)), sink_(std::move(sink)) {}

    bool write(std::string_view chunk) override { return sink_->write(chunk); }
    http::Response finish() override {
        auto refused = check_again(*asked_);
        return refused ? std::move(*refused) : sink_->finish();
    }
    [[nodiscard]] std::size_t held() const override { return sink_->held(); }
    [[nodiscard]] std::optional<Pool> finish_on() const override { return sink_->finish_on(); }

  private:
    AskedPtr asked_;
    std::unique_ptr<http::BodySink> sink_;
};

class FinishedSink final : public http::BodySink {
  public:
    FinishedSink(Finish finish, std::unique_ptr<http::BodySink> sink)
        : finish_(std::move(finish)), sink_(std::move(sink)) {}
    bool write(std::string_view chunk) override { return sink_->write(chunk); }
    http::Response finish() override {
        http::Response response = sink_->finish();
        finish_(response);
        return response;
    }
    [[nodiscard]] std::size_t held() const override { return sink_->held(); }
    [[nodiscard]] std::optional<Pool> finish_on() const override { return sink_->finish_on(); }

  private:
    Finish finish_;
    std::unique_ptr<http::BodySink> sink_;
};

http::Reply receive(const AskedPtr& asked) {
    const RouteOptions& options = asked->match.route->options;
    const bool has_body = asked->request.has_body;
    if (options.body == Body::stream && has_body) {
        http::Reply reply = asked->match.route->handle(*asked);
        if (auto* sink = std::get_if<std::unique_ptr<http::BodySink>>(&reply))
            return std::make_unique<CheckedSink>(asked, std::move(*sink));
        return reply;
    }
    if (!is_collected(options.body)) return asked->match.route->handle(*asked);
    if (!has_body && needs_body(options.body))
        return error_response(400, "INVALID", is_json(options.body) ? "a JSON body is needed" : "a body is needed");
    if (!has_body) return is_json(options.body) ? handle_fields(*asked, {}) : asked->match.route->handle(*asked);
    const std::size_t bytes_max = options.body_bytes_max;
    if (asked->request.content_length.value_or(0) > bytes_max) return too_large(bytes_max);
    return http::collect_body(
        bytes_max, [asked](std::string text) { return with_body(*asked, std::move(text)); },
        [bytes_max] { return too_large(bytes_max); },
        [asked](const std::string& text) {
            const RouteOptions& of = asked->match.route->options;
            return of.pool_of_body != nullptr ? of.pool_of_body(*asked, text) : of.pool;
        });
}

http::Reply answer(Services& services, http::Request request, std::string& user) {
    if (request.path == "*")
        return options("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");  // of the server as a whole
    if (auto refused = refuse_other_cluster(services, request)) return std::move(*refused);
    Found found = find_routes(&services, request.method, request.path);
    if (found.allowed.empty()) return nothing_there(services, request, found);
    if (request.method == "OPTIONS") return options(found.allowed);
    if (found.matches.empty()) return method_not_allowed(services, found);
    if (from_another_site(services, request))
        return error_response(403, "NOT_AUTHORIZED", "the request came from a page of another site");
    const auto asked = std::make_shared<Asked>(Asked{services, std::move(request), std::move(found.matches.front())});
    if (auto refused = identify_caller(*asked)) return std::move(*refused);
    if (!asked->caller.principal.anonymous) user = asked->actor();
    for (std::size_t i = 1; i < found.matches.size(); ++i)
        if (names_repository(*asked, found.matches[i])) asked->match = std::move(found.matches[i]);
    if (auto refused = check_access(*asked)) return std::move(*refused);
    if (auto refused = refuse_without_room(*asked)) return std::move(*refused);
    return receive(asked);
}

}  // namespace

void mark_registry_answer(http::Response& response) {
    response.set("Docker-Distribution-Api-Version", "registry/2.0");
}

http::Reply dispatch(Services& services, http::Request request) {
    Finish finish(services, request);
    http::Reply reply = answer(services, std::move(request), finish.user());
    if (auto* response = std::get_if<http::Response>(&reply))
        finish(*response);
    else
        reply = std::make_unique<FinishedSink>(std::move(finish),
                                               std::get<std::unique_ptr<http::BodySink>>(std::move(reply)));
    return reply;
}

}  // namespace dtr::api
