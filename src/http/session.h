// One connection, from accept to its end, as a coroutine on one loop.
#pragma once

#include <string>

#include "http/exchange.h"
#include "http/loop.h"

namespace dtr::http {

enum class Wire { plain, tls };
enum class Admission {
    serve,
    turn_away  // over the connection limit: one 503, then the end
};

class Session {
  public:
    // On the loop's thread. The connection was counted in loop.load and shared.connections; its end counts it off.
    static void start(Loop& loop, Socket socket, Wire wire, Admission admission);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    // From the loop, on its thread.
    void expire(Micros now);  // ends a wait whose time is over
    void stop_if_idle();
    void cancel_wait();

    std::size_t slot = 0;  // the loop's

  private:
    enum class State { busy, idle, lingering };
    enum class Wake { ready, expired, cancelled };
    class Wait;
    class OnPool;
    struct HeadEnd {
        std::size_t size = 0;  // of the head in the input; 0: none came
        int refusal = 0;       // or this answer is due, for this reason
        const char* detail = "";
    };

    Session(Loop& loop, Socket socket, SslPtr ssl, unsigned authorities, Admission admission);
    static Detached run(std::unique_ptr<Session> session);
    // How fast the client of one exchange is.
    struct Measured {
        Micros waited = 0;  // for it, since the window began
        std::uint64_t progress = 0;
        bool slow = false;  // in the last window
    };
    Task<bool> receive_proxy_header();
    Task<bool> handshake();
    Task<bool> await_request();
    Task<HeadEnd> receive_head();
    Task<bool> serve();
    Task<Fate> conduct(Exchange& exchange);
    Task<Fate> refuse(HeadEnd head_end);
    Task<bool> advance_on_pool(Exchange& exchange, Next& next);
    Task<void> give_up(Exchange& exchange);
    Task<void> linger();
    Io fill_input();
    void forget_client_if_over();
    bool is_too_slow(Measured& pace, std::uint64_t progress);
    void set_peer(const IpAddress& peer);
    ClientKey name_client(Request& request);
    void name_request(Request& request);
    void supply_host(Request& request);
    void count_for(const IpAddress& client);
    void shrink_if_quiet();
    void decide_now(Exchange& exchange);
    void report(const Exchange& exchange, Micros since);

    Loop& loop_;
    Shared& shared_;
    Socket socket_;
    Transport transport_;
    Input input_;
    IpAddress peer_;  // who opened the connection, to us or to the proxy whose PROXY header says so
    std::string peer_text_;
    bool expects_proxy_header_ = false;
    ClientKey key_;         // of whom the connection is counted for
    bool counted_ = false;  // in shared_.connection_shares
    ClientCertificate client_;
    unsigned authorities_;  // that the client's certificate was held to
    Micros deadline_ = 0;   // of the wait in progress; 0: none
    bool expired_ = false;
    State state_ = State::busy;
    Admission admission_;
    Fate fate_ = Fate::abort;
    unsigned served_in_a_row_ = 0;  // without waiting
};

}  // namespace dtr::http
