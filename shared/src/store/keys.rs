//! All keys of the table, built from typed ids.
//!
//! | `PK` | `SK` | item |
//! |---|---|---|
//! | `A#<org>` | `#1CONFIG`, `#2BRANDING` | settings; `enable` creates them, so absent means not enabled |
//! | | `#3AGENCY` | the time of `enable`, and the counters of the domains |
//! | | `#3CLIENTS#<shard>` | the numbers of the clients and of the suspended clients in this shard |
//! | | `#4CANDIDATE#<rank>#<domain>` | candidates for the primary domain, best first |
//! | | `#5PRIMARY` | the domain that was set as the primary one |
//! | | `CLIENT#`, `CLIENT#<client>` | the head of the list, then the clients, oldest first |
//! | | `DOMAIN#`, `DOMAIN#<domain>` | the same for portal domains |
//! | | `LOG#<entry>`, `LOG$` | audit entries, oldest first, then the head; the list is read in reverse |
//! | | `SLUG#<slug>` | a copy of the client with this slug |
//! | | `EXTERNAL#<external id>` | a copy of the client with this external id |
//! | | `NAMED#<folded name>`, U+001F, `<client>` | a copy of the client; its name is cut after 320 bytes |
//! | | `NAME#<hostname>` | the domain of this agency that claims it |
//! | | `TOKEN#<token>` | the domain of this agency with this token |
//! | | `VERIFY` | the times of the agency's last `verify` requests |
//! | | `IDEM#<operation>#<hash>` | the response of a creation, by the SHA-256 of its idempotency key |
//! | `C#<client>` | `#1CONFIG`, `#2BRANDING` | the settings of this client alone |
//! | | `#3CLIENT` | the client's agency, name, slug, suspension and number of domains |
//! | | `#4CANDIDATE#<rank>#<domain>`, `#5PRIMARY` | as those of an agency |
//! | `S#<sha256>` | `S` | the domain of the setup link with this token |
//! | `H#<hostname>` | `H` | the domain that holds the name, or the agency that a deleted label is kept for |
//!
//! The settings, the agency or client, the counters and the candidates sort in this order, so that one query reads them together. A
//! list's head is part of its first page and exists only if agency mode is enabled.
//!
//! A domain also has the keys of two indexes:
//!
//! | index | partition key | sort key | the domain is in it |
//! |---|---|---|---|
//! | `due` | `DUE` = `DUE#<shard>` | `DUEAT` = `<time>#<domain>` | while it has a next check |
//! | `hosts` | `HOSTS` = `HOSTS` | `HOST` = `<hostname>` | while it serves |

use aws_sdk_dynamodb::types::AttributeValue;

use crate::models::{
    domain::Token,
    folded::FoldedName,
    hostname::Hostname,
    id::{AuditId, ClientOrgId, DomainId, OrgId},
    slug::Slug,
    text::ExternalId,
    time::Timestamp,
};

use super::{Item, transaction::text};

/// The table's partition key.
pub const PK: &str = "PK";
/// The table's sort key.
pub const SK: &str = "SK";
/// The TTL attribute: seconds since 1970.
pub const TTL: &str = "expiresAt";
/// The sparse, keys-only index of the domains that are due for a check.
pub const DUE_INDEX: &str = "due";
/// Its partition key.
pub const DUE: &str = "DUE";
/// Its sort key.
pub const DUE_AT: &str = "DUEAT";
/// Its number of shards. An agency's domains are in one shard.
pub const DUE_SHARDS: u8 = 16;
/// The sparse index of the hosts that are served. Besides keys it has what [`super::ServingHost`] needs.
pub const HOSTS_INDEX: &str = "hosts";
/// Its partition key, and that key's only value. One partition takes 1,000 writes a second. It gets few, because DynamoDB writes
/// an entry only when the status, the routing or the client of a serving domain changes, and not at each check.
pub const HOSTS: &str = "HOSTS";
/// Its sort key: the host name. The attribute `hostname` cannot be the key: it is empty in most audit entries, and DynamoDB rejects
/// an item with an empty text in a key of an index, also if the item is not in this index.
pub const HOST: &str = "HOST";

/// The key of one item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The partition key.
    pub pk: String,
    /// The sort key.
    pub sk: String,
}

impl Key {
    /// The key as attributes.
    pub fn item(self) -> Item {
        Item::from([(PK.to_owned(), text(self.pk)), (SK.to_owned(), text(self.sk))])
    }

    /// The key of an item.
    pub(super) fn of(item: &Item) -> Option<Self> {
        Some(Self {
            pk: string(item, PK)?,
            sk: string(item, SK)?,
        })
    }
}

/// An attribute with a text.
pub(super) fn string(item: &Item, name: &str) -> Option<String> {
    Some(item.get(name)?.as_s().ok()?.clone())
}

/// The key of no item: all partition keys begin with a letter and `#`.
pub(super) fn absent() -> Key {
    Key {
        pk: "-".to_owned(),
        sk: "-".to_owned(),
    }
}

/// The partition key of an agency.
pub(super) fn partition(org: &OrgId) -> String {
    format!("A#{org}")
}

pub(super) fn of(org: &OrgId, sk: impl Into<String>) -> Key {
    Key {
        pk: partition(org),
        sk: sk.into(),
    }
}

/// The number of an agency's counters of clients. With one counter, all creations of an agency would conflict.
pub const CLIENT_SHARDS: u8 = 8;

/// The bounds of the settings, the agency, the counters and the candidates for the primary domain.
pub(super) const SUMMARY: (&str, &str) = ("#1CONFIG", "#4CANDIDATE$");
/// The bounds of the agency, the counters and the candidates for the primary domain.
pub(super) const OVERVIEW: (&str, &str) = ("#3AGENCY", "#4CANDIDATE$");
/// The bounds of the counters of clients.
pub(super) const CLIENT_COUNTS: (&str, &str) = ("#3CLIENTS#", "#3CLIENTS$");

/// A key in the partition of an agency's portal or, with `client`, of the portal of that client.
fn of_portal(org: &OrgId, client: Option<ClientOrgId>, sk: impl Into<String>) -> Key {
    let pk = client.map_or_else(|| partition(org), client_partition);
    Key { pk, sk: sk.into() }
}

pub(super) fn config(org: &OrgId, client: Option<ClientOrgId>) -> Key {
    of_portal(org, client, "#1CONFIG")
}

pub(super) fn branding(org: &OrgId, client: Option<ClientOrgId>) -> Key {
    of_portal(org, client, "#2BRANDING")
}

/// The agency.
pub fn agency(org: &OrgId) -> Key {
    of(org, "#3AGENCY")
}

/// The counter of the clients in a shard.
pub fn client_count(org: &OrgId, shard: u8) -> Key {
    of(org, format!("{}{shard}", CLIENT_COUNTS.0))
}

/// A candidate for the primary domain.
pub(super) fn candidate(org: &OrgId, client: Option<ClientOrgId>, rank: u8, domain: DomainId) -> Key {
    of_portal(org, client, format!("#4CANDIDATE#{rank}#{domain}"))
}

/// The domain that was set as the primary one of its portal. It is a candidate only while it is verified and routed.
pub(super) fn primary(org: &OrgId, client: Option<ClientOrgId>) -> Key {
    of_portal(org, client, "#5PRIMARY")
}

/// A list of an agency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Its clients, oldest first.
    Clients,
    /// Its portal domains, oldest first.
    Domains,
    /// Its audit entries, newest first.
    Audit,
}

impl List {
    /// All lists.
    pub const ALL: [Self; 3] = [Self::Clients, Self::Domains, Self::Audit];

    /// The lowest and highest sort keys of the list, including its head.
    pub fn bounds(self) -> (&'static str, &'static str) {
        match self {
            Self::Clients => ("CLIENT#", "CLIENT$"),
            Self::Domains => ("DOMAIN#", "DOMAIN$"),
            Self::Audit => ("LOG#", "LOG$"),
        }
    }

    /// Whether the list is read in reverse.
    pub fn backwards(self) -> bool {
        self == Self::Audit
    }

    /// The list as a range.
    pub fn range(self) -> KeyRange {
        let (from, to) = self.bounds();
        KeyRange {
            bounds: (from.to_owned(), to.to_owned()),
            backwards: self.backwards(),
            has_head: true,
            binding: from.to_owned(),
        }
    }

    /// The key of the list's head, which is read first.
    pub fn head(self, org: &OrgId) -> Key {
        let (from, to) = self.bounds();
        of(org, if self.backwards() { to } else { from })
    }
}

/// A range of an agency's sort keys that is read page by page.
#[derive(Debug, Clone)]
pub struct KeyRange {
    /// The lowest and the highest sort key, including the head.
    pub bounds: (String, String),
    /// Whether the range is read in reverse.
    pub backwards: bool,
    /// Whether the first row is the head of a list.
    pub has_head: bool,
    /// A cursor is valid for the ranges with the binding of the range that it was issued for.
    pub binding: String,
}

impl KeyRange {
    /// The scope of its cursors in the partition of an agency.
    pub fn scope(&self, org: &OrgId) -> String {
        format!("{org}\n{}", self.binding)
    }

    /// The clients whose folded name has this prefix, in the order of the folded names. It may have others if the prefix has more
    /// than 320 bytes.
    pub fn clients_named(prefix: &FoldedName) -> Self {
        let from = named_prefix(prefix);
        Self {
            bounds: (from.clone(), above(&from)),
            backwards: false,
            has_head: false,
            binding: format!("NAMED#{}", prefix.as_str()),
        }
    }
}

/// The lowest text above all texts that begin with `prefix`, in the order of UTF-8.
fn above(prefix: &str) -> String {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            text.push(next);
            break;
        }
    }
    text
}

/// The first 320 bytes of a name, and the rest of the character at their end: a cursor has at most 512 characters and contains the
/// sort key. Without the rest of the character, names would not be in their order.
fn named_prefix(name: &FoldedName) -> String {
    let name = name.as_str();
    format!("NAMED#{}", &name[..name.ceil_char_boundary(320)])
}

/// A client.
pub fn client(org: &OrgId, client: ClientOrgId) -> Key {
    of(org, format!("CLIENT#{client}"))
}

pub(super) fn slug(org: &OrgId, slug: &Slug) -> Key {
    of(org, format!("SLUG#{}", slug.as_str()))
}

pub(super) fn external_id(org: &OrgId, id: &ExternalId) -> Key {
    of(org, format!("EXTERNAL#{}", id.as_str()))
}

/// A client by its name. The separator is below every character of a name, so that `Acme` is before `Acme Consulting`.
pub(super) fn named(org: &OrgId, name: &FoldedName, client: ClientOrgId) -> Key {
    of(org, format!("{}\u{1F}{client}", named_prefix(name)))
}

pub(super) fn domain(org: &OrgId, domain: DomainId) -> Key {
    of(org, format!("DOMAIN#{domain}"))
}

/// An agency's claim on a host name.
pub(super) fn name(org: &OrgId, hostname: &Hostname) -> Key {
    of(org, format!("NAME#{hostname}"))
}

/// A token of an agency's domain.
pub(super) fn token(org: &OrgId, token: &Token) -> Key {
    of(org, format!("TOKEN#{}", token.as_str()))
}

/// The times of an agency's last `verify` requests.
pub(super) fn verify_times(org: &OrgId) -> Key {
    of(org, "VERIFY")
}

pub(super) fn audit(org: &OrgId, entry: AuditId) -> Key {
    of(org, format!("LOG#{entry}"))
}

pub(super) fn idempotency(org: &OrgId, operation: &str, sha256: &str) -> Key {
    of(org, format!("IDEM#{operation}#{sha256}"))
}

/// The partition key of a client.
pub(super) fn client_partition(client: ClientOrgId) -> String {
    format!("C#{client}")
}

/// The agency of a client.
pub(super) fn membership(client: ClientOrgId) -> Key {
    Key {
        pk: client_partition(client),
        sk: "#3CLIENT".to_owned(),
    }
}

/// The domain of a setup link, by the SHA-256 of the link's token.
pub(super) fn setup_link(sha256: &str) -> Key {
    Key {
        pk: format!("S#{sha256}"),
        sk: "S".to_owned(),
    }
}

pub(super) fn holder(hostname: &Hostname) -> Key {
    Key {
        pk: format!("H#{hostname}"),
        sk: "H".to_owned(),
    }
}

/// The index attributes of a domain that is due at `at`.
pub(super) fn due(org: &OrgId, at: Timestamp, domain: DomainId) -> [(String, AttributeValue); 2] {
    // FNV-1a: an agency's shard must not change with the program's version.
    let hash = org.as_str().bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let shard = hash % u32::from(DUE_SHARDS);
    [
        (DUE.to_owned(), text(format!("DUE#{shard}"))),
        (DUE_AT.to_owned(), text(format!("{at}#{domain}"))),
    ]
}

/// The index attributes of a domain that serves this host.
pub(super) fn host(hostname: &Hostname) -> [(String, AttributeValue); 2] {
    [(HOSTS.to_owned(), text(HOSTS)), (HOST.to_owned(), text(hostname))]
}

/// The partition key of a shard, and the exclusive upper bound of the sort keys that are due at `now`.
pub(super) fn due_until(shard: u8, now: Timestamp) -> (String, String) {
    (format!("DUE#{shard}"), format!("{now}$"))
}

/// The due time in a sort key of the index.
pub(super) fn due_time(due_at: &str) -> Option<Timestamp> {
    due_at.split_once('#')?.0.parse().ok()
}

/// The sort key with another due time.
pub(super) fn due_again(due_at: &str, at: Timestamp) -> String {
    let domain = due_at.split_once('#').map_or("", |(_, domain)| domain);
    format!("{at}#{domain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sk(name: &str, id: &str) -> String {
        named(
            &"org_acme".parse().unwrap(),
            &FoldedName::new(name),
            id.parse().unwrap(),
        )
        .sk
    }

    const IDS: [&str; 2] = [
        "cli_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b",
        "cli_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2c",
    ];

    #[test]
    fn clients_are_in_the_order_of_their_folded_names_and_then_of_their_ids() {
        let long = "x".repeat(318);
        let names = [
            "\u{AD}".to_owned(),
            "A".to_owned(),
            "a b".to_owned(),
            "A!".to_owned(),
            "a\"".to_owned(),
            "a#".to_owned(),
            "Aa".to_owned(),
            format!("{long}a"),
            format!("{long}\u{10400}"),
            format!("{long}\u{10FFFF}"),
            "é".to_owned(),
            "\u{10FFFF}".to_owned(),
        ];
        let keys: Vec<_> = names.iter().flat_map(|name| IDS.map(|id| sk(name, id))).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
        // Names that differ behind 320 bytes.
        let (first, second) = (
            sk(&format!("{long}xxB"), IDS[0]),
            sk(&format!("{long}xxA"), IDS[1]),
        );
        assert!(first < second && first.len() == second.len());
    }

    #[test]
    fn a_search_has_the_names_with_the_prefix_between_its_bounds_and_no_other() {
        let names = [
            "",
            "a",
            "A B",
            "ab",
            "b",
            "\u{D7FF}",
            "\u{10FFFF}",
            "\u{10FFFF}\u{10FFFF}",
            "ß",
        ];
        for prefix in ["a", "ab", "a ", "\u{D7FF}", "\u{10FFFF}", "s", "ss"] {
            let prefix = FoldedName::new(prefix);
            let (from, to) = KeyRange::clients_named(&prefix).bounds;
            for name in names {
                let key = sk(name, IDS[0]);
                let is_inside = from < key && key < to;
                let begins = FoldedName::new(name).as_str().starts_with(prefix.as_str());
                assert_eq!(is_inside, begins, "{prefix:?} {name:?}");
            }
        }
    }

    #[test]
    fn the_cursor_of_the_longest_name_is_not_too_long() {
        let org = "org_acme".parse().unwrap();
        for name in ["\u{FDFA}", "\u{10FFFF}", "字", "a"].map(|name| name.repeat(100)) {
            let folded = FoldedName::new(&name);
            let range = KeyRange::clients_named(&folded);
            let sk = sk(&name, IDS[0]);
            let scope = range.scope(&org);
            let cursor = super::super::Cursor::encode(&scope, &sk);
            assert!(cursor.len() <= 512, "{}", cursor.len());
            assert_eq!(super::super::Cursor::decode(&scope, &cursor).unwrap(), sk);
        }
    }
}
