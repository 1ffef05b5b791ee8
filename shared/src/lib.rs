//! What every function shares. See the README's map for what belongs where.

pub mod auth;
pub mod models;
