#include "backup/restore_text.h"

#include "archive/names.h"

namespace dtr::backup {

namespace {

// How to get at the key, and at what is encrypted besides the secrets.
std::string keys_text(const archive::Header& header) {
    std::string text;
    if (!header.passphrase_key.empty())
        text +=
            "   This backup also opens with a passphrase: it opens the key in HEADER.json, which opens the rest. Use\n"
            "   PASSPHRASE-KEY in the place of RECOVERY-KEY below, if you have the passphrase and not the recovery "
            "key.\n"
            "     sed -n 's/^  \"passphrase_key\": \"\\(.*\\)\",$/\\1/p' HEADER.json | base64 -d > sealed-key\n"
            "     age -d -o PASSPHRASE-KEY sealed-key\n";
    if (header.encryption == archive::Encryption::entries)
        text +=
            "   Everything but this text, sums and seal is encrypted. Open it with the recovery key, in its place:\n"
            "     for f in $(find . -name '*.age' ! -path './secrets/*'); do age -d -i RECOVERY-KEY -o \"${f%.age}\" "
            "\"$f\"; "
            "done\n";
    return text;
}

}  // namespace

std::string restore_text(const archive::Header& header) {
    const std::string key = header.signer().text();
    std::string text = fmt::format(
        "This is a backup of a dtr registry, cut at {}.\n"
        "With dtr:     dtr restore --data-dir DIR --identity RECOVERY-KEY < backup.tar\n"
        "Without it:   the tools of any distribution are enough: tar, sha256sum, minisign, zstd, age, skopeo.\n"
        "\n"
        "1. Unpack, and go into the directory\n"
        "     tar -xf backup.tar && cd {}\n"
        "2. Is it whole? Every file stands in one of sums/*, and those in SHA256SUMS.\n"
        "     sha256sum --strict -c SHA256SUMS\n"
        "     for s in sums/*; do sha256sum --strict -c \"$s\"; done\n"
        "3. Who made it? The key below proves nothing by itself. It is the last of \"signers\" in HEADER.json; one of\n"
        "   them must be the one in the line '# dtr-signer:' of your recovery-key file (after a restore each signer\n"
        "   is endorsed by the one before it).\n"
        "     minisign -V -P {} -m SEAL.json -x SEAL.json.minisig\n"
        "     minisign -V -P {} -m HEADER.json -x HEADER.json.minisig\n",
        format_rfc3339(header.cut_at), archive::prefix_directory(header), key, key);
    text += keys_text(header);
    if (header.kind == archive::BackupKind::config)
        return text +
               "\nThis backup holds the configuration only.\n"
               "     zstd -dcq config/*.ndjson.zst\n";
    text +=
        "4. Images: this directory is an OCI image layout; index.json names every tag.\n"
        "     grep -o '\"org.opencontainers.image.ref.name\":\"[^\"]*\"' index.json\n"
        "     skopeo copy oci:.:NAMESPACE/REPOSITORY:TAG docker-archive:image.tar\n"
        "5. Accounts, repositories and tags: PostgreSQL text rows; db/schema.sql makes the tables.\n";
    text += header.accounts ? "     zstd -dcq accounts/accounts/*.copy.zst\n"
                            : "   Accounts are not in it: they are in the backup of UCP.\n";
    text +=
        "     zstd -dcq db/repositories/*.copy.zst\n"
        "     zstd -dcq db/tags/*.copy.zst\n";
    if (header.missing_blobs != 0)
        text += fmt::format(
            "   {} blobs were missing when this backup was made, and are not in it:\n"
            "     zstd -dcq inventory/*.zst | grep ' missing$'\n",
            header.missing_blobs);
    if (header.secrets == archive::SecretPolicy::sealed)
        text +=
            "6. Secrets: each file in secrets/ opens with the recovery key. Which key of config/ is which file\n"
            "   stands in the \"secret\" fields there.\n"
            "     zstd -dcq config/*.ndjson.zst\n"
            "     age -d -i RECOVERY-KEY secrets/FILE.age\n";
    return text;
}

}  // namespace dtr::backup
