// Takes an archive apart and seals it again after changes, with a key that readers trust: so that only a check of what
// the archive means can refuse it.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "archive/copy_text.h"
#include "archive/names.h"
#include "archive/reader.h"
#include "archive/writer.h"
#include "archive/zstd.h"
#include "test/support/must.h"

namespace dtr::test {

struct OpenArchive {
    archive::Header header;
    std::vector<std::pair<std::string, std::string>> entries;  // name, content; without what a writer makes by itself
    archive::SealInput seal;

    // The first entry whose name begins so.
    std::pair<std::string, std::string>& entry(std::string_view prefix) {
        for (auto& one : entries)
            if (one.first.starts_with(prefix)) return one;
        ADD_FAILURE() << "no entry " << prefix;
        throw std::runtime_error("no entry");
    }
    [[nodiscard]] bool has(std::string_view prefix) const {
        for (const auto& one : entries)
            if (one.first.starts_with(prefix)) return true;
        return false;
    }
    void drop(std::string_view prefix) {
        std::erase_if(entries, [&](const auto& one) { return one.first.starts_with(prefix); });
    }
    // Decompressed text of an entry, changed and put back.
    void edit(std::string_view prefix, const std::function<void(std::string&)>& change) {
        std::string& content = entry(prefix).second;
        std::string text = must(archive::zstd_decompress(content, 64U << 20));
        change(text);
        content = archive::zstd_compress(text);
    }
    // What a careful forger does after changing rows or the inventory.
    void recount() {
        std::vector<archive::TableFingerprint> tables =
            must(archive::parse_fingerprints(entry("db/fingerprints.json").second));
        archive::Fingerprint inventory;
        seal.inventory_entries = 0;
        for (auto& table : tables) {
            archive::Fingerprint sum;
            seal.rows -= table.rows;
            table.rows = 0;
            for (const auto& [name, content] : entries)
                if (name.starts_with("db/" + table.table + "/") || name.starts_with("accounts/" + table.table + "/"))
                    table.rows += add_lines(sum, content);
            seal.rows += table.rows;
            table.sum = sum.hex();
        }
        entry("db/fingerprints.json").second = archive::to_json(tables);
        for (const auto& [name, content] : entries)
            if (name.starts_with("inventory/")) seal.inventory_entries += add_lines(inventory, content);
        seal.inventory_sum = inventory.hex();
    }

  private:
    static std::uint64_t add_lines(archive::Fingerprint& sum, const std::string& compressed) {
        const std::string text = must(archive::zstd_decompress(compressed, 64U << 20));
        archive::CopyLines lines(text);
        std::uint64_t count = 0;
        while (const auto line = must(lines.next())) {
            sum.add(*line);
            ++count;
        }
        return count;
    }
};

inline OpenArchive open_archive(std::string_view bytes) {
    archive::StringSource source(bytes);
    const auto reader = must(archive::ArchiveReader::open(source, {}));
    OpenArchive out;
    out.header = reader->header();
    while (const auto entry = must(reader->next())) {
        std::string content = must(reader->read_entry());
        if (entry->name.kind != archive::EntryKind::restore_text)
            out.entries.emplace_back(entry->name.text, std::move(content));
    }
    out.seal = reader->seal().input;
    return out;
}

inline std::string seal_again(const OpenArchive& in, const archive::SigningKey& signer) {
    archive::StringSink sink;
    archive::ArchiveWriter writer(sink, in.header, signer);
    must(writer.begin("changed by a test\n"));
    for (const auto& [name, content] : in.entries) must(writer.add(name, content));
    must(writer.finish(in.seal));
    return sink.take();
}

}  // namespace dtr::test
