#include "archive/stream.h"

namespace dtr::archive {

Result<std::size_t> read_full(ByteSource& source, char* buffer, std::size_t size) {
    std::size_t have = 0;
    while (have < size) {
        DTR_ASSIGN(const std::size_t n, source.read(buffer + have, size - have));
        if (n == 0) break;
        have += n;
    }
    return have;
}

Result<std::string> read_all(ByteSource& source, std::size_t limit) {
    std::string out;
    char buffer[16 * 1024];
    while (true) {
        DTR_ASSIGN(const std::size_t n, source.read(buffer, sizeof buffer));
        if (n == 0) return out;
        if (n > limit - out.size())
            return fail(ErrorCode::exhausted, fmt::format("more than the {} bytes allowed here", limit));
        out.append(buffer, n);
    }
}

}  // namespace dtr::archive
