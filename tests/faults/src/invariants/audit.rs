//! The audit log replayed: the entries of a resource, in their order, lead from its creation to the item in the table.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Findings;
use crate::table::{TableItems, text};

const LOG: &str = "audit log";

/// The properties that change without an entry, or with an entry of another resource.
const UNLOGGED: [&str; 6] = ["updatedAt", "verifiedAt", "routing", "tls", "problem", "primary"];

/// A resource: its kind, and its id or that of its client or agency.
type Resource = (&'static str, String);

pub fn check(table: &TableItems, findings: &mut Findings) {
    let mut resources = BTreeMap::<Resource, Option<Map<String, Value>>>::new();
    let mut times = BTreeMap::<Resource, (String, String)>::new();
    // In the order of their ids, which is that of the writes of a resource.
    for entry in table.of_kind("audit") {
        let (action, id) = (text(entry, "action"), text(entry, "id"));
        let partition = format!("A#{}", text(entry, "organizationId"));
        findings.equal(
            LOG,
            text(entry, "PK"),
            &*partition,
            format!("{id} organizationId"),
        );
        findings.equal(LOG, text(entry, "SK"), &*format!("LOG#{id}"), format!("{id} SK"));
        let Some(resource) = resource(entry) else {
            findings.check(LOG, false, || format!("{id}: unknown action {action}"));
            continue;
        };
        let at = text(entry, "at").to_owned();
        if let Some((before, last)) = times.insert(resource.clone(), (id.to_owned(), at.clone())) {
            findings.check("times never fall", last <= at, || {
                format!("{resource:?}: {before} at {last}, then {id} at {at}")
            });
        }
        let state = resources.entry(resource.clone()).or_default();
        let what = format!("{id} ({action} of {})", resource.1);
        replay(entry, state, &what, findings);
    }
    for (resource, state) in &resources {
        compare(table, resource, state.as_ref(), findings);
    }
    for client in table.clients() {
        let is_logged = resources.contains_key(&("client", text(client, "id").to_owned()));
        findings.check(LOG, is_logged, || format!("{} has no entry", client["id"]));
    }
    for domain in table.of_kind("domain") {
        let is_logged = resources.contains_key(&("domain", text(domain, "id").to_owned()));
        findings.check(LOG, is_logged, || format!("{} has no entry", domain["id"]));
    }
    for agency in table.of_kind("agency") {
        let org = text(agency, "PK")[2..].to_owned();
        let is_logged = resources.contains_key(&("agency", org.clone()));
        findings.check(LOG, is_logged, || format!("{org} has no entry"));
    }
}

fn resource(entry: &Value) -> Option<Resource> {
    let target = text(&entry["target"], "id").to_owned();
    let org = text(entry, "organizationId").to_owned();
    Some(match text(entry, "action") {
        "agency.enabled" => ("agency", org),
        "branding.updated" => ("branding", org),
        "portal-config.updated" => ("config", org),
        "client-branding.updated" => ("client-branding", target),
        "client-portal-config.updated" => ("client-config", target),
        action if action.starts_with("client.") => ("client", target),
        action if action.starts_with("domain.") => ("domain", target),
        _ => return None,
    })
}

fn is_logged(name: &str) -> bool {
    !UNLOGGED.contains(&name)
}

/// Applies an entry to the state of its resource, which must be what the entry has as `before`.
fn replay(entry: &Value, state: &mut Option<Map<String, Value>>, what: &str, findings: &mut Findings) {
    let (before, after) = (&entry["before"], &entry["after"]);
    let verb = text(entry, "action")
        .rsplit_once('.')
        .map_or("", |(_, verb)| verb);
    match verb {
        "created" | "enabled" => {
            findings.check(LOG, state.is_none(), || format!("{what}: it existed before"));
            *state = after.as_object().cloned();
            return;
        }
        "setup-link-created" | "setup-link-deleted" => return,
        _ => {}
    }
    // Settings exist from the start, without an entry: the first entry tells what they were.
    let is_settings = !matches!(entry["target"]["type"].as_str(), Some("client" | "domain"))
        || text(entry, "action").starts_with("client-");
    if is_settings {
        state.get_or_insert_default();
    }
    let Some(current) = state.as_mut() else {
        findings.check(LOG, false, || format!("{what}: it did not exist"));
        return;
    };
    for (name, value) in before.as_object().into_iter().flatten() {
        if name == "primaryDomain" || !is_logged(name) {
            continue;
        }
        match current.get(name) {
            Some(known) => findings.equal(LOG, known, value, format!("{what}: {name}")),
            None => findings.check(LOG, is_settings, || format!("{what}: unknown {name}")),
        }
    }
    match after.as_object() {
        Some(after) => current.extend(after.clone()),
        None => *state = None,
    }
}

/// The item that a resource has in the table.
fn item<'a>(table: &'a TableItems, (kind, id): &Resource) -> Option<&'a Value> {
    let found = |entity: &str| table.of_kind(entity).find(|item| text(item, "id") == id);
    match *kind {
        "agency" => table.get(format!("A#{id}"), "#3AGENCY"),
        "branding" => table.get(format!("A#{id}"), "#2BRANDING"),
        "config" => table.get(format!("A#{id}"), "#1CONFIG"),
        "client-branding" => table.get(format!("C#{id}"), "#2BRANDING"),
        "client-config" => table.get(format!("C#{id}"), "#1CONFIG"),
        "client" => table.clients().find(|client| text(client, "id") == id),
        _ => found("domain"),
    }
}

fn compare(
    table: &TableItems,
    resource: &Resource,
    state: Option<&Map<String, Value>>,
    findings: &mut Findings,
) {
    let what = format!("{} {}", resource.0, resource.1);
    let item = item(table, resource);
    let Some(item) = item else {
        // The settings of a client end with the client.
        let ended = state.is_none() || resource.0.starts_with("client-");
        findings.check(LOG, ended, || {
            format!("{what} is in the log and not in the table")
        });
        return;
    };
    let Some(state) = state else {
        findings.check(LOG, false, || {
            format!("{what} is in the table and deleted in the log")
        });
        return;
    };
    for (name, logged) in state.iter().filter(|(name, _)| is_logged(name)) {
        let stored = match name.as_str() {
            "redirectTo" => &item["redirect"]["to"],
            "organizationId" | "enabled" => continue,
            _ => &item[name],
        };
        let equal = match (resource.0, stored) {
            // The log has the default, the item has none.
            ("config", Value::Null) => true,
            _ if name == "customCss" && !stored.is_null() => {
                logged["length"].as_u64() == stored.as_str().map(|css| css.chars().count() as u64)
            }
            _ => stored == logged,
        };
        findings.check(LOG, equal, || {
            format!("{what} {name}: {stored}, in the log {logged}")
        });
    }
}
