// No damage passes: every byte flipped, every length cut, every entry dropped, repeated or swapped,
// anything appended.
#include <atomic>
#include <thread>

#include "archive/sums.h"
#include "archive/tar.h"
#include "archive/test_archive.h"
#include "test/support/sanitized.h"

namespace dtr::archive {
namespace {

using namespace test;

struct Sample {
    Keys keys;
    Header header = sample_header(keys);
    std::string bytes = build(keys, header, sample_entries(keys, header)).bytes;
};

const std::string& sample() {
    static const Sample one;
    return one.bytes;
}

// Headers, content and padding of each entry; the end blocks last.
std::vector<std::string> pieces(const std::string& bytes) {
    std::vector<std::string> out;
    StringSource source(bytes);
    TarReader tar(source);
    std::size_t start = 0;
    while (must(tar.next())) {
        char buffer[4096];
        while (must(tar.read(buffer, sizeof buffer)) != 0) {
        }
        out.push_back(bytes.substr(start, tar.offset() - start));
        start = tar.offset();
    }
    out.push_back(bytes.substr(start));
    return out;
}

std::string join(const std::vector<std::string>& all) {
    std::string out;
    for (const auto& piece : all) out += piece;
    return out;
}

// Under a sanitizer each try costs ten times as much: every n-th is tried then.
constexpr std::size_t kStep = dtr::test::kSanitized ? 11 : 1;

// Calls try_one(i) for every kStep-th i, on two threads.
template <class F>
void for_all(std::size_t count, F try_one) {
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
        for (std::size_t i = kStep * next++; i < count; i = kStep * next++) try_one(i);
    };
    std::thread other(work);
    work();
    other.join();
}

TEST(Damage, TheSampleIsSound) {
    ASSERT_TRUE(read_archive(sample()));
    EXPECT_EQ(join(pieces(sample())), sample());
    std::printf("archive of %zu bytes, %zu entries\n", sample().size(), pieces(sample()).size() - 1);
}

TEST(Damage, EveryByteFlipped) {
    std::atomic<std::size_t> tried{0}, passed{0};
    for_all(sample().size(), [&](std::size_t i) {
        std::string bytes = sample();
        for (const int mask : {1 << (i % 8), 0xff}) {
            bytes[i] = static_cast<char>(sample()[i] ^ mask);
            ++tried;
            if (!read_archive(bytes)) continue;
            ++passed;
            ADD_FAILURE() << "byte " << i << " xor " << mask << " passed";
        }
    });
    std::printf("%zu flips tried, %zu passed\n", tried.load(), passed.load());
    EXPECT_EQ(passed, 0U);
}

TEST(Damage, EveryLengthCut) {
    std::atomic<std::size_t> tried{0}, passed{0};
    for_all(sample().size(), [&](std::size_t length) {
        ++tried;
        const auto seen = read_archive(std::string_view(sample()).substr(0, length));
        if (!seen && seen.error().code == ErrorCode::corrupt &&
            (length < kTarBlock || seen.error().message.find("no seal: not a backup") != std::string::npos))
            return;
        ++passed;
        ADD_FAILURE() << "cut at " << length << (seen ? " passed" : ": " + seen.error().text());
    });
    std::printf("%zu cuts tried, %zu passed\n", tried.load(), passed.load());
}

TEST(Damage, EntriesDroppedRepeatedSwapped) {
    const auto all = pieces(sample());
    std::size_t tried = 0;
    const auto refuse = [&](const std::vector<std::string>& changed, const char* what, std::size_t i, std::size_t j) {
        ++tried;
        EXPECT_FALSE(read_archive(join(changed))) << what << ' ' << i << ' ' << j;
    };
    for (std::size_t i = 0; i < all.size(); ++i) {
        auto changed = all;
        changed.erase(changed.begin() + static_cast<std::ptrdiff_t>(i));
        refuse(changed, "dropped", i, i);
        for (std::size_t j = 0; j <= all.size(); ++j) {
            changed = all;
            changed.insert(changed.begin() + static_cast<std::ptrdiff_t>(j), all[i]);
            refuse(changed, "repeated", i, j);
        }
        for (std::size_t j = i + 1; j < all.size(); ++j) {
            changed = all;
            std::swap(changed[i], changed[j]);
            refuse(changed, "swapped", i, j);
        }
    }
    std::printf("%zu rearrangements tried\n", tried);
}

TEST(Damage, BytesAppended) {
    std::size_t tried = 0;
    for (const std::size_t size : {1U, 511U, 512U, 513U, 1024U, 1536U, 9216U}) {
        for (const char fill : {'\0', 'x'}) {
            ++tried;
            EXPECT_FALSE(read_archive(sample() + std::string(size, fill))) << size << " of " << int{fill};
        }
    }
    EXPECT_FALSE(read_archive(sample() + sample()));
    for (const auto& piece : pieces(sample())) {
        ++tried;
        EXPECT_FALSE(read_archive(sample() + piece));
        EXPECT_FALSE(read_archive(piece + sample()));
    }
    std::printf("%zu appendages tried\n", tried);
}

TEST(Damage, AnEntryOfAnotherBackupBySameSigner) {
    Keys keys;
    const Header a = sample_header(keys);
    const Entries entries = sample_entries(keys, a);
    Header b = a;
    b.backup_id = random_hex(keys.random, 16);
    b.backup_id.replace(0, 8, a.backup_id, 0, 8);
    const auto first = pieces(build(keys, a, entries).bytes);
    const auto second = pieces(build(keys, b, entries).bytes);
    ASSERT_EQ(first.size(), second.size());
    for (std::size_t i = 0; i < first.size(); ++i) {
        if (first[i] == second[i]) continue;
        auto changed = first;
        changed[i] = second[i];
        EXPECT_FALSE(read_archive(join(changed))) << i;
    }
    // The seal and its signature from one backup under the header of another.
    auto changed = first;
    for (std::size_t i = first.size() - 3; i < first.size(); ++i) changed[i] = second[i];
    EXPECT_FALSE(read_archive(join(changed)));
}

// Someone with the signing key who seals what is not so: the counts and digests must be those of
// the archive.
TEST(Damage, ASealThatLies) {
    Keys keys;
    const Header header = sample_header(keys);
    const Built built = build(keys, header, sample_entries(keys, header));
    const auto all = pieces(built.bytes);
    const std::size_t sums = all.size() - 4, seal = all.size() - 3, signature = all.size() - 2;
    const auto entry = [&](const std::string& name, const std::string& bytes) {
        return tar_header(prefix_directory(header) + name, bytes.size(), header.cut_at / kSecond) + bytes +
               std::string(tar_padding(bytes.size()), '\0');
    };
    const auto accepted = [&](const Seal& lie, const std::string& comment) {
        auto changed = all;
        const std::string json = to_json(lie);
        changed[seal] = entry("SEAL.json", json);
        changed[signature] = entry("SEAL.json.minisig", keys.signer.sign_file(json, comment));
        return read_archive(join(changed)).has_value();
    };
    const std::string comment = "dtr backup " + header.backup_id + " seal";
    const auto lies = [&](auto change) {
        Seal lie = built.seal.seal;
        change(lie);
        return !accepted(lie, comment);
    };
    EXPECT_TRUE(accepted(built.seal.seal, comment));
    EXPECT_FALSE(accepted(built.seal.seal, "dtr backup " + header.backup_id + " header"));
    EXPECT_FALSE(accepted(built.seal.seal, ""));
    EXPECT_TRUE(lies([](Seal& s) { ++s.entries; }));
    EXPECT_TRUE(lies([](Seal& s) { ++s.content_bytes; }));
    EXPECT_TRUE(lies([](Seal& s) { ++s.archive_bytes; }));
    EXPECT_TRUE(lies([](Seal& s) { ++s.sums; }));
    EXPECT_TRUE(lies([](Seal& s) { s.backup_id = std::string(32, 'a'); }));
    EXPECT_TRUE(lies([](Seal& s) { s.header_digest = std::string(64, 'a'); }));
    EXPECT_TRUE(lies([](Seal& s) { s.sums_digest = std::string(64, 'a'); }));
    EXPECT_TRUE(lies([](Seal& s) { s.parent_seal = std::string(64, 'a'); }));
    EXPECT_TRUE(lies([](Seal& s) { s.storage_id = "other"; }));
    EXPECT_TRUE(lies([](Seal& s) { s.product_version = "other"; }));
    EXPECT_TRUE(lies([](Seal& s) { ++s.schema_version; }));

    // SHA256SUMS with a line changed, and a seal that agrees with it.
    auto changed = all;
    StringSource source(all[sums]);
    TarReader tar(source);
    std::string text(must(tar.next())->size, '\0');
    must(read_full(source, text.data(), text.size()));
    text[0] = text[0] == 'a' ? 'b' : 'a';
    Seal lie = built.seal.seal;
    lie.sums_digest = Digest::of(text).hex();
    const std::string json = to_json(lie);
    changed[sums] = entry("SHA256SUMS", text);
    changed[seal] = entry("SEAL.json", json);
    changed[signature] = entry("SEAL.json.minisig", keys.signer.sign_file(json, comment));
    EXPECT_FALSE(read_archive(join(changed)));
}

// An archive sound in all but the places of its sums: `believed` are the limits its maker went by.
std::string forge(const Keys& keys, const Header& header, const Limits& believed, const Entries& entries) {
    std::string out, listed;
    SumsChain chain;
    chain.set_limits(believed);
    Seal seal;
    const auto add = [&](const std::string& name, const std::string& bytes) {
        out += tar_header(prefix_directory(header) + name, bytes.size(), header.cut_at / kSecond) + bytes;
        out.append(tar_padding(bytes.size()), '\0');
        ++seal.entries;
        seal.content_bytes += bytes.size();
        return Digest::of(bytes).hex();
    };
    const auto add_sums = [&] { chain.close(add(sums_name(chain.next()), chain.text())); };
    const auto add_noted = [&](const std::string& name, const std::string& bytes) {
        chain.note(must(parse_entry_name(name)), bytes.size(), add(name, bytes));
        if (chain.due()) add_sums();
        listed += chain.take_listed();
    };
    const std::string json = to_json(header);
    const std::string comment = "dtr backup " + header.backup_id + " ";
    add_noted("HEADER.json", json);
    add_noted("HEADER.json.minisig", keys.signer.sign_file(json, comment + "header"));
    add_noted("RESTORE.txt", "x");
    for (const auto& [name, bytes] : entries) add_noted(name, bytes);
    if (chain.pending()) add_sums();
    listed += chain.take_listed();
    seal.sums_digest = add("SHA256SUMS", listed);
    seal.backup_id = header.backup_id;
    seal.header_digest = Digest::of(json).hex();
    seal.sums = chain.next();
    seal.archive_bytes = out.size();
    seal.storage_id = header.storage_id;
    seal.product_version = header.product_version;
    seal.schema_version = header.schema_version;
    const std::string seal_json = to_json(seal);
    add("SEAL.json", seal_json);
    add("SEAL.json.minisig", keys.signer.sign_file(seal_json, comment + "seal"));
    return out + std::string(kTarEndBytes, '\0');
}

TEST(Damage, SumsComeOnlyWhereTheRulePutsThem) {
    Keys keys;
    const Header header = sample_header(keys);
    const Entries entries = sample_entries(keys, header);
    EXPECT_TRUE(read_archive(forge(keys, header, header.limits, entries)));
    for (const std::uint64_t believed : {1U, 8U, 10U, 100U}) {
        Limits limits = header.limits;
        limits.sums_entries = believed;
        const auto seen = read_archive(forge(keys, header, limits, entries));
        ASSERT_FALSE(seen) << believed;
        EXPECT_EQ(seen.error().code, ErrorCode::corrupt);
    }
}

// Claims beyond the caps are refused from the header of the entry, before its bytes are read.
TEST(Damage, ClaimsAreBounded) {
    const auto all = pieces(sample());
    const Sample fresh;
    const std::string prefix = prefix_directory(fresh.header);
    const std::int64_t mtime = fresh.header.cut_at / kSecond;
    const std::string start = all[0] + all[1];
    for (const auto& [name, size] : std::vector<std::pair<std::string, std::uint64_t>>{
             {"RESTORE.txt", kSmallEntryBytesMax + 1}, {"sums/0", 1U << 30U}, {"RESTORE.txt", kUstarSizeMax + 1}}) {
        const auto seen = read_archive(start + tar_header(prefix + name, size, mtime) + std::string(100'000, 'x'));
        ASSERT_FALSE(seen);
        EXPECT_EQ(seen.error().code, ErrorCode::corrupt);
    }
}

}  // namespace
}  // namespace dtr::archive
