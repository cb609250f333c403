#include "backup/stream_threads.h"

namespace dtr::backup {
namespace {

constexpr std::size_t kPieceBytes = 256U << 10;

// From one to the other, to the end of `source`.
template <class Source, class Sink>
Status pump(Source& source, Sink& sink) {
    std::string piece(kPieceBytes, '\0');
    while (true) {
        DTR_ASSIGN(const std::size_t got, source.read(piece.data(), piece.size()));
        if (got == 0) return {};
        DTR_TRY(sink.write(std::string_view(piece).substr(0, got)));
    }
}

}  // namespace

ReadAhead::ReadAhead(archive::ByteSource& source)
    : thread_([this, &source] {
          if (auto pumped = pump(source, channel_); !pumped)
              channel_.close(std::move(pumped).error());
          else
              channel_.close();
      }) {}

ReadAhead::~ReadAhead() {
    channel_.abandon();
}

WriteBehind::WriteBehind(archive::ByteSink& sink)
    : thread_([this, &sink] {
          written_ = pump(channel_, sink);
          if (!written_) channel_.abandon();
      }) {}

WriteBehind::~WriteBehind() {
    channel_.close(Error{ErrorCode::cancelled, "the stream was abandoned", {}});
}

Status WriteBehind::join() {
    if (thread_.joinable()) thread_.join();
    return written_;
}

Status WriteBehind::write(std::string_view bytes) {
    if (channel_.write(bytes)) return {};
    return join();
}

Status WriteBehind::finish() {
    channel_.close();
    return join();
}

}  // namespace dtr::backup
