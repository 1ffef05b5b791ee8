//! The agency.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::models::{
    agency::{AgencyResource, DomainCounts, Overview},
    audit::{Action, AuditEntry, snapshot},
    portal::PrimaryDomain,
    time::Timestamp,
};

use super::{
    Agency, Error, Page, PageRequest, Record, Result, item,
    keys::{self, List},
    parse, settings,
    transaction::{Commit, Condition, Part},
};

/// The agency's item. Its counters change in the same transactions as the items that they count.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AgencyItem {
    enabled_at: Timestamp,
    client_count: u64,
    domain_count: u64,
    verified_count: u64,
    pending_count: u64,
    failing_count: u64,
    failed_count: u64,
}

impl Agency<'_> {
    /// Enables agency mode. A repeated call changes nothing.
    pub async fn enable(&self) -> Result<AgencyResource> {
        let agency = AgencyItem {
            enabled_at: self.caller.now,
            client_count: 0,
            domain_count: 0,
            verified_count: 0,
            pending_count: 0,
            failing_count: 0,
            failed_count: 0,
        };
        let out = self.show(&agency);
        let mut transaction = self.transaction();
        let absent = Condition::absent(Part::Agency);
        transaction.put(item(keys::agency(self.org), "agency", &agency)?, Some(absent))?;
        for settings in settings::initial(self.org)? {
            transaction.put(settings, None)?;
        }
        for list in List::ALL {
            transaction.put(item(list.head(self.org), "head", &json!({}))?, None)?;
        }
        let changes = (None, snapshot(&out));
        self.audit(
            &mut transaction,
            Record::new(Action::AgencyEnabled, self.org, changes),
        )?;
        match transaction.commit(&mut self.retry()).await? {
            Commit::Done => Ok(out),
            Commit::Refused(refused) => {
                let old = refused.by(Part::Agency).ok_or(Error::Conflict)?;
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

    /// A summary of the agency, in one query of at most two items.
    ///
    /// # Errors
    /// [`Error::NotEnabled`]
    pub async fn overview(&self) -> Result<Overview> {
        let mut items = self.store.between(self.org, keys::OVERVIEW, 2).await?.into_iter();
        let agency: AgencyItem = parse(items.next().ok_or(Error::NotEnabled)?)?;
        let primary: Option<PrimaryDomain> = items.next().map(parse).transpose()?;
        Ok(Overview {
            organization_id: self.org.clone(),
            enabled_at: agency.enabled_at,
            client_count: agency.client_count,
            portal_domains: DomainCounts {
                total: agency.domain_count,
                verified: agency.verified_count,
                pending: agency.pending_count,
                failing: agency.failing_count,
                failed: agency.failed_count,
            },
            primary_domain: primary.map(|domain| domain.hostname),
        })
    }

    /// A page of the audit log, newest first.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::InvalidCursor`]
    pub async fn audit_entries(&self, page: &PageRequest) -> Result<Page<AuditEntry>> {
        self.page(List::Audit, page).await
    }
}
