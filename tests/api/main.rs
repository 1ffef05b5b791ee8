//! Tests of the API through the real router, each with a table of its own.

mod conventions;
mod domains;
mod drift;
mod harness;
mod hosts;
mod routes;
mod sweep;
