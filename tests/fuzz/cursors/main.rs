//! Cursors: the API rejects a damaged cursor, and a cursor of another organization, list or `name`. A client can forge a cursor, because
//! the checksum has no key. The page of a forged cursor begins in the list of the request, and so in the partition of the caller.
//!
//! The input has lines: the organization and the list of the issued cursor, its `name`, the last item; the organization, the list and the
//! `name` of the request; an edit of the cursor, as in [`edit`]. After `=`, the last item is a whole sort key, as in a forged cursor.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use fuzz::Accepted;
use shared::{
    models::{folded::FoldedName, id::OrgId},
    store::{
        Cursor,
        keys::{KeyRange, List},
    },
};

/// A list as a client reads it.
#[derive(Debug, Clone, PartialEq)]
struct Read {
    org: OrgId,
    list: Option<List>,
    name: String,
}

fn main() {
    let valid = "org_acme clients\n\ncli_1\norg_acme clients\n\n";
    assert_eq!(check(valid.as_bytes()), Some(true), "a valid cursor");
    let accepted = Accepted::new();
    bolero::check!().for_each(|input: &[u8]| {
        if let Some(is_accepted) = check(input) {
            accepted.count(is_accepted);
        }
    });
}

/// Whether the API accepts the cursor of the input. `None`: the input has no lists.
fn check(input: &[u8]) -> Option<bool> {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let (issued, item) = (Read::new(next(), next()), next());
    let (asked, change) = (Read::new(next(), next()), next());
    let (issued, asked) = (issued?, asked?);
    let range = issued.range();
    let sk = match item.strip_prefix('=') {
        Some(sk) => sk.to_owned(),
        None => format!("{}{item}", range.bounds.0),
    };
    let cursor = Cursor::encode(&range.scope(&issued.org), &sk);
    let edited = edit(&cursor, change);
    let result = asked.range().start(&asked.org, &edited).ok();
    let is_accepted = result.is_some();
    // The bytes decide, not their text: only one text may stand for them.
    let is_same = edited == cursor && asked == issued && cursor.len() <= 512;
    let (from, to) = range.bounds;
    let is_inside = from < sk && sk < to;
    assert_eq!(
        result,
        (is_same && is_inside).then_some(sk),
        "{issued:?} {asked:?} {cursor} {edited}"
    );
    Some(is_accepted)
}

impl Read {
    fn new(place: &str, name: &str) -> Option<Self> {
        let (org, list) = place.split_once(' ')?;
        let name = FoldedName::new(&name.replace('\\', "\n"));
        let list = match list {
            "clients" => Some(List::Clients),
            "domains" => Some(List::Domains),
            "audit" => Some(List::Audit),
            // A request for an empty name is rejected.
            _ if name.as_str().is_empty() => return None,
            _ => None,
        };
        let name = if list.is_none() {
            name.as_str().to_owned()
        } else {
            String::new()
        };
        Some(Self {
            org: org.parse().ok()?,
            list,
            name,
        })
    }

    fn range(&self) -> KeyRange {
        match self.list {
            Some(list) => list.range(),
            None => KeyRange::clients_named(&FoldedName::new(&self.name)),
        }
    }
}

/// Applies the changes of a cursor: `12=ab` replaces, `12+ab` inserts, `12-ab` removes as many bytes as there are letters. After `!`,
/// the changes are to the bytes that the text stands for.
fn edit(cursor: &str, changes: &str) -> String {
    let (changes, in_bytes) = match changes.strip_prefix('!') {
        Some(changes) => (changes, true),
        None => (changes, false),
    };
    let mut bytes = if in_bytes {
        BASE64_URL_SAFE_NO_PAD.decode(cursor).unwrap()
    } else {
        cursor.into()
    };
    for change in changes.split(' ') {
        let Some(at) = change.find(['=', '+', '-']) else {
            continue;
        };
        let (Ok(start), text) = (change[..at].parse::<usize>(), &change[at + 1..]) else {
            continue;
        };
        let start = start.min(bytes.len());
        let end = (start + text.len()).min(bytes.len());
        let text = text.replace('\\', "\n");
        match &change[at..=at] {
            "=" => bytes.splice(start..end, text.bytes()),
            "+" => bytes.splice(start..start, text.bytes()),
            _ => bytes.splice(start..end, "".bytes()),
        };
    }
    if in_bytes {
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    } else {
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
