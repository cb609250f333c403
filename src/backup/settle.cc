#include "backup/settle.h"

#include "base/fault.h"
#include "meta/schema.h"
#include "sys/log.h"

namespace dtr::backup {
namespace {

constexpr std::size_t kListed = 1000;

// Every object and unfinished upload that the database of a generation knows, referred to or not.
Status remove_contents(blob::BlobStore& blobs, meta::MetaStore& meta) {
    DTR_ASSIGN(const auto cut, meta.changes().cut());
    const auto remove = [&](const meta::Cut::Row& row) -> Status {
        DTR_ASSIGN(const Digest digest, Digest::parse(*row[0]));
        return blobs.remove({digest, *row[1]});
    };
    for (const meta::TableId table : {meta::TableId::blobs, meta::TableId::removals})
        DTR_TRY(cut->each_row(meta::table(table), remove));
    return cut->each_row(meta::table(meta::TableId::uploads),
                         [&](const meta::Cut::Row& row) { return blobs.discard(*row[0]); });
}

// Objects first: without the rows nobody would know whose they are.
Status retire(config::DataDirectory& directory, const StoreOpeners& openers, const std::string& generation) {
    // A folder that is gone, or going, has had its objects removed.
    if (directory.missing_of(generation).empty()) {
        DTR_ASSIGN(const auto blobs, openers.blobs(directory.registry_path()));
        const auto meta = openers.metadata(directory.metadata_path(generation));
        if (meta) {
            DTR_TRY(remove_contents(*blobs, **meta));
        } else {
            log::warn("the rows of the old undo state cannot be read, so its objects are kept: {}",
                      meta.error().text());
        }
    }
    DTR_TRY(fault_point("restore.retired"));
    return directory.remove_generation(generation);
}

Status remove_objects(blob::BlobStore& blobs, const std::string& generation) {
    std::string cursor;
    do {
        DTR_ASSIGN(const auto page, blobs.list(cursor, kListed));
        for (const blob::ObjectId& id : page.objects)
            if (id.generation == generation) DTR_TRY(blobs.remove(id));
        cursor = page.next;
    } while (!cursor.empty());
    return {};
}

}  // namespace

Status finish_flip(config::DataDirectory& directory, const StoreOpeners& openers) {
    DTR_ASSIGN(const auto staged, directory.staging());
    DTR_ASSIGN(const auto live, directory.current());
    if (!staged || !live || staged->generation != live->generation) return {};
    DTR_TRY(directory.take_over(*staged));
    const std::string& retired = staged->retired_generation;
    if (!retired.empty() && retired != live->generation && retired != live->undo_generation)
        DTR_TRY(retire(directory, openers, retired));
    return directory.end_staging(config::DataDirectory::Staged::keep);
}

Result<bool> discard_staged(config::DataDirectory& directory, const StoreOpeners& openers, Disk& disk) {
    DTR_TRY(finish_flip(directory, openers));
    DTR_ASSIGN(const auto staged, directory.staging());
    if (!staged) return false;
    DTR_ASSIGN(const auto live, directory.current());
    if (!live) {
        // Whatever is in the image store was staged too. The note of it goes last: without it nobody would know whose
        // these are.
        DTR_TRY(remove_tree(disk, directory.registry_path() + "/blobs"));
        DTR_TRY(remove_tree(disk, directory.registry_path() + "/uploads"));
        DTR_TRY(directory.end_staging(config::DataDirectory::Staged::discard));
        return true;
    }
    if (staged->purpose == "restore" && !staged->object_generation.empty()) {
        DTR_ASSIGN(const auto blobs, openers.blobs(directory.registry_path()));
        DTR_TRY(discard_uploads(*blobs, staged->object_generation));
        DTR_TRY(remove_objects(*blobs, staged->object_generation));
    }
    const bool is_ours = staged->purpose == "restore" || staged->purpose == "install";
    DTR_TRY(
        directory.end_staging(is_ours ? config::DataDirectory::Staged::discard : config::DataDirectory::Staged::keep));
    return true;
}

Status discard_uploads(blob::BlobStore& blobs, const std::string& object_generation) {
    DTR_ASSIGN(const auto uploads, blobs.list_uploads());
    for (const auto& [upload, written_at] : uploads)
        if (upload.starts_with(object_generation)) DTR_TRY(blobs.discard(upload));
    return {};
}

}  // namespace dtr::backup
