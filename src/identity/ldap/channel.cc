#include "identity/ldap/channel.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "identity/ldap/library.h"

namespace dtr::identity {
namespace {

using std::chrono::milliseconds;

struct FreeAddresses {
    void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};

struct Place {
    std::string host;
    std::string port;
};

Place place_of(std::string_view url) {
    const bool tls = url.starts_with("ldaps://");
    std::string_view rest = url.substr(std::min(url.size(), url.find("://") + 3));
    if (rest.ends_with('/')) rest.remove_suffix(1);
    Place out{"", tls ? "636" : "389"};
    const std::size_t bracket = rest.starts_with('[') ? rest.find(']') : std::string_view::npos;
    const std::size_t colon = rest.find(':', bracket == std::string_view::npos ? 0 : bracket);
    out.host = bracket == std::string_view::npos ? rest.substr(0, colon) : rest.substr(1, bracket - 1);
    if (colon != std::string_view::npos) out.port = rest.substr(colon + 1);
    return out;
}

int poll_one(int fd, short events, milliseconds patience, Deadline deadline) {
    const Deadline end = std::min(deadline, std::chrono::steady_clock::now() + patience);
    for (;;) {
        const auto left = std::chrono::ceil<milliseconds>(end - std::chrono::steady_clock::now());
        pollfd one{fd, events, 0};
        const int ready = ::poll(&one, 1, static_cast<int>(std::clamp<long>(left.count(), 0, 86'400'000)));
        if (ready >= 0) return ready;
        if (errno != EINTR) return -1;
    }
}

// Zero, or an errno value.
int connect_to(const addrinfo& address, milliseconds patience, Deadline deadline, UniqueFd& out) {
    UniqueFd fd(::socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol));
    if (!fd.valid()) return errno;
    if (::connect(fd.get(), address.ai_addr, address.ai_addrlen) != 0) {
        if (errno != EINPROGRESS) return errno;
        const int ready = poll_one(fd.get(), POLLOUT, patience, deadline);
        if (ready <= 0) return ready == 0 ? ETIMEDOUT : errno;
        int error = 0;
        socklen_t size = sizeof error;
        if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
        if (error != 0) return error;
    }
    const int on = 1;
    (void)::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    out = std::move(fd);
    return 0;
}

}  // namespace

Result<std::unique_ptr<Channel>> Channel::connect(std::string_view url, milliseconds timeout, Deadline deadline) {
    const Place place = place_of(url);
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    const int found = ::getaddrinfo(place.host.c_str(), place.port.c_str(), &hints, &list);
    const std::unique_ptr<addrinfo, FreeAddresses> owner(list);
    constexpr const char* hint =
        "check that serverURL is right, that the server is running and that this machine can reach it";
    if (found != 0)
        return fail(ErrorCode::unavailable, fmt::format("the directory {} was not found: {}", url, gai_strerror(found)),
                    hint);
    int error = EADDRNOTAVAIL;
    for (const addrinfo* address = list; address != nullptr; address = address->ai_next) {
        UniqueFd fd;
        error = connect_to(*address, timeout, deadline, fd);
        if (error == 0) return std::unique_ptr<Channel>(new Channel(std::move(fd), timeout, deadline));
    }
    return fail(ErrorCode::unavailable,
                fmt::format("the directory {} cannot be reached: {}", url, std::strerror(error)), hint);
}

bool Channel::attach(Sockbuf* buffer) {
    static Sockbuf_IO calls{&setup, &nothing, &control, &read, &write, &nothing};
    return libldap().ber_sockbuf_add_io(buffer, &calls, LBER_SBIOD_LEVEL_PROVIDER, this) == 0;
}

int Channel::setup(Sockbuf_IO_Desc* description, void* channel) {
    description->sbiod_pvt = channel;
    return 0;
}

int Channel::control(Sockbuf_IO_Desc*, int, void*) {
    return 0;  // nothing is buffered here
}

int Channel::nothing(Sockbuf_IO_Desc*) {
    return 0;  // the descriptor is closed with the channel
}

bool Channel::wait(short events) {
    const int ready = poll_one(fd_.get(), events, patience_, deadline_);
    if (ready > 0) return true;
    // Never EAGAIN: the layers above take that for "ask again at once".
    errno = ready == 0 ? ETIMEDOUT : errno;
    trouble_ = ready == 0 ? "it does not answer in time" : std::strerror(errno);
    return false;
}

ber_slen_t Channel::read(Sockbuf_IO_Desc* description, void* bytes, ber_len_t count) {
    auto& self = *static_cast<Channel*>(description->sbiod_pvt);
    for (;;) {
        if (!self.wait(POLLIN)) return -1;
        const ssize_t got = ::recv(self.fd_.get(), bytes, count, 0);
        if (got > 0) return got;
        if (got == 0) self.trouble_ = "it closed the connection";
        if (got == 0) return 0;
        if (errno == EINTR || errno == EAGAIN) continue;
        self.trouble_ = std::strerror(errno);
        return -1;
    }
}

ber_slen_t Channel::write(Sockbuf_IO_Desc* description, void* bytes, ber_len_t count) {
    auto& self = *static_cast<Channel*>(description->sbiod_pvt);
    for (;;) {
        if (!self.wait(POLLOUT)) return -1;
        const ssize_t sent = ::send(self.fd_.get(), bytes, count, MSG_NOSIGNAL);
        if (sent >= 0) return sent;
        if (errno == EINTR || errno == EAGAIN) continue;
        self.trouble_ = std::strerror(errno);
        return -1;
    }
}

}  // namespace dtr::identity
