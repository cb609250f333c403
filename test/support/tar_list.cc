// What our reader makes of a tar, for tests that hold it against other readers (test/e2e/test_tar_readers.py).
//
// Standard input: any number of tars, each after its length in four bytes, big endian. Standard output: a line for each,
// "refused <why>" or "listed" with "<name in hex>:<size>:<sha256>" for every entry. Names are those of the grammar below
// one prefix directory, as in an archive.
#include <cstdio>
#include <vector>

#include "archive/names.h"
#include "archive/tar.h"
#include "base/digest.h"
#include "base/encoding.h"

namespace dtr {
namespace {

Result<std::string> list(std::string_view tar) {
    archive::StringSource source(tar);
    archive::TarReader reader(source);
    std::string out, prefix;
    while (true) {
        DTR_ASSIGN(const auto entry, reader.next());
        if (!entry) break;
        const std::string directory = entry->path.substr(0, entry->path.find('/') + 1);
        if (!archive::is_prefix_directory(directory) || (!prefix.empty() && prefix != directory))
            return fail(ErrorCode::corrupt, "another directory");
        prefix = directory;
        DTR_TRY(archive::parse_entry_name(std::string_view(entry->path).substr(prefix.size())));
        Hasher hasher;
        char buffer[8192];
        while (true) {
            DTR_ASSIGN(const std::size_t n, reader.read(buffer, sizeof buffer));
            if (n == 0) break;
            hasher.update({buffer, n});
        }
        out += fmt::format(" {}:{}:{}", hex_encode(entry->path), entry->size, hasher.finish().hex());
    }
    DTR_ASSIGN(const bool more, reader.more());
    if (more) return fail(ErrorCode::corrupt, "something follows the end");
    return out;
}

}  // namespace
}  // namespace dtr

int main() {
    unsigned char length[4];
    std::vector<char> tar;
    while (std::fread(length, 1, sizeof length, stdin) == sizeof length) {
        tar.resize(std::size_t{length[0]} << 24U | std::size_t{length[1]} << 16U | std::size_t{length[2]} << 8U |
                   length[3]);
        if (std::fread(tar.data(), 1, tar.size(), stdin) != tar.size()) return 1;
        const auto listed = dtr::list({tar.data(), tar.size()});
        if (listed) {
            std::printf("listed%s\n", listed->c_str());
        } else {
            std::string why = listed.error().text();
            for (char& c : why)
                if (c < ' ' || c > '~') c = '?';
            std::printf("refused %s\n", why.c_str());
        }
        std::fflush(stdout);
    }
    return 0;
}
