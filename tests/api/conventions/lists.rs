//! Lists, their limits and their cursors.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use local::fault::Fault;
use serde_json::{Value, json};
use shared::{
    models::folded::FoldedName,
    store::{
        Cursor,
        keys::{KeyRange, List},
    },
};
use uuid::Uuid;

use crate::harness::{
    Api, CLIENTS, CONTEXT, DOMAINS, NO_CLIENT, User, id,
    operations::{Operation, operations_where},
    path,
};

fn lists() -> Vec<&'static Operation> {
    operations_where(Operation::is_list)
}

/// An agency with three entries or more in each list.
async fn filled<'a>(api: &'a Api, org: &str) -> User<'a> {
    let owner = api.agency(org).await;
    for n in 0..5 {
        owner.client(&format!("Client {n}")).await;
        owner.custom_domain(&format!("p{n}.acme.com")).await;
    }
    owner
}

async fn first_cursor(user: &User<'_>, path: &str) -> String {
    let page = user.get(&format!("{path}?limit=1")).await.expect(200);
    page["nextCursor"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_limit_is_an_integer_from_1_to_1000() {
    let api = Api::start().await;
    let owner = filled(&api, "org_acme").await;
    for Operation { path, .. } in lists() {
        let all = owner.get(path).await.expect(200);
        for limit in ["999", "1000", "%31%30%30"] {
            assert_eq!(owner.get(&format!("{path}?limit={limit}")).await.expect(200), all);
        }
        for limit in [
            "0",
            "-1",
            "1001",
            "65537",
            "18446744073709551617",
            "1.0",
            "1e2",
            "0x10",
            "%2B5",
            "%205",
            "%D9%A1",
            "ten",
            "1,2",
        ] {
            let answer = owner.get(&format!("{path}?limit={limit}")).await;
            assert_eq!(answer.status, 400, "{limit}");
            answer.problem(400, "invalid-parameter");
        }
    }
}

#[tokio::test]
async fn cursors_lead_through_a_list_once() {
    let api = Api::start().await;
    let owner = filled(&api, "org_acme").await;
    for Operation { path, .. } in lists() {
        let all = owner.get(path).await.expect(200);
        assert_eq!(all["nextCursor"], Value::Null);
        let all = all["items"].as_array().unwrap();
        for limit in 1..=all.len() + 1 {
            let (mut items, mut pages, mut cursor) = (Vec::new(), 0, String::new());
            loop {
                let page = owner
                    .get(&format!("{path}?limit={limit}{cursor}"))
                    .await
                    .expect(200);
                let entries = page["items"].as_array().unwrap();
                assert!(entries.len() <= limit);
                items.extend(entries.iter().cloned());
                pages += 1;
                match page["nextCursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(&items, all, "{path} {limit}");
            assert_eq!(pages, all.len().div_ceil(limit), "no page is empty");
        }
    }
}

#[tokio::test]
async fn a_cursor_stays_valid_when_its_entry_is_deleted() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let (first, second) = (owner.client("First").await, owner.client("Second").await);
    let next = format!("{CLIENTS}?cursor={}", first_cursor(&owner, CLIENTS).await);
    for (gone, left) in [(first, json!([second])), (second, json!([]))] {
        owner.delete(&path(&gone)).await.expect(204);
        let page = owner.get(&next).await.expect(200);
        assert_eq!(page, json!({"items": left, "nextCursor": null}));
    }
}

/// Every rejection has the same words, for every caller.
#[tokio::test]
async fn a_cursor_is_valid_for_its_organization_and_its_list_alone() {
    let api = Api::start().await;
    let users = [
        filled(&api, "org_acme").await,
        filled(&api, "org_other").await,
        // Neither has lists, hence no cursors.
        api.user("org_none", "owner"),
        api.user(NO_CLIENT, "owner"),
    ];
    let mut cursors = Vec::new();
    for user in &users[..2] {
        for Operation { path, .. } in lists() {
            let cursor = first_cursor(user, path).await;
            assert!(cursor.len() <= 512);
            cursors.push((cursor, path));
        }
    }
    let mut details = BTreeSet::new();
    for (place, (cursor, of)) in cursors.iter().enumerate() {
        for (index, user) in users.iter().enumerate() {
            for Operation { path, .. } in lists() {
                let answer = user.get(&format!("{path}?cursor={cursor}")).await;
                if path == *of && place / lists().len() == index {
                    answer.expect(200);
                } else {
                    details.insert(answer.problem(400, "invalid-cursor")["detail"].to_string());
                }
            }
        }
    }
    let real = &cursors[0].0;
    let (head, tail) = real.split_at(real.len() / 2);
    for cursor in [
        "x",
        "null",
        "%00",
        "%FF",
        "%F0%9F%98%80",
        "AAAAAAAAAAAAAAAAAAAA",
        head,
        &real[1..],
        &format!("{real}="),
        &format!("{real}A"),
        &format!("{head}A{}", &tail[1..]),
        &format!("%20{real}"),
        &real.to_uppercase(),
        &"A".repeat(512),
        &"A".repeat(513),
        &"A".repeat(20_000),
    ] {
        for Operation { path, .. } in lists() {
            let answer = users[0].get(&format!("{path}?cursor={cursor}")).await;
            details.insert(answer.problem(400, "invalid-cursor")["detail"].to_string());
        }
    }
    assert_eq!(details.len(), 1, "{details:?}");
}

#[tokio::test]
async fn a_forged_cursor_does_not_leave_its_list() {
    let api = Api::start().await;
    let owner = filled(&api, "org_acme").await;
    let org = "org_acme".parse().unwrap();
    let cursor = first_cursor(&owner, "/agency/audit").await;
    let newest = owner.audit().await.swap_remove(0);
    let real = Cursor::encode(&List::Audit.range().scope(&org), &format!("LOG#{}", id(&newest)));
    assert_eq!(real, cursor, "this is how the API makes a cursor");
    let search = KeyRange::clients_named(&FoldedName::new("client"));
    let paths = lists().into_iter().map(|list| format!("{}?", list.path));
    for path in paths.chain([format!("{CLIENTS}?name=client&")]) {
        for range in List::ALL.map(List::range).iter().chain([&search]) {
            for sk in [
                "",
                "#",
                "#1CONFIG",
                "#3AGENCY",
                "#3CLIENTS#0",
                "A",
                "CLIENT",
                "CLIENT#",
                "CLIENT$",
                "DOMAIN",
                "DOMAIN#",
                "IDEM#",
                "LOG",
                "LOG#",
                "LOG$",
                "NAMED#acme",
                "SLUG#acme",
                "VERIFY",
                "Z",
                "\u{10FFFF}",
            ] {
                let forged = Cursor::encode(&range.scope(&org), sk);
                let answer = owner.get(&format!("{path}cursor={forged}")).await;
                assert_eq!(answer.status, 400, "{path} {range:?} {sk:?}: {answer:?}");
                answer.problem(400, "invalid-cursor");
            }
        }
    }
}

#[tokio::test]
async fn a_made_up_cursor_is_no_way_into_a_list_without_agency_mode() {
    let api = Api::start().await;
    let stranger = api.user("org_none", "owner");
    let owner = api.agency("org_acme").await;
    let search = KeyRange::clients_named(&FoldedName::new("a"));
    for (path, range, sk) in [
        (CLIENTS, List::Clients.range(), "CLIENT#cli_x"),
        ("/agency/clients?name=a", search, "NAMED#a\u{1F}cli_x"),
        (DOMAINS, List::Domains.range(), "DOMAIN#dom_x"),
        ("/agency/audit", List::Audit.range(), "LOG#a"),
    ] {
        let cursor = |org: &str| Cursor::encode(&range.scope(&org.parse().unwrap()), sk);
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{joint}");
        let answer = stranger
            .get(&format!("{path}cursor={}", cursor("org_none")))
            .await;
        answer.problem(403, "agency-not-enabled");
        let page = owner.get(&format!("{path}cursor={}", cursor("org_acme"))).await;
        assert_eq!(page.expect(200), json!({"items": [], "nextCursor": null}));
    }
}

#[tokio::test]
async fn each_page_takes_one_query() {
    let api = Api::counted().await;
    let owner = filled(&api, "org_acme").await;
    for list in lists() {
        api.proxy().take_counts();
        let cursor = first_cursor(&owner, &list.path).await;
        let next = owner.get(&format!("{}?limit=1&cursor={cursor}", list.path)).await;
        assert_eq!(next.expect(200)["items"].as_array().unwrap().len(), 1);
        assert_eq!(
            api.proxy().take_counts(),
            [("Query".to_owned(), 2)].into(),
            "{}",
            list.path
        );
    }
}

#[tokio::test]
async fn a_query_that_dynamodb_ends_early_goes_on() {
    let api = Api::counted().await;
    let owner = filled(&api, "org_acme").await;
    owner.subdomain("acme").await;
    for path in [CLIENTS, DOMAINS, "/agency/audit", "/agency/overview", CONTEXT] {
        let is_list = lists().iter().any(|list| list.path == path);
        let expected = owner.get(path).await.expect(200);
        for rows in 0..4 {
            api.inject(Fault::end_page(rows));
            let answer = owner.get(path).await.expect(200);
            if !is_list {
                assert_eq!(answer, expected, "{path} {rows}");
                continue;
            }
            // A page may be short, but it is not the end.
            let mut items = answer["items"].as_array().unwrap().clone();
            let mut cursor = answer["nextCursor"].clone();
            while let Some(next) = cursor.as_str() {
                let page = owner.get(&format!("{path}?cursor={next}")).await.expect(200);
                items.extend(page["items"].as_array().unwrap().clone());
                cursor = page["nextCursor"].clone();
            }
            assert_eq!(json!(items), expected["items"], "{path} {rows}");
        }
    }
    api.assert_faults_met();
}

#[tokio::test]
async fn a_page_may_be_shorter_than_its_limit_and_only_null_is_the_end() {
    // DynamoDB ends a page at 1 MB. The API ends it at 4 MiB of JSON, which writes a control character as six bytes.
    for text in ["x".repeat(300_000), "\u{1}".repeat(150_000)] {
        let api = Api::start().await;
        let owner = api.agency("org_acme").await;
        let entry = api.items("org_acme", "LOG#").await.swap_remove(0);
        let padding = AttributeValue::M([("x".to_owned(), AttributeValue::S(text))].into());
        for _ in 0..9 {
            let id = format!("log_{}", Uuid::now_v7());
            let mut item = entry.clone();
            item.insert("SK".to_owned(), AttributeValue::S(format!("LOG#{id}")));
            item.insert("id".to_owned(), AttributeValue::S(id));
            item.insert("after".to_owned(), padding.clone());
            let put = api.client.put_item().table_name(api.table());
            put.set_item(Some(item)).send().await.unwrap();
        }
        let mut pages = vec![owner.get("/agency/audit").await.expect(200)];
        while let Some(cursor) = pages.last().unwrap()["nextCursor"].as_str() {
            let page = owner.get(&format!("/agency/audit?cursor={cursor}")).await;
            pages.push(page.expect(200));
        }
        let items = pages.iter().map(|page| page["items"].as_array().unwrap());
        let counts: Vec<_> = items.clone().map(Vec::len).collect();
        assert_eq!(pages.len(), 3, "{counts:?}");
        let items: Vec<_> = items.flatten().collect();
        assert_eq!(items.len(), 10);
        assert!(items.is_sorted_by(|newer, older| id(newer) > id(older)));
        assert_eq!(items[9]["action"], "agency.enabled");
    }
}
