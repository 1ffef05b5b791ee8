//! Tests of the API, each through the real router and to a table of its own.

mod harness;

mod agency;
mod branding;
mod clients;
mod conflicts;
mod domains;
mod idempotency;
mod portal;
mod requests;
