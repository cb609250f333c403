// A rehearsal says what a restore would do, fails as it would, and changes nothing.
#include "backup/dry_run.h"

#include "backup/settle.h"
#include "test/restore/shared.h"

namespace dtr::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::UnorderedElementsAre;

Result<backup::DryRunReport> rehearse(const std::string& path, std::string_view archive,
                                      const backup::RestoreOptions& options) {
    archive::StringSource source(archive);
    if (!exists(real_disk(), path)) {
        const auto openers = embedded_stores();
        return backup::dry_run(source, nullptr, openers, options, real_disk());
    }
    DTR_ASSIGN(Site site, open_site(path));
    return backup::dry_run(source, site.directory.get(), *site.openers, options, real_disk());
}

// Names and bytes of every file below a directory; what SQLite has in its log counts for the database.
std::map<std::string, std::string> tree(const std::string& path) {
    std::map<std::string, std::string> out;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
        const std::string name = entry.path().string();
        const bool file = entry.is_regular_file() && !entry.is_symlink();
        out[name] = file ? must(read_file(real_disk(), name, 1U << 30)) : std::string("(folder or link)");
    }
    return out;
}

class DryRun : public testing::Test {
  protected:
    DryRun() : dir(quick_directory()), path(dir.path() + "/d") {
        options = source.options;
        options.rewind = true;
    }
    void go_live_and_on() {
        copy_directory(source.dir.path(), path);
        const Site site = must(open_replica(path));
        must(push_image(*site, "team/later", "1", {{71, 2000}}));
        must(push_image(*site, "team/app", "2", {{72, 500}}));  // moves the tag
        must(site->meta().content().remove_tag("team/app", "1", "admin"));
        must(site->meta().repositories().remove("base", "admin"));
        must(site->accounts().create_user({"bob", "", Secret(kUserPassword), false}, "admin"));
        must(site->accounts().remove("alice", "admin"));
        must(site->config().apply({{"settings/motd", Secret("later"), false, std::nullopt},
                                   {"settings/new", Secret("x"), false, std::nullopt},
                                   {"settings/binary", std::nullopt, false, std::nullopt}}));
    }
    const Cluster& source = cluster_one();
    TempDir dir;
    std::string path;
    backup::RestoreOptions options;
};

TEST_F(DryRun, WithoutAnyDirectory) {
    const auto report = must(rehearse(path, source.archive, source.options));
    EXPECT_FALSE(exists(real_disk(), path));
    EXPECT_FALSE(report.over_live);
    EXPECT_EQ(report.epoch, 2);
    EXPECT_EQ(report.verified.level, 3);
    EXPECT_TRUE(report.verified.secrets_opened);
    EXPECT_EQ(report.repositories.added, source.state.tables.at("repositories").size());
    EXPECT_EQ(report.tags.added, source.state.tables.at("tags").size());
    EXPECT_EQ(report.manifests.added, source.state.tables.at("manifests").size());
    EXPECT_EQ(report.accounts.added, 2U);
    EXPECT_EQ(report.settings.added, source.state.config.size());
    EXPECT_EQ(report.tags.same + report.tags.removed + report.tags.changed, 0U);
}

TEST_F(DryRun, OverTheSameStateNothingChanges) {
    copy_directory(source.dir.path(), path);
    const auto report = must(rehearse(path, source.archive, options));
    EXPECT_TRUE(report.over_live);
    for (const backup::Changes* one :
         {&report.repositories, &report.tags, &report.manifests, &report.accounts, &report.settings}) {
        EXPECT_EQ(one->added + one->removed + one->changed, 0U);
        EXPECT_THAT(one->named, ElementsAre());
    }
    EXPECT_EQ(report.tags.same, source.state.tables.at("tags").size());
}

TEST_F(DryRun, NamesWhatWouldChange) {
    go_live_and_on();
    const auto before = tree(path);
    const auto report = must(rehearse(path, source.archive, options));
    EXPECT_EQ(tree(path), before);
    EXPECT_THAT(report.repositories.named, UnorderedElementsAre("+ base", "- team/later"));
    EXPECT_THAT(report.tags.named,
                UnorderedElementsAre("+ team/app:1", "+ base:latest", "~ team/app:2", "- team/later:1"));
    EXPECT_THAT(report.accounts.named, UnorderedElementsAre("+ alice", "- bob"));
    EXPECT_THAT(report.settings.named, IsSupersetOf({"~ settings/motd", "- settings/new", "+ settings/binary"}));
    EXPECT_EQ(report.manifests.added, 1U);    // of base; team/app:1 is in its index
    EXPECT_EQ(report.manifests.removed, 2U);  // of team/later, and the newer team/app:2
    EXPECT_EQ(report.epoch, 2);
    for (const std::string& line : report.settings.named) EXPECT_THAT(line, testing::Not(HasSubstr("later")));
    // And it is so.
    const auto now = must(logical(*must(open_replica(path))));
    must(restore_into(path, source.archive, options));
    const auto after = must(logical(*must(open_replica(path))));
    EXPECT_EQ(after.tables.at("tags").size(), now.tables.at("tags").size() + report.tags.added - report.tags.removed);
    EXPECT_EQ(after.tables.at("manifests").size(),
              now.tables.at("manifests").size() + report.manifests.added - report.manifests.removed);
}

TEST_F(DryRun, ListsAreBounded) {
    copy_directory(source.dir.path(), path);
    {
        const Site site = must(open_replica(path));
        for (int i = 0; i < 150; ++i)
            must(site->meta().repositories().create(fmt::format("many/r{}", i), meta::Visibility::restricted, "admin"));
    }
    const auto report = must(rehearse(path, source.archive, options));
    EXPECT_EQ(report.repositories.removed, 150U);
    EXPECT_EQ(report.repositories.named.size(), backup::Changes::kNamedMax);
}

// As the restore would, in kind and words.
TEST_F(DryRun, FailsAsTheRestoreWould) {
    go_live_and_on();
    struct Case {
        std::string name;
        std::string archive;
        backup::RestoreOptions options;
    };
    std::vector<Case> cases;
    cases.push_back({"no --rewind", source.archive, source.options});
    cases.push_back({"cut", source.archive.substr(0, source.archive.size() / 2), options});
    cases.push_back({"nothing", "", options});
    cases.push_back({"no anchor", source.archive, {}});
    cases.back().options.rewind = true;
    cases.push_back({"wrong identity", source.archive, options});
    cases.back().options.keys.identities = {archive::AgeIdentity::generate(system_random())};
    cases.push_back({"no room", source.archive, options});
    cases.back().options.archive_bytes = std::uint64_t{1} << 60;
    backup::BackupOptions config_only;
    config_only.config_only = true;
    cases.push_back({"configuration", source.back_up_with(config_only), options});
    cases.push_back({"newer schema", source.changed([](OpenArchive& open) {
                         open.header.schema_version = meta::kSchemaVersion + 1;
                         open.header.product_version = "9.9.9";
                     }),
                     options});
    cases.push_back({"a row too few", source.changed([](OpenArchive& open) {
                         open.edit("db/tags/", [](std::string& text) { text.erase(0, text.find('\n') + 1); });
                     }),
                     options});
    std::string flipped = source.archive;
    flipped[flipped.size() / 2] = static_cast<char>(flipped[flipped.size() / 2] ^ 1);
    cases.push_back({"a bit flipped", flipped, options});
    for (const Case& one : cases) {
        const auto rehearsed = rehearse(path, one.archive, one.options);
        const auto restored = restore_into(path, one.archive, one.options);
        ASSERT_FALSE(restored) << one.name;
        ASSERT_FALSE(rehearsed) << one.name;
        EXPECT_EQ(rehearsed.error().code, restored.error().code) << one.name << ": " << rehearsed.error().text();
        const Site site = must(open_site(path));
        must(backup::discard_staged(*site.directory, *site.openers, real_disk()));
    }
}

TEST_F(DryRun, WithoutSecretsAndOfTheConfiguration) {
    go_live_and_on();
    backup::RestoreOptions bare;
    bare.rewind = bare.without_secrets = true;
    bare.anchors = source.options.anchors;
    const auto report = must(rehearse(path, source.archive, bare));
    EXPECT_FALSE(report.verified.secrets_opened);
    EXPECT_EQ(report.repositories.added, 1U);
    options.config_only = true;
    const auto config = must(rehearse(path, source.archive, options));
    EXPECT_THAT(config.settings.named, testing::Contains("~ settings/motd"));
}

TEST_F(DryRun, BesideARunningRegistryIsRefused) {
    go_live_and_on();
    const Site running = must(open_replica(path));
    EXPECT_THAT(rehearse(path, source.archive, options).error().message, HasSubstr("another process is using"));
}

}  // namespace
}  // namespace dtr::test
