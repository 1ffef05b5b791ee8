//! Points in time. In text: RFC 3339, UTC, whole seconds, with a `Z`.

use std::{
    fmt, ops,
    str::FromStr,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::ToSchema;
use uuid::Uuid;

use super::serde_as_text;
use crate::random;

/// A point in time with milliseconds. Its text has whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(description = "A time in UTC (RFC 3339), in whole seconds.", value_type = String, format = DateTime, example = "2026-11-23T17:00:00Z")]
pub struct Timestamp(i64);

serde_as_text!(Timestamp);

/// Orders the UUIDs of one millisecond by their creation (RFC 9562, section 6.2, method 2). It does not depend on the time: the
/// scheduled function can run as of a later time than the other requests of its process, and a clock can be set back.
static COUNTER: Mutex<u128> = Mutex::new(0);

/// The key of [`offset`].
static KEY: LazyLock<[u8; 16]> = LazyLock::new(random::bits);

/// The first value of the 74 bits after this time: a keyed hash. Without it, the difference of two ids would show how many ids
/// the process created between them, including those of other agencies.
fn offset(millis: i64) -> u128 {
    let hash = digest::digest(&digest::SHA256, &[&KEY[..], &millis.to_be_bytes()].concat());
    let mut bits = [0; 16];
    bits.copy_from_slice(&hash.as_ref()[..16]);
    u128::from_be_bytes(bits) >> (128 - 73)
}

impl Timestamp {
    /// The time of the system's clock.
    pub fn now() -> Self {
        Self::from_millis((OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000) as i64)
    }

    /// From milliseconds since 1970, clamped to the years 1970 to 9999.
    pub const fn from_millis(millis: i64) -> Self {
        const LAST: i64 = 253_402_300_799_999;
        match millis {
            ..0 => Self(0),
            0..=LAST => Self(millis),
            _ => Self(LAST),
        }
    }

    /// From seconds since 1970.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self::from_millis(seconds.saturating_mul(1000))
    }

    /// Milliseconds since 1970.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970.
    pub const fn seconds(self) -> i64 {
        self.0 / 1000
    }

    /// The time that has passed since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    /// The time of a UUIDv7.
    pub(super) fn of_uuid(uuid: Uuid) -> Self {
        Self::from_millis((uuid.as_u128() >> 80) as i64)
    }

    /// A new UUIDv7 of this time. It sorts after the UUIDs of this time that this process created earlier.
    pub(super) fn uuid(self) -> Uuid {
        self.uuid_after(Uuid::nil())
    }

    /// The same. It sorts after `previous`, too, if that is a UUIDv7 of this time, which another process may have created.
    pub(super) fn uuid_after(self, previous: Uuid) -> Uuid {
        let offset = offset(self.0);
        // At least 2^41 steps fit into the 74 bits.
        let step = 1 + (u128::from_be_bytes(random::bits()) >> 96);
        let mut counter = COUNTER.lock().unwrap_or_else(PoisonError::into_inner);
        *counter += step;
        let mut bits = offset + *counter;
        if Self::of_uuid(previous) == self {
            let (high, low) = previous.as_u64_pair();
            let last = u128::from(high & 0xfff) << 62 | u128::from(low) & ((1 << 62) - 1);
            bits = bits.max(last + step);
        }
        let nanos = (self.0 % 1000) as u32 * 1_000_000;
        let time = uuid::Timestamp::from_unix_time(self.seconds() as u64, nanos, bits, 74);
        Uuid::new_v7(time)
    }
}

impl ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }
}

impl ops::Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_sub(millis))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = OffsetDateTime::from_unix_timestamp(self.seconds()).map_err(|_| fmt::Error)?;
        f.write_str(&time.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Timestamp {
    type Err = time::error::Parse;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = OffsetDateTime::parse(text, &Rfc3339)?;
        let millis = time.unix_timestamp_nanos() / 1_000_000;
        Ok(Self::from_millis(millis as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_whole_seconds_and_a_z() {
        let time = Timestamp::from_millis(1_795_453_200_987);
        assert_eq!(time.to_string(), "2026-11-23T17:00:00Z");
        assert_eq!(
            "2026-11-23T17:00:00Z".parse(),
            Ok(time - Duration::from_millis(987))
        );
    }

    #[test]
    fn times_beyond_the_calendar_are_held_within_it() {
        assert_eq!(
            Timestamp::from_seconds(i64::MAX).to_string(),
            "9999-12-31T23:59:59Z"
        );
        assert_eq!(Timestamp::from_seconds(-1).to_string(), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn ids_of_one_millisecond_keep_their_order() {
        let now = Timestamp::from_seconds(1_795_453_200);
        let ids: Vec<_> = (0..1000).map(|_| now.uuid()).collect();
        assert!(ids.is_sorted());
    }

    #[test]
    fn an_id_has_its_own_time_also_after_an_id_of_a_later_time() {
        let now = Timestamp::from_millis(1_795_453_200_987);
        let before = now.uuid();
        for ahead in [Duration::from_millis(1), Duration::from_secs(200 * 24 * 60 * 60)] {
            assert!((now + ahead).uuid() > before);
            let after = now.uuid();
            let time = after.get_timestamp().map(|time| time.to_unix());
            assert_eq!(time, Some((1_795_453_200, 987_000_000)));
            assert!(after > before);
        }
    }
}
