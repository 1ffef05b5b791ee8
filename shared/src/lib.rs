//! The library of all functions: configuration, authentication, models, the table and the HTTP edge.
#![warn(missing_docs)]

pub mod app;
pub mod auth;
pub mod config;
pub mod hash;
pub mod http;
pub mod json;
pub mod models;
pub mod random;
pub mod store;
pub mod telemetry;
