//! Portal domains: a name of ours or of the agency's own, its proof and its state.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Code,
    fields::{Fields, Input},
    hostname::{HostPolicy, Hostname, Label},
    id::{DomainId, OrgId},
    portal::PrimaryDomain,
    time::Timestamp,
};

/// A domain under which an agency's portal is reached.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PortalDomain {
    /// Its id.
    #[schema(value_type = String, example = "dom_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")]
    pub id: DomainId,
    /// The agency's organization.
    pub agency_id: OrgId,
    /// A name of ours or of the agency's own.
    #[serde(rename = "type")]
    pub kind: DomainType,
    /// The host name, in lower-case A-labels.
    pub hostname: Hostname,
    /// Where it stands.
    pub status: Status,
    /// Where its traffic goes.
    pub routing: Routing,
    /// What to put into DNS, ready to copy; nothing for a subdomain.
    pub records: Vec<DnsRecord>,
    /// The last look at DNS; `null` for a subdomain.
    pub check: Option<Check>,
    /// When it was last proven for the first time; `null` before.
    pub verified_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its status, routing or records last changed.
    pub updated_at: Timestamp,
}

/// A name of ours or of the agency's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DomainType {
    /// A label below our portal domain.
    Subdomain,
    /// A name that the agency owns and proves by DNS.
    Custom,
}

/// Where a domain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not proven yet.
    Pending,
    /// Proven and served.
    Verified,
    /// Still served, but the proof is gone.
    Failing,
    /// Not served.
    Failed,
}

impl Status {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Verified => "verified",
            Self::Failing => "failing",
            Self::Failed => "failed",
        }
    }

    /// Whether a domain in this status holds its name and is served.
    pub fn serves(self) -> bool {
        matches!(self, Self::Verified | Self::Failing)
    }
}

/// Where a host name's traffic goes, apart from who owns the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Routing {
    /// To us.
    Routed,
    /// To a proxy that hides what is behind it.
    Proxied,
    /// To somebody else.
    Elsewhere,
    /// Not known.
    Unknown,
}

/// A record to put into DNS: no trailing dot, no quotes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DnsRecord {
    /// The record's type.
    #[serde(rename = "type")]
    pub kind: RecordType,
    /// The full name.
    #[schema(example = "_agency-challenge.portal.acme.com")]
    pub name: String,
    /// The name as a form at the DNS provider wants it: relative to the zone, `@` for the zone itself.
    #[schema(example = "_agency-challenge.portal")]
    pub host: String,
    /// The value.
    #[schema(example = "agency-verification=5f0c7a1e9b2d4c6f8a3e1d7b9c5f2a40")]
    pub value: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Whether it was seen.
    pub state: RecordState,
}

/// The types of records that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)]
pub enum RecordType {
    Txt,
    Cname,
    A,
    Aaaa,
    Alias,
}

/// What a record is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// It proves that the name is the agency's.
    Ownership,
    /// It leads traffic to us.
    Routing,
}

/// What was seen of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecordState {
    /// Nobody looked yet.
    Unchecked,
    /// It is there.
    Found,
    /// There is no such record.
    Missing,
    /// There is one with another value.
    Wrong,
    /// DNS did not answer.
    Unreachable,
}

/// The last look at DNS.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// When DNS was last asked; `null` before the first check.
    pub checked_at: Option<Timestamp>,
    /// When it will be asked next; `null` when it will not.
    pub next_check_at: Option<Timestamp>,
    /// Checks ever made of this domain.
    pub attempts: u32,
    /// The zone into which the records must be entered.
    pub zone: Option<Hostname>,
    /// That zone's name servers.
    pub nameservers: Vec<String>,
    /// The DNS provider, from the name servers' names.
    #[schema(example = "Cloudflare")]
    pub provider: Option<String>,
    /// The first of the findings that is not a warning.
    pub problem: Option<Finding>,
    /// All that was found, 16 at most.
    #[schema(max_items = 16)]
    pub findings: Vec<Finding>,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// Stable and machine-readable.
    pub code: FindingCode,
    /// How it counts.
    pub level: Level,
    /// What was found: one sentence.
    pub detail: String,
    /// What to do at the DNS provider: one sentence.
    pub fix: String,
    /// What should be there.
    pub expected: Option<String>,
    /// What each server said, 4 at most.
    #[schema(max_items = 4)]
    pub observed: Vec<Observed>,
}

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Observed {
    /// The server.
    pub server: String,
    /// The records in presentation form, or the response code.
    #[schema(max_length = 255)]
    pub answer: String,
}

/// How a finding counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It counts against the domain.
    Error,
    /// It decides nothing.
    Unknown,
    /// It is worth knowing.
    Warning,
}

/// The codes of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // Each finding's `detail` is its explanation.
pub enum FindingCode {
    RecordMissing,
    DomainUnregistered,
    WrongValue,
    StaleToken,
    ValueAltered,
    NameDoubled,
    ValueDoubled,
    WrongName,
    WrongType,
    CnameConflict,
    Proxied,
    WildcardAnswer,
    TargetMissing,
    CnameLoop,
    CnameTooLong,
    PrivateAddress,
    HeldElsewhere,
    Moved,
    Expired,
    Lost,
    NotEverywhereYet,
    LameDelegation,
    DnsTimeout,
    DnsServfail,
    DnsRefused,
    DnsMalformed,
    AnswerTooBig,
    DnssecBogus,
    CnameFlattened,
    Contested,
    LeftoverAddress,
    CaaForbids,
    CaaUnanswered,
    WildcardShadowed,
    NotRouted,
}

/// The secret part of a custom domain's records: 128 bits in lower-case hex, new for each domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// A token of these random bits.
    pub fn new(bits: [u8; 16]) -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(bits)))
    }

    /// The token that a name or a text consists of, in lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 32 && text.bytes().all(hex)).then(|| Self(text.to_owned()))
    }

    /// The token as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of the `TXT` record's value, before its equals sign.
    const TXT_KEY: &str = "agency-verification";

    /// The value of the `TXT` record that proves ownership.
    pub fn txt_value(&self) -> String {
        format!("{}={}", Self::TXT_KEY, self.0)
    }

    /// The token in the value of a `TXT` record.
    pub fn from_txt_value(value: &str) -> Option<Self> {
        Self::parse(value.strip_prefix(Self::TXT_KEY)?.strip_prefix('=')?)
    }

    /// The target of the `CNAME` record that proves ownership and routes traffic.
    pub fn cname_target(&self, names: &HostPolicy) -> String {
        format!("{}.{}", self.0, names.target)
    }
}

/// A domain as the table keeps it: its records follow from its token and the configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // As in `PortalDomain`, but for what is documented.
pub struct Domain {
    pub id: DomainId,
    pub agency_id: OrgId,
    #[serde(rename = "type")]
    pub kind: DomainType,
    pub hostname: Hostname,
    pub status: Status,
    pub routing: Routing,
    /// Of a custom domain alone.
    pub token: Option<Token>,
    /// The state of the `TXT` record.
    pub ownership: RecordState,
    /// The state of the `CNAME`, or of an apex name's addresses.
    pub route: RecordState,
    pub check: Option<Check>,
    pub verified_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// What the next check must know of the earlier ones.
    #[serde(default)]
    pub history: History,
}

/// What of a domain's earlier checks decides what the next one means. The API does not show it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct History {
    /// When the status last changed, or the window of a pending one began anew; before that, the domain's creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Scheduled checks since then; of a verified domain, since its routing last changed too.
    pub step: u32,
    /// Whether DNS has answered in this window of a pending domain.
    pub answered: bool,
    /// Definite misses since the last proof that count towards the loss of a name.
    pub misses: u32,
    /// When the first of them was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed_at: Option<Timestamp>,
    /// Scheduled checks in a row that decided nothing.
    pub unknowns: u32,
    /// Since when neither record has been seen, whatever the addresses say: what a newcomer's claim has to wait for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone_since: Option<Timestamp>,
    /// Until when another agency's proof of the name is worth a warning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contested_until: Option<Timestamp>,
    /// Why the domain failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<FindingCode>,
}

impl Domain {
    /// A new subdomain: verified from the start, for its name is ours to give.
    pub fn subdomain(id: DomainId, agency: OrgId, hostname: Hostname, now: Timestamp) -> Self {
        Self {
            id,
            agency_id: agency,
            kind: DomainType::Subdomain,
            hostname,
            status: Status::Verified,
            routing: Routing::Routed,
            token: None,
            ownership: RecordState::Unchecked,
            route: RecordState::Unchecked,
            check: None,
            verified_at: Some(now),
            created_at: now,
            updated_at: now,
            history: History::default(),
        }
    }

    /// A new custom domain: a claim that its records must prove.
    pub fn custom(id: DomainId, agency: OrgId, hostname: Hostname, token: Token, now: Timestamp) -> Self {
        Self {
            kind: DomainType::Custom,
            status: Status::Pending,
            routing: Routing::Unknown,
            token: Some(token),
            check: Some(Check {
                checked_at: None,
                next_check_at: Some(now + std::time::Duration::from_secs(60)),
                attempts: 0,
                zone: None,
                nameservers: Vec::new(),
                provider: None,
                problem: None,
                findings: Vec::new(),
            }),
            verified_at: None,
            ..Self::subdomain(id, agency, hostname, now)
        }
    }

    /// The rank among an agency's candidates for the primary domain, lowest first; `None` where it is none.
    pub fn primary_rank(&self) -> Option<u8> {
        match (self.kind, self.status) {
            (DomainType::Subdomain, _) => Some(1),
            (DomainType::Custom, Status::Verified) if self.routing != Routing::Elsewhere => Some(0),
            (DomainType::Custom, _) => None,
        }
    }

    /// What a link to the portal needs to know of it.
    pub fn primary(&self) -> PrimaryDomain {
        PrimaryDomain {
            hostname: self.hostname.clone(),
            kind: self.kind,
            status: self.status,
        }
    }

    /// As the API shows it. `addresses` are those of the edge, for an apex name.
    pub fn show(self, names: &HostPolicy, addresses: &[IpAddr]) -> PortalDomain {
        PortalDomain {
            records: self.records(names, addresses),
            id: self.id,
            agency_id: self.agency_id,
            kind: self.kind,
            hostname: self.hostname,
            status: self.status,
            routing: self.routing,
            check: self.check,
            verified_at: self.verified_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    fn records(&self, names: &HostPolicy, addresses: &[IpAddr]) -> Vec<DnsRecord> {
        let Some(token) = &self.token else {
            return Vec::new();
        };
        // Until a check has found the zone, the registrable domain is the likeliest one.
        let zone = match self.check.as_ref().and_then(|check| check.zone.as_ref()) {
            Some(zone) => zone.as_str(),
            None => psl::domain_str(self.hostname.as_str()).unwrap_or(self.hostname.as_str()),
        };
        let record = |kind, name: String, value, purpose, state| DnsRecord {
            kind,
            host: relative_host(&name, zone).to_owned(),
            name,
            value,
            purpose,
            state,
        };
        let route = |kind, value| {
            record(
                kind,
                self.hostname.to_string(),
                value,
                Purpose::Routing,
                self.route,
            )
        };
        let mut records = vec![record(
            RecordType::Txt,
            self.hostname.challenge(),
            token.txt_value(),
            Purpose::Ownership,
            self.ownership,
        )];
        // A zone's apex has an SOA record, so it cannot have a CNAME (RFC 1034, section 3.6.2).
        if self.hostname.as_str() != zone {
            records.push(route(RecordType::Cname, token.cname_target(names)));
        } else if addresses.is_empty() {
            records.push(route(RecordType::Alias, token.cname_target(names)));
        } else {
            records.extend(addresses.iter().map(|address| {
                let kind = if address.is_ipv4() {
                    RecordType::A
                } else {
                    RecordType::Aaaa
                };
                route(kind, address.to_string())
            }));
        }
        records
    }
}

/// A name as the form of a DNS provider expects it: relative to the zone, `@` for the apex. A name outside of the zone is
/// returned as it is.
pub fn relative_host<'n>(name: &'n str, zone: &str) -> &'n str {
    match name.strip_suffix(zone) {
        Some("") => "@",
        Some(host) => host.strip_suffix('.').unwrap_or(name),
        None => name,
    }
}

/// A new domain: exactly one of the two. Unknown properties are refused.
#[derive(Debug, Clone, ToSchema)]
#[serde(untagged)]
pub enum PortalDomainCreate {
    /// A label below our portal domain.
    Subdomain {
        /// The label, in any case.
        #[schema(value_type = String, min_length = 2, max_length = 63, example = "acme")]
        subdomain: Label,
    },
    /// A name that the agency owns.
    Custom {
        /// The host name, in Unicode or ASCII.
        #[serde(rename = "customDomain")]
        #[schema(value_type = String, min_length = 4, max_length = 1024, example = "portal.acme.com")]
        custom_domain: Hostname,
    },
}

impl Input for PortalDomainCreate {
    fn read(fields: &mut Fields, names: &HostPolicy) -> Option<Self> {
        match (fields.has("subdomain"), fields.has("customDomain")) {
            (true, true) => {
                fields.fault_of_all(Code::NotAllowed, "Give subdomain or customDomain, not both.");
            }
            (false, false) => fields.fault_of_all(Code::Required, "Give subdomain or customDomain."),
            _ => {}
        }
        let subdomain = fields.optional("subdomain", |text| names.subdomain(text));
        let custom_domain = fields.optional("customDomain", |text| names.custom_domain(text));
        match (subdomain, custom_domain) {
            (Some(subdomain), None) => Some(Self::Subdomain { subdomain }),
            (None, Some(custom_domain)) => Some(Self::Custom { custom_domain }),
            _ => None,
        }
    }
}
