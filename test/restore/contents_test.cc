// Archives that are sealed by the right signer and yet do not mean what a backup must mean: verify level 2 or 3 and
// restore refuse them, and nothing is live (disaster cases 38, 39, 40).
#include "test/restore/shared.h"

namespace dtr::test {
namespace {

using testing::HasSubstr;

// "one | other": either is said.
testing::Matcher<std::string> says(const std::string& text) {
    const std::size_t bar = text.find(" | ");
    if (bar == std::string::npos) return HasSubstr(text);
    return testing::AnyOf(HasSubstr(text.substr(0, bar)), says(text.substr(bar + 3)));
}

class Contents : public testing::Test {
  protected:
    Contents() : dir(quick_directory()) {}

    // Sound at `level` - 1, refused at `level` and above with that text, and by restore (with its own words, if given).
    void refused_from(int level, const std::string& archive, const std::string& text,
                      const std::string& by_restore = {}) {
        for (int lower = 1; lower < level; ++lower) {
            const auto sound = verify_at(lower, archive, source.options);
            EXPECT_TRUE(sound) << "level " << lower << ": " << sound.error().text();
        }
        for (int higher = level; higher <= 3; ++higher) {
            const auto verified = verify_at(higher, archive, source.options);
            ASSERT_FALSE(verified) << "level " << higher;
            EXPECT_EQ(verified.error().code, ErrorCode::corrupt) << verified.error().text();
            EXPECT_THAT(verified.error().message, says(text));
        }
        const std::string path = fmt::format("{}/{}", dir.path(), ++tried);
        const auto restored = restore_into(path, archive, source.options);
        ASSERT_FALSE(restored) << "restored";
        EXPECT_EQ(restored.error().code, ErrorCode::corrupt) << restored.error().text();
        EXPECT_THAT(restored.error().message, says(by_restore.empty() ? text : by_restore));
        EXPECT_FALSE(open_replica(path));
        EXPECT_TRUE(restore_into(path, source.archive, source.options));
    }

    const Cluster& source = cluster_one();
    TempDir dir;
    int tried = 0;
};

std::string first_line(const std::string& text) {
    return text.substr(0, text.find('\n') + 1);
}

TEST_F(Contents, TheArchiveIsSoundAtEveryLevel) {
    for (const bool resealed : {false, true}) {
        const std::string archive =
            resealed ? source.changed([](OpenArchive& open) { open.recount(); }) : source.archive;
        for (const int level : {1, 2, 3}) {
            const auto report = must(verify_at(level, archive, source.options));
            EXPECT_EQ(report.trust, archive::SignerTrust::verified);
            EXPECT_EQ(report.level, level);
            EXPECT_EQ(report.bytes, archive.size());
            EXPECT_EQ(report.rows, level == 1 ? 0U : source.state.rows());
            EXPECT_EQ(report.blobs, level == 1 ? 0U : source.state.objects.size());
            EXPECT_EQ(report.manifests, level == 3 ? source.state.tables.at("manifests").size() : 0U);
            EXPECT_EQ(report.secrets_opened, level != 1);
        }
    }
}

TEST_F(Contents, WithoutAKeySecretsStayClosed) {
    backup::RestoreOptions nobody;
    const auto report = must(verify_at(3, source.archive, nobody, false));
    EXPECT_EQ(report.trust, archive::SignerTrust::unverified);
    EXPECT_FALSE(report.secrets_opened);
    EXPECT_LT(report.rows, source.state.rows());
    EXPECT_EQ(verify_at(2, source.archive, nobody, true).error().code, ErrorCode::untrusted);
}

// --- rows ---

TEST_F(Contents, RowsThatDoNotMatchTheirFingerprint) {
    refused_from(2, source.changed([](OpenArchive& open) {
        open.edit("db/tags/", [](std::string& text) { text += first_line(text); });
    }),
                 "table tags", "tags");
    refused_from(2, source.changed([](OpenArchive& open) {
        open.edit("db/tags/", [](std::string& text) { text.erase(0, first_line(text).size()); });
    }),
                 "table tags");
    refused_from(2, source.changed([](OpenArchive& open) { open.drop("db/tags/"); }), "table tags");
    refused_from(2, source.changed([](OpenArchive& open) { open.drop("accounts/accounts/"); }), "table accounts");
}

TEST_F(Contents, FingerprintsThatAreMissing) {
    refused_from(2, source.changed([](OpenArchive& open) { open.drop("db/fingerprints.json"); }),
                 "lacks the fingerprint of table");
    refused_from(2, source.changed([](OpenArchive& open) {
        auto tables = must(archive::parse_fingerprints(open.entry("db/fingerprints.json").second));
        std::erase_if(tables, [](const auto& table) { return table.table == "tags"; });
        open.entry("db/fingerprints.json").second = archive::to_json(tables);
        open.edit("db/tags/", [](std::string& text) { text.erase(0, first_line(text).size()); });
    }),
                 "lacks the fingerprint of table tags");
    refused_from(2, source.changed([](OpenArchive& open) { open.entry("db/fingerprints.json").second = "{}"; }),
                 "fingerprints");
}

TEST_F(Contents, RowsOfTheWrongShape) {
    const auto with_row = [&](const char* table, const std::function<void(std::string&)>& change) {
        return source.changed([&](OpenArchive& open) {
            open.edit(table, [&](std::string& text) {
                std::string line = first_line(text);
                text.erase(0, line.size());
                line.pop_back();
                change(line);
                text.insert(0, line + "\n");
            });
            open.recount();
        });
    };
    refused_from(2, with_row("db/repositories/", [](std::string& line) { line += "\textra"; }),
                 "wrong number of columns");
    refused_from(2, with_row("db/repositories/", [](std::string& line) { line = line.substr(line.find('\t') + 1); }),
                 "wrong number of columns");
    refused_from(2, with_row("db/repositories/", [](std::string& line) { line.replace(0, line.find('\t'), "one"); }),
                 "id is not a number");
    refused_from(2,
                 with_row("db/repositories/",
                          [](std::string& line) { line.replace(0, line.find('\t'), "99999999999999999999"); }),
                 "id is not a number");
    refused_from(2, with_row("db/repositories/", [](std::string& line) { line.replace(0, line.find('\t'), "\\N"); }),
                 "id is null");
    refused_from(2, with_row("db/repositories/", [](std::string& line) { line += "\\q"; }), "");
    refused_from(2, with_row("db/repositories/", [](std::string& line) { line += '\xff'; }), "");
    refused_from(2, with_row("accounts/accounts/", [](std::string& line) { line += "\t"; }), "wrong number of columns");
    const auto cut =
        source.changed([](OpenArchive& open) { open.edit("db/tags/", [](std::string& text) { text.pop_back(); }); });
    refused_from(2, cut, "");
}

TEST_F(Contents, RowsThatReferToNothing) {
    // A tag of a repository that is not there: the loader's foreign keys see it.
    const std::string archive = source.changed([](OpenArchive& open) {
        open.edit("db/tags/",
                  [](std::string& text) { text += "999999\tlost\tsha256:" + std::string(64, 'a') + "\t1\n"; });
        open.recount();
    });
    const auto restored = restore_into(dir.path() + "/x", archive, source.options);
    ASSERT_FALSE(restored);
    EXPECT_EQ(restored.error().code, ErrorCode::corrupt) << restored.error().text();
    EXPECT_FALSE(open_replica(dir.path() + "/x"));
}

TEST_F(Contents, TwoRowsOfOneKey) {
    const std::string archive = source.changed([](OpenArchive& open) {
        open.edit("db/repositories/", [](std::string& text) { text += first_line(text); });
        open.recount();
    });
    const auto restored = restore_into(dir.path() + "/x", archive, source.options);
    ASSERT_FALSE(restored);
    EXPECT_EQ(restored.error().code, ErrorCode::corrupt) << restored.error().text();
}

TEST_F(Contents, CompressedPartsThatAreNot) {
    refused_from(2, source.changed([](OpenArchive& open) { open.entry("db/tags/").second = "not zstd"; }), "db/tags/");
    refused_from(2, source.changed([](OpenArchive& open) { open.entry("db/tags/").second.pop_back(); }), "db/tags/");
    refused_from(2, source.changed([](OpenArchive& open) { open.entry("config/").second += "x"; }), "config/");
    refused_from(2, source.changed([](OpenArchive& open) {  // a bomb: 200 MB in a few kB
        open.entry("db/tags/").second = archive::zstd_compress(std::string(200U << 20, 'a'));
    }),
                 "db/tags/");
}

// --- configuration and secrets ---

TEST_F(Contents, SecretsThatAreMissing) {
    refused_from(2, source.changed([](OpenArchive& open) { open.drop("secrets/config.0000"); }),
                 "lacks the secret value of");
    refused_from(2, source.changed([](OpenArchive& open) { open.drop("secrets/account_secrets"); }), "its seal says");
}

TEST_F(Contents, SecretsThatDoNotOpen) {
    refused_from(2, source.changed([](OpenArchive& open) { open.entry("secrets/config.0001").second.back() ^= 1; }),
                 "cannot open secrets/");
    refused_from(2, source.changed([](OpenArchive& open) {
        open.entry("secrets/config.0001").second = "age-encryption.org/v1\n";
    }),
                 "secrets/");
    const std::string foreign = source.changed([](OpenArchive& open) {
        const auto other = archive::AgeIdentity::generate(system_random());
        open.entry("secrets/config.0001").second = must(archive::age_encrypt("x", {other.recipient()}));
    });
    EXPECT_EQ(verify_at(2, foreign, source.options).error().code, ErrorCode::untrusted);
    EXPECT_EQ(restore_into(dir.path() + "/x", foreign, source.options).error().code, ErrorCode::untrusted);
}

TEST_F(Contents, SecretTablesThatAreUnknown) {
    refused_from(2, source.changed([&](OpenArchive& open) {
        const auto& sealed = open.entry("secrets/account_secrets").second;
        open.entries.insert(std::find_if(open.entries.begin(), open.entries.end(),
                                         [](const auto& one) { return one.first == "oci-layout"; }),
                            {"secrets/repositories.000000.copy.age", sealed});
    }),
                 "holds no known table");
}

TEST_F(Contents, ConfigurationThatIsMalformed) {
    for (const char* line : {"{}\n", "not json\n",
                             R"({"key":"../a","modified":1,"value":""})"
                             "\n",
                             R"({"key":"a","modified":1,"value":""})"})
        refused_from(2, source.changed([&](OpenArchive& open) {
            open.edit("config/", [&](std::string& text) { text += line; });
        }),
                     "configuration");
}

TEST_F(Contents, ConfigurationWithoutEnd) {
    // 70 parts of 1 MB of settings: more than is held in memory.
    const std::string archive = source.changed([](OpenArchive& open) {
        const std::string line = R"({"key":"settings/x","modified":1,"value":")" + std::string(1U << 20, 'x') + "\"}\n";
        const std::string part = archive::zstd_compress(line);
        auto after = std::find_if(open.entries.begin(), open.entries.end(),
                                  [](const auto& one) { return one.first.starts_with("db/"); });
        for (std::uint64_t n = 1; n <= 70; ++n) after = open.entries.insert(after, {archive::config_name(n), part}) + 1;
    });
    refused_from(2, archive, "more configuration than any cluster");
}

// --- blobs and inventory ---

TEST_F(Contents, ABlobThatIsNotThere) {
    const auto without_blob = [&](bool also_inventory) {
        return source.changed([&](OpenArchive& open) {
            const Digest gone = Digest::of(random_text(1, 3000));  // a layer of team/app
            open.drop("blobs/sha256/" + gone.hex());
            if (!also_inventory) return;
            open.edit("inventory/", [&](std::string& text) {
                const std::size_t at = text.find(gone.to_string());
                text.erase(at, text.find('\n', at) + 1 - at);
            });
            open.recount();
        });
    };
    refused_from(3, without_blob(false), "the inventory does not list the blobs that are in the archive");
    refused_from(3, without_blob(true), "is not in the inventory", "which is not in the archive");
}

TEST_F(Contents, AManifestThatIsNotThere) {
    const std::string archive = source.changed([&](OpenArchive& open) {
        const std::string& row = source.state.tables.at("manifests").at(0);
        const std::size_t at = row.find("sha256:");
        const std::string hex = row.substr(at + 7, 64);
        open.drop("blobs/sha256/" + hex);
    });
    refused_from(3, archive, "manifests are referenced", "the inventory does not list");
}

TEST_F(Contents, AnInventoryThatLies) {
    const auto with_inventory = [&](const std::function<void(std::string&)>& change, bool recount) {
        return source.changed([&](OpenArchive& open) {
            open.edit("inventory/", change);
            if (recount) open.recount();
        });
    };
    const auto wrong_size = [](std::string& text) {
        const std::size_t at = text.find(' ') + 1;
        text[at] = text[at] == '9' ? '8' : '9';
    };
    refused_from(2, with_inventory(wrong_size, false),
                 "the inventory does not match its description in the seal | a size other than its");
    refused_from(3, with_inventory(wrong_size, true), "the inventory does not list the blobs | a size other than its");
    refused_from(
        3, with_inventory([](std::string& text) { text += "sha256:" + std::string(64, 'f') + " 5 archive\n"; }, true),
        "the inventory does not list the blobs");
    refused_from(2, with_inventory([](std::string& text) { text.replace(text.find("archive"), 7, "elsewhere"); }, true),
                 "unknown place");
    for (const char* line : {"x\n", "sha256:aa 5 archive\n", " \n",
                             "sha256:"
                             "0000000000000000000000000000000000000000000000000000000000000000"
                             " -1 archive\n",
                             "sha256:"
                             "0000000000000000000000000000000000000000000000000000000000000000"
                             " 1archive\n"})
        refused_from(2, with_inventory([&](std::string& text) { text += line; }, true), "malformed");
    refused_from(2, with_inventory([&](std::string& text) { text.pop_back(); }, false), "ends in the middle of a line");
    refused_from(2, source.changed([](OpenArchive& open) { open.drop("inventory/"); }), "the inventory does not match");
}

TEST_F(Contents, AManifestThatNeedsWhatNobodyHolds) {
    // Its layer's link is gone from every repository, while rows, inventory and fingerprints agree with each other.
    const Digest layer = Digest::of(random_text(1, 3000));
    const std::string archive = source.changed([&](OpenArchive& open) {
        open.edit("db/repository_blobs/", [&](std::string& text) {
            std::string kept;
            for (std::size_t at = 0; at < text.size();) {
                const std::size_t end = text.find('\n', at) + 1;
                if (text.substr(at, end - at).find(layer.to_string()) == std::string::npos)
                    kept += text.substr(at, end - at);
                at = end;
            }
            text = kept;
        });
        open.recount();
    });
    EXPECT_TRUE(verify_at(2, archive, source.options));
    const auto verified = verify_at(3, archive, source.options);
    ASSERT_FALSE(verified);
    EXPECT_THAT(verified.error().message, HasSubstr("needs " + layer.to_string() + ", which no repository holds"));
}

TEST_F(Contents, ABlobThatIsNoManifestWhereOneIsNamed) {
    const std::string text = "this is not a manifest";
    const Digest digest = Digest::of(text);
    const std::string archive = source.changed([&](OpenArchive& open) {
        open.edit("db/manifests/", [&](std::string& rows) {
            // Behind the last row of the first repository's manifests would need care; the loader only wants key order.
            const std::string id = rows.substr(0, rows.find('\t'));
            rows += fmt::format("{}\t{}\tapplication/vnd.oci.image.manifest.v1+json\t\t\t\\N\t{}\t1\n", id,
                                digest.to_string(), text.size());
        });
        auto place = std::find_if(open.entries.begin(), open.entries.end(), [&](const auto& one) {
            return one.first > archive::blob_name(digest) && one.first.starts_with("blobs/");
        });
        open.entries.insert(place, {archive::blob_name(digest), text});
        open.edit("inventory/",
                  [&](std::string& rows) { rows += fmt::format("{} {} archive\n", digest.to_string(), text.size()); });
        open.recount();
    });
    EXPECT_TRUE(verify_at(2, archive, source.options));
    EXPECT_THAT(outcome(verify_at(3, archive, source.options)), HasSubstr("corrupt: manifest " + digest.to_string()));
}

// A backup with the inventory of the images says so, and is not restored as if it held them.
TEST_F(Contents, InventoryInsteadOfImages) {
    backup::BackupOptions options;
    options.images = backup::ImageChoice::inventory;
    const std::string archive = source.back_up_with(options);
    EXPECT_FALSE(open_archive(archive).has("blobs/"));
    for (const int level : {1, 2, 3}) EXPECT_TRUE(verify_at(level, archive, source.options)) << level;
    const auto restored = restore_into(dir.path() + "/x", archive, source.options);
    ASSERT_FALSE(restored);
    EXPECT_EQ(restored.error().code, ErrorCode::unsupported);
    EXPECT_THAT(restored.error().message, HasSubstr("not the images"));
}

}  // namespace
}  // namespace dtr::test
