#include "sys/byte_channel.h"

#include <algorithm>
#include <cstring>

namespace dtr {

Status ByteChannel::write(std::string_view bytes) {
    while (!bytes.empty()) {
        MutexLock lock(mutex_);
        while (bytes_.size() - begin_ >= capacity_ && !abandoned_) changed_.wait(mutex_);
        if (abandoned_) return fail(ErrorCode::cancelled, "the reader is gone");
        if (begin_ > 0 && begin_ == bytes_.size()) {
            bytes_.clear();
            begin_ = 0;
        } else if (begin_ >= capacity_) {
            bytes_.erase(0, begin_);
            begin_ = 0;
        }
        const std::size_t n = std::min(bytes.size(), capacity_ - (bytes_.size() - begin_));
        bytes_.append(bytes.substr(0, n));
        bytes.remove_prefix(n);
        changed_.notify_all();
    }
    return {};
}

void ByteChannel::close() {
    MutexLock lock(mutex_);
    closed_ = true;
    changed_.notify_all();
}

void ByteChannel::close(Error error) {
    MutexLock lock(mutex_);
    closed_ = true;
    error_ = std::move(error);
    changed_.notify_all();
}

Result<std::size_t> ByteChannel::read(char* out, std::size_t size) {
    MutexLock lock(mutex_);
    while (begin_ == bytes_.size() && !closed_) changed_.wait(mutex_);
    if (begin_ == bytes_.size()) {
        if (error_) return fail(*error_);
        return std::size_t{0};
    }
    const std::size_t n = std::min(size, bytes_.size() - begin_);
    std::memcpy(out, bytes_.data() + begin_, n);
    begin_ += n;
    changed_.notify_all();
    return n;
}

void ByteChannel::abandon() {
    MutexLock lock(mutex_);
    abandoned_ = true;
    changed_.notify_all();
}

}  // namespace dtr
