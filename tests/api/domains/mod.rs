//! Custom domains over time: what a single operation does not show.

mod certificate;
mod lifecycle;
mod takeover;

use local::system::{Builder, System};

use crate::harness::START;

/// The address of the edge.
const EDGE: &str = "127.0.0.80";

/// A system whose clock stands still, and whose edge has an address.
fn system() -> Builder {
    System::builder().at(START).set("PORTAL_ADDRESSES", EDGE)
}
