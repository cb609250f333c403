// file    := header payload
// header  := "age-encryption.org/v1" LF 1*stanza "---" SP base64(HMAC-SHA-256(HKDF(file key, "",
// "header"), header up to
//            and with "---")) LF
// stanza  := "-> " type *( SP argument ) LF  body in base64 without padding, lines of 64, the last
// one shorter (or empty) LF
//   X25519: argument = ephemeral share; body = file key sealed under HKDF(shared secret, share +
//   recipient, label) scrypt: arguments = salt, log2 of N; body = file key sealed under
//   scrypt(passphrase, label + salt)
// payload := nonce[16] 1*chunk; each 64 KiB but the last, sealed under HKDF(file key, nonce,
// "payload") with the nonce
//            counter[11, big endian] last[1]
#include "archive/age.h"

#include <algorithm>

#include "archive/age_crypto.h"
#include "base/check.h"
#include "base/encoding.h"

namespace dtr::archive {
namespace {

constexpr std::string_view kVersion = "age-encryption.org/v1";
constexpr std::string_view kX25519Label = "age-encryption.org/v1/X25519";
constexpr std::string_view kScryptLabel = "age-encryption.org/v1/scrypt";
constexpr std::size_t kPayloadNonceBytes = 16;
constexpr std::size_t kScryptSaltBytes = 16;
constexpr std::size_t kBodyColumns = 64;
constexpr std::size_t kSealedChunkBytes = kAgeChunkBytes + age::kTagBytes;
constexpr std::size_t kHeaderMax = 64 * 1024;
constexpr std::size_t kRecipientsMax = 200;
const std::string kZeroNonce(12, '\0');

struct Stanza {
    std::string type;
    std::vector<std::string> arguments;
    std::string body;
};

// The nonce of chunk n.
class ChunkCounter {
  public:
    std::string_view nonce(bool last) {
        nonce_[11] = last ? '\x01' : '\0';
        return nonce_;
    }
    void advance() {
        first_ = false;
        for (std::size_t i = 11; i-- > 0;)
            if (++nonce_[i] != '\0') return;
        DTR_CHECK(false);  // 2^88 chunks
    }
    [[nodiscard]] bool first() const { return first_; }

  private:
    std::string nonce_ = std::string(12, '\0');
    bool first_ = true;
};

std::string wrap_file_key(const Secret& wrap_key, const Secret& file_key) {
    std::string body;
    age::ChunkCipher(wrap_key).seal(kZeroNonce, file_key.expose(), body);
    return body;
}

Secret x25519_wrap_key(const Secret& shared, std::string_view share, std::string_view recipient) {
    return age::hkdf_sha256(shared, fmt::format("{}{}", share, recipient), kX25519Label);
}

std::string header_mac(const Secret& file_key, std::string_view header) {
    return age::hmac_sha256(age::hkdf_sha256(file_key, "", "header").expose(), header);
}

tl::unexpected<Error> malformed(std::string_view what) {
    return fail(ErrorCode::corrupt, fmt::format("the age header is malformed: {}", what));
}

Result<int> parse_work_factor(std::string_view text) {
    int value = 0;
    const bool digits = !text.empty() && text.size() <= 3 && text[0] != '0' &&
                        std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!digits) return malformed("a scrypt work factor that is not a number");
    for (const char c : text) value = value * 10 + (c - '0');
    if (value > kScryptWorkFactorMax)
        return fail(ErrorCode::corrupt, fmt::format("the scrypt work factor is {}, and at most {} is allowed", value,
                                                    kScryptWorkFactorMax));
    return value;
}

Result<Secret> unwrap_scrypt(const std::vector<Stanza>& stanzas, const AgeKeys& keys) {
    const Stanza& stanza = stanzas.front();
    if (stanzas.size() != 1) return malformed("a scrypt stanza among others");
    if (stanza.arguments.size() != 2 || stanza.body.size() != age::kFileKeyBytes + age::kTagBytes)
        return malformed("a scrypt stanza");
    const auto salt = base64_decode_raw(stanza.arguments[0]);
    if (!salt || salt->size() != kScryptSaltBytes) return malformed("a scrypt salt");
    DTR_ASSIGN(const int work_factor, parse_work_factor(stanza.arguments[1]));
    if (!keys.passphrase) return fail(ErrorCode::untrusted, "this is encrypted with a passphrase, and none was given");
    DTR_ASSIGN(const Secret wrap_key,
               age::scrypt(*keys.passphrase, fmt::format("{}{}", kScryptLabel, *salt), work_factor));
    std::string file_key;
    if (!age::ChunkCipher(wrap_key).open(kZeroNonce, stanza.body, file_key))
        return fail(ErrorCode::untrusted, "the passphrase is wrong");
    return Secret(std::move(file_key));
}

// The file key if one of the identities opens the stanza.
Result<std::optional<Secret>> unwrap_x25519(const Stanza& stanza, const AgeKeys& keys) {
    if (stanza.arguments.size() != 1 || stanza.body.size() != age::kFileKeyBytes + age::kTagBytes)
        return malformed("an X25519 stanza");
    const auto share = base64_decode_raw(stanza.arguments[0]);
    if (!share || share->size() != age::kKeyBytes) return malformed("an X25519 share");
    for (const auto& identity : keys.identities) {
        auto shared = age::X25519Key(identity.raw()).agree(*share);
        if (!shared) return malformed("a share of low order");
        std::string file_key;
        const Secret wrap_key = x25519_wrap_key(*shared, *share, identity.recipient().raw());
        if (age::ChunkCipher(wrap_key).open(kZeroNonce, stanza.body, file_key))
            return std::optional<Secret>(Secret(std::move(file_key)));
    }
    return std::optional<Secret>();
}

Result<Secret> unwrap(const std::vector<Stanza>& stanzas, const AgeKeys& keys) {
    const auto is_scrypt = [](const Stanza& stanza) { return stanza.type == "scrypt"; };
    if (std::any_of(stanzas.begin(), stanzas.end(), is_scrypt)) {
        if (!is_scrypt(stanzas.front())) return malformed("a scrypt stanza among others");
        return unwrap_scrypt(stanzas, keys);
    }
    std::optional<Secret> file_key;
    for (const auto& stanza : stanzas) {
        if (stanza.type != "X25519") continue;
        DTR_ASSIGN(auto found, unwrap_x25519(stanza, keys));
        if (found && !file_key) file_key = std::move(found);
    }
    if (file_key) return *file_key;
    return fail(ErrorCode::untrusted, "none of the given keys opens it",
                "give the recovery key of the cluster that was backed up, or the identity of "
                "another recipient");
}

}  // namespace

std::uint64_t age_encrypted_size(std::uint64_t plain_size, std::size_t recipients) {
    const std::uint64_t header = kVersion.size() + 1 + recipients * (10 + 43 + 1 + 43 + 1) + 4 + 43 + 1;
    const std::uint64_t chunks = std::max<std::uint64_t>(1, (plain_size + kAgeChunkBytes - 1) / kAgeChunkBytes);
    return header + kPayloadNonceBytes + plain_size + chunks * age::kTagBytes;
}

std::optional<std::uint64_t> age_plain_size(std::uint64_t encrypted_size, std::size_t recipients) {
    const std::uint64_t least = age_encrypted_size(0, recipients);
    if (encrypted_size < least) return std::nullopt;
    const std::uint64_t payload = encrypted_size - least + age::kTagBytes;
    const std::uint64_t chunks = (payload + kSealedChunkBytes - 1) / kSealedChunkBytes;
    if (payload < chunks * age::kTagBytes) return std::nullopt;
    const std::uint64_t plain = payload - chunks * age::kTagBytes;
    if (age_encrypted_size(plain, recipients) != encrypted_size) return std::nullopt;
    return plain;
}

struct AgeEncryptor::State {
    ByteSink& sink;
    age::ChunkCipher cipher;
    ChunkCounter counter;
    std::string plain, sealed;

    ~State() { wipe(plain); }

    static Result<std::unique_ptr<State>> start(ByteSink& sink, const Secret& file_key, std::string header,
                                                Random& random) {
        header += "---";
        header += fmt::format(" {}\n", base64_encode_raw(header_mac(file_key, header)));
        const std::string nonce = random.bytes(kPayloadNonceBytes);
        DTR_TRY(sink.write(header + nonce));
        return std::unique_ptr<State>(
            new State{sink, age::ChunkCipher(age::hkdf_sha256(file_key, nonce, "payload")), {}, {}, {}});
    }
    Status flush(bool last) {
        cipher.seal(counter.nonce(last), plain, sealed);
        counter.advance();
        plain.clear();
        return sink.write(sealed);
    }
};

AgeEncryptor::AgeEncryptor(std::unique_ptr<State> state) : state_(std::move(state)) {}
AgeEncryptor::~AgeEncryptor() = default;

Result<std::unique_ptr<AgeEncryptor>> AgeEncryptor::open(ByteSink& sink, const std::vector<AgeRecipient>& recipients,
                                                         Random& random) {
    if (recipients.empty() || recipients.size() > kRecipientsMax)
        return fail(ErrorCode::invalid,
                    fmt::format("age needs 1 to {} recipients, not {}", kRecipientsMax, recipients.size()));
    const Secret file_key(random.bytes(age::kFileKeyBytes));
    std::string header = fmt::format("{}\n", kVersion);
    for (const auto& recipient : recipients) {
        const age::X25519Key ephemeral(Secret(random.bytes(age::kKeyBytes)));
        const std::string share = ephemeral.public_half();
        DTR_ASSIGN(const Secret shared, ephemeral.agree(recipient.raw()));
        const Secret wrap_key = x25519_wrap_key(shared, share, recipient.raw());
        header += fmt::format("-> X25519 {}\n{}\n", base64_encode_raw(share),
                              base64_encode_raw(wrap_file_key(wrap_key, file_key)));
    }
    DTR_ASSIGN(auto state, State::start(sink, file_key, std::move(header), random));
    return std::unique_ptr<AgeEncryptor>(new AgeEncryptor(std::move(state)));
}

Result<std::unique_ptr<AgeEncryptor>> AgeEncryptor::open(ByteSink& sink, const Secret& passphrase, Random& random,
                                                         int work_factor) {
    if (work_factor < 1 || work_factor > kScryptWorkFactorMax)
        return fail(ErrorCode::invalid, fmt::format("the scrypt work factor must be 1 to {}", kScryptWorkFactorMax));
    const Secret file_key(random.bytes(age::kFileKeyBytes));
    const std::string salt = random.bytes(kScryptSaltBytes);
    DTR_ASSIGN(const Secret wrap_key, age::scrypt(passphrase, fmt::format("{}{}", kScryptLabel, salt), work_factor));
    DTR_ASSIGN(auto state, State::start(sink, file_key,
                                        fmt::format("{}\n-> scrypt {} {}\n{}\n", kVersion, base64_encode_raw(salt),
                                                    work_factor, base64_encode_raw(wrap_file_key(wrap_key, file_key))),
                                        random));
    return std::unique_ptr<AgeEncryptor>(new AgeEncryptor(std::move(state)));
}

Status AgeEncryptor::write(std::string_view bytes) {
    while (!bytes.empty()) {
        // A full chunk waits until it is known not to be the last.
        if (state_->plain.size() == kAgeChunkBytes) DTR_TRY(state_->flush(false));
        const std::size_t n = std::min(bytes.size(), kAgeChunkBytes - state_->plain.size());
        state_->plain.append(bytes.substr(0, n));
        bytes.remove_prefix(n);
    }
    return {};
}

Status AgeEncryptor::finish() {
    return state_->flush(true);
}

struct AgeDecryptor::State {
    ByteSource& source;
    std::string input;  // [at, size) is read and not used
    std::size_t at = 0;
    bool source_ended = false;
    std::optional<age::ChunkCipher> cipher;
    ChunkCounter counter;
    std::string plain;
    std::size_t plain_at = 0;
    bool last_seen = false;
    bool complete = false;

    explicit State(ByteSource& from) : source(from) {}
    ~State() { wipe(plain); }

    // Tries to have `size` unused bytes in the input.
    Status fill(std::size_t size) {
        if (input.size() - at >= size || source_ended) return {};
        input.erase(0, at);
        at = 0;
        const std::size_t have = input.size();
        input.resize(size);
        auto n = read_full(source, input.data() + have, size - have);
        input.resize(have + n.value_or(0));
        if (!n) return fail(std::move(n).error());
        source_ended = input.size() < size;
        return {};
    }

    // One line without its LF, counted against `budget`.
    Result<std::string> line(std::size_t& budget) {
        for (std::size_t size = 256;; size += 256) {
            DTR_TRY(fill(size));
            const std::string_view seen = std::string_view(input).substr(at, size);
            const std::size_t end = seen.find('\n');
            if (end != std::string_view::npos) {
                if (end + 1 > budget) return malformed("it is larger than 64 KiB");
                budget -= end + 1;
                std::string out(seen.substr(0, end));
                at += end + 1;
                return out;
            }
            if (seen.size() < size) return malformed("it ends too early");
            if (size > budget) return malformed("it is larger than 64 KiB");
        }
    }

    Result<Stanza> stanza(std::string_view first, std::size_t& budget, std::string& header) {
        Stanza out;
        std::vector<std::string> words;
        for (std::string_view rest = first.substr(3);;) {
            const std::size_t space = rest.find(' ');
            const std::string_view word = rest.substr(0, space);
            if (word.empty() || !std::all_of(word.begin(), word.end(), [](char c) { return c > 0x20 && c < 0x7f; }))
                return malformed("a stanza's arguments");
            words.emplace_back(word);
            if (space == std::string_view::npos) break;
            rest.remove_prefix(space + 1);
        }
        out.type = words.front();
        out.arguments.assign(words.begin() + 1, words.end());
        while (true) {
            DTR_ASSIGN(const std::string body, line(budget));
            const auto bytes = base64_decode_raw(body);
            if (body.size() > kBodyColumns || !bytes) return malformed("a stanza's body");
            out.body += *bytes;
            header += body + '\n';
            if (body.size() < kBodyColumns) return out;
        }
    }

    Status read_header(const AgeKeys& keys) {
        std::size_t budget = kHeaderMax;
        DTR_ASSIGN(std::string current, line(budget));
        if (current != kVersion) return malformed("it does not start like an age v1 file");
        std::string header = current + '\n';
        std::vector<Stanza> stanzas;
        while (true) {
            DTR_ASSIGN(current, line(budget));
            if (!current.starts_with("-> ")) break;
            header += current + '\n';
            DTR_ASSIGN(auto next, stanza(current, budget, header));
            stanzas.push_back(std::move(next));
        }
        if (!current.starts_with("--- ") || stanzas.empty()) return malformed("its last line");
        const auto mac = base64_decode_raw(std::string_view(current).substr(4));
        if (!mac || mac->size() != 32) return malformed("its authentication code");
        header += "---";
        DTR_ASSIGN(const Secret file_key, unwrap(stanzas, keys));
        if (!equal_constant_time(header_mac(file_key, header), *mac))
            return fail(ErrorCode::corrupt, "the age header was changed: its authentication code does not match");
        DTR_TRY(fill(kPayloadNonceBytes));
        if (input.size() - at < kPayloadNonceBytes) return malformed("nothing follows it");
        cipher.emplace(age::hkdf_sha256(file_key, std::string_view(input).substr(at, kPayloadNonceBytes), "payload"));
        at += kPayloadNonceBytes;
        return {};
    }

    Status next_chunk() {
        // One byte more than a chunk tells whether this is the last one.
        DTR_TRY(fill(kSealedChunkBytes + 1));
        const std::size_t size = std::min(kSealedChunkBytes, input.size() - at);
        last_seen = input.size() - at == size;
        const bool ok = cipher->open(counter.nonce(last_seen), std::string_view(input).substr(at, size), plain);
        plain_at = 0;
        if (!ok) return fail(ErrorCode::corrupt, "age data was cut or changed: a chunk does not authenticate");
        if (plain.empty() && !counter.first()) return fail(ErrorCode::corrupt, "the last age chunk is empty");
        at += size;
        counter.advance();
        return {};
    }
};

AgeDecryptor::AgeDecryptor(std::unique_ptr<State> state) : state_(std::move(state)) {}
AgeDecryptor::~AgeDecryptor() = default;

Result<std::unique_ptr<AgeDecryptor>> AgeDecryptor::open(ByteSource& source, const AgeKeys& keys) {
    auto state = std::make_unique<State>(source);
    DTR_TRY(state->read_header(keys));
    return std::unique_ptr<AgeDecryptor>(new AgeDecryptor(std::move(state)));
}

Result<std::size_t> AgeDecryptor::read(char* buffer, std::size_t size) {
    State& s = *state_;
    if (s.plain_at == s.plain.size()) {
        if (!s.last_seen) DTR_TRY(s.next_chunk());
        if (s.plain_at == s.plain.size()) {
            s.complete = true;
            return std::size_t{0};
        }
    }
    const std::size_t n = std::min(size, s.plain.size() - s.plain_at);
    std::memcpy(buffer, s.plain.data() + s.plain_at, n);
    s.plain_at += n;
    return n;
}

bool AgeDecryptor::complete() const {
    return state_->complete;
}

Result<std::string> age_encrypt(std::string_view plain, const std::vector<AgeRecipient>& recipients, Random& random) {
    StringSink sink;
    DTR_ASSIGN(auto encryptor, AgeEncryptor::open(sink, recipients, random));
    DTR_TRY(encryptor->write(plain));
    DTR_TRY(encryptor->finish());
    return sink.take();
}

Result<std::string> age_encrypt(std::string_view plain, const Secret& passphrase, Random& random, int work_factor) {
    StringSink sink;
    DTR_ASSIGN(auto encryptor, AgeEncryptor::open(sink, passphrase, random, work_factor));
    DTR_TRY(encryptor->write(plain));
    DTR_TRY(encryptor->finish());
    return sink.take();
}

Result<Secret> age_decrypt(std::string_view encrypted, const AgeKeys& keys) {
    StringSource source(encrypted);
    DTR_ASSIGN(auto decryptor, AgeDecryptor::open(source, keys));
    std::string plain;
    plain.reserve(encrypted.size());
    std::string buffer(kAgeChunkBytes, '\0');
    while (true) {
        auto n = decryptor->read(buffer.data(), buffer.size());
        if (!n || *n == 0) {
            wipe(buffer);
            if (n) return Secret(std::move(plain));
            wipe(plain);
            return fail(std::move(n).error());
        }
        plain.append(buffer, 0, *n);
    }
}

}  // namespace dtr::archive
