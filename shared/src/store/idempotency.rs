//! Idempotent creations: for 24 hours, the same key with the same body creates one resource and gets the same response.

use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::hash::sha256_hex;

use super::{
    Agency, Error, Result, item, keys, parse,
    transaction::{Commit, Condition, Part, Refused, Retry, Transaction, number, text},
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
    /// Creates `resource` in this transaction, which also gets the idempotency record of `key`. `reason` is the error if
    /// another condition than that of the record failed.
    ///
    /// # Errors
    /// [`Error::IdempotencyMismatch`] if the key was used before with another body.
    pub(super) async fn create<T: Serialize + DeserializeOwned>(
        &self,
        mut transaction: Transaction<'_>,
        resource: T,
        (operation, key): (&str, Option<&IdempotencyKey>),
        retry: &mut Retry,
        reason: fn(&Refused) -> Error,
    ) -> Result<Created<T>> {
        if let Some(key) = key {
            self.remember(&mut transaction, operation, key, &resource)?;
        }
        let refused = match transaction.commit(retry).await? {
            Commit::Done => {
                return Ok(Created {
                    resource,
                    replayed: false,
                });
            }
            Commit::Refused(refused) => refused,
        };
        let (Some(old), Some(key)) = (refused.by(Part::Idempotency), key) else {
            return Err(reason(&refused));
        };
        if old.get("body") != Some(&text(&key.body)) {
            return Err(Error::IdempotencyMismatch);
        }
        let record: Remembered<T> = parse(old.clone())?;
        Ok(Created {
            resource: record.answer,
            replayed: true,
        })
    }

    fn remember(
        &self,
        transaction: &mut Transaction<'_>,
        operation: &str,
        key: &IdempotencyKey,
        answer: &impl Serialize,
    ) -> Result<()> {
        let now = self.caller.now;
        let record = Remembered {
            body: key.body.clone(),
            answer,
            keep_until: (now + MEMORY).seconds(),
        };
        let record_key = keys::idempotency(self.org, operation, &key.key);
        let mut item = item(record_key, "idempotency", &record)?;
        item.insert(keys::TTL.to_owned(), number(record.keep_until));
        let free = Condition::new(
            Part::Idempotency,
            "attribute_not_exists(PK) OR keepUntil <= :now",
            [(":now", number(now.seconds()))],
        );
        transaction.put(item, Some(free))
    }
}
