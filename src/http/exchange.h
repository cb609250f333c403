// One request and its answer, as a machine that never waits for the client.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "http/body_reader.h"
#include "http/shared.h"
#include "http/wire.h"

namespace dtr::http {

// What an exchange needs before it can continue.
enum class Next {
    readable,  // the socket
    writable,  // the socket
    again,     // nothing, but others should have their turn
    done       // it is over: see fate()
};

// What becomes of the connection.
enum class Fate {
    keep,    // the next request may follow
    finish,  // a proper end, so that the client sees the whole answer
    abort    // a broken end, so that nobody takes the answer for whole; or the client is gone
};

// The session calls advance() again and again, on a worker when needs_worker() says so, else on its I/O thread, and
// waits between the calls for what was asked. One call at a time.
class Exchange {
  public:
    Exchange(Shared& shared, Transport& transport, Input& input, const Head& head, Request request,
             const ClientKey& client);

    // An I/O thread may decide before the first advance() that no worker is needed.
    void answer(Response response);
    void refuse(int status, std::string_view detail);
    void crash(std::string_view where, std::string_view what) { answer(crashed(where, what)); }

    [[nodiscard]] bool needs_worker() const {
        return is_handlers() || stage_ == Stage::receive || stage_ == Stage::stream;
    }
    [[nodiscard]] const ClientKey& client() const { return client_; }
    // Of the next advance(), if it needs a worker.
    [[nodiscard]] Pool pool() const;
    void follow(const Plan& plan);
    // Something was done already, so that the client cannot be told to come again instead.
    [[nodiscard]] bool begun() const {
        return !is_handlers() || (stage_ == Stage::finish && plan_.pace != Pace::small_body);
    }

    Next advance();
    // The next advance() is the last. It destroys sink and source, which may take its time: on a worker, if there are any.
    void give_up() { given_up_ = true; }
    [[nodiscard]] bool holds_resources() const { return sink_ || source_; }

    // When a small body must be there: 30 s and a second for each 4 KiB after its beginning, by what was announced, or else
    // by what came. 0: none is being received.
    [[nodiscard]] Micros body_deadline() const;
    // The client is too slow: the next advance() answers 408 if a body is being received, else breaks off.
    void time_out() { timed_out_ = true; }

    [[nodiscard]] Fate fate() const { return fate_; }
    // Grows with every byte received or sent.
    // How long the client may stand still; 0: the server's idle timeout.
    [[nodiscard]] Micros patience() const { return patience_; }
    [[nodiscard]] std::uint64_t progress() const { return body_.received() + sent_; }

    // For Handler::answered.
    [[nodiscard]] bool was_answered() const { return status_ != 0; }
    [[nodiscard]] const Request& request() const { return request_; }
    [[nodiscard]] Request take_request() { return std::move(request_); }
    [[nodiscard]] Answered answered() const;

  private:
    enum class Stage { admit, call, receive, finish, send, stream, drain, over };

    std::optional<Next> step();
    [[nodiscard]] bool is_handlers() const {
        return stage_ == Stage::admit || stage_ == Stage::call || stage_ == Stage::finish;
    }
    [[nodiscard]] bool client_left() const;
    std::optional<Next> admit();
    std::optional<Next> call();
    std::optional<Next> receive();
    std::optional<Next> received();
    std::optional<Next> finish_sink();
    std::optional<Next> send();
    std::optional<Next> stream_file();
    std::optional<Next> stream_source();
    std::optional<Next> drain();
    std::optional<Next> wait_for(Io state);
    std::optional<Next> flush(std::string_view behind, Transport::Follows follows, std::size_t& taken);
    std::optional<Next> flush_pending();
    std::optional<Next> send_chunk(char* buffer, std::size_t size);
    std::optional<Next> sent_all();
    std::optional<Next> end(Fate fate);
    bool feed_sink(std::string_view bytes);
    bool spend(std::size_t bytes);

    Response make_refusal(int status, std::string_view detail);
    Response crashed(std::string_view where, std::string_view what);
    bool fits(const Response& response);
    Framing frame_source(const Response& response);
    [[nodiscard]] bool may_keep(const Response& response, Framing framing) const;

    Shared& shared_;
    Transport& transport_;
    Head head_;
    Request request_;
    const ClientKey client_;
    Memory::Hold memory_;  // of what the sink has gathered, then of the answer
    BodyReader body_;
    Plan plan_;
    Pool finish_on_ = Pool::lookup;
    Stage stage_ = Stage::call;
    Fate fate_ = Fate::abort;
    bool invited_ = true;     // the client does not wait for 100 Continue
    bool sink_used_ = false;  // what is left of the body is not to be drained
    bool given_up_ = false;
    bool timed_out_ = false;
    Micros receiving_since_ = 0;
    bool keep_ = false;
    std::size_t turn_bytes_ = 0;
    Micros turn_began_ = 0;
    Micros patience_ = 0;

    std::unique_ptr<BodySink> sink_;

    std::unique_ptr<BodySource> source_;
    std::optional<BodySource::FileSlice> file_;  // of source_, if sendfile may be used
    Framing framing_;
    std::uint64_t source_left_ = 0;  // with a length
    bool head_waits_ = false;        // the head goes out with the source's first bytes

    std::string pending_;  // to be sent before anything else: heads, and what a slow client left of a chunk
    std::size_t pending_sent_ = 0;
    std::string text_;                                // body of a plain answer,
    std::shared_ptr<const std::string> shared_text_;  // or this
    std::size_t text_sent_ = 0;

    int status_ = 0;
    std::string user_;
    std::uint64_t sent_ = 0;
    std::uint64_t framing_bytes_ = 0;  // of sent_ and pending_: not body
};

}  // namespace dtr::http
