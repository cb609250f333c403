// Disaster cases 38, 39 and 40 by number: bombs, blobs under false names, references that do not close. All of it sealed by
// the right signer.
#include "archive/tar.h"
#include "archive/unlock.h"
#include "test/restore/shared.h"

namespace dtr::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const Digest kLayer = Digest::of(random_text(1, 3000));  // of team/app:1, :2, :multi and team/web

class Cases : public testing::Test {
  protected:
    Cases() : dir(quick_directory()) {}

    // Refused by restore as by verify, and nothing is live.
    void expect_not_restored(const std::string& archive, const backup::RestoreOptions& options) {
        const std::string path = fmt::format("{}/{}", dir.path(), ++tried);
        const auto restored = restore_into(path, archive, options);
        ASSERT_FALSE(restored);
        EXPECT_THAT(restored.error().code, testing::AnyOf(ErrorCode::corrupt, ErrorCode::untrusted));
        EXPECT_FALSE(must(must(open_site(path)).directory->current()));
    }
    std::string refused_at(int level, const std::string& archive) {
        for (int lower = 1; lower < level; ++lower) EXPECT_TRUE(verify_at(lower, archive, source.options)) << lower;
        const auto verified = verify_at(level, archive, source.options);
        EXPECT_FALSE(verified);
        if (verified) return {};
        EXPECT_EQ(verified.error().code, ErrorCode::corrupt) << verified.error().text();
        return verified.error().message;
    }

    const Cluster& source = cluster_one();
    TempDir dir;
    int tried = 0;
};

// --- 38: bombs ---

TEST_F(Cases, Case38CompressedBombs) {
    const std::string bomb = archive::zstd_compress(std::string(200U << 20, 'x'));  // 200 MiB in some 20 kB
    ASSERT_LT(bomb.size(), 100'000U);
    for (const char* part : {"config/", "db/tags/", "accounts/accounts/", "inventory/"}) {
        const std::string archive = source.changed([&](OpenArchive& open) { open.entry(part).second = bomb; });
        EXPECT_THAT(refused_at(2, archive), HasSubstr(part));
        expect_not_restored(archive, source.options);
    }
    // The same behind encryption.
    backup::BackupOptions options;
    options.encryption = backup::EncryptionChoice::entries;
    OpenArchive open = open_archive(source.back_up_with(options));
    open.entry("db/tags/").second = must(archive::age_encrypt(bomb, {source.options.keys.identities[0].recipient()}));
    EXPECT_THAT(refused_at(2, seal_again(open, *source.signer)), HasSubstr("db/tags/"));
}

TEST_F(Cases, Case38DeepAndLargeJson) {
    const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
    for (const std::string& text : {"{\"key\":" + deep + "}\n", deep + "\n", std::string(8U << 20, '{')}) {
        const std::string archive =
            source.changed([&](OpenArchive& open) { open.entry("config/").second = archive::zstd_compress(text); });
        refused_at(2, archive);
        expect_not_restored(archive, source.options);
    }
    refused_at(2, source.changed([&](OpenArchive& open) { open.entry("db/fingerprints.json").second = deep; }));
    // A manifest that is all brackets, where rows say that there is one.
    const Digest digest = Digest::of(deep);
    const std::string archive = source.changed([&](OpenArchive& open) {
        open.edit("db/manifests/", [&](std::string& rows) {
            rows += fmt::format("9999\t{}\tapplication/vnd.oci.image.manifest.v1+json\t\t\t\\N\t{}\t1\n",
                                digest.to_string(), deep.size());
        });
        auto place = std::find_if(open.entries.begin(), open.entries.end(), [&](const auto& one) {
            return one.first > archive::blob_name(digest) && one.first.starts_with("blobs/");
        });
        open.entries.insert(place, {archive::blob_name(digest), deep});
        open.recount();
    });
    EXPECT_THAT(refused_at(3, archive), HasSubstr("manifest " + digest.to_string()));
}

// A work factor of 30 would take a terabyte: refused before any of it is computed.
TEST_F(Cases, Case38ScryptWithAFactorOfThirty) {
    backup::BackupOptions options;
    options.passphrase = Secret("a passphrase");
    OpenArchive open = open_archive(source.back_up_with(options));
    std::string& key = open.header.passphrase_key;
    const std::size_t factor = key.find(" 18\n");
    ASSERT_NE(factor, std::string::npos);
    key.replace(factor, 4, " 30\n");
    const std::string archive = seal_again(open, *source.signer);
    backup::RestoreOptions with_passphrase = source.options;
    with_passphrase.keys = {{}, Secret("a passphrase")};
    const Micros begun = system_clock().monotonic();
    const auto verified = verify_at(3, archive, with_passphrase);
    ASSERT_FALSE(verified);
    EXPECT_EQ(verified.error().code, ErrorCode::corrupt);
    EXPECT_THAT(verified.error().message, HasSubstr("work factor is 30"));
    expect_not_restored(archive, with_passphrase);
    EXPECT_LT(system_clock().monotonic() - begun, 20 * kSecond);
    // And as a stream.
    std::string stream = must(archive::age_encrypt(source.archive, Secret("a passphrase"), system_random(), 8));
    stream.replace(stream.find(" 8\n"), 3, " 30\n");
    EXPECT_EQ(verify_at(1, stream, with_passphrase).error().code, ErrorCode::corrupt);
}

// --- 39: a blob whose bytes do not hash to its name, with sums and seal that agree ---

// Puts `from` for `to` into names and sums, and makes sums, seal and signature fit again.
std::string rename_in_tar(const std::string& bytes, const std::string& from, const std::string& to,
                          const archive::SigningKey& signer) {
    archive::StringSource source(bytes);
    archive::TarReader tar(source);
    std::string out;
    std::string last_sums;
    std::map<std::string, std::string> digests;  // sums/<n> -> new sha256
    const archive::Header header = open_archive(bytes).header;
    archive::Seal seal;
    while (const auto entry = must(tar.next())) {
        std::string content(entry->size, '\0');
        for (std::size_t at = 0; at < content.size();) at += must(tar.read(content.data() + at, content.size() - at));
        char none = 0;
        EXPECT_EQ(must(tar.read(&none, 1)), 0U);
        std::string path = entry->path;
        if (const std::size_t at = path.find(from); at != std::string::npos) path.replace(at, from.size(), to);
        const std::string name = path.substr(path.find('/') + 1);
        if (name.starts_with("sums/") || name == "SHA256SUMS") {
            if (const std::size_t at = content.find(from); at != std::string::npos)
                content.replace(at, from.size(), to);
            for (const auto& [sums, digest] : digests)
                if (const std::size_t at = content.find("  " + sums + "\n"); at != std::string::npos)
                    content.replace(at - 64, 64, digest);
            if (name != "SHA256SUMS") digests[name] = Digest::of(content).hex();
            last_sums = content;
        }
        if (name == "SEAL.json") {
            seal = must(archive::parse_seal(content));
            seal.sums_digest = Digest::of(last_sums).hex();
            content = to_json(seal);
        }
        if (name == "SEAL.json.minisig")
            content = signer.sign_file(to_json(seal), fmt::format("dtr backup {} seal", header.backup_id));
        out += archive::tar_header(path, content.size(), entry->mtime_s) + content;
        out.append(archive::tar_padding(content.size()), '\0');
    }
    return out + std::string(archive::kTarEndBytes, '\0');
}

TEST_F(Cases, Case39ABlobUnderAFalseName) {
    ASSERT_EQ(rename_in_tar(source.archive, "nowhere", "nowhere", *source.signer), source.archive);
    std::vector<std::string> names;
    for (const auto& [name, content] : open_archive(source.archive).entries)
        if (name.starts_with("blobs/")) names.push_back(name);
    ASSERT_TRUE(
        std::any_of(names.begin(), names.end(), [](const auto& name) { return name.starts_with("blobs/sha512"); }));
    for (const std::string& name : names) {
        std::string other = name;
        other.back() = other.back() == '7' ? '8' : '7';
        const std::string forged = rename_in_tar(source.archive, name, other, *source.signer);
        for (const int level : {1, 2, 3}) {
            const auto verified = verify_at(level, forged, source.options);
            ASSERT_FALSE(verified) << name;
            EXPECT_EQ(verified.error().code, ErrorCode::corrupt);
            EXPECT_THAT(verified.error().message, AllOf(HasSubstr(other), HasSubstr("do not hash to its name")));
        }
        if (name == names.front()) expect_not_restored(forged, source.options);
    }
}

// --- 40: references ---

TEST_F(Cases, Case40AnAbsentBlobIsNamedWithItsTags) {
    const std::string archive = source.changed([&](OpenArchive& open) {
        open.drop("blobs/sha256/" + kLayer.hex());
        open.edit("inventory/", [&](std::string& text) {
            const std::size_t at = text.find(kLayer.to_string());
            text.erase(at, text.find('\n', at) + 1 - at);
        });
        open.recount();
    });
    EXPECT_THAT(refused_at(3, archive), AllOf(HasSubstr(kLayer.to_string()),
                                              HasSubstr("team/app:1, team/app:2, team/app:multi, team/web:_odd..tag"),
                                              Not(HasSubstr("base:"))));
    expect_not_restored(archive, source.options);
}

// Real digests cannot make a cycle; rows can claim one.
TEST_F(Cases, Case40ACycleOfIndexes) {
    const std::string archive = source.changed([&](OpenArchive& open) {
        open.edit("db/manifest_references/", [](std::string& text) {
            // The row by which the index needs an image, turned round, with a position that is free.
            for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
                std::vector<std::string> fields;
                const std::string line = text.substr(at, text.find('\n', at) - at);
                for (std::size_t from = 0; from <= line.size();) {
                    const std::size_t tab = std::min(line.find('\t', from), line.size());
                    fields.push_back(line.substr(from, tab - from));
                    from = tab + 1;
                }
                if (fields.at(4) != "1") continue;  // a reference to a manifest
                text += fmt::format("{}\t{}\t99\t{}\t1\t0\n", fields.at(0), fields.at(3), fields.at(1));
                return;
            }
            ADD_FAILURE() << "no index in the sample";
        });
        open.recount();
    });
    EXPECT_THAT(refused_at(3, archive),
                AllOf(HasSubstr("needs different blobs than its rows say"), HasSubstr("team/app:multi")));
}

TEST_F(Cases, Case40AWrongMediaTypeAndSize) {
    const auto with = [&](const std::string& from, const std::string& to) {
        return source.changed([&](OpenArchive& open) {
            open.edit("db/manifests/", [&](std::string& text) {
                const std::size_t at = text.find(from);
                ASSERT_NE(at, std::string::npos);
                text.replace(at, from.size(), to);
            });
            open.recount();
        });
    };
    const std::string message =
        refused_at(3, with("application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json"));
    EXPECT_THAT(message, AllOf(HasSubstr("its row says otherwise"), HasSubstr("team/app:multi")));

    const std::string size = fmt::format("{} 3000 ", kLayer.to_string());
    const std::string archive = source.changed([&](OpenArchive& open) {
        open.edit("inventory/", [&](std::string& text) {
            const std::size_t at = text.find(size);
            ASSERT_NE(at, std::string::npos);
            text.replace(at, size.size(), fmt::format("{} 3001 ", kLayer.to_string()));
        });
        open.recount();
    });
    EXPECT_THAT(refused_at(3, archive),
                AllOf(HasSubstr("a size other than its 3001 bytes"), HasSubstr("team/app:1, team/app:2")));
    expect_not_restored(archive, source.options);
}

}  // namespace
}  // namespace dtr::test
