// age: headers whose authentication code is right whatever they hold, streams cut and changed, key files.
#include "archive/age.h"

#include "archive/age_crypto.h"
#include "archive/foreign.h"
#include "archive/unlock.h"
#include "base/encoding.h"
#include "fuzz/sample.h"

namespace dtr::fuzz {
namespace {

const archive::AgeKeys& fitting() {
    static const archive::AgeKeys made{{keys().identity}, std::nullopt};
    return made;
}

std::string header_mac(const Secret& file_key, std::string_view header) {
    return archive::age::hmac_sha256(archive::age::hkdf_sha256(file_key, "", "header").expose(), header);
}

// A file to us with `extra` in its header, before or behind our stanza, rightly authenticated.
std::string with_header(std::string_view extra, bool before, std::string_view plain) {
    namespace age = archive::age;
    constexpr std::string_view label = "age-encryption.org/v1/X25519";
    const Secret file_key(std::string(age::kFileKeyBytes, 'k'));
    const age::X25519Key ephemeral(Secret(std::string(age::kKeyBytes, 'e')));
    const std::string share = ephemeral.public_half();
    const std::string& recipient = keys().identity.recipient().raw();
    const Secret wrap = age::hkdf_sha256(must(ephemeral.agree(recipient)), share + recipient, label);
    std::string body;
    age::ChunkCipher(wrap).seal(std::string(12, '\0'), file_key.expose(), body);
    const std::string ours = fmt::format("-> X25519 {}\n{}\n", base64_encode_raw(share), base64_encode_raw(body));
    std::string out = fmt::format("age-encryption.org/v1\n{}{}{}---", before ? extra : "", ours, before ? "" : extra);
    out += fmt::format(" {}\n", base64_encode_raw(header_mac(file_key, out)));
    const std::string nonce(16, 'n');
    std::string sealed;
    age::ChunkCipher(age::hkdf_sha256(file_key, nonce, "payload")).seal(std::string(11, '\0') + '\x01', plain, sealed);
    return out + nonce + sealed;
}

void check_error(const Error& error) {
    FUZZ_CHECK(error.code == ErrorCode::corrupt || error.code == ErrorCode::untrusted ||
               error.code == ErrorCode::exhausted);
    FUZZ_CHECK(!error.message.empty() && error.message.size() < 1000);
}

}  // namespace

void one(std::string_view input) {
    static const std::string plain = "attack at dawn";
    // As it stands.
    if (const auto opened = archive::age_decrypt(input, fitting()); !opened) check_error(opened.error());
    // As part of a header that somebody who knows the file key made.
    for (const bool before : {true, false}) {
        const auto opened = archive::age_decrypt(with_header(input, before, plain), fitting());
        if (opened) {
            FUZZ_CHECK(opened->expose() == plain);
            FUZZ_CHECK(input.empty() || (input.starts_with("-> ") && input.ends_with('\n')));
        } else {
            FUZZ_CHECK(!input.empty());
            check_error(opened.error());
        }
    }
    // As plain text, and its file changed in one byte.
    SeededRandom random(5);
    std::string file = must(archive::age_encrypt(input, {keys().identity.recipient()}, random));
    FUZZ_CHECK(file.size() == archive::age_encrypted_size(input.size(), 1));
    FUZZ_CHECK(must(archive::age_decrypt(file, fitting())).expose() == input);
    // As an archive that is an age stream, or is none.
    archive::StringSource encrypted(file, 7);
    FUZZ_CHECK(must(archive::read_all(*must(archive::open_stream(encrypted, fitting())), input.size() + 1)) == input);
    if (!input.starts_with(archive::kAgeMagic)) {
        archive::StringSource bare(input, 5);
        if (const auto opened = archive::open_stream(bare, fitting())) {
            FUZZ_CHECK(must(archive::read_all(**opened, input.size() + 1)) == input);
        } else {
            FUZZ_CHECK(!archive::recognise(input.substr(0, archive::kHeadBytes)).what.empty());
            check_error(opened.error());
        }
    }
    const std::size_t at = input.empty() ? 0 : static_cast<unsigned char>(input[0]) * file.size() / 256;
    file[at] = static_cast<char>(file[at] ^ 0x10);
    FUZZ_CHECK(!archive::age_decrypt(file, fitting()));
    FUZZ_CHECK(!archive::age_decrypt(std::string_view(file).substr(0, at), fitting()));
    // As keys.
    if (const auto recipient = archive::AgeRecipient::parse(input)) FUZZ_CHECK(recipient->text() == input);
    if (const auto identity = archive::AgeIdentity::parse(Secret(std::string(input))))
        FUZZ_CHECK(identity->text().expose() == input);
    if (const auto parsed = archive::parse_identity_file(Secret(std::string(input)))) {
        FUZZ_CHECK(!parsed->identities.empty() && parsed->identities.size() * 74 <= input.size());
        const Secret text = archive::format_identity_file(parsed->identities[0], parsed->signers);
        const auto again = must(archive::parse_identity_file(text));
        FUZZ_CHECK(again.identities[0].recipient() == parsed->identities[0].recipient());
        FUZZ_CHECK(again.signers == parsed->signers);
    }
}

}  // namespace dtr::fuzz
