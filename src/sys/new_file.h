// A file that the operator named, made so that it appears when it is whole, and that nobody else has a hand in it.
//
// The bytes go beside its place into a file of a name of our own, ".dtr-<16 hex digits>.part": random, made exclusively,
// 0600, locked while it is written. So two that write to one name never share bytes, nothing that lay there before - file,
// link, leftover, whoever's - is opened, and the name may be as long as the filesystem allows. commit() syncs it and takes
// the name by one rename, over whatever file has it: of two that overlap the last one wins, and each was whole.
//
// Leftovers of that form (a machine that died) which are ours, not locked and a day old are removed by the next one.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "sys/disk.h"
#include "sys/interrupt.h"

namespace dtr {

struct Place {
    enum class Kind {
        file,   // or nothing yet: to be made, or replaced
        stream  // a device or a FIFO: to be written to
    };
    Kind kind = Kind::file;
    std::string path;  // links are followed: where the file itself is, or will be
};

// What can be known of a place before any work is done. invalid: a directory, a socket, no name; not_found: no directory to
// make it in; refused: a link that leads nowhere or is somebody else's, a file that cannot be replaced.
Result<Place> look_at_place(const std::string& path);

// Not thread-safe.
class NewFile {
  public:
    // Of a Place::Kind::file. Fails if nothing can be written there; then nothing was made.
    static Result<std::unique_ptr<NewFile>> create(const std::string& path, Disk& disk = real_disk(),
                                                   Random& random = system_random());
    ~NewFile();  // without commit(): leaves nothing
    NewFile(const NewFile&) = delete;
    NewFile& operator=(const NewFile&) = delete;

    Status write(std::string_view bytes);

    // The bytes are on the disk, under no name yet. May take its time; commit() after it does not.
    Status sync();
    enum class Existing { replaced, kept };
    // Durable under its name, and looked at there. With `kept` it never replaces anything (already_exists). conflict:
    // another file took the name at once.
    Status commit(Existing existing);

    // Whole and under its name, whatever commit() had to say besides.
    [[nodiscard]] bool is_in_place() const { return in_place_; }
    // What this filesystem did not promise, a sentence each.
    [[nodiscard]] const std::vector<std::string>& caveats() const { return caveats_; }
    [[nodiscard]] std::uint64_t written() const { return written_; }

  private:
    NewFile(Disk& disk, std::string path) : disk_(disk), path_(std::move(path)) {}
    Status make(Random& random);
    Status look_at_own();
    Status take_name(Existing existing);
    Status take_free_name();
    Status check();
    void remember(std::string_view bytes);
    void remove_own() noexcept;

    Disk& disk_;
    const std::string path_;
    std::string own_;  // empty: not made yet, or renamed
    UniqueFd fd_;
    bool in_place_ = false;
    std::uint64_t written_ = 0;
    std::uint64_t written_back_ = 0;
    std::string tail_;  // the last bytes written
    std::vector<std::string> caveats_;
    std::unique_ptr<OnForcedEnd> on_forced_end_;
};

// The same of a small text.
Status write_new_file(const std::string& path, std::string_view bytes, NewFile::Existing existing,
                      Disk& disk = real_disk());

}  // namespace dtr
