#include "identity/passwords.h"

#include <sodium.h>

#include <array>
#include <cstdio>

#include "base/check.h"
#include "identity/keyed_hash.h"

namespace dtr::identity {
namespace {

constexpr std::size_t kMemoryBytes = 19U << 20;
constexpr unsigned kPasses = 2;

// What a stored hash may ask of us; above this it was not made by a sane program.
constexpr unsigned kMemoryKibMax = 128U << 10;
constexpr unsigned kPassesMax = 10;
constexpr unsigned kLanesMax = 8;

bool is_affordable(const std::string& encoded) {
    unsigned version = 0;
    unsigned memory_kib = 0;
    unsigned passes = 0;
    unsigned lanes = 0;
    const int read =
        std::sscanf(encoded.c_str(), "$argon2id$v=%9u$m=%9u,t=%9u,p=%9u$", &version, &memory_kib, &passes, &lanes);
    return read == 4 && memory_kib <= kMemoryKibMax && passes <= kPassesMax && lanes <= kLanesMax;
}

}  // namespace

Passwords::Passwords() : Passwords(Limits{}) {}

Result<Passwords::Turn> Passwords::wait_turn() {
    const MutexLock lock(mutex_);
    if (running_ >= limits_.running_max) {
        if (waiting_ >= limits_.waiting_max)
            return fail_for(1, ErrorCode::exhausted, "checking a password: too many others are waiting");
        ++waiting_;
        while (running_ >= limits_.running_max) free_.wait(mutex_);
        --waiting_;
    }
    ++running_;
    return Turn(*this);
}

void Passwords::leave() {
    {
        const MutexLock lock(mutex_);
        --running_;
    }
    free_.notify_one();
}

Result<std::string> Passwords::hash(const Secret& password) {
    init_sodium();
    DTR_ASSIGN(const Turn turn, wait_turn());
    std::array<char, crypto_pwhash_STRBYTES> out{};
    const std::string_view text = password.expose();
    if (crypto_pwhash_str_alg(out.data(), text.data(), text.size(), kPasses, kMemoryBytes,
                              crypto_pwhash_ALG_ARGON2ID13) != 0)
        return fail_for(5, ErrorCode::exhausted,
                        "hashing a password: it needs 19 MiB of memory, which are not available");
    return std::string(out.data());
}

Result<bool> Passwords::verify(const Secret& password, std::string_view encoded_hash) {
    DTR_ASSIGN(const Turn turn, wait_turn());
    return verify(turn, password, encoded_hash);
}

bool Passwords::verify(const Turn&, const Secret& password, std::string_view encoded_hash) {
    init_sodium();
    const std::string encoded(encoded_hash.substr(0, crypto_pwhash_STRBYTES));
    if (encoded.size() >= crypto_pwhash_STRBYTES || !is_affordable(encoded)) return false;
    const std::string_view text = password.expose();
    return crypto_pwhash_str_verify(encoded.c_str(), text.data(), text.size()) == 0;
}

std::string_view Passwords::unmatchable_hash() {
    // Salt and tag of all zeros and all ones: nobody has a password for them.
    return "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$"
           "//////////////////////////////////////////8";
}

}  // namespace dtr::identity
