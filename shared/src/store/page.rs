//! Pagination.

use aws_lc_rs::digest;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

use crate::models::id::OrgId;

use super::{
    Agency, Error, Result,
    keys::{self, KeyRange},
    parse, rows,
};

/// The requested page.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// The maximum number of items: 1 to [`PageRequest::MAX`].
    pub limit: u16,
    /// The `nextCursor` of the previous page.
    pub cursor: Option<String>,
}

impl PageRequest {
    /// The maximum number of items of a page.
    pub const MAX: u16 = 1000;
}

/// A page of a list. It may be shorter than the limit. Only a `null` `nextCursor` marks the end.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the next page. `null` on the last page.
    #[schema(max_length = 512, example = "8pZ2kq0sR1uCliMwMTlhYTFiMg")]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The page with each item converted by `show`.
    pub fn map<U>(self, show: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(show).collect(),
            next_cursor: self.next_cursor,
        }
    }
}

/// The cursor of a page: the last sort key, and a checksum that binds it to a scope, such as the organization and the range. The
/// checksum is not a security measure: with any cursor, the query stays within the partition that the caller may read.
#[derive(Debug, PartialEq, Eq)]
pub struct Cursor;

impl Cursor {
    const MAX_BYTES: usize = 512;
    const CHECKSUM_BYTES: usize = 12;

    /// The cursor of the page after `sk`.
    pub fn encode(scope: &str, sk: &str) -> String {
        let mut bytes = Self::checksum(scope, sk).to_vec();
        bytes.extend_from_slice(sk.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The sort key after which the page begins. A client can compute the checksum itself, so this may be any text.
    ///
    /// # Errors
    /// [`Error::InvalidCursor`] if the cursor does not belong to this scope.
    pub fn decode(scope: &str, text: &str) -> Result<String> {
        if text.len() > Self::MAX_BYTES {
            return Err(Error::InvalidCursor);
        }
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| Error::InvalidCursor)?;
        let (checksum, sk) = bytes
            .split_at_checked(Self::CHECKSUM_BYTES)
            .ok_or(Error::InvalidCursor)?;
        let sk = std::str::from_utf8(sk).map_err(|_| Error::InvalidCursor)?;
        if checksum != Self::checksum(scope, sk) {
            return Err(Error::InvalidCursor);
        }
        Ok(sk.to_owned())
    }

    fn checksum(scope: &str, sk: &str) -> [u8; Self::CHECKSUM_BYTES] {
        let bound = format!("{scope}\n{sk}");
        let sha256 = digest::digest(&digest::SHA256, bound.as_bytes());
        let mut checksum = [0; Self::CHECKSUM_BYTES];
        checksum.copy_from_slice(&sha256.as_ref()[..Self::CHECKSUM_BYTES]);
        checksum
    }
}

impl KeyRange {
    /// The sort key after which the page of this cursor begins.
    ///
    /// # Errors
    /// [`Error::InvalidCursor`] if the cursor does not belong to this range of the agency.
    pub fn start(&self, org: &OrgId, cursor: &str) -> Result<String> {
        let sk = Cursor::decode(&self.scope(org), cursor)?;
        let (from, to) = &self.bounds;
        // DynamoDB rejects a start key outside the query with an error.
        if sk <= *from || sk >= *to {
            return Err(Error::InvalidCursor);
        }
        Ok(sk)
    }
}

/// The JSON of a page's rows has at most this many bytes, unless it is one row: Lambda's response has at most 6 MB, and may need
/// more than the rows. DynamoDB's page has 1 MB at most, but JSON writes a control character as six bytes.
const MAX_JSON_BYTES: usize = 4 * 1024 * 1024;

impl Agency<'_> {
    /// One page, in one query. The first page of a list includes its head, which exists only if agency mode is enabled. An
    /// empty page without a head takes one more request, for the agency.
    pub(super) async fn page<T: Serialize + DeserializeOwned>(
        &self,
        range: &KeyRange,
        page: &PageRequest,
    ) -> Result<Page<T>> {
        let (from, to) = &range.bounds;
        let start = |cursor: &str| range.start(self.org, cursor);
        let after = page.cursor.as_deref().map(start).transpose()?;
        let has_head = range.has_head && after.is_none();
        let call = self
            .store
            .query(keys::partition(self.org), (from, to))
            .scan_index_forward(!range.backwards)
            // One more item than requested shows whether there is a next page.
            .limit(i32::from(page.limit) + 1 + i32::from(has_head))
            .set_exclusive_start_key(after.map(|sk| keys::of(self.org, sk).item()));
        let (rows, more) = rows(call, 1 + usize::from(has_head)).await?;
        let mut rows = rows.into_iter();
        let is_enabled = match has_head {
            true => rows.next().is_some(),
            false => rows.len() > 0 || self.store.get(keys::agency(self.org)).await?.is_some(),
        };
        if !is_enabled {
            return Err(Error::NotEnabled);
        }
        let (total, mut bytes) = (rows.len(), 0);
        let (mut items, mut last) = (Vec::new(), None);
        for row in rows.take(page.limit.into()) {
            let sk = keys::string(&row, keys::SK);
            let item: T = parse(row)?;
            bytes += serde_json::to_vec(&item).map_err(Error::internal)?.len();
            if bytes > MAX_JSON_BYTES && !items.is_empty() {
                break;
            }
            items.push(item);
            last = sk;
        }
        let more = more || items.len() < total;
        let next_cursor = last
            .filter(|_| more)
            .map(|sk| Cursor::encode(&range.scope(self.org), &sk));
        Ok(Page { items, next_cursor })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_valid_for_its_scope_and_its_sort_key_alone() {
        let cursor = Cursor::encode("org_a\nclients", "CLIENT#acme");
        assert_eq!(Cursor::decode("org_a\nclients", &cursor).unwrap(), "CLIENT#acme");
        for scope in ["", "org_b\nclients", "org_a\naudit"] {
            let error = Cursor::decode(scope, &cursor).unwrap_err();
            assert!(matches!(error, Error::InvalidCursor), "{scope}");
        }
        for (at, character) in cursor.char_indices() {
            let other = if character == 'A' { "B" } else { "A" };
            let mut changed = cursor.clone();
            changed.replace_range(at..=at, other);
            assert!(Cursor::decode("org_a\nclients", &changed).is_err(), "{changed}");
        }
    }

    #[test]
    fn a_cursor_outside_the_range_is_refused() {
        let org = "org_a".parse().unwrap();
        let range = keys::List::Clients.range();
        for (sk, is_inside) in [
            ("CLIENT#acme", true),
            ("CLIENT#", false),
            ("CLIENT$", false),
            ("DOMAIN#acme", false),
            ("#3AGENCY", false),
        ] {
            let cursor = Cursor::encode(&range.scope(&org), sk);
            assert_eq!(range.start(&org, &cursor).is_ok(), is_inside, "{sk}");
        }
    }

    #[test]
    fn text_that_is_no_cursor_is_refused() {
        let not_utf_8 = BASE64_URL_SAFE_NO_PAD.encode([0xff; 20]);
        for text in ["", "!", "AAAA", "AAAAAAAAAAAAAAAA", &not_utf_8] {
            assert!(Cursor::decode("", text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_cursor_has_512_characters_at_most() {
        let cursor = |length| Cursor::encode("", &"a".repeat(length));
        let (longest, longer) = (cursor(372), cursor(373));
        assert_eq!((longest.len(), longer.len()), (512, 514));
        assert!(Cursor::decode("", &longest).is_ok());
        assert!(Cursor::decode("", &longer).is_err());
    }
}
