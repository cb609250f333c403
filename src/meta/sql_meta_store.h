// MetaStore over any SQL engine: the stores, put together.
#pragma once

#include <memory>

#include "meta/sql_access_token_store.h"
#include "meta/sql_account_mirror.h"
#include "meta/sql_account_store.h"
#include "meta/sql_audit_store.h"
#include "meta/sql_change_log.h"
#include "meta/sql_collector_store.h"
#include "meta/sql_content_store.h"
#include "meta/sql_external_account_store.h"
#include "meta/sql_failed_login_store.h"
#include "meta/sql_local_stores.h"
#include "meta/sql_organization_store.h"
#include "meta/sql_repository_store.h"
#include "meta/sql_scrub_store.h"

namespace dtr::meta {

class SqlMetaStore final : public MetaStore {
  public:
    // The database's schema is kSchemaVersion.
    SqlMetaStore(std::unique_ptr<sql::Database> database, Clock& clock, Random& random);

    RepositoryStore& repositories() override { return repositories_; }
    ContentStore& content() override { return content_; }
    UploadStore& uploads() override { return uploads_; }
    AccountStore& accounts() override { return accounts_; }
    ExternalAccountStore& external_accounts() override { return external_accounts_; }
    OrganizationStore& organizations() override { return organizations_; }
    TeamStore& teams() override { return teams_; }
    GrantStore& grants() override { return grants_; }
    AccountMirror& account_mirror() override { return account_mirror_; }
    AuditStore& audit() override { return audit_; }
    FailedLoginStore& failed_logins() override { return failed_logins_; }
    EscrowStore& escrow() override { return escrow_; }
    AccessTokenStore& access_tokens() override { return access_tokens_; }
    FenceStore& fences() override { return fences_; }
    ChangeLog& changes() override { return changes_; }
    CollectorStore& collector() override { return collector_; }
    ScrubStore& scrub() override { return scrub_; }
    Result<Epoch> epoch() override;
    Status set_epoch(const Epoch& epoch) override;
    [[nodiscard]] int schema_version() const override { return kSchemaVersion; }
    [[nodiscard]] std::optional<std::uint64_t> revision() const override { return database_->revision(); }
    Result<std::optional<std::uint64_t>> free_bytes() override { return database_->free_bytes(); }

  private:
    std::unique_ptr<sql::Database> database_;
    SqlRepositoryStore repositories_;
    SqlContentStore content_;
    SqlUploadStore uploads_;
    SqlAccountStore accounts_;
    SqlExternalAccountStore external_accounts_;
    SqlOrganizationStore organizations_;
    SqlTeamStore teams_;
    SqlGrantStore grants_;
    SqlAccountMirror account_mirror_;
    SqlAuditStore audit_;
    SqlFailedLoginStore failed_logins_;
    SqlEscrowStore escrow_;
    SqlAccessTokenStore access_tokens_;
    SqlFenceStore fences_;
    SqlChangeLog changes_;
    SqlCollectorStore collector_;
    SqlScrubStore scrub_;
};

}  // namespace dtr::meta
