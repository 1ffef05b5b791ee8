//! What is written in two places is equal: template, code, OpenAPI document, events, environment, permissions, alarms,
//! log fields, the operator's page.

mod alarms;
mod cost;
mod dependencies;
mod document;
mod environment;
mod events;
mod findings;
mod items;
mod log_fields;
mod permissions;
mod routes;
mod table;
mod template;
