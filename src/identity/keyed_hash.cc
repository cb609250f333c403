#include "identity/keyed_hash.h"

#include <sodium.h>

#include "base/check.h"

namespace dtr::identity {

void init_sodium() {
    static const bool ready = sodium_init() >= 0;
    DTR_CHECK(ready);
}

std::string keyed_hash(std::string_view key, std::initializer_list<std::string_view> parts) {
    DTR_CHECK(key.size() == kHashKeyBytes);
    const auto bytes = [](std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); };
    crypto_generichash_state state;
    crypto_generichash_init(&state, bytes(key), key.size(), crypto_generichash_BYTES);
    for (const std::string_view part : parts) {
        const std::uint64_t length = part.size();
        crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(&length), sizeof length);
        crypto_generichash_update(&state, bytes(part), part.size());
    }
    std::string out(crypto_generichash_BYTES, '\0');
    crypto_generichash_final(&state, reinterpret_cast<unsigned char*>(out.data()), out.size());
    sodium_memzero(&state, sizeof state);
    return out;
}

}  // namespace dtr::identity
