// POST /api/v0/backup streams an archive; GET /api/v0/backups/<id> says how it ended, for a client whose stream broke.
#include <boost/json.hpp>

#include "api/admin/admin.h"
#include "api/errors.h"

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

// Options from the query: config-only, images, secrets, recipient (repeated).
Result<backup::BackupOptions> read_options(const http::Request& request) {
    backup::BackupOptions options;
    options.config_only = request.query_value("config-only").value_or("") == "true";
    const std::string images = request.query_value("images").value_or("auto");
    if (images == "include")
        options.images = backup::ImageChoice::include;
    else if (images == "inventory")
        options.images = backup::ImageChoice::inventory;
    else if (images != "auto")
        return fail(ErrorCode::invalid, "images must be auto, include or inventory");
    const std::string secrets = request.query_value("secrets").value_or("sealed");
    if (secrets == "plaintext")
        options.secrets = archive::SecretPolicy::plaintext;
    else if (secrets == "omit")
        options.secrets = archive::SecretPolicy::omitted;
    else if (secrets != "sealed")
        return fail(ErrorCode::invalid, "secrets must be sealed, plaintext or omit");
    for (const std::string& text : request.query_values("recipient")) {
        DTR_ASSIGN(archive::AgeRecipient recipient, archive::AgeRecipient::parse(text));
        options.recipients.push_back(std::move(recipient));
    }
    return options;
}

http::Response start(Services& services, const http::Request& request) {
    auto options = read_options(request);
    if (!options) return error_response(options.error(), "NOT_FOUND", "INVALID");
    auto stream = services.backups.start(std::move(*options));
    if (!stream) return error_response(stream.error());
    http::Response response;
    response.set("Content-Type", "application/x-tar");
    response.set("Dtr-Backup-Id", (*stream)->id());
    response.set("Dtr-Backup-Bytes", std::to_string((*stream)->bytes_total()));
    response.set("Dtr-Replica-Id", services.replica_id);
    response.patience = backup::kReaderPatience;
    response.source = std::make_unique<BackupSource>(std::move(*stream));
    return response;
}

http::Response report(Services& services, const std::string& id) {
    const auto found = services.backups.report(id);
    if (!found) return error_response(found.error(), "NO_SUCH_BACKUP");
    json::object fields{{"id", found->id},
                        {"startedAt", format_rfc3339(found->started_at)},
                        {"finished", found->finished},
                        {"sealed", found->finished && !found->error},
                        {"bytes", found->bytes},
                        {"seal", found->seal_digest}};
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

}  // namespace

http::Reply handle_backup(Services& services, const http::Request& request, const Caller& caller) {
    if (auto refused = require_administrator(services, request, caller)) return std::move(*refused);
    const auto parts = path_parts(std::string_view(request.path).substr(8));  // after "/api/v0/"
    if (parts.size() == 1 && parts[0] == "backup") {
        if (request.method != "POST") return error_response(405, "UNSUPPORTED", "use POST");
        if (const auto wanted = request.query_value("replica-id"); wanted && *wanted != services.replica_id)
            return error_response(
                412, "NO_SUCH_REPLICA",
                fmt::format("this is replica {}, not {}", services.replica_id, wanted->substr(0, 64)));
        return start(services, request);
    }
    if (parts.size() == 2 && parts[0] == "backups" && request.method == "GET") return report(services, parts[1]);
    return error_response(404, "NOT_FOUND", "no such resource");
}

}  // namespace dtr::api::admin
