#include "sys/byte_channel.h"

#include <algorithm>
#include <cstring>

namespace dtr {

ByteChannel::ByteChannel(std::size_t capacity)
    : capacity_(std::max<std::size_t>(capacity, 1)),
      batch_(std::max<std::size_t>(capacity_ / 4, 1)),
      ring_(std::make_unique_for_overwrite<char[]>(capacity_)) {}

// Up to the end of the ring.
Result<std::size_t> ByteChannel::wait_for_room() {
    MutexLock lock(mutex_);
    if (filled_ == capacity_)
        while (!abandoned_ && capacity_ - filled_ < batch_) room_came_.wait(mutex_);
    if (abandoned_) return fail(ErrorCode::cancelled, "the reader is gone");
    return std::min(capacity_ - filled_, capacity_ - write_at_);
}

Status ByteChannel::write(std::string_view bytes) {
    while (!bytes.empty()) {
        DTR_ASSIGN(const std::size_t room, wait_for_room());
        const std::size_t n = std::min(bytes.size(), room);
        std::memcpy(&ring_[write_at_], bytes.data(), n);
        write_at_ = (write_at_ + n) % capacity_;
        bytes.remove_prefix(n);
        MutexLock lock(mutex_);
        const bool enough_before = filled_ >= batch_;
        filled_ += n;
        if (!enough_before && filled_ >= batch_) bytes_came_.notify_one();
    }
    return {};
}

void ByteChannel::close() {
    MutexLock lock(mutex_);
    closed_ = true;
    bytes_came_.notify_one();
}

void ByteChannel::close(Error error) {
    MutexLock lock(mutex_);
    closed_ = true;
    error_ = std::move(error);
    bytes_came_.notify_one();
}

// Up to the end of the ring; 0 at the end of the stream.
Result<std::size_t> ByteChannel::wait_for_bytes() {
    MutexLock lock(mutex_);
    while (filled_ < batch_ && !closed_) {
        const bool woken = bytes_came_.wait_for(mutex_, kByteChannelDelay);
        if (!woken && filled_ > 0) break;
    }
    if (filled_ == 0 && error_) return fail(*error_);
    return std::min(filled_, capacity_ - read_at_);
}

Result<std::size_t> ByteChannel::read(char* out, std::size_t size) {
    DTR_ASSIGN(const std::size_t there, wait_for_bytes());
    const std::size_t n = std::min(size, there);
    if (n == 0) return n;
    std::memcpy(out, &ring_[read_at_], n);
    read_at_ = (read_at_ + n) % capacity_;
    MutexLock lock(mutex_);
    const bool enough_before = capacity_ - filled_ >= batch_;
    filled_ -= n;
    if (!enough_before && capacity_ - filled_ >= batch_) room_came_.notify_one();
    return n;
}

void ByteChannel::abandon() {
    MutexLock lock(mutex_);
    abandoned_ = true;
    room_came_.notify_one();
}

}  // namespace dtr
