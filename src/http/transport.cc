// OpenSSL works on the socket itself, without memory BIOs between: an idle TLS connection then holds no record buffers
// (SSL_MODE_RELEASE_BUFFERS), where Asio's stream holds 70 KB.
#include "http/transport.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

namespace dtr::http {
namespace {

constexpr std::size_t kTlsRecord = 16384;

bool would_block() {
    return errno == EAGAIN || errno == EWOULDBLOCK;
}

int clamp_to_int(std::size_t n) {
    return static_cast<int>(std::min<std::size_t>(n, INT_MAX));
}

IoResult receive(int fd, char* out, std::size_t capacity) {
    while (true) {
        const ssize_t n = ::recv(fd, out, capacity, 0);
        if (n > 0) return {Io::done, static_cast<std::size_t>(n)};
        if (n == 0) return {Io::closed};
        if (would_block()) return {Io::want_read};
        if (errno != EINTR) return {Io::closed};
    }
}

}  // namespace

IoResult Transport::tls_result(int returned) {
    switch (SSL_get_error(ssl_.get(), returned)) {
        case SSL_ERROR_WANT_READ:
            return {Io::want_read};
        case SSL_ERROR_WANT_WRITE:
            return {Io::want_write};
        default:
            break;
    }
    const unsigned long code = ERR_peek_error();
    spoke_http_ = ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_HTTP_REQUEST;
    ERR_clear_error();
    return {Io::closed};
}

IoResult Transport::handshake() {
    ERR_clear_error();
    const int r = SSL_do_handshake(ssl_.get());
    return r == 1 ? IoResult{Io::done} : tls_result(r);
}

bool Transport::fall_back_to_plain() {
    if (spoke_http_) ssl_.reset();
    return spoke_http_;
}

IoResult Transport::read(char* out, std::size_t capacity) {
    if (ssl_) {
        ERR_clear_error();
        const int r = SSL_read(ssl_.get(), out, clamp_to_int(capacity));
        return r > 0 ? IoResult{Io::done, static_cast<std::size_t>(r)} : tls_result(r);
    }
    const IoResult r = receive(fd_, out, capacity);
    drained_ = r.state != Io::done || r.bytes < capacity;
    return r;
}

IoResult Transport::write(std::string_view first, std::string_view second, Follows follows) {
    if (first.empty()) std::swap(first, second);
    if (first.empty()) return {};
    if (ssl_) {
        char record[kTlsRecord];
        if (!second.empty() && first.size() < kTlsRecord) {  // head and body in one record
            const std::size_t n = std::min(second.size(), kTlsRecord - first.size());
            std::memcpy(record, first.data(), first.size());
            std::memcpy(record + first.size(), second.data(), n);
            first = {record, first.size() + n};
        }
        // Several records leave as few packets, and wake the peer as often.
        const bool several = first.size() > kTlsRecord;
        if (several) cork();
        ERR_clear_error();
        const int r = SSL_write(ssl_.get(), first.data(), clamp_to_int(first.size()));
        if (several) uncork();
        return r > 0 ? IoResult{Io::done, static_cast<std::size_t>(r)} : tls_result(r);
    }
    iovec pieces[2] = {{const_cast<char*>(first.data()), first.size()},
                       {const_cast<char*>(second.data()), second.size()}};
    msghdr message{};
    message.msg_iov = pieces;
    message.msg_iovlen = second.empty() ? 1 : 2;
    while (true) {
        const ssize_t n = ::sendmsg(fd_, &message, MSG_NOSIGNAL | (follows == Follows::more ? MSG_MORE : 0));
        if (n >= 0) return {Io::done, static_cast<std::size_t>(n)};
        if (would_block()) return {Io::want_write};
        if (errno != EINTR) return {Io::closed};
    }
}

void Transport::cork() {
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_CORK, &on, sizeof on);
}

void Transport::uncork() {
    const int off = 0;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_CORK, &off, sizeof off);
}

IoResult Transport::send_file(int file, std::uint64_t offset, std::size_t count) {
    while (true) {
        auto position = static_cast<off_t>(offset);
        const ssize_t n = ::sendfile(fd_, file, &position, count);
        if (n >= 0) return {Io::done, static_cast<std::size_t>(n)};
        if (would_block()) return {Io::want_write};
        if (errno == EPIPE || errno == ECONNRESET || errno == ETIMEDOUT) return {Io::closed};
        if (errno != EINTR) return {Io::failed};
    }
}

void Transport::set_low_water(int bytes) {
    if (ssl_ || bytes == low_water_) return;
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
    low_water_ = bytes;
}

std::size_t Transport::unsent() const {
    int bytes = 0;
    return ::ioctl(fd_, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? static_cast<std::size_t>(bytes) : 0;
}

bool Transport::peer_left(Departure departure) const {
    pollfd socket{fd_, static_cast<short>(departure == Departure::ended ? POLLRDHUP : 0), 0};
    return ::poll(&socket, 1, 0) > 0 && (socket.revents & (POLLERR | POLLHUP | POLLRDHUP)) != 0;
}

void Transport::end_sending() {
    if (ssl_) {
        ERR_clear_error();
        SSL_shutdown(ssl_.get());
        ERR_clear_error();
    }
    set_low_water(1);
    ::shutdown(fd_, SHUT_WR);
}

void Transport::reset() {
    const linger at_once{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

IoResult Transport::receive_raw(char* out, std::size_t capacity) {
    return receive(fd_, out, capacity);
}

}  // namespace dtr::http
