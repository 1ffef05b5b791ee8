//! What is seen of domains, by real packets to servers that the tests start.

mod answers;
mod delegation;
mod diagnosis;
mod sessions;
mod world;
