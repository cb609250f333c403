// A sealed archive whose signer is known, with edits: byte changes, cuts, and runs moved, doubled, dropped. No edit may
// make it another archive that its reader takes.
#include "archive/tar.h"
#include "fuzz/sample.h"

namespace dtr::fuzz {

void one(std::string_view input) {
    static const std::string good = must(write_archive(sample_header(), sample_entries(), sample_seal()));
    static const archive::TrustAnchors anchors{{keys().signer.public_key()}, {}};
    Choices choices(input);
    std::string bytes = good;
    for (int edits = 0; !choices.empty() && edits < 64 && !bytes.empty(); ++edits) {
        const unsigned kind = choices.byte() % 8U;
        const bool aligned = (kind & 1U) != 0;
        std::size_t at = choices.number() % bytes.size();
        std::size_t count = 1 + choices.byte() % 32U;
        if (aligned) {
            at -= at % archive::kTarBlock;
            count *= archive::kTarBlock;
        }
        const std::string run = bytes.substr(at, count);
        switch (kind / 2) {
            case 0: {
                const std::string_view text = choices.take(count);
                bytes.replace(at, std::min(text.size(), bytes.size() - at), text);
                break;
            }
            case 1:
                bytes.erase(at, count);
                break;
            case 2:
                bytes.insert(choices.number() % bytes.size() / archive::kTarBlock * archive::kTarBlock, run);
                break;
            default:
                bytes.resize(at);
                break;
        }
    }
    const auto seen = read_archive(bytes, anchors, 777);
    if (seen) {
        FUZZ_CHECK(bytes == good && seen->archives == 1);
    } else {
        FUZZ_CHECK(bytes != good);
        check_reader_error(seen.error());
    }
}

}  // namespace dtr::fuzz
