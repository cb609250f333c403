// The load generator must be far cheaper than the server: one thread, epoll, one prepared request for all connections,
// answers recognised by comparing bytes with what was pushed.
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

#include "bench/images.h"
#include "bench/workloads.h"

namespace dtr::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

struct Client {
    UniqueFd fd;
    std::string received;
    SteadyClock::time_point started;
};

// Bytes of one whole answer at the front of `text`; 0 if there is more to come.
Result<std::size_t> answer_length(std::string_view text, std::string_view expected_body) {
    const std::size_t end = text.find("\r\n\r\n");
    if (end == std::string_view::npos) return std::size_t{0};
    DTR_ASSIGN(const Head head, parse_head(text.substr(0, end + 4)));
    if (head.status != 200) return fail(ErrorCode::invalid, fmt::format("a manifest GET answers {}", head.status));
    if (head.content_length != expected_body.size())
        return fail(ErrorCode::corrupt,
                    fmt::format("{} bytes instead of {}", head.content_length, expected_body.size()));
    const std::size_t whole = end + 4 + expected_body.size();
    if (text.size() < whole) return std::size_t{0};
    if (text.substr(end + 4, expected_body.size()) != expected_body)
        return fail(ErrorCode::corrupt, "the manifest differs from what was pushed");
    return whole;
}

Status send_request(Client& client, std::string_view request) {
    client.started = SteadyClock::now();
    if (::send(client.fd.get(), request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
        return fail(system_error(errno, "send"));
    return {};
}

}  // namespace

Result<Report> manifest_get(const Target& target, const Options& options) {
    Connection setup(target);
    const Image image = make_image(options, options.seed);
    DTR_TRY(push_image(setup, options.repository, image, "read"));
    std::string request = fmt::format("GET /v2/{}/manifests/read HTTP/1.1\r\nHost: {}:{}\r\nAccept: {}\r\n",
                                      options.repository, target.host, target.port, kManifestType);
    if (!target.authorization.empty()) request += fmt::format("Authorization: {}\r\n", target.authorization);
    request += "\r\n";

    const UniqueFd poll(::epoll_create1(EPOLL_CLOEXEC));
    std::vector<Client> clients(options.clients);
    for (Client& client : clients) {
        DTR_ASSIGN(client.fd, dial(target));
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = &client;
        if (::epoll_ctl(poll.get(), EPOLL_CTL_ADD, client.fd.get(), &event) != 0)
            return fail(system_error(errno, "epoll_ctl"));
    }

    Report report;
    const double cpu_before = cpu_seconds();
    const auto begin = SteadyClock::now();
    const auto end =
        begin + std::chrono::duration_cast<SteadyClock::duration>(std::chrono::duration<double>(options.seconds));
    for (Client& client : clients) DTR_TRY(send_request(client, request));
    std::array<epoll_event, 256> events{};
    std::array<char, 65536> chunk{};
    std::size_t waiting = clients.size();
    while (waiting > 0) {
        const int ready = ::epoll_wait(poll.get(), events.data(), static_cast<int>(events.size()), 10'000);
        if (ready <= 0) return fail(ErrorCode::unavailable, "no answer for ten seconds");
        for (std::size_t i = 0; i < static_cast<std::size_t>(ready); ++i) {
            Client& client = *static_cast<Client*>(events[i].data.ptr);
            const ssize_t n = ::recv(client.fd.get(), chunk.data(), chunk.size(), 0);
            if (n <= 0) return fail(ErrorCode::unavailable, "the server closed a connection");
            client.received.append(chunk.data(), static_cast<std::size_t>(n));
            DTR_ASSIGN(const std::size_t used, answer_length(client.received, image.manifest));
            if (used == 0) continue;
            client.received.erase(0, used);
            const auto now = SteadyClock::now();
            report.latencies_ms.push_back(std::chrono::duration<float, std::milli>(now - client.started).count());
            if (now < end)
                DTR_TRY(send_request(client, request));
            else
                --waiting;
        }
    }
    report.seconds = std::chrono::duration<double>(SteadyClock::now() - begin).count();
    report.cpu_seconds = cpu_seconds() - cpu_before;
    report.operations = report.latencies_ms.size();
    report.bytes = report.operations * image.manifest.size();
    return report;
}

}  // namespace dtr::bench
