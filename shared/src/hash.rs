//! Hashes.

use aws_lc_rs::digest::{Digest, SHA256, digest};
use base64::{Engine, prelude::BASE64_STANDARD};

/// The SHA-256 of a text, in lower-case hex.
pub fn sha256_hex(text: &str) -> String {
    sha256(text)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The SHA-256 of a text, in base64.
pub fn sha256_base64(text: &str) -> String {
    BASE64_STANDARD.encode(sha256(text))
}

fn sha256(text: &str) -> Digest {
    digest(&SHA256, text.as_bytes())
}
