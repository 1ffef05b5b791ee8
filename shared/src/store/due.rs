//! Due domains: read from the index, oldest first, page by page.

use std::time::Duration;

use aws_sdk_dynamodb::{
    operation::{query::builders::QueryFluentBuilder, update_item::UpdateItemError},
    types::Select,
};

use crate::models::{domain::Domain, time::Timestamp};

use super::{
    DomainRecord, Error, Item, Result, Store,
    keys::{self, Key},
    parse, sdk_error,
    transaction::text,
};

/// How long a record that cannot be parsed is put off.
const PUT_OFF: Duration = Duration::from_secs(24 * 3600);

/// An entry of the index of due domains. The index holds nothing but keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DueKey {
    key: Key,
    due: String,
    due_at: String,
}

/// What the table has for an entry of the index. The index is eventually consistent, so only this counts.
#[derive(Debug)]
pub enum DueLookup {
    /// A domain that is due.
    Due(Box<DomainRecord>),
    /// The item cannot be parsed.
    Unreadable(Error),
    /// The domain is not due any more, or was deleted.
    Gone,
}

impl DueKey {
    /// Since when the domain is due.
    pub fn at(&self) -> Option<Timestamp> {
        keys::due_time(&self.due_at)
    }

    /// The entry of a domain, if it has a next check.
    pub fn of(domain: &Domain) -> Option<Self> {
        let next = domain.check.as_ref()?.next_check_at?;
        let mut item = keys::domain(&domain.agency_id, domain.id).item();
        item.extend(keys::due(&domain.agency_id, next, domain.id));
        Self::read(item)
    }

    fn read(item: Item) -> Option<Self> {
        Some(Self {
            key: Key::of(&item)?,
            due: keys::string(&item, keys::DUE)?,
            due_at: keys::string(&item, keys::DUE_AT)?,
        })
    }

    fn start(&self) -> Item {
        let mut start = self.key.clone().item();
        start.insert(keys::DUE.to_owned(), text(&self.due));
        start.insert(keys::DUE_AT.to_owned(), text(&self.due_at));
        start
    }
}

/// For the log.
impl std::fmt::Display for DueKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.key.pk, self.key.sk)
    }
}

impl Store {
    /// The next `limit` entries of a shard that are due at `now`, oldest first, after the entry `after`. If there are fewer,
    /// they are the last ones.
    pub async fn due(
        &self,
        shard: u8,
        now: Timestamp,
        after: Option<&DueKey>,
        limit: usize,
    ) -> Result<Vec<DueKey>> {
        let mut found = Vec::new();
        let mut start = after.map(DueKey::start);
        loop {
            let wanted = i32::try_from(limit - found.len()).unwrap_or(i32::MAX);
            let call = self
                .due_query(shard, now)
                .limit(wanted)
                .set_exclusive_start_key(start);
            let answer = call.send().await.map_err(sdk_error)?;
            let items = answer.items.unwrap_or_default();
            found.extend(items.into_iter().filter_map(DueKey::read));
            start = answer.last_evaluated_key;
            if start.is_none() || found.len() >= limit {
                return Ok(found);
            }
        }
    }

    /// The number of entries of a shard that are due at `now`, after the entry `after`.
    pub async fn count_due(&self, shard: u8, now: Timestamp, after: Option<&DueKey>) -> Result<u64> {
        let mut pages = self
            .due_query(shard, now)
            .select(Select::Count)
            .set_exclusive_start_key(after.map(DueKey::start))
            .into_paginator()
            .send();
        let mut count = 0;
        while let Some(page) = pages.next().await {
            count += u64::try_from(page.map_err(sdk_error)?.count).unwrap_or_default();
        }
        Ok(count)
    }

    fn due_query(&self, shard: u8, now: Timestamp) -> QueryFluentBuilder {
        let (due, until) = keys::due_until(shard, now);
        self.client
            .query()
            .table_name(&self.table)
            .index_name(keys::DUE_INDEX)
            .key_condition_expression("#due = :due AND #at < :until")
            .expression_attribute_names("#due", keys::DUE)
            .expression_attribute_names("#at", keys::DUE_AT)
            .expression_attribute_values(":due", text(due))
            .expression_attribute_values(":until", text(until))
    }

    /// Reads the domains of these entries, at most 100, in their order. A domain whose due time changes while the index is read can
    /// have several entries, of which at most one is due.
    pub async fn look_up_due(&self, keys: Vec<DueKey>) -> Result<Vec<(DueKey, DueLookup)>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut items = self.batch(keys.iter().map(|due| due.key.clone())).await?;
        let lookups = keys.into_iter().map(|due| {
            let is_due = |item: &Item| item.get(keys::DUE_AT) == Some(&text(&due.due_at));
            let item = match items.get(&due.key).is_some_and(is_due) {
                true => items.remove(&due.key),
                false => None,
            };
            let lookup = match item.map(parse).transpose() {
                Ok(Some(record)) => DueLookup::Due(Box::new(record)),
                Ok(None) => DueLookup::Gone,
                Err(error) => DueLookup::Unreadable(error),
            };
            (due, lookup)
        });
        Ok(lookups.collect())
    }

    /// Puts off a record that cannot be parsed for 24 h. If another write came first, nothing changes.
    pub async fn put_off(&self, due: &DueKey, now: Timestamp) -> Result<()> {
        let call = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(due.key.clone().item()))
            .update_expression("SET #at = :later")
            .condition_expression("#at = :was")
            .expression_attribute_names("#at", keys::DUE_AT)
            .expression_attribute_values(":later", text(keys::due_again(&due.due_at, now + PUT_OFF)))
            .expression_attribute_values(":was", text(&due.due_at));
        let Err(failure) = call.send().await else {
            return Ok(());
        };
        match failure.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
            _ => Err(sdk_error(failure)),
        }
    }
}
