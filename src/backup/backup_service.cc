#include "backup/backup_service.h"

#include <sstream>

#include "backup/reference_graph.h"
#include "sys/log.h"

namespace dtr::backup {
namespace {

constexpr Micros kBackupRetry = 30 * kSecond;

constexpr std::size_t kReportsMax = 64;

constexpr std::string_view kNewest = "backup.newest";
constexpr std::string_view kNewestVerified = "backup.verified";

// "ID STARTED_AT BYTES SEAL"; docs/formats/metadata.md.
std::string line_of(const BackupRecord& record) {
    return fmt::format("{} {} {} {}", record.id, record.started_at, record.bytes, record.seal_digest);
}

std::optional<BackupRecord> parse_line(const std::string& line) {
    std::istringstream words(line);
    BackupRecord record;
    words >> record.id >> record.started_at >> record.bytes >> record.seal_digest;
    return words ? std::optional(std::move(record)) : std::nullopt;
}

std::optional<BackupRecord> recall(meta::MetaStore& meta, std::string_view which) {
    const auto line = meta.collector().bookmark(which);
    if (line) return parse_line(*line);
    log::warn("cannot read which backup was the newest: {}", line.error().text());
    return std::nullopt;
}

BackupRecord record_of(const BackupReport& report) {
    return {report.id, report.started_at, report.bytes, report.seal_digest};
}

class ChannelSink final : public archive::ByteSink {
  public:
    ChannelSink(ByteChannel& channel, bool hashed) : channel_(channel) {
        if (hashed) hasher_.emplace();
    }
    Status write(std::string_view bytes) override {
        written_ += bytes.size();
        if (hasher_) hasher_->update(bytes);
        return channel_.write(bytes);
    }
    [[nodiscard]] std::uint64_t written() const { return written_; }
    std::string digest() { return hasher_ ? hasher_->finish().hex() : std::string(); }

  private:
    ByteChannel& channel_;
    std::optional<Hasher> hasher_;
    std::uint64_t written_ = 0;
};

}  // namespace

BackupStream::BackupStream(BackupService& service, std::unique_ptr<BackupJob> job, NamedSlots::Hold slot)
    : service_(service), slot_(std::move(slot)), id_(job->id()), bytes_total_(job->bytes_total()) {
    thread_ = std::jthread([this, held = std::move(job)]() mutable {
        run(*held);
        held.reset();
    });
}

BackupStream::~BackupStream() {
    channel_.abandon();
    thread_ = {};
}

void BackupStream::run(BackupJob& job) {
    ChannelSink sink(channel_, job.encrypted_stream());
    auto seal = job.write(sink);
    BackupReport report{
        id_, service_.source_.clock.now(), true, std::nullopt, {}, {}, sink.written(), {}, job.cluster_id()};
    if (seal) {
        report.seal_digest = seal->digest;
        report.stream_digest = sink.digest();
        report.missing = job.missing();
        if (!report.missing.digests.empty())
            log::warn("backup {} lacks {} blobs; affected: {}", id_, report.missing.digests.size(),
                      describe_sufferers(report.missing.sufferers));
        log::info("backup {} sealed: {} bytes, seal {}", id_, report.bytes, seal->digest);
        service_.record(std::move(report));
        channel_.close();
    } else {
        report.error = seal.error();
        log::error("backup {} failed: {}", id_, seal.error().text());
        service_.record(std::move(report));
        channel_.close(std::move(seal).error());
    }
}

BackupService::BackupService(BackupSource source, std::size_t running_max)
    : source_(std::move(source)),
      slots_("backup", running_max, kBackupRetry / kSecond),
      newest_(recall(source_.meta, kNewest)),
      newest_verified_(recall(source_.meta, kNewestVerified)) {}

Result<std::unique_ptr<BackupStream>> BackupService::start(BackupOptions options, std::string_view account) {
    {
        MutexLock lock(mutex_);
        if (reports_.contains(options.id))
            return fail(ErrorCode::already_exists, fmt::format("there is already a backup {}", options.id));
    }
    DTR_ASSIGN(auto slot, slots_.take(account));
    DTR_ASSIGN(auto job, BackupJob::prepare(source_, std::move(options)));
    record({job->id(), source_.clock.now(), false, std::nullopt, {}, {}, 0, {}, job->cluster_id()});
    return std::unique_ptr<BackupStream>(new BackupStream(*this, std::move(job), std::move(slot)));
}

Result<BackupReport> BackupService::report(const std::string& id) {
    MutexLock lock(mutex_);
    const auto it = reports_.find(id);
    if (it == reports_.end())
        return fail(ErrorCode::not_found, fmt::format("there is no record of backup {}", id.substr(0, 64)));
    return it->second;
}

std::optional<BackupRecord> BackupService::newest() {
    const MutexLock lock(mutex_);
    return newest_;
}

std::optional<BackupRecord> BackupService::newest_verified() {
    const MutexLock lock(mutex_);
    return newest_verified_;
}

Status BackupService::verified(const std::string& id, std::string_view seal_digest) {
    const MutexLock lock(mutex_);
    std::optional<BackupRecord> found;
    if (const auto report = reports_.find(id); report != reports_.end()) {
        if (!report->second.finished || report->second.error)
            return fail(ErrorCode::conflict, fmt::format("backup {} was not sealed", id));
        found = record_of(report->second);
    } else if (newest_ && newest_->id == id) {
        found = newest_;
    }
    if (!found) return fail(ErrorCode::not_found, fmt::format("no backup {} is remembered", id.substr(0, 64)));
    if (found->seal_digest != seal_digest)
        return fail(ErrorCode::conflict, fmt::format("backup {} has a different seal", id));
    remember(kNewestVerified, *found, newest_verified_);
    return {};
}

void BackupService::remember(std::string_view which, const BackupRecord& record, std::optional<BackupRecord>& newest) {
    if (newest && newest->started_at > record.started_at) return;
    newest = record;
    if (const Status kept = source_.meta.collector().set_bookmark(which, line_of(record)); !kept)
        log::warn("the time of the last backup will be unknown after a restart: {}", kept.error().text());
}

void BackupService::record(BackupReport report) {
    const MutexLock lock(mutex_);
    const auto known = reports_.find(report.id);
    if (known != reports_.end()) report.started_at = known->second.started_at;
    if (report.finished && !report.error) remember(kNewest, record_of(report), newest_);
    reports_[report.id] = std::move(report);
    while (reports_.size() > kReportsMax) {
        auto oldest = reports_.begin();
        for (auto it = reports_.begin(); it != reports_.end(); ++it)
            if (it->second.started_at < oldest->second.started_at) oldest = it;
        reports_.erase(oldest);
    }
}

}  // namespace dtr::backup
