// Bytes received and not yet used. Costs nothing while it is empty and released.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace dtr::http {

class Input {
  public:
    [[nodiscard]] std::string_view view() const { return std::string_view(bytes_).substr(begin_); }
    [[nodiscard]] bool empty() const { return begin_ == bytes_.size(); }
    [[nodiscard]] std::size_t size() const { return bytes_.size() - begin_; }

    void append(std::string_view more) {
        if (begin_ > 0) bytes_.erase(0, std::exchange(begin_, 0));
        bytes_.append(more);
    }
    void consume(std::size_t count) {
        begin_ += count;
        if (begin_ == bytes_.size()) {
            bytes_.clear();
            begin_ = 0;
        }
    }
    void release_if_empty() {
        if (empty()) std::string().swap(bytes_);
    }

  private:
    std::string bytes_;
    std::size_t begin_ = 0;
};

}  // namespace dtr::http
