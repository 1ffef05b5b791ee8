//! The agency's portal domains, and who holds a host name.

use std::time::Duration;

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::update_item::UpdateItemError,
    types::{ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    config::Config,
    models::{
        audit::{Action, TargetType, snapshot},
        domain::{Domain, DomainType, PortalDomain, PortalDomainCreate, Status, Token},
        hostname::Hostname,
        id::{DomainId, OrgId},
        time::Timestamp,
    },
};

use super::{
    Agency, Created, Error, IdempotencyKey, Item, Page, PageRequest, Record, Result, Store, Stored, item,
    keys::{self, List},
    parse, sdk_error,
    transaction::{Condition, Outcome, Part, Transaction, number, text},
};

/// How long a deleted label stays its agency's.
const LABEL_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long after a check of a domain the next one may be asked for.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// A domain as it was read, to be written on that condition.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DomainRecord {
    #[serde(flatten)]
    stored: Stored<Domain>,
    /// When somebody last asked for a check: milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slot_at: Option<i64>,
    /// Who that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slot_id: Option<String>,
}

impl DomainRecord {
    /// The domain.
    pub fn domain(&self) -> &Domain {
        &self.stored.value
    }
}

/// Who holds a host name, or for whom a deleted label is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// The agency.
    pub agency: OrgId,
    /// Its domain.
    pub domain: DomainId,
    /// Of a deleted label: until when, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_until: Option<i64>,
}

/// What became of a check's result.
#[derive(Debug)]
pub enum Checked {
    /// It was written, or another check was faster: this is how the domain stands.
    Domain(Box<Domain>),
    /// Somebody else has taken the host name meanwhile.
    HolderChanged,
}

impl Store {
    /// Who holds a host name: one of the few look-ups outside the caller's own partition.
    pub async fn holder(&self, hostname: &Hostname) -> Result<Option<Holder>> {
        let holder: Option<Holder> = self.get(keys::holder(hostname)).await?.map(parse).transpose()?;
        Ok(holder.filter(|holder| holder.keep_until.is_none()))
    }
}

impl Agency<'_> {
    /// A page of the domains, oldest first.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::InvalidCursor`]
    pub async fn domains(&self, page: &PageRequest) -> Result<Page<Domain>> {
        self.page(List::Domains, page).await
    }

    /// A domain.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::NotFound`]
    pub async fn domain(&self, id: DomainId) -> Result<Domain> {
        parse(self.item(keys::domain(self.org, id)).await?)
    }

    /// Creates a domain. `token` is for a custom one.
    ///
    /// # Errors
    /// [`Error::IdempotencyMismatch`], [`Error::NotEnabled`], [`Error::HostnameTaken`], [`Error::LimitReached`]
    pub async fn create_domain(
        &self,
        new: PortalDomainCreate,
        token: Token,
        config: &Config,
        key: Option<&IdempotencyKey>,
    ) -> Result<Created<PortalDomain>> {
        let (id, org, now) = (DomainId::new(self.caller.now), self.org.clone(), self.caller.now);
        let domain = match new {
            PortalDomainCreate::Subdomain { subdomain } => {
                Domain::subdomain(id, org, config.names.hostname(&subdomain), now)
            }
            PortalDomainCreate::Custom { custom_domain } => {
                Domain::custom(id, org, custom_domain, token, now)
            }
        };
        let answer = config.show(domain.clone());
        self.write_new_domain(&domain, answer, config.max_domains, key)
            .await
    }

    async fn write_new_domain(
        &self,
        domain: &Domain,
        answer: PortalDomain,
        limit: u32,
        key: Option<&IdempotencyKey>,
    ) -> Result<Created<PortalDomain>> {
        let mut transaction = self.transaction();
        let room = Condition::new(
            "attribute_exists(PK) AND domainCount < :limit",
            [(":limit", number(limit))],
        );
        self.count_domains(&mut transaction, None, Some(domain.status), room)?;
        let record = DomainRecord {
            stored: Stored::new(domain.clone()),
            slot_at: None,
            slot_id: None,
        };
        self.write_domain(&mut transaction, None, &record, Condition::absent())?;
        let claim = item(
            keys::name(self.org, &domain.hostname),
            "name",
            &json!({"domain": domain.id}),
        )?;
        transaction.put(Part::Name, claim, Condition::absent())?;
        if let Some(token) = &domain.token {
            let token = item(
                keys::token(self.org, token),
                "token",
                &json!({"domain": domain.id}),
            )?;
            transaction.put(Part::Free, token, None)?;
        } else {
            let free = Condition::new(
                "attribute_not_exists(PK) OR keepUntil <= :now OR (attribute_exists(keepUntil) AND agency = :me)",
                [
                    (":now", number(self.caller.now.seconds())),
                    (":me", text(self.org)),
                ],
            );
            transaction.put(Part::Holder, self.holds(domain)?, free)?;
        }
        self.remember(&mut transaction, "createPortalDomain", key, &answer)?;
        self.audit_domain(
            &mut transaction,
            domain,
            Action::DomainCreated,
            (None, snapshot(&answer)),
            [],
        )?;
        match transaction.commit(&mut self.store.retry()).await? {
            Outcome::Done => Ok(Created {
                resource: answer,
                replayed: false,
            }),
            Outcome::Refused(refused) => {
                if let Some(replay) = Self::replay(&refused, key)? {
                    Ok(replay)
                } else if refused.by(Part::Agency).is_some_and(Item::is_empty) {
                    Err(Error::NotEnabled)
                } else if refused.by(Part::Name).or(refused.by(Part::Holder)).is_some() {
                    Err(Error::HostnameTaken)
                } else {
                    Err(Error::LimitReached)
                }
            }
        }
    }

    /// Deletes a domain, its token and its hold on the name. A label of ours is kept for its agency for 30 days.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::NotFound`]
    pub async fn delete_domain(&self, id: DomainId, config: &Config) -> Result<()> {
        let mut retry = self.store.retry();
        loop {
            let before: DomainRecord = parse(self.item(keys::domain(self.org, id)).await?)?;
            let domain = before.domain();
            let mut transaction = self.transaction();
            self.count_domains(&mut transaction, Some(domain.status), None, None)?;
            transaction.delete(
                Part::Resource,
                keys::domain(self.org, id),
                Condition::unchanged(&before.stored.write_id),
            )?;
            transaction.delete(Part::Free, keys::name(self.org, &domain.hostname), None)?;
            if let Some(token) = &domain.token {
                transaction.delete(Part::Free, keys::token(self.org, token), None)?;
            }
            if let Some(rank) = domain.primary_rank() {
                transaction.delete(Part::Free, keys::prime(self.org, rank, id), None)?;
            }
            match domain.kind {
                DomainType::Subdomain => {
                    let until = (self.caller.now + LABEL_KEPT).seconds();
                    let mut kept = self.holds(domain)?;
                    kept.insert("keepUntil".to_owned(), number(until));
                    kept.insert(keys::TTL.to_owned(), number(until));
                    transaction.put(Part::Free, kept, None)?;
                }
                DomainType::Custom if domain.status.serves() => {
                    transaction.delete(Part::Free, keys::holder(&domain.hostname), None)?;
                }
                DomainType::Custom => {}
            }
            let was = snapshot(&config.show(domain.clone()));
            self.audit_domain(&mut transaction, domain, Action::DomainDeleted, (was, None), [])?;
            match transaction.commit(&mut retry).await? {
                Outcome::Done => return Ok(()),
                Outcome::Refused(_) => retry.wait().await?,
            }
        }
    }

    /// Takes the domain's slot for a check and reads the domain, in one conditional update.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::NotFound`], [`Error::TooSoon`]
    pub async fn begin_check(&self, id: DomainId) -> Result<DomainRecord> {
        let now = self.caller.now;
        let call = self
            .store
            .client
            .update_item()
            .table_name(&self.store.table)
            .set_key(Some(keys::domain(self.org, id).item()))
            .update_expression("SET slotAt = :now, slotId = :slot")
            // The slot's own id: a repetition of this very call, whose answer was lost, is not too soon.
            .condition_expression(
                "attribute_exists(PK) AND (attribute_not_exists(slotAt) OR slotAt <= :before OR slotId = :slot)",
            )
            .expression_attribute_values(":now", number(now.millis()))
            .expression_attribute_values(":before", number((now - CHECK_INTERVAL).millis()))
            .expression_attribute_values(":slot", text(Uuid::new_v4().simple()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let mut retry = self.store.retry();
        loop {
            let failure = match call.clone().send().await {
                Ok(answer) => return parse(answer.attributes.unwrap_or_default()),
                Err(failure) => failure,
            };
            if let SdkError::ServiceError(service) = &failure
                && let UpdateItemError::ConditionalCheckFailedException(refused) = service.err()
            {
                let Some(old) = &refused.item else {
                    // There is no such domain: is there such an agency?
                    return match self.store.get(keys::agency(self.org)).await? {
                        Some(_) => Err(Error::NotFound),
                        None => Err(Error::NotEnabled),
                    };
                };
                let slot_at = parse::<DomainRecord>(old.clone())?.slot_at.unwrap_or_default();
                let free = Timestamp::from_millis(slot_at) + CHECK_INTERVAL;
                return Err(Error::TooSoon(free.since(now).min(CHECK_INTERVAL)));
            }
            match sdk_error(failure) {
                Error::Conflict => retry.wait().await?,
                error => return Err(error),
            }
        }
    }

    /// Writes what a check found, if the domain is still what the check began with; the status, the counters, the hold
    /// on the name and the audit entry change together.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the domain was deleted meanwhile.
    pub async fn finish_check(&self, before: &DomainRecord, after: Domain) -> Result<Checked> {
        let record = DomainRecord {
            stored: Stored::new(after),
            ..before.clone()
        };
        let (was, is) = (before.domain(), record.domain());
        let mut transaction = self.transaction();
        let unchanged = Condition::unchanged(&before.stored.write_id);
        self.write_domain(&mut transaction, Some(was), &record, unchanged)?;
        if was.status.serves() != is.status.serves() {
            if is.status.serves() {
                transaction.put(Part::Holder, self.holds(is)?, Condition::absent())?;
            } else {
                transaction.delete(Part::Free, keys::holder(&is.hostname), None)?;
            }
        }
        if was.status != is.status {
            self.count_domains(&mut transaction, Some(was.status), Some(is.status), None)?;
            let action = match is.status {
                Status::Pending => Action::DomainPending,
                Status::Verified => Action::DomainVerified,
                Status::Failing => Action::DomainFailing,
                Status::Failed => Action::DomainFailed,
            };
            let state = |domain: &Domain| {
                let problem = domain.check.as_ref().and_then(|check| check.problem.as_ref());
                Some(json!({"status": domain.status, "routing": domain.routing, "problem": problem}))
            };
            let flat = [("from", was.status), ("to", is.status)];
            self.audit_domain(&mut transaction, is, action, (state(was), state(is)), flat)?;
        }
        match transaction.commit(&mut self.store.retry()).await? {
            Outcome::Done => Ok(Checked::Domain(Box::new(record.stored.value))),
            Outcome::Refused(refused) => match refused.by(Part::Resource) {
                Some(winner) if winner.is_empty() => Err(Error::NotFound),
                Some(winner) => Ok(Checked::Domain(Box::new(parse(winner.clone())?))),
                None => Ok(Checked::HolderChanged),
            },
        }
    }

    /// Moves a domain between the agency's counters.
    fn count_domains(
        &self,
        transaction: &mut Transaction<'_>,
        from: Option<Status>,
        to: Option<Status>,
        condition: Option<Condition>,
    ) -> Result<()> {
        let counter = |status| match status {
            Status::Pending => "pendingCount",
            Status::Verified => "verifiedCount",
            Status::Failing => "failingCount",
            Status::Failed => "failedCount",
        };
        let mut changes = Vec::new();
        let mut values = Vec::new();
        if let Some(from) = from {
            changes.push(format!("{} :less", counter(from)));
            values.push((":less", number(-1)));
        }
        if let Some(to) = to {
            changes.push(format!("{} :more", counter(to)));
            values.push((":more", number(1)));
        }
        match (from, to) {
            (None, Some(_)) => changes.push("domainCount :more".to_owned()),
            (Some(_), None) => changes.push("domainCount :less".to_owned()),
            _ => {}
        }
        let expression = format!("ADD {}", changes.join(", "));
        transaction.update(
            Part::Agency,
            keys::agency(self.org),
            expression,
            condition,
            values,
        )
    }

    /// The domain, its place in the index of what is due, and its place among the candidates for the primary domain.
    fn write_domain(
        &self,
        transaction: &mut Transaction<'_>,
        before: Option<&Domain>,
        record: &DomainRecord,
        condition: Option<Condition>,
    ) -> Result<()> {
        let domain = record.domain();
        let mut stored = item(keys::domain(self.org, domain.id), "domain", record)?;
        if let Some(next) = domain.check.as_ref().and_then(|check| check.next_check_at) {
            stored.extend(keys::due(self.org, next, domain.id));
        }
        transaction.put(Part::Resource, stored, condition)?;
        let was = before.and_then(|before| Some((before.primary_rank()?, before.primary())));
        let is = domain.primary_rank().map(|rank| (rank, domain.primary()));
        if was == is {
            return Ok(());
        }
        if let Some((rank, _)) = was
            && is.as_ref().is_none_or(|(new, _)| *new != rank)
        {
            transaction.delete(Part::Free, keys::prime(self.org, rank, domain.id), None)?;
        }
        if let Some((rank, primary)) = is {
            let candidate = item(keys::prime(self.org, rank, domain.id), "primary", &primary)?;
            transaction.put(Part::Free, candidate, None)?;
        }
        Ok(())
    }

    fn holds(&self, domain: &Domain) -> Result<Item> {
        let holder = Holder {
            agency: self.org.clone(),
            domain: domain.id,
            keep_until: None,
        };
        item(keys::holder(&domain.hostname), "holder", &holder)
    }

    fn audit_domain(
        &self,
        transaction: &mut Transaction<'_>,
        domain: &Domain,
        action: Action,
        (before, after): (Option<serde_json::Value>, Option<serde_json::Value>),
        statuses: impl IntoIterator<Item = (&'static str, Status)>,
    ) -> Result<()> {
        let mut flat = Vec::new();
        for (name, status) in statuses {
            flat.push((name, status.as_str().to_owned()));
        }
        if !flat.is_empty() {
            flat.push(("hostname", domain.hostname.to_string()));
        }
        let target = (TargetType::Domain, domain.id.to_string());
        self.audit(
            transaction,
            Record {
                action,
                target,
                before,
                after,
                flat,
            },
        )
    }
}
