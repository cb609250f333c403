#include "archive/unlock.h"

#include <algorithm>

#include "archive/foreign.h"

namespace dtr::archive {
namespace {

constexpr std::size_t kRecipientsShown = 20;
constexpr std::string_view kKeyHint =
    "give the recovery key or another recipient's key with --identity FILE, or the passphrase with --passphrase-file "
    "FILE";

bool fits(const Header& header, const AgeIdentity& identity) {
    return std::find(header.recipients.begin(), header.recipients.end(), identity.recipient().text()) !=
           header.recipients.end();
}

// Gives what was read ahead, then the rest.
class Ahead final : public ByteSource {
  public:
    Ahead(std::string head, ByteSource& rest) : head_(std::move(head)), rest_(rest) {}
    Result<std::size_t> read(char* buffer, std::size_t size) override {
        if (at_ == head_.size()) return rest_.read(buffer, size);
        const std::size_t n = std::min(size, head_.size() - at_);
        std::memcpy(buffer, head_.data() + at_, n);
        at_ += n;
        return n;
    }

  private:
    std::string head_;
    std::size_t at_ = 0;
    ByteSource& rest_;
};

class Decrypted final : public ByteSource {
  public:
    static Result<std::unique_ptr<ByteSource>> open(std::unique_ptr<Ahead> source, const AgeKeys& keys) {
        auto decryptor = AgeDecryptor::open(*source, keys);
        if (!decryptor) return explain(std::move(decryptor).error(), keys);
        return std::unique_ptr<ByteSource>(new Decrypted(std::move(source), std::move(*decryptor)));
    }
    Result<std::size_t> read(char* buffer, std::size_t size) override { return decryptor_->read(buffer, size); }

  private:
    Decrypted(std::unique_ptr<Ahead> source, std::unique_ptr<AgeDecryptor> decryptor)
        : source_(std::move(source)), decryptor_(std::move(decryptor)) {}

    static tl::unexpected<Error> explain(Error error, const AgeKeys& keys) {
        if (error.code != ErrorCode::untrusted) return fail(error.in("the backup is an age stream"));
        const bool none = keys.identities.empty() && !keys.passphrase;
        return fail(ErrorCode::untrusted,
                    none ? std::string("the backup is an age stream: all of it is encrypted, and no key was given")
                         : fmt::format("the backup is an age stream, which cannot be opened: {}", error.message),
                    std::string(kKeyHint) + "; a stream does not say which keys open it");
    }

    std::unique_ptr<Ahead> source_;
    std::unique_ptr<AgeDecryptor> decryptor_;
};

}  // namespace

Result<PassphraseKey> make_passphrase_key(const Secret& passphrase, Random& random, int work_factor) {
    if (passphrase.empty()) return fail(ErrorCode::invalid, "the passphrase is empty");
    const AgeIdentity identity = AgeIdentity::generate(random);
    const Secret text = format_identity_file(identity, {});
    PassphraseKey key{identity.recipient(), {}};
    DTR_ASSIGN(key.sealed, age_encrypt(text.expose(), passphrase, random, work_factor));
    return key;
}

std::string describe_recipients(const Header& header) {
    const bool passphrase = !header.passphrase_key.empty();
    const std::size_t keys = header.recipients.size() - (passphrase ? 1 : 0);
    std::string text;
    for (std::size_t i = 0; i < std::min(keys, kRecipientsShown); ++i)
        text += (text.empty() ? "" : ", ") + header.recipients[i];
    if (keys > kRecipientsShown) text += fmt::format(", {} more", keys - kRecipientsShown);
    if (passphrase) text += text.empty() ? "a passphrase" : " and a passphrase";
    return text.empty() ? "nobody" : text;
}

Result<AgeKeys> unlock(const Header& header, const AgeKeys& keys) {
    for (const AgeIdentity& identity : keys.identities)
        if (fits(header, identity)) return keys;
    if (keys.passphrase && !header.passphrase_key.empty()) {
        auto text = age_decrypt(header.passphrase_key, {{}, keys.passphrase});
        if (!text && text.error().code != ErrorCode::untrusted)
            return fail(text.error().in("the key that the passphrase opens"));
        if (text) {
            auto file = parse_identity_file(*text);
            if (!file || file->identities.size() != 1 || !fits(header, file->identities.front()))
                return fail(ErrorCode::corrupt, "the passphrase opens a key that does not belong to any recipient");
            AgeKeys all = keys;
            all.identities.push_back(std::move(file->identities.front()));
            return all;
        }
    }
    const bool wrong = keys.passphrase && !header.passphrase_key.empty();
    const bool absent = keys.passphrase && header.passphrase_key.empty();
    return fail(ErrorCode::untrusted,
                fmt::format("{}{}; it is sealed to {}",
                            wrong ? "the passphrase is wrong for this backup"
                                  : "none of the given identities opens this backup",
                            absent ? ", and neither does a passphrase" : "", describe_recipients(header)),
                std::string(kKeyHint) +
                    (header.encryption == Encryption::none ? "; or use --without-secrets to make new keys" : ""));
}

Result<std::unique_ptr<ByteSource>> open_stream(ByteSource& source, const AgeKeys& keys) {
    std::string head(kHeadBytes, '\0');
    DTR_ASSIGN(const std::size_t got, read_full(source, head.data(), head.size()));
    head.resize(got);
    const bool encrypted = head.starts_with(kAgeMagic);
    if (const Foreign is = recognise(head); !encrypted && !is.what.empty())
        return fail(ErrorCode::corrupt, fmt::format("it is {}", is.what), std::string(is.hint));
    auto ahead = std::make_unique<Ahead>(std::move(head), source);
    if (encrypted) return Decrypted::open(std::move(ahead), keys);
    return std::unique_ptr<ByteSource>(std::move(ahead));
}

}  // namespace dtr::archive
