// Random pushes, deletes, collections, backups, restores and undos against a history kept in memory: what a restore brings back is the
// history at the sealed cut, exactly.
//
//   DTR_TEST_SEED=N   replays one run
//   DTR_TEST_LONG=1   many more runs, and longer ones
#include <cstdlib>
#include <iostream>
#include <set>

#include "test/restore/shared.h"
#include "test/support/faults.h"

namespace dtr::test {
namespace {

// What a registry holds, by names alone.
struct History {
    struct Repository {
        bool is_public = false;
        std::map<std::string, std::string> tags;              // name -> digest
        std::map<std::string, std::set<std::string>> images;  // manifest digest -> digests that it needs

        friend bool operator==(const Repository&, const Repository&) = default;
    };
    std::map<std::string, Repository> repositories;
    std::set<std::string> accounts = {"admin"};
    std::map<std::string, std::string> settings;

    friend bool operator==(const History&, const History&) = default;
};

std::string describe(const History& history) {
    std::string out;
    for (const auto& [name, repository] : history.repositories) {
        out += fmt::format("{}{}:", name, repository.is_public ? " (public)" : "");
        for (const auto& [tag, digest] : repository.tags) out += fmt::format(" {}={}", tag, digest.substr(7, 8));
        for (const auto& [digest, needs] : repository.images)
            out += fmt::format(" {}[{}]", digest.substr(7, 8), needs.size());
        out += '\n';
    }
    for (const auto& account : history.accounts) out += account + ' ';
    for (const auto& [key, value] : history.settings) out += fmt::format("{}={} ", key, value);
    return out + '\n';
}

// The history that a replica tells, with every byte of it read and hashed.
History told_by(cluster::Replica& replica) {
    must(check_whole(replica));
    History out;
    std::map<std::string, std::string> names;
    const auto cut = must(replica.meta().changes().cut());
    const auto each = [&](meta::TableId table, const std::function<void(const meta::Cut::Row&)>& take) {
        must(cut->each_row(meta::table(table), [&](const meta::Cut::Row& row) -> Status {
            take(row);
            return {};
        }));
    };
    each(meta::TableId::repositories, [&](const meta::Cut::Row& row) {
        names[*row[0]] = *row[1];
        out.repositories[*row[1]].is_public = *row[3] == "1";
    });
    each(meta::TableId::manifests,
         [&](const meta::Cut::Row& row) { out.repositories[names[*row[0]]].images[*row[1]]; });
    each(meta::TableId::manifest_references,
         [&](const meta::Cut::Row& row) { out.repositories[names[*row[0]]].images[*row[1]].insert(*row[3]); });
    each(meta::TableId::tags,
         [&](const meta::Cut::Row& row) { out.repositories[names[*row[0]]].tags[*row[1]] = *row[2]; });
    out.accounts.clear();
    each(meta::TableId::accounts, [&](const meta::Cut::Row& row) { out.accounts.insert(*row[1]); });
    for (const auto& entry : must(replica.config().list("settings/")).entries)
        out.settings[entry.key] = std::string(entry.value.expose());
    return out;
}

struct Taken {
    std::string archive;
    History history;
    Logical state;
};

struct Kept {
    History history;
    Logical state;
};

class Story {
  public:
    explicit Story(std::uint64_t seed) : random_(seed), dir_(quick_directory()) {
        path_ = dir_.path() + "/0";
        must(install(path_));
        options_ = with_recovery_key(path_);
        site_.emplace(must(open_replica(path_)));
        epoch_ = site_->replica->current().epoch;
    }

    void go(int steps) {
        for (int i = 0; i < steps && !testing::Test::HasFailure(); ++i) {
            const auto dice = pick(100);
            if (dice < 73) {
                change();
            } else if (dice < 78) {
                collect();
            } else if (dice < 86) {
                back_up_now();
            } else if (dice < 90) {
                restore_anew();
            } else if (dice < 95) {
                rewind();
            } else {
                undo();
            }
        }
        expect_as_told();
    }
    void print(std::uint64_t seed) const {
        std::printf(
            "seed %llu: %d changes, %zu backups, %d restores, %d rewinds, %d undos, %d deaths, "
            "%d collections that removed %llu objects\n",
            static_cast<unsigned long long>(seed), changes_, taken_.size(), restores_, rewinds_, undos_, deaths_,
            collections_, static_cast<unsigned long long>(removed_));
    }

  private:
    std::size_t pick(std::size_t n) { return random_.next() % n; }
    std::string repository() {
        static const char* const names[] = {"base", "team/app", "team/web", "x/y/z"};
        return names[pick(std::size(names))];
    }
    std::string tag() { return fmt::format("t{}", pick(4)); }
    cluster::Replica& replica() { return *site_->replica; }

    // --- changes ---

    void change() {
        ++changes_;
        written_ = true;
        const auto what = pick(12);
        logged_ = logged_ || what != 5;
        switch (what) {
            case 0:
                return remove_tag();
            case 1:
                return remove_image();
            case 2:
                return remove_repository();
            case 3:
                return publish();
            case 4:
                return account();
            case 5:
                return setting();
            case 6:
                return retag();
            default:
                return push();
        }
    }
    void push() {
        const std::string name = repository();
        const std::string as = tag();
        std::vector<LayerSpec> layers;
        for (std::size_t i = 0; i <= pick(3); ++i) layers.push_back({pick(6), 100 + 50 * pick(4)});
        const Digest digest = must(push_image(replica(), name, as, layers));
        auto& entry = now_.repositories[name];
        auto& needs = entry.images[digest.to_string()];
        for (const LayerSpec& layer : layers) needs.insert(Digest::of(random_text(layer.seed, layer.size)).to_string());
        const std::string config =
            fmt::format(R"({{"architecture":"amd64","os":"linux","config":{{"Labels":{{"for":"{}:{}"}}}}}})", name, as);
        needs.insert(Digest::of(config).to_string());
        entry.tags[as] = digest.to_string();
    }
    // Another name for an image that is there.
    void retag() {
        auto* entry = some_repository();
        if (entry == nullptr || entry->second.images.empty()) return push();
        const std::string digest = some(entry->second.images);
        const auto stored = must(replica().registry().manifests().get(entry->first, must(Digest::parse(digest))));
        const std::string as = tag();
        EXPECT_EQ(must(push_manifest(replica(), entry->first, as, *stored.bytes)).to_string(), digest);
        entry->second.tags[as] = digest;
    }
    void remove_tag() {
        auto* entry = some_repository();
        if (entry == nullptr || entry->second.tags.empty()) return push();
        const std::string name = some(entry->second.tags);
        must(replica().meta().content().remove_tag(entry->first, name, "admin"));
        entry->second.tags.erase(name);
    }
    void remove_image() {
        auto* entry = some_repository();
        if (entry == nullptr || entry->second.images.empty()) return push();
        const std::string digest = some(entry->second.images);
        must(replica().meta().content().remove_manifest(entry->first, must(Digest::parse(digest)), "admin"));
        entry->second.images.erase(digest);
        std::erase_if(entry->second.tags, [&](const auto& item) { return item.second == digest; });
    }
    void remove_repository() {
        auto* entry = some_repository();
        if (entry == nullptr || pick(3) != 0) return push();
        const std::string name = entry->first;
        must(replica().meta().repositories().remove(name, "admin"));
        now_.repositories.erase(name);
    }
    void publish() {
        auto* entry = some_repository();
        if (entry == nullptr) return push();
        entry->second.is_public = !entry->second.is_public;
        must(replica().meta().repositories().set_visibility(
            entry->first, entry->second.is_public ? meta::Visibility::everyone : meta::Visibility::restricted,
            "admin"));
    }
    void account() {
        const std::string name = fmt::format("user{}", pick(3));
        meta::AccountStore& accounts = replica().meta().accounts();
        if (now_.accounts.erase(name) != 0) {
            must(accounts.remove(name, "admin"));
        } else {
            meta::Account made;
            made.id = random_uuid(random_);
            made.name = name;
            must(accounts.create(made, "no hash", "admin"));
            now_.accounts.insert(name);
        }
    }
    void setting() {
        const std::string key = fmt::format("settings/s{}", pick(3));
        if (now_.settings.contains(key) && pick(3) == 0) {
            must(replica().config().apply({{key, std::nullopt, false, std::nullopt}}));
            now_.settings.erase(key);
        } else {
            const std::string value = random_text(random_.next(), 5);
            must(replica().config().apply({{key, Secret(value), pick(2) == 0, std::nullopt}}));
            now_.settings[key] = value;
        }
    }
    std::pair<const std::string, History::Repository>* some_repository() {
        if (now_.repositories.empty()) return nullptr;
        auto it = now_.repositories.begin();
        std::advance(it, static_cast<std::ptrdiff_t>(pick(now_.repositories.size())));
        return &*it;
    }
    template <class Map>
    std::string some(const Map& map) {
        auto it = map.begin();
        std::advance(it, static_cast<std::ptrdiff_t>(pick(map.size())));
        return it->first;
    }

    // Without any grace: what nothing needs now is gone, but for what an undo would need.
    void collect() {
        ++collections_;
        written_ = true;
        must(replica().confirm_restore());
        registry::Settings hurried = replica().registry().settings();
        hurried.lease = 1;
        hurried.gc_grace = hurried.orphan_age = 0;
        replica().registry().apply(hurried);
        removed_ += must(replica().registry().collector().run({.all_orphans = true})).removed;
        expect_as_told();
    }

    // --- backup, restore, undo ---

    // The cut is what was there when it was prepared; changes go on while it streams.
    void back_up_now() {
        Taken taken;
        const auto job = must(backup::BackupJob::prepare(replica().backup_source(), {}));
        taken.history = now_;
        taken.state = must(logical(replica()));
        for (std::size_t i = 0; i < pick(4); ++i) change();
        archive::StringSink sink;
        must(job->write(sink));
        taken.archive = sink.take();
        taken_.push_back(std::move(taken));
        if (taken_.size() > 6) taken_.erase(taken_.begin() + static_cast<std::ptrdiff_t>(pick(6)));
    }
    void restore_anew() {
        if (taken_.empty()) return back_up_now();
        const Taken& taken = taken_[pick(taken_.size())];
        ++restores_;
        close();
        path_ = fmt::format("{}/{}", dir_.path(), ++directories_);
        epoch_ = 0;  // of what is live there: nothing
        flip(options_, taken);
        undo_.reset();
    }
    void rewind() {
        if (taken_.empty()) return back_up_now();
        const Taken& taken = taken_[pick(taken_.size())];
        ++rewinds_;
        Kept kept{now_, must(logical(replica()))};
        close();
        backup::RestoreOptions over = options_;
        over.rewind = true;
        flip(over, taken);
        undo_ = std::move(kept);
    }
    // One time in three it dies somewhere first.
    void flip(const backup::RestoreOptions& options, const Taken& taken) {
        bool done = false;
        if (pick(3) == 0) {
            ++deaths_;
            const int n = 1 + static_cast<int>(pick(200));
            (void)in_child([&] {
                const DieAtNth die(n);
                return restore_into(path_, taken.archive, options) ? 0 : 1;
            });
            const auto live = must(must(open_site(path_)).directory->current());
            done = live && live->restored_from == report_of(taken) && live->epoch != epoch_;
        }
        if (!done) must(restore_into(path_, taken.archive, options));
        now_ = taken.history;
        reopen(taken.state);
    }
    static std::string report_of(const Taken& taken) { return open_archive(taken.archive).header.backup_id; }

    void undo() {
        close();
        if (!undo_) {
            EXPECT_EQ(undo_in(path_).error().code, ErrorCode::refused);
            site_.emplace(must(open_replica(path_)));
            return;
        }
        ++undos_;
        if (logged_) {
            EXPECT_EQ(undo_in(path_).error().code, ErrorCode::refused);
        }
        site_.emplace(must(open_replica(path_)));
        Kept kept{now_, must(logical(replica()))};
        close();
        must(undo_in(path_, written_));
        std::swap(*undo_, kept);
        now_ = kept.history;
        reopen(kept.state);
    }

    void close() { site_.reset(); }
    void reopen(const Logical& expected) {
        site_.emplace(must(open_replica(path_)));
        const config::Current& current = site_->replica->current();
        EXPECT_GT(current.epoch, 1);
        epoch_ = current.epoch;
        written_ = logged_ = false;
        EXPECT_EQ(difference(expected, must(logical(replica()))), "");
        expect_as_told();
    }
    void expect_as_told() {
        const History told = told_by(replica());
        EXPECT_TRUE(told == now_) << "expected\n" << describe(now_) << "found\n" << describe(told);
    }

    SeededRandom random_;
    TempDir dir_;
    std::string path_;
    backup::RestoreOptions options_;
    std::optional<Site> site_;
    std::int64_t epoch_ = 0;
    History now_;
    std::vector<Taken> taken_;
    std::optional<Kept> undo_;
    bool written_ = false;  // since the last restore or undo
    bool logged_ = false;   // and more than a setting, which may have been made and removed without a trace
    int changes_ = 0, restores_ = 0, rewinds_ = 0, undos_ = 0, deaths_ = 0, directories_ = 0, collections_ = 0;
    std::uint64_t removed_ = 0;
};

TEST(RestoreModel, WhatComesBackIsTheHistoryAtTheCut) {
    const char* const one = std::getenv("DTR_TEST_SEED");
    const char* const long_text = std::getenv("DTR_TEST_LONG");
    const bool is_long = long_text != nullptr && std::string_view(long_text) == "1";
    const std::uint64_t first = one != nullptr ? std::strtoull(one, nullptr, 10) : 1;
    const std::uint64_t runs = one != nullptr ? 1 : is_long ? 150 : 4;
    for (std::uint64_t seed = first; seed < first + runs; ++seed) {
        SCOPED_TRACE(fmt::format("replay with DTR_TEST_SEED={}", seed));
        Story story(seed);
        story.go(is_long ? 250 : 120);
        story.print(seed);
        if (HasFailure()) FAIL() << "seed " << seed;
    }
}

}  // namespace
}  // namespace dtr::test
