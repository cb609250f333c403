// No damage passes verify level 1, and none leaves anything live in the target of a restore: every byte flipped, every
// length cut, entries dropped, repeated, swapped or taken from another archive, bytes appended (disaster cases 4 to 8,
// 37). The archive is a real backup of a real replica.
#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "archive/tar.h"
#include "backup/verify.h"
#include "test/support/sanitized.h"
#include "test/sweep/sample.h"

namespace dtr::test {
namespace {

// Layers of 300 bytes: headers outweigh contents, and ~60 kB can be tried exhaustively.
const Sample& small() {
    static const Sample one(300);
    return one;
}

Result<backup::VerifyReport> verify(std::string_view bytes, const archive::TrustAnchors& anchors = {}) {
    archive::StringSource source(bytes);
    return backup::verify(source, {1, anchors, {}, false});
}

// Codes that a damaged archive may be refused with; each has an exit code of its own (5, 6, 7).
bool is_refusal(ErrorCode code) {
    return code == ErrorCode::corrupt || code == ErrorCode::untrusted || code == ErrorCode::unsupported;
}

// Under a sanitizer each try costs ten times as much: every n-th is tried then.
constexpr std::size_t kStep = kSanitized ? 11 : 1;

class Verdicts {
  public:
    void note(const Result<backup::VerifyReport>& verified, const std::string& what) {
        ++tried_;
        if (!verified && verified.error().code == ErrorCode::corrupt) return;
        if (!verified && verified.error().code == ErrorCode::untrusted) ++untrusted_;
        if (!verified && verified.error().code == ErrorCode::unsupported) ++unsupported_;
        if (!verified && is_refusal(verified.error().code)) return;
        ++passed_;
        ADD_FAILURE() << what << ": " << outcome(verified);
    }
    void print(const char* what) const {
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
        std::printf("%s: %d tried, %d passed; refused as untrusted %d, unsupported %d, the rest corrupt; %.1f s\n",
                    what, tried_.load(), passed_.load(), untrusted_.load(), unsupported_.load(), seconds);
    }
    [[nodiscard]] int tried() const { return tried_; }

  private:
    std::atomic<int> tried_{0};
    std::atomic<int> passed_{0};
    std::atomic<int> untrusted_{0};
    std::atomic<int> unsupported_{0};
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

template <class F>
void for_all(std::size_t total, F try_one, std::size_t step = 1) {
    const std::size_t count = (total + step - 1) / step;
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
        for (std::size_t i = next++; i < count; i = next++) try_one(i * step);
    };
    std::jthread other(work);
    work();
}

// Header, content and padding of each entry; the end blocks last.
std::vector<std::string> pieces(const std::string& bytes) {
    std::vector<std::string> out;
    archive::StringSource source(bytes);
    archive::TarReader tar(source);
    std::size_t start = 0;
    char buffer[4096];
    while (must(tar.next())) {
        while (must(tar.read(buffer, sizeof buffer)) != 0) continue;
        out.push_back(bytes.substr(start, tar.offset() - start));
        start = tar.offset();
    }
    out.push_back(bytes.substr(start));
    return out;
}

std::string join(const std::vector<std::string>& all) {
    std::string out;
    for (const std::string& piece : all) out += piece;
    return out;
}

std::string name_of(const std::string& piece) {
    return piece.substr(37, piece.find('\0', 37) - 37).substr(0, 40);
}

TEST(CorruptionSweep, TheSampleIsSound) {
    const std::string& bytes = small().archive;
    EXPECT_TRUE(verify(bytes));
    EXPECT_TRUE(verify(bytes, small().options.anchors));
    EXPECT_EQ(join(pieces(bytes)), bytes);
    std::printf("archive of %zu bytes, %zu entries\n", bytes.size(), pieces(bytes).size() - 1);
}

TEST(CorruptionSweep, EveryByteFlipped) {
    const std::string& good = small().archive;
    Verdicts tally;
    for_all(
        good.size(),
        [&](std::size_t i) {
            std::string bytes = good;
            bytes[i] = static_cast<char>(bytes[i] ^ (1 << (i % 8)));
            tally.note(verify(bytes), fmt::format("bit {} of byte {}", i % 8, i));
        },
        kStep);
    tally.print("bytes flipped");
}

TEST(CorruptionSweep, EveryLengthCut) {
    const std::string& good = small().archive;
    Verdicts tally;
    for_all(
        good.size(),
        [&](std::size_t length) {
            const auto verified = verify(std::string_view(good).substr(0, length));
            tally.note(verified, fmt::format("cut at {}", length));
            if (length < archive::kTarBlock || verified) return;
            EXPECT_THAT(verified.error().message, testing::HasSubstr("no seal: not a backup")) << length;
            EXPECT_THAT(verified.error().message, testing::AnyOf(testing::HasSubstr("no part of it is verified"),
                                                                 testing::HasSubstr("sound up to sums/")));
        },
        kStep);
    tally.print("lengths cut");
}

TEST(CorruptionSweep, EntriesRearranged) {
    const auto all = pieces(small().archive);
    const auto foreign = pieces(small().second);  // of the same replica, and by the same signer
    Verdicts tally;
    const auto refuse = [&](const std::vector<std::string>& changed, std::string_view what, std::size_t i,
                            std::size_t j) {
        const std::string bytes = join(changed);
        if (bytes == small().archive) return;
        tally.note(verify(bytes), fmt::format("{} {} {}", what, i, j));
    };
    for_all(all.size(), [&](std::size_t i) {
        const auto at = static_cast<std::ptrdiff_t>(i);
        auto changed = all;
        changed.erase(changed.begin() + at);
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
        for (std::size_t j = 0; j + 1 < foreign.size(); ++j) {
            changed = all;
            changed[i] = foreign[j];
            refuse(changed, "foreign in place", i, j);
        }
    });
    tally.print("entries dropped, repeated, swapped, taken from another archive");
}

TEST(CorruptionSweep, SealRemovedOrOfAnotherBackup) {
    const auto all = pieces(small().archive);
    const auto foreign = pieces(small().second);
    ASSERT_EQ(all.size(), foreign.size());
    const std::size_t seal = all.size() - 3;  // SEAL.json, its signature, the end
    EXPECT_EQ(name_of(all[seal]), "SEAL.json");
    auto changed = all;
    changed.erase(changed.begin() + static_cast<std::ptrdiff_t>(seal), changed.end() - 1);
    EXPECT_THAT(outcome(verify(join(changed))), testing::HasSubstr("no seal: not a backup"));
    for (const bool with_signature : {false, true}) {
        changed = all;
        changed[seal] = foreign[seal];
        if (with_signature) changed[seal + 1] = foreign[seal + 1];
        EXPECT_EQ(verify(join(changed)).error().code, ErrorCode::corrupt);
        // The same under the directory name and time of this archive, as a forger would.
        archive::StringSource source(small().archive);
        archive::TarReader tar(source);
        const archive::TarEntry first = *must(tar.next());
        for (std::size_t i = seal; i < seal + 2; ++i) {
            archive::StringSource one(changed[i]);
            archive::TarReader piece(one);
            const archive::TarEntry entry = *must(piece.next());
            const std::string path = first.path.substr(0, 37) + entry.path.substr(37);
            changed[i].replace(0, 512, archive::tar_header(path, entry.size, first.mtime_s));
        }
        const auto verified = verify(join(changed));
        EXPECT_EQ(verified.error().code, ErrorCode::corrupt);
        EXPECT_THAT(verified.error().message, testing::HasSubstr("SEAL.json"));
    }
}

TEST(CorruptionSweep, BytesAppended) {
    const std::string& good = small().archive;
    Verdicts tally;
    for (std::size_t size = 1; size <= 3072; size += kStep)
        for (const char fill : {'\0', 'x'})
            tally.note(verify(good + std::string(size, fill)), fmt::format("{} of {}", size, int{fill}));
    tally.note(verify(good + good), "itself");
    tally.note(verify(good + small().second), "another full backup");
    for (const std::string& piece : pieces(good)) {
        tally.note(verify(good + piece), "its " + name_of(piece));
        tally.note(verify(piece + good), "before it, its " + name_of(piece));
    }
    tally.print("bytes appended");
}

// A sample of the same damage, given to restore: refused with the same codes, nothing live, and a good archive restores
// right after into the same directory.
TEST(CorruptionSweep, RestoreOfADamagedArchiveLeavesNothingLive) {
    const std::string& good = small().archive;
    const auto start = std::chrono::steady_clock::now();
    int tried = 0;
    int completed = 0;
    const TempDir shared(quick_directory());
    std::string path;
    int generation = 0;
    const auto fresh = [&] { path = fmt::format("{}/{}", shared.path(), generation++); };
    fresh();
    const auto refuse = [&](std::string_view bytes, const std::string& what) {
        ++tried;
        const auto restored = restore_into(path, bytes, small().options);
        ASSERT_FALSE(restored) << what;
        EXPECT_TRUE(is_refusal(restored.error().code)) << what << ": " << restored.error().text();
        EXPECT_NE(inspect(path, small().state), Found::live) << what;
        if (tried % 10 != 0) return;  // else the next damage meets what this one left staged
        const auto then = restore_into(path, tried % 20 == 0 ? small().second : good, small().options);
        ASSERT_TRUE(then) << what << ": " << then.error().text();
        EXPECT_EQ(inspect(path, small().state), Found::live) << what;
        std::filesystem::remove_all(path);
        fresh();
        ++completed;
    };
    for (std::size_t i = 0; i < good.size(); i += 97) {
        std::string bytes = good;
        bytes[i] = static_cast<char>(bytes[i] ^ (1 << (i % 8)));
        refuse(bytes, fmt::format("flipped {}", i));
        if (HasFatalFailure()) return;
    }
    for (std::size_t length = 0; length < good.size(); length += 499) {
        refuse(std::string_view(good).substr(0, length), fmt::format("cut at {}", length));
        if (HasFatalFailure()) return;
    }
    auto all = pieces(good);
    for (std::size_t i = 0; i + 1 < all.size(); i += 5) {
        auto changed = all;
        std::swap(changed[i], changed[i + 1]);
        refuse(join(changed), fmt::format("swapped {}", i));
        if (HasFatalFailure()) return;
    }
    refuse(good + good, "twice");
    std::printf("damaged archives restored: %d refused, %d good restores after them; %.1f s\n", tried, completed,
                std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

}  // namespace
}  // namespace dtr::test
