//! Who gets a name that more than one agency wants, and who does not.

use serde_json::{Value, json};

use crate::{
    harness::Api,
    lifecycle::{
        DAY, EDGE, MINUTE, cname, code, codes, is_served, now, owner, path, system, txt, verify, when_due,
    },
};

const NAME: &str = "portal.acme.test";

/// Two agencies that claim one name; the first one has proven it by this record.
async fn held_by(record: fn(&Value) -> String) -> (Api, Value, Value) {
    let api = Api::build(system()).await;
    let holder = api.agency("org_holder").await.custom_domain(NAME).await;
    let newcomer = api.agency("org_newcomer").await.custom_domain(NAME).await;
    api.dns.set_zone(&record(&holder)).unwrap();
    assert_eq!(verify(&api, &holder).await["status"], "verified");
    (api, holder, newcomer)
}

fn zone(api: &Api, records: &[String]) {
    api.dns.set_zone(&records.concat()).unwrap();
}

async fn status(api: &Api, domain: &Value) -> String {
    now(api, domain).await["status"].as_str().unwrap().to_owned()
}

/// The agency that the name leads to, as a visitor finds out.
async fn colour(api: &Api) -> Value {
    let branding = api.visitor().get(&format!("/portal/branding?host={NAME}")).await;
    branding.expect(200)["primaryColor"].clone()
}

#[tokio::test]
async fn what_a_deleted_domain_left_in_dns_proves_nothing_for_anybody() {
    let (api, holder, newcomer) = held_by(cname).await;
    owner(&api, &holder).delete(&path(&holder)).await.expect(204);
    assert!(!is_served(&api, NAME).await);

    let seen = verify(&api, &newcomer).await;
    assert_eq!(seen["status"], "pending");
    let again = owner(&api, &holder).custom_domain(NAME).await;
    assert_ne!(again["records"], holder["records"]);
    let seen = verify(&api, &again).await;
    assert_eq!(seen["status"], "pending");
    zone(&api, &[cname(&holder), txt(&holder)]);
    for domain in [&newcomer, &again] {
        assert_eq!(verify(&api, domain).await["status"], "pending");
    }
    assert!(!is_served(&api, NAME).await);
}

#[tokio::test]
async fn a_claim_blocks_nobody_and_the_first_to_prove_it_has_the_name() {
    let api = Api::build(system()).await;
    let first = api.agency("org_first").await.custom_domain(NAME).await;
    let second = api.agency("org_second").await.custom_domain(NAME).await;
    zone(&api, &[txt(&second)]);
    assert_eq!(verify(&api, &first).await["status"], "pending");
    assert_eq!(verify(&api, &second).await["status"], "verified");
    // The records of both stand: whoever holds the name keeps it.
    zone(&api, &[txt(&first), txt(&second)]);
    let kept_out = verify(&api, &first).await;
    assert_eq!(
        (kept_out["status"].as_str(), code(&kept_out)),
        (Some("pending"), "held-elsewhere")
    );
    for _ in 0..5 {
        assert_eq!(when_due(&api, &first).await["status"], "pending");
        assert_eq!(status(&api, &second).await, "verified");
    }
}

#[tokio::test]
async fn an_apex_gives_no_right_to_the_names_below_it() {
    let api = Api::build(system()).await;
    let apex = api.agency("org_apex").await.custom_domain("acme.test").await;
    let below = api.agency("org_below").await.custom_domain(NAME).await;
    zone(&api, &[txt(&apex), txt(&below)]);
    for domain in [&apex, &below] {
        assert_eq!(verify(&api, domain).await["status"], "verified");
    }
}

#[tokio::test]
async fn a_cname_moves_a_name_at_once_and_each_log_tells_its_own_side() {
    for swept in [false, true] {
        let (api, holder, newcomer) = held_by(cname).await;
        for (domain, colour) in [(&holder, "#111111"), (&newcomer, "#222222")] {
            owner(&api, domain)
                .put("/agency/branding", json!({"primaryColor": colour}))
                .await
                .expect(200);
        }
        assert_eq!(colour(&api).await, "#111111");
        zone(&api, &[cname(&newcomer)]);
        let seen = match swept {
            true => when_due(&api, &newcomer).await,
            false => verify(&api, &newcomer).await,
        };
        assert_eq!((seen["status"].as_str(), code(&seen)), (Some("verified"), "none"));
        assert_eq!(colour(&api).await, "#222222");
        let lost = now(&api, &holder).await;
        assert_eq!((lost["status"].as_str(), code(&lost)), (Some("failed"), "moved"));
        assert!(!lost.to_string().contains("org_newcomer"));

        let log = owner(&api, &holder).audit().await;
        assert_eq!(log[0]["action"], "domain.failed");
        assert_eq!(log[0]["actor"], json!({"type": "system", "id": null}));
        assert_eq!(log[0]["requestId"], Value::Null);
        assert_eq!(log[0]["target"]["id"], holder["id"]);
        assert!(!log[0].to_string().contains("org_newcomer") && !log[0].to_string().contains("user_1"));
        let log = owner(&api, &newcomer).audit().await;
        assert_eq!(log[0]["action"], "domain.verified");
        assert_eq!(log[0]["requestId"].is_null(), swept);

        for (domain, verified, failed, primary) in
            [(&holder, 0, 1, Value::Null), (&newcomer, 1, 0, NAME.into())]
        {
            let overview = owner(&api, domain).get("/agency/overview").await.expect(200);
            let counts =
                json!({"total": 1, "verified": verified, "pending": 0, "failing": 0, "failed": failed});
            assert_eq!(overview["portalDomains"], counts);
            assert_eq!(overview["primaryDomain"], primary);
        }
        // And back: the former holder has the same right.
        zone(&api, &[cname(&holder)]);
        assert_eq!(verify(&api, &holder).await["status"], "verified");
        assert_eq!(status(&api, &newcomer).await, "failed");
    }
}

#[tokio::test]
async fn a_txt_moves_a_name_once_the_holders_records_are_gone_for_ten_minutes() {
    let (api, holder, newcomer) = held_by(txt).await;
    zone(&api, &[txt(&holder), txt(&newcomer)]);
    let kept_out = verify(&api, &newcomer).await;
    assert_eq!(
        (kept_out["status"].as_str(), code(&kept_out)),
        (Some("pending"), "held-elsewhere")
    );
    let text = kept_out["check"].to_string();
    let foreign = holder["records"][0]["value"].as_str().unwrap();
    assert!(text.contains(foreign), "the record to remove is shown");
    assert!(!text.contains("org_holder") && !text.contains(holder["id"].as_str().unwrap()));
    let warned = now(&api, &holder).await;
    assert!(codes(&warned).contains(&"contested"));
    assert_eq!(code(&warned), "none");

    // While both stand, nothing moves.
    assert_eq!(when_due(&api, &newcomer).await["status"], "pending");
    assert!(codes(&now(&api, &holder).await).contains(&"contested"));
    zone(&api, &[txt(&newcomer)]);
    let first_gone = when_due(&api, &newcomer).await;
    assert_eq!(first_gone["status"], "pending");
    // Asking does not make it faster.
    api.advance(5 * MINUTE);
    assert_eq!(verify(&api, &newcomer).await["status"], "pending");
    assert_ne!(status(&api, &holder).await, "failed");
    // Seen again, it counts from the beginning.
    zone(&api, &[txt(&holder), txt(&newcomer)]);
    assert_eq!(when_due(&api, &newcomer).await["status"], "pending");
    zone(&api, &[txt(&newcomer)]);
    assert_eq!(when_due(&api, &newcomer).await["status"], "pending");
    let moved = when_due(&api, &newcomer).await;
    assert_eq!(
        (moved["status"].as_str(), code(&moved)),
        (Some("verified"), "none")
    );
    let lost = now(&api, &holder).await;
    assert_eq!((lost["status"].as_str(), code(&lost)), (Some("failed"), "moved"));
}

#[tokio::test]
async fn the_token_of_one_agency_proves_nothing_for_another() {
    let (api, holder, newcomer) = held_by(cname).await;
    // Whatever stands in DNS can be read by everybody; it is the holder's alone.
    zone(&api, &[cname(&holder), txt(&holder)]);
    assert_eq!(verify(&api, &newcomer).await["status"], "pending");
    // Nor does a domain's own record prove another name of the same agency.
    let other = owner(&api, &newcomer).custom_domain("www.acme.test").await;
    let value = newcomer["records"][0]["value"].as_str().unwrap();
    zone(
        &api,
        &[format!("_agency-challenge.www.acme.test. TXT \"{value}\"\n")],
    );
    assert_eq!(verify(&api, &other).await["status"], "pending");
}

#[tokio::test]
async fn a_flattened_cname_keeps_a_name_but_not_against_a_newcomer() {
    let (api, holder, newcomer) = held_by(cname).await;
    let address = format!("{NAME}. A {EDGE}\n");
    zone(&api, std::slice::from_ref(&address));
    let kept = when_due(&api, &holder).await;
    assert_eq!((kept["status"].as_str(), code(&kept)), (Some("verified"), "none"));
    assert!(codes(&kept).contains(&"cname-flattened"));
    // It proves nothing for those who do not hold the name.
    let seen = verify(&api, &newcomer).await;
    assert_eq!(
        (seen["status"].as_str(), code(&seen)),
        (Some("pending"), "record-missing")
    );
    assert!(codes(&seen).contains(&"cname-flattened"));

    zone(&api, &[address, txt(&newcomer)]);
    api.advance(DAY);
    let moved = verify(&api, &newcomer).await;
    assert_eq!(
        moved["status"], "verified",
        "the holder's records were gone for a day"
    );
    assert_eq!(status(&api, &holder).await, "failed");
}

#[tokio::test]
async fn a_failed_claim_takes_a_held_name_by_cname_and_not_by_txt() {
    let (api, holder, newcomer) = held_by(txt).await;
    let mut seen = newcomer.clone();
    while seen["status"] == "pending" {
        seen = when_due(&api, &newcomer).await;
    }
    zone(&api, &[txt(&holder), txt(&newcomer)]);
    let swept = when_due(&api, &newcomer).await;
    assert_eq!(swept["status"], "failed");
    assert!(codes(&swept).contains(&"held-elsewhere"));
    let asked = verify(&api, &newcomer).await;
    assert_eq!(
        (asked["status"].as_str(), code(&asked)),
        (Some("pending"), "held-elsewhere")
    );
    zone(&api, &[txt(&holder), cname(&newcomer)]);
    assert_eq!(when_due(&api, &newcomer).await["status"], "verified");
    assert_eq!(status(&api, &holder).await, "failed");
}

#[tokio::test]
async fn of_many_who_prove_a_name_at_once_one_holds_it() {
    let api = Api::build(system()).await;
    let mut domains = Vec::new();
    for index in 0..8 {
        let agency = api.agency(&format!("org_{index}")).await;
        domains.push(agency.custom_domain(NAME).await);
    }
    zone(&api, &domains.iter().map(txt).collect::<Vec<_>>());
    api.advance(MINUTE);
    let all = domains.iter().map(|domain| {
        let path = format!("{}/verify", path(domain));
        let owner = owner(&api, domain);
        async move { owner.post(&path, Value::Null).await.expect(200) }
    });
    futures::future::join_all(all).await;
    let mut verified = 0;
    for domain in &domains {
        match status(&api, domain).await.as_str() {
            "verified" => verified += 1,
            other => assert_eq!(other, "pending"),
        }
    }
    assert_eq!(verified, 1);
}
