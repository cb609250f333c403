// Bytes over a connected, non-blocking socket, plain or TLS. No call here waits for the peer; each says what to wait for.
// May be used from any thread, by one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "http/tls.h"

namespace dtr::http {

enum class Io {
    done,
    want_read,   // nothing happened; try again when the socket is readable
    want_write,  // the same, writable
    closed,      // the peer is gone
    failed       // the local side of a transfer failed (sendfile's file)
};

// What of the peer must be gone.
enum class Departure {
    broken,  // both directions, by a reset or a close that it has answered our bytes with
    ended    // its sending direction, as after any close
};

struct IoResult {
    Io state = Io::done;
    std::size_t bytes = 0;  // with done
};

class Transport {
  public:
    Transport(int fd, SslPtr ssl) : fd_(fd), ssl_(std::move(ssl)) {}

    [[nodiscard]] bool tls() const { return ssl_ != nullptr; }
    // The last read took everything that was there: reading again before waiting is no use.
    [[nodiscard]] bool drained() const { return drained_; }

    // done when the session is up; closed if it will not be.
    IoResult handshake();
    // After it: the client's certificate, if it showed one.
    [[nodiscard]] ClientCertificate client_certificate() const {
        return ssl_ ? http::client_certificate(ssl_.get()) : ClientCertificate{};
    }
    // After a failed one: why the client's certificate was not accepted, or empty.
    [[nodiscard]] std::string certificate_refusal() const { return ssl_ ? client_refusal(ssl_.get()) : ""; }
    // After a failed handshake: the peer sent an HTTP request instead. Goes on without TLS.
    bool fall_back_to_plain();

    IoResult read(char* out, std::size_t capacity);
    // The two pieces count as one run of bytes, any number of which may be taken. If more bytes follow at once, a short
    // packet is held back. What was refused must be offered again as a prefix of the next write (TLS).
    enum class Follows { nothing, more };
    IoResult write(std::string_view first, std::string_view second, Follows follows);
    // Plain only. done with 0 bytes: the file ends there. May block on the file's device.
    IoResult send_file(int file, std::uint64_t offset, std::size_t count);
    // Asks not to be woken for fewer bytes than that (plain only).
    void set_low_water(int bytes);

    // Bytes that the peer has not acknowledged yet.
    [[nodiscard]] std::size_t unsent() const;
    // Whether the peer is gone, also if there are bytes of its to read.
    [[nodiscard]] bool peer_left(Departure departure) const;

    void end_sending();  // the peer sees a proper end
    void reset();        // the peer sees a broken connection once the socket is closed
    // Bytes beside TLS: before the handshake, or after end_sending().
    IoResult receive_raw(char* out, std::size_t capacity);

  private:
    IoResult tls_result(int returned);
    void cork();
    void uncork();

    int fd_;
    SslPtr ssl_;
    bool drained_ = false;
    bool spoke_http_ = false;
    int low_water_ = 1;
};

}  // namespace dtr::http
