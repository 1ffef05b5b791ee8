//! The schedule's function: what it checks, what it costs, and what may go wrong meanwhile.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use ::reverify::{Report, sweep};
use aws_sdk_dynamodb::types::AttributeValue;
use local::{dynamodb, environment::Environment, fault::Fault};
use serde_json::{Value, json};
use shared::{
    app::{App, Clock},
    config::Config,
};
use verification::Dns;

use crate::{
    harness::Api,
    lifecycle::{DAY, MINUTE, cname, now, owner, system},
};

const SHARDS: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const LONG: Duration = Duration::from_secs(60);

/// So many domains in two agencies, each with its record in DNS.
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

fn dns(api: &Api) -> Dns {
    Dns::new(&api.app.config.dns).unwrap()
}

async fn statuses(api: &Api, domains: &[Value]) -> Vec<String> {
    let mut statuses = Vec::new();
    for domain in domains {
        statuses.push(now(api, domain).await["status"].as_str().unwrap().to_owned());
    }
    statuses
}

/// The counters of both agencies, which must be what the domains are.
async fn counted(api: &Api, domains: &[Value]) -> Value {
    let mut sum = json!({"total": 0, "verified": 0, "pending": 0, "failing": 0, "failed": 0});
    for domain in &domains[..2.min(domains.len())] {
        let overview = owner(api, domain).get("/agency/overview").await.expect(200);
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

#[tokio::test]
async fn it_checks_what_is_due_and_reports_it() {
    let api = Api::build(system()).await;
    let domains = domains(&api, 6).await;
    assert_eq!(api.reverify().await.due, 0);
    serve(&api, &domains[..4]);
    api.advance(2 * MINUTE);
    let report = api.reverify().await;
    let expected = Report {
        due: 6,
        checked: 6,
        verified: 4,
        pending: 2,
        oldest_due_seconds: 60,
        ms: report.ms,
        ..Report::default()
    };
    assert_eq!(report, expected);
    assert_eq!(counted(&api, &domains).await["verified"], 4);

    serve(&api, &domains[1..]);
    api.advance(2 * DAY);
    let report = api.reverify().await;
    assert_eq!((report.due, report.checked, report.verified), (6, 6, 5));
    assert_eq!((report.failing, report.lapsed), (1, 1));
    // The one that fails is due in an hour, the others in a day.
    api.advance(70 * MINUTE);
    let report = api.reverify().await;
    assert_eq!((report.due, report.failing, report.lapsed), (1, 1, 0));
}

#[tokio::test]
async fn a_renewal_is_one_update_and_the_domains_are_read_together() {
    let api = Api::build(system().counted()).await;
    let domains = domains(&api, 20).await;
    api.advance(2 * MINUTE);
    assert_eq!(api.reverify().await.verified, 20);
    api.advance(2 * DAY);
    api.proxy().take_counts();
    assert_eq!(api.reverify().await.verified, 20);
    let counts = api.proxy().take_counts();
    assert_eq!(counts["UpdateItem"], 20);
    assert!(counts["BatchGetItem"] <= 2, "{counts:?}");
    assert_eq!(counts["Query"], 16);
    assert_eq!(counts.len(), 3, "{counts:?}");
    assert_eq!(now(&api, &domains[0]).await["check"]["attempts"], 2);
}

#[tokio::test]
async fn more_than_a_page_is_due() {
    let api = Api::build(system().set("MAX_DOMAINS", "1000")).await;
    let domains = domains(&api, 450).await;
    api.advance(2 * MINUTE);
    let report = api.reverify().await;
    assert_eq!(
        (report.due, report.checked, report.verified, report.left),
        (450, 450, 450, 0)
    );
    assert_eq!(counted(&api, &domains).await["verified"], 450);
}

#[tokio::test]
async fn many_domains_of_one_zone_are_all_checked() {
    let api = Api::build(system().set("MAX_DOMAINS", "1000")).await;
    let agency = api.agency("org_a").await;
    for index in 0..150 {
        agency.custom_domain(&format!("p{index}.acme.test")).await;
    }
    api.advance(2 * MINUTE);
    let report = api.reverify().await;
    assert_eq!(
        (report.due, report.checked, report.pending, report.left),
        (150, 150, 150, 0)
    );
}

#[tokio::test]
async fn two_sweeps_at_once_check_each_domain_once() {
    let api = Api::build(system()).await;
    let domains = domains(&api, 40).await;
    api.advance(2 * MINUTE);
    let (one, other) = tokio::join!(api.reverify(), api.reverify());
    assert_eq!(one.checked + other.checked, 40, "{one:?} {other:?}");
    assert_eq!(one.left + other.left, 0);
    for domain in &domains {
        assert_eq!(now(&api, domain).await["check"]["attempts"], 1);
    }
    let changes = audit_of(&api, &domains, "domain.verified").await;
    assert_eq!(changes, vec![1; 40]);
    counted(&api, &domains).await;
}

#[tokio::test]
async fn shards_share_the_work() {
    let api = Api::build(system()).await;
    domains(&api, 10).await;
    api.advance(2 * MINUTE);
    let (low, high) = SHARDS.split_at(8);
    let dns = dns(&api);
    let low = sweep(&api.app, &dns, low, LONG).await.unwrap();
    let high = sweep(&api.app, &dns, high, LONG).await.unwrap();
    assert_eq!(low.checked + high.checked, 10);
}

/// How many entries of this action each domain has.
async fn audit_of(api: &Api, domains: &[Value], action: &str) -> Vec<usize> {
    let mut log = owner(api, &domains[0]).audit().await;
    log.extend(owner(api, &domains[1]).audit().await);
    let of = |domain: &Value| {
        let wanted = |entry: &&Value| entry["action"] == action && entry["target"]["id"] == domain["id"];
        log.iter().filter(wanted).count()
    };
    domains.iter().map(of).collect()
}

/// The process that is killed: one sweep, as its variables say.
#[tokio::test]
#[ignore = "run by the test of kills, in a process of its own"]
async fn one_sweep() {
    let set = |name: &str| std::env::var(name).ok();
    let dns = set("SWEEP_DNS").unwrap().parse().unwrap();
    let at: i64 = set("SWEEP_AT").unwrap().parse().unwrap();
    let environment = Environment::new(&set).dns(dns);
    let config = Config::parse(&|name| environment.get(name)).unwrap();
    let mut app = App::new(config).await;
    app.clock = Clock::Set(Arc::new(at.into()));
    let dns = Dns::new(&app.config.dns).unwrap();
    println!("it begins");
    sweep(&app, &dns, &SHARDS, LONG).await.unwrap();
}

/// Sweeps in another process, and kills that so long after the sweep began. Whether it was over by then.
async fn sweep_and_kill(api: &Api, after: Duration) -> bool {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process
        .args(["--exact", "reverify::one_sweep", "--ignored", "--nocapture"])
        .env("TABLE_NAME", api.table())
        .env(
            "AWS_ENDPOINT_URL_DYNAMODB",
            format!("http://{}", dynamodb::shared()),
        )
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .env("SWEEP_DNS", api.dns.address().to_string())
        .env("SWEEP_AT", api.app.clock.now().millis().to_string())
        .stdout(Stdio::piped());
    let killed = move || {
        let mut child = process.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(output.any(|line| line.unwrap().contains("it begins")));
        std::thread::sleep(after);
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert!(status.success() || status.signal() == Some(9), "{status}");
        status.success()
    };
    tokio::task::spawn_blocking(killed).await.unwrap()
}

#[tokio::test]
async fn a_kill_at_any_moment_loses_no_check_and_applies_none_twice() {
    let api = Api::build(system()).await;
    let domains = domains(&api, 12).await;
    api.advance(2 * MINUTE);
    let whole = Duration::from_millis(api.reverify().await.ms);
    let (mut cut_off, mut partly) = (0, 0);
    for round in 0..50_u64 {
        let present = round % 2 == 1;
        serve(&api, if present { &domains } else { &[] });
        api.advance(2 * DAY);
        // Spread over the time that a sweep takes, of which each moment is met in some round.
        let done = sweep_and_kill(&api, whole * (round * 17 % 50) as u32 / 40).await;
        cut_off += usize::from(!done);
        let report = api.reverify().await;
        assert_eq!(report.left, 0);
        partly += usize::from(!done && report.checked > 0 && report.checked < 12);
        let expected = if present { "verified" } else { "failing" };
        for domain in &domains {
            let domain = now(&api, domain).await;
            assert_eq!(domain["status"], expected, "round {round}");
            assert_eq!(domain["check"]["attempts"], round + 2, "round {round}");
        }
    }
    assert_eq!(audit_of(&api, &domains, "domain.failing").await, vec![25; 12]);
    assert_eq!(audit_of(&api, &domains, "domain.verified").await, vec![26; 12]);
    counted(&api, &domains).await;
    eprintln!("killed {cut_off} of 50, {partly} of them with a part of the work done");
    assert!(cut_off > 10 && partly > 0);
}

/// Changes the record of a domain behind everybody's back. A number as routing is nonsense.
async fn set_routing(api: &Api, domain: &Value, routing: AttributeValue) {
    let text = |name: &str| domain[name].as_str().unwrap();
    let key = |name: &str, value: String| (name.to_owned(), AttributeValue::S(value));
    api.client
        .update_item()
        .table_name(api.table())
        .set_key(Some(HashMap::from([
            key("PK", format!("A#{}", text("agencyId"))),
            key("SK", format!("DOMAIN#{}", text("id"))),
        ])))
        .update_expression("SET routing = :routing")
        .expression_attribute_values(":routing", routing)
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_put_off_and_delays_nobody() {
    let api = Api::build(system()).await;
    let domains = domains(&api, 4).await;
    set_routing(&api, &domains[0], AttributeValue::N("7".to_owned())).await;
    api.advance(2 * MINUTE);
    let report = api.reverify().await;
    assert_eq!(
        (report.due, report.checked, report.verified, report.unreadable),
        (4, 3, 3, 1)
    );
    assert_eq!(report.left, 0);
    assert_eq!(api.reverify().await.due, 0);
    // A day later it is looked at again, and mended by then.
    set_routing(&api, &domains[0], AttributeValue::S("unknown".to_owned())).await;
    api.advance(DAY + MINUTE);
    api.reverify().await;
    assert_eq!(statuses(&api, &domains).await, vec!["verified"; 4]);
}

#[tokio::test]
async fn a_holder_that_cannot_be_read_puts_the_newcomers_check_off() {
    let api = Api::build(system()).await;
    let (first, second) = (api.agency("org_a").await, api.agency("org_b").await);
    let held = first.custom_domain("portal.acme.test").await;
    serve(&api, std::slice::from_ref(&held));
    api.advance(2 * MINUTE);
    assert_eq!(api.reverify().await.verified, 1);
    let newcomer = second.custom_domain("portal.acme.test").await;
    serve(&api, std::slice::from_ref(&newcomer));
    set_routing(&api, &held, AttributeValue::N("7".to_owned())).await;
    api.advance(2 * MINUTE);
    let report = api.reverify().await;
    assert_eq!((report.due, report.unreadable, report.left), (1, 1, 0));
    assert_eq!(
        api.reverify().await.due,
        0,
        "it is not in the way of the next sweep"
    );
    assert_eq!(now(&api, &newcomer).await["status"], "pending");
}

#[tokio::test]
async fn a_conflict_that_outlives_three_tries_leaves_the_check_due() {
    let api = Api::build(system().counted()).await;
    let domains = domains(&api, 3).await;
    api.advance(2 * MINUTE);
    let id = domains[1]["id"].as_str().unwrap().to_owned();
    let of_one =
        move |action: &str, body: &Value| action == "TransactWriteItems" && body.to_string().contains(&id);
    api.inject(Fault::conflict().when(of_one).times(3));
    let report = api.reverify().await;
    assert_eq!(
        (report.due, report.checked, report.verified, report.left),
        (3, 2, 2, 1)
    );
    assert!(api.proxy().pending().is_empty());
    let report = api.reverify().await;
    assert_eq!(
        (report.due, report.checked, report.verified, report.left),
        (1, 1, 1, 0)
    );
    assert_eq!(audit_of(&api, &domains, "domain.verified").await, vec![1; 3]);
}

#[tokio::test]
async fn a_lost_answer_is_no_lost_check() {
    let api = Api::build(system().counted()).await;
    let domains = domains(&api, 3).await;
    api.advance(2 * MINUTE);
    api.inject(Fault::lose_answer().on("TransactWriteItems"));
    assert_eq!(api.reverify().await.verified, 3);
    api.advance(2 * DAY);
    api.inject(Fault::lose_answer().on("UpdateItem"));
    assert_eq!(api.reverify().await.verified, 3);
    for domain in &domains {
        assert_eq!(now(&api, domain).await["check"]["attempts"], 2);
    }
    assert_eq!(audit_of(&api, &domains, "domain.verified").await, vec![1; 3]);
}

#[tokio::test]
async fn without_time_nothing_begins_and_all_is_still_due() {
    let api = Api::build(system()).await;
    let domains = domains(&api, 5).await;
    api.advance(2 * MINUTE);
    let report = sweep(&api.app, &dns(&api), &SHARDS, Duration::from_secs(10))
        .await
        .unwrap();
    assert_eq!((report.due, report.checked, report.left), (5, 0, 5));
    assert_eq!(statuses(&api, &domains).await, vec!["pending"; 5]);
    assert_eq!(api.reverify().await.checked, 5);
}

#[tokio::test]
async fn a_deleted_domain_is_not_checked() {
    let api = Api::build(system()).await;
    let domains = domains(&api, 2).await;
    owner(&api, &domains[0])
        .delete(&crate::lifecycle::path(&domains[0]))
        .await
        .expect(204);
    api.advance(2 * MINUTE);
    let report = api.reverify().await;
    assert_eq!((report.due, report.checked, report.left), (1, 1, 0));
}

#[tokio::test]
async fn the_local_server_runs_it_on_request_at_any_time() {
    let api = Api::build(system()).await;
    domains(&api, 1).await;
    let post = async |query: &str| {
        let answer = api
            .visitor()
            .post(&format!("/local/reverify{query}"), Value::Null)
            .await;
        (answer.status.as_u16(), answer.text)
    };
    let report = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let (status, text) = post("").await;
    assert_eq!((status, &report(&text)["due"]), (200, &json!(0)));
    let (status, text) = post("?at=2027-01-15T08:02:00Z").await;
    assert_eq!((status, &report(&text)["verified"]), (200, &json!(1)));
    let names: Vec<_> = report(&text).as_object().unwrap().keys().cloned().collect();
    assert_eq!(names.len(), 12, "{names:?}");
    assert_eq!(post("?at=tomorrow").await.0, 400);
}
