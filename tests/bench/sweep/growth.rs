//! Growth: a sweep of 1,000,000 due domains beside one of 10,000, and the reads of an agency with 100,000 clients beside those of an
//! agency with 10. `.ci/bench growth` runs it.

use std::{collections::BTreeMap, env, iter, time::Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::{Router, body::Body};
use http::{Method, Request};
use http_body_util::BodyExt;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use shared::{
    app::App,
    http::{Edge, service},
    models::{id::ClientOrgId, time::Timestamp},
    store::{Item, keys::CLIENT_SHARDS},
};
use tower::ServiceExt;

use crate::{
    Result,
    function::{self, RequestLog},
    internet::{Batch, Internet},
    table::DueTable,
};

/// The due domains of the two sweeps.
const DUE: [u64; 2] = [10_000, 1_000_000];
/// The clients of the two agencies.
const CLIENTS: [(&str, usize); 2] = [("org_few", 10), ("org_many", 100_000)];
/// Each read of each agency.
const ROUNDS: usize = 300;

/// The peak memory of the large sweep over that of the small one is at most this.
const MEMORY_GROWTH: f64 = 1.2;
/// A sweep checks at least this many domains, if so many are due. It ends after 15 minutes, as in Lambda.
const CHECKED: u64 = 100_000;
/// A sweep sends its first write within this number of seconds.
const FIRST_WRITE: f64 = 2.0;
/// The median time of a read with 100,000 clients over that with 10 is at most this.
const READ_GROWTH: f64 = 1.25;

/// Runs both parts.
pub async fn benchmark() -> Result<()> {
    let mut variables = crate::variables();
    variables.insert("MAX_CLIENTS", "200000".to_owned());
    // Nothing listens on this port, so that a sweep soon stops asking.
    variables.insert("EDGE_PORT", "1".to_owned());
    let mut failures = Vec::new();
    {
        let names = crate::config(&variables)?.names;
        let directory = env::temp_dir().join(format!("growth-{}", std::process::id()));
        let internet = Internet::start(directory, &names, DUE[1])?;
        variables.extend(internet.variables());
        sweeps(&internet, &variables, &mut failures).await?;
    }
    reads(&mut variables, &mut failures).await?;
    crate::result(&failures)
}

async fn sweeps(
    internet: &Internet,
    variables: &BTreeMap<&'static str, String>,
    failures: &mut Vec<String>,
) -> Result<()> {
    println!(
        "| due | filled in | checked | in | first write | peak memory | requests | packets | CPU: own | DynamoDB | NSD |"
    );
    println!("|{}", "---|".repeat(11));
    let mut smallest = None;
    for due in DUE {
        let table = DueTable::start(variables).await?;
        let mut variables = variables.clone();
        variables.extend(table.variables());
        let batch = Batch::shared(due);
        let began = Instant::now();
        table.add(batch).await?;
        let filled = began.elapsed();
        let packets = internet.packets()?;
        let before = (internet.cpu()?, table.cpu()?);
        let sweep = function::run(&["sweep"], &variables)?;
        let (nsd, dynamodb) = (internet.cpu()? - before.0, table.cpu()? - before.1);
        let packets = internet.packets()? - packets;
        let each = |number: f64| number / sweep.checked as f64;
        let micros = |time: std::time::Duration| format!("{:.0} µs", each(time.as_secs_f64() * 1e6));
        let first = sweep.first_write.ok_or("the sweep wrote nothing")?.as_secs_f64();
        println!(
            "| {due} | {:.0} s | {} | {:.0} s | {:.2} s | {:.1} MiB | {:.3} | {:.3} | {} | {} | {} |",
            filled.as_secs_f64(),
            sweep.checked,
            sweep.time.as_secs_f64(),
            first,
            sweep.memory as f64 / 1024.0,
            each(sweep.requests as f64),
            each(packets as f64),
            micros(sweep.user + sweep.system),
            micros(dynamodb),
            micros(nsd),
        );
        let growth = sweep.memory as f64 / *smallest.get_or_insert(sweep.memory) as f64;
        if growth > MEMORY_GROWTH {
            failures.push(format!(
                "{due} due: {growth:.2} times the memory of the smallest sweep"
            ));
        }
        if sweep.checked < due.min(CHECKED) {
            failures.push(format!("{due} due: {} checked", sweep.checked));
        }
        if first > FIRST_WRITE {
            failures.push(format!("{due} due: the first write was sent after {first:.2} s"));
        }
        if !crate::nearly_all(sweep.renewed, sweep.checked) {
            failures.push(format!(
                "{due} due: {} of {} renewed",
                sweep.renewed, sweep.checked
            ));
        }
    }
    Ok(())
}

/// Reads through the routes of the functions, alternating between the agencies.
async fn reads(variables: &mut BTreeMap<&'static str, String>, failures: &mut Vec<String>) -> Result<()> {
    let table = DueTable::start(variables).await?;
    variables.extend(table.variables());
    let config = crate::config(variables)?;
    let log = RequestLog::default();
    let mut app = App::new(config).await;
    app.store = app.store.with_interceptor(log.clone());
    let functions: [Router<App>; 3] = [agency::routes(), clients::routes(), portal::routes()];
    let routes = functions.into_iter().fold(Router::new(), Router::merge);
    let edge = service(routes, app);
    let secret = variables.get("AUTH_HS256_SECRET").ok_or("no secret")?;
    let mut agencies = Vec::new();
    for (org, count) in CLIENTS {
        let agency = ReadAgency {
            edge: edge.clone(),
            token: token(org, secret)?,
        };
        agency.call(Method::POST, "/agency/enable", Value::Null).await?;
        let client = agency
            .call(Method::POST, "/agency/clients", json!({"name": name(0)}))
            .await?;
        let client: ClientOrgId = client["id"]
            .as_str()
            .and_then(|id| id.parse().ok())
            .ok_or("no client")?;
        copy_client(&table, org, client, count).await?;
        agencies.push(agency);
    }
    println!(
        "\nReads of an agency with 10 clients and of one with 100,000: median in ms, and requests to DynamoDB\n"
    );
    println!("| read | 10 | 100,000 | ratio | requests |");
    println!("|---|---|---|---|---|");
    for read in [
        "/agency/clients?limit=10",
        "/agency/clients?limit=10&name=customer%200",
        "/agency/overview",
        "/portal/context",
    ] {
        let mut times = [Vec::new(), Vec::new()];
        let mut requests = [0, 0];
        for _ in 0..ROUNDS {
            for ((agency, times), requests) in agencies.iter().zip(&mut times).zip(&mut requests) {
                let before = log.requests();
                let began = Instant::now();
                agency.call(Method::GET, read, Value::Null).await?;
                times.push(began.elapsed().as_secs_f64() * 1e3);
                *requests += log.requests() - before;
            }
        }
        let [few, many] = times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            times.get(times.len() / 2).copied().unwrap_or_default()
        });
        let each = requests.map(|requests| requests as f64 / ROUNDS as f64);
        println!(
            "| `{read}` | {few:.2} | {many:.2} | {:.2} | {} and {} |",
            many / few,
            each[0],
            each[1]
        );
        if many / few > READ_GROWTH {
            failures.push(format!(
                "{read}: {:.2} times the time with 10 clients",
                many / few
            ));
        }
        if each != [1.0; 2] {
            failures.push(format!("{read}: {each:?} requests, not one"));
        }
    }
    Ok(())
}

struct ReadAgency {
    edge: Edge,
    token: String,
}

impl ReadAgency {
    async fn call(&self, method: Method, path: &str, body: Value) -> Result<Value> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", &self.token)
            .header("content-type", "application/json")
            .body(Body::from(if body.is_null() {
                String::new()
            } else {
                body.to_string()
            }))?;
        let response = self.edge.clone().oneshot(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        match status.is_success() {
            true => Ok(serde_json::from_slice(&body)?),
            false => Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&body)).into()),
        }
    }
}

fn token(org: &str, secret: &str) -> Result<String> {
    let now = Timestamp::now().millis() / 1_000;
    let claims = json!({
        "iss": "https://issuer.test/", "aud": "agency-api", "sub": "user_1", "org_id": org, "role": "owner",
        "iat": now, "exp": now + 3_600,
    });
    let key = EncodingKey::from_secret(secret.as_bytes());
    Ok(format!(
        "Bearer {}",
        jsonwebtoken::encode(&Header::default(), &claims, &key)?
    ))
}

fn name(number: usize) -> String {
    format!("Customer {number:06}")
}

/// Copies the only client of the agency until it has `count`, with the counters that the API would have written.
async fn copy_client(table: &DueTable, org: &str, client: ClientOrgId, count: usize) -> Result<()> {
    let (id, slug, name_of) = (client.to_string(), "customer-000000", name(0));
    let mut originals = table.items_with(&format!("A#{org}"), &id).await?;
    originals.retain(|item| item.get("entity") == Some(&text("client")));
    originals.extend(table.items_with(&format!("C#{id}"), &id).await?);
    if originals.len() != 4 {
        return Err(format!("a client has {} items", originals.len()).into());
    }
    let mut shards = vec![0u64; CLIENT_SHARDS.into()];
    let mut count_shard = |id: ClientOrgId| {
        if let Some(shard) = shards.get_mut(usize::from(id.shard(CLIENT_SHARDS))) {
            *shard += 1;
        }
    };
    count_shard(client);
    let now = Timestamp::now();
    let ids: Vec<ClientOrgId> = iter::repeat_with(|| ClientOrgId::new(now))
        .take(count - 1)
        .collect();
    ids.iter().copied().for_each(&mut count_shard);
    let copies = (1..count).zip(&ids).flat_map(|(number, copy)| {
        let of_copy = [
            (id.clone(), copy.to_string()),
            (slug.to_owned(), format!("customer-{number:06}")),
            (name_of.clone(), name(number)),
            (name_of.to_lowercase(), name(number).to_lowercase()),
        ];
        originals.iter().map(move |item| Ok(replaced(item, &of_copy)))
    });
    table.put(copies).await?;
    let counters = shards.iter().enumerate().map(|(shard, count)| {
        let attributes = [
            ("PK", text(&format!("A#{org}"))),
            ("SK", text(&format!("#3CLIENTS#{shard}"))),
            ("clientCount", AttributeValue::N(count.to_string())),
            ("suspendedCount", AttributeValue::N("0".to_owned())),
            ("entity", text("client-count")),
            ("schema", AttributeValue::N("1".to_owned())),
        ];
        Ok(Item::from(
            attributes.map(|(name, value)| (name.to_owned(), value)),
        ))
    });
    table.put(counters).await
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

/// The item with other texts in its attributes.
fn replaced(item: &Item, texts: &[(String, String)]) -> Item {
    let replace = |value: &AttributeValue| match value {
        AttributeValue::S(value) => {
            let value = texts
                .iter()
                .fold(value.clone(), |value, (old, new)| value.replace(old, new));
            AttributeValue::S(value)
        }
        other => other.clone(),
    };
    item.iter()
        .map(|(name, value)| (name.clone(), replace(value)))
        .collect()
}
