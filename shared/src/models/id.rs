//! Identifiers: a type prefix and a UUIDv7 (RFC 9562, section 5.7). They sort by creation time.

use std::{fmt, marker::PhantomData, str::FromStr};

use utoipa::ToSchema;
use uuid::{Uuid, Variant};

use super::{serde_as_text, text_value, time::Timestamp};

/// The type of resource that an id names.
pub trait Kind {
    /// The prefix, with its underscore.
    const PREFIX: &'static str;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $kind:ident $prefix:literal;)*) => {$(
        #[doc = concat!("The kind of id with the prefix `", $prefix, "`.")]
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

serde_as_text!(Id<K: Kind>);

impl<K: Kind> Id<K> {
    /// The nil id, which is never issued. An id in a path that does not parse becomes this one, so that it gets the same
    /// checks and the same 404 as an unknown id.
    pub const NIL: Self = Self(Uuid::nil(), PhantomData);

    /// A new id with the time `now`. It sorts after all ids that this process created earlier with the same `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(now.uuid(), PhantomData)
    }

    /// The time of the id.
    pub fn time(self) -> Timestamp {
        Timestamp::of_uuid(self.0)
    }

    /// A new id that sorts after this one: at `now`, or at this one's time if that is later, as if a machine whose clock is ahead
    /// created it.
    #[must_use]
    pub fn next(self, now: Timestamp) -> Self {
        Self(
            now.max(Timestamp::of_uuid(self.0)).uuid_after(self.0),
            PhantomData,
        )
    }

    /// The id's shard, from 0 to `shards` - 1, by random bits of the id. `shards` must not be zero.
    pub fn shard(self, shards: u8) -> u8 {
        let [.., last] = self.0.into_bytes();
        last % shards
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", K::PREFIX, self.0.hyphenated())
    }
}

/// The text is not an id of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this kind")]
pub struct NotAnId;

impl<K: Kind> FromStr for Id<K> {
    type Err = NotAnId;

    /// Accepts only the canonical form: the prefix and a lower-case, hyphenated UUIDv7.
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

/// An organization of the identity provider: `[A-Za-z0-9_-]{1,64}`, and not in the form of a client organization's id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, ToSchema)]
#[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{1,64}$", example = "org_acme")]
pub struct OrgId(String);

text_value!(OrgId);
serde_as_text!(OrgId);

impl FromStr for OrgId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(is_allowed);
        if fits && text.parse::<ClientOrgId>().is_err() {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAnId)
        }
    }
}
