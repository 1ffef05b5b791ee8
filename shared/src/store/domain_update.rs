//! The update of a domain: its portal, its redirect, and whether it is the primary domain.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    config::Config,
    models::{
        Code,
        audit::{Action, changes},
        domain::{Domain, PortalDomain, PortalDomainUpdate, Redirect},
        fields::FieldError,
        id::DomainId,
    },
};

use super::{
    Agency, DomainRecord, Error, Record, Result,
    domains::{holds, take_domain, write_candidate},
    item, keys, parse,
    transaction::{AttributeUpdate, Commit, Condition, Part, Transaction, text},
};

const REDIRECT_COUNT: &str = "redirectCount";

/// The domain that was set as the primary one of its portal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PrimaryItem {
    primary_domain: DomainId,
}

pub(super) fn unknown_client() -> FieldError {
    let detail = "Give the id of a client of this agency.";
    FieldError::new("/clientOrgId", Code::NotAllowed, detail)
}

impl Agency<'_> {
    /// Updates a domain.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::NotFound`], [`Error::Invalid`], [`Error::RedirectTarget`]
    pub async fn update_domain(
        &self,
        id: DomainId,
        update: &PortalDomainUpdate,
        config: &Config,
    ) -> Result<PortalDomain> {
        let mut retry = self.retry();
        loop {
            let (before, after) = self.updated(id, update).await?;
            let shown = config.show(after.domain().clone());
            let (mut was, is) = changes(&config.show(before.domain().clone()), &shown);
            let former = match becomes_primary(before.domain(), after.domain()) {
                true => match self.former_primary(after.domain()).await {
                    Err(Error::Conflict) => {
                        retry.wait().await?;
                        continue;
                    }
                    former => former?,
                },
                false => None,
            };
            if let (Some(former), Some(was)) = (&former, was.as_mut()) {
                was["primaryDomain"] = json!(former.domain().id);
            }
            let mut transaction = self.transaction();
            self.write_update(&mut transaction, &before, &after, former.as_ref())?;
            let record = Record::of_domain(Action::DomainUpdated, after.domain(), (was, is));
            self.audit(&mut transaction, after.stored.write_id, record)?;
            match transaction.commit(&mut retry).await? {
                Commit::Done => return Ok(shown),
                // Another write came first. What it changed may make this update invalid.
                Commit::Refused(_) => retry.wait().await?,
            }
        }
    }

    /// A domain before and after an update. The request that reads the domain also reads what the update names.
    async fn updated(
        &self,
        id: DomainId,
        update: &PortalDomainUpdate,
    ) -> Result<(DomainRecord, DomainRecord)> {
        let agency = keys::agency(self.org);
        let client = update.client_org_id.flatten();
        let client_key = client.map_or(agency.clone(), |client| keys::client(self.org, client));
        let to = update.redirect_to.flatten();
        let target_key = to.map_or(agency.clone(), |to| keys::domain(self.org, to));
        let keys = [agency, keys::domain(self.org, id), client_key, target_key];
        let [agency, domain, client_item, target] = self.store.read(keys).await?;
        agency.ok_or(Error::NotEnabled)?;
        let before: DomainRecord = parse(domain.ok_or(Error::NotFound)?)?;
        let was = before.domain();
        let client = update.client_org_id.unwrap_or(was.client_org_id);
        let moves = client != was.client_org_id;
        // A move ends both, unless the request sets them anew. What the caller has received and sends back sets nothing.
        let old_target = was.redirect.as_ref().map(|redirect| redirect.to);
        let primary = match moves {
            true => update.primary == Some(true) && !was.primary,
            false => update.primary.unwrap_or(was.primary),
        };
        let redirect_to = update.redirect_to.filter(|to| !moves || *to != old_target);
        let mut errors = Vec::new();
        if client_item.is_none() {
            errors.push(unknown_client());
        }
        let redirect = match redirect_to {
            None if moves => None,
            None => was.redirect.clone(),
            Some(None) => None,
            Some(Some(_)) => {
                let target: Option<DomainRecord> =
                    target.filter(|_| to != Some(id)).map(parse).transpose()?;
                let target = target.filter(|target| errors.len() == 1 || target.may_be_target(client));
                redirect(&before, target).map_err(|error| errors.push(error)).ok()
            }
        };
        if !errors.is_empty() {
            return Err(Error::Invalid(errors));
        }
        if moves && before.redirect_count > 0 {
            return Err(Error::RedirectTarget);
        }
        let domain = Domain {
            client_org_id: client,
            primary,
            redirect,
            ..was.clone()
        };
        let after = before.with(domain, self.write_after(&before.stored));
        Ok((before, after))
    }

    /// The other domain that was set as the primary one of the portal, if there is one.
    ///
    /// # Errors
    /// [`Error::Conflict`]: another update of a primary domain came first.
    async fn former_primary(&self, domain: &Domain) -> Result<Option<DomainRecord>> {
        let key = keys::primary(self.org, domain.client_org_id);
        let Some(primary) = self.store.get(key).await? else {
            return Ok(None);
        };
        let PrimaryItem { primary_domain: id } = parse(primary)?;
        let former: Option<DomainRecord> = match id == domain.id {
            true => None,
            false => self
                .store
                .get(keys::domain(self.org, id))
                .await?
                .map(parse)
                .transpose()?,
        };
        let is_primary = |former: &DomainRecord| {
            former.domain().primary && former.domain().client_org_id == domain.client_org_id
        };
        former.filter(is_primary).map(Some).ok_or(Error::Conflict)
    }

    /// Writes the domain and everything that changes with it.
    fn write_update(
        &self,
        transaction: &mut Transaction<'_>,
        before: &DomainRecord,
        after: &DomainRecord,
        former: Option<&DomainRecord>,
    ) -> Result<()> {
        let (was, is) = (before.domain(), after.domain());
        let moves = was.client_org_id != is.client_org_id;
        let unchanged = match moves || was.redirect.is_none() && is.redirect.is_some() {
            true => before.unchanged_and_no_target(),
            false => Condition::unchanged(Part::Resource, before.stored.write_id),
        };
        let update = before.update_to(after)?;
        transaction.update(keys::domain(self.org, is.id), &update, Some(unchanged))?;
        write_candidate(transaction, Some(was), is)?;
        if moves {
            if let Some(client) = was.client_org_id {
                take_domain(transaction, client)?;
            }
            if let Some(client) = is.client_org_id {
                self.give_domain(transaction, client)?;
            }
        }
        if is.status.serves() && (moves || was.redirect != is.redirect) {
            transaction.put(holds(is)?, None)?;
        }
        self.write_primary(transaction, was, is, former)?;
        self.write_targets(transaction, was, is, former)
    }

    /// Writes which domain was set as the primary one of the portal.
    fn write_primary(
        &self,
        transaction: &mut Transaction<'_>,
        was: &Domain,
        is: &Domain,
        former: Option<&DomainRecord>,
    ) -> Result<()> {
        let key = |domain: &Domain| keys::primary(self.org, domain.client_org_id);
        if was.primary && (!is.primary || key(was) != key(is)) {
            transaction.delete(key(was), None)?;
        }
        if becomes_primary(was, is) {
            let unchanged = match former {
                Some(former) => Condition::new(
                    Part::Primary,
                    "primaryDomain = :former",
                    [(":former", text(former.domain().id))],
                ),
                None => Condition::absent(Part::Primary),
            };
            let primary = PrimaryItem {
                primary_domain: is.id,
            };
            transaction.put(item(key(is), "primary-domain", &primary)?, Some(unchanged))?;
        }
        Ok(())
    }

    /// Writes how many domains redirect to the old and the new target of the domain, and that the former primary domain is not
    /// primary any more. The former primary domain may be a target, and a transaction writes each item once.
    fn write_targets(
        &self,
        transaction: &mut Transaction<'_>,
        was: &Domain,
        is: &Domain,
        former: Option<&DomainRecord>,
    ) -> Result<()> {
        let target = |domain: &Domain| domain.redirect.as_ref().map(|redirect| redirect.to);
        let (old, new) = (target(was), target(is));
        let change = |target| i64::from(new == Some(target)) - i64::from(old == Some(target));
        if let Some(former) = former {
            let id = former.domain().id;
            let domain = Domain {
                primary: false,
                ..former.domain().clone()
            };
            let after = former.with(domain, self.write_after(&former.stored));
            let update = former.update_to(&after)?.and_add(REDIRECT_COUNT, change(id));
            // It was read after the target was: this version must be a valid target, too.
            let condition = match change(id) > 0 && !former.may_be_target(is.client_org_id) {
                true => return Err(Error::Conflict),
                false => Condition::unchanged(Part::FormerPrimary, former.stored.write_id),
            };
            transaction.update(keys::domain(self.org, id), &update, Some(condition))?;
            write_candidate(transaction, Some(former.domain()), after.domain())?;
        }
        let is_former = |id| former.is_some_and(|former| former.domain().id == id);
        for id in [old, new].into_iter().flatten() {
            if change(id) != 0 && !is_former(id) {
                let count = AttributeUpdate::add(&[(REDIRECT_COUNT, change(id))]);
                let condition = (new == Some(id)).then(|| is_target_of(is));
                transaction.update(keys::domain(self.org, id), &count, condition)?;
            }
        }
        Ok(())
    }
}

fn becomes_primary(was: &Domain, is: &Domain) -> bool {
    is.primary && (!was.primary || was.client_org_id != is.client_org_id)
}

/// The redirect of a domain to this target, which is `None` if it is not a valid one.
fn redirect(
    domain: &DomainRecord,
    target: Option<DomainRecord>,
) -> std::result::Result<Redirect, FieldError> {
    let not_allowed = |detail| FieldError::new("/redirectTo", Code::NotAllowed, detail);
    if domain.redirect_count > 0 {
        return Err(not_allowed(
            "Other domains redirect to this domain. Change them first.",
        ));
    }
    let target = target.ok_or_else(|| {
        not_allowed(
            "Give the id of another domain of the same portal. It must not redirect to a further domain.",
        )
    })?;
    let target = target.stored.value;
    Ok(Redirect {
        to: target.id,
        hostname: target.hostname,
    })
}

/// The condition on the domain that this one is to redirect to.
fn is_target_of(domain: &Domain) -> Condition {
    match domain.client_org_id {
        Some(client) => Condition::new(
            Part::RedirectTarget,
            "attribute_exists(PK) AND attribute_not_exists(redirect) AND clientOrgId = :client",
            [(":client", text(client))],
        ),
        None => Condition::new(
            Part::RedirectTarget,
            "attribute_exists(PK) AND attribute_not_exists(redirect) AND attribute_not_exists(clientOrgId)",
            [],
        ),
    }
}
