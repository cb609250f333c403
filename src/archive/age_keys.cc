// Keys of age and the files that hold them.
#include <algorithm>

#include "archive/age.h"
#include "archive/age_crypto.h"
#include "base/check.h"

namespace dtr::archive {
namespace {

constexpr std::string_view kRecipientHrp = "age";
constexpr std::string_view kIdentityHrp = "AGE-SECRET-KEY-";
constexpr std::string_view kSignerComment = "# dtr-signer: ";
constexpr std::size_t kIdentityFileMax = 64 * 1024;

}  // namespace

Result<AgeRecipient> AgeRecipient::parse(std::string_view text) {
    auto raw = age::bech32_decode(kRecipientHrp, text);
    if (!raw || raw->size() != age::kKeyBytes)
        return fail(ErrorCode::invalid, fmt::format("\"{}\" is not an age recipient", text.substr(0, 100)),
                    "a recipient starts with age1 and has 62 characters; age-keygen -y prints it");
    AgeRecipient out;
    out.key_ = *raw;
    return out;
}

std::string AgeRecipient::text() const {
    return age::bech32_encode(kRecipientHrp, key_);
}

AgeIdentity AgeIdentity::generate(Random& random) {
    AgeIdentity out;
    out.key_ = Secret(random.bytes(age::kKeyBytes));
    out.recipient_.key_ = age::X25519Key(out.key_).public_half();
    return out;
}

Result<AgeIdentity> AgeIdentity::parse(const Secret& text) {
    auto raw = age::bech32_decode(kIdentityHrp, text.expose());
    if (!raw || raw->size() != age::kKeyBytes)
        return fail(ErrorCode::invalid, "a line is not an age identity", "an identity starts with AGE-SECRET-KEY-1");
    AgeIdentity out;
    out.key_ = Secret(std::move(*raw));
    out.recipient_.key_ = age::X25519Key(out.key_).public_half();
    return out;
}

Secret AgeIdentity::text() const {
    return Secret(age::bech32_encode(kIdentityHrp, key_.expose()));
}

Result<IdentityFile> parse_identity_file(const Secret& text) {
    std::string_view rest = text.expose();
    if (rest.size() > kIdentityFileMax) return fail(ErrorCode::invalid, "the key file is larger than 64 KiB");
    IdentityFile out;
    for (std::size_t number = 1; !rest.empty(); ++number) {
        const std::size_t end = std::min(rest.find('\n'), rest.size());
        std::string_view line = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.starts_with(kSignerComment)) out.signers.emplace_back(line.substr(kSignerComment.size()));
        if (line.empty() || line.starts_with('#')) continue;
        auto identity = AgeIdentity::parse(Secret(std::string(line)));
        if (!identity) return fail(identity.error().in(fmt::format("line {} of the key file", number)));
        out.identities.push_back(std::move(*identity));
    }
    if (out.identities.empty())
        return fail(ErrorCode::invalid, "the key file holds no identity",
                    "it needs a line that starts with AGE-SECRET-KEY-1");
    return out;
}

Secret format_identity_file(const AgeIdentity& identity, const std::vector<std::string>& signers,
                            std::string_view comment) {
    std::string out;
    if (!comment.empty()) out += fmt::format("# {}\n", comment);
    out += fmt::format("# public key: {}\n", identity.recipient().text());
    for (const auto& signer : signers) out += fmt::format("{}{}\n", kSignerComment, signer);
    out += identity.text().expose();
    out += '\n';
    return Secret(std::move(out));
}

}  // namespace dtr::archive
