// What a request costs between its last byte from the socket and the first byte of its answer.
#include <benchmark/benchmark.h>

#include <array>

#include "api/oci/route.h"
#include "api/test_api.h"
#include "bench/micro/micro.h"
#include "http/request_head.h"

namespace dtr::bench {
namespace {

constexpr const char* kRepository = "alice/app";

// As docker asks for a tag.
std::string pull_head(std::string_view token) {
    return fmt::format(
        "GET /v2/{}/manifests/1.2.3 HTTP/1.1\r\nHost: registry.test\r\n"
        "User-Agent: docker/26.1 go/go1.21 git-commit/8e96db1 kernel/6.1 os/linux arch/amd64 UpstreamClient(Docker)\r\n"
        "Accept: application/vnd.docker.distribution.manifest.list.v2+json\r\n"
        "Accept: application/vnd.oci.image.index.v1+json\r\nAccept: {}\r\n"
        "Accept: application/vnd.docker.distribution.manifest.v2+json\r\n"
        "Authorization: {}\r\nAccept-Encoding: gzip\r\nConnection: keep-alive\r\n\r\n",
        kRepository, kManifestType, token);
}

void parse(const std::string& head, http::Request& request) {
    if (http::find_head_end(head, 0) != head.size()) give_up({ErrorCode::internal, "a head without end", {}});
    benchmark::DoNotOptimize(must(http::parse_head(head, request)));
}

void parse_pull(benchmark::State& state) {
    const std::string head = pull_head("Bearer " + std::string(700, 'x'));
    http::Request request;
    for (auto _ : state) parse(head, request);
}
BENCHMARK(parse_pull)->Name("request: head of a pull parsed");

void route(benchmark::State& state) {
    const std::string digest = Digest::of("layer").to_string();
    const std::array<std::string, 4> paths = {
        "/v2/team/project/app/manifests/1.2.3", "/v2/team/project/app/blobs/" + digest,
        "/v2/team/project/app/blobs/uploads/" + digest.substr(7, 32), "/v2/team/project/app/tags/list"};
    for (std::size_t i = 0; auto _ : state) benchmark::DoNotOptimize(api::oci::parse_route(paths[i++ % paths.size()]));
}
BENCHMARK(route)->Name("request: path routed");

// One image in the registry of the tests of api/, and how docker asks for it with a token that is already known.
class Pull {
  public:
    static Pull& get() {
        static Pull pull;
        return pull;
    }

    [[nodiscard]] const std::string& head() const { return head_; }

    // As the session frames it.
    void answer(const http::Response& response) {
        if (response.status != 200) give_up({ErrorCode::internal, "a pull was refused", {}});
        bytes_.clear();
        http::append_head(bytes_, response.status, response.headers,
                          {http::Framing::Kind::length, response.body.size()}, http::Persistence::http11_keep,
                          "0123456789abcdef");
        bytes_ += response.body;
        benchmark::DoNotOptimize(bytes_.data());
    }

    api::Application& application = api::World::get().application();

  private:
    Pull() {
        const std::string repository = fmt::format("/v2/{}", kRepository);
        for (const std::string blob : {"{}     ", "a layer"})
            ask("POST", repository + "/blobs/uploads/?digest=" + Digest::of(blob).to_string(), blob);
        ask("PUT", repository + "/manifests/1.2.3",
            image_manifest(Digest::of("{}     "), {Digest::of("a layer")}, "1.2.3"));
        const auto token =
            ask("GET", fmt::format("/auth/token?service=dtr-registry&scope=repository:{}:pull", kRepository), {});
        head_ = pull_head("Bearer " + std::string(token.parsed().at("token").as_string()));
        http::Request request;  // seen once, so that token and manifest are known
        parse(head_, request);
        answer(std::get<http::Response>(application.handle(request)));
    }

    api::Answer ask(const char* method, const std::string& target, const std::string& body) {
        api::Call call(method, target);
        if (!body.empty()) call.body(body);
        api::Answer answer = call.as(api::World::get().alice).to(application);
        if (answer.status / 100 != 2) give_up({ErrorCode::internal, fmt::format("{}: {}", target, answer.body), {}});
        return answer;
    }

    std::string head_;
    std::string bytes_;
};

// Now and then accounts have to be looked at again: such a pull goes the other way, as in the server.
void pull_from_memory(benchmark::State& state) {
    Pull& pull = Pull::get();
    http::Request request;
    int elsewhere = 0;
    for (auto _ : state) {
        parse(pull.head(), request);
        auto response = pull.application.try_now(request);
        if (!response) {
            if (++elsewhere > 100) give_up({ErrorCode::internal, "the manifest is not in memory", {}});
            response = std::get<http::Response>(pull.application.handle(request));
        }
        pull.answer(*response);
    }
}
BENCHMARK(pull_from_memory)->Name("request: manifest by tag, head to answer, from memory");

void pull_from_database(benchmark::State& state) {
    Pull& pull = Pull::get();
    http::Request request;
    for (auto _ : state) {
        parse(pull.head(), request);
        pull.answer(std::get<http::Response>(pull.application.handle(request)));
    }
}
BENCHMARK(pull_from_database)->Name("request: the same, rows from the database");

}  // namespace
}  // namespace dtr::bench
