//! The scheduled re-verification.

mod checks;
mod kills;
mod silence;

use std::time::Duration;

use local::system::{Builder, System};
use serde_json::{Value, json};
use verification::Network;

use crate::harness::{Api, START, cname};

const LONG: Duration = Duration::from_secs(60);

/// A system whose clock stands still.
fn system() -> Builder {
    System::builder().at(START)
}

/// `count` domains in two agencies, each with its record in DNS.
async fn domains(api: &Api, count: usize) -> Vec<Value> {
    let agencies = [api.agency("org_a").await, api.agency("org_b").await];
    let mut domains = Vec::new();
    for index in 0..count {
        let name = format!("portal.acme{index}.test");
        domains.push(agencies[index % 2].custom_domain(&name).await);
    }
    serve(api, &domains);
    domains
}

fn serve(api: &Api, domains: &[Value]) {
    api.dns
        .set_zone(&domains.iter().map(cname).collect::<String>())
        .unwrap();
}

fn network(api: &Api) -> Network {
    Network::new(&api.app.config).unwrap()
}

async fn statuses(api: &Api, domains: &[Value]) -> Vec<String> {
    assert!(!domains.is_empty());
    let mut statuses = Vec::new();
    for domain in domains {
        statuses.push(api.now(domain).await["status"].as_str().unwrap().to_owned());
    }
    statuses
}

/// The domains' counts of both agencies, which must equal the numbers of domains.
async fn counts(api: &Api, domains: &[Value]) -> Value {
    let mut sum =
        json!({"total": 0, "verified": 0, "pending": 0, "failing": 0, "failed": 0, "tlsNotReady": 0});
    for domain in &domains[..2.min(domains.len())] {
        let overview = api.owner_of(domain).overview().await;
        for (name, count) in sum.as_object_mut().unwrap() {
            *count = (count.as_u64().unwrap() + overview["portalDomains"][name].as_u64().unwrap()).into();
        }
    }
    let statuses = statuses(api, domains).await;
    for (name, count) in sum.as_object().unwrap() {
        let there = statuses
            .iter()
            .filter(|status| name == "total" || *status == name);
        assert_eq!(count.as_u64().unwrap(), there.count() as u64, "{name}");
    }
    sum
}

/// The number of audit entries with this action that each domain has.
async fn entries(api: &Api, domains: &[Value], action: &str) -> Vec<usize> {
    let mut log = api.owner_of(&domains[0]).audit().await;
    log.extend(api.owner_of(&domains[1]).audit().await);
    let of = |domain: &Value| {
        let wanted = |entry: &&Value| entry["action"] == action && entry["target"]["id"] == domain["id"];
        log.iter().filter(wanted).count()
    };
    domains.iter().map(of).collect()
}
