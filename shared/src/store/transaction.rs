//! One transaction: what it writes, under which conditions, and what stood in the way.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{AttributeValue, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update},
};

use super::{Error, Item, Store, keys::Key, sdk_error};

/// What a condition of a transaction guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The audit entry. It has a new id, so where it stands already this very write has taken effect before, and its
    /// answer was lost.
    Receipt,
    /// The record of an idempotency key.
    Idempotency,
    /// The agency.
    Agency,
    /// The resource that is written.
    Resource,
    /// The client that has a slug.
    Slug,
    /// The agency's own claim on a host name.
    Name,
    /// The holder of a host name.
    Holder,
    /// The domain that holds the name of the resource that is written.
    Rival,
    /// Nothing: it has no condition.
    Free,
}

/// A condition and its values.
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

    /// There is no such item.
    pub(super) fn absent() -> Option<Self> {
        Self::new("attribute_not_exists(PK)", [])
    }

    /// The item is as it was when it was read.
    pub(super) fn unchanged(write_id: &str) -> Option<Self> {
        Self::new("writeId = :writeId", [(":writeId", text(write_id))])
    }
}

impl Condition {
    /// As the SDK takes it: the expression, and all values, of which DynamoDB takes no empty set.
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

/// How a transaction ended that did not fail.
pub(super) enum Outcome {
    /// All of it took effect.
    Done,
    /// Nothing of it did.
    Refused(Refused),
}

/// The conditions that did not hold, each with the item that stood in the way (empty where there is none).
pub(super) struct Refused(Vec<(Part, Item)>);

impl Refused {
    /// The item in the way of `part`, if that was refused.
    pub(super) fn by(&self, part: Part) -> Option<&Item> {
        self.0.iter().find(|(of, _)| *of == part).map(|(_, item)| item)
    }
}

/// A transaction under construction.
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
        self.push(part, TransactWriteItem::builder().put(put).build());
        Ok(())
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
        self.push(part, TransactWriteItem::builder().delete(delete).build());
        Ok(())
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
            .table_name(&self.store.table)
            .set_key(Some(key.item()))
            .update_expression(expression)
            .set_condition_expression(condition)
            .set_expression_attribute_values(values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let update = update.build().map_err(Error::internal)?;
        self.push(part, TransactWriteItem::builder().update(update).build());
        Ok(())
    }

    /// Changes attributes of an item on the condition that `write_id` wrote it last.
    pub(super) fn change(
        &mut self,
        part: Part,
        key: Key,
        change: &Attributes,
        write_id: &str,
    ) -> Result<(), Error> {
        let update = Update::builder()
            .table_name(&self.store.table)
            .set_key(Some(key.item()))
            .update_expression(&change.expression)
            .condition_expression(Attributes::UNCHANGED)
            .set_expression_attribute_names(Some(change.names.clone()))
            .set_expression_attribute_values(Some(change.values_if(write_id)))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let update = update.build().map_err(Error::internal)?;
        self.push(part, TransactWriteItem::builder().update(update).build());
        Ok(())
    }

    fn push(&mut self, part: Part, item: TransactWriteItem) {
        self.parts.push(part);
        self.items.push(item);
    }

    /// Carries the transaction out: all of it or nothing. Where it meets another one it is sent again as it is, with its
    /// ids: it may have taken effect although its answer was lost, and its audit entry tells so. (The SDK gives each
    /// call a token of its own, which makes the SDK's retries of that call safe, but not a second call.)
    ///
    /// # Errors
    /// [`Error::Unavailable`] where it kept meeting others.
    pub(super) async fn commit(self, retry: &mut Retry) -> Result<Outcome, Error> {
        loop {
            match self.send().await {
                Err(Error::Conflict) => retry.wait().await?,
                done => return done,
            }
        }
    }

    async fn send(&self) -> Result<Outcome, Error> {
        let call = self
            .store
            .client
            .transact_write_items()
            .set_transact_items(Some(self.items.clone()));
        let failure = match call.send().await {
            Ok(_) => return Ok(Outcome::Done),
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
        let mut refused = Refused(Vec::new());
        for (reason, part) in cancelled.cancellation_reasons().iter().zip(&self.parts) {
            match reason.code() {
                None | Some("None") => {}
                Some("ConditionalCheckFailed") => {
                    refused
                        .0
                        .push((*part, reason.item().cloned().unwrap_or_default()));
                }
                Some("TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded") => {
                    return Err(Error::Conflict);
                }
                Some(code) => return Err(Error::internal(format!("transaction cancelled: {code}"))),
            }
        }
        if refused.by(Part::Receipt).is_some() {
            return Ok(Outcome::Done);
        }
        if refused.0.is_empty() {
            let message = cancelled.message().unwrap_or("no reason");
            return Err(Error::internal(format!("transaction cancelled: {message}")));
        }
        Ok(Outcome::Refused(refused))
    }
}

/// New values of some attributes of an item, whatever their names.
pub(super) struct Attributes {
    pub(super) expression: String,
    pub(super) names: HashMap<String, String>,
    values: Item,
}

impl Attributes {
    /// That a write of this id left the item as it is.
    pub(super) const UNCHANGED: &str = "writeId = :unchanged";

    /// Sets each of `names` to its value in `item`, or removes it where it has none there.
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

    /// The values, that of [`Self::UNCHANGED`] among them.
    pub(super) fn values_if(&self, write_id: &str) -> Item {
        let mut values = self.values.clone();
        values.insert(":unchanged".to_owned(), text(write_id));
        values
    }
}

/// Tries a write again that met another one, with full jitter, as long as the store has patience.
#[derive(Debug)]
pub struct Retry {
    until: Instant,
    tries: u32,
    most: u32,
}

impl Retry {
    const FIRST_MS: u64 = 20;
    const LONGEST_MS: u64 = 1000;

    /// No try begins after this.
    pub(super) fn new(until: Instant) -> Self {
        Self {
            until,
            tries: 0,
            most: u32::MAX,
        }
    }

    /// No more than so many tries in all.
    #[must_use]
    pub fn up_to(self, tries: u32) -> Self {
        Self { most: tries, ..self }
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the time is up, [`Error::Conflict`] where the tries are.
    pub async fn wait(&mut self) -> Result<(), Error> {
        let longest = (Self::FIRST_MS << self.tries.min(10)).min(Self::LONGEST_MS);
        self.tries += 1;
        if self.tries >= self.most {
            return Err(Error::Conflict);
        }
        let wait = Duration::from_millis(u64::from(crate::random::below(longest as u32 + 1)));
        if Instant::now() + wait > self.until {
            return Err(Error::Unavailable("writes kept meeting one another".into()));
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// A string attribute.
pub(super) fn text(value: impl ToString) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

/// A number attribute.
pub(super) fn number(value: impl Into<i64>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}
