//! The agency.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::models::{
    agency::{AgencyResource, DomainCounts, Overview},
    audit::{Action, AuditEntry, snapshot},
    portal::PortalContextDomain,
    time::Timestamp,
};

use super::{
    Agency, Error, Page, PageRequest, Record, Result, WriteId,
    clients::ClientCount,
    item,
    keys::{self, List},
    parse, settings,
    transaction::{Commit, Condition, Part},
};

/// The agency's item. Its counters change in the same transactions as the domains that they count.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AgencyItem {
    enabled_at: Timestamp,
    domain_count: u64,
    verified_count: u64,
    pending_count: u64,
    failing_count: u64,
    failed_count: u64,
    #[serde(default)]
    tls_not_ready_count: u64,
}

impl Agency<'_> {
    /// Enables agency mode. A repeated call changes nothing.
    pub async fn enable(&self) -> Result<AgencyResource> {
        let agency = AgencyItem {
            enabled_at: self.caller.now,
            domain_count: 0,
            verified_count: 0,
            pending_count: 0,
            failing_count: 0,
            failed_count: 0,
            tls_not_ready_count: 0,
        };
        let out = self.show(&agency);
        let write = WriteId::new(self.caller.now);
        let mut transaction = self.transaction();
        let absent = Condition::absent(Part::Resource);
        transaction.put(item(keys::agency(self.org), "agency", &agency)?, Some(absent))?;
        for shard in 0..keys::CLIENT_SHARDS {
            let count = item(
                keys::client_count(self.org, shard),
                "client-count",
                &ClientCount::default(),
            )?;
            transaction.put(count, None)?;
        }
        for settings in settings::initial(self.org, None, write)? {
            transaction.put(settings, None)?;
        }
        for list in List::ALL {
            transaction.put(item(list.head(self.org), "head", &json!({}))?, None)?;
        }
        let changes = (None, snapshot(&out));
        let record = Record::new(Action::AgencyEnabled, self.org, changes);
        self.audit(&mut transaction, write, record)?;
        match transaction.commit(&mut self.retry()).await? {
            Commit::Done => Ok(out),
            Commit::Refused(refused) => {
                let old = refused.by(Part::Resource).ok_or(Error::Conflict)?;
                Ok(self.show(&parse(old.clone())?))
            }
        }
    }

    fn show(&self, agency: &AgencyItem) -> AgencyResource {
        AgencyResource {
            organization_id: self.org.clone(),
            enabled: true,
            enabled_at: agency.enabled_at,
        }
    }

    /// A summary of the agency, in one query: its item, the counters and the first candidate for the primary domain.
    ///
    /// # Errors
    /// [`Error::NotEnabled`]
    pub async fn overview(&self) -> Result<Overview> {
        let limit = 2 + keys::CLIENT_SHARDS;
        let items = self
            .store
            .between(keys::partition(self.org), keys::OVERVIEW, limit)
            .await?;
        let mut items = items.into_iter();
        let agency: AgencyItem = parse(items.next().ok_or(Error::NotEnabled)?)?;
        let shards = items.by_ref().take(keys::CLIENT_SHARDS.into());
        let shards: Vec<ClientCount> = shards.map(parse).collect::<Result<_>>()?;
        let sum = |count: fn(&ClientCount) -> i64| {
            u64::try_from(shards.iter().map(count).sum::<i64>()).unwrap_or_default()
        };
        let primary: Option<PortalContextDomain> = items.next().map(parse).transpose()?;
        Ok(Overview {
            organization_id: self.org.clone(),
            enabled_at: agency.enabled_at,
            client_count: sum(|shard| shard.client_count),
            suspended_client_count: sum(|shard| shard.suspended_count),
            portal_domains: DomainCounts {
                total: agency.domain_count,
                verified: agency.verified_count,
                pending: agency.pending_count,
                failing: agency.failing_count,
                failed: agency.failed_count,
                tls_not_ready: agency.tls_not_ready_count,
            },
            primary_domain: primary.map(|domain| domain.hostname),
        })
    }

    /// A page of the audit log, newest first.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::InvalidCursor`]
    pub async fn audit_entries(&self, page: &PageRequest) -> Result<Page<AuditEntry>> {
        self.page(&List::Audit.range(), page).await
    }
}
