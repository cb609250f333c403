#include "backup/backup_service.h"

#include "backup/reference_graph.h"
#include "sys/log.h"

namespace dtr::backup {
namespace {

constexpr Micros kBackupRetry = 30 * kSecond;

constexpr std::size_t kReportsMax = 64;

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
    : source_(std::move(source)), slots_("backup", running_max, kBackupRetry / kSecond) {}

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

std::optional<BackupReport> BackupService::newest() {
    MutexLock lock(mutex_);
    std::optional<BackupReport> best;
    for (const auto& [id, report] : reports_)
        if (report.finished && !report.error && (!best || report.started_at > best->started_at)) best = report;
    return best;
}

void BackupService::record(BackupReport report) {
    MutexLock lock(mutex_);
    const auto known = reports_.find(report.id);
    if (known != reports_.end()) report.started_at = known->second.started_at;
    reports_[report.id] = std::move(report);
    while (reports_.size() > kReportsMax) {
        auto oldest = reports_.begin();
        for (auto it = reports_.begin(); it != reports_.end(); ++it)
            if (it->second.started_at < oldest->second.started_at) oldest = it;
        reports_.erase(oldest);
    }
}

}  // namespace dtr::backup
