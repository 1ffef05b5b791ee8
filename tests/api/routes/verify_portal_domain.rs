//! The DNS that proves a domain, with real packets.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use futures::future::join_all;
use local::{fault::Fault, system::System};
use serde_json::{Value, json};

use crate::harness::{
    Api, DAY, START, cname, id,
    logs::Lines,
    path,
    relay::{DnsRelay, REFUSED, SERVFAIL, SILENT},
    standing, token, txt,
};

/// A registered domain at a provider that is known, without our records.
const REGISTERED: &str = "acme.test. NS ns-1.awsdns-01.com.\nacme.test. NS ns-2.awsdns-02.net.\n";

fn hostname(domain: &Value) -> &str {
    domain["hostname"].as_str().unwrap()
}

/// The value of the `TXT` record that proves the domain.
fn value(domain: &Value) -> &str {
    domain["records"][0]["value"].as_str().unwrap()
}

/// The target of the `CNAME` record that proves the domain.
fn target(domain: &Value) -> String {
    format!("{}.cname.portal.localhost", token(domain))
}

/// A `TXT` record at the name of the challenge, with this value in presentation form.
fn text(domain: &Value, value: &str) -> String {
    format!("_agency-challenge.{}. TXT {value}\n", hostname(domain))
}

fn states(domain: &Value) -> Vec<&str> {
    let records = domain["records"].as_array().unwrap();
    records
        .iter()
        .map(|record| record["state"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn either_record_proves_and_nothing_that_only_resembles_one() {
    let api = Api::stopped().await;
    let acme = api.agency("org_acme").await;
    let foreign = api
        .agency("org_globex")
        .await
        .custom_domain("foreign.acme.test")
        .await;
    type Records = Box<dyn Fn(&Value) -> String>;
    let case = |name: &'static str, proven: bool, records: fn(&Value) -> String| -> (_, _, Records) {
        (name, proven, Box::new(records))
    };
    let other = token(&foreign).to_owned();
    let others = token(&foreign).to_owned();
    let mut cases = vec![
        case("cname", true, cname),
        case("txt", true, txt),
        case("both", true, |c| cname(c) + &text(c, "other")),
        case("upper-cname", true, |c| {
            format!(
                "{}. CNAME {}.\n",
                hostname(c).to_uppercase(),
                target(c).to_uppercase()
            )
        }),
        case("chain", true, |c| {
            let end = format!("b.{}. CNAME {}.\n", hostname(c), target(c));
            format!("{0}. CNAME a.{0}.\na.{0}. CNAME b.{0}.\n{end}", hostname(c))
        }),
        case("across-zones", true, |c| {
            format!(
                "{}. CNAME edge.globex.test.\nedge.globex.test. CNAME {}.\n",
                hostname(c),
                target(c)
            )
        }),
        case("eight", true, |c| chain(c, 8)),
        case("nine", false, |c| chain(c, 9)),
        case("loop", false, |c| {
            format!("{0}. CNAME a.{0}.\na.{0}. CNAME {0}.\n", hostname(c))
        }),
        case("itself", false, |c| format!("{0}. CNAME {0}.\n", hostname(c))),
        case("strings", true, |c| {
            let (one, two) = value(c).split_at(7);
            text(c, &format!("\"{one}\" \"{two}\""))
        }),
        case("many-strings", true, |c| {
            let parts: Vec<_> = value(c).chars().map(|part| format!("\"{part}\"")).collect();
            text(c, &parts.join(" "))
        }),
        case("any-of-several", true, |c| {
            text(c, "\"v=spf1 -all\"") + &text(c, "\"agency-verification=\"") + &txt(c) + &text(c, "\"zzz\"")
        }),
        case("two-halves", false, |c| {
            let (one, two) = value(c).split_at(7);
            text(c, &format!("\"{one}\"")) + &text(c, &format!("\"{two}\""))
        }),
        case("through-a-cname", true, |c| {
            let host = hostname(c);
            format!(
                "_agency-challenge.{host}. CNAME t.{host}.\nt.{host}. TXT \"{}\"\n",
                value(c)
            )
        }),
        case("space-before", false, |c| text(c, &format!("\" {}\"", value(c)))),
        case("space-after", false, |c| text(c, &format!("\"{} \"", value(c)))),
        case("quoted", false, |c| text(c, &format!("\"\\\"{}\\\"\"", value(c)))),
        case("prefix", false, |c| text(c, &format!("\"x{}\"", value(c)))),
        case("suffix", false, |c| text(c, &format!("\"{}0\"", value(c)))),
        case("substring", false, |c| text(c, &format!("\"a {} b\"", value(c)))),
        case("cut", false, |c| {
            text(c, &format!("\"{}\"", &value(c)[..value(c).len() - 1]))
        }),
        case("bare-token", false, |c| text(c, &format!("\"{}\"", token(c)))),
        case("upper-txt", false, |c| {
            text(c, &format!("\"{}\"", value(c).to_uppercase()))
        }),
        case("upper-token", false, |c| {
            text(c, &format!("\"agency-verification={}\"", token(c).to_uppercase()))
        }),
        case("empty", false, |c| text(c, "\"\"")),
        case("target-in-txt", false, |c| text(c, &format!("\"{}\"", target(c)))),
        case("at-hostname", false, |c| {
            format!("{}. TXT \"{}\"\n", hostname(c), value(c))
        }),
        case("below-target", false, |c| {
            format!("{}. CNAME x.{}.\n", hostname(c), target(c))
        }),
        case("target-itself", false, |c| {
            format!("{}. CNAME cname.portal.localhost.\n", hostname(c))
        }),
        case("beside-target", false, |c| {
            format!("{}. CNAME {}.portal.localhost.\n", hostname(c), token(c))
        }),
        case("doubled", false, |c| {
            format!("{}. CNAME {}.acme.test.\n", hostname(c), target(c))
        }),
        case("cname-of-challenge", false, |c| {
            format!("_agency-challenge.{}. CNAME {}.\n", hostname(c), target(c))
        }),
        case("nothing", false, |_| String::new()),
    ];
    cases.push((
        "foreign-cname",
        false,
        Box::new(move |c| format!("{}. CNAME {other}.cname.portal.localhost.\n", hostname(c))),
    ));
    cases.push((
        "foreign-txt",
        false,
        Box::new(move |c| text(c, &format!("\"agency-verification={others}\""))),
    ));
    let mut claims = Vec::new();
    for (name, ..) in &cases {
        claims.push(acme.custom_domain(&format!("{name}.acme.test")).await);
    }
    let records = cases
        .iter()
        .zip(&claims)
        .map(|((.., records), claim)| records(claim));
    api.dns.set_zone(&records.collect::<String>()).unwrap();
    let mut answers = Vec::new();
    for claims in claims.chunks(10) {
        answers.extend(join_all(claims.iter().map(|claim| acme.verify(claim))).await);
        api.advance(Duration::from_secs(5));
    }
    for (((name, proven, _), claim), answer) in cases.iter().zip(&claims).zip(answers) {
        let domain = answer.expect(200);
        assert_eq!(
            domain["status"],
            if *proven { "verified" } else { "pending" },
            "{name}: {domain}"
        );
        assert_eq!(api.serves(hostname(claim)).await, *proven, "{name}");
        assert_eq!(domain["verifiedAt"].is_string(), *proven, "{name}");
        // Each of these is a definite answer of DNS.
        let level = if *proven { Value::Null } else { json!("error") };
        assert_eq!(
            domain["check"]["problem"].get("level").unwrap_or(&Value::Null),
            &level,
            "{name}"
        );
        assert_eq!(api.now(claim).await, domain, "{name}");
    }
}

/// A chain of `CNAME` records that ends at the target.
fn chain(claim: &Value, records: usize) -> String {
    let name = |at: usize| match at {
        0 => hostname(claim).to_owned(),
        at if at == records => target(claim),
        at => format!("n{at}.{}", hostname(claim)),
    };
    (0..records)
        .map(|at| format!("{}. CNAME {}.\n", name(at), name(at + 1)))
        .collect()
}

#[tokio::test]
async fn a_proof_among_100_records_is_found_and_101_records_decide_nothing() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    let hundred = acme.custom_domain("hundred.acme.test").await;
    let more = acme.custom_domain("more.acme.test").await;
    let zone = |claim: &Value, records: usize| -> String {
        let noise = (1..records).map(|n| text(claim, &format!("\"noise-{n}\"")));
        noise.chain([txt(claim)]).collect()
    };
    api.dns
        .set_zone(&(zone(&hundred, 100) + &zone(&more, 101)))
        .unwrap();
    assert_eq!(acme.verify(&hundred).await.expect(200)["status"], "verified");
    let domain = acme.verify(&more).await.expect(200);
    assert_eq!(standing(&domain), ("pending", "answer-too-big"));
    assert_eq!(domain["check"]["problem"]["level"], "unknown");
    assert!(domain.to_string().len() < 32 * 1024);
}

#[tokio::test]
async fn a_check_has_the_state_of_each_record() {
    let addresses = System::builder()
        .at(START)
        .set("PORTAL_ADDRESSES", "127.0.0.80,::1");
    let api = Api::build(addresses).await;
    let acme = api.agency("org_acme").await;
    let mut claims = Vec::new();
    for label in ["cname.", "txt.", "wrong.", "missing.", ""] {
        claims.push(acme.custom_domain(&format!("{label}acme.test")).await);
    }
    let [by_cname, by_txt, wrong, _, apex] = &claims[..] else {
        panic!()
    };
    let records = [
        cname(by_cname),
        txt(by_txt),
        "txt.acme.test. A 198.51.100.7\n".to_owned(),
        text(wrong, "\"agency-verification=0\""),
        "wrong.acme.test. CNAME ghs.googlehosted.com.\n".to_owned(),
        txt(apex),
        "acme.test. A 127.0.0.80\n".to_owned(),
    ];
    api.dns.set_zone(&records.concat()).unwrap();
    let mut seen = Vec::new();
    for claim in &claims {
        let domain = acme.verify(claim).await.expect(200);
        assert_eq!(acme.get(&path(claim)).await.expect(200), domain);
        let check = &domain["check"];
        assert_eq!(check["attempts"], 1);
        assert_eq!(check["checkedAt"], "2027-01-15T08:00:00Z");
        assert!(check["nextCheckAt"].as_str().unwrap() > "2027-01-15T08:00:00Z");
        let all = check["findings"].as_array().unwrap();
        let first = all.iter().find(|finding| finding["level"] != "warning");
        assert_eq!(&check["problem"], first.unwrap_or(&Value::Null));
        assert!(all.len() <= 16);
        seen.push(domain);
    }
    let [by_cname, by_txt, wrong, missing, apex] = &seen[..] else {
        panic!()
    };
    let stands = |domain: &Value| (domain["status"].clone(), domain["routing"].clone());
    assert_eq!(stands(by_cname), (json!("verified"), json!("routed")));
    assert_eq!(states(by_cname), ["missing", "found"]);
    // Proven before its traffic is switched over.
    assert_eq!(stands(by_txt), (json!("verified"), json!("elsewhere")));
    assert_eq!(states(by_txt)[0], "found");
    assert_ne!(states(by_txt)[1], "found");
    assert_eq!(stands(wrong), (json!("pending"), json!("elsewhere")));
    assert_eq!(states(wrong), ["wrong", "wrong"]);
    assert_eq!(stands(missing), (json!("pending"), json!("elsewhere")));
    assert_eq!(states(missing), ["missing", "missing"]);
    assert_eq!(stands(apex), (json!("verified"), json!("routed")));
    assert_eq!(apex["records"][1]["type"], "A");
    assert_eq!(apex["records"][2]["type"], "AAAA");
    assert_eq!(states(apex), ["found", "found", "missing"]);

    let problem = &wrong["check"]["problem"];
    assert_eq!(
        (&problem["code"], &problem["level"]),
        (&json!("wrong-value"), &json!("error"))
    );
    let expected = problem["expected"].as_str().unwrap();
    assert!(
        wrong["records"]
            .as_array()
            .unwrap()
            .iter()
            .any(|record| record["value"] == expected)
    );
    let answer = problem["observed"][0]["answer"].as_str().unwrap();
    assert!(
        answer.contains("ghs.googlehosted.com") || answer.contains("agency-verification=0"),
        "{answer}"
    );
    assert!(!problem["observed"][0]["server"].as_str().unwrap().is_empty());
    for sentence in ["detail", "fix"] {
        assert!(problem[sentence].as_str().unwrap().ends_with('.'), "{problem}");
    }
    assert_eq!(missing["check"]["problem"]["code"], "record-missing");
}

/// What decides about a domain.
const MODES: [&str; 2] = ["authoritative", "recursive"];

#[tokio::test]
async fn both_modes_prove_and_miss_a_domain_and_find_its_zone() {
    for mode in MODES {
        let relay = DnsRelay::start().await;
        let api = relay.system(mode).await;
        let acme = api.agency("org_acme").await;
        let claim = acme.custom_domain("portal.acme.test").await;
        let apex = acme.custom_domain("acme.test").await;
        let (missing, proven) = (json!("record-missing"), Value::Null);
        for (records, status, problem) in [
            (String::new(), "pending", &missing),
            (cname(&claim) + &txt(&apex), "verified", &proven),
            (txt(&claim) + &txt(&apex), "verified", &proven),
            (String::new(), "failing", &missing),
        ] {
            api.dns.set_zone(&(REGISTERED.to_owned() + &records)).unwrap();
            api.advance(Duration::from_secs(5));
            let hosts = [
                (&claim, ["_agency-challenge.portal", "portal"]),
                (&apex, ["_agency-challenge", "@"]),
            ];
            for (claim, hosts) in hosts {
                let domain = acme.verify(claim).await.expect(200);
                let check = &domain["check"];
                let code = check["problem"].get("code").unwrap_or(&Value::Null);
                assert_eq!(
                    (domain["status"].as_str(), code),
                    (Some(status), problem),
                    "{mode}: {domain}"
                );
                assert_eq!(check["zone"], "acme.test", "{mode}");
                assert_eq!(
                    check["nameservers"],
                    json!(["ns-1.awsdns-01.com", "ns-2.awsdns-02.net"])
                );
                assert_eq!(check["provider"], "Route 53");
                for (record, host) in domain["records"].as_array().unwrap().iter().zip(hosts) {
                    assert_eq!(record["host"], host, "{mode}");
                }
            }
        }
        let direct = relay.direct();
        assert_eq!(direct > 0, mode == "authoritative", "{mode}: {direct}");
    }
}

#[tokio::test]
async fn a_name_that_no_zone_has_is_not_registered() {
    let api = Api::build(System::builder().at(START).zone("globex.test. A 192.0.2.1\n")).await;
    let acme = api.agency("org_acme").await;
    for hostname in ["portal.acme.test", "acme.test", "portal.acme.com"] {
        let claim = acme.custom_domain(hostname).await;
        let domain = acme.verify(&claim).await.expect(200);
        let check = &domain["check"];
        assert_eq!(check["problem"]["code"], "domain-unregistered", "{domain}");
        assert_eq!((&check["zone"], &check["provider"]), (&Value::Null, &Value::Null));
        assert_eq!(domain["status"], "pending");
    }
    let claim = acme.custom_domain("portal.globex.test").await;
    let domain = acme.verify(&claim).await.expect(200);
    assert_eq!(domain["check"]["problem"]["code"], "record-missing");
    assert_eq!(domain["check"]["zone"], "globex.test");
}

#[tokio::test]
async fn a_failure_of_dns_changes_no_status() {
    for mode in MODES {
        nothing_changes(mode).await;
    }
}

async fn nothing_changes(mode: &str) {
    let relay = DnsRelay::start().await;
    let api = relay.system(mode).await;
    let acme = api.agency("org_acme").await;
    let proven = acme.custom_domain("proven.acme.test").await;
    let new = acme.custom_domain("new.acme.test").await;
    api.dns.set_zone(&cname(&proven)).unwrap();
    let verified = acme.verify(&proven).await.expect(200);
    assert_eq!(verified["status"], "verified");
    let before = acme.actions().await;
    for (attempt, (code, expected)) in [(SERVFAIL, "dns-servfail"), (REFUSED, "resolver-failed")]
        .into_iter()
        .enumerate()
    {
        relay.respond_with(code);
        api.advance(Duration::from_secs(5));
        let domain = acme.verify(&proven).await.expect(200);
        assert_eq!(domain["status"], "verified");
        assert_eq!(domain["verifiedAt"], verified["verifiedAt"]);
        assert_eq!(domain["check"]["attempts"], attempt + 2);
        let problem = &domain["check"]["problem"];
        assert_eq!(
            (&problem["code"], &problem["level"]),
            (&json!(expected), &json!("unknown"))
        );
        assert!(api.serves("proven.acme.test").await);

        let domain = acme.verify(&new).await.expect(200);
        assert_eq!(domain["status"], "pending");
        assert_eq!(domain["check"]["problem"]["level"], "unknown");
        assert_eq!(states(&domain), ["unreachable", "unreachable"]);
        assert!(!api.serves("new.acme.test").await);
    }
    assert_eq!(acme.actions().await, before);
    let counts = acme.overview().await["portalDomains"].clone();
    assert_eq!(
        counts,
        json!({"total": 2, "verified": 1, "pending": 1, "failing": 0, "failed": 0, "tlsNotReady": 0})
    );
}

#[tokio::test]
async fn a_resolver_that_does_not_respond_is_unknown_within_seven_seconds() {
    join_all(MODES.map(dead_resolver)).await;
}

async fn dead_resolver(mode: &str) {
    let relay = DnsRelay::start().await;
    let api = relay.system(mode).await;
    let acme = api.agency("org_acme").await;
    let claim = acme.custom_domain("portal.acme.test").await;
    relay.respond_with(SILENT);
    let since = Instant::now();
    let domain = acme.verify(&claim).await.expect(200);
    assert!(since.elapsed() < Duration::from_secs(7), "{:?}", since.elapsed());
    assert_eq!(domain["status"], "pending");
    assert_eq!(domain["routing"], "unknown");
    let problem = &domain["check"]["problem"];
    assert_eq!(
        (&problem["code"], &problem["level"]),
        (&json!("resolver-failed"), &json!("unknown"))
    );
    assert_eq!(domain["check"]["attempts"], 1);
}

#[cfg(target_os = "linux")] // macOS has no second loopback address unless root adds it.
#[tokio::test]
async fn a_record_that_one_of_two_servers_has_is_not_everywhere_yet() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    let claim = acme.custom_domain("portal.acme.test").await;
    let zone = format!(
        "acme.test. NS ns1.acme.test.\nacme.test. NS ns2.acme.test.\nns2.acme.test. A 127.0.0.2\n$SERVER 127.0.0.2\n{}",
        cname(&claim)
    );
    api.dns.set_zone(&zone).unwrap();
    let domain = acme.verify(&claim).await.expect(200);
    assert_eq!(standing(&domain), ("pending", "not-everywhere-yet"));
    let observed = json!([
        {"server": "ns1.acme.test", "answer": "NXDOMAIN"},
        {"server": "ns2.acme.test", "answer": target(&claim) + "."},
    ]);
    assert_eq!(domain["check"]["problem"]["observed"], observed, "{domain}");
}

#[cfg(target_os = "linux")] // macOS has no second loopback address unless root adds it.
#[tokio::test]
async fn one_rogue_server_neither_proves_a_name_at_once_nor_holds_it_for_ever() {
    let api = Api::stopped().await;
    let acme = api.agency("org_acme").await;
    let claim = acme.custom_domain("portal.acme.test").await;
    let zone = "acme.test. NS ns1.acme.test.\nacme.test. NS ns2.acme.test.\nns2.acme.test. A 127.0.0.2\n";
    // The first server and the resolver have the record. The second server does not respond.
    api.dns.set_zone(&format!("{zone}{}", cname(&claim))).unwrap();
    for wait in [0, 9 * 60] {
        api.advance(Duration::from_secs(wait));
        let domain = acme.verify(&claim).await.expect(200);
        assert_eq!(standing(&domain), ("pending", "not-everywhere-yet"));
        assert_eq!(domain["check"]["problem"]["level"], "unknown");
    }
    api.advance(Duration::from_secs(61));
    assert_eq!(acme.verify(&claim).await.expect(200)["status"], "verified");
    // It responds again, and does not have the record.
    let only_first = format!("{zone}$SERVER 127.0.0.2\n$SERVER 127.0.0.1\n{}", cname(&claim));
    api.dns.set_zone(&only_first).unwrap();
    for status in ["failing"; 5].into_iter().chain(["failed"]) {
        api.advance(2 * DAY);
        api.reverify().await;
        let domain = api.now(&claim).await;
        assert_eq!(domain["status"], status, "{domain}");
    }
    assert_eq!(standing(&api.now(&claim).await), ("failed", "lost"));
}

#[tokio::test]
async fn a_check_without_a_resolver_is_in_the_metrics() {
    let relay = DnsRelay::start().await;
    let api = relay.system("authoritative").await;
    let acme = api.agency("org_acme").await;
    let claim = acme.custom_domain("portal.acme.test").await;
    let lines = Lines::collect();
    acme.verify(&claim).await.expect(200);
    relay.respond_with(REFUSED);
    api.advance(Duration::from_secs(5));
    acme.verify(&claim).await.expect(200);
    api.advance(DAY);
    let report = api.reverify().await;
    assert_eq!((report.unknown, report.resolver_failed), (1, 1));
    let counts = lines
        .end()
        .into_iter()
        .filter_map(|line| line["resolverFailed"].as_u64());
    assert_eq!(counts.collect::<Vec<_>>(), [0, 1, 1]);
}

#[tokio::test]
async fn a_domain_is_checked_once_in_5_seconds() {
    let api = Api::stopped().await;
    let acme = api.agency("org_acme").await;
    let custom = acme.custom_domain("portal.acme.test").await;
    let other = acme.custom_domain("other.acme.test").await;
    let subdomain = acme.subdomain("acme").await;

    let first = acme.verify(&custom).await.expect(200);
    assert_eq!(acme.verify(&subdomain).await.expect(200), subdomain);
    let too_soon = async |wait: &str| {
        for answer in [acme.verify(&custom).await, acme.verify(&subdomain).await] {
            answer.problem(429, "too-many-requests");
            assert_eq!(answer.header("retry-after"), Some(wait));
        }
    };
    too_soon("5").await;
    api.advance(Duration::from_millis(2500));
    // A rejection does not prolong the wait.
    too_soon("3").await;
    api.advance(Duration::from_millis(2499));
    too_soon("1").await;
    // Each domain has its own limit.
    acme.verify(&other).await.expect(200);
    assert_eq!(api.now(&custom).await, first, "a rejection changes nothing");

    api.advance(Duration::from_millis(1));
    let second = acme.verify(&custom).await.expect(200);
    assert_eq!(second["check"]["attempts"], 2);
    assert_eq!(second["check"]["checkedAt"], "2027-01-15T08:00:05Z");
    assert_eq!(acme.verify(&subdomain).await.expect(200), subdomain);
    assert_eq!(api.now(&subdomain).await, subdomain);
    assert_eq!(acme.actions().await.len(), 4, "enable and three creations");
}

#[tokio::test]
async fn updated_at_changes_with_status_routing_and_records_alone() {
    let api = Api::stopped().await;
    let acme = api.agency("org_acme").await;
    let claim = acme.custom_domain("portal.acme.test").await;
    let times = async || {
        api.advance(Duration::from_secs(10));
        let domain = acme.verify(&claim).await.expect(200);
        let time = |value: &Value| value.as_str().map(|time| time[17..19].to_owned());
        (
            time(&domain["updatedAt"]).unwrap(),
            time(&domain["check"]["checkedAt"]).unwrap(),
            time(&domain["verifiedAt"]),
        )
    };
    let at = |updated: &str, checked: &str, verified: Option<&str>| {
        (
            updated.to_owned(),
            checked.to_owned(),
            verified.map(str::to_owned),
        )
    };
    assert_eq!(times().await, at("10", "10", None), "unchecked to missing");
    assert_eq!(times().await, at("10", "20", None));
    api.dns.set_zone(&cname(&claim)).unwrap();
    assert_eq!(times().await, at("30", "30", Some("30")));
    assert_eq!(times().await, at("30", "40", Some("30")));
    api.dns.set_zone(&(cname(&claim) + &txt(&claim))).unwrap();
    assert_eq!(times().await, at("50", "50", Some("30")), "the TXT came too");
    assert_eq!(acme.verify(&claim).await.status, 429);
    let domain = api.now(&claim).await;
    assert_eq!(domain["check"]["attempts"], 5);
    assert_eq!(domain["createdAt"], "2027-01-15T08:00:00Z");
}

#[tokio::test]
async fn a_proof_leaves_one_entry_and_a_check_that_changes_nothing_none() {
    let api = Api::build(System::builder().at(START).zone(REGISTERED)).await;
    let acme = api.agency("org_acme").await;
    let claim = acme.custom_domain("portal.acme.test").await;
    acme.verify(&claim).await.expect(200);
    assert_eq!(acme.actions().await, ["domain.created", "agency.enabled"]);
    api.dns.set_zone(&cname(&claim)).unwrap();
    api.advance(Duration::from_secs(5));
    let admin = api.user("org_acme", "admin");
    let answer = admin.verify(&claim).await;
    answer.expect(200);
    api.advance(Duration::from_secs(5));
    acme.verify(&claim).await.expect(200);
    acme.verify(&claim).await.problem(429, "too-many-requests");
    let audit = acme.audit().await;
    assert_eq!(audit.len(), 3);
    let missing = &audit[0]["before"]["problem"];
    assert_eq!(missing["code"], "record-missing");
    assert_eq!(
        audit[0],
        json!({
            "id": audit[0]["id"],
            "at": "2027-01-15T08:00:05Z",
            "actor": {"type": "user", "id": "user_1"},
            "action": "domain.verified",
            "target": {"type": "domain", "id": claim["id"]},
            "requestId": answer.header("x-request-id").unwrap(),
            "before": {"status": "pending", "routing": "elsewhere", "problem": missing},
            "after": {"status": "verified", "routing": "routed", "problem": null},
        })
    );
}

#[tokio::test]
async fn an_agency_checks_10_times_in_5_seconds() {
    let api = Api::stopped().await;
    let acme = api.agency("org_acme").await;
    let mut domains = Vec::new();
    for n in 0..30 {
        domains.push(match n % 10 {
            0 => acme.subdomain(&format!("acme{n}")).await,
            _ => acme.custom_domain(&format!("portal{n}.acme.test")).await,
        });
    }
    let verify = async |range: Range<usize>| {
        let answers = join_all(domains[range].iter().map(|domain| acme.verify(domain))).await;
        let (checked, refused): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|answer| answer.status == 200);
        for answer in &refused {
            answer.problem(429, "too-many-requests");
            assert_eq!(answer.header("retry-after"), Some("5"));
        }
        checked.len()
    };
    assert_eq!(verify(0..4).await, 4);
    api.advance(Duration::from_secs(2));
    assert_eq!(verify(4..20).await, 6);
    // Another agency has its own limit.
    let other = api.agency("org_globex").await;
    let theirs = other.custom_domain("portal.globex.test").await;
    other.verify(&theirs).await.expect(200);
    // The first four are five seconds ago now, the other six are not.
    api.advance(Duration::from_secs(3));
    assert_eq!(verify(20..30).await, 4);
    api.advance(Duration::from_secs(5));
    assert_eq!(verify(10..30).await, 10);
}

#[tokio::test]
async fn a_request_is_counted_once_although_the_response_of_the_table_is_lost() {
    let api = Api::build(System::builder().at(START).counted()).await;
    let acme = api.agency("org_acme").await;
    for n in 0..11 {
        let domain = acme.custom_domain(&format!("portal{n}.acme.test")).await;
        api.inject(Fault::lose_answer().on("PutItem"));
        let expected = if n < 10 { 200 } else { 429 };
        assert_eq!(acme.verify(&domain).await.status, expected, "{n}");
    }
}

#[tokio::test]
async fn of_twenty_requests_at_once_one_checks() {
    let api = Api::stopped().await;
    let acme = api.agency("org_acme").await;
    let claim = acme.custom_domain("portal.acme.test").await;
    api.dns.set_zone(&cname(&claim)).unwrap();
    let answers = join_all((0..20).map(|_| acme.verify(&claim))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.problem(429, "too-many-requests");
        assert_eq!(answer.header("retry-after"), Some("5"));
    }
    let domain = api.now(&claim).await;
    assert_eq!(
        (&domain["status"], &domain["check"]["attempts"]),
        (&json!("verified"), &json!(1))
    );
    assert_eq!(
        acme.actions().await,
        ["domain.verified", "domain.created", "agency.enabled"]
    );
    assert_eq!(acme.overview().await["portalDomains"]["verified"], 1);
}

#[tokio::test]
async fn two_checks_that_overlap_take_effect_once_and_agree() {
    let relay = DnsRelay::start().await;
    let api = relay.system("authoritative").await;
    let acme = api.agency("org_acme").await;
    let claim = acme.custom_domain("portal.acme.test").await;
    api.dns.set_zone(&cname(&claim)).unwrap();
    relay.hold();
    let sk = format!("DOMAIN#{}", id(&claim));
    let item = async || api.items("org_acme", &sk).await.swap_remove(0);
    let (first, (second, ())) = tokio::join!(acme.verify(&claim), async {
        relay.queried().await;
        let started = item().await;
        // The first one is slow: the rate limit allows another.
        api.advance(Duration::from_secs(5));
        tokio::join!(acme.verify(&claim), async {
            // The item shows that the second one has passed the rate limit. Both are running then.
            while item().await == started {
                tokio::task::yield_now().await;
            }
            relay.release();
        })
    });
    let [mut domain, mut first, mut second] = [api.now(&claim).await, first.expect(200), second.expect(200)];
    assert_eq!(domain["check"]["attempts"], 1);
    assert_eq!(domain["status"], "verified");
    for domain in [&mut domain, &mut first, &mut second] {
        // The certificate follows in a write of its own.
        domain["tls"].take();
    }
    assert_eq!(first, domain);
    assert_eq!(second, domain);
    assert_eq!(
        acme.actions().await,
        ["domain.verified", "domain.created", "agency.enabled"]
    );
    assert_eq!(acme.overview().await["portalDomains"]["verified"], 1);
}

#[tokio::test]
async fn a_domain_that_is_deleted_during_its_check_stays_deleted() {
    let relay = DnsRelay::start().await;
    let api = relay.system("authoritative").await;
    let acme = api.agency("org_acme").await;
    let claim = acme.custom_domain("portal.acme.test").await;
    api.dns.set_zone(&cname(&claim)).unwrap();
    relay.hold();
    let (answer, ()) = tokio::join!(acme.verify(&claim), async {
        relay.queried().await;
        acme.remove(&claim).await;
        relay.release();
    });
    answer.problem(404, "not-found");
    acme.get(&path(&claim)).await.problem(404, "not-found");
    assert!(!api.serves("portal.acme.test").await);
    assert_eq!(acme.overview().await["portalDomains"]["total"], 0);
    assert_eq!(acme.overview().await["primaryDomain"], Value::Null);
    assert_eq!(
        acme.actions().await,
        ["domain.deleted", "domain.created", "agency.enabled"]
    );
    // Its name is free.
    api.advance(Duration::from_secs(5));
    let again = acme.custom_domain("portal.acme.test").await;
    api.dns.set_zone(&cname(&again)).unwrap();
    assert_eq!(acme.verify(&again).await.expect(200)["status"], "verified");
}

#[tokio::test]
async fn a_rejected_request_does_not_use_up_the_rate_limit() {
    let api = Api::stopped().await;
    let acme = api.agency("org_acme").await;
    let claim = acme.custom_domain("portal.acme.test").await;
    let other = api.agency("org_globex").await;
    other.verify(&claim).await.problem(404, "not-found");
    let member = api.user("org_acme", "member");
    member.verify(&claim).await.problem(403, "role-too-low");
    let body = json!({"status": "verified"});
    let answer = acme.post(&format!("{}/verify", path(&claim)), body).await;
    assert_eq!(answer.expect(200)["status"], "pending");
}

#[tokio::test]
async fn a_zone_within_a_zone_on_the_same_servers_is_the_domains_zone() {
    let api = Api::stopped().await;
    let acme = api.agency("org_acme").await;
    let claim = acme.custom_domain("portal.shop.acme.test").await;
    let inner = "shop.acme.test. NS ns1.acme.test.\nshop.acme.test. NS ns2.acme.test.\n";
    let (cname, txt) = (cname(&claim), txt(&claim));
    for records in [String::new(), cname.clone(), txt.clone(), cname + &txt] {
        api.dns.set_zone(&(inner.to_owned() + &records)).unwrap();
        api.advance(Duration::from_secs(5));
        let domain = acme.verify(&claim).await.expect(200);
        let check = &domain["check"];
        assert_eq!(check["zone"], "shop.acme.test", "{records}");
        assert_eq!(check["nameservers"], json!(["ns1.acme.test", "ns2.acme.test"]));
        assert_eq!(domain["records"][1]["host"], "portal");
    }
}

#[tokio::test]
async fn a_resolver_that_has_no_such_domain_names_no_zone() {
    let relay = DnsRelay::start().await;
    let api = relay.system("recursive").await;
    let acme = api.agency("org_acme").await;
    let claim = acme.custom_domain("portal.acme.test").await;
    // The top-level domain exists, and its SOA record is in the answer.
    api.dns.set_zone("globex.test. A 192.0.2.1").unwrap();
    let domain = acme.verify(&claim).await.expect(200);
    assert_eq!(domain["check"]["problem"]["code"], "domain-unregistered");
    assert_eq!(domain["check"]["zone"], Value::Null);
    assert_eq!(domain["records"][1]["host"], "portal");
}
