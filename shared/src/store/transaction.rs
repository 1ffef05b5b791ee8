//! One DynamoDB transaction: its writes, their conditions, and the conditions that failed.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{
        AttributeValue, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
        builders::{TransactWriteItemBuilder, UpdateBuilder},
        error::TransactionCanceledException,
    },
};

use super::{Error, Item, Store, keys::Key, sdk_error};

/// The role of an item in a transaction, to tell which condition failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The audit entry, with a new id. If it already exists, this transaction has taken effect before, and its response
    /// was lost.
    AuditEntry,
    /// The idempotency record.
    Idempotency,
    /// The agency.
    Agency,
    /// The resource.
    Resource,
    /// The reservation of a client's slug.
    Slug,
    /// The agency's claim on a host name.
    Name,
    /// The holder of a host name.
    Holder,
    /// Another agency's domain that holds the same host name.
    HolderDomain,
    /// An item without a condition.
    Unconditional,
}

pub(super) struct Condition {
    expression: String,
    values: Vec<(&'static str, AttributeValue)>,
}

impl Condition {
    pub(super) fn new(
        expression: &str,
        values: impl Into<Vec<(&'static str, AttributeValue)>>,
    ) -> Option<Self> {
        Some(Self {
            expression: expression.to_owned(),
            values: values.into(),
        })
    }

    /// The item does not exist.
    pub(super) fn absent() -> Option<Self> {
        Self::new("attribute_not_exists(PK)", [])
    }

    /// The item is unchanged since it was read (optimistic locking).
    pub(super) fn unchanged(write_id: &str) -> Option<Self> {
        Self::new("writeId = :writeId", [(":writeId", text(write_id))])
    }

    /// The expression and all values for the SDK. DynamoDB rejects an empty map of values.
    fn parts(
        condition: Option<Self>,
        values: impl IntoIterator<Item = (&'static str, AttributeValue)>,
    ) -> (Option<String>, Option<Item>) {
        let (expression, more) = condition.map_or((None, Vec::new()), |c| (Some(c.expression), c.values));
        let all = values.into_iter().chain(more);
        let values: Item = all.map(|(name, value)| (name.to_owned(), value)).collect();
        (expression, Some(values).filter(|values| !values.is_empty()))
    }
}

pub(super) enum Commit {
    /// All writes took effect.
    Done,
    /// No write took effect, because conditions failed.
    Refused(Refused),
}

/// The conditions that failed, each with the existing item (empty if there is none).
pub(super) struct Refused(Vec<(Part, Item)>);

impl Refused {
    /// Reads the cancellation reasons, one for each part.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the transaction conflicted with another write or was throttled; [`Error::Internal`] for
    /// any other reason.
    fn read(cancelled: &TransactionCanceledException, parts: &[Part]) -> Result<Self, Error> {
        let mut refused = Vec::new();
        for (reason, part) in cancelled.cancellation_reasons().iter().zip(parts) {
            match reason.code() {
                None | Some("None") => {}
                Some("ConditionalCheckFailed") => {
                    refused.push((*part, reason.item().cloned().unwrap_or_default()));
                }
                Some("TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded") => {
                    return Err(Error::Conflict);
                }
                Some(code) => return Err(Error::internal(format!("transaction cancelled: {code}"))),
            }
        }
        if refused.is_empty() {
            let message = cancelled.message().unwrap_or("no reason");
            return Err(Error::internal(format!("transaction cancelled: {message}")));
        }
        Ok(Self(refused))
    }

    /// The existing item, if the condition of `part` failed.
    pub(super) fn by(&self, part: Part) -> Option<&Item> {
        self.0.iter().find(|(of, _)| *of == part).map(|(_, item)| item)
    }
}

pub(super) struct Transaction<'a> {
    store: &'a Store,
    items: Vec<TransactWriteItem>,
    parts: Vec<Part>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self {
            store,
            items: Vec::new(),
            parts: Vec::new(),
        }
    }

    pub(super) fn put(&mut self, part: Part, item: Item, condition: Option<Condition>) -> Result<(), Error> {
        let (condition, values) = Condition::parts(condition, []);
        let put = Put::builder()
            .table_name(&self.store.table)
            .set_item(Some(item))
            .set_condition_expression(condition)
            .set_expression_attribute_values(values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put = put.build().map_err(Error::internal)?;
        self.push(part, TransactWriteItem::builder().put(put))
    }

    pub(super) fn delete(&mut self, part: Part, key: Key, condition: Option<Condition>) -> Result<(), Error> {
        let (condition, values) = Condition::parts(condition, []);
        let delete = Delete::builder()
            .table_name(&self.store.table)
            .set_key(Some(key.item()))
            .set_condition_expression(condition)
            .set_expression_attribute_values(values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let delete = delete.build().map_err(Error::internal)?;
        self.push(part, TransactWriteItem::builder().delete(delete))
    }

    pub(super) fn update(
        &mut self,
        part: Part,
        key: Key,
        expression: impl Into<String>,
        condition: Option<Condition>,
        values: impl IntoIterator<Item = (&'static str, AttributeValue)>,
    ) -> Result<(), Error> {
        let (condition, values) = Condition::parts(condition, values);
        let update = Update::builder()
            .update_expression(expression)
            .set_condition_expression(condition)
            .set_expression_attribute_values(values);
        self.push_update(part, key, update)
    }

    /// Updates attributes of an item on the condition that `write_id` wrote it last.
    pub(super) fn change(
        &mut self,
        part: Part,
        key: Key,
        change: &Attributes,
        write_id: &str,
    ) -> Result<(), Error> {
        let update = Update::builder()
            .update_expression(&change.expression)
            .condition_expression(Attributes::UNCHANGED)
            .set_expression_attribute_names(Some(change.names.clone()))
            .set_expression_attribute_values(Some(change.values_if(write_id)));
        self.push_update(part, key, update)
    }

    fn push_update(&mut self, part: Part, key: Key, update: UpdateBuilder) -> Result<(), Error> {
        let update = update
            .table_name(&self.store.table)
            .set_key(Some(key.item()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let update = update.build().map_err(Error::internal)?;
        self.push(part, TransactWriteItem::builder().update(update))
    }

    fn push(&mut self, part: Part, item: TransactWriteItemBuilder) -> Result<(), Error> {
        self.parts.push(part);
        self.items.push(item.build());
        Ok(())
    }

    /// Sends the transaction. After a conflict with another write it is sent again with the same ids, so that its audit
    /// entry shows whether an earlier attempt took effect although its response was lost. (The SDK's client request token
    /// makes only the SDK's own retries of one call safe.)
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the conflicts last until the retries end.
    pub(super) async fn commit(self, retry: &mut Retry) -> Result<Commit, Error> {
        loop {
            match self.send().await {
                Err(Error::Conflict) => retry.wait().await?,
                done => return done,
            }
        }
    }

    async fn send(&self) -> Result<Commit, Error> {
        let call = self
            .store
            .client
            .transact_write_items()
            .set_transact_items(Some(self.items.clone()));
        let failure = match call.send().await {
            Ok(_) => return Ok(Commit::Done),
            Err(failure) => failure,
        };
        let SdkError::ServiceError(service) = &failure else {
            return Err(sdk_error(failure));
        };
        let cancelled = match service.err() {
            TransactWriteItemsError::TransactionCanceledException(cancelled) => cancelled,
            TransactWriteItemsError::TransactionInProgressException(_) => return Err(Error::Conflict),
            _ => return Err(sdk_error(failure)),
        };
        let refused = Refused::read(cancelled, &self.parts)?;
        if refused.by(Part::AuditEntry).is_some() {
            return Ok(Commit::Done);
        }
        Ok(Commit::Refused(refused))
    }
}

/// New values of some attributes of an item. Names are escaped, because some are reserved words.
pub(super) struct Attributes {
    pub(super) expression: String,
    pub(super) names: HashMap<String, String>,
    values: Item,
}

impl Attributes {
    /// The condition that the write of this id was the last one.
    pub(super) const UNCHANGED: &str = "writeId = :unchanged";

    /// Sets each of `names` to its value in `item`, and removes the attributes that `item` does not have.
    pub(super) fn from_item(names: &[&str], item: &Item) -> Self {
        let (mut set, mut remove) = (Vec::new(), Vec::new());
        let mut change = Self {
            expression: String::new(),
            names: HashMap::new(),
            values: Item::new(),
        };
        for name in names {
            change.names.insert(format!("#{name}"), (*name).to_owned());
            match item.get(*name) {
                Some(value) => {
                    change.values.insert(format!(":{name}"), value.clone());
                    set.push(format!("#{name} = :{name}"));
                }
                None => remove.push(format!("#{name}")),
            }
        }
        for (verb, parts) in [("SET", set), ("REMOVE", remove)] {
            if !parts.is_empty() {
                change.expression += &format!("{verb} {} ", parts.join(", "));
            }
        }
        change
    }

    /// The values, including that of [`Self::UNCHANGED`].
    pub(super) fn values_if(&self, write_id: &str) -> Item {
        let mut values = self.values.clone();
        values.insert(":unchanged".to_owned(), text(write_id));
        values
    }
}

/// Backoff with full jitter for writes that conflict with other writes.
#[derive(Debug)]
pub struct Retry {
    until: Instant,
    tries: u32,
    most: u32,
}

impl Retry {
    const FIRST_MS: u64 = 20;
    const LONGEST_MS: u64 = 1000;

    /// No attempt starts after the deadline `until`.
    pub fn until(until: Instant) -> Self {
        Self {
            until,
            tries: 0,
            most: u32::MAX,
        }
    }

    /// Limits the number of attempts, including the first.
    #[must_use]
    pub fn up_to(self, tries: u32) -> Self {
        Self { most: tries, ..self }
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the deadline would pass, [`Error::Conflict`] after the last attempt.
    pub async fn wait(&mut self) -> Result<(), Error> {
        let longest = (Self::FIRST_MS << self.tries.min(10)).min(Self::LONGEST_MS);
        self.tries += 1;
        if self.tries >= self.most {
            return Err(Error::Conflict);
        }
        let wait = Duration::from_millis(u64::from(crate::random::below(longest as u32 + 1)));
        if Instant::now() + wait > self.until {
            return Err(Error::Unavailable(
                "write conflicts lasted until the deadline".into(),
            ));
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

pub(super) fn text(value: impl ToString) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

pub(super) fn number(value: impl Into<i64>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}
