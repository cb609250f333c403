#include "backup/seal_keys.h"

#include <boost/json.hpp>

#include "base/encoding.h"

namespace dtr::backup {

namespace json = boost::json;

namespace {

config::Change put(const char* key, std::string value, bool secret = false) {
    return {key, Secret(std::move(value)), secret, std::nullopt};
}

}  // namespace

std::string chain_to_json(const std::vector<archive::Signer>& chain) {
    json::array links;
    for (const archive::Signer& signer : chain)
        links.push_back(json::object{
            {"key", signer.key.text()}, {"epoch", signer.epoch}, {"endorsement", base64_encode(signer.endorsement)}});
    return json::serialize(links);
}

Result<std::vector<archive::Signer>> chain_from_json(std::string_view text) {
    const auto damaged = [] { return fail(ErrorCode::corrupt, "the chain of seal signers is damaged"); };
    boost::system::error_code error;
    const json::value document = json::parse(text, error);
    if (error || !document.is_array()) return damaged();
    std::vector<archive::Signer> chain;
    for (const json::value& link : document.as_array()) {
        const auto* fields = link.if_object();
        if (fields == nullptr) return damaged();
        const auto* key = fields->if_contains("key");
        const auto* epoch = fields->if_contains("epoch");
        const auto* endorsement = fields->if_contains("endorsement");
        if (key == nullptr || !key->is_string() || epoch == nullptr || endorsement == nullptr ||
            !endorsement->is_string())
            return damaged();
        archive::Signer signer;
        DTR_ASSIGN(signer.key, archive::PublicKey::parse(std::string_view(key->as_string())));
        signer.epoch = epoch->to_number<std::uint64_t>(error);
        if (error) return damaged();
        DTR_ASSIGN(signer.endorsement, base64_decode(std::string_view(endorsement->as_string())));
        chain.push_back(std::move(signer));
    }
    if (chain.empty()) return damaged();
    return chain;
}

Result<SealKeys> load_seal_keys(config::ConfigStore& config) {
    DTR_ASSIGN(const config::Entry key, config.get(kSignerKey));
    DTR_ASSIGN(const config::Entry chain_entry, config.get(kSignerChain));
    DTR_ASSIGN(const config::Entry recipient_entry, config.get(kRecipientKey));
    DTR_ASSIGN(const config::Entry store_entry, config.get(kImageStoreKey));
    DTR_ASSIGN(archive::SigningKey signer, archive::SigningKey::parse(key.value));
    DTR_ASSIGN(auto chain, chain_from_json(chain_entry.value.expose()));
    DTR_ASSIGN(archive::AgeRecipient recipient, archive::AgeRecipient::parse(recipient_entry.value.expose()));
    if (chain.back().key != signer.public_key())
        return fail(ErrorCode::corrupt, "the signing key is not the last of its chain");
    return SealKeys{std::move(signer), std::move(chain), std::move(recipient), std::string(store_entry.value.expose())};
}

std::vector<config::Change> first_seal_keys(const archive::SigningKey& signer, std::int64_t epoch,
                                            const archive::AgeRecipient& recipient, Random& random) {
    const std::vector<archive::Signer> chain = {{signer.public_key(), static_cast<std::uint64_t>(epoch), {}}};
    return {put(kSignerKey, std::string(signer.serialize().expose()), true), put(kSignerChain, chain_to_json(chain)),
            put(kRecipientKey, recipient.text()), put(kImageStoreKey, random_hex(random, 16))};
}

std::vector<config::Change> succeed_signer(const archive::SigningKey& predecessor, std::vector<archive::Signer> chain,
                                           const archive::SigningKey& successor, std::int64_t epoch) {
    const auto number = static_cast<std::uint64_t>(epoch);
    chain.push_back({successor.public_key(), number, archive::endorse(predecessor, successor.public_key(), number)});
    return {put(kSignerKey, std::string(successor.serialize().expose()), true),
            put(kSignerChain, chain_to_json(chain))};
}

}  // namespace dtr::backup
