// A restore over live data, the way back, and what is kept for it.
#include <set>

#include "backup/settle.h"
#include "test/restore/shared.h"
#include "test/support/faults.h"

namespace dtr::test {
namespace {

using testing::HasSubstr;

// A copy of the source cluster that has gone on: something pushed, something deleted, an account, a setting.
class Rewind : public testing::Test {
  protected:
    Rewind() : dir(quick_directory()), path(dir.path() + "/live") {
        copy_directory(source.dir.path(), path);
        const Site site = must(open_replica(path));
        must(push_image(*site, "team/later", "1", {{71, 2000}, {72, 50}}));
        must(site->meta().content().remove_tag("team/app", "1", "admin"));
        must(site->meta().repositories().remove("base", "admin"));
        must(site->accounts().create_user({"bob", "", Secret(kUserPassword), false}, "admin"));
        must(site->config().apply({{"settings/motd", Secret("later"), false, std::nullopt}}));
        before = must(logical(*site));
        options = source.options;
        options.rewind = true;
    }

    void serves(const Logical& expected) {
        const Site site = must(open_replica(path));
        EXPECT_EQ(difference(expected, must(logical(*site))), "");
        must(check_whole(*site));
    }
    // Every object in the image store, and the unfinished uploads.
    std::uint64_t stored() {
        const Site site = must(open_site(path));
        const auto blobs = must(site.openers->blobs(site.directory->registry_path()));
        std::uint64_t count = must(blobs->list_uploads()).size();
        std::string cursor;
        do {
            const auto page = must(blobs->list(cursor, 1000));
            count += page.objects.size();
            cursor = page.next;
        } while (!cursor.empty());
        return count;
    }
    config::Current current() { return must(must(open_site(path)).directory->current()).value(); }
    std::set<std::string> generations(const char* folder) {
        std::set<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator(path + '/' + folder))
            if (entry.is_directory()) names.insert(entry.path().filename().string());
        return names;
    }
    std::string file(const std::string& name) {
        const auto text = read_file(real_disk(), path + '/' + name);
        return text ? *text : std::string("(none)");
    }
    // Ends before its flip, with most of the archive read.
    void interrupt(std::string_view archive) {
        EXPECT_EQ(restore_into(path, archive.substr(0, archive.size() - 2000), options).error().code,
                  ErrorCode::corrupt);
        EXPECT_TRUE(must(open_site(path)).directory->staging()->has_value());
    }

    const Cluster& source = cluster_one();
    TempDir dir;
    std::string path;
    Logical before;
    backup::RestoreOptions options;
};

TEST_F(Rewind, WithoutTheFlagItIsRefusedAndNamed) {
    const std::uint64_t objects = stored();
    const auto restored = restore_into(path, source.archive, source.options);
    EXPECT_EQ(restored.error().code, ErrorCode::refused);
    EXPECT_THAT(restored.error().text(), HasSubstr("holds the live data of replica"));
    EXPECT_THAT(restored.error().text(), HasSubstr("--rewind"));
    EXPECT_EQ(stored(), objects);
    serves(before);
}

TEST_F(Rewind, GivesTheStateOfTheCutAndKeepsTheOneBefore) {
    const config::Current old = current();
    const std::uint64_t objects = stored();
    const auto report = must(restore_into(path, source.archive, options));
    EXPECT_TRUE(report.undo_kept);
    EXPECT_EQ(report.left_behind, 4U);  // manifest, configuration, two layers
    EXPECT_GT(report.left_behind_bytes, 2050U);
    serves(source.state);
    const config::Current now = current();
    EXPECT_EQ(now.undo_generation, old.generation);
    EXPECT_EQ(now.epoch, 2);
    EXPECT_NE(now.cluster_id, old.cluster_id);
    EXPECT_NE(now.replica_id, old.replica_id);
    EXPECT_EQ(stored(), objects + source.state.objects.size());
    EXPECT_FALSE(must(open_site(path)).directory->staging()->has_value());
    const Site site = must(open_replica(path));
    EXPECT_EQ(must(site->config().get(backup::kCollectorHeldKey)).value.expose(),
              "restored from backup " + report.backup_id);
    // It is the same image store.
    EXPECT_EQ(must(backup::load_seal_keys(site->config())).image_store_id,
              must(backup::load_seal_keys(must(open_replica(source.dir.path()))->config())).image_store_id);
    EXPECT_TRUE(log_in(*site, "alice", kUserPassword));
    EXPECT_FALSE(log_in(*site, "bob", kUserPassword));
    must(push_image(*site, "team/new", "1", {{90, 100}}));
}

TEST_F(Rewind, UndoGivesBackExactlyWhatWas) {
    std::string bearer;
    {
        const Site site = must(open_replica(path));
        bearer = must(site->tokens().issue(must(log_in(*site, "admin", kAdminPassword)), {})).token.expose();
    }
    const config::Current old = current();
    const auto restored = must(restore_into(path, source.archive, options));
    { const Site site = must(open_replica(path)); }  // a start writes certificates and keys: those are no writes
    const auto report = must(undo_in(path));
    EXPECT_EQ(report.undone, restored.backup_id);
    EXPECT_EQ(report.epoch, 3);
    serves(before);
    const config::Current now = current();
    EXPECT_EQ(now.generation, old.generation);
    EXPECT_NE(now.undo_generation, "");
    EXPECT_NE(now.replica_id, old.replica_id);
    const Site site = must(open_replica(path));
    const meta::Epoch epoch = must(site->meta().epoch());
    EXPECT_EQ(epoch.number, 3);
    EXPECT_EQ(now.cluster_id, epoch.cluster_id);
    EXPECT_NE(epoch.cluster_id, old.cluster_id);
    EXPECT_EQ(epoch.parent_cluster_id, old.cluster_id);
    EXPECT_EQ(site->tokens().verify(bearer).error().code, ErrorCode::unauthenticated);
    EXPECT_THAT(std::string(must(site->config().get(backup::kCollectorHeldKey)).value.expose()),
                HasSubstr(restored.backup_id + " was undone"));
    const auto keys = must(backup::load_seal_keys(site->config()));
    ASSERT_EQ(keys.chain.size(), 2U);
    EXPECT_EQ(keys.chain[1].epoch, 3U);
    EXPECT_NE(keys.signer.public_key(), source.signer->public_key());
    EXPECT_TRUE(verify_at(3, must(back_up(*site)), source.options));
    EXPECT_TRUE(log_in(*site, "bob", kUserPassword));
}

TEST_F(Rewind, UndoOfAnUndo) {
    must(restore_into(path, source.archive, options));
    for (int round = 3; round <= 6; ++round) {
        EXPECT_EQ(must(undo_in(path)).epoch, round);
        serves(round % 2 == 1 ? before : source.state);
    }
}

TEST_F(Rewind, UndoRefusesToLoseWrites) {
    must(restore_into(path, source.archive, options));
    const auto refuses = [&](const char* why) {
        const auto undone = undo_in(path);
        ASSERT_FALSE(undone);
        EXPECT_EQ(undone.error().code, ErrorCode::refused);
        EXPECT_THAT(undone.error().text(), HasSubstr(why));
        EXPECT_THAT(undone.error().text(), HasSubstr("--rewind"));
    };
    must(must(open_replica(path))->config().apply({{"settings/motd", Secret("mine"), false, std::nullopt}}));
    refuses("the setting settings/motd was changed");
    must(undo_in(path, true));
    must(undo_in(path));
    must(must(open_replica(path))->config().apply({{"settings/motd", std::nullopt, false, std::nullopt}}));
    refuses("a setting was removed");
    must(push_image(*must(open_replica(path)), "team/new", "1", {{90, 100}}));
    refuses("repositories or accounts were changed");
    const Logical written = must(logical(*must(open_replica(path))));
    must(undo_in(path, true));
    serves(before);
    // And what was written is the next undo state. Nothing was written since.
    must(undo_in(path));
    serves(written);
    must(must(open_replica(path))->accounts().create_user({"carol", "", Secret(kUserPassword), false}, "admin"));
    refuses("repositories or accounts were changed");
}

TEST_F(Rewind, NothingToUndo) {
    const auto undone = undo_in(path);
    EXPECT_EQ(undone.error().code, ErrorCode::refused);
    EXPECT_THAT(undone.error().message, HasSubstr("there is nothing to undo"));
    serves(before);
    EXPECT_EQ(undo_in(dir.path() + "/none").error().code, ErrorCode::refused);
    const Site running = must(open_replica(path));
    EXPECT_THAT(undo_in(path).error().message, HasSubstr("another process is using"));
}

// The undo state that is replaced goes, with its objects, and only after the flip.
TEST_F(Rewind, ASecondOneRetiresTheOlderUndoState) {
    must(restore_into(path, source.archive, options));
    Logical first;
    {
        const Site site = must(open_replica(path));
        must(push_image(*site, "team/between", "1", {{91, 700}}));
        first = must(logical(*site));
    }
    const std::string oldest = current().undo_generation;
    must(restore_into(path, source.archive, options));
    EXPECT_EQ(stored(), first.objects.size() + source.state.objects.size());
    EXPECT_EQ(generations("metadata"), (std::set<std::string>{current().generation, current().undo_generation}));
    EXPECT_EQ(generations("config"), generations("metadata"));
    EXPECT_EQ(generations("ca"), generations("metadata"));
    EXPECT_NE(current().undo_generation, oldest);
    must(undo_in(path));
    serves(first);
}

TEST_F(Rewind, TheUndoStateCanBeForgotten) {
    must(restore_into(path, source.archive, options));
    {
        const Site site = must(open_site(path));
        EXPECT_TRUE(must(backup::forget_undo(*site.directory, *site.openers)));
        EXPECT_FALSE(must(backup::forget_undo(*site.directory, *site.openers)));
    }
    EXPECT_EQ(stored(), source.state.objects.size());
    EXPECT_EQ(generations("metadata"), std::set<std::string>{current().generation});
    EXPECT_THAT(undo_in(path).error().message, HasSubstr("there is nothing to undo"));
    serves(source.state);
}

// --- epochs ---

TEST_F(Rewind, Case31AnOlderBackupOverANewerSystem) {
    for (int epoch = 2; epoch <= 4; ++epoch) EXPECT_EQ(must(restore_into(path, source.archive, options)).epoch, epoch);
    std::string archive;
    {
        const Site site = must(open_replica(path));
        const auto keys = must(backup::load_seal_keys(site->config()));
        ASSERT_EQ(keys.chain.size(), 2U);  // the archive's, and its successor of this epoch
        EXPECT_EQ(keys.chain.back().epoch, 4U);
        archive = must(back_up(*site));
    }
    EXPECT_TRUE(verify_at(3, archive, source.options));
    // A backup of a higher epoch over a system of a lower one.
    const std::string other = dir.path() + "/other";
    must(install(other));
    backup::RestoreOptions over = source.options;
    over.rewind = true;
    EXPECT_EQ(must(restore_into(other, archive, over)).epoch, 5);
}

// --- interrupted ---

TEST_F(Rewind, Case02AnInterruptedOneLeavesTheOldServing) {
    {
        const Site site = must(open_site(path));
        must(make_directories(real_disk(), site.directory->config_path("g-0000beef")));
    }
    interrupt(source.archive);
    std::string backup_id;
    {
        const Site site = must(open_replica(path));
        backup_id = site->staged_restore();
        EXPECT_EQ(backup_id.size(), 32U);
        EXPECT_EQ(difference(before, must(logical(*site))), "");
        must(push_image(*site, "team/meanwhile", "1", {{92, 300}}));
        before = must(logical(*site));
    }
    EXPECT_THAT(undo_in(path).error().text(), HasSubstr("--discard-staged"));
    const auto again = must(restore_into(path, source.archive, options));
    EXPECT_EQ(again.backup_id, backup_id);
    EXPECT_GT(again.blobs_reused, again.blobs / 2);
    serves(source.state);
    EXPECT_EQ(must(open_replica(path))->staged_restore(), "");
    must(undo_in(path));
    serves(before);
}

TEST_F(Rewind, AStagedOneIsGivenUpForAnother) {
    const std::uint64_t objects = stored();
    interrupt(source.archive);
    EXPECT_GT(stored(), objects);
    const std::string second = source.back_up_with({});
    EXPECT_EQ(must(restore_into(path, second, options)).blobs_reused, 0U);
    EXPECT_EQ(stored(), objects + source.state.objects.size());
    EXPECT_EQ(generations("metadata").size(), 2U);
    serves(source.state);
}

TEST_F(Rewind, AStagedOneIsDiscardedWhenAsked) {
    const std::uint64_t objects = stored();
    interrupt(source.archive);
    {
        const Site site = must(open_site(path));
        EXPECT_TRUE(must(backup::discard_staged(*site.directory, *site.openers, real_disk())));
        EXPECT_FALSE(must(backup::discard_staged(*site.directory, *site.openers, real_disk())));
    }
    EXPECT_EQ(stored(), objects);
    EXPECT_EQ(generations("config"), std::set<std::string>{current().generation});
    serves(before);
}

TEST_F(Rewind, UploadsOfTheLiveSystemGoOn) {
    const std::string layer = random_text(99, 4000);
    std::string id;
    {
        const Site site = must(open_replica(path));
        const auto begun = must(site->registry().uploads().begin({"team/app", "", "admin"})).id;
        const auto session = must(site->registry().uploads().open("team/app", begun));
        must(session->append(std::string_view(layer).substr(0, 1500)));
        must(session->suspend());
        id = session->id();
    }
    interrupt(source.archive);
    must(restore_into(path, source.back_up_with({}), options));
    EXPECT_EQ(must(open_replica(path))->registry().uploads().status("team/app", id).error().code, ErrorCode::not_found);
    must(undo_in(path));
    const Site site = must(open_replica(path));
    const auto session = must(site->registry().uploads().open("team/app", id));
    must(session->append(std::string_view(layer).substr(1500)));
    must(session->finish(Digest::of(layer), "admin"));
}

// What no live row names is either kept for a reason, or nobody's: the collector asks before it removes any.
TEST_F(Rewind, WhatNoLiveRowNamesIsKnownToBeKept) {
    const auto nobodys = [&](std::size_t* kept) -> Result<std::size_t> {
        const Site site = must(open_replica(path));
        std::vector<meta::Object> unnamed;
        std::string cursor;
        do {
            const auto page = must(site->backup_source().blobs.list(cursor, 1000));
            for (const blob::ObjectId& id : page.objects) {
                const auto live = site->meta().content().find_object(id.digest);
                if (!live || live->generation != id.generation) unnamed.push_back({id.digest, id.generation, 0});
            }
            cursor = page.next;
        } while (!cursor.empty());
        DTR_ASSIGN(const auto left, site->collector_guards().not_kept(unnamed));
        *kept = unnamed.size() - left.size();
        return left.size();
    };
    const std::uint64_t recorded = stored();  // also of what was deleted, and is not collected yet
    std::size_t kept = 0;
    EXPECT_EQ(must(nobodys(&kept)), 0U);
    EXPECT_EQ(kept, 0U);
    interrupt(source.archive);
    EXPECT_EQ(must(nobodys(&kept)), 0U);
    EXPECT_GT(kept, 0U);
    must(restore_into(path, source.archive, options));
    EXPECT_EQ(must(nobodys(&kept)), 0U);
    EXPECT_EQ(kept, recorded);
    must(undo_in(path));
    EXPECT_EQ(must(nobodys(&kept)), 0U);
    EXPECT_EQ(kept, source.state.objects.size());
    {
        const Site site = must(open_site(path));
        const auto blobs = must(site.openers->blobs(site.directory->registry_path()));
        must(blobs->put({Digest::of("stray"), "00112233aabbccdd"}, "stray"));
    }
    EXPECT_EQ(must(nobodys(&kept)), 1U);
    // A folder of the undo state that is not mounted is not an empty one.
    const std::string metadata = path + "/metadata/" + current().undo_generation;
    std::filesystem::rename(metadata, dir.path() + "/aside");
    EXPECT_EQ(nobodys(&kept).error().code, ErrorCode::refused);
    EXPECT_FALSE(exists(real_disk(), metadata));
}

// --- what is handed out ---

TEST_F(Rewind, WithoutSecretsTheOldRecoveryKeyIsKept) {
    const std::string old_key = file("recovery-key");
    backup::RestoreOptions bare;
    bare.rewind = bare.without_secrets = true;
    bare.anchors = source.options.anchors;
    // Not before the flip.
    EXPECT_FALSE(restore_into(path, source.archive.substr(0, source.archive.size() - 600), bare));
    EXPECT_EQ(file("recovery-key"), old_key);
    must(restore_into(path, source.archive, bare));
    const std::string new_key = file("recovery-key");
    EXPECT_NE(new_key, old_key);
    EXPECT_EQ(file("config/recovery-key." + current().undo_generation), old_key);
    {
        const Site site = must(open_replica(path));
        EXPECT_TRUE(log_in(*site, "admin", file("admin-password")));
        EXPECT_TRUE(verify_at(3, must(back_up(*site)), with_recovery_key(path)));
    }
    must(undo_in(path));
    EXPECT_EQ(file("recovery-key"), old_key);
    EXPECT_EQ(file("admin-password"), "(none)");
    EXPECT_EQ(file("config/recovery-key." + current().undo_generation), new_key);
    EXPECT_TRUE(verify_at(3, must(back_up(*must(open_replica(path)))), source.options));
    must(undo_in(path));
    EXPECT_EQ(file("recovery-key"), new_key);
    EXPECT_NE(file("admin-password"), "(none)");
    EXPECT_TRUE(log_in(*must(open_replica(path)), "admin", file("admin-password")));
}

// The recovery key that is there would not open the next backup.
TEST_F(Rewind, ABackupOfAnotherClusterSetsTheKeyAside) {
    const std::string other = dir.path() + "/other";
    must(install(other));
    const auto mine = must(read_file(real_disk(), other + "/recovery-key"));
    path = other;
    must(restore_into(path, source.archive, options));
    EXPECT_EQ(file("recovery-key"), "(none)");
    serves(source.state);
    must(undo_in(path));
    EXPECT_EQ(file("recovery-key"), mine);
    {
        const Site site = must(open_site(path));
        EXPECT_TRUE(must(backup::forget_undo(*site.directory, *site.openers)));
    }
    EXPECT_EQ(file("recovery-key"), mine);
}

// --- over what is broken ---

TEST_F(Rewind, OverADatabaseThatIsDamaged) {
    const std::string database = path + "/metadata/" + current().generation + "/dtr.sqlite";
    for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(database + suffix);
    must(write_file(real_disk(), database, std::string(50'000, 'x')));
    ASSERT_FALSE(open_replica(path));
    const auto report = must(restore_into(path, source.archive, options));
    EXPECT_EQ(report.left_behind, 0U);
    serves(source.state);
    EXPECT_FALSE(undo_in(path));
    serves(source.state);
    must(restore_into(path, source.archive, options));  // retires what cannot be read
    serves(source.state);
}

TEST_F(Rewind, OverFoldersThatAreNotMountedItIsRefused) {
    for (const char* folder : {"ca", "metadata", "registry"}) {
        std::filesystem::rename(path + '/' + folder, dir.path() + "/aside");
        must(make_directories(real_disk(), path + '/' + folder));
        const auto restored = restore_into(path, source.archive, options);
        EXPECT_EQ(restored.error().code, ErrorCode::refused);
        EXPECT_THAT(restored.error().message, HasSubstr(std::string(folder) + "/"));
        std::filesystem::remove_all(path + '/' + folder);
        std::filesystem::rename(dir.path() + "/aside", path + '/' + folder);
    }
    serves(before);
}

TEST_F(Rewind, OfTheConfigurationOnly) {
    options.config_only = true;
    must(restore_into(path, source.archive, options));
    {
        const Site site = must(open_replica(path));
        EXPECT_EQ(must(logical(*site)).config, source.state.config);
        EXPECT_TRUE(must(logical(*site)).objects.empty());
        EXPECT_TRUE(log_in(*site, "admin", file("admin-password")));
    }
    must(undo_in(path));
    serves(before);
}

TEST_F(Rewind, Case12NoRoomIsSaidBeforeAnythingIsStaged) {
    options.archive_bytes = std::uint64_t{1} << 60;
    const auto restored = restore_into(path, source.archive, options);
    EXPECT_EQ(restored.error().code, ErrorCode::no_space);
    EXPECT_FALSE(must(open_site(path)).directory->staging()->has_value());
    serves(before);
}

}  // namespace
}  // namespace dtr::test
