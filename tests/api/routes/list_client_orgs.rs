use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use futures::future::join_all;
use serde_json::{Map, json};
use shared::store::keys;
use uuid::Uuid;

use crate::harness::{Api, CLIENTS, User, encoded, id, path};

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

#[tokio::test]
async fn a_client_is_found_by_its_external_id() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let longest = "x".repeat(64);
    for external in ["1", "CRM/4711#a?b=c&d+e%20", &longest] {
        let body = json!({"name": "Acme", "externalId": external});
        let client = owner.post(CLIENTS, body).await.expect(201);
        assert_eq!(owner.by_external_id(&json!(external)).await, json!([client]));
    }
    owner.client("Without").await;
    for external in [
        "2",
        "crm/4711#a?b=c&d+e%20",
        " 1",
        "1 ",
        "é",
        "\0",
        &"x".repeat(65),
        &"x".repeat(4000),
    ] {
        assert_eq!(
            owner.by_external_id(&json!(external)).await,
            json!([]),
            "{external}"
        );
    }
    let other = api.agency("org_other").await;
    assert_eq!(other.find("externalId=1").await, json!([]));
}

#[tokio::test]
async fn a_query_selects_clients_in_one_way() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.client("Acme").await;
    for query in [
        "slug=acme&externalId=1",
        "slug=acme&name=acme",
        "externalId=1&name=acme",
        "slug=acme&externalId=1&name=acme",
        "externalId=1&limit=1",
        "externalId=1&cursor=x",
        "externalId=",
        "name=",
        "name=a&name=b",
        "name=acme&limit=0",
        // Nothing is left of these after folding.
        "name=%C2%AD",
        "name=%E2%80%8B%EF%BB%BF",
    ] {
        let answer = owner.get(&format!("{CLIENTS}?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        answer.problem(400, "invalid-parameter");
    }
}

/// The names that a search finds, by pages of this limit.
async fn search(owner: &User<'_>, name: &str, limit: usize) -> Vec<String> {
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let query = format!("{CLIENTS}?name={}&limit={limit}{cursor}", encoded(name));
        let page = owner.get(&query).await.expect(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= limit);
        names.extend(
            items
                .iter()
                .map(|client| client["name"].as_str().unwrap().to_owned()),
        );
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return names,
        }
    }
}

#[tokio::test]
async fn a_search_finds_names_by_their_beginning_in_unicode_case_folding() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let names = [
        "Straßenbau",
        "STRASSENBAU",
        "strasse",
        "Strand",
        "Müller",
        "MU\u{308}LLER & Söhne",
        "ﬁnance",
        "ＡＣＭＥ",
        "acme consulting",
        "ac\u{AD}me\u{200B}!",
        "İstanbul",
        "ΣΙΣΥΦΟΣ",
        "株式会社アクメ",
        "한글",
        "\u{AD}",
    ];
    join_all(names.map(|name| owner.client(name))).await;
    for (prefix, expected) in [
        ("strass", vec!["strasse", "STRASSENBAU", "Straßenbau"]),
        ("STRAẞ", vec!["strasse", "STRASSENBAU", "Straßenbau"]),
        ("str", vec!["Strand", "strasse", "STRASSENBAU", "Straßenbau"]),
        ("müll", vec!["Müller", "MU\u{308}LLER & Söhne"]),
        ("Mu\u{308}LL", vec!["Müller", "MU\u{308}LLER & Söhne"]),
        ("müller &", vec!["MU\u{308}LLER & Söhne"]),
        ("FI", vec!["ﬁnance"]),
        // In the order of the folded names: a space and an exclamation mark are before letters, and behind the end.
        ("Acme", vec!["ＡＣＭＥ", "acme consulting", "ac\u{AD}me\u{200B}!"]),
        ("acme ", vec!["acme consulting"]),
        ("acme\u{1F}", vec![]),
        ("i\u{307}s", vec!["İstanbul"]),
        ("is", vec![]),
        ("σισυφος", vec!["ΣΙΣΥΦΟΣ"]),
        ("㍿", vec!["株式会社アクメ"]),
        ("\u{1112}\u{1161}\u{11AB}", vec!["한글"]),
        ("cme", vec![]),
        ("strassenbaux", vec![]),
        ("*", vec![]),
        ("\u{10FFFF}", vec![]),
        ("a\0", vec![]),
    ] {
        for limit in [1, 2, 1000] {
            let mut found = search(&owner, prefix, limit).await;
            // Equal folded names are in the order of their ids.
            if let Some(equal) = found.iter().position(|name| name == "Straßenbau") {
                found.retain(|name| name != "Straßenbau");
                assert!(equal + 1 >= found.len());
                found.push("Straßenbau".to_owned());
            }
            assert_eq!(found, expected, "{prefix} {limit}");
        }
    }
    let other = api.agency("org_other").await;
    assert_eq!(other.find("name=a").await, json!([]));
}

#[tokio::test]
async fn a_search_follows_the_changes_of_a_client() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Alpha").await;
    assert_eq!(owner.find("name=al").await, json!([client]));
    let client = owner
        .patch(&path(&client), json!({"slug": "other"}))
        .await
        .expect(200);
    assert_eq!(owner.find("name=al").await, json!([client]));
    let client = owner
        .patch(&path(&client), json!({"name": "Beta"}))
        .await
        .expect(200);
    assert_eq!(owner.find("name=al").await, json!([]));
    assert_eq!(owner.find("name=BETA").await, json!([client]));
    owner.remove(&client).await;
    assert_eq!(owner.find("name=beta").await, json!([]));
}

/// A sort key has the first 320 bytes of a folded name.
#[tokio::test]
async fn a_search_for_a_long_name_finds_nothing_else() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    // 99 of these are 1,782 characters in NFKC_Casefold.
    let long = "\u{FDFA}".repeat(99);
    let mut clients = Vec::new();
    for end in ["b", "a", "B", "c"] {
        clients.push(
            owner.client(&format!("{long}{end}")).await["name"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    for limit in [1, 2, 3, 1000] {
        let found = search(&owner, &format!("{long}B"), limit).await;
        assert_eq!(found, [clients[0].as_str(), &clients[2]], "{limit}");
        assert_eq!(search(&owner, &long, limit).await, clients, "{limit}");
        assert_eq!(search(&owner, &long.repeat(2), limit).await, [""; 0], "{limit}");
    }
}

#[tokio::test]
async fn a_cursor_of_a_search_is_bound_to_its_folded_name() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let other = api.agency("org_other").await;
    for user in [&owner, &other] {
        join_all(["Acme", "Acme 2", "Acme 3"].map(|name| user.client(name))).await;
    }
    let cursor = async |query: &str| {
        let page = owner.get(&format!("{CLIENTS}?{query}&limit=1")).await.expect(200);
        page["nextCursor"].as_str().unwrap().to_owned()
    };
    let of_search = cursor("name=acme").await;
    // Another spelling of the same name.
    for query in [
        "name=acme",
        "name=ACME",
        "name=%EF%BC%A1CME",
        "name=ac%C2%ADme&limit=2",
    ] {
        owner
            .get(&format!("{CLIENTS}?{query}&cursor={of_search}"))
            .await
            .expect(200);
    }
    for query in ["name=acm", "name=acme%20", "name=b", ""] {
        let answer = owner.get(&format!("{CLIENTS}?{query}&cursor={of_search}")).await;
        answer.problem(400, "invalid-cursor");
    }
    let answer = other
        .get(&format!("{CLIENTS}?name=acme&cursor={of_search}"))
        .await;
    answer.problem(400, "invalid-cursor");
    let of_list = cursor("").await;
    let answer = owner.get(&format!("{CLIENTS}?name=acme&cursor={of_list}")).await;
    answer.problem(400, "invalid-cursor");
    // A name that begins as the other one in its first 320 bytes.
    let long = "x".repeat(400);
    let names = ["1", "2"].map(|end| format!("{}{end}", "\u{FDFA}".repeat(99)));
    join_all(names.iter().map(|name| owner.client(name))).await;
    let page = owner
        .get(&format!("{CLIENTS}?name={}&limit=1", encoded(&names[0][..297])))
        .await
        .expect(200);
    let cursor = page["nextCursor"].as_str().unwrap();
    for name in [&names[0], &names[1], &long] {
        let answer = owner
            .get(&format!("{CLIENTS}?name={}&cursor={cursor}", encoded(name)))
            .await;
        answer.problem(400, "invalid-cursor");
    }
}

#[tokio::test]
async fn a_search_without_agency_mode_is_403() {
    let api = Api::start().await;
    for org in ["org_none", crate::harness::NO_CLIENT] {
        let stranger = api.user(org, "owner");
        for query in ["name=acme", "externalId=1", "slug=acme"] {
            let answer = stranger.get(&format!("{CLIENTS}?{query}")).await;
            answer.problem(403, "agency-not-enabled");
        }
        let answer = stranger.get(&format!("{CLIENTS}?name=%C2%AD")).await;
        answer.problem(400, "invalid-parameter");
    }
}

/// Lambda's response has at most 6,291,556 bytes. DynamoDB's page has 1 MB, in which a control character is one byte.
#[tokio::test]
async fn a_page_is_short_enough_for_a_response_whatever_the_metadata_is() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let metadata: Map<_, _> = (0..20)
        .map(|n| (format!("k{n}"), json!("\u{1}".repeat(500))))
        .collect();
    let body = json!({"name": "Acme", "metadata": metadata});
    for _ in 0..10 {
        join_all((0..10).map(|_| owner.post(CLIENTS, body.clone())))
            .await
            .iter()
            .for_each(|answer| drop(answer.expect(201)));
    }
    for query in ["", "name=acme&"] {
        let (mut sizes, mut ids, mut cursor) = (Vec::new(), Vec::new(), String::new());
        loop {
            let answer = owner.get(&format!("{CLIENTS}?{query}{cursor}")).await;
            let page = answer.expect(200);
            sizes.push(answer.text.len());
            ids.extend(
                page["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|client| id(client).to_owned()),
            );
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("cursor={next}"),
                None => break,
            }
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 100);
        assert!(
            sizes[0] > 4_000_000 && sizes.iter().all(|size| *size < 4_300_000),
            "{sizes:?}"
        );
    }
}

/// Adds clients to the list as the store writes them, without a request for each. Their other copies are left out: the list
/// does not read them.
async fn add_clients(api: &Api, owner: &User<'_>, count: usize) -> Vec<String> {
    let model = owner.client_with_slug("Model", "model").await;
    let id = id(&model);
    let org = "org_acme".parse().unwrap();
    let mut models = api.all_items().await;
    models.retain(|item| {
        let key = ["PK", "SK"].map(|name| item[name].as_s().unwrap().as_str());
        key == ["A#org_acme", &format!("CLIENT#{id}")] || key == [&format!("C#{id}"), "#3CLIENT"]
    });
    let ids: Vec<_> = (0..count).map(|_| format!("cli_{}", Uuid::now_v7())).collect();
    let pairs = ids
        .iter()
        .flat_map(|new| models.iter().map(move |model| (new, model)));
    let puts = pairs.map(|(new, model)| {
        let put = model.iter().fold(PutRequest::builder(), |put, (name, value)| {
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
