//! Portal domains: hostnames, their status, their DNS records and checks.

use std::{net::IpAddr, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumMessage};
use utoipa::ToSchema;

use super::{
    Code, Invalid,
    fields::{Fields, Input, Policy},
    hostname::{HostPolicy, Hostname, Label, relative_host},
    id::{ClientOrgId, DomainId, OrgId},
    portal::PortalContextDomain,
    serde_as_text, text_value,
    time::Timestamp,
};

/// A hostname of an agency's portal.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({"verifiedAt": null}))]
pub struct PortalDomain {
    /// The id of the domain.
    #[schema(value_type = String, example = "dom_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")]
    pub id: DomainId,
    /// The organization id of the agency.
    pub agency_id: OrgId,
    /// The client whose portal the domain is. `null` if it is the agency's own.
    #[schema(value_type = Option<String>, example = "cli_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")]
    pub client_org_id: Option<ClientOrgId>,
    /// A subdomain of the operator, or a custom domain.
    #[serde(rename = "type")]
    pub kind: DomainType,
    /// The hostname, in lower-case A-labels.
    pub hostname: Hostname,
    /// The status of the domain.
    pub status: Status,
    /// Where the traffic of the hostname goes.
    pub routing: Routing,
    /// Whether this is the primary domain of its portal.
    #[schema(example = false)]
    pub primary: bool,
    /// The domain that this host redirects to. `null` if it serves the portal.
    #[schema(value_type = Option<String>, example = "dom_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2c")]
    pub redirect_to: Option<DomainId>,
    /// The certificate that the edge presents for the hostname. `null` before the first check of it, for a subdomain, and while the
    /// domain is not served or its traffic goes elsewhere.
    pub tls: Option<Certificate>,
    /// The DNS records to add, ready to copy. Empty for a subdomain.
    pub records: Vec<DnsRecord>,
    /// The last DNS check. `null` for a subdomain.
    pub check: Option<Check>,
    /// When the domain last began to be served. `null` before that.
    pub verified_at: Option<Timestamp>,
    /// When the domain was created.
    pub created_at: Timestamp,
    /// When `status`, `routing` or `records` last changed.
    pub updated_at: Timestamp,
}

/// The type of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumIter, EnumMessage, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PortalDomainType, example = "custom")]
pub enum DomainType {
    /// A label below the operator's portal domain.
    Subdomain,
    /// A name that the agency owns and proves by DNS.
    Custom,
}

/// The status of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumIter, EnumMessage, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PortalDomainStatus)]
pub enum Status {
    /// A claim: the domain is not proven yet.
    Pending,
    /// The domain is proven and served.
    Verified,
    /// The proof is missing. The domain is still served.
    Failing,
    /// The domain is not served.
    Failed,
}

impl Status {
    /// The status as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Verified => "verified",
            Self::Failing => "failing",
            Self::Failed => "failed",
        }
    }

    /// Whether a domain in this status holds its hostname and is served.
    pub fn serves(self) -> bool {
        matches!(self, Self::Verified | Self::Failing)
    }
}

/// Where the traffic of a hostname goes. Independent of ownership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumIter, EnumMessage, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PortalDomainRouting, example = "elsewhere")]
pub enum Routing {
    /// To the portal.
    Routed,
    /// To a proxy that hides the server behind it.
    Proxied,
    /// To another server, or nowhere.
    Elsewhere,
    /// DNS gave no definite answer.
    Unknown,
}

/// The certificate that the edge presents for a hostname, by a TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PortalDomainCertificate)]
pub struct Certificate {
    /// Whether browsers accept it.
    pub state: CertificateState,
    /// The organization that issued it, or the issuer's common name. `null` if the edge presents no certificate. Cut at 255
    /// characters.
    #[schema(max_length = 255, example = "Let's Encrypt")]
    pub issuer: Option<String>,
    /// The time at which it expires. `null` if the edge presents no certificate.
    pub not_after: Option<Timestamp>,
    /// What is wrong. `null` if the state is `ready`.
    pub problem: Option<CertificateProblem>,
    /// The time of the handshake.
    pub checked_at: Timestamp,
}

impl Certificate {
    /// How long the edge has to obtain a certificate after a hostname was first routed to it.
    pub const ISSUANCE: Duration = Duration::from_secs(24 * 3600);

    /// Whether the overview counts it in `tlsNotReady`.
    pub fn is_not_ready(&self) -> bool {
        matches!(self.state, CertificateState::Pending | CertificateState::Failing)
    }
}

/// Whether browsers accept the certificate that the edge presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumIter, EnumMessage, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PortalDomainCertificateState)]
pub enum CertificateState {
    /// It is valid for the hostname.
    Ready,
    /// The edge has none for the hostname yet. It has 24 hours from when the hostname was first routed to it.
    Pending,
    /// The edge has none for the hostname after that time, or one that browsers reject.
    Failing,
    /// The handshake did not complete.
    Unknown,
}

/// What is wrong with the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumIter, EnumMessage, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = PortalDomainCertificateProblem)]
pub enum CertificateProblem {
    /// The edge presents no certificate for the hostname.
    NoCertificate,
    /// The edge presents the certificate of another name.
    WrongName,
    /// It has expired.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// No public certificate authority vouches for it.
    Untrusted,
    /// The edge does not accept connections, or has no address.
    Unreachable,
    /// The handshake took more than 3 seconds.
    TimedOut,
    /// The handshake failed for another reason.
    HandshakeFailed,
}

impl CertificateProblem {
    /// The state that it comes to, this long after the hostname was first routed to the edge.
    pub fn state(self, routed: Duration) -> CertificateState {
        match self {
            Self::NoCertificate | Self::WrongName if routed < Certificate::ISSUANCE => {
                CertificateState::Pending
            }
            Self::NoCertificate | Self::WrongName | Self::Expired | Self::NotYetValid | Self::Untrusted => {
                CertificateState::Failing
            }
            Self::Unreachable | Self::TimedOut | Self::HandshakeFailed => CertificateState::Unknown,
        }
    }
}

/// A DNS record to add. Names and values have no trailing dot and no quotes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DnsRecord {
    /// The record's type.
    #[serde(rename = "type")]
    pub kind: RecordType,
    /// The full name.
    #[schema(example = "_agency-challenge.portal.acme.com")]
    pub name: String,
    /// The name as the form of a DNS provider expects it: relative to the zone, `@` for the apex.
    #[schema(example = "_agency-challenge.portal")]
    pub host: String,
    /// The value.
    #[schema(example = "agency-verification=5f0c7a1e9b2d4c6f8a3e1d7b9c5f2a40")]
    pub value: String,
    /// What the record is for.
    pub purpose: Purpose,
    /// What the last check found of the record.
    pub state: RecordState,
}

/// The types of the records to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumIter, EnumMessage, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schema(as = DnsRecordType)]
pub enum RecordType {
    /// A text.
    Txt,
    /// Another name of the host.
    Cname,
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// Your DNS provider's record that leads from the zone's apex to another name. Some call it ANAME or flattened CNAME.
    Alias,
}

impl RecordType {
    /// The type as the API and DNS providers write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Txt => "TXT",
            Self::Cname => "CNAME",
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Alias => "ALIAS",
        }
    }
}

/// What a record is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumIter, EnumMessage, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = DnsRecordPurpose)]
pub enum Purpose {
    /// The record proves that the agency owns the name.
    Ownership,
    /// The record routes the traffic to the portal.
    Routing,
}

/// What the last check found of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumIter, EnumMessage, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = DnsRecordState, example = "missing")]
pub enum RecordState {
    /// It was not checked yet.
    Unchecked,
    /// It exists.
    Found,
    /// It does not exist.
    Missing,
    /// A record exists, but with another value.
    Wrong,
    /// DNS gave no definite answer.
    Unreachable,
}

/// The last DNS check.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DomainCheck, example = json!({"zone": "acme.com"}))]
pub struct Check {
    /// The time of the check. `null` before the first one.
    pub checked_at: Option<Timestamp>,
    /// The time of the next scheduled check. `null` if there is none.
    pub next_check_at: Option<Timestamp>,
    /// The number of checks ever made of the domain.
    #[schema(example = 3)]
    pub attempts: u32,
    /// The zone into which the records must be entered.
    pub zone: Option<Hostname>,
    /// That zone's name servers.
    #[schema(example = json!(["ada.ns.cloudflare.com", "bob.ns.cloudflare.com"]))]
    pub nameservers: Vec<String>,
    /// The DNS provider, recognized by the names of the name servers.
    #[schema(example = "Cloudflare")]
    pub provider: Option<String>,
    /// The provider's page for DNS records. `null` if it has no stable address.
    #[serde(default)]
    #[schema(example = "https://dash.cloudflare.com/?to=/:account/:zone/dns/records")]
    pub provider_url: Option<String>,
    /// The first of the findings that is not a warning.
    pub problem: Option<Finding>,
    /// At most 16 findings.
    #[schema(max_items = 16)]
    pub findings: Vec<Finding>,
}

/// A finding of a DNS check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// A stable, machine-readable code.
    pub code: FindingCode,
    /// Whether the finding counts against the domain.
    pub level: Level,
    /// What was found.
    #[schema(example = "Neither record of portal.acme.com was found.")]
    pub detail: String,
    /// What to do at the DNS provider.
    #[schema(example = "Add the TXT record to the zone acme.com at Cloudflare.")]
    pub fix: String,
    /// The expected name or value.
    #[schema(example = "agency-verification=5f0c7a1e9b2d4c6f8a3e1d7b9c5f2a40")]
    pub expected: Option<String>,
    /// The answers of at most 4 servers.
    #[schema(max_items = 4)]
    pub observed: Vec<ServerAnswer>,
}

/// The texts of a finding in a language other than English.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // As in `Finding`.
pub struct FindingText {
    pub detail: String,
    pub fix: String,
}

impl Finding {
    /// The texts alone.
    pub fn into_text(self) -> FindingText {
        FindingText {
            detail: self.detail,
            fix: self.fix,
        }
    }

    /// Adds an expected name or value.
    #[must_use]
    pub fn with_expected(self, expected: impl Into<String>) -> Self {
        let expected = Some(expected.into());
        Self { expected, ..self }
    }

    /// Adds the answers of servers.
    #[must_use]
    pub fn with_observed(self, observed: Vec<ServerAnswer>) -> Self {
        Self { observed, ..self }
    }
}

/// The answer of one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerAnswer {
    /// The name of the server.
    #[schema(example = "ada.ns.cloudflare.com")]
    pub server: String,
    /// The records in presentation format, or the response code.
    #[schema(max_length = 255, example = "NXDOMAIN")]
    pub answer: String,
}

/// Whether a finding counts against the domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumIter, EnumMessage, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = FindingLevel)]
pub enum Level {
    /// The finding must be corrected. The status says whether it counts.
    Error,
    /// DNS gave no definite answer. The finding decides nothing.
    Unknown,
    /// The finding needs attention, but does not count against the domain.
    Warning,
}

/// The codes of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumIter, EnumMessage, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FindingCode {
    /// Neither record exists.
    RecordMissing,
    /// The registry does not know the domain.
    DomainUnregistered,
    /// A record exists with another value.
    WrongValue,
    /// A record has a token of another domain, or of a domain that was deleted and added again.
    StaleToken,
    /// The value is right except for quotes, blanks, invisible characters, letter case or a scheme.
    ValueAltered,
    /// The record is at `<name>.<zone>.<zone>`: the provider appended the zone.
    NameDoubled,
    /// The `CNAME` record leads to `<target>.<zone>`: the provider appended the zone.
    ValueDoubled,
    /// The value exists at another name.
    WrongName,
    /// The value exists in a record of another type.
    WrongType,
    /// A `CNAME` record exists beside other records of its name, which DNS forbids.
    CnameConflict,
    /// A proxy hides the `CNAME` record, and there is no `TXT` record.
    Proxied,
    /// A wildcard record of the zone answers instead of a record of its own.
    WildcardAnswer,
    /// The `CNAME` record leads to a name that does not exist.
    TargetMissing,
    /// The `CNAME` records lead back to themselves.
    CnameLoop,
    /// More than 8 `CNAME` records follow each other.
    CnameTooLong,
    /// No name server of the zone has a public address.
    PrivateAddress,
    /// The proof is found, but a record of another agency exists beside it.
    HeldElsewhere,
    /// Another agency proved the name, and has it now.
    Moved,
    /// The domain was not proven in time.
    Expired,
    /// The records were missing for too long.
    Lost,
    /// The name servers disagree, or only one of them answers.
    NotEverywhereYet,
    /// The name servers do not serve the zone.
    LameDelegation,
    /// No name server responded in time.
    DnsTimeout,
    /// The name servers answer `SERVFAIL`.
    DnsServfail,
    /// The name servers answer `REFUSED`.
    DnsRefused,
    /// A response cannot be parsed.
    DnsMalformed,
    /// A response is too big, and TCP does not work.
    AnswerTooBig,
    /// The zone's DNSSEC signatures are invalid.
    DnssecBogus,
    /// The API's own resolvers do not answer. The domain's name servers are not the cause.
    ResolverFailed,
    /// The provider answers with addresses instead of the `CNAME` record.
    CnameFlattened,
    /// Another agency also proves this name.
    Contested,
    /// An address that is not the portal's exists beside one that is.
    LeftoverAddress,
    /// A `CAA` record does not allow the certificate authority.
    CaaForbids,
    /// The query for `CAA` records failed, so a certificate authority would refuse.
    CaaUnanswered,
    /// Adding the `TXT` record would stop a wildcard from answering for the hostname.
    WildcardShadowed,
    /// The domain is proven, but its traffic goes elsewhere.
    NotRouted,
}

/// The secret part of a custom domain's records: 128 bits in lower-case hex, new for each domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token(String);

text_value!(Token);
serde_as_text!(Token);

impl Token {
    /// A token of these random bits.
    pub fn new(bits: [u8; 16]) -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(bits)))
    }

    /// The key of the `TXT` record's value, before its equals sign.
    pub const TXT_KEY: &str = "agency-verification";

    /// The value of the `TXT` record that proves ownership.
    pub fn txt_value(&self) -> String {
        format!("{}={}", Self::TXT_KEY, self.0)
    }

    /// The token in the value of a `TXT` record.
    pub fn from_txt_value(value: &str) -> Option<Self> {
        let token = value.strip_prefix(Self::TXT_KEY)?.strip_prefix('=')?;
        token.parse().ok()
    }

    /// The target of the `CNAME` record that proves ownership and routes traffic.
    pub fn cname_target(&self, names: &HostPolicy) -> String {
        format!("{}.{}", self.0, names.target)
    }
}

impl FromStr for Token {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let fits = text.len() == 32 && text.bytes().all(is_hex);
        fits.then(|| Self(text.to_owned()))
            .ok_or("not 32 lower-case hexadecimal digits")
    }
}

/// A domain as it is stored. Its records follow from its token and the configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // As in `PortalDomain`, but for what is documented.
pub struct Domain {
    pub id: DomainId,
    pub agency_id: OrgId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_org_id: Option<ClientOrgId>,
    #[serde(rename = "type")]
    pub kind: DomainType,
    pub hostname: Hostname,
    pub status: Status,
    pub routing: Routing,
    #[serde(default)]
    pub primary: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Certificate>,
    /// `None` for a subdomain.
    pub token: Option<Token>,
    /// The state of the `TXT` record.
    pub ownership: RecordState,
    /// The state of the `CNAME`, or of the `ALIAS` of an apex.
    pub route: RecordState,
    /// `None` before the first check, and if the hostname is not the apex of its zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apex: Option<ApexAddresses>,
    pub check: Option<Check>,
    /// The German texts of the check's findings, in their order. Not in the API: the setup page shows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub german_findings: Vec<FindingText>,
    pub verified_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// What the next check must know of the earlier checks.
    #[serde(default)]
    pub history: History,
}

/// The domain that a host redirects to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // As in `PortalDomain`.
pub struct Redirect {
    pub to: DomainId,
    pub hostname: Hostname,
}

/// What the last check found of the addresses of an apex. Not in the API: the states of `A` and `AAAA` records follow from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApexAddresses {
    /// The addresses that are the edge's.
    pub found: Vec<IpAddr>,
    /// The state of every other `A` record.
    pub a: RecordState,
    /// The state of every other `AAAA` record.
    pub aaaa: RecordState,
    /// What the servers answered to the question for `A` records, if that is wrong or undecided. The setup page shows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub a_answers: Vec<ServerAnswer>,
    /// The same for `AAAA` records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aaaa_answers: Vec<ServerAnswer>,
}

/// The counters and times of earlier checks that decide what the next one means. Not in the API.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct History {
    /// When the status last changed. `None`: the domain still has its first status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Scheduled checks since then; of a verified domain, since the last change of its routing.
    pub step: u32,
    /// Whether DNS gave a definite answer since then.
    pub answered: bool,
    /// Misses since the last proof.
    pub misses: u32,
    /// The time of the first of these misses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed_at: Option<Timestamp>,
    /// Unknowns in a row. Of those that `verify` finds only the first counts.
    pub unknowns: u32,
    /// Since when neither record has proven the domain. A newcomer's `TXT` proof waits for 10 minutes of this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone_since: Option<Timestamp>,
    /// When an unconfirmed proof was first seen: one that only one of several name servers gives. It counts 10 minutes later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unconfirmed_since: Option<Timestamp>,
    /// Whether each proof since the domain is served was unconfirmed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub only_unconfirmed_proofs: bool,
    /// Until when the domain shows the warning `contested`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contested_until: Option<Timestamp>,
    /// When the hostname was first served and routed to the edge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routed_at: Option<Timestamp>,
    /// Why the domain failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<FindingCode>,
}

impl Domain {
    /// Whether the last check found this.
    pub fn has_finding(&self, code: FindingCode) -> bool {
        let check = self.check.as_ref();
        check.is_some_and(|check| check.findings.iter().any(|finding| finding.code == code))
    }

    /// Whether the edge is asked for its certificate: the domain is served, and its traffic reaches the edge.
    pub fn needs_certificate(&self) -> bool {
        self.status.serves() && matches!(self.routing, Routing::Routed | Routing::Proxied)
    }

    /// Whether the overview counts it in `tlsNotReady`.
    pub fn is_tls_not_ready(&self) -> bool {
        self.tls.as_ref().is_some_and(Certificate::is_not_ready)
    }

    /// When the status began.
    pub fn since(&self) -> Timestamp {
        self.history.since.unwrap_or(self.created_at)
    }

    /// A new subdomain of the agency's own. It is verified from the start, because the operator owns the zone.
    pub fn subdomain(id: DomainId, agency: OrgId, hostname: Hostname, now: Timestamp) -> Self {
        Self {
            id,
            agency_id: agency,
            client_org_id: None,
            kind: DomainType::Subdomain,
            hostname,
            status: Status::Verified,
            routing: Routing::Routed,
            primary: false,
            redirect: None,
            tls: None,
            token: None,
            ownership: RecordState::Unchecked,
            route: RecordState::Unchecked,
            apex: None,
            check: None,
            german_findings: Vec::new(),
            verified_at: Some(now),
            created_at: now,
            updated_at: now,
            history: History::default(),
        }
    }

    /// A new custom domain of the agency's own: a claim, due for its first check in a minute.
    pub fn custom(id: DomainId, agency: OrgId, hostname: Hostname, token: Token, now: Timestamp) -> Self {
        Self {
            kind: DomainType::Custom,
            status: Status::Pending,
            routing: Routing::Unknown,
            token: Some(token),
            check: Some(Check {
                next_check_at: Some(now + Duration::from_secs(60)),
                ..Check::default()
            }),
            verified_at: None,
            ..Self::subdomain(id, agency, hostname, now)
        }
    }

    /// The rank among the portal's candidates for the primary domain, lowest first. `None`: no candidate.
    pub fn primary_rank(&self) -> Option<u8> {
        let is_usable = self.status == Status::Verified && self.routing != Routing::Elsewhere;
        match self.kind {
            _ if is_usable && self.primary => Some(0),
            DomainType::Custom if is_usable => Some(1),
            DomainType::Custom => None,
            DomainType::Subdomain => Some(2),
        }
    }

    /// The domain as a portal link needs it.
    pub fn primary(&self) -> PortalContextDomain {
        PortalContextDomain {
            hostname: self.hostname.clone(),
            kind: self.kind,
            status: self.status,
        }
    }

    /// The domain as the API shows it. `addresses` are the edge's, for the records of an apex.
    pub fn show(self, names: &HostPolicy, addresses: &[IpAddr]) -> PortalDomain {
        PortalDomain {
            records: self.records(names, addresses),
            id: self.id,
            agency_id: self.agency_id,
            client_org_id: self.client_org_id,
            kind: self.kind,
            hostname: self.hostname,
            status: self.status,
            routing: self.routing,
            primary: self.primary,
            redirect_to: self.redirect.map(|redirect| redirect.to),
            tls: self.tls,
            check: self.check,
            verified_at: self.verified_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    fn address_state(&self, address: &IpAddr) -> RecordState {
        match (&self.apex, address) {
            (None, _) => self.route,
            (Some(apex), address) if apex.found.contains(address) => RecordState::Found,
            (Some(apex), IpAddr::V4(_)) => apex.a,
            (Some(apex), IpAddr::V6(_)) => apex.aaaa,
        }
    }

    /// The records that prove and route the domain. `addresses` are the edge's, for those of an apex.
    pub fn records(&self, names: &HostPolicy, addresses: &[IpAddr]) -> Vec<DnsRecord> {
        let Some(token) = &self.token else {
            return Vec::new();
        };
        // Until a check has found the zone, the registrable domain is the likeliest one.
        let zone = match self.check.as_ref().and_then(|check| check.zone.as_ref()) {
            Some(zone) => zone.as_str(),
            None => self.hostname.registrable(),
        };
        let record = |kind, name: String, value, purpose, state| DnsRecord {
            kind,
            host: relative_host(&name, zone).to_owned(),
            name,
            value,
            purpose,
            state,
        };
        let (challenge, proof) = (self.hostname.challenge(), token.txt_value());
        let mut records = vec![record(
            RecordType::Txt,
            challenge,
            proof,
            Purpose::Ownership,
            self.ownership,
        )];
        let route = |kind, value, state| {
            let name = self.hostname.to_string();
            record(kind, name, value, Purpose::Routing, state)
        };
        // A zone's apex has an SOA record, so it cannot have a CNAME (RFC 1034, section 3.6.2).
        if self.hostname.as_str() != zone {
            records.push(route(RecordType::Cname, token.cname_target(names), self.route));
        } else if addresses.is_empty() {
            records.push(route(RecordType::Alias, token.cname_target(names), self.route));
        } else {
            records.extend(addresses.iter().map(|address| {
                let kind = match address {
                    IpAddr::V4(_) => RecordType::A,
                    IpAddr::V6(_) => RecordType::Aaaa,
                };
                route(kind, address.to_string(), self.address_state(address))
            }));
        }
        records
    }
}

/// A new domain: a subdomain or a custom domain. Unknown properties are rejected.
#[derive(Debug, Clone, ToSchema)]
#[serde(untagged)]
pub enum PortalDomainCreate {
    /// A new domain that is a label below the operator's portal domain.
    #[schema(title = "SubdomainCreate")]
    Subdomain {
        /// The label, in any case.
        #[schema(
            value_type = String,
            min_length = 2,
            max_length = 63,
            pattern = "^[A-Za-z0-9][A-Za-z0-9-]{0,61}[A-Za-z0-9]$",
            example = "acme"
        )]
        subdomain: Label,
        /// The client whose portal the domain is. If it is absent or `null`, the domain is the agency's own.
        #[serde(rename = "clientOrgId")]
        #[schema(value_type = Option<String>, example = "cli_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")]
        client_org_id: Option<ClientOrgId>,
    },
    /// A new domain that is a name of the agency's or the client's own.
    #[schema(title = "CustomDomainCreate")]
    Custom {
        /// The host name, in Unicode or ASCII.
        #[serde(rename = "customDomain")]
        #[schema(
            value_type = String,
            min_length = 4,
            max_length = 1024,
            pattern = r"^[^\s/\\?#@:*_\[\]]+[.\u3002\uFF0E\uFF61][^\s/\\?#@:*_\[\]]+$",
            example = "portal.acme.com"
        )]
        custom_domain: Hostname,
        /// The client whose portal the domain is. If it is absent or `null`, the domain is the agency's own.
        #[serde(rename = "clientOrgId")]
        #[schema(value_type = Option<String>, example = "cli_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")]
        client_org_id: Option<ClientOrgId>,
    },
}

impl Input for PortalDomainCreate {
    fn read(fields: &mut Fields, policy: Policy<'_>) -> Option<Self> {
        match (fields.has("subdomain"), fields.has("customDomain")) {
            (true, true) => {
                fields.reject_body(Code::NotAllowed, "Give subdomain or customDomain, not both.");
            }
            (false, false) => fields.reject_body(Code::Required, "Give subdomain or customDomain."),
            _ => {}
        }
        let client_org_id = fields.optional("clientOrgId", client_org_id);
        let subdomain = fields.optional("subdomain", |text| policy.names.subdomain(text));
        let custom_domain = fields.optional("customDomain", |text| policy.names.custom_domain(text));
        match (subdomain, custom_domain) {
            (Some(subdomain), None) => Some(Self::Subdomain {
                subdomain,
                client_org_id,
            }),
            (None, Some(custom_domain)) => Some(Self::Custom {
                custom_domain,
                client_org_id,
            }),
            _ => None,
        }
    }
}

/// An update of a domain. An absent property stays unchanged. Read-only properties of `PortalDomain` are ignored. Unknown
/// properties are rejected.
#[derive(Debug, Clone, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct PortalDomainUpdate {
    /// Whether this is the primary domain of its portal.
    #[schema(nullable = false)]
    pub primary: Option<bool>,
    /// Another domain of the same portal. It must not redirect to a further domain. `null` ends the redirect.
    #[schema(value_type = Option<String>, example = "dom_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2c")]
    pub redirect_to: Option<Option<DomainId>>,
    /// The client to whose portal the domain moves. `null` moves it back to the agency.
    #[schema(value_type = Option<String>, example = "cli_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")]
    pub client_org_id: Option<Option<ClientOrgId>>,
}

impl Input for PortalDomainUpdate {
    fn read(fields: &mut Fields, _: Policy<'_>) -> Option<Self> {
        fields.ignore(&[
            "id",
            "agencyId",
            "type",
            "hostname",
            "status",
            "routing",
            "tls",
            "records",
            "check",
            "verifiedAt",
            "createdAt",
            "updatedAt",
        ]);
        Some(Self {
            primary: fields.present_boolean("primary"),
            redirect_to: fields.nullable("redirectTo", |text| Ok(text.parse().unwrap_or(DomainId::NIL))),
            client_org_id: fields.nullable("clientOrgId", client_org_id),
        })
    }
}

/// A reference to a client. A text that is not an id becomes the nil id, so that it gets the same error as an unknown id.
#[allow(clippy::unnecessary_wraps)] // A parser of `Fields`.
fn client_org_id(text: &str) -> Result<ClientOrgId, Invalid> {
    Ok(text.parse().unwrap_or(ClientOrgId::NIL))
}
