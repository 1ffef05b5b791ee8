//! What is written in two places is equal: template, code, OpenAPI document, events, environment, permissions, alarms,
//! the operator's page.

mod alarms;
mod cost;
mod dependencies;
mod document;
mod environment;
mod events;
mod permissions;
mod routes;
mod table;
mod template;
