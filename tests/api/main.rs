//! Tests of the API, each through the real router and to a table of its own.

mod harness;

mod agency;
mod audit;
mod branding;
mod clients;
mod domains;
mod identity;
mod isolation;
mod logs;
mod portal;
mod verify;
