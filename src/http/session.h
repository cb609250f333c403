// One connection, from accept to its end, as a coroutine on one loop.
#pragma once

#include <string>

#include "http/exchange.h"
#include "http/loop.h"

namespace dtr::http {

enum class Admission {
    serve,
    turn_away  // over the connection limit: one 503, then the end
};

class Session {
  public:
    // On the loop's thread. The connection was counted in loop.load and shared.connections; its end counts it off.
    static void start(Loop& loop, Socket socket, bool tls, Admission admission);
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
    void decide_now(Exchange& exchange);
    void report(const Exchange& exchange, Micros since);

    Loop& loop_;
    Shared& shared_;
    Socket socket_;
    Transport transport_;
    Input input_;
    std::string peer_;
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
