// Signatures and keys: no other bytes than those that signing makes pass for a signature.
#include "archive/minisign.h"

#include "fuzz/sample.h"

namespace dtr::fuzz {

void one(std::string_view input) {
    static const std::string content = "the bytes of a seal\n";
    static const std::string comment = "dtr backup aaaa seal";
    static const std::string good = keys().signer.sign_file(content, comment);
    const archive::PublicKey& key = keys().signer.public_key();

    const auto check = [&](std::string_view signature) {
        const auto said = archive::verify_file(key, content, signature);
        FUZZ_CHECK(said.has_value() == (signature == good));
        if (said) {
            FUZZ_CHECK(*said == comment);
        } else {
            FUZZ_CHECK(said.error().code == ErrorCode::corrupt || said.error().code == ErrorCode::untrusted);
        }
    };
    check(input);
    check(good);
    // Spliced into the good one.
    if (!input.empty()) {
        std::string spliced = good;
        const std::size_t at = static_cast<unsigned char>(input[0]) % good.size();
        spliced.replace(at, input.size() - 1, input.substr(1));
        check(spliced);
        spliced = good;
        spliced.insert(at, input.substr(1));
        check(spliced);
    }
    if (const auto parsed = archive::PublicKey::parse(input)) {
        FUZZ_CHECK(parsed->text() == input && parsed->key_id().size() == 16 && parsed->raw().size() == 32);
        static_cast<void>(parsed->id_is_derived());
    }
    if (const auto parsed = archive::SigningKey::parse(Secret(std::string(input))))
        FUZZ_CHECK(parsed->serialize().expose() == input);
    FUZZ_CHECK(!archive::verify_raw(key, "context", content, input));
}

}  // namespace dtr::fuzz
