//! What holds for every request and its answer.

use std::collections::BTreeSet;

use fuzz::figures::Figures;
use http::Method;
use serde_json::Value;
use shared::models::trim;
use url::Url;

use super::{
    document::Operation,
    request::{Known, Sent},
    world::{AGENCY, Answer, Items, Key, MARK, World, link_token},
};

/// Sends a request, and checks its answer and the items of the table.
pub async fn check(
    operation: &Operation,
    sent: &Sent,
    world: &mut World,
    known: &mut Known,
    figures: &mut Figures,
) {
    let Some(answer) = send(sent, world).await else {
        figures.count(operation.id, "not HTTP");
        return;
    };
    figures.count(operation.id, answer.status);
    figures.accepted.count(answer.status < 300);
    if answer.status < 400 {
        figures.reached(operation.id);
    }
    figures.count("all", format!("{}xx", answer.status / 100));
    let about = format!(
        "{} by {} {}: {} {} {:?} {} -> {} {}",
        operation.id,
        sent.user.org,
        sent.user.role,
        sent.method,
        sent.uri,
        sent.headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.escape_ascii()))
            .collect::<Vec<_>>(),
        sent.body.escape_ascii(),
        answer.status,
        answer.body.escape_ascii(),
    );
    documented(operation, sent, &answer, &about);
    authorized(operation, sent, &answer, &about);
    let before = std::mem::take(&mut world.items);
    let after = world.scan().await;
    changes(operation, sent, &answer, (&before, &after), &about);
    world.items = after;
    isolated(operation, sent, &answer, &about);
    if answer.status < 300 && sent.method != Method::HEAD {
        accepted(operation, sent, &answer, world, known, &about).await;
    }
    if let Some(tag) = answer.header("etag") {
        known.tags.push(tag.to_owned());
    }
}

async fn send(sent: &Sent, world: &World) -> Option<Answer> {
    world
        .send(
            &sent.user,
            sent.method.clone(),
            &sent.uri,
            &sent.headers,
            sent.body.clone(),
        )
        .await
}

/// The status, the headers and the body are those of the document.
fn documented(operation: &Operation, sent: &Sent, answer: &Answer, about: &str) {
    let status = answer.status;
    assert!(operation.has_status(status), "status: {about}");
    // The table and the name servers have no faults here, and nothing is slow.
    assert!(status < 500, "server error: {about}");
    for name in ["x-request-id", "cache-control", "x-content-type-options"]
        .into_iter()
        .chain(operation.headers(status))
    {
        // The local gateway adds `x-request-id`, and the document names it for each response.
        assert!(answer.headers.contains_key(name), "no {name}: {about}");
    }
    if sent.method == Method::HEAD || !operation.has_body(status) {
        assert!(answer.body.is_empty(), "body: {about}");
        return;
    }
    let media_type = answer.header("content-type").unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default();
    let text = std::str::from_utf8(&answer.body).unwrap_or_else(|_| panic!("UTF-8: {about}"));
    let body = match media_type.ends_with("json") {
        true => serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {about}")),
        false => Value::from(text),
    };
    let faults = operation.faults(status, media_type, &body);
    assert!(faults.is_empty(), "{faults:?}: {about}");
    if media_type == "application/problem+json" {
        let code = body["code"].as_str().unwrap_or_default();
        assert!(operation.has_problem(status, code), "code: {about}");
        assert_eq!(body["status"], status, "{about}");
        assert_eq!(
            body["requestId"].as_str(),
            answer.header("x-request-id"),
            "{about}"
        );
        assert_eq!(body["instance"], *sent.path, "{about}");
        assert_eq!(body.get("errors").is_some(), code == "invalid-body", "{about}");
    }
}

/// Without a token the answer is `401`, and to a write of a member `403`.
fn authorized(operation: &Operation, sent: &Sent, answer: &Answer, about: &str) {
    if operation.public {
        return;
    }
    if sent.user.role == "none" {
        assert_eq!(answer.status, 401, "{about}");
    } else if sent.user.role == "member" && operation.method != Method::GET {
        assert_eq!(answer.status, 403, "{about}");
    } else if sent.user.org.starts_with("cli_") && operation.path.starts_with("/agency/") {
        assert!((400..=422).contains(&answer.status), "{about}");
    }
}

/// A rejected request and a read change no item. A request changes items of the caller's agency only, and writes one entry of the audit
/// log.
fn changes(
    operation: &Operation,
    sent: &Sent,
    answer: &Answer,
    (before, after): (&Items, &Items),
    about: &str,
) {
    let mut changed = changed(before, after);
    let owners = |items| {
        let keys = changed.iter().filter(|key| Items::contains_key(items, **key));
        keys.map(|key| agency(items, key)).collect::<BTreeSet<_>>()
    };
    let owners = &owners(before) | &owners(after);
    // A public operation has no caller: the setup link selects the agency. The name servers here have no records, so that no check moves
    // a host name from one agency to another.
    let is_own = match operation.public {
        true => owners.len() < 2,
        false => owners.iter().all(|owner| *owner == Some(&sent.user.org)),
    };
    assert!(is_own, "items of {owners:?} changed: {changed:?}: {about}");
    let is_check = operation.id == "verifyPortalDomain" || operation.id == "verifySetup";
    if is_check {
        // The times of an agency's last checks limit its next ones, and a check that is rejected counts.
        changed.retain(|(_, sk)| sk != "VERIFY");
    }
    if answer.status >= 400 || operation.method == Method::GET {
        assert!(
            changed.is_empty(),
            "a rejected request or a read changed {changed:?}: {about}"
        );
        return;
    }
    let entries = |items: &Items| items.keys().filter(|(_, sk)| sk.starts_with("LOG#")).count();
    let written = entries(after) - entries(before);
    let is_replay = answer.header("idempotency-replayed").is_some();
    let expected = match operation.id {
        // A check writes an entry for each status that changes.
        _ if is_check => {
            let status = |items: &Items, key| items.get(key).and_then(|item| item.get("status").cloned());
            let domains = changed.iter().filter(|(_, sk)| sk.starts_with("DOMAIN#"));
            domains
                .filter(|key| status(before, key) != status(after, key))
                .count()
        }
        // It was enabled before.
        "enableAgency" if !changed.is_empty() => 1,
        "enableAgency" => 0,
        // There was no link.
        "deleteSetupLink" if changed.is_empty() => 0,
        _ if is_replay => 0,
        _ => 1,
    };
    assert_eq!(written, expected, "entries of the audit log: {about}");
    if is_replay {
        assert!(changed.is_empty(), "a replay changed {changed:?}: {about}");
    }
}

fn changed<'a>(before: &'a Items, after: &'a Items) -> Vec<&'a Key> {
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    keys.into_iter()
        .filter(|key| before.get(*key) != after.get(*key))
        .collect()
}

/// The agency of an item: by its partition, else by the item of the client's membership, the held host name or the setup link.
fn agency<'a>(items: &'a Items, key: &'a Key) -> Option<&'a str> {
    let text = |key: &Key, name: &str| items.get(key)?.get(name)?.as_s().ok().map(String::as_str);
    let (pk, _) = key;
    match pk.split_at(2) {
        ("A#", agency) => Some(agency),
        ("C#", _) => text(&(pk.clone(), "#3CLIENT".to_owned()), "agencyId"),
        _ => text(key, "agency"),
    }
}

/// Nothing of another agency is shown.
fn isolated(operation: &Operation, sent: &Sent, answer: &Answer, about: &str) {
    let has_mark = |bytes: &[u8]| bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes());
    let is_own = sent.user.org == AGENCY || sent.user.org.starts_with("cli_");
    let asked = has_mark(sent.uri.as_bytes()) || has_mark(&sent.body);
    // The public operations show a host's portal to everyone, and a setup link its domain.
    assert!(
        !is_own || asked || operation.public || !has_mark(&answer.body),
        "another agency's data: {about}"
    );
}

/// After a write, a read returns what the write returned. A repeated write returns and changes nothing else.
async fn accepted(
    operation: &Operation,
    sent: &Sent,
    answer: &Answer,
    world: &mut World,
    known: &mut Known,
    about: &str,
) {
    let body = answer.json();
    let wanted: Value = serde_json::from_slice(&sent.body).unwrap_or_default();
    let get = async |path: &str| {
        world
            .send(&sent.user, Method::GET, path, &[], Vec::new())
            .await
            .unwrap()
    };
    match (&operation.method, answer.status) {
        (&Method::PUT | &Method::PATCH, 200) => {
            let stored = get(&sent.path).await;
            assert_eq!(
                (stored.status, stored.json()),
                (200, body.clone()),
                "GET after: {about}"
            );
            if operation.method == Method::PUT {
                assert_eq!(stored.header("etag"), answer.header("etag"), "GET after: {about}");
            }
            shows(operation, &wanted, &body, about);
            // A caller can send back what it received.
            let headers = [("content-type", b"application/json".to_vec())];
            let again = world
                .send(
                    &sent.user,
                    operation.method.clone(),
                    &sent.path,
                    &headers,
                    answer.body.clone(),
                )
                .await
                .unwrap();
            assert_eq!((again.status, again.json()), (200, body), "sent back: {about}");
            let after = world.scan().await;
            changes(operation, sent, &again, (&world.items, &after), about);
            for key in changed(&world.items, &after) {
                let without_write_id = |items: &Items| {
                    let mut item = items.get(key).cloned();
                    item.as_mut().map(|item| item.remove("writeId"));
                    item
                };
                // The answer has the defaults of settings that are not set, and sending these back sets them.
                let sets_defaults = operation.id == "putPortalConfig" && key.1 == "#1CONFIG";
                assert!(
                    sets_defaults
                        || key.1.starts_with("LOG#")
                        || without_write_id(&world.items) == without_write_id(&after),
                    "sent back, {key:?} changed: {about}"
                );
            }
            world.items = after;
        }
        (&Method::POST, 201) if operation.id == "createSetupLink" => {
            known.links.extend(link_token(&body));
        }
        (&Method::POST, 201) => {
            let location = answer.header("location").unwrap();
            let stored = get(location).await;
            assert_eq!(
                (stored.status, stored.json()),
                (200, body.clone()),
                "GET {location}: {about}"
            );
            shows(operation, &wanted, &body, about);
            let id = body["id"].as_str().unwrap().to_owned();
            match body["hostname"].as_str() {
                Some(host) => {
                    known.hosts.push(host.to_owned());
                    known.domains.push(id);
                }
                None => known.clients.push(id),
            }
            if sent.header("idempotency-key").is_some() {
                let replay = send(sent, world).await.unwrap();
                assert_eq!((replay.status, replay.json()), (201, body), "replay: {about}");
                assert_eq!(
                    replay.header("idempotency-replayed"),
                    Some("true"),
                    "replay: {about}"
                );
                let after = world.scan().await;
                changes(operation, sent, &replay, (&world.items, &after), about);
            }
        }
        (&Method::DELETE, 204) if operation.id != "deleteSetupLink" => {
            assert_eq!(get(&sent.path).await.status, 404, "GET after: {about}");
        }
        (&Method::GET, 200) => known
            .cursors
            .extend(body["nextCursor"].as_str().map(str::to_owned)),
        _ => {}
    }
}

/// The answer to a write has the values that were sent, in the form in which the API stores them.
fn shows(operation: &Operation, wanted: &Value, shown: &Value, about: &str) {
    let is_domain = operation.path.contains("/portal-domains");
    let is_read_only = |name: &str| READ_ONLY.contains(&name) || name == "clientOrgId" && !is_domain;
    let wanted = wanted.as_object().unwrap();
    for (name, value) in wanted.iter().filter(|(name, _)| !is_read_only(name)) {
        let text = value.as_str().unwrap_or_default();
        let host = match name.as_str() {
            "subdomain" => Some(format!("{}.portal.localhost", trim(text).to_lowercase())),
            "customDomain" => idna::domain_to_ascii(trim(text).trim_end_matches(DOTS)).ok(),
            _ => None,
        };
        match (name.as_str(), value, &shown[name]) {
            ("subdomain" | "customDomain", Value::Null, _) => {}
            ("subdomain" | "customDomain", ..) => {
                assert_eq!(shown["hostname"].as_str(), host.as_deref(), "{about}");
            }
            ("suspended", _, _) => assert_eq!(shown["suspendedAt"].is_string(), *value == true, "{about}"),
            // The target `css` checks what is stored of a style sheet.
            ("customCss", Value::String(text), shown) if !text.is_empty() => {
                assert!(shown.is_string(), "{name}: {about}");
            }
            ("metadata" | "features", Value::Object(pairs), shown) => {
                for (key, value) in pairs {
                    // A feature that is cleared has its default, or is inherited.
                    let is_cleared = value.is_null() && name == "features";
                    assert!(is_cleared || shown[key] == *value, "{name} {key}: {about}");
                }
            }
            // The API derives a slug, and a setting that is cleared has its default, or is inherited.
            ("slug" | "metadata", Value::Null, _) => {}
            (_, Value::Null, shown) => {
                let has_default = operation.path.ends_with("/portal-config");
                assert!(shown.is_null() || has_default, "{name}: {about}");
            }
            (_, Value::String(text), shown) if text.is_empty() && operation.path.ends_with("/branding") => {
                assert!(shown.is_null(), "{name}: {about}");
            }
            ("language", Value::String(text), shown) => {
                let shown = shown.as_str().unwrap_or_default();
                assert!(shown.eq_ignore_ascii_case(trim(text)), "{name}: {about}");
            }
            (_, Value::String(text), shown) => {
                assert_eq!(shown.as_str(), Some(&*canonical(name, text)), "{name}: {about}");
            }
            (_, value, shown) => assert_eq!(value, shown, "{name}: {about}"),
        }
    }
}

/// The stored form of a text.
fn canonical(name: &str, text: &str) -> String {
    let url = |text: &str| Url::parse(trim(text)).map_or_else(|_| text.to_owned(), String::from);
    match name {
        // Kept as sent.
        "footerText" | "externalId" | "infrastructureVisibility" | "redirectTo" | "clientOrgId" => {
            text.to_owned()
        }
        "accentColor" | "accentColorDark" | "primaryColor" | "primaryColorDark" => {
            let text = trim(text).to_lowercase();
            match text.len() {
                4 => text
                    .chars()
                    .flat_map(|c| std::iter::repeat_n(c, if c == '#' { 1 } else { 2 }))
                    .collect(),
                _ => text,
            }
        }
        "fromEmail" => email(trim(text)),
        "supportUrl" => match trim(text).split_once(':') {
            Some((scheme, address)) if scheme.eq_ignore_ascii_case("mailto") => {
                format!("mailto:{}", email(address))
            }
            _ => url(text),
        },
        _ if name.ends_with("Url") => url(text),
        _ => trim(text).to_owned(),
    }
}

/// The domain of an address becomes its A-labels.
fn email(text: &str) -> String {
    let (local, domain) = text.rsplit_once('@').unwrap();
    format!("{local}@{}", idna::domain_to_ascii(domain).unwrap())
}

const DOTS: [char; 4] = ['.', '\u{3002}', '\u{FF0E}', '\u{FF61}'];

/// Properties that an update ignores.
const READ_ONLY: [&str; 15] = [
    "id",
    "organizationId",
    "agencyId",
    "warnings",
    "type",
    "hostname",
    "status",
    "routing",
    "tls",
    "records",
    "check",
    "suspendedAt",
    "verifiedAt",
    "createdAt",
    "updatedAt",
];
