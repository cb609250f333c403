// Keys that replay, and an archive with every kind of entry.
#pragma once

#include <algorithm>
#include <vector>

#include "archive/age.h"
#include "archive/copy_text.h"
#include "archive/names.h"
#include "archive/reader.h"
#include "archive/writer.h"
#include "archive/zstd.h"
#include "fuzz/fuzz.h"

namespace dtr::fuzz {

using Entries = std::vector<std::pair<std::string, std::string>>;

struct Keys {
    SeededRandom random{7};
    archive::SigningKey signer = archive::SigningKey::generate(random);
    archive::AgeIdentity identity = archive::AgeIdentity::generate(random);
};

inline Keys& keys() {
    static Keys made;
    return made;
}

inline archive::Header sample_header() {
    archive::Header header;
    header.backup_id = std::string(32, 'a');
    header.cut_at = must(parse_rfc3339("2026-11-22T08:24:41Z"));
    header.cluster_id = "cluster-1";
    header.epoch = 3;
    header.epoch_id = std::string(32, 'b');
    header.replica_id = "replica-1";
    header.product_version = "0.1.0";
    header.schema_version = 4;
    header.metadata_store = "sqlite";
    header.config_store = "file";
    header.image_store = "fs";
    header.storage_id = "store-1";
    header.tables = {"repositories"};
    header.account_tables = {"users"};
    header.signers = {archive::Signer{keys().signer.public_key(), 1, {}}};
    header.recipients = {keys().identity.recipient().text()};
    header.limits.sums_entries = 4;
    return header;
}

inline Entries sample_entries() {
    std::string rows;
    must(archive::copy_append(rows, {{"1"}, {"team/app"}, std::nullopt}));
    const std::string part = archive::zstd_compress(rows);
    Entries out{{archive::config_name(0), archive::zstd_compress("{\"key\":\"a\",\"modified\":1,\"value\":\"x\"}\n")},
                {"db/schema.sql", "create table repositories (id bigint, name text);\n"},
                {archive::table_name("repositories", 0), part},
                {"db/fingerprints.json", archive::to_json(std::vector<archive::TableFingerprint>{})},
                {archive::account_table_name("users", 0), part},
                {archive::secret_name("token-key", archive::SecretPolicy::sealed),
                 must(archive::age_encrypt("secret", {keys().identity.recipient()}, keys().random))},
                {"oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}"},
                {"index.json", "{\"schemaVersion\":2,\"manifests\":[]}"}};
    for (const auto algorithm : {DigestAlgorithm::sha256, DigestAlgorithm::sha512}) {
        const std::string bytes = keys().random.bytes(700);
        out.emplace_back(archive::blob_name(Digest::of(bytes, algorithm)), bytes);
    }
    out.emplace_back(archive::inventory_name(0), archive::zstd_compress("inventory\n"));
    return out;
}

inline archive::SealInput sample_seal() {
    archive::SealInput input;
    input.config_revision = "12";
    input.snapshot = "snapshot 9";
    input.log_position = "77";
    input.fence_id = "fence-1";
    input.fence_live = true;
    return input;
}

// The archive of these entries; the error of the writer if it refuses one.
inline Result<std::string> write_archive(const archive::Header& header, const Entries& entries,
                                         const archive::SealInput& seal) {
    archive::StringSink sink;
    archive::ArchiveWriter writer(sink, header, keys().signer);
    DTR_TRY(writer.begin("Extract with: tar -x\n"));
    for (const auto& [name, bytes] : entries) DTR_TRY(writer.add(name, bytes));
    DTR_TRY(writer.finish(seal));
    return sink.take();
}

struct Seen {
    archive::Header header;
    Entries entries;  // without RESTORE.txt
    archive::SealInput seal;
    int archives = 0;
};

inline Result<Seen> read_archive(std::string_view bytes, const archive::TrustAnchors& anchors = {},
                                 std::size_t step = std::string_view::npos) {
    archive::StringSource source(bytes, step);
    DTR_ASSIGN(auto reader, archive::ArchiveReader::open(source, anchors));
    if (!anchors.empty()) DTR_TRY(reader->require_verified());
    Seen seen;
    seen.header = reader->header();
    while (true) {
        DTR_ASSIGN(auto entry, reader->next());
        if (entry) {
            FUZZ_CHECK(entry->size <= bytes.size());
            DTR_ASSIGN(std::string content, reader->read_entry());
            FUZZ_CHECK(content.size() == entry->size);
            if (entry->name.kind != archive::EntryKind::restore_text)
                seen.entries.emplace_back(entry->name.text, std::move(content));
            continue;
        }
        ++seen.archives;
        seen.seal = reader->seal().input;
        DTR_ASSIGN(const bool more, reader->next_archive());
        if (!more) return seen;
    }
}

inline void check_reader_error(const Error& error) {
    FUZZ_CHECK(error.code == ErrorCode::corrupt || error.code == ErrorCode::unsupported ||
               error.code == ErrorCode::untrusted || error.code == ErrorCode::exhausted);
    FUZZ_CHECK(!error.message.empty() && error.message.size() < 4000);
}

}  // namespace dtr::fuzz
