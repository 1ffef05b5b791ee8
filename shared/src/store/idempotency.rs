//! Idempotent creations: for 24 hours, the same key with the same body creates one resource and gets the same response.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::hash::sha256_hex;

use super::{
    Agency, Error, Result, item, keys, parse,
    transaction::{Condition, Part, Refused, Transaction, number},
};

/// How long a key is valid. The clock decides, because DynamoDB deletes expired items late.
const MEMORY: Duration = Duration::from_secs(24 * 3600);

/// The hashes of an `Idempotency-Key` and of the request body.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    key: String,
    body: String,
}

impl IdempotencyKey {
    /// Hashes a key and a body.
    pub fn new(key: &str, body: &serde_json::Value) -> Self {
        // serde_json sorts the properties of objects, so equal values have equal text.
        Self {
            key: sha256_hex(key),
            body: sha256_hex(&body.to_string()),
        }
    }
}

/// A created resource.
#[derive(Debug, Clone)]
pub struct Created<T> {
    /// The resource as in the first response.
    pub resource: T,
    /// Whether an earlier request with the same key created it.
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
    /// Adds the idempotency record of `key` to the transaction that creates `answer`.
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

    /// The response of an earlier request with the same key, if the condition of its record failed.
    ///
    /// # Errors
    /// [`Error::IdempotencyMismatch`] if the earlier body was different.
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
