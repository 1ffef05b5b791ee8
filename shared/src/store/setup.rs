//! Setup links of custom domains.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::models::{
    audit::Action,
    branding::BrandingSettings,
    domain::DomainType,
    id::{DomainId, OrgId},
    portal::PublicBranding,
    setup::{SetupLinkCreate, SetupToken},
    time::Timestamp,
};

use super::{
    Agency, DomainRecord, Error, Record, Result, Store, item, keys, parse,
    settings::settings,
    transaction::{Commit, Condition, Part, number},
};

/// The setup link in the item of its domain. The token itself is not stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SetupLinkItem {
    pub(super) sha256: String,
    expires_at: Timestamp,
}

/// The domain of a setup link. The item's TTL deletes it late: the end in the domain's item decides.
#[derive(Debug, Serialize, Deserialize)]
struct LinkedDomain {
    agency: OrgId,
    domain: DomainId,
}

/// What a setup link shows.
#[derive(Debug)]
pub struct SetupDomain {
    /// The domain.
    pub record: DomainRecord,
    /// The branding of the agency or client whose domain it is.
    pub branding: PublicBranding,
    /// The time at which the link ends.
    pub expires_at: Timestamp,
}

impl Agency<'_> {
    /// Creates the setup link of a custom domain, in place of an earlier one. Returns the time at which it ends.
    ///
    /// # Errors
    /// [`Error::NotEnabled`]. [`Error::NotFound`], also for a subdomain.
    pub async fn create_setup_link(
        &self,
        id: DomainId,
        new: &SetupLinkCreate,
        token: &SetupToken,
    ) -> Result<Timestamp> {
        let expires_at = self.caller.now + new.duration();
        let link = SetupLinkItem {
            sha256: token.sha256(),
            expires_at,
        };
        self.set_setup_link(id, Some(link)).await?;
        Ok(expires_at)
    }

    /// Deletes the setup link of a custom domain, if there is one.
    ///
    /// # Errors
    /// [`Error::NotEnabled`]. [`Error::NotFound`], also for a subdomain.
    pub async fn delete_setup_link(&self, id: DomainId) -> Result<()> {
        self.set_setup_link(id, None).await
    }

    async fn set_setup_link(&self, id: DomainId, link: Option<SetupLinkItem>) -> Result<()> {
        let mut retry = self.retry();
        loop {
            let before: DomainRecord = parse(self.item(keys::domain(self.org, id)).await?)?;
            let domain = before.domain();
            if domain.kind == DomainType::Subdomain {
                return Err(Error::NotFound);
            }
            if link.is_none() && before.setup_link.is_none() {
                return Ok(());
            }
            // The new write id makes a deletion of the domain, which deletes its link, find this change.
            let write = self.write_after(&before.stored);
            let mut after = before.with(domain.clone(), write);
            after.setup_link = link.clone();
            let mut transaction = self.transaction();
            let update = before.update_to(&after)?;
            let unchanged = Condition::unchanged(Part::Resource, before.stored.write_id);
            transaction.update(keys::domain(self.org, id), &update, Some(unchanged))?;
            if let Some(old) = &before.setup_link {
                transaction.delete(keys::setup_link(&old.sha256), None)?;
            }
            let changes = match &link {
                Some(link) => {
                    let linked = LinkedDomain {
                        agency: self.org.clone(),
                        domain: id,
                    };
                    let mut linked = item(keys::setup_link(&link.sha256), "setup-link", &linked)?;
                    linked.insert(keys::TTL.to_owned(), number(link.expires_at.seconds()));
                    transaction.put(linked, None)?;
                    (None, Some(json!({"expiresAt": link.expires_at})))
                }
                None => (None, None),
            };
            let action = match link {
                Some(_) => Action::SetupLinkCreated,
                None => Action::SetupLinkDeleted,
            };
            self.audit(
                &mut transaction,
                write,
                Record::of_domain(action, domain, changes),
            )?;
            match transaction.commit(&mut retry).await? {
                Commit::Done => return Ok(()),
                Commit::Refused(_) => retry.wait().await?,
            }
        }
    }
}

impl Store {
    /// The domain of a setup link, in two requests. This look-up leaves every partition but that of the link.
    ///
    /// # Errors
    /// [`Error::NotFound`]: no link has this token, or it has ended.
    pub async fn setup(&self, token: &SetupToken, now: Timestamp) -> Result<SetupDomain> {
        let sha256 = token.sha256();
        let item = self
            .get(keys::setup_link(&sha256))
            .await?
            .ok_or(Error::NotFound)?;
        let LinkedDomain { agency, domain } = parse(item)?;
        let [domain, inherited] = self
            .read([keys::domain(&agency, domain), keys::branding(&agency, None)])
            .await?;
        let record: DomainRecord = parse(domain.ok_or(Error::NotFound)?)?;
        let link = record.setup_link.clone().filter(|link| link.sha256 == sha256);
        let link = link.filter(|link| link.expires_at > now).ok_or(Error::NotFound)?;
        let inherited: BrandingSettings = settings(inherited.ok_or(Error::NotFound)?)?;
        let client = record.domain().client_org_id;
        let branding = match client {
            None => inherited,
            Some(_) => {
                let own = self.get(keys::branding(&agency, client)).await?;
                settings::<BrandingSettings>(own.ok_or(Error::NotFound)?)?.or(inherited)
            }
        };
        Ok(SetupDomain {
            branding: PublicBranding::new(&agency, client, branding),
            expires_at: link.expires_at,
            record,
        })
    }
}
