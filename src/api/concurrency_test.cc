// Many clients at once, as the server's workers run them.
#include <atomic>
#include <thread>

#include "api/test_api.h"

namespace dtr::api {
namespace {

using ConcurrencyTest = ApiTest;

TEST_F(ConcurrencyTest, ClientsDoNotDisturbEachOther) {
    constexpr int kClients = 4;
    constexpr int kRounds = 8;
    std::atomic<int> failures{0};
    const std::string pull = token(alice, "repository:alice/busy:pull");
    {
        std::vector<std::jthread> clients;
        for (int c = 0; c < kClients; ++c)
            clients.emplace_back([&, c] {
                const auto expect = [&](bool good, const Answer& answer) {
                    if (!good && ++failures < 5) ADD_FAILURE() << answer.status << ' ' << answer.body;
                };
                for (int i = 0; i < kRounds; ++i) {
                    const std::string layer =
                        fmt::format("layer {} of {}", i, i % 2 == 0 ? 0 : c);  // some are the same
                    for (const std::string& bytes : {std::string("{}"), layer}) {
                        const Answer pushed =
                            send("POST", "/v2/alice/busy/blobs/uploads/?digest=" + Digest::of(bytes).to_string(), alice,
                                 bytes);
                        expect(pushed.status == 201, pushed);
                    }
                    const std::string manifest = image({layer});
                    const Answer put =
                        send("PUT", fmt::format("/v2/alice/busy/manifests/t{}", c), alice, manifest, kManifestType);
                    expect(put.status == 201, put);
                    const Answer got = ask("GET", fmt::format("/v2/alice/busy/manifests/t{}", c), pull);
                    expect(got.status == 200 && got.body == manifest, got);
                    const Answer blob = ask("GET", "/v2/alice/busy/blobs/" + Digest::of(layer).to_string(), pull);
                    expect(blob.body == layer, blob);
                    const Answer tags = ask("GET", "/v2/alice/busy/tags/list", alice);
                    expect(tags.status == 200, tags);
                    const Answer fresh = ask("GET", "/auth/token?scope=repository:alice/busy:pull", alice);
                    expect(fresh.status == 200, fresh);
                    application.answered({}, {.status = 200, .sent = 1, .received = 0, .duration = 1});
                    const Answer metrics = ask("GET", "/metrics");
                    expect(metrics.status == 200, metrics);
                }
            });
        const Answer backup = ask("POST", "/api/v0/backup?images=include", admin);
        EXPECT_EQ(backup.status, 200);
        EXPECT_FALSE(backup.broken) << "a backup beside pushes";
    }
    EXPECT_EQ(failures, 0);
}

}  // namespace
}  // namespace dtr::api
