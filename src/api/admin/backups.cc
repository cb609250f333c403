// POST /api/v0/backup streams an archive; GET /api/v0/backups/<id> says how it ended, for a client whose stream broke.
#include <boost/json.hpp>

#include "api/admin/admin.h"
#include "base/encoding.h"

namespace dtr::api::admin {
namespace {

namespace json = boost::json;

class BackupSource final : public http::BodySource {
  public:
    explicit BackupSource(std::unique_ptr<backup::BackupStream> stream) : stream_(std::move(stream)) {}
    Result<std::size_t> read(char* out, std::size_t capacity) override { return stream_->read(out, capacity); }

  private:
    std::unique_ptr<backup::BackupStream> stream_;
};

// Options from the query: id, config-only, images, accounts, secrets, encrypt, allow-missing, recipient (repeated).
Result<backup::BackupOptions> read_options(const http::Request& request) {
    backup::BackupOptions options;
    options.id = request.query_value("id").value_or("");
    if (!options.id.empty() && (options.id.size() != 32 || !is_lower_hex(options.id)))
        return fail(ErrorCode::invalid, "id must be 32 lower-case hex digits");
    options.config_only = request.query_value("config-only").value_or("") == "true";
    DTR_ASSIGN(options.images, backup::parse_image_choice(request.query_value("images").value_or("auto")));
    DTR_ASSIGN(options.accounts, backup::parse_account_choice(request.query_value("accounts").value_or("include")));
    DTR_ASSIGN(options.secrets, backup::parse_secret_policy(request.query_value("secrets").value_or("sealed")));
    DTR_ASSIGN(options.encryption, backup::parse_encryption_choice(request.query_value("encrypt").value_or("none")));
    options.allow_missing = request.query_value("allow-missing").value_or("") == "true";
    if (request.query_value("passphrase"))
        return fail(ErrorCode::invalid, "a passphrase does not belong in a URL, which ends up in logs",
                    "send it in the body: {\"passphrase\": \"...\"}");
    for (const std::string& text : request.query_values("recipient")) {
        DTR_ASSIGN(archive::AgeRecipient recipient, archive::AgeRecipient::parse(text));
        options.recipients.push_back(std::move(recipient));
    }
    return options;
}

// "secrets sealed; also to age1...": what the audit event of a backup says besides its id.
std::string describe_options(const backup::BackupOptions& options) {
    std::string text = fmt::format("secrets {}", archive::to_string(options.secrets));
    if (options.encryption != backup::EncryptionChoice::none)
        text += fmt::format("; encrypted ({})", backup::to_string(options.encryption));
    for (std::size_t i = 0; i < options.recipients.size(); ++i)
        text += (i == 0 ? "; recipients: " : ", ") + options.recipients[i].text();
    if (options.passphrase) text += "; a passphrase";
    if (options.config_only) text += "; configuration only";
    return text;
}

http::Response stream_backup(Services& services, std::unique_ptr<backup::BackupStream> stream,
                             std::string_view content_type) {
    http::Response response;
    response.set("Content-Type", std::string(content_type));
    response.set("Dtr-Backup-Id", stream->id());
    response.set("Dtr-Backup-Bytes", std::to_string(stream->bytes_total()));
    response.set("Dtr-Replica-Id", services.replica_id);
    response.patience = backup::kReaderPatience;
    response.source = std::make_unique<BackupSource>(std::move(stream));
    return response;
}

// A passphrase comes in the body, as the one member of a JSON object.
Result<Secret> read_passphrase(std::string& body) {
    json::parse_options strict;
    strict.max_depth = 2;
    boost::system::error_code error;
    const json::value document = json::parse(body, error, {}, strict);
    wipe(body);
    const auto* fields = error ? nullptr : document.if_object();
    const auto* passphrase = fields == nullptr || fields->size() != 1 ? nullptr : fields->if_contains("passphrase");
    if (passphrase == nullptr || !passphrase->is_string())
        return fail(ErrorCode::invalid, "the body must be {\"passphrase\": \"...\"}, or empty");
    return Secret(std::string(passphrase->as_string()));
}

}  // namespace

// Who may read a backup and nothing else must not choose who can open what is secret in it; nor may an access token, which
// is written down where machines find it.
std::optional<http::Response> may_choose_backup(Asked& asked) {
    const http::Request& request = asked.request;
    if (!asked.caller.principal.by_token) return std::nullopt;  // with a token of UCP's: UCP gave it to a password
    const std::string secrets = request.query_value("secrets").value_or("sealed");
    const bool closed = secrets == "sealed" || secrets == "omit";
    if (closed && request.query_values("recipient").empty() && !request.has_body) return std::nullopt;
    return error_response(403, "NOT_AUTHORIZED",
                          "an access token can only get secrets that are sealed to the cluster's recovery key",
                          "omit --recipient, --passphrase-file and --secrets plaintext, or log in with a password");
}

http::Reply start_backup(Asked& asked) {
    Services& services = asked.services;
    if (const auto wanted = asked.request.query_value("replica-id"); wanted && *wanted != services.replica_id)
        return error_response(412, "NO_SUCH_REPLICA",
                              fmt::format("this is replica {}, not {}", services.replica_id, wanted->substr(0, 64)));
    auto options = read_options(asked.request);
    if (!options) return error_response(options.error(), "NOT_FOUND", "INVALID");
    if (asked.request.has_body) {
        auto passphrase = read_passphrase(asked.body);
        if (!passphrase) return error_response(passphrase.error(), "NOT_FOUND", "INVALID");
        options->passphrase = std::move(*passphrase);
    }
    const std::string kind = describe_options(*options);
    const bool encrypted = options->encryption == backup::EncryptionChoice::stream;
    const std::string_view content_type = encrypted ? "application/octet-stream" : "application/x-tar";
    auto stream = services.backups.start(std::move(*options), asked.actor());
    if (!stream) return error_response(stream.error(), "NOT_FOUND", "INVALID");
    // Before its first byte: who took it, who can open what is secret in it.
    if (auto announced = announce(asked, {"backup.start", (*stream)->id(), kind}); !announced)
        return error_response(announced.error());
    return stream_backup(services, std::move(*stream), content_type);
}

// Whoever took a backup says that it holds: for the age of the newest one that does, which operators watch. Nothing depends
// on it.
http::Reply take_verification(Asked& asked) {
    const auto* seal = asked.fields->if_contains("seal");
    if (seal == nullptr || !seal->is_string())
        return error_response(400, "INVALID", "the body has no \"seal\"", "it is {\"seal\":\"...\"}");
    if (const Status taken = asked.services.backups.verified(asked.at("id"), std::string_view(seal->as_string()));
        !taken)
        return error_response(taken.error(), "NO_SUCH_BACKUP", "INVALID");
    return no_content();
}

http::Reply show_backup(Asked& asked) {
    const auto found = asked.services.backups.report(asked.at("id"));
    if (!found) return error_response(found.error(), "NO_SUCH_BACKUP");
    json::object fields{{"id", found->id},
                        {"clusterId", found->cluster_id},
                        {"startedAt", format_rfc3339(found->started_at)},
                        {"finished", found->finished},
                        {"sealed", found->finished && !found->error},
                        {"bytes", found->bytes},
                        {"seal", found->seal_digest}};
    if (!found->stream_digest.empty()) fields["streamDigest"] = found->stream_digest;
    if (!found->missing.digests.empty()) {
        json::array digests;
        for (const Digest& digest : found->missing.digests) digests.emplace_back(digest.to_string());
        fields["missing"] = std::move(digests);
        fields["sufferers"] = json::array(found->missing.sufferers.begin(), found->missing.sufferers.end());
    }
    if (found->error) {
        fields["error"] = to_string(found->error->code);
        fields["message"] = found->error->message;
        fields["hint"] = found->error->hint;
    }
    http::Response response;
    response.set("Content-Type", "application/json");
    response.body = json::serialize(fields);
    return response;
}

}  // namespace dtr::api::admin
