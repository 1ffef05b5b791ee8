//! Clients and domains determine all other items but the settings, the audit log and the idempotency records: the markers, the
//! memberships, the holders, the candidates, the counters and the entries of the indexes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Findings;
use crate::table::{Key, TableItems, text};

/// The items that follow from others: each with its invariant and the attributes that it must have.
struct ExpectedItems<'a> {
    items: BTreeMap<Key, (&'static str, Value)>,
    findings: &'a mut Findings,
}

impl ExpectedItems<'_> {
    fn add(&mut self, invariant: &'static str, pk: String, sk: String, attributes: Value) {
        let what = format!("{pk} {sk}");
        let replaced = self.items.insert((pk, sk), (invariant, attributes));
        self.findings.check(invariant, replaced.is_none(), || {
            format!("{what} belongs to two resources")
        });
    }
}

pub fn check(table: &TableItems, findings: &mut Findings) {
    let mut expected = ExpectedItems {
        items: BTreeMap::new(),
        findings,
    };
    for agency in table.of_kind("agency") {
        expect_agency(table, agency, &mut expected);
    }
    table
        .clients()
        .for_each(|client| expect_client(table, client, &mut expected));
    table
        .of_kind("domain")
        .for_each(|domain| expect_domain(table, domain, &mut expected));
    let expected = expected.items;
    for (key, (invariant, attributes)) in &expected {
        let name = format!("{} {}", key.0, key.1);
        let Some(item) = table.items.get(key) else {
            findings.check(invariant, false, || format!("{name} is missing"));
            continue;
        };
        for (attribute, value) in attributes.as_object().into_iter().flatten() {
            findings.equal(invariant, &item[attribute], value, format!("{name} {attribute}"));
        }
    }
    for (key, item) in &table.items {
        // These follow from no other item: `audit` and `responses` check them.
        let is_own = match text(item, "entity") {
            "agency" | "audit" | "idempotency" | "verify-times" => true,
            "client" => key.1.starts_with("CLIENT#"),
            "domain" => true,
            _ => false,
        };
        findings.check(
            "no item without its owner",
            is_own || expected.contains_key(key),
            || format!("{} {} ({})", key.0, key.1, text(item, "entity")),
        );
    }
    check_redirects(table, findings);
    check_indexes(table, findings);
}

fn count<'a>(items: impl Iterator<Item = &'a Value>, holds: impl Fn(&Value) -> bool) -> usize {
    items.filter(|item| holds(item)).count()
}

fn expect_agency(table: &TableItems, agency: &Value, expected: &mut ExpectedItems<'_>) {
    let pk = text(agency, "PK").to_owned();
    let own = |item: &&Value| item["PK"] == agency["PK"];
    let domains = || table.of_kind("domain").filter(own);
    for (counter, status) in [
        ("verifiedCount", "verified"),
        ("pendingCount", "pending"),
        ("failingCount", "failing"),
        ("failedCount", "failed"),
    ] {
        let counted = count(domains(), |domain| domain["status"] == status);
        let what = format!("{pk} {counter}");
        expected
            .findings
            .equal("counters", &agency[counter], &json!(counted), what);
    }
    let not_ready = count(domains(), |domain| {
        matches!(domain["tls"]["state"].as_str(), Some("pending" | "failing"))
    });
    for (counter, counted) in [
        ("domainCount", domains().count()),
        ("tlsNotReadyCount", not_ready),
    ] {
        let what = format!("{pk} {counter}");
        expected
            .findings
            .equal("counters", &agency[counter], &json!(counted), what);
    }
    let clients = || table.clients().filter(own);
    let suspended = count(clients(), |client| !client["suspendedAt"].is_null());
    for (counter, counted) in [("clientCount", clients().count()), ("suspendedCount", suspended)] {
        let shards = table.of_kind("client-count").filter(own);
        let sum: i64 = shards.filter_map(|shard| shard[counter].as_i64()).sum();
        let what = format!("{pk} {counter} of all shards");
        expected.findings.equal("counters", sum, counted as i64, what);
    }
    for shard in 0..8 {
        let (pk, sk) = (pk.clone(), format!("#3CLIENTS#{shard}"));
        expected.add("agency", pk, sk, json!({"entity": "client-count"}));
    }
    for (sk, entity) in [
        ("CLIENT#", "head"),
        ("DOMAIN#", "head"),
        ("LOG$", "head"),
        ("#1CONFIG", "portal-config"),
        ("#2BRANDING", "branding"),
    ] {
        expected.add("agency", pk.clone(), sk.to_owned(), json!({"entity": entity}));
    }
}

fn expect_client(table: &TableItems, client: &Value, expected: &mut ExpectedItems<'_>) {
    let (pk, id) = (text(client, "PK"), text(client, "id"));
    let mut copy = client.clone();
    if let Some(copy) = copy.as_object_mut() {
        copy.retain(|name, _| name != "SK");
    }
    let slug = format!("SLUG#{}", text(client, "slug"));
    expected.add("slug markers", pk.to_owned(), slug, copy.clone());
    // The trial's names are ASCII, whose case folding is lower case.
    let name = text(client, "name").to_lowercase();
    let named = format!("NAMED#{name}\u{1F}{id}");
    expected.add("name index", pk.to_owned(), named, copy.clone());
    if let Some(external) = client["externalId"].as_str() {
        expected.add(
            "external ids",
            pk.to_owned(),
            format!("EXTERNAL#{external}"),
            copy,
        );
    }
    let domains = count(table.of_kind("domain"), |domain| {
        domain["clientOrgId"] == client["id"]
    });
    let mut membership = json!({"agencyId": pk[2..], "domainCount": domains});
    for name in ["name", "slug", "suspendedAt"] {
        membership[name] = client[name].clone();
    }
    let own = format!("C#{id}");
    expected.add("memberships", own.clone(), "#3CLIENT".to_owned(), membership);
    for (sk, entity) in [("#1CONFIG", "portal-config"), ("#2BRANDING", "branding")] {
        expected.add(
            "settings of clients",
            own.clone(),
            sk.to_owned(),
            json!({"entity": entity}),
        );
    }
}

fn expect_domain(table: &TableItems, domain: &Value, expected: &mut ExpectedItems<'_>) {
    let (pk, id, hostname) = (text(domain, "PK"), text(domain, "id"), text(domain, "hostname"));
    let claim = json!({ "domain": id });
    expected.add(
        "host names",
        pk.to_owned(),
        format!("NAME#{hostname}"),
        claim.clone(),
    );
    if let Some(token) = domain["token"].as_str() {
        expected.add("tokens", pk.to_owned(), format!("TOKEN#{token}"), claim);
    }
    let serves = matches!(text(domain, "status"), "verified" | "failing");
    if serves {
        let holder = json!({
            "agency": pk[2..], "domain": id, "client": domain["clientOrgId"],
            "redirect": domain["redirect"]["hostname"], "keepUntil": null,
        });
        expected.add("holders", format!("H#{hostname}"), "H".to_owned(), holder);
    }
    // The client's own partition if the domain is a client's.
    let portal = match domain["clientOrgId"].as_str() {
        Some(client) => format!("C#{client}"),
        None => pk.to_owned(),
    };
    let client = domain["clientOrgId"].as_str();
    let has_client = client.is_none_or(|client| table.get(pk, format!("CLIENT#{client}")).is_some());
    expected.findings.check("clients of domains", has_client, || {
        format!("{id}: no client {client:?}")
    });
    let is_primary = domain["primary"] == true;
    if is_primary {
        let primary = json!({ "primaryDomain": id });
        expected.add("primary domains", portal.clone(), "#5PRIMARY".to_owned(), primary);
    }
    let is_usable = domain["status"] == "verified" && domain["routing"] != "elsewhere";
    let rank = match text(domain, "type") {
        _ if is_usable && is_primary => Some(0),
        "custom" => is_usable.then_some(1),
        _ => Some(2),
    };
    if let Some(rank) = rank {
        let sk = format!("#4CANDIDATE#{rank}#{id}");
        let candidate = json!({"hostname": hostname, "type": domain["type"], "status": domain["status"]});
        expected.add("candidates", portal, sk, candidate);
    }
    if let Some(hash) = domain["setupLink"]["sha256"].as_str() {
        let link = json!({"agency": pk[2..], "domain": id});
        expected.add("setup links", format!("S#{hash}"), "S".to_owned(), link);
    }
}

/// A redirect leads to a domain of the same portal that does not redirect. Each domain knows how many redirect to it.
fn check_redirects(table: &TableItems, findings: &mut Findings) {
    for domain in table.of_kind("domain") {
        let id = text(domain, "id");
        let redirects = count(table.of_kind("domain"), |other| {
            other["redirect"]["to"] == domain["id"]
        });
        let counted = domain["redirectCount"].as_u64().unwrap_or(0);
        findings.equal(
            "redirects",
            counted,
            redirects as u64,
            format!("{id} redirectCount"),
        );
        let Some(to) = domain["redirect"]["to"].as_str() else {
            continue;
        };
        let target = table.get(text(domain, "PK"), format!("DOMAIN#{to}"));
        let valid = target.is_some_and(|target| {
            target["clientOrgId"] == domain["clientOrgId"]
                && target["redirect"].is_null()
                && target["hostname"] == domain["redirect"]["hostname"]
                && to != id
        });
        findings.check("redirects", valid, || format!("{id} redirects to {target:?}"));
    }
}

/// The indexes have the entries that the domains call for, and no others.
fn check_indexes(table: &TableItems, findings: &mut Findings) {
    let (mut due, mut hosts) = (BTreeSet::new(), BTreeSet::new());
    for domain in table.of_kind("domain") {
        let id = text(domain, "id");
        let next = domain["check"]["nextCheckAt"].as_str();
        let at = next.map(|next| format!("{next}#{id}"));
        findings.equal("due entries", domain["DUEAT"].as_str(), at.as_deref(), id);
        let shard = text(domain, "DUE").starts_with("DUE#");
        findings.check("due entries", shard == at.is_some(), || {
            format!("{id} {}", domain["DUE"])
        });
        due.extend(at.map(|at| format!("{} {at}", text(domain, "DUE"))));
        let serves = matches!(text(domain, "status"), "verified" | "failing");
        let host = serves.then(|| text(domain, "hostname"));
        findings.equal("host entries", domain["HOST"].as_str(), host, id);
        hosts.extend(host.map(|host| {
            let client = domain["clientOrgId"].as_str().unwrap_or_default();
            format!(
                "{host} {client} {} {}",
                text(domain, "status"),
                text(domain, "routing")
            )
        }));
    }
    let mut compare = |invariant, entries: &[Value], names: &[&str], expected: &BTreeSet<String>| {
        let entry = |entry: &Value| {
            let values: Vec<_> = names.iter().map(|name| text(entry, name)).collect();
            values.join(" ")
        };
        let found: BTreeSet<_> = entries.iter().map(entry).collect();
        let (all, distinct) = (entries.len(), found.len());
        findings.equal(invariant, all, distinct, "entries with the same keys");
        findings.equal(invariant, &found, expected, "the index");
    };
    compare("due entries", &table.due, &["DUE", "DUEAT"], &due);
    let of_host = ["HOST", "clientOrgId", "status", "routing"];
    compare("host entries", &table.hosts, &of_host, &hosts);
    for item in table
        .items
        .values()
        .filter(|item| text(item, "entity") != "domain")
    {
        let indexed = ["DUE", "DUEAT", "HOSTS", "HOST"]
            .iter()
            .any(|name| !item[*name].is_null());
        findings.check("due entries", !indexed, || {
            format!("{} {} is in an index", item["PK"], item["SK"])
        });
    }
}
