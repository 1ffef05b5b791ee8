//! The rate of creations that one agency reaches: `cargo test -p api rate -- --ignored --nocapture`.

use std::time::Duration;

use futures::future::join_all;
use http::StatusCode;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::harness::{Api, CLIENTS, User};

/// The duration of a transaction in DynamoDB, in milliseconds.
const TRANSACTION_MS: std::ops::RangeInclusive<u64> = 8..=20;
const SECONDS: u32 = 5;

/// What creations at a constant rate got.
struct CreationRate {
    p50: Duration,
    p99: Duration,
    refused: usize,
}

/// Creates clients at this rate, each for the next of these agencies, whether or not the earlier ones have been answered.
async fn create(users: &[User<'_>], per_second: u32) -> CreationRate {
    let start = Instant::now();
    let creations = (0..per_second * SECONDS).map(async |n| {
        let at = start + Duration::from_secs(1) * n / per_second;
        sleep_until(at).await;
        let user = &users[n as usize % users.len()];
        let answer = user.post(CLIENTS, json!({"name": format!("Acme {n}")})).await;
        (at.elapsed(), answer.status)
    });
    let answers = join_all(creations).await;
    let mut times: Vec<_> = answers.iter().map(|(time, _)| *time).collect();
    times.sort();
    for (_, status) in &answers {
        assert!(matches!(status.as_u16(), 201 | 503), "{status}");
    }
    let refused = |(_, status): &&(_, StatusCode)| *status == StatusCode::SERVICE_UNAVAILABLE;
    CreationRate {
        p50: times[times.len() / 2],
        p99: times[times.len() * 99 / 100],
        refused: answers.iter().filter(refused).count(),
    }
}

#[tokio::test]
#[ignore = "takes a minute: .ci/full runs it"]
async fn creations_of_one_agency_beside_those_of_a_hundred() {
    println!(
        "| creations a second | one agency: p50 | p99 | `503` | a hundred agencies: p50 | p99 | `503` | ratio of p99 |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for per_second in [20, 40, 60, 80, 120] {
        let api = Api::counted().await;
        let mut agencies = Vec::new();
        for n in 0..100 {
            agencies.push(api.agency(&format!("org_{n}")).await);
        }
        api.proxy().make_transactions_last(TRANSACTION_MS);
        let one = create(&agencies[..1], per_second).await;
        let many = create(&agencies[1..], per_second).await;
        println!(
            "| {per_second} | {} ms | {} ms | {} | {} ms | {} ms | {} | {:.1} |",
            one.p50.as_millis(),
            one.p99.as_millis(),
            one.refused,
            many.p50.as_millis(),
            many.p99.as_millis(),
            many.refused,
            one.p99.as_secs_f64() / many.p99.as_secs_f64()
        );
        let created = u64::from(per_second * SECONDS) - one.refused as u64;
        let count = agencies[0].overview().await["clientCount"].as_u64();
        assert_eq!(count, Some(created));
    }
}
