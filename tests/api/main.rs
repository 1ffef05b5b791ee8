//! Tests of the API, each through the real router and to a table of its own.

mod harness;

mod agency;
mod audit;
mod branding;
mod clients;
mod conflicts;
mod conventions;
mod cost;
mod document;
mod domains;
mod drift;
mod idempotency;
mod identity;
mod isolation;
mod lifecycle;
mod logs;
mod portal;
mod replay;
mod requests;
mod reverify;
mod silence;
mod takeover;
mod template;
mod verify;
