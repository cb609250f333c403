// Takes the cut: everything that must come from one moment, spooled, so that the snapshot can close before the first byte
// of the archive leaves.
#pragma once

#include <string>
#include <vector>

#include "archive/documents.h"
#include "backup/backup_job.h"
#include "backup/spool.h"

namespace dtr::backup {

// An object of the cut, as stored in the spool.
struct CutObject {
    Digest digest;
    std::string generation;  // empty: a synthetic index, whose bytes are `synthetic`, or lost
    std::uint64_t size = 0;
    SpooledPart synthetic;
    bool lost = false;  // rows refer to it, and the image store has no object of it
};

struct CutSpool {
    explicit CutSpool(Spool file) : spool(std::move(file)) {}

    Spool spool;
    meta::LogPosition position;
    std::int64_t config_revision = 0;
    std::vector<SpooledPart> config;        // config/<n>.ndjson.zst
    std::vector<SpooledPart> tables;        // db/<table>/<n>.copy.zst
    std::vector<SpooledPart> accounts;      // accounts/<table>/<n>.copy.zst
    std::vector<SpooledPart> secrets;       // secrets/..., as the policy has them, ascending by name
    std::vector<SpooledPart> object_lists;  // "<digest> <generation, - if lost> <size>\n" lines, ascending by digest
    std::vector<archive::TableFingerprint> fingerprints;
    std::uint64_t rows = 0;
    std::uint64_t objects = 0;
    std::uint64_t object_bytes = 0;
    std::vector<Digest> lost;  // ascending; among the objects, too

    std::string index_json;            // of the OCI layout
    std::vector<CutObject> synthetic;  // nested indexes, ascending by digest
};

struct CutOptions {
    bool config_only = false;
    bool accounts = true;  // with their secrets and tokens
    archive::SecretPolicy secrets = archive::SecretPolicy::sealed;
    std::vector<archive::AgeRecipient> recipients;
};

// conflict if the configuration would not hold still; no_space.
Result<CutSpool> take_cut(const BackupSource& source, const CutOptions& options);

// Reads back the rows of one spooled table, part by part.
class SpooledRows {
  public:
    SpooledRows(const Spool& spool, const std::vector<SpooledPart>& parts, std::string_view table);
    Result<std::optional<meta::Cut::Row>> next();

  private:
    Status load_next_part();

    const Spool& spool_;
    std::vector<SpooledPart> parts_;
    std::size_t index_ = 0;
    std::string text_;
    std::string_view rest_;
};

// Calls back for each object of the cut, synthetic ones among them, ascending by digest.
Status each_cut_object(const CutSpool& cut, const std::function<Status(const CutObject&)>& callback);

}  // namespace dtr::backup
