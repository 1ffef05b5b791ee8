//! Tests of the API, each through the real router and to a table of its own.

mod harness;

mod agency;
mod branding;
mod clients;
mod cost;
mod document;
mod domains;
mod drift;
mod lifecycle;
mod logs;
mod portal;
mod replay;
mod reverify;
mod takeover;
mod template;
