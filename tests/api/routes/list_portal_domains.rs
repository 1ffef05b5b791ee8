use serde_json::json;

use super::create_portal_domain::create_nth;
use crate::harness::{Api, DOMAINS};

#[tokio::test]
async fn the_oldest_domain_is_first_and_pages_follow_deletions_and_creations() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    assert_eq!(acme.list(DOMAINS).await, [json!(null); 0]);
    let mut expected = Vec::new();
    for n in 0..7 {
        expected.push(create_nth(&acme, n).await);
    }
    assert_eq!(acme.list(DOMAINS).await, expected);
    let page = acme.get(&format!("{DOMAINS}?limit=3")).await.expect(200);
    acme.remove(&page["items"][2]).await;
    expected.push(acme.subdomain("late").await);
    let cursor = page["nextCursor"].as_str().unwrap();
    let rest = acme.list(&format!("{DOMAINS}?cursor={cursor}")).await;
    assert_eq!(rest, expected[3..]);
}
