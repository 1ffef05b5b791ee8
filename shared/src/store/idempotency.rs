//! Creations that may be repeated: the same key with the same body makes one resource and answers alike for 24 hours.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::hash::sha256_hex;

use super::{
    Agency, Error, Result, item, keys, parse,
    transaction::{Condition, Part, Refused, Transaction, number},
};

/// How long a key is remembered: by the clock, for the table's own expiry comes late.
const MEMORY: Duration = Duration::from_secs(24 * 3600);

/// A client's key for one creation, and what its body was.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    key: String,
    body: String,
}

impl IdempotencyKey {
    /// A key and the JSON value of the body.
    pub fn new(key: &str, body: &serde_json::Value) -> Self {
        // Objects keep their properties in the order of their names, so equal values have equal text.
        Self {
            key: sha256_hex(key),
            body: sha256_hex(&body.to_string()),
        }
    }
}

/// A resource that was created, now or by an earlier request with the same key.
#[derive(Debug, Clone)]
pub struct Created<T> {
    /// The resource, as it was answered the first time.
    pub resource: T,
    /// Whether this is the answer to an earlier request.
    pub replayed: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Remembered<T> {
    body: String,
    answer: T,
    /// Seconds since 1970.
    keep_until: i64,
}

impl Agency<'_> {
    /// Adds the record of `key` to the transaction that creates `answer`.
    pub(super) fn remember(
        &self,
        transaction: &mut Transaction<'_>,
        operation: &str,
        key: Option<&IdempotencyKey>,
        answer: &impl Serialize,
    ) -> Result<()> {
        let Some(key) = key else {
            return Ok(());
        };
        let now = self.caller.now;
        let until = (now + MEMORY).seconds();
        let record = Remembered {
            body: key.body.clone(),
            answer,
            keep_until: until,
        };
        let mut item = item(
            keys::idempotency(self.org, operation, &key.key),
            "idempotency",
            &record,
        )?;
        item.insert(keys::TTL.to_owned(), number(until));
        let free = Condition::new(
            "attribute_not_exists(PK) OR keepUntil <= :now",
            [(":now", number(now.seconds()))],
        );
        transaction.put(Part::Idempotency, item, free)
    }

    /// The answer of an earlier request with the same key, if that is what stood in the way.
    ///
    /// # Errors
    /// [`Error::IdempotencyMismatch`] where its body was another.
    pub(super) fn replay<T: DeserializeOwned>(
        refused: &Refused,
        key: Option<&IdempotencyKey>,
    ) -> Result<Option<Created<T>>> {
        let (Some(old), Some(key)) = (refused.by(Part::Idempotency), key) else {
            return Ok(None);
        };
        if old.get("body") != Some(&AttributeValue::S(key.body.clone())) {
            return Err(Error::IdempotencyMismatch);
        }
        let record: Remembered<T> = parse(old.clone())?;
        Ok(Some(Created {
            resource: record.answer,
            replayed: true,
        }))
    }
}
