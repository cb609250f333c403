// What a request is called, in answers and in logs: what a trusted proxy in front calls it, so that one name leads through
// both logs, or else a name of our own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/random.h"
#include "http/message.h"

namespace dtr::http {

// Names that have not been before: 16 hex digits. No secret. One thread.
class RequestIds {
  public:
    explicit RequestIds(Random& random);
    void next(std::string& out);  // in the place of what it holds

  private:
    std::uint64_t state_ = 0;
};

// The one X-Request-Id, if it is 1 to 128 of A-Z a-z 0-9 . _ ~ + / = : @ and -; else empty.
std::string_view forwarded_id(const Headers& headers);

}  // namespace dtr::http
