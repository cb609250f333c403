// The TCP connection below libldap. Inside identity/ldap only.
//
// libldap's own waits forever (and busily) on a server that is silent during the TLS handshake; here every read and write
// has a deadline. It also tells what happened, which libldap does not: a handshake that failed while the connection was
// fine failed for the certificate.
#pragma once

#include <lber.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "sys/fd.h"

namespace dtr::identity {

using Deadline = std::chrono::steady_clock::time_point;

// For one thread at a time; outlives the libldap handle that uses it.
class Channel {
  public:
    // `url` is one of DirectorySettings' servers; 389 and 636 are the default ports. unavailable.
    static Result<std::unique_ptr<Channel>> connect(std::string_view url, std::chrono::milliseconds timeout,
                                                    Deadline deadline);

    [[nodiscard]] int fd() const { return fd_.get(); }
    // Has `buffer` read and write here. False: no memory.
    bool attach(Sockbuf* buffer);
    // How long one read or write may take from now on.
    void limit(std::chrono::milliseconds patience) { patience_ = patience; }
    // What went wrong with the connection so far; empty: nothing.
    [[nodiscard]] const std::string& trouble() const { return trouble_; }

  private:
    Channel(UniqueFd fd, std::chrono::milliseconds patience, Deadline deadline)
        : fd_(std::move(fd)), patience_(patience), deadline_(deadline) {}
    static int setup(Sockbuf_IO_Desc* description, void* channel);
    static int control(Sockbuf_IO_Desc* description, int option, void* argument);
    static int nothing(Sockbuf_IO_Desc* description);
    static ber_slen_t read(Sockbuf_IO_Desc* description, void* bytes, ber_len_t count);
    static ber_slen_t write(Sockbuf_IO_Desc* description, void* bytes, ber_len_t count);
    bool wait(short events);

    UniqueFd fd_;
    std::chrono::milliseconds patience_;
    Deadline deadline_;
    std::string trouble_;
};

}  // namespace dtr::identity
