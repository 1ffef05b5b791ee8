//! Requests of an input: an operation, its sender, and what it sends.

use arbitrary::{Result, Unstructured};
use http::Method;

use super::{
    body::{self, ODD, rarely},
    document::Operation,
    world::{User, World},
};

/// What the steps of one input have in common.
#[derive(Default)]
pub struct Known {
    pub clients: Vec<String>,
    pub domains: Vec<String>,
    pub links: Vec<String>,
    pub hosts: Vec<String>,
    /// Entity tags and cursors of earlier answers.
    pub tags: Vec<String>,
    pub cursors: Vec<String>,
}

impl Known {
    pub fn of(world: &World) -> Self {
        Self {
            clients: world.clients.clone(),
            domains: world.domains.clone(),
            links: world.links.clone(),
            hosts: world.hosts.clone(),
            ..Self::default()
        }
    }
}

pub struct Sent {
    pub user: User,
    pub method: Method,
    /// Without the query.
    pub path: String,
    pub uri: String,
    pub headers: Vec<(&'static str, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Sent {
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut found = self.headers.iter().filter(|(other, _)| *other == name);
        found.next().map(|(_, value)| value.as_slice())
    }
}

pub fn request(u: &mut Unstructured, operation: &Operation, world: &World, known: &Known) -> Result<Sent> {
    let user = match rarely(u, 4)? {
        true => u.choose(&world.users)?,
        false => &world.users[0],
    };
    let path = path(u, operation, known)?;
    let query = query(u, operation, known)?;
    let mut headers = headers(u, operation, known)?;
    let mut sent = Vec::new();
    if let Some(schema) = operation.body {
        let ids: Vec<_> = known.clients.iter().chain(&known.domains).cloned().collect();
        sent = body::body(u, schema, operation.example, &ids)?;
        if let Some(media_type) = media_type(u)? {
            headers.push(("content-type", media_type));
        }
    } else if rarely(u, 8)? {
        sent = b"{\"name\":1".to_vec();
        let form = &b"application/x-www-form-urlencoded"[..];
        headers.push((
            "content-type",
            u.choose(&[form, b"application/json", b"\xff"])?.to_vec(),
        ));
    }
    let head = operation.method == Method::GET && rarely(u, 16)?;
    Ok(Sent {
        user: user.clone(),
        method: if head {
            Method::HEAD
        } else {
            operation.method.clone()
        },
        uri: if query.is_empty() {
            path.clone()
        } else {
            format!("{path}?{query}")
        },
        path,
        headers,
        body: sent,
    })
}

fn path(u: &mut Unstructured, operation: &Operation, known: &Known) -> Result<String> {
    let mut path = operation.path.to_owned();
    for (name, _) in operation.parameters("path") {
        let known = match name {
            "clientOrgId" => &known.clients,
            "domainId" => &known.domains,
            "token" => &known.links,
            name => panic!("add {name} to Known"),
        };
        let value = match u.int_in_range(0..=15)? {
            0..=11 => u.choose(known)?.clone(),
            12 => u.choose(known)?.to_uppercase(),
            13 => encode(rarely(u, 8)?, u.choose(known)?),
            14 => encode(rarely(u, 8)?, u.choose(ODD)?),
            _ => (*u.choose(&[
                "cli_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b",
                "dom_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b",
                "cli_019aa1b2c3d47e5f8a6b7c8d9e0f1a2b",
                "cli_",
                "%ff%fe",
                "%2e%2e%2f",
                "%",
                "%zz",
                "%00",
                "a%2Fb",
                "*",
                "A23456789012345678901234567890123456789012A",
            ])?)
            .to_owned(),
        };
        path = path.replace(&format!("{{{name}}}"), &value);
    }
    Ok(path)
}

fn query(u: &mut Unstructured, operation: &Operation, known: &Known) -> Result<String> {
    let mut pairs = Vec::new();
    for (name, schema) in operation.parameters("query") {
        let is_host = matches!(name, "host" | "domain");
        let is_required = is_host || name == "format";
        if is_required == rarely(u, if is_required { 16 } else { 3 })? {
            continue;
        }
        let value = match (name, u.int_in_range(0..=7)?) {
            (_, 6) => encode(rarely(u, 8)?, u.choose(ODD)?),
            (_, 7) => encode(rarely(u, 8)?, &body::string(u, schema)?),
            ("host" | "domain", _) => u.choose(&known.hosts)?.clone(),
            ("format", _) => (*u.choose(&["text", "zone", "TEXT"])?).to_owned(),
            ("limit", _) => {
                (*u.choose(&["1", "2", "1000", "1001", "0", "-1", "01", "1e3", "99999999999"])?).to_owned()
            }
            ("cursor", _) if !known.cursors.is_empty() => u.choose(&known.cursors)?.clone(),
            ("slug" | "externalId", _) => {
                (*u.choose(&["acme-one", "acme-two", "zetamark-one", "a"])?).to_owned()
            }
            ("name", _) => (*u.choose(&["a", "ACME", "acme one", "zeta"])?).replace(' ', "%20"),
            _ => "true".to_owned(),
        };
        for _ in 0..=u8::from(rarely(u, 24)?) {
            pairs.push(format!("{name}={value}"));
        }
    }
    if rarely(u, 16)? {
        pairs.push((*u.choose(&["unknown=1", "limit", "&&", "=", "%ff=%ff", "cursor[]=1"])?).to_owned());
    }
    Ok(pairs.join("&"))
}

/// A text in a URI: encoded, or as it is, unless that makes another path of it.
fn encode(as_it_is: bool, text: &str) -> String {
    if as_it_is && !text.contains(['#', '?', '/', '&']) {
        return text.to_owned();
    }
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn headers(
    u: &mut Unstructured,
    operation: &Operation,
    known: &Known,
) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let mut headers = Vec::new();
    for name in ["if-match", "if-none-match"] {
        if operation.takes("header", name) && rarely(u, 3)? {
            let value = match u.int_in_range(0..=7)? {
                0..=3 if !known.tags.is_empty() => u.choose(&known.tags)?.clone().into_bytes(),
                4 if !known.tags.is_empty() => format!("\"x\", W/{}", u.choose(&known.tags)?).into_bytes(),
                _ => u
                    .choose(&[
                        &b"*"[..],
                        b"\"stale\"",
                        b"stale",
                        b"",
                        b"\"",
                        b"\xff",
                        b"W/\"a\",,\"b\"",
                        b"\"a\", *",
                    ])?
                    .to_vec(),
            };
            headers.push((name, value));
        }
    }
    if operation.takes("header", "idempotency-key") && rarely(u, 2)? {
        let long = [b'k'; 256];
        let keys = [
            &b"key-1"[..],
            b"key-2",
            &long[..255],
            &long,
            b"",
            b"a b",
            b"\xc3\xa4",
            b"\"key-1\"",
        ];
        headers.push(("idempotency-key", u.choose(&keys)?.to_vec()));
        if rarely(u, 24)? {
            headers.push(("idempotency-key", b"key-1".to_vec()));
        }
    }
    if rarely(u, 4)? {
        let accepted = [
            &b"text/html"[..],
            b"application/json",
            b"text/html;q=0",
            b"*/*",
            b"\xff",
            b"image/png",
        ];
        headers.push(("accept", u.choose(&accepted)?.to_vec()));
    }
    if rarely(u, 8)? {
        headers.push((
            "accept-language",
            u.choose(&[&b"de"[..], b"de-AT, en;q=0.1", b"*", b"\xff"])?
                .to_vec(),
        ));
    }
    if rarely(u, 32)? {
        headers.push((
            "content-encoding",
            u.choose(&[&b"identity"[..], b"gzip", b"\xff"])?.to_vec(),
        ));
    }
    Ok(headers)
}

/// `None`: the body has no type.
fn media_type(u: &mut Unstructured) -> Result<Option<Vec<u8>>> {
    Ok(match u.int_in_range(0..=31)? {
        31 => None,
        27..=30 => {
            let types = [
                &b"application/json; charset=utf-8"[..],
                b"Application/JSON",
                b"application/merge-patch+json",
                b"text/json",
                b"application/json;charset=utf-16",
                b"application/jsonx",
                b"",
                b"\xff",
            ];
            Some(u.choose(&types)?.to_vec())
        }
        _ => Some(b"application/json".to_vec()),
    })
}
