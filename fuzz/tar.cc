// The tar container: what is taken, written again, is byte for byte the same.
#include "archive/tar.h"

#include <vector>

#include "fuzz/fuzz.h"

namespace dtr::fuzz {
namespace {

struct Read {
    std::string again;  // the tar that our writer would have made of the entries
    bool whole = false;
    std::uint64_t offset = 0;
};

Read read_tar(std::string_view input, std::size_t step, std::size_t buffer_size) {
    archive::StringSource source(input, step);
    archive::TarReader reader(source);
    Read out;
    std::vector<char> buffer(buffer_size);
    while (true) {
        const auto entry = reader.next();
        if (!entry) {
            FUZZ_CHECK(entry.error().code == ErrorCode::corrupt && !entry.error().message.empty());
            return out;
        }
        if (!*entry) break;
        std::string content;
        while (true) {
            const auto n = reader.read(buffer.data(), buffer.size());
            if (!n) {
                FUZZ_CHECK(n.error().code == ErrorCode::corrupt);
                return out;
            }
            if (*n == 0) break;
            content.append(buffer.data(), *n);
        }
        FUZZ_CHECK(content.size() == (**entry).size);
        const std::string header = archive::tar_header((**entry).path, (**entry).size, (**entry).mtime_s);
        FUZZ_CHECK(header.size() + content.size() + archive::tar_padding(content.size()) ==
                   archive::tar_entry_bytes((**entry).path, (**entry).size));
        out.again += header + content + std::string(archive::tar_padding(content.size()), '\0');
        FUZZ_CHECK(out.again.size() <= input.size());
    }
    out.whole = true;
    out.offset = reader.offset();
    out.again.append(archive::kTarEndBytes, '\0');
    return out;
}

}  // namespace

void one(std::string_view input) {
    const Read read = read_tar(input, std::string_view::npos, 4096);
    FUZZ_CHECK(input.starts_with(std::string_view(read.again)));
    if (read.whole) FUZZ_CHECK(read.offset == read.again.size());
    const Read torn = read_tar(input, 100, 33);
    FUZZ_CHECK(torn.again == read.again && torn.whole == read.whole);
}

}  // namespace dtr::fuzz
