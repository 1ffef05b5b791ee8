//! Setup links: an agency sends one to the person who runs the DNS of a custom domain.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    Code,
    branding::PublicBrandingSettings,
    domain::{Certificate, Check, DnsRecord, PortalDomain, Routing, Status},
    fields::{Fields, Input, Policy},
    hostname::Hostname,
    portal::{BrandingTextColors, PublicBranding},
    time::Timestamp,
};
use crate::hash::sha256_hex;

/// The secret of a setup link: 256 random bits.
#[derive(Clone, PartialEq, Eq)]
pub struct SetupToken(String);

impl SetupToken {
    /// The length in characters: 32 bytes in base64url (RFC 4648, section 5).
    const CHARS: usize = 43;

    /// A token of these bits.
    pub fn new(bits: [u8; 32]) -> Self {
        Self(BASE64_URL_SAFE_NO_PAD.encode(bits))
    }

    /// A token of a path. `None` if no token has this form, so that a guess costs no request.
    pub fn parse(text: &str) -> Option<Self> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let fits = text.len() == Self::CHARS && text.bytes().all(is_allowed);
        fits.then(|| Self(text.to_owned()))
    }

    /// The token as the link has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the table stores.
    pub fn sha256(&self) -> String {
        sha256_hex(&self.0)
    }
}

/// A new setup link. Unknown properties are rejected.
#[derive(Debug, Clone, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct SetupLinkCreate {
    /// How long the link is valid. It is 14 days if this is absent or `null`.
    #[schema(value_type = Option<u8>, minimum = 1, maximum = 30, example = 14)]
    pub days: u8,
}

impl SetupLinkCreate {
    const DEFAULT_DAYS: u8 = 14;
    const MAX_DAYS: f64 = 30.0;

    /// How long the link is valid.
    pub fn duration(&self) -> Duration {
        Duration::from_secs(u64::from(self.days) * 24 * 3600)
    }
}

impl Input for SetupLinkCreate {
    fn read(fields: &mut Fields, _: Policy<'_>) -> Option<Self> {
        let days = match fields.take("days") {
            None | Some(Value::Null) => Some(Self::DEFAULT_DAYS),
            // JSON Schema counts 14.0 as an integer.
            Some(Value::Number(days)) if days.as_f64().is_some_and(|days| days.fract() == 0.0) => days
                .as_f64()
                .filter(|days| (1.0..=Self::MAX_DAYS).contains(days))
                .map(|days| days as u8)
                .or_else(|| {
                    fields.reject("days", Code::NotAllowed, "Use a number from 1 to 30.");
                    None
                }),
            Some(_) => {
                fields.reject("days", Code::WrongType, "This must be a whole number or null.");
                None
            }
        };
        Some(Self { days: days? })
    }
}

/// A setup link. The API shows it once.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetupLink {
    /// The page to send to the person who runs the DNS.
    #[schema(example = "https://api.example.com/portal/setup/Vb9zq3F6yX0aL2mN8pQ4rS7tU1wE5cD6fG9hJ0kLzXk")]
    pub url: String,
    /// The time at which the link ends.
    pub expires_at: Timestamp,
}

/// What the person who runs the DNS of a custom domain has to know.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Setup {
    /// The host name.
    pub hostname: Hostname,
    /// The status of the domain.
    pub status: Status,
    /// Where the traffic of the host name goes.
    pub routing: Routing,
    /// The certificate that the edge presents for the host name, as in `PortalDomain`.
    pub tls: Option<Certificate>,
    /// The DNS records to add, ready to copy.
    pub records: Vec<DnsRecord>,
    /// The last DNS check.
    pub check: Option<Check>,
    /// The branding of the agency or client whose domain it is.
    pub branding: SetupBranding,
    /// The time at which the link ends.
    pub expires_at: Timestamp,
}

/// The branding of a setup page: that of the public operation, without the organization.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SetupBranding {
    /// The settings.
    #[serde(flatten)]
    pub settings: PublicBrandingSettings,
    /// The colours for text.
    #[serde(flatten)]
    pub text: BrandingTextColors,
}

impl Setup {
    /// What a setup link shows of a domain.
    pub fn new(domain: PortalDomain, branding: PublicBranding, expires_at: Timestamp) -> Self {
        Self {
            hostname: domain.hostname,
            status: domain.status,
            routing: domain.routing,
            tls: domain.tls,
            records: domain.records,
            check: domain.check,
            branding: SetupBranding {
                settings: branding.settings,
                text: branding.text,
            },
            expires_at,
        }
    }
}
