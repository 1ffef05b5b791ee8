//! What a sweep checks, what it costs, and what it does about faults.

use std::time::Duration;

use ::reverify::{Report, Selection, sweep};
use aws_sdk_dynamodb::types::AttributeValue;
use local::fault::Fault;
use serde_json::{Value, json};
use shared::{
    models::time::Timestamp,
    store::{DueLookup, keys::DUE_SHARDS},
};
use uuid::Uuid;

use super::{LONG, counts, domains, entries, network, serve, statuses, system};
use crate::harness::{Api, DAY, MINUTE, id};

#[tokio::test]
async fn a_sweep_checks_the_due_domains_and_reports_them() {
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
    assert_eq!(counts(&api, &domains).await["verified"], 4);

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
async fn every_id_has_the_time_of_its_entry_also_after_a_run_as_of_a_later_time() {
    let api = Api::start().await;
    let owner = api.agency("org_a").await;
    owner.custom_domain("portal.acme.test").await;
    let later = api.app.clock.now() + 200 * DAY;
    let report = local::reverify::run(&api.app, &network(&api), Some(later))
        .await
        .unwrap();
    assert_eq!((report.checked, report.failed), (1, 1), "{report:?}");
    owner.subdomain("acmeword").await;
    let audit = owner.audit().await;
    let time = |entry: &Value| entry["at"].as_str().unwrap().to_owned();
    assert_eq!(audit.len(), 4);
    assert_eq!(time(&audit[0]), later.to_string());
    assert!(audit.is_sorted_by_key(|entry| std::cmp::Reverse(time(entry))));
    for entry in &audit {
        let id = Uuid::try_parse(id(entry).split_once('_').unwrap().1).unwrap();
        let (seconds, _) = id.get_timestamp().unwrap().to_unix();
        let created = Timestamp::from_seconds(i64::try_from(seconds).unwrap());
        assert_eq!(created.to_string(), time(entry));
    }
}

/// The index is read page by page, while `verify` and other sweeps change when domains are due.
#[tokio::test]
async fn a_domain_with_two_entries_in_the_index_is_due_once() {
    let api = Api::build(system()).await;
    let domains = domains(&api, 2).await;
    let shards = async || {
        let mut due = Vec::new();
        for shard in 0..DUE_SHARDS {
            let later = api.app.clock.now() + 365 * DAY;
            due.extend(api.app.store.due(shard, later, None, 100).await.unwrap());
        }
        due
    };
    let mut entries = shards().await;
    api.advance(2 * MINUTE);
    assert_eq!(api.reverify().await.verified, 2);
    let new = shards().await;
    entries.splice(1..1, new.clone());
    assert_eq!((entries.len(), new.len()), (4, domains.len()));
    let found = api.app.store.look_up_due(entries).await.unwrap();
    for (entry, lookup) in found {
        assert_eq!(
            matches!(lookup, DueLookup::Due(_)),
            new.contains(&entry),
            "{entry}"
        );
    }
}

#[tokio::test]
async fn a_renewal_is_one_update_and_domains_are_read_in_batches() {
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
    assert_eq!(api.now(&domains[0]).await["check"]["attempts"], 2);
}

#[tokio::test]
async fn a_sweep_checks_more_than_a_page_of_due_domains() {
    let api = Api::build(system().set("MAX_DOMAINS", "1000")).await;
    let domains = domains(&api, 450).await;
    api.advance(2 * MINUTE);
    let report = api.reverify().await;
    assert_eq!(
        (report.due, report.checked, report.verified, report.left),
        (450, 450, 450, 0)
    );
    assert_eq!(counts(&api, &domains).await["verified"], 450);
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
        assert_eq!(api.now(domain).await["check"]["attempts"], 1);
    }
    let changes = entries(&api, &domains, "domain.verified").await;
    assert_eq!(changes, vec![1; 40]);
    counts(&api, &domains).await;
}

#[tokio::test]
async fn two_sweeps_with_different_shards_share_the_work() {
    let api = Api::build(system()).await;
    domains(&api, 10).await;
    api.advance(2 * MINUTE);
    let network = network(&api);
    let mut checked = 0;
    for shards in [0..8, 8..16] {
        let selection = Selection {
            shards: shards.collect(),
            ..Selection::default()
        };
        checked += sweep(&api.app, &network, &selection, LONG).await.unwrap().checked;
    }
    assert_eq!(checked, 10);
}

#[tokio::test]
async fn a_sweep_checks_domains_that_are_not_due_if_they_were_not_checked_since() {
    let api = Api::build(system()).await;
    let domains = domains(&api, 6).await;
    serve(&api, &domains[..4]);
    api.advance(2 * MINUTE);
    assert_eq!(api.reverify().await.verified, 4);
    api.advance(MINUTE / 2);
    assert_eq!(api.reverify().await.due, 0);
    let selection = Selection {
        unchecked_since: Some(api.app.clock.now()),
        ..Selection::default()
    };
    let network = network(&api);
    let report = sweep(&api.app, &network, &selection, LONG).await.unwrap();
    assert_eq!(
        (report.due, report.checked, report.verified),
        (6, 6, 4),
        "{report:?}"
    );
    // A repeated invocation ends, because each domain has been checked since.
    let report = sweep(&api.app, &network, &selection, LONG).await.unwrap();
    assert_eq!((report.due, report.left), (0, 0), "{report:?}");
}

#[tokio::test]
async fn a_sweep_resolves_a_name_below_the_target_even_if_nothing_is_due() {
    let api = Api::build(system()).await;
    assert!(
        !api.reverify().await.target_resolved,
        "there is no wildcard record"
    );
    let target = &api.app.config.names.target;
    api.dns
        .set_zone(&format!("*.{target}. 60 IN A 192.0.2.1\n"))
        .unwrap();
    let report = api.reverify().await;
    assert!(report.target_resolved && report.due == 0, "{report:?}");
}

/// Sets the routing of a domain, without the API. A number as routing cannot be read.
async fn set_routing(api: &Api, domain: &Value, routing: AttributeValue) {
    let sk = format!("DOMAIN#{}", id(domain));
    let agency = domain["agencyId"].as_str().unwrap();
    api.set_attribute(agency, &sk, "routing", routing).await;
}

#[tokio::test]
async fn an_unreadable_domain_is_postponed_by_a_day_and_delays_no_other() {
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
    // A day later it is readable again, and checked.
    set_routing(&api, &domains[0], AttributeValue::S("unknown".to_owned())).await;
    api.advance(DAY + MINUTE);
    api.reverify().await;
    assert_eq!(statuses(&api, &domains).await, vec!["verified"; 4]);
}

#[tokio::test]
async fn an_unreadable_holder_postpones_the_check_of_the_claim() {
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
    assert_eq!(api.reverify().await.due, 0, "the next sweep is not delayed");
    assert_eq!(api.now(&newcomer).await["status"], "pending");
}

#[tokio::test]
async fn a_conflict_in_three_attempts_leaves_the_check_due() {
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
    api.assert_faults_met();
    let report = api.reverify().await;
    assert_eq!(
        (report.due, report.checked, report.verified, report.left),
        (1, 1, 1, 0)
    );
    assert_eq!(entries(&api, &domains, "domain.verified").await, vec![1; 3]);
}

#[tokio::test]
async fn a_write_whose_response_is_lost_is_no_lost_check() {
    let api = Api::build(system().counted()).await;
    let domains = domains(&api, 3).await;
    api.advance(2 * MINUTE);
    api.inject(Fault::lose_answer().on("TransactWriteItems"));
    assert_eq!(api.reverify().await.verified, 3);
    api.advance(2 * DAY);
    api.inject(Fault::lose_answer().on("UpdateItem"));
    assert_eq!(api.reverify().await.verified, 3);
    for domain in &domains {
        assert_eq!(api.now(domain).await["check"]["attempts"], 2);
    }
    assert_eq!(entries(&api, &domains, "domain.verified").await, vec![1; 3]);
}

#[tokio::test]
async fn without_time_left_no_check_begins_and_all_domains_stay_due() {
    let api = Api::build(system()).await;
    let domains = domains(&api, 5).await;
    api.advance(2 * MINUTE);
    let report = sweep(
        &api.app,
        &network(&api),
        &Selection::default(),
        Duration::from_secs(10),
    )
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
    api.owner_of(&domains[0]).remove(&domains[0]).await;
    api.advance(2 * MINUTE);
    let report = api.reverify().await;
    assert_eq!((report.due, report.checked, report.left), (1, 1, 0));
}

#[tokio::test]
async fn the_local_server_runs_a_sweep_at_any_time_on_request() {
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
