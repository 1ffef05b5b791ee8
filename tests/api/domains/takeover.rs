//! A host name that more than one agency claims.

use futures::future::join_all;
use serde_json::{Value, json};

use super::{EDGE, system};
use crate::harness::{
    Api, BRANDING, DAY, MINUTE, cname, finding_codes, id, path, problem_code, relay::DnsRelay, standing, txt,
};

const NAME: &str = "portal.acme.test";

/// Two agencies that claim one name. The first has proven it by this record.
async fn held_by(record: fn(&Value) -> String) -> (Api, Value, Value) {
    let api = Api::build(system()).await;
    let holder = api.agency("org_holder").await.custom_domain(NAME).await;
    let newcomer = api.agency("org_newcomer").await.custom_domain(NAME).await;
    api.dns.set_zone(&record(&holder)).unwrap();
    assert_eq!(api.verify(&holder).await["status"], "verified");
    (api, holder, newcomer)
}

fn zone(api: &Api, records: &[String]) {
    api.dns.set_zone(&records.concat()).unwrap();
}

async fn status(api: &Api, domain: &Value) -> String {
    api.now(domain).await["status"].as_str().unwrap().to_owned()
}

/// The colour that the login page of the name has.
async fn colour(api: &Api) -> Value {
    let branding = api.visitor().get(&format!("/portal/branding?host={NAME}")).await;
    branding.expect(200)["primaryColor"].clone()
}

#[tokio::test]
async fn the_records_of_a_deleted_domain_prove_nothing() {
    let (api, holder, newcomer) = held_by(cname).await;
    api.owner_of(&holder).remove(&holder).await;
    assert!(!api.serves(NAME).await);

    let seen = api.verify(&newcomer).await;
    assert_eq!(seen["status"], "pending");
    let again = api.owner_of(&holder).custom_domain(NAME).await;
    assert_ne!(again["records"], holder["records"]);
    let seen = api.verify(&again).await;
    assert_eq!(seen["status"], "pending");
    zone(&api, &[cname(&holder), txt(&holder)]);
    for domain in [&newcomer, &again] {
        assert_eq!(api.verify(domain).await["status"], "pending");
    }
    assert!(!api.serves(NAME).await);
}

#[tokio::test]
async fn a_claim_does_not_block_the_first_agency_that_proves_the_name() {
    let api = Api::build(system()).await;
    let first = api.agency("org_first").await.custom_domain(NAME).await;
    let second = api.agency("org_second").await.custom_domain(NAME).await;
    zone(&api, &[txt(&second)]);
    assert_eq!(api.verify(&first).await["status"], "pending");
    assert_eq!(api.verify(&second).await["status"], "verified");
    // With the records of both, the holder keeps the name.
    zone(&api, &[txt(&first), txt(&second)]);
    let kept_out = api.verify(&first).await;
    assert_eq!(standing(&kept_out), ("pending", "held-elsewhere"));
    for _ in 0..5 {
        assert_eq!(api.sweep_when_due(&first).await["status"], "pending");
        assert_eq!(status(&api, &second).await, "verified");
    }
}

#[tokio::test]
async fn a_verified_apex_gives_no_right_to_names_below_it() {
    let api = Api::build(system()).await;
    let apex = api.agency("org_apex").await.custom_domain("acme.test").await;
    let below = api.agency("org_below").await.custom_domain(NAME).await;
    zone(&api, &[txt(&apex), txt(&below)]);
    for domain in [&apex, &below] {
        assert_eq!(api.verify(domain).await["status"], "verified");
    }
}

#[tokio::test]
async fn a_cname_moves_a_name_at_once_and_each_audit_log_has_its_own_side() {
    for swept in [false, true] {
        let (api, holder, newcomer) = held_by(cname).await;
        for (domain, colour) in [(&holder, "#111111"), (&newcomer, "#222222")] {
            api.owner_of(domain)
                .put(BRANDING, json!({"primaryColor": colour}))
                .await
                .expect(200);
        }
        assert_eq!(colour(&api).await, "#111111");
        zone(&api, &[cname(&newcomer)]);
        let seen = match swept {
            true => api.sweep_when_due(&newcomer).await,
            false => api.verify(&newcomer).await,
        };
        assert_eq!(standing(&seen), ("verified", "none"));
        assert_eq!(colour(&api).await, "#222222");
        let lost = api.now(&holder).await;
        assert_eq!(standing(&lost), ("failed", "moved"));
        assert!(!lost.to_string().contains("org_newcomer"));

        let log = api.owner_of(&holder).audit().await;
        assert_eq!(log[0]["action"], "domain.failed");
        assert_eq!(log[0]["actor"], json!({"type": "system", "id": null}));
        assert_eq!(log[0]["requestId"], Value::Null);
        assert_eq!(log[0]["target"]["id"], holder["id"]);
        assert!(!log[0].to_string().contains("org_newcomer") && !log[0].to_string().contains("user_1"));
        let log = api.owner_of(&newcomer).audit().await;
        assert_eq!(log[0]["action"], "domain.verified");
        assert_eq!(log[0]["requestId"].is_null(), swept);

        for (domain, verified, failed, primary) in
            [(&holder, 0, 1, Value::Null), (&newcomer, 1, 0, NAME.into())]
        {
            let overview = api.owner_of(domain).get("/agency/overview").await.expect(200);
            let counts = json!({"total": 1, "verified": verified, "pending": 0, "failing": 0, "failed": failed, "tlsNotReady": 0});
            assert_eq!(overview["portalDomains"], counts);
            assert_eq!(overview["primaryDomain"], primary);
        }
        // And back: the former holder has the same right.
        zone(&api, &[cname(&holder)]);
        assert_eq!(api.verify(&holder).await["status"], "verified");
        assert_eq!(status(&api, &newcomer).await, "failed");
    }
}

#[tokio::test]
async fn a_txt_moves_a_name_ten_minutes_after_the_holders_records_are_gone() {
    let (api, holder, newcomer) = held_by(txt).await;
    zone(&api, &[txt(&holder), txt(&newcomer)]);
    let kept_out = api.verify(&newcomer).await;
    assert_eq!(standing(&kept_out), ("pending", "held-elsewhere"));
    let text = kept_out["check"].to_string();
    let foreign = holder["records"][0]["value"].as_str().unwrap();
    assert!(text.contains(foreign), "the record to remove is shown");
    assert!(!text.contains("org_holder") && !text.contains(id(&holder)));
    let warned = api.now(&holder).await;
    assert!(finding_codes(&warned).contains(&"contested"));
    assert_eq!(problem_code(&warned), "none");

    // With both records, nothing moves.
    assert_eq!(api.sweep_when_due(&newcomer).await["status"], "pending");
    assert!(finding_codes(&api.now(&holder).await).contains(&"contested"));
    zone(&api, &[txt(&newcomer)]);
    let first_gone = api.sweep_when_due(&newcomer).await;
    assert_eq!(first_gone["status"], "pending");
    // Further checks do not make it faster.
    api.advance(5 * MINUTE);
    assert_eq!(api.verify(&newcomer).await["status"], "pending");
    assert_ne!(status(&api, &holder).await, "failed");
    // If the record is seen again, the ten minutes start again.
    zone(&api, &[txt(&holder), txt(&newcomer)]);
    assert_eq!(api.sweep_when_due(&newcomer).await["status"], "pending");
    zone(&api, &[txt(&newcomer)]);
    assert_eq!(api.sweep_when_due(&newcomer).await["status"], "pending");
    let moved = api.sweep_when_due(&newcomer).await;
    assert_eq!(standing(&moved), ("verified", "none"));
    let lost = api.now(&holder).await;
    assert_eq!(standing(&lost), ("failed", "moved"));
}

#[tokio::test]
async fn the_token_of_one_agency_proves_nothing_for_another() {
    let (api, holder, newcomer) = held_by(cname).await;
    // Whatever stands in DNS can be read by everybody; it is the holder's alone.
    zone(&api, &[cname(&holder), txt(&holder)]);
    assert_eq!(api.verify(&newcomer).await["status"], "pending");
    // Nor does a domain's own record prove another name of the same agency.
    let other = api.owner_of(&newcomer).custom_domain("www.acme.test").await;
    let value = newcomer["records"][0]["value"].as_str().unwrap();
    zone(
        &api,
        &[format!("_agency-challenge.www.acme.test. TXT \"{value}\"\n")],
    );
    assert_eq!(api.verify(&other).await["status"], "pending");
}

#[tokio::test]
async fn a_flattened_cname_keeps_a_name_but_not_against_a_proof_of_another_agency() {
    let (api, holder, newcomer) = held_by(cname).await;
    let address = format!("{NAME}. A {EDGE}\n");
    zone(&api, std::slice::from_ref(&address));
    let kept = api.sweep_when_due(&holder).await;
    assert_eq!(standing(&kept), ("verified", "none"));
    assert!(finding_codes(&kept).contains(&"cname-flattened"));
    // A flattened name proves nothing for a newcomer.
    let seen = api.verify(&newcomer).await;
    assert_eq!(standing(&seen), ("pending", "record-missing"));
    assert!(finding_codes(&seen).contains(&"cname-flattened"));

    zone(&api, &[address, txt(&newcomer)]);
    api.advance(DAY);
    let moved = api.verify(&newcomer).await;
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
        seen = api.sweep_when_due(&newcomer).await;
    }
    zone(&api, &[txt(&holder), txt(&newcomer)]);
    let swept = api.sweep_when_due(&newcomer).await;
    assert_eq!(swept["status"], "failed");
    assert!(finding_codes(&swept).contains(&"held-elsewhere"));
    let asked = api.verify(&newcomer).await;
    assert_eq!(standing(&asked), ("pending", "held-elsewhere"));
    zone(&api, &[txt(&holder), cname(&newcomer)]);
    assert_eq!(api.sweep_when_due(&newcomer).await["status"], "verified");
    assert_eq!(status(&api, &holder).await, "failed");
}

#[tokio::test]
async fn of_eight_agencies_that_prove_a_name_at_once_one_holds_it() {
    let api = Api::build(system()).await;
    let mut domains = Vec::new();
    for index in 0..8 {
        let agency = api.agency(&format!("org_{index}")).await;
        domains.push(agency.custom_domain(NAME).await);
    }
    zone(&api, &domains.iter().map(txt).collect::<Vec<_>>());
    api.advance(MINUTE);
    let all = domains.iter().map(|domain| {
        let owner = api.owner_of(domain);
        async move { owner.verify(domain).await.expect(200) }
    });
    join_all(all).await;
    let mut verified = 0;
    for domain in &domains {
        match status(&api, domain).await.as_str() {
            "verified" => verified += 1,
            other => assert_eq!(other, "pending"),
        }
    }
    assert_eq!(verified, 1);
}

#[tokio::test]
async fn a_held_name_is_its_holders_until_the_holder_deletes_it() {
    let api = Api::stopped().await;
    let globex = api.agency("org_globex").await;
    let acme = api.agency("org_acme").await;
    for (agency, text) in [(&globex, "Globex"), (&acme, "Acme")] {
        let body = json!({"footerText": text});
        agency.put(BRANDING, body).await.expect(200);
    }
    let theirs = globex.custom_domain("portal.acme.test").await;
    let ours = acme.custom_domain("portal.acme.test").await;
    let footer = async || {
        let answer = api.visitor().get("/portal/branding?host=Portal.ACME.test.").await;
        answer.expect(200)["footerText"].clone()
    };
    api.dns.set_zone(&(txt(&theirs) + &txt(&ours))).unwrap();
    assert_eq!(globex.verify(&theirs).await.expect(200)["status"], "verified");
    assert_eq!(footer().await, "Globex");

    let answer = acme.verify(&ours).await;
    let domain = answer.expect(200);
    assert_eq!(standing(&domain), ("pending", "held-elsewhere"));
    assert_eq!(domain["check"]["problem"]["level"], "error");
    assert_eq!(domain["records"][0]["state"], "found");
    for secret in ["globex", "Globex", id(&theirs)] {
        assert!(!answer.text.contains(secret), "{secret}: {}", answer.text);
    }
    assert_eq!(footer().await, "Globex");
    assert_eq!(acme.actions().await[0], "domain.created");

    globex.remove(&theirs).await;
    assert!(!api.serves("portal.acme.test").await);
    api.advance(MINUTE);
    assert_eq!(acme.verify(&ours).await.expect(200)["status"], "verified");
    assert_eq!(footer().await, "Acme");
    // An agency cannot delete the domain of another one.
    globex.delete(&path(&ours)).await.problem(404, "not-found");
    assert_eq!(footer().await, "Acme");
}

#[tokio::test]
async fn of_two_agencies_whose_checks_overlap_one_holds_the_name() {
    let relay = DnsRelay::start().await;
    let api = relay.system("authoritative").await;
    let acme = api.agency("org_acme").await;
    let globex = api.agency("org_globex").await;
    let ours = acme.custom_domain("portal.acme.test").await;
    let theirs = globex.custom_domain("portal.acme.test").await;
    api.dns.set_zone(&(txt(&ours) + &txt(&theirs))).unwrap();
    relay.hold();
    let (first, second, ()) = tokio::join!(acme.verify(&ours), globex.verify(&theirs), async {
        for _ in 0..2 {
            relay.queried().await;
        }
        relay.release();
    });
    let (first, second) = (first.expect(200), second.expect(200));
    let mut standings = [standing(&first), standing(&second)];
    standings.sort_unstable();
    assert_eq!(standings, [("pending", "held-elsewhere"), ("verified", "none")]);
    assert!(api.serves("portal.acme.test").await);
}
