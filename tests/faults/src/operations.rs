//! The operations of the trial: every write of the API and the reads whose responses the trial can check, with random contents.

use std::collections::BTreeMap;

use rand::{RngExt, rngs::SmallRng};
use serde_json::{Map, Value, json};

use crate::http::HttpRequest;

/// The agencies of the trial.
pub const AGENCIES: [&str; 3] = ["org_one", "org_two", "org_three"];

/// The operations by their ids in `openapi.json`, and how often each is chosen.
const OPERATIONS: [(&str, u32); 19] = [
    ("enableAgency", 1),
    ("putBranding", 5),
    ("putPortalConfig", 4),
    ("createClientOrg", 18),
    ("updateClientOrg", 14),
    ("deleteClientOrg", 11),
    ("putClientBranding", 6),
    ("putClientPortalConfig", 5),
    ("createPortalDomain", 13),
    ("updatePortalDomain", 10),
    ("deletePortalDomain", 8),
    ("verifyPortalDomain", 4),
    ("createSetupLink", 3),
    ("deleteSetupLink", 2),
    ("verifySetup", 2),
    ("getAgencyOverview", 1),
    ("getPortalContext", 1),
    ("listClientOrgs", 1),
    ("listPortalDomains", 1),
];

const CLIENTS: &str = "/agency/clients";
const DOMAINS: &str = "/agency/portal-domains";
/// Few, so that the slugs that are made of them collide.
const NAMES: [&str; 6] = ["Late three", "Acme", "Acme Consulting", "Globex", "Initech", "x"];
const SLUGS: [&str; 6] = ["late-three", "late-three-2", "acme", "globex", "one", "two"];
const COLOURS: [&str; 4] = [
    "primaryColor",
    "accentColor",
    "primaryColorDark",
    "accentColorDark",
];
const FEATURES: [&str; 5] = [
    "featureBackups",
    "featureDatabases",
    "featureTerminal",
    "featureLogs",
    "teamManagementEnabled",
];

/// One operation of the trial, as a client sends it the first time.
#[derive(Clone, Debug)]
pub struct TrialOperation {
    /// Its id in `openapi.json`.
    pub id: &'static str,
    /// The index in [`AGENCIES`].
    pub agency: usize,
    /// The id of the resource that it changes. Empty for the agency's own settings and for a resource that it creates.
    pub target: String,
    pub idempotency_key: Option<String>,
    pub request: HttpRequest,
}

impl TrialOperation {
    pub fn reads(&self) -> bool {
        self.request.method == "GET"
    }

    /// Whether the client may send it again after an attempt whose outcome it does not know.
    pub fn may_be_repeated(&self) -> bool {
        self.request.method != "POST" || self.idempotency_key.is_some()
    }
}

/// The ids of the operations that write.
pub fn writes() -> impl Iterator<Item = &'static str> {
    let ids = OPERATIONS.iter().map(|(id, _)| *id);
    ids.filter(|id| !id.starts_with("get") && !id.starts_with("list"))
}

/// What the clients of the API know from its responses.
#[derive(Default)]
pub struct Known {
    pub agencies: [KnownAgency; AGENCIES.len()],
    /// The records that prove a custom domain: by its host name and its id, the lines of a zone file.
    pub proofs: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Default)]
pub struct KnownAgency {
    pub clients: Vec<String>,
    pub domains: Vec<String>,
    /// Tokens of setup links.
    pub links: Vec<String>,
    /// The last entity tag of each path.
    pub tags: BTreeMap<String, String>,
}

/// Chooses the operation with this number.
pub fn choose(number: usize, rng: &mut SmallRng, known: &Known) -> TrialOperation {
    let total: u32 = OPERATIONS.iter().map(|(_, weight)| weight).sum();
    let mut left = rng.random_range(0..total);
    let mut id = OPERATIONS[0].0;
    for (each, weight) in OPERATIONS {
        if left < weight {
            id = each;
            break;
        }
        left -= weight;
    }
    let agency = rng.random_range(0..AGENCIES.len());
    make(id, agency, number, rng, known)
}

/// An operation of this agency with random contents. What `number` is in is in no other operation.
pub fn make(
    id: &'static str,
    agency: usize,
    number: usize,
    rng: &mut SmallRng,
    known: &Known,
) -> TrialOperation {
    let own = &known.agencies[agency];
    // Some requests name a resource of another agency.
    let named = match rng.random_bool(0.02) {
        true => &known.agencies[(agency + 1) % AGENCIES.len()],
        false => own,
    };
    let client = pick(&named.clients, rng).unwrap_or_else(|| unknown("cli"));
    let domain = pick(&named.domains, rng).unwrap_or_else(|| unknown("dom"));
    let link = pick(&own.links, rng).unwrap_or_else(|| "A".repeat(43));
    let (target, method, path, body) = match id {
        "enableAgency" => ("", "POST", "/agency/enable".to_owned(), None),
        "putBranding" => (
            "",
            "PUT",
            "/agency/branding".to_owned(),
            Some(branding(number, rng)),
        ),
        "putPortalConfig" => ("", "PUT", "/agency/portal-config".to_owned(), Some(config(rng))),
        "createClientOrg" => ("", "POST", CLIENTS.to_owned(), Some(new_client(number, rng))),
        "updateClientOrg" => {
            let path = format!("{CLIENTS}/{client}");
            (&*client, "PATCH", path, Some(client_update(number, rng)))
        }
        "deleteClientOrg" => (&*client, "DELETE", format!("{CLIENTS}/{client}"), None),
        "putClientBranding" => {
            let path = format!("{CLIENTS}/{client}/branding");
            (&*client, "PUT", path, Some(branding(number, rng)))
        }
        "putClientPortalConfig" => {
            let path = format!("{CLIENTS}/{client}/portal-config");
            (&*client, "PUT", path, Some(config(rng)))
        }
        "createPortalDomain" => ("", "POST", DOMAINS.to_owned(), Some(new_domain(own, rng))),
        "updatePortalDomain" => {
            let path = format!("{DOMAINS}/{domain}");
            (&*domain, "PATCH", path, Some(domain_update(own, rng)))
        }
        "deletePortalDomain" => (&*domain, "DELETE", format!("{DOMAINS}/{domain}"), None),
        "verifyPortalDomain" => (&*domain, "POST", format!("{DOMAINS}/{domain}/verify"), None),
        "createSetupLink" => {
            let path = format!("{DOMAINS}/{domain}/setup-link");
            (
                &*domain,
                "POST",
                path,
                Some(json!({"days": rng.random_range(1..=30)})),
            )
        }
        "deleteSetupLink" => (&*domain, "DELETE", format!("{DOMAINS}/{domain}/setup-link"), None),
        "verifySetup" => ("", "POST", format!("/portal/setup/{link}/verify"), None),
        "getAgencyOverview" => ("", "GET", "/agency/overview".to_owned(), None),
        "getPortalContext" => ("", "GET", "/portal/context".to_owned(), None),
        "listClientOrgs" => ("", "GET", format!("{CLIENTS}?limit=7"), None),
        "listPortalDomains" => ("", "GET", format!("{DOMAINS}?limit=7"), None),
        other => unreachable!("{other} is not in OPERATIONS"),
    };
    let mut headers = vec![("accept", "application/json".to_owned())];
    let creates = matches!(id, "createClientOrg" | "createPortalDomain");
    let idempotency_key = (creates && rng.random_bool(0.5)).then(|| format!("key-{number}"));
    headers.extend(idempotency_key.clone().map(|key| ("idempotency-key", key)));
    if method == "PUT" && rng.random_bool(0.2) {
        headers.extend(own.tags.get(&path).map(|tag| ("if-match", tag.clone())));
    }
    TrialOperation {
        id,
        agency,
        target: target.to_owned(),
        idempotency_key,
        request: HttpRequest {
            method,
            path,
            headers,
            body,
        },
    }
}

/// One of the list. It takes one random number for any list, so that the later choices depend on the seed alone.
fn pick(list: &[String], rng: &mut SmallRng) -> Option<String> {
    let index = rng.random::<u32>() as usize;
    Some(list.get(index.checked_rem(list.len())?)?.clone())
}

/// A well-formed id of no resource.
fn unknown(prefix: &str) -> String {
    format!("{prefix}_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")
}

/// Adds a property now and then.
fn maybe(body: &mut Value, rng: &mut SmallRng, probability: f64, name: &str, value: impl Into<Value>) {
    if rng.random_bool(probability) {
        body[name] = value.into();
    }
}

fn branding(number: usize, rng: &mut SmallRng) -> Value {
    let mut body = json!({"footerText": format!("Footer {number}")});
    for name in COLOURS {
        let colour = match rng.random_bool(0.2) {
            true => Value::Null,
            false => format!("#{:06x}", rng.random_range(0..0x100_0000)).into(),
        };
        maybe(&mut body, rng, 0.3, name, colour);
    }
    maybe(&mut body, rng, 0.3, "portalName", format!("Portal {number}"));
    maybe(
        &mut body,
        rng,
        0.1,
        "customCss",
        format!(".p{number} {{ color: red }}"),
    );
    body
}

fn config(rng: &mut SmallRng) -> Value {
    let mut body = json!({});
    for name in FEATURES {
        let value = match rng.random_range(0..5) {
            0 => Value::Null,
            other => (other % 2 == 0).into(),
        };
        maybe(&mut body, rng, 0.4, name, value);
    }
    let visibility = ["hidden", "summary", "full"][rng.random_range(0..3)];
    maybe(&mut body, rng, 0.3, "infrastructureVisibility", visibility);
    body
}

fn client_names(rng: &mut SmallRng, body: &mut Value) {
    let slug = SLUGS[rng.random_range(0..SLUGS.len())];
    maybe(body, rng, 0.25, "slug", slug);
    let external = format!("CRM-{}", rng.random_range(0..8));
    maybe(body, rng, 0.25, "externalId", external);
}

fn new_client(number: usize, rng: &mut SmallRng) -> Value {
    let name = NAMES[rng.random_range(0..NAMES.len())];
    let mut body = json!({"name": name, "metadata": {"number": number.to_string()}});
    client_names(rng, &mut body);
    body
}

fn client_update(number: usize, rng: &mut SmallRng) -> Value {
    let mut body = json!({"metadata": {"last": number.to_string()}});
    client_names(rng, &mut body);
    let name = NAMES[rng.random_range(0..NAMES.len())];
    maybe(&mut body, rng, 0.3, "name", name);
    maybe(&mut body, rng, 0.1, "externalId", Value::Null);
    let suspended = rng.random_bool(0.5);
    maybe(&mut body, rng, 0.3, "suspended", suspended);
    body
}

fn new_domain(own: &KnownAgency, rng: &mut SmallRng) -> Value {
    // Few, so that the agencies compete for them.
    let number = rng.random_range(0..60);
    let mut body = match rng.random_bool(0.4) {
        true => json!({"subdomain": format!("label{number}")}),
        false => json!({"customDomain": format!("portal{number}.acme.com")}),
    };
    let client = pick(&own.clients, rng).unwrap_or_else(|| unknown("cli"));
    maybe(&mut body, rng, 0.4, "clientOrgId", client);
    body
}

fn domain_update(own: &KnownAgency, rng: &mut SmallRng) -> Value {
    let mut body = json!({});
    let primary = rng.random_bool(0.8);
    maybe(&mut body, rng, 0.5, "primary", primary);
    let or_null = |found: Option<String>, rng: &mut SmallRng| {
        let is_set = rng.random_bool(0.7);
        Value::from(found.filter(|_| is_set))
    };
    let target = or_null(pick(&own.domains, rng), rng);
    maybe(&mut body, rng, 0.4, "redirectTo", target);
    let client = or_null(pick(&own.clients, rng), rng);
    maybe(&mut body, rng, 0.3, "clientOrgId", client);
    body
}

/// The properties of a body that set a value of the resource each, with the stored value.
pub fn settings(operation: &TrialOperation) -> Map<String, Value> {
    let mut set = Map::new();
    let body = operation.request.body.as_ref().and_then(Value::as_object);
    for (name, value) in body.into_iter().flatten() {
        match name.as_str() {
            "metadata" => {
                let pairs = value.as_object().into_iter().flatten();
                set.extend(pairs.map(|(key, value)| (format!("metadata.{key}"), value.clone())));
            }
            // The time is the server's.
            "suspended" => drop(set.insert(name.clone(), value.clone())),
            // Other writes change these too: the invariants of the table cover them.
            "primary" | "redirectTo" | "days" => {}
            _ => drop(set.insert(name.clone(), value.clone())),
        }
    }
    set
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;

    use super::*;

    #[test]
    fn the_trial_has_every_write_of_the_document() {
        let document = include_str!("../../../functions/portal/openapi.json");
        let document: Value = serde_json::from_str(document).unwrap();
        let paths = document["paths"].as_object().unwrap().values();
        let methods = paths.flat_map(|methods| methods.as_object().unwrap());
        let writes = methods.filter(|(method, _)| *method != "get");
        let of_document: BTreeSet<_> = writes
            .map(|(_, operation)| operation["operationId"].as_str().unwrap())
            .collect();
        assert_eq!(super::writes().collect::<BTreeSet<_>>(), of_document);
    }

    #[test]
    fn the_seed_alone_fixes_an_operation_except_for_the_ids_that_it_names() {
        let mut known = Known::default();
        for agency in &mut known.agencies {
            (agency.clients, agency.domains) = (vec![unknown("cli"); 3], vec![unknown("dom"); 5]);
            agency.links = vec!["A".repeat(43)];
        }
        for number in 0..500 {
            let choose = |known: &Known| {
                let mut rng = SmallRng::seed_from_u64(number as u64);
                let mut operation = choose(number, &mut rng, known);
                // Without a known domain it is null.
                let body = operation.request.body.as_mut().and_then(Value::as_object_mut);
                body.map(|body| ["redirectTo", "clientOrgId"].map(|name| body.remove(name).is_some()));
                (format!("{operation:?}"), rng.random::<u64>())
            };
            assert_eq!(choose(&known), choose(&Known::default()));
        }
    }
}
