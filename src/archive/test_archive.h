// A small archive with every kind of entry, for tests.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "archive/age.h"
#include "archive/copy_text.h"
#include "archive/names.h"
#include "archive/reader.h"
#include "archive/writer.h"
#include "archive/zstd.h"

namespace dtr::archive::test {

template <class T>
T must(Result<T> result) {
    if (!result) {
        ADD_FAILURE() << result.error().text();
        throw std::runtime_error(result.error().text());
    }
    return std::move(*result);
}
inline void must(Status status) {
    if (!status) {
        ADD_FAILURE() << status.error().text();
        throw std::runtime_error(status.error().text());
    }
}

struct Keys {
    SeededRandom random{7};
    SigningKey signer = SigningKey::generate(random);
    AgeIdentity recovery = AgeIdentity::generate(random);
};

inline Header sample_header(Keys& keys) {
    Header header;
    header.backup_id = random_hex(keys.random, 16);
    header.cut_at = must(parse_rfc3339("2026-11-22T08:24:41Z"));
    header.cluster_id = "cluster-1";
    header.epoch = 3;
    header.epoch_id = random_hex(keys.random, 16);
    header.replica_id = "replica-1";
    header.product_version = "0.1.0";
    header.schema_version = 4;
    header.metadata_store = "sqlite";
    header.config_store = "file";
    header.image_store = "fs";
    header.storage_id = "store-1";
    header.tables = {"repositories", "manifests"};
    header.account_tables = {"users"};
    header.signers = {Signer{keys.signer.public_key(), 1, {}}};
    header.recipients = {keys.recovery.recipient().text()};
    header.limits.sums_entries = 9;
    return header;
}

using Entries = std::vector<std::pair<std::string, std::string>>;

inline Entries sample_entries(Keys& keys, const Header& header) {
    Entries out;
    const auto add = [&](std::string name, std::string bytes) { out.emplace_back(std::move(name), std::move(bytes)); };
    add(config_name(0), zstd_compress("{\"key\":\"a\",\"value\":1}\n"));
    add(config_name(1), zstd_compress("{\"key\":\"b\",\"value\":\"secrets/token-key\"}\n"));
    add("db/schema.sql", "create table repositories (id bigint, name text);\n");
    std::string rows;
    must(copy_append(rows, {{"1"}, {"team/app"}, std::nullopt}));
    add(table_name("repositories", 0), zstd_compress(rows));
    add(table_name("repositories", 1), zstd_compress(rows + rows));
    add(table_name("manifests", 0), zstd_compress(rows));
    if (header.kind == BackupKind::increment) add(changes_name(0), zstd_compress("{\"change\":1}\n"));
    add("db/fingerprints.json", to_json(std::vector<TableFingerprint>{{"repositories", 3, Fingerprint().hex()}}));
    add(account_table_name("users", 0), zstd_compress(rows));
    if (header.secrets != SecretPolicy::omitted) {
        for (const auto* name : {"password-hashes", "token-key"}) {
            const std::string secret = std::string("CANARY-") + name;
            add(secret_name(name, header.secrets),
                header.secrets == SecretPolicy::sealed
                    ? must(age_encrypt(secret, {keys.recovery.recipient()}, keys.random))
                    : secret);
        }
    }
    add("oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
    add("index.json", "{\"schemaVersion\":2,\"manifests\":[]}");
    for (const auto algorithm : {DigestAlgorithm::sha256, DigestAlgorithm::sha512}) {
        Entries blobs;
        for (const std::size_t size : {0U, 300U, 512U, 1400U}) {
            std::string bytes = keys.random.bytes(size);
            blobs.emplace_back(blob_name(Digest::of(bytes, algorithm)), bytes);
            if (algorithm == DigestAlgorithm::sha512 && size == 300U) break;
        }
        std::sort(blobs.begin(), blobs.end());
        out.insert(out.end(), blobs.begin(), blobs.end());
    }
    add(inventory_name(0), zstd_compress("inventory"));
    return out;
}

struct Built {
    std::string bytes;
    WrittenSeal seal;
};

inline SealInput sample_seal() {
    SealInput input;
    input.config_revision = "12";
    input.snapshot = "snapshot 9";
    input.log_epoch = 3;
    input.log_position = "77";
    input.fence_id = "fence-1";
    input.fence_live = true;
    input.rows = 5;
    input.duration = 1234;
    return input;
}

inline Built build(const Keys& keys, const Header& header, const Entries& entries) {
    StringSink sink;
    ArchiveWriter writer(sink, header, keys.signer);
    must(writer.begin("Extract with: tar -x\n"));
    for (const auto& [name, bytes] : entries) must(writer.add(name, bytes));
    WrittenSeal seal = must(writer.finish(sample_seal()));
    EXPECT_EQ(writer.bytes_written(), sink.bytes().size());
    return {sink.take(), std::move(seal)};
}

struct Seen {
    Entries entries;
    int archives = 0;
    std::string checkpoint;
};

// Reads everything; the error if there was one.
inline Result<Seen> read_archive(std::string_view bytes, const TrustAnchors& anchors = {},
                                 std::size_t step = std::string_view::npos) {
    StringSource source(bytes, step);
    DTR_ASSIGN(auto reader, ArchiveReader::open(source, anchors));
    Seen seen;
    while (true) {
        DTR_ASSIGN(auto entry, reader->next());
        if (entry) {
            DTR_ASSIGN(std::string content, reader->read_entry());
            seen.entries.emplace_back(entry->name.text, std::move(content));
            continue;
        }
        ++seen.archives;
        seen.checkpoint = reader->checkpoint();
        DTR_ASSIGN(const bool more, reader->next_archive());
        if (!more) return seen;
    }
}

// A directory that goes away, and shell commands run in it.
class Shell {
  public:
    Shell() {
        std::string name = (std::filesystem::temp_directory_path() / "dtr-archive-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
        dir_ = name;
    }
    ~Shell() {
        std::error_code ignored;
        std::filesystem::remove_all(dir_, ignored);
    }
    Shell(const Shell&) = delete;
    Shell& operator=(const Shell&) = delete;

    // Standard output and error together; the exit status in status().
    std::string run(const std::string& command) {
        const std::string all = "cd '" + dir_.string() + "' && ( " + command + " ) 2>&1";
        std::FILE* pipe = popen(all.c_str(), "r");
        std::string out;
        char buffer[4096];
        while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, pipe)) out.append(buffer, n);
        const int result = pclose(pipe);
        status_ = WIFEXITED(result) ? WEXITSTATUS(result) : -1;
        return out;
    }
    [[nodiscard]] int status() const { return status_; }
    [[nodiscard]] const std::filesystem::path& dir() const { return dir_; }
    void write(const std::string& name, std::string_view bytes) const {
        std::ofstream(dir_ / name, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    }
    [[nodiscard]] std::string read(const std::string& name) const {
        std::ostringstream out;
        out << std::ifstream(dir_ / name, std::ios::binary).rdbuf();
        return out.str();
    }

  private:
    std::filesystem::path dir_;
    int status_ = 0;
};

}  // namespace dtr::archive::test
