//! The system on one machine: all functions behind one listener, an embedded DynamoDB and a DNS server. `cargo local` runs
//! it, and the tests start it.

mod changes;
pub mod dns;
pub mod dynamodb;
pub mod environment;
pub mod fault;
pub mod gateway;
pub mod hosts;
mod invocation;
pub mod openapi;
mod preview;
pub mod reverify;
pub mod run;
pub mod server;
pub mod system;
pub mod template;
pub mod token;
pub mod zone;
