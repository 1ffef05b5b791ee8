use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use serde_json::json;
use shared::store::keys;
use uuid::Uuid;

use crate::harness::{Api, CLIENTS, User, id};

#[tokio::test]
async fn a_client_is_found_by_its_slug() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client_with_slug("One", "one").await;
    for slug in ["one", "%20one%0A"] {
        assert_eq!(owner.by_slug(slug).await, json!([client]));
    }
    for slug in [
        "two",
        "ONE",
        "o",
        "-one",
        "on%C3%A9",
        "%FF",
        "%00",
        "one%23",
        "%20",
        "on*",
        &"a".repeat(4000),
    ] {
        assert_eq!(owner.by_slug(slug).await, json!([]), "{slug}");
    }
    // The slug of one client leaves nothing to page through.
    for query in [
        "slug=one&limit=1",
        "limit=1&slug=one",
        "slug=one&cursor=x",
        "slug=&limit=1",
    ] {
        let answer = owner.get(&format!("{CLIENTS}?{query}")).await;
        answer.problem(400, "invalid-parameter");
    }
    let other = api.agency("org_other").await;
    assert_eq!(other.by_slug("one").await, json!([]));
}

/// Adds clients to the list as the store writes them, without a request for each. Their other items are left out: no
/// list reads them.
async fn add_clients(api: &Api, owner: &User<'_>, count: usize) -> Vec<String> {
    let model = owner.client_with_slug("Model", "model").await;
    let id = id(&model);
    let org = "org_acme".parse().unwrap();
    let call = api
        .client
        .get_item()
        .table_name(api.table())
        .set_key(Some(keys::client(&org, id.parse().unwrap()).item()));
    let item = call.send().await.unwrap().item.unwrap();
    let ids: Vec<_> = (0..count).map(|_| format!("cli_{}", Uuid::now_v7())).collect();
    let puts = ids.iter().map(|new| {
        let put = item.iter().fold(PutRequest::builder(), |put, (name, value)| {
            let value = match value {
                AttributeValue::S(text) => {
                    AttributeValue::S(text.replace(id, new).replace("model", &new[4..]))
                }
                other => other.clone(),
            };
            put.item(name, value)
        });
        WriteRequest::builder().put_request(put.build().unwrap()).build()
    });
    for chunk in puts.collect::<Vec<_>>().chunks(25) {
        let call = api
            .client
            .batch_write_item()
            .request_items(api.table(), chunk.to_vec());
        let left = call.send().await.unwrap().unprocessed_items;
        assert!(left.is_none_or(|left| left.is_empty()));
    }
    let update = api
        .client
        .update_item()
        .table_name(api.table())
        .set_key(Some(keys::client_count(&org, 0).item()))
        .update_expression("ADD clientCount :count")
        .expression_attribute_values(":count", AttributeValue::N(count.to_string()));
    update.send().await.unwrap();
    owner.remove(&model).await;
    ids
}

/// The ids of a walk over all pages, and the number of pages.
async fn walk(user: &User<'_>, limit: usize) -> (Vec<String>, usize) {
    let (mut ids, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = user
            .get(&format!("{CLIENTS}?limit={limit}{cursor}"))
            .await
            .expect(200);
        ids.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| id(item).to_owned()),
        );
        pages += 1;
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (ids, pages),
        }
    }
}

#[tokio::test]
async fn a_walk_over_2500_clients_sees_each_once_and_in_order() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let mut ids = add_clients(&api, &owner, 2500).await;
    assert_eq!(owner.overview().await["clientCount"], 2500);
    for (limit, pages) in [(1000, 3), (833, 4)] {
        assert_eq!(walk(&owner, limit).await, (ids.clone(), pages), "{limit}");
    }
    // Without a limit it is 1000.
    let page = owner.get(CLIENTS).await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 1000);

    // While clients are deleted before, at and after the cursor, and created at the end.
    let mut seen = Vec::new();
    let mut cursor = String::new();
    let mut gone = Vec::new();
    for round in 0.. {
        let page = owner
            .get(&format!("/agency/clients?limit=250{cursor}"))
            .await
            .expect(200);
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["nextCursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
        let end = 250 * (round + 1);
        if end < 2500 {
            for index in [end - 100, end - 1, end, end + 100] {
                owner
                    .delete(&format!("/agency/clients/{}", ids[index]))
                    .await
                    .expect(204);
                gone.push(ids[index].clone());
            }
            let new = owner.client(&format!("New {round}")).await;
            ids.push(new["id"].as_str().unwrap().to_owned());
        }
    }
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(seen, sorted);
    let stayed: Vec<_> = ids.iter().filter(|id| !gone.contains(id)).collect();
    assert!(stayed.iter().all(|id| seen.contains(id)));
    assert_eq!(owner.overview().await["clientCount"], stayed.len());
}
