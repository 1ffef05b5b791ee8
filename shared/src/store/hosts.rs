//! The hosts that are served, of all agencies: read from the index of hosts, page by page.

use serde::{Deserialize, Serialize};

use crate::models::hostname::Hostname;

use super::{Cursor, Error, Page, PageRequest, Result, Store, keys, rows, transaction::text};

/// The scope of the cursors.
const SCOPE: &str = "hosts";

/// Below every host name, which begins with a letter or a digit. DynamoDB rejects an empty text in the condition on a key.
const BELOW_ALL: &str = "-";

/// A host that is served. The index has exactly this. All but the host name is as it is in the index, so that a value of a later
/// version does not end the list for all agencies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServingHost {
    /// The host name.
    #[serde(rename(deserialize = "HOST"))]
    pub hostname: Hostname,
    /// The client whose portal the host shows. `null` if it is the agency's own.
    pub client_org_id: Option<String>,
    /// `verified` or `failing`.
    pub status: String,
    /// Where the traffic of the host goes: a [`Routing`](crate::models::domain::Routing).
    pub routing: String,
}

impl Store {
    /// A page of the hosts of all agencies, ordered by name, eventually consistent. It leaves the partition of one agency, so that
    /// no request of a user may lead to it.
    ///
    /// # Errors
    /// [`Error::InvalidCursor`]
    pub async fn hosts(&self, page: &PageRequest) -> Result<Page<ServingHost>> {
        let after = match &page.cursor {
            Some(cursor) => {
                let hostname: std::result::Result<Hostname, _> = Cursor::decode(SCOPE, cursor)?.parse();
                text(hostname.map_err(|_| Error::InvalidCursor)?)
            }
            None => text(BELOW_ALL),
        };
        let call = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(keys::HOSTS_INDEX)
            .key_condition_expression("#hosts = :hosts AND #host > :after")
            .expression_attribute_names("#hosts", keys::HOSTS)
            .expression_attribute_names("#host", keys::HOST)
            .expression_attribute_values(":hosts", text(keys::HOSTS))
            .expression_attribute_values(":after", after)
            // One more entry than requested shows whether there is a next page.
            .limit(i32::from(page.limit) + 1);
        let (rows, more) = rows(call, 1).await?;
        let more = more || rows.len() > page.limit.into();
        let mut items = Vec::with_capacity(rows.len());
        for row in rows.into_iter().take(page.limit.into()) {
            let name = keys::string(&row, keys::HOST).unwrap_or_default();
            let host: ServingHost = serde_dynamo::from_item(row).map_err(|_| {
                Error::Unreadable(format!(
                    "the entry of {name} in the index of hosts cannot be parsed"
                ))
            })?;
            items.push(host);
        }
        let next_cursor = items
            .last()
            .filter(|_| more)
            .map(|last| Cursor::encode(SCOPE, last.hostname.as_str()));
        // While a name moves to another domain, the index may have the entries of both. A configuration has a host once.
        items.dedup_by(|next, previous| next.hostname == previous.hostname);
        Ok(Page { items, next_cursor })
    }
}
