//! Identifiers: a type prefix and a UUIDv7 (RFC 9562, section 5.7), so that they sort by the time they were made.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::{Uuid, Variant};

use super::time::Timestamp;

/// What an id is the id of.
pub trait Kind {
    /// The prefix, with its underscore.
    const PREFIX: &'static str;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $kind:ident $prefix:literal;)*) => {$(
        #[doc = concat!("The kind of id that begins with `", $prefix, "`.")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $kind;
        impl Kind for $kind {
            const PREFIX: &'static str = $prefix;
        }
        $(#[$doc])*
        pub type $name = Id<$kind>;
    )*};
}

kinds! {
    /// A client organization's id.
    ClientOrgId = ClientOrgKind "cli_";
    /// A portal domain's id.
    DomainId = DomainKind "dom_";
    /// The id of an agency's branding.
    BrandingId = BrandingKind "brd_";
    /// An audit entry's id.
    AuditId = AuditKind "log_";
}

/// An id of kind `K`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id<K>(Uuid, PhantomData<K>);

impl<K: Kind> Id<K> {
    /// The id that is never issued.
    ///
    /// It stands for what cannot be an id, so that both meet the same checks and get the same answer.
    pub const NIL: Self = Self(Uuid::nil(), PhantomData);

    /// A new id, later in order than all that this process made before at the same time.
    pub fn new(now: Timestamp) -> Self {
        Self(now.uuid(), PhantomData)
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", K::PREFIX, self.0.hyphenated())
    }
}

/// The text is no id of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id of this kind")
    }
}

impl<K: Kind> FromStr for Id<K> {
    type Err = NotAnId;

    /// Takes the canonical form alone: the prefix and a lower-case, hyphenated UUIDv7.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let digits = text.strip_prefix(K::PREFIX).ok_or(NotAnId)?;
        let uuid = Uuid::try_parse(digits).map_err(|_| NotAnId)?;
        let mut canonical = [0; uuid::fmt::Hyphenated::LENGTH];
        if uuid.hyphenated().encode_lower(&mut canonical) != digits
            || uuid.get_version_num() != 7
            || uuid.get_variant() != Variant::RFC4122
        {
            return Err(NotAnId);
        }
        Ok(Self(uuid, PhantomData))
    }
}

impl<K: Kind> Serialize for Id<K> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An organization of the identity provider: `[A-Za-z0-9_-]{1,64}`, and not in the form of a client organization's id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{1,64}$", example = "org_acme")]
pub struct OrgId(String);

impl OrgId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for OrgId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let fits = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
            && text.parse::<ClientOrgId>().is_err();
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAnId)
        }
    }
}
