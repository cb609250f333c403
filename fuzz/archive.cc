// The whole reader. The input is a tar: read as it stands, then its entries sealed again under a key of ours, so that the
// signatures stop nothing. What the writer takes the reader gives back, and no two archives mean the same.
#include "archive/tar.h"
#include "fuzz/sample.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed);

namespace dtr::fuzz {
namespace {

struct Parts {
    Entries entries;
    std::int64_t mtime_s = 0;
};

// Names keep the prefix directory.
Parts take_apart(std::string_view tar) {
    archive::StringSource source(tar);
    archive::TarReader reader(source);
    Parts out;
    while (true) {
        const auto entry = reader.next();
        if (!entry || !*entry) return out;
        std::string content;
        char buffer[4096];
        while (true) {
            const auto n = reader.read(buffer, sizeof buffer);
            if (!n) return out;
            if (*n == 0) break;
            content.append(buffer, *n);
        }
        out.mtime_s = (**entry).mtime_s;
        out.entries.emplace_back((**entry).path, std::move(content));
    }
}

std::string put_together(const Parts& parts) {
    std::string out;
    for (const auto& [name, content] : parts.entries) {
        if (name.empty() || name.size() > 100) continue;
        out += archive::tar_header(name, content.size(), parts.mtime_s) + content;
        out.append(archive::tar_padding(content.size()), '\0');
    }
    out.append(archive::kTarEndBytes, '\0');
    return out;
}

std::string mutated(std::string text, std::size_t room) {
    const std::size_t size = text.size();
    text.resize(size + room);
    text.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(text.data()), size, text.size()));
    return text;
}

bool made_by_the_writer(archive::EntryKind kind) {
    using enum archive::EntryKind;
    return kind == header || kind == header_signature || kind == restore_text || kind == sums || kind == sha256sums ||
           kind == seal || kind == seal_signature;
}

void sealed_again(const Parts& parts) {
    archive::Header header = sample_header();
    archive::SealInput seal = sample_seal();
    Entries entries;
    for (const auto& [path, content] : parts.entries) {
        const std::string text = path.substr(std::min(path.size(), path.find('/') + 1));
        const auto name = archive::parse_entry_name(text);
        if (name && name->kind == archive::EntryKind::header) {
            if (const auto parsed = archive::parse_header(content)) header = *parsed;
        } else if (name && name->kind == archive::EntryKind::seal) {
            if (const auto parsed = archive::parse_seal(content)) seal = parsed->input;
        }
        if (!name || !made_by_the_writer(name->kind)) entries.emplace_back(text, content);
    }
    header.signers = {archive::Signer{keys().signer.public_key(), 1, {}}};
    const auto bytes = write_archive(header, entries, seal);
    if (!bytes) return;
    const auto seen = read_archive(*bytes, {{keys().signer.public_key()}, {}}, 4099);
    // What only the reader looks at: that the archive begins a chain, and blobs over a limit of its own header.
    if (!seen) {
        check_reader_error(seen.error());
        FUZZ_CHECK(header.kind == archive::BackupKind::increment || header.limits != archive::Limits{});
        return;
    }
    FUZZ_CHECK(seen->header == header && seen->entries == entries && seen->seal == seal && seen->archives == 1);
    FUZZ_CHECK(must(write_archive(seen->header, seen->entries, seen->seal)) == *bytes);
}

std::size_t mutate(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
    SeededRandom random(seed);
    if (random.next() % 8 == 0) return LLVMFuzzerMutate(data, size, max_size);
    Parts parts = take_apart({reinterpret_cast<const char*>(data), size});
    auto& entries = parts.entries;
    if (entries.empty()) return LLVMFuzzerMutate(data, size, max_size);
    auto& chosen = entries[random.next() % entries.size()];
    switch (random.next() % 8) {
        case 0:
            chosen.first = mutated(chosen.first, 8);
            std::replace(chosen.first.begin(), chosen.first.end(), '\0', '0');
            break;
        case 1:
            std::swap(chosen, entries[random.next() % entries.size()]);
            break;
        case 2:
            entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(random.next() % entries.size()));
            break;
        case 3:
            entries.push_back(chosen);
            break;
        default: {
            const auto name = archive::parse_entry_name(chosen.first.substr(chosen.first.find('/') + 1));
            chosen.second = mutated(chosen.second, 64);
            if (name && name->kind == archive::EntryKind::blob_sha256)
                chosen.first =
                    chosen.first.substr(0, chosen.first.find('/') + 1) + archive::blob_name(Digest::of(chosen.second));
            break;
        }
    }
    const std::string out = put_together(parts);
    if (out.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
    std::copy(out.begin(), out.end(), data);
    return out.size();
}

}  // namespace

void one(std::string_view input) {
    if (const auto seen = read_archive(input); !seen) check_reader_error(seen.error());
    sealed_again(take_apart(input));
}

}  // namespace dtr::fuzz

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
    return dtr::fuzz::mutate(data, size, max_size, seed);
}
