//! What holds for every request and its answer.

use std::collections::BTreeSet;

use fuzz::figures::Figures;
use http::Method;
use serde_json::{Map, Value};

use super::{
    document::Operation,
    request::{Known, Sent},
    world::{AGENCY, Answer, Items, MARK, World, link_token},
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
    isolated(sent, &answer, &about);
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

/// What has the right to change: nothing after a refusal and a read, and of agencies the caller's alone.
fn changes(
    operation: &Operation,
    sent: &Sent,
    answer: &Answer,
    (before, after): (&Items, &Items),
    about: &str,
) {
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let mut changed: Vec<_> = keys
        .into_iter()
        .filter(|key| before.get(*key) != after.get(*key))
        .collect();
    let is_check = operation.id == "verifyPortalDomain" || operation.id == "verifySetup";
    if is_check {
        // The times of an agency's last checks limit its next ones, and a check that is refused counts.
        changed.retain(|(_, sk)| sk != "VERIFY");
    }
    if answer.status >= 400 || operation.method == Method::GET {
        assert!(
            changed.is_empty(),
            "a refusal or a read changed {changed:?}: {about}"
        );
        return;
    }
    // A check may move a host name from one agency to another, and the holder of a setup link has no agency.
    for (pk, sk) in changed.iter().filter(|_| !is_check) {
        let is_own = *pk == format!("A#{}", sent.user.org) || !pk.starts_with("A#");
        assert!(is_own, "{pk} {sk} of another agency changed: {about}");
    }
    let entries = |items: &Items| items.keys().filter(|(_, sk)| sk.starts_with("LOG#")).count();
    let written = entries(after) - entries(before);
    let is_replay = answer.header("idempotency-replayed").is_some();
    let expected = match operation.id {
        // A check writes an entry for each status that changes.
        _ if is_check => return,
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

/// Nothing of another agency is shown.
fn isolated(sent: &Sent, answer: &Answer, about: &str) {
    let has_mark = |bytes: &[u8]| bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes());
    let is_own = sent.user.org == AGENCY || sent.user.org.starts_with("cli_");
    let asked = has_mark(sent.uri.as_bytes()) || has_mark(&sent.body);
    // The public operations show a host's portal to everyone, and a setup link its domain.
    let is_public = sent.path.starts_with("/portal/");
    assert!(
        !is_own || asked || is_public || !has_mark(&answer.body),
        "another agency's data: {about}"
    );
}

/// What a success promises.
async fn accepted(
    operation: &Operation,
    sent: &Sent,
    answer: &Answer,
    world: &mut World,
    known: &mut Known,
    about: &str,
) {
    let body = answer.json();
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
            let wanted: Value = serde_json::from_slice(&sent.body).unwrap_or_default();
            shows(&wanted, &body, about);
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
            assert_eq!(
                (again.status, again.json()),
                (200, body.clone()),
                "sent back: {about}"
            );
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
            let wanted: Value = serde_json::from_slice(&sent.body).unwrap_or_default();
            shows(&wanted, &body, about);
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
                assert_eq!(
                    (replay.status, replay.json()),
                    (201, body.clone()),
                    "replay: {about}"
                );
                assert_eq!(
                    replay.header("idempotency-replayed"),
                    Some("true"),
                    "replay: {about}"
                );
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
    world.items = world.scan().await;
}

/// The values that the API stores as they are sent are in its answer.
fn shows(wanted: &Value, shown: &Value, about: &str) {
    let empty = Map::new();
    for (name, value) in wanted.as_object().unwrap_or(&empty) {
        match (value, shown.get(name)) {
            (Value::Bool(_), Some(shown)) => assert_eq!(value, shown, "{name}: {about}"),
            (Value::Object(_), Some(shown)) => shows(value, shown, about),
            (Value::Null, Some(shown)) => {
                // A setting of an agency returns to its default, which is not `null`, and so do features.
                let is_cleared = !matches!(shown, Value::String(text) if name != "infrastructureVisibility" && name != "slug" && !text.is_empty());
                assert!(is_cleared, "{name}: {about}");
            }
            (Value::String(text), Some(shown)) if !text.trim().is_empty() => {
                let is_set = shown.is_string() || READ_ONLY.contains(&name.as_str());
                assert!(is_set, "{name}: {about}");
            }
            _ => {}
        }
    }
}

/// Properties that an update ignores, and that can be `null`.
const READ_ONLY: &[&str] = &[
    "updatedAt",
    "createdAt",
    "suspendedAt",
    "verifiedAt",
    "clientOrgId",
    "tls",
    "check",
];
