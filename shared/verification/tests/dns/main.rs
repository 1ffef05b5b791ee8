//! What is seen of domains, by real packets to servers that the tests start.

#![allow(clippy::unwrap_used)] // A test that cannot go on says where.

mod aliases;
mod answers;
mod daemons;
mod delegation;
mod diagnosis;
mod edge;
mod evidence;
mod resolvers;
mod servers;
mod sessions;
mod world;
