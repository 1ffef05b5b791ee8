//! How a custom domain is proven: what DNS shows, what follows from it, and how that is written.

pub mod check;
pub mod dns;
pub mod gates;
pub mod lifecycle;
