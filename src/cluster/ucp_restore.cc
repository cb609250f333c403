#include "cluster/ucp_restore.h"

#include <boost/json.hpp>

#include "backup/seal_keys.h"
#include "base/json_fields.h"
#include "sys/log.h"

namespace dtr::cluster {
namespace {

namespace json = boost::json;

// Who there is at the UCP: ids by name, teams by "organisation/team".
struct Known {
    std::map<std::string, std::string> accounts;
    std::map<std::string, std::string> teams;
};

Known known_at(const meta::AccountFeed& feed) {
    Known known;
    std::map<std::string, std::string> names;  // of organisations, by id; accounts come before teams
    for (const meta::Change& change : feed.changes) {
        boost::system::error_code error;
        const json::value document = json::parse(change.row_json, error);
        if (error || !document.is_object()) continue;
        const json::object& row = document.as_object();
        if (change.table == "accounts") {
            known.accounts[text_field(row, "name")] = text_field(row, "id");
            names[text_field(row, "id")] = text_field(row, "name");
        } else if (change.table == "teams") {
            known.teams[names[text_field(row, "organization_id")] + "/" + text_field(row, "name")] =
                text_field(row, "id");
        }
    }
    return known;
}

class Settling {
  public:
    Settling(UcpRestoreOptions& options, UcpRestoreReport& report, backup::StagedCluster& cluster,
             meta::MetaStore& meta)
        : options_(options), report_(report), cluster_(cluster), meta_(meta) {}

    Status run() {
        DTR_TRY(check_role());
        const auto access = load_ucp_access(cluster_.config);
        // Without its secrets a registry has lost the key by which UCP knew it, and registers again.
        const bool lost = !access && access.error().code == ErrorCode::not_found;
        if (!access && !lost) return fail(access.error());
        if (lost && options_.ucp == nullptr)
            return fail(ErrorCode::refused,
                        "the accounts of this backup belong to a UCP, and the key by which UCP knew the registry is "
                        "not restored",
                        "give that UCP, or another one: --ucp-url, --ucp-ca, --ucp-username");
        if (!lost && (options_.ucp == nullptr || !*access)) {
            report_.ignored = options_.ucp != nullptr;
            report_.ucp_url = *access ? (*access)->url : "";
            return {};
        }
        DTR_ASSIGN(const meta::AccountFeed feed, options_.ucp->accounts());
        DTR_TRY(map(known_at(feed)));
        DTR_TRY(refuse_orphans());
        DTR_TRY(meta_.account_mirror().adopt(feed, accounts_, teams_));
        DTR_ASSIGN(const meta::Epoch epoch, meta_.epoch());
        DTR_ASSIGN(const UcpAccess fresh,
                   options_.ucp->register_cluster(options_.name, cluster_.cluster_id, epoch.parent_cluster_id));
        DTR_TRY(cluster_.config.apply(ucp_access_changes(fresh)));
        report_.ucp_url = fresh.url;
        report_.mapped = accounts_.size() + teams_.size();
        return escrow();
    }

  private:
    Status check_role() {
        DTR_ASSIGN(const Role role, role_of(cluster_.config));
        if (role == options_.role) return {};
        return fail(ErrorCode::refused,
                    role == Role::ucp ? "this is a backup of a UCP, not of a registry"
                                      : "this is a backup of a registry, not of a UCP",
                    role == Role::ucp ? "restore it with ucp restore" : "restore it with dtr restore");
    }

    Status map(const Known& known) {
        std::map<std::string, std::string> organizations;  // names in the backup, by id
        for (std::string after;;) {
            DTR_ASSIGN(const auto page, meta_.accounts().list(after, 500));
            for (const meta::Account& account : page) {
                after = account.name;
                const auto renamed = options_.renamed.find(account.name);
                const auto there =
                    known.accounts.find(renamed == options_.renamed.end() ? account.name : renamed->second);
                if (there == known.accounts.end()) {
                    report_.orphans.push_back(account.name);
                } else if (there->second != account.id) {
                    accounts_[account.id] = there->second;
                }
                if (account.kind == meta::AccountKind::organization && there != known.accounts.end())
                    organizations[account.id] = there->first;
            }
            if (page.size() < 500) break;
        }
        for (const auto& [id, name] : organizations) {
            for (std::string after;;) {
                DTR_ASSIGN(const auto page, meta_.teams().list(id, after, 500));
                for (const meta::Team& team : page) {
                    after = team.name;
                    const auto there = known.teams.find(name + "/" + team.name);
                    if (there != known.teams.end() && there->second != team.id) teams_[team.id] = there->second;
                    if (there == known.teams.end()) report_.orphans.push_back(name + "/" + team.name);
                }
                if (page.size() < 500) break;
            }
        }
        return {};
    }

    Status refuse_orphans() {
        if (report_.orphans.empty() || options_.allow_orphans) return {};
        std::string names;
        for (std::size_t i = 0; i < std::min<std::size_t>(report_.orphans.size(), 20); ++i)
            names += (i == 0 ? "" : ", ") + report_.orphans[i];
        if (report_.orphans.size() > 20) names += ", ...";
        return fail(
            ErrorCode::refused,
            fmt::format("{} accounts or teams of the backup are not known to UCP: {}", report_.orphans.size(), names),
            "create them there, map them with --map-users FILE (one line each: OLD NEW), or continue without them: "
            "--allow-orphans");
    }

    // UCP opens the backups of the restored cluster as well.
    Status escrow() {
        DTR_ASSIGN(const backup::SealKeys keys, backup::load_seal_keys(cluster_.config));
        for (const archive::AgeIdentity& identity : options_.keys.identities) {
            if (!(identity.recipient() == keys.recipient)) continue;
            std::vector<std::string> signers;
            for (const archive::Signer& signer : keys.chain) signers.push_back(signer.key.text());
            return options_.ucp->escrow(cluster_.cluster_id, archive::format_identity_file(identity, signers));
        }
        log::warn("UCP has no recovery key of this cluster in escrow");
        return {};
    }

    UcpRestoreOptions& options_;
    UcpRestoreReport& report_;
    backup::StagedCluster& cluster_;
    meta::MetaStore& meta_;
    std::map<std::string, std::string> accounts_;  // ids in the backup -> ids there, where they differ
    std::map<std::string, std::string> teams_;
};

}  // namespace

std::function<Status(backup::StagedCluster&, meta::MetaStore&)> settle_accounts(UcpRestoreOptions options,
                                                                                UcpRestoreReport& report) {
    return [options = std::move(options), &report](backup::StagedCluster& cluster, meta::MetaStore& meta) mutable {
        report = {};
        return Settling(options, report, cluster, meta).run();
    };
}

}  // namespace dtr::cluster
