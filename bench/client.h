// A small blocking HTTP/1.1 client over plain TCP for load generation: one keep-alive connection, no redirects, no TLS.
// Errors are for the person at the terminal. Not thread-safe; one object per thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace dtr::bench {

struct Target {
    std::string host;
    std::string port;
    std::string authorization;  // value of the header, or empty
};

// The head of an answer.
struct Head {
    int status = 0;
    std::uint64_t content_length = 0;
    bool chunked = false;
    bool close = false;
    std::string location;
    std::string www_authenticate;
};
// `text` ends with the empty line.
Result<Head> parse_head(std::string_view text);

// Gives the next piece of a request body; called until `length` bytes were given.
using Produce = std::function<std::string_view()>;
// Takes the next piece of an answer's body.
using Consume = std::function<void(std::string_view)>;

struct Answer {
    Head head;
    std::string body;  // empty if a Consume took it
};

class Connection {
  public:
    explicit Connection(const Target& target) : target_(target) {}

    // `path` begins with '/'. A connection that the server closed while idle is opened again, once.
    Result<Answer> request(std::string_view method, std::string_view path, std::string_view body = {},
                           std::string_view content_type = {}, const Consume& consume = {});
    Result<Answer> upload(std::string_view method, std::string_view path, std::uint64_t length, const Produce& produce);

  private:
    static constexpr std::size_t kReadBytes = 256U << 10;

    [[nodiscard]] std::string_view received() const { return {buffer_.get() + begin_, end_ - begin_}; }
    Status open();
    Status send(std::string_view bytes);
    Result<bool> fill();  // reads more into buffer_; false at the end of the stream
    std::string head_of(std::string_view method, std::string_view path, std::uint64_t length,
                        std::string_view content_type) const;
    Result<Answer> read_answer(bool no_body, const Consume& consume);
    Status read_body(const Head& head, const Consume& take);
    Status read_exactly(std::uint64_t length, const Consume& take);
    Result<std::string> read_line();

    const Target& target_;
    UniqueFd fd_;
    // [begin_, end_) was received and not yet used.
    std::unique_ptr<char[]> buffer_ = std::make_unique_for_overwrite<char[]>(kReadBytes);
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

// A blocking TCP connection without Nagle's delay.
Result<UniqueFd> dial(const Target& target);

// "http://host:port" -> Target; then, if the server asks for it, credentials: Basic, or one bearer for `repository`
// (pull and push) from the realm of the challenge, asked at this same address.
Result<Target> log_in(const std::string& url, const std::string& user, const std::string& password,
                      const std::string& repository);

}  // namespace dtr::bench
