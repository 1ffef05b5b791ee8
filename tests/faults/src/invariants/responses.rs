//! The responses against the table: what was acknowledged is there, once and in order, and what was refused is not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Findings;
use crate::{
    history::Attempt,
    operations::{AGENCIES, settings},
    table::{TableItems, text},
};

pub fn check(table: &TableItems, history: &[Attempt], findings: &mut Findings) {
    let mut entries = BTreeMap::<&str, Vec<&Value>>::new();
    for entry in table
        .of_kind("audit")
        .filter(|entry| entry["actor"]["type"] == "user")
    {
        entries
            .entry(text(&entry["actor"], "id"))
            .or_default()
            .push(entry);
    }
    check_entries(history, &entries, findings);
    check_order(history, &entries, findings);
    check_keys(table, history, &entries, findings);
    check_existence(table, history, findings);
    check_values(table, history, findings);
    check_reads(history, findings);
}

/// One entry for each acknowledged write, and none for a refused one.
fn check_entries(history: &[Attempt], entries: &BTreeMap<&str, Vec<&Value>>, findings: &mut Findings) {
    let mut known = BTreeSet::new();
    for attempt in history {
        known.insert(&*attempt.actor);
        let own = entries.get(&*attempt.actor).map_or(&[][..], Vec::as_slice);
        let what = || {
            let actions: Vec<_> = own.iter().map(|entry| text(entry, "action")).collect();
            let response = attempt.response.as_ref();
            let response = response.map(|response| (response.status, response.code()));
            format!(
                "{} {}: {response:?}, entries {actions:?}",
                attempt.actor, attempt.operation.id
            )
        };
        findings.check("no operation applied twice", own.len() <= 1, what);
        if let Some(response) = &attempt.response {
            findings.check("no internal error", response.status != 500, what);
            let (sent, logged) = (response.header("x-request-id"), own.first());
            let same = logged.is_none_or(|entry| entry["requestId"].as_str() == sent);
            findings.check("audit entries", same, what);
        }
        if attempt.is_refused() || attempt.operation.reads() {
            findings.check("no entry of a refusal", own.is_empty(), what);
        }
        // These may change nothing: the agency exists, there is no link, or the status remains.
        let may_change_nothing = matches!(
            attempt.operation.id,
            "enableAgency" | "deleteSetupLink" | "verifyPortalDomain" | "verifySetup"
        );
        if attempt.is_acknowledged() && !attempt.operation.reads() && !may_change_nothing {
            findings.check("acknowledged writes", own.len() == 1, what);
        }
    }
    for actor in entries.keys() {
        let is_known = known.contains(actor);
        findings.check("audit entries", is_known, || format!("{actor} sent nothing"));
    }
}

/// If one write of a resource was acknowledged before another one was sent, its entry is the earlier one.
fn check_order(history: &[Attempt], entries: &BTreeMap<&str, Vec<&Value>>, findings: &mut Findings) {
    let mut writes = BTreeMap::<String, Vec<(&Attempt, &Value)>>::new();
    for attempt in history.iter().filter(|attempt| attempt.is_acknowledged()) {
        for entry in entries.get(&*attempt.actor).into_iter().flatten() {
            let kind = match text(entry, "action") {
                action if action.starts_with("client-") => action,
                _ => "",
            };
            let resource = format!("{kind} {} {}", entry["organizationId"], entry["target"]["id"]);
            writes.entry(resource).or_default().push((attempt, entry));
        }
    }
    for (resource, mut writes) in writes {
        writes.sort_by_key(|(attempt, _)| attempt.start);
        for (index, (later, later_entry)) in writes.iter().enumerate() {
            // The latest of the writes that had ended is enough.
            let ended = writes[..index]
                .iter()
                .filter(|(earlier, _)| earlier.end < later.start);
            let Some((earlier, entry)) = ended.max_by_key(|(_, entry)| text(entry, "id")) else {
                continue;
            };
            let in_order = text(entry, "id") < text(later_entry, "id");
            findings.check("order of the audit log", in_order, || {
                format!("{resource}: {} before {}", later.actor, earlier.actor)
            });
        }
    }
}

/// All requests with the same idempotency key create one resource and get it as the response.
fn check_keys(
    table: &TableItems,
    history: &[Attempt],
    entries: &BTreeMap<&str, Vec<&Value>>,
    findings: &mut Findings,
) {
    const KEYS: &str = "one resource for a key";
    let mut keys = BTreeMap::<(usize, &str), Vec<&Attempt>>::new();
    for attempt in history {
        if let Some(key) = &attempt.operation.idempotency_key {
            keys.entry((attempt.operation.agency, key))
                .or_default()
                .push(attempt);
        }
    }
    for ((_, key), attempts) in keys {
        let created: BTreeSet<_> = attempts
            .iter()
            .flat_map(|attempt| entries.get(&*attempt.actor).into_iter().flatten())
            .map(|entry| text(&entry["target"], "id"))
            .collect();
        findings.check(KEYS, created.len() <= 1, || format!("{key}: {created:?}"));
        let succeeded = attempts.iter().filter(|attempt| {
            attempt
                .response
                .as_ref()
                .is_some_and(|response| response.status == 201)
        });
        for attempt in succeeded {
            let id = attempt.target();
            findings.check(KEYS, created.contains(id), || {
                format!("{key}: {id}, not {created:?}")
            });
        }
    }
    for record in table.of_kind("idempotency") {
        let id = text(&record["answer"], "id");
        let is_logged = table
            .of_kind("audit")
            .any(|entry| text(&entry["target"], "id") == id && text(entry, "action").ends_with(".created"));
        findings.check(KEYS, is_logged, || {
            format!("{}: {id} was never created", record["SK"])
        });
        findings.equal(
            KEYS,
            &record["expiresAt"],
            &record["keepUntil"],
            text(record, "SK"),
        );
    }
}

/// What was created is there until it is deleted.
fn check_existence(table: &TableItems, history: &[Attempt], findings: &mut Findings) {
    let ids: BTreeSet<_> = table
        .clients()
        .chain(table.of_kind("domain"))
        .map(|item| text(item, "id"))
        .collect();
    let mut deletions = BTreeMap::<&str, bool>::new();
    for attempt in history.iter().filter(|attempt| !attempt.is_refused()) {
        if matches!(attempt.operation.id, "deleteClientOrg" | "deletePortalDomain") {
            let is_certain = deletions.entry(attempt.target()).or_default();
            *is_certain |= attempt.is_acknowledged();
        }
    }
    for (id, is_certain) in &deletions {
        if *is_certain {
            findings.check("deleted resources", !ids.contains(id), || format!("{id} exists"));
        }
    }
    for attempt in history {
        let creates = matches!(attempt.operation.id, "createClientOrg" | "createPortalDomain");
        let id = attempt.target();
        if creates && attempt.is_acknowledged() && !deletions.contains_key(id) {
            findings.check("acknowledged writes", ids.contains(id), || {
                format!("{id} is missing")
            });
        }
    }
}

/// The stored value of a setting.
fn stored(table: &TableItems, attempt: &Attempt, setting: &str) -> Option<Value> {
    let id = attempt.target();
    let agency = format!("A#{}", AGENCIES[attempt.operation.agency]);
    let item = match attempt.operation.id {
        "putBranding" => table.get(agency, "#2BRANDING"),
        "putPortalConfig" => table.get(agency, "#1CONFIG"),
        "putClientBranding" => table.get(format!("C#{id}"), "#2BRANDING"),
        "putClientPortalConfig" => table.get(format!("C#{id}"), "#1CONFIG"),
        "createClientOrg" | "updateClientOrg" => table.get(agency, format!("CLIENT#{id}")),
        "createPortalDomain" | "updatePortalDomain" => table.get(agency, format!("DOMAIN#{id}")),
        _ => None,
    }?;
    Some(match setting.split_once('.') {
        Some((name, key)) => item[name][key].clone(),
        None if setting == "suspended" => (!item["suspendedAt"].is_null()).into(),
        None => item[setting].clone(),
    })
}

/// Each setting has the value of a write that no later write has surely replaced.
fn check_values(table: &TableItems, history: &[Attempt], findings: &mut Findings) {
    let mut writes = BTreeMap::<String, Vec<(&Attempt, Value)>>::new();
    for attempt in history.iter().filter(|attempt| !attempt.is_refused()) {
        let kind = match attempt.operation.id {
            // An unknown creation has no id that the client knows.
            id if id.starts_with("create") && attempt.is_unknown() => continue,
            id if id.ends_with("ClientOrg") => "client",
            id if id.ends_with("PortalDomain") => "domain",
            id => id,
        };
        for (name, value) in settings(&attempt.operation) {
            // These names of a request are not those of the item.
            if matches!(&*name, "subdomain" | "customDomain") {
                continue;
            }
            let (agency, target) = (attempt.operation.agency, attempt.target());
            let setting = format!("{kind} {agency} {target}\n{name}");
            writes.entry(setting).or_default().push((attempt, value));
        }
    }
    for (setting, writes) in &writes {
        let name = setting.rsplit_once('\n').map_or("", |(_, name)| name);
        let acknowledged = || writes.iter().filter(|(write, _)| write.is_acknowledged());
        let Some(last_start) = acknowledged().map(|(write, _)| write.start).max() else {
            continue;
        };
        let Some(actual) = writes.iter().find_map(|(write, _)| stored(table, write, name)) else {
            continue; // It was deleted.
        };
        // A write that ended before the start of an acknowledged one is replaced. One with an unknown outcome may be the last.
        let possible: Vec<_> = writes
            .iter()
            .filter(|(write, _)| write.is_unknown() || write.end >= last_start)
            .map(|(write, value)| (&write.actor, value))
            .collect();
        let holds = possible.iter().any(|(_, value)| **value == actual);
        findings.check("acknowledged values", holds, || {
            format!("{setting}: {actual}, not {possible:?}")
        });
    }
}

/// Reads are complete, also if DynamoDB ended a page early.
fn check_reads(history: &[Attempt], findings: &mut Findings) {
    const READS: &str = "complete reads";
    for read in history.iter().filter(|read| read.is_acknowledged()) {
        let body = read.body();
        let creation = match read.operation.id {
            // Each agency has a subdomain that is never deleted.
            "getAgencyOverview" => {
                findings.check(READS, body["primaryDomain"].is_string(), || {
                    format!("{}: {body}", read.actor)
                });
                continue;
            }
            "getPortalContext" => {
                findings.check(READS, body["domain"].is_object(), || {
                    format!("{}: {body}", read.actor)
                });
                continue;
            }
            "listClientOrgs" => ("createClientOrg", "deleteClientOrg"),
            "listPortalDomains" => ("createPortalDomain", "deletePortalDomain"),
            _ => continue,
        };
        let listed: BTreeSet<_> = body["items"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|item| text(item, "id"))
            .collect();
        let deleted: BTreeSet<_> = history
            .iter()
            .filter(|other| other.operation.id == creation.1 && other.start < read.end)
            .map(Attempt::target)
            .collect();
        for other in history {
            let was_created = other.operation.id == creation.0
                && other.operation.agency == read.operation.agency
                && other.is_acknowledged()
                && other.end < read.start;
            let id = other.target();
            if was_created && !deleted.contains(id) {
                findings.check(READS, listed.contains(id), || {
                    format!("{}: {id} is missing", read.actor)
                });
            }
        }
    }
}
