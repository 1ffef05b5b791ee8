//! `POST …/verify`, with real DNS packets: what proves a domain, what does not, and what follows.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::join_all;
use local::{dns::ANY_PORT, system::System};
use serde_json::{Value, json};
use tokio::{net::UdpSocket, sync::Semaphore};

use crate::harness::{Answer, Api, User};

/// 2027-01-15T08:00:00Z
const START: i64 = 1_800_000_000_000;
/// A registered domain at a provider that is known, without our records.
const REGISTERED: &str = "acme.test. NS ns-1.awsdns-01.com.\nacme.test. NS ns-2.awsdns-02.net.\n";

/// A domain of a test and what its records should say.
struct Claim {
    hostname: String,
    path: String,
    token: String,
    txt: String,
    target: String,
}

impl Claim {
    async fn new(user: &User<'_>, hostname: &str) -> Self {
        let domain = user.custom_domain(hostname).await;
        let txt = domain["records"][0]["value"].as_str().unwrap().to_owned();
        let token = txt.strip_prefix("agency-verification=").unwrap().to_owned();
        Self {
            hostname: hostname.to_owned(),
            path: format!("/agency/portal-domains/{}", domain["id"].as_str().unwrap()),
            target: format!("{token}.cname.portal.localhost"),
            token,
            txt,
        }
    }

    fn cname(&self) -> String {
        format!("{}. CNAME {}.\n", self.hostname, self.target)
    }

    fn txt(&self) -> String {
        self.text(&format!("\"{}\"", self.txt))
    }

    /// A `TXT` record with this, in presentation form.
    fn text(&self, value: &str) -> String {
        format!("_agency-challenge.{}. TXT {value}\n", self.hostname)
    }

    async fn verify(&self, user: &User<'_>) -> Answer {
        user.post(&format!("{}/verify", self.path), Value::Null).await
    }
}

async fn served(api: &Api, hostname: &str) -> bool {
    let visitor = api.visitor();
    let tls = visitor
        .get(&format!("/portal/tls-check?domain={hostname}"))
        .await
        .status;
    let css = visitor
        .get(&format!("/portal/theme.css?host={hostname}"))
        .await
        .status;
    let branding = visitor
        .get(&format!("/portal/branding?host={hostname}"))
        .await
        .status;
    assert!(tls == css && css == branding, "{tls} {css} {branding}");
    tls == 200
}

async fn overview(user: &User<'_>) -> Value {
    user.get("/agency/overview").await.expect(200)
}

fn states(domain: &Value) -> Vec<&str> {
    let records = domain["records"].as_array().unwrap();
    records
        .iter()
        .map(|record| record["state"].as_str().unwrap())
        .collect()
}

/// When the domain's last check was asked for, as the table keeps it: milliseconds since 1970.
async fn slot(api: &Api, org: &str, claim: &Claim) -> Option<i64> {
    let id = claim.path.rsplit('/').next().unwrap();
    let get = api
        .client
        .get_item()
        .table_name(api.table())
        .consistent_read(true);
    let get = get.key("PK", AttributeValue::S(format!("A#{org}")));
    let get = get.key("SK", AttributeValue::S(format!("DOMAIN#{id}")));
    let item = get.send().await.unwrap().item.unwrap();
    Some(item.get("lastVerifyAt")?.as_n().unwrap().parse().unwrap())
}

async fn actions(user: &User<'_>) -> Vec<String> {
    let entries = user.audit().await;
    entries
        .iter()
        .map(|entry| entry["action"].as_str().unwrap().to_owned())
        .collect()
}

/// Stands between a system and its DNS server, resolver and name servers alike, and can fail, or keep its answers back.
struct Resolver {
    address: SocketAddr,
    state: Arc<Relay>,
}

struct Relay {
    /// A response code, 0 to pass questions on, or [`SILENT`].
    code: AtomicU8,
    upstream: OnceLock<SocketAddr>,
    /// A permit for each question that came.
    arrived: Semaphore,
    /// Questions to name servers, which desire no recursion, among them.
    direct: AtomicUsize,
    /// A question is answered when it has one of these.
    gate: Semaphore,
}

const SILENT: u8 = 255;
const SERVFAIL: u8 = 2;
const REFUSED: u8 = 5;

impl Resolver {
    async fn start() -> Self {
        let socket = Arc::new(UdpSocket::bind(ANY_PORT).await.unwrap());
        let address = socket.local_addr().unwrap();
        let state = Arc::new(Relay {
            code: AtomicU8::new(0),
            upstream: OnceLock::new(),
            arrived: Semaphore::new(0),
            direct: AtomicUsize::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS / 2),
        });
        let relay = state.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                relay.arrived.add_permits(1);
                let recursion = buffer[2] & 1;
                relay
                    .direct
                    .fetch_add(1 - usize::from(recursion), Ordering::SeqCst);
                let (relay, socket, question) = (relay.clone(), socket.clone(), buffer[..length].to_vec());
                tokio::spawn(async move {
                    relay.gate.acquire().await.unwrap().forget();
                    if let Some(answer) = relay.answer(question).await {
                        socket.send_to(&answer, from).await.unwrap();
                    }
                });
            }
        });
        Self { address, state }
    }

    /// A system that asks it, in this `DNS_MODE`.
    async fn system(&self, mode: &str) -> Api {
        let api = Api::build(
            System::builder()
                .at(START)
                .set("DNS_RESOLVERS", self.address.to_string())
                .set("DNS_AUTHORITY_PORT", self.address.port().to_string())
                .set("DNS_MODE", mode),
        )
        .await;
        self.state.upstream.set(api.dns.address()).unwrap();
        api
    }

    fn say(&self, code: u8) {
        self.state.code.store(code, Ordering::SeqCst);
    }

    /// Keeps all answers back until [`Self::release`].
    fn hold(&self) {
        let free = self.state.gate.available_permits();
        self.state.gate.forget_permits(free);
        let seen = self.state.arrived.available_permits();
        self.state.arrived.forget_permits(seen);
    }

    /// Waits for a question.
    async fn asked(&self) {
        self.state.arrived.acquire().await.unwrap().forget();
    }

    fn release(&self) {
        self.state.gate.add_permits(10_000);
    }
}

impl Relay {
    async fn answer(&self, mut question: Vec<u8>) -> Option<Vec<u8>> {
        match self.code.load(Ordering::SeqCst) {
            0 => {
                let socket = UdpSocket::bind(ANY_PORT).await.unwrap();
                socket.send_to(&question, self.upstream.get()?).await.unwrap();
                let mut buffer = [0; 4096];
                let length = socket.recv(&mut buffer).await.unwrap();
                Some(buffer[..length].to_vec())
            }
            SILENT => None,
            code => {
                // The question comes back as an answer (RFC 1035, section 4.1.1).
                question[2] |= 0x80;
                question[3] = 0x80 | code;
                Some(question)
            }
        }
    }
}

#[tokio::test]
async fn either_record_proves_and_nothing_that_only_resembles_one() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    let foreign = Claim::new(&api.agency("org_globex").await, "foreign.acme.test").await;
    type Records = Box<dyn Fn(&Claim) -> String>;
    let case = |name: &'static str, proven: bool, records: fn(&Claim) -> String| -> (_, _, Records) {
        (name, proven, Box::new(records))
    };
    let other = foreign.token.clone();
    let others = foreign.token.clone();
    let mut cases = vec![
        case("cname", true, Claim::cname),
        case("txt", true, Claim::txt),
        case("both", true, |c| c.cname() + &c.text("other")),
        case("upper-cname", true, |c| {
            format!(
                "{}. CNAME {}.\n",
                c.hostname.to_uppercase(),
                c.target.to_uppercase()
            )
        }),
        case("chain", true, |c| {
            let end = format!("b.{}. CNAME {}.\n", c.hostname, c.target);
            format!("{0}. CNAME a.{0}.\na.{0}. CNAME b.{0}.\n{end}", c.hostname)
        }),
        case("across-zones", true, |c| {
            format!(
                "{}. CNAME edge.globex.test.\nedge.globex.test. CNAME {}.\n",
                c.hostname, c.target
            )
        }),
        case("eight", true, |c| chain(c, 8)),
        case("nine", false, |c| chain(c, 9)),
        case("loop", false, |c| {
            format!("{0}. CNAME a.{0}.\na.{0}. CNAME {0}.\n", c.hostname)
        }),
        case("itself", false, |c| format!("{0}. CNAME {0}.\n", c.hostname)),
        case("strings", true, |c| {
            let (one, two) = c.txt.split_at(7);
            c.text(&format!("\"{one}\" \"{two}\""))
        }),
        case("many-strings", true, |c| {
            let parts: Vec<_> = c.txt.chars().map(|part| format!("\"{part}\"")).collect();
            c.text(&parts.join(" "))
        }),
        case("any-of-several", true, |c| {
            c.text("\"v=spf1 -all\"") + &c.text("\"agency-verification=\"") + &c.txt() + &c.text("\"zzz\"")
        }),
        case("two-halves", false, |c| {
            let (one, two) = c.txt.split_at(7);
            c.text(&format!("\"{one}\"")) + &c.text(&format!("\"{two}\""))
        }),
        case("through-a-cname", true, |c| {
            let host = &c.hostname;
            format!(
                "_agency-challenge.{host}. CNAME t.{host}.\nt.{host}. TXT \"{}\"\n",
                c.txt
            )
        }),
        case("space-before", false, |c| c.text(&format!("\" {}\"", c.txt))),
        case("space-after", false, |c| c.text(&format!("\"{} \"", c.txt))),
        case("quoted", false, |c| c.text(&format!("\"\\\"{}\\\"\"", c.txt))),
        case("prefix", false, |c| c.text(&format!("\"x{}\"", c.txt))),
        case("suffix", false, |c| c.text(&format!("\"{}0\"", c.txt))),
        case("substring", false, |c| c.text(&format!("\"a {} b\"", c.txt))),
        case("cut", false, |c| {
            c.text(&format!("\"{}\"", &c.txt[..c.txt.len() - 1]))
        }),
        case("bare-token", false, |c| c.text(&format!("\"{}\"", c.token))),
        case("upper-txt", false, |c| {
            c.text(&format!("\"{}\"", c.txt.to_uppercase()))
        }),
        case("upper-token", false, |c| {
            c.text(&format!("\"agency-verification={}\"", c.token.to_uppercase()))
        }),
        case("empty", false, |c| c.text("\"\"")),
        case("target-in-txt", false, |c| c.text(&format!("\"{}\"", c.target))),
        case("at-hostname", false, |c| {
            format!("{}. TXT \"{}\"\n", c.hostname, c.txt)
        }),
        case("below-target", false, |c| {
            format!("{}. CNAME x.{}.\n", c.hostname, c.target)
        }),
        case("target-itself", false, |c| {
            format!("{}. CNAME cname.portal.localhost.\n", c.hostname)
        }),
        case("beside-target", false, |c| {
            format!("{}. CNAME {}.portal.localhost.\n", c.hostname, c.token)
        }),
        case("doubled", false, |c| {
            format!("{}. CNAME {}.acme.test.\n", c.hostname, c.target)
        }),
        case("cname-of-challenge", false, |c| {
            format!("_agency-challenge.{}. CNAME {}.\n", c.hostname, c.target)
        }),
        case("nothing", false, |_| String::new()),
    ];
    cases.push((
        "foreign-cname",
        false,
        Box::new(move |c| format!("{}. CNAME {other}.cname.portal.localhost.\n", c.hostname)),
    ));
    cases.push((
        "foreign-txt",
        false,
        Box::new(move |c| c.text(&format!("\"agency-verification={others}\""))),
    ));
    let mut claims = Vec::new();
    for (name, ..) in &cases {
        claims.push(Claim::new(&acme, &format!("{name}.acme.test")).await);
    }
    let records = cases
        .iter()
        .zip(&claims)
        .map(|((.., records), claim)| records(claim));
    api.dns.set_zone(&records.collect::<String>()).unwrap();
    let answers = join_all(claims.iter().map(|claim| claim.verify(&acme))).await;
    for (((name, proven, _), claim), answer) in cases.iter().zip(&claims).zip(answers) {
        let domain = answer.expect(200);
        assert_eq!(
            domain["status"],
            if *proven { "verified" } else { "pending" },
            "{name}: {domain}"
        );
        assert_eq!(served(&api, &claim.hostname).await, *proven, "{name}");
        assert_eq!(domain["verifiedAt"].is_string(), *proven, "{name}");
        // Each of these is DNS's definite word.
        let level = if *proven { Value::Null } else { json!("error") };
        assert_eq!(
            domain["check"]["problem"].get("level").unwrap_or(&Value::Null),
            &level,
            "{name}"
        );
        assert_eq!(acme.get(&claim.path).await.expect(200), domain, "{name}");
    }
}

/// So many `CNAME` records, the last one to the target.
fn chain(claim: &Claim, records: usize) -> String {
    let name = |at: usize| match at {
        0 => claim.hostname.clone(),
        at if at == records => claim.target.clone(),
        at => format!("n{at}.{}", claim.hostname),
    };
    (0..records)
        .map(|at| format!("{}. CNAME {}.\n", name(at), name(at + 1)))
        .collect()
}

#[tokio::test]
async fn a_proof_among_a_hundred_records_is_found_and_more_decide_nothing() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    let hundred = Claim::new(&acme, "hundred.acme.test").await;
    let more = Claim::new(&acme, "more.acme.test").await;
    let zone = |claim: &Claim, records: usize| -> String {
        let noise = (1..records).map(|n| claim.text(&format!("\"noise-{n}\"")));
        noise.chain([claim.txt()]).collect()
    };
    api.dns
        .set_zone(&(zone(&hundred, 100) + &zone(&more, 101)))
        .unwrap();
    assert_eq!(hundred.verify(&acme).await.expect(200)["status"], "verified");
    let domain = more.verify(&acme).await.expect(200);
    assert_eq!(domain["status"], "pending");
    assert_eq!(domain["check"]["problem"]["code"], "answer-too-big");
    assert_eq!(domain["check"]["problem"]["level"], "unknown");
    assert!(domain.to_string().len() < 32 * 1024);
}

#[tokio::test]
async fn a_check_tells_what_was_seen_of_each_record() {
    let api = Api::build(System::builder().at(START).set("PORTAL_ADDRESSES", "192.0.2.1")).await;
    let acme = api.agency("org_acme").await;
    let cname = Claim::new(&acme, "cname.acme.test").await;
    let txt = Claim::new(&acme, "txt.acme.test").await;
    let wrong = Claim::new(&acme, "wrong.acme.test").await;
    let missing = Claim::new(&acme, "missing.acme.test").await;
    let apex = Claim::new(&acme, "acme.test").await;
    let records = [
        cname.cname(),
        txt.txt(),
        txt.hostname.clone() + ". A 198.51.100.7\n",
        wrong.text("\"agency-verification=0\""),
        wrong.hostname.clone() + ". CNAME ghs.googlehosted.com.\n",
        apex.txt(),
        "acme.test. A 192.0.2.1\n".to_owned(),
    ];
    api.dns.set_zone(&records.concat()).unwrap();
    let mut seen = Vec::new();
    for claim in [&cname, &txt, &wrong, &missing, &apex] {
        let domain = claim.verify(&acme).await.expect(200);
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
    let [cname, txt, wrong, missing, apex] = &seen[..] else {
        panic!()
    };
    let stands = |domain: &Value| (domain["status"].clone(), domain["routing"].clone());
    assert_eq!(stands(cname), (json!("verified"), json!("routed")));
    assert_eq!(states(cname), ["missing", "found"]);
    // Proven before the switch-over.
    assert_eq!(stands(txt), (json!("verified"), json!("elsewhere")));
    assert_eq!(states(txt)[0], "found");
    assert_ne!(states(txt)[1], "found");
    assert_eq!(stands(wrong), (json!("pending"), json!("elsewhere")));
    assert_eq!(states(wrong), ["wrong", "wrong"]);
    assert_eq!(stands(missing), (json!("pending"), json!("elsewhere")));
    assert_eq!(states(missing), ["missing", "missing"]);
    assert_eq!(stands(apex), (json!("verified"), json!("routed")));
    assert_eq!(apex["records"][1]["type"], "A");
    assert_eq!(states(apex), ["found", "found"]);

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
    for domain in &seen {
        let hosts: Vec<_> = domain["records"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["host"].clone())
            .collect();
        assert!(
            !hosts.iter().any(|host| host.as_str().unwrap().ends_with('.')),
            "{hosts:?}"
        );
    }
}

/// Who decides about a domain.
const MODES: [&str; 2] = ["authoritative", "recursive"];

#[tokio::test]
async fn name_servers_and_a_resolver_alone_prove_and_miss_and_find_the_zone() {
    for mode in MODES {
        let resolver = Resolver::start().await;
        let api = resolver.system(mode).await;
        let acme = api.agency("org_acme").await;
        let claim = Claim::new(&acme, "portal.acme.test").await;
        let apex = Claim::new(&acme, "acme.test").await;
        let (missing, proven) = (json!("record-missing"), Value::Null);
        for (records, status, problem) in [
            (String::new(), "pending", &missing),
            (claim.cname() + &apex.txt(), "verified", &proven),
            (claim.txt() + &apex.txt(), "verified", &proven),
            (String::new(), "failing", &missing),
        ] {
            api.dns.set_zone(&(REGISTERED.to_owned() + &records)).unwrap();
            api.advance(Duration::from_secs(5));
            let hosts = [
                (&claim, ["_agency-challenge.portal", "portal"]),
                (&apex, ["_agency-challenge", "@"]),
            ];
            for (claim, hosts) in hosts {
                let domain = claim.verify(&acme).await.expect(200);
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
        let direct = resolver.state.direct.load(Ordering::SeqCst);
        assert_eq!(direct > 0, mode == "authoritative", "{mode}: {direct}");
    }
}

#[tokio::test]
async fn a_domain_that_the_zone_file_does_not_have_is_not_registered() {
    let api = Api::build(System::builder().at(START).zone("globex.test. A 192.0.2.1\n")).await;
    let acme = api.agency("org_acme").await;
    for hostname in ["portal.acme.test", "acme.test", "portal.acme.com"] {
        let domain = Claim::new(&acme, hostname).await.verify(&acme).await.expect(200);
        let check = &domain["check"];
        assert_eq!(check["problem"]["code"], "domain-unregistered", "{domain}");
        assert_eq!((&check["zone"], &check["provider"]), (&Value::Null, &Value::Null));
        assert_eq!(domain["status"], "pending");
    }
    let domain = Claim::new(&acme, "portal.globex.test")
        .await
        .verify(&acme)
        .await
        .expect(200);
    assert_eq!(domain["check"]["problem"]["code"], "record-missing");
    assert_eq!(domain["check"]["zone"], "globex.test");
}

#[tokio::test]
async fn what_dns_does_not_say_changes_no_status() {
    for mode in MODES {
        nothing_changes(mode).await;
    }
}

async fn nothing_changes(mode: &str) {
    let resolver = Resolver::start().await;
    let api = resolver.system(mode).await;
    let acme = api.agency("org_acme").await;
    let proven = Claim::new(&acme, "proven.acme.test").await;
    let new = Claim::new(&acme, "new.acme.test").await;
    api.dns.set_zone(&proven.cname()).unwrap();
    let verified = proven.verify(&acme).await.expect(200);
    assert_eq!(verified["status"], "verified");
    let before = actions(&acme).await;
    for (attempt, (code, expected)) in [(SERVFAIL, "dns-servfail"), (REFUSED, "dns-refused")]
        .into_iter()
        .enumerate()
    {
        resolver.say(code);
        api.advance(Duration::from_secs(5));
        let domain = proven.verify(&acme).await.expect(200);
        assert_eq!(domain["status"], "verified");
        assert_eq!(domain["verifiedAt"], verified["verifiedAt"]);
        assert_eq!(domain["check"]["attempts"], attempt + 2);
        let problem = &domain["check"]["problem"];
        assert_eq!(
            (&problem["code"], &problem["level"]),
            (&json!(expected), &json!("unknown"))
        );
        assert!(served(&api, "proven.acme.test").await);

        let domain = new.verify(&acme).await.expect(200);
        assert_eq!(domain["status"], "pending");
        assert_eq!(domain["check"]["problem"]["level"], "unknown");
        assert_eq!(states(&domain), ["unreachable", "unreachable"]);
        assert!(!served(&api, "new.acme.test").await);
    }
    assert_eq!(actions(&acme).await, before);
    let counts = overview(&acme).await["portalDomains"].clone();
    assert_eq!(
        counts,
        json!({"total": 2, "verified": 1, "pending": 1, "failing": 0, "failed": 0})
    );
}

#[tokio::test]
async fn a_dead_resolver_is_an_unknown_within_seven_seconds() {
    join_all(MODES.map(dead_resolver)).await;
}

async fn dead_resolver(mode: &str) {
    let resolver = Resolver::start().await;
    let api = resolver.system(mode).await;
    let acme = api.agency("org_acme").await;
    let claim = Claim::new(&acme, "portal.acme.test").await;
    resolver.say(SILENT);
    let since = std::time::Instant::now();
    let domain = claim.verify(&acme).await.expect(200);
    assert!(since.elapsed() < Duration::from_secs(7), "{:?}", since.elapsed());
    assert_eq!(domain["status"], "pending");
    assert_eq!(domain["routing"], "unknown");
    let problem = &domain["check"]["problem"];
    assert_eq!(
        (&problem["code"], &problem["level"]),
        (&json!("dns-timeout"), &json!("unknown"))
    );
    assert_eq!(domain["check"]["attempts"], 1);
}

#[tokio::test]
async fn a_domain_is_checked_once_in_5_seconds() {
    let api = Api::build(System::builder().at(START)).await;
    let acme = api.agency("org_acme").await;
    let custom = Claim::new(&acme, "portal.acme.test").await;
    let other = Claim::new(&acme, "other.acme.test").await;
    let subdomain = acme.subdomain("acme").await;
    let path = format!("/agency/portal-domains/{}", subdomain["id"].as_str().unwrap());
    let of_subdomain = format!("{path}/verify");

    let first = custom.verify(&acme).await.expect(200);
    assert_eq!(acme.post(&of_subdomain, Value::Null).await.expect(200), subdomain);
    let too_soon = async |wait: &str| {
        for answer in [
            custom.verify(&acme).await,
            acme.post(&of_subdomain, Value::Null).await,
        ] {
            answer.problem(429, "too-many-requests");
            assert_eq!(answer.header("retry-after"), Some(wait));
        }
    };
    too_soon("5").await;
    api.advance(Duration::from_millis(2500));
    // A refusal does not prolong the wait.
    too_soon("3").await;
    api.advance(Duration::from_millis(2499));
    too_soon("1").await;
    // Another domain, and another's clock, do not matter.
    other.verify(&acme).await.expect(200);
    assert_eq!(
        acme.get(&custom.path).await.expect(200),
        first,
        "a refusal changes nothing"
    );

    api.advance(Duration::from_millis(1));
    let second = custom.verify(&acme).await.expect(200);
    assert_eq!(second["check"]["attempts"], 2);
    assert_eq!(second["check"]["checkedAt"], "2027-01-15T08:00:05Z");
    assert_eq!(acme.post(&of_subdomain, Value::Null).await.expect(200), subdomain);
    assert_eq!(acme.get(&path).await.expect(200), subdomain);
    assert_eq!(actions(&acme).await.len(), 4, "enable and three creations");
}

#[tokio::test]
async fn the_time_of_update_moves_with_status_routing_and_records_alone() {
    let api = Api::build(System::builder().at(START)).await;
    let acme = api.agency("org_acme").await;
    let claim = Claim::new(&acme, "portal.acme.test").await;
    let times = async || {
        api.advance(Duration::from_secs(10));
        let domain = claim.verify(&acme).await.expect(200);
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
    api.dns.set_zone(&claim.cname()).unwrap();
    assert_eq!(times().await, at("30", "30", Some("30")));
    assert_eq!(times().await, at("30", "40", Some("30")));
    api.dns.set_zone(&(claim.cname() + &claim.txt())).unwrap();
    assert_eq!(times().await, at("50", "50", Some("30")), "the TXT came too");
    assert_eq!(claim.verify(&acme).await.status, 429);
    let domain = acme.get(&claim.path).await.expect(200);
    assert_eq!(domain["check"]["attempts"], 5);
    assert_eq!(domain["createdAt"], "2027-01-15T08:00:00Z");
}

#[tokio::test]
async fn a_proof_leaves_one_entry_and_a_check_that_changes_nothing_none() {
    let api = Api::build(System::builder().at(START).zone(REGISTERED)).await;
    let acme = api.agency("org_acme").await;
    let claim = Claim::new(&acme, "portal.acme.test").await;
    claim.verify(&acme).await.expect(200);
    assert_eq!(actions(&acme).await, ["domain.created", "agency.enabled"]);
    api.dns.set_zone(&claim.cname()).unwrap();
    api.advance(Duration::from_secs(5));
    let admin = api.user("org_acme", "admin");
    let answer = claim.verify(&admin).await;
    answer.expect(200);
    api.advance(Duration::from_secs(5));
    claim.verify(&acme).await.expect(200);
    claim.verify(&acme).await.problem(429, "too-many-requests");
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
            "target": {"type": "domain", "id": claim.path.rsplit('/').next().unwrap()},
            "requestId": answer.header("x-request-id").unwrap(),
            "before": {"status": "pending", "routing": "elsewhere", "problem": missing},
            "after": {"status": "verified", "routing": "routed", "problem": null},
        })
    );
}

#[tokio::test]
async fn a_lost_proof_is_failing_and_still_served_and_may_come_back() {
    let api = Api::build(System::builder().at(START)).await;
    let acme = api.agency("org_acme").await;
    acme.subdomain("acme").await;
    let claim = Claim::new(&acme, "portal.acme.test").await;
    let counts = async || {
        let seen = overview(&acme).await;
        let of = |status: &str| seen["portalDomains"][status].as_u64().unwrap();
        let counts = [
            of("total"),
            of("verified"),
            of("pending"),
            of("failing"),
            of("failed"),
        ];
        (counts, seen["primaryDomain"].as_str().unwrap().to_owned())
    };
    let expected = |counts: [u64; 5], primary: &str| (counts, primary.to_owned());
    assert_eq!(counts().await, expected([2, 1, 1, 0, 0], "acme.portal.localhost"));
    let check = async |zone: &str| {
        api.dns.set_zone(zone).unwrap();
        api.advance(Duration::from_secs(5));
        claim.verify(&acme).await.expect(200)
    };
    // Proven, but its traffic goes elsewhere: no links yet.
    check(&claim.txt()).await;
    assert_eq!(counts().await, expected([2, 2, 0, 0, 0], "acme.portal.localhost"));
    check(&(claim.txt() + &claim.cname())).await;
    assert_eq!(counts().await, expected([2, 2, 0, 0, 0], "portal.acme.test"));
    let context = acme.get("/portal/context").await.expect(200);
    assert_eq!(
        context["domain"],
        json!({"hostname": "portal.acme.test", "type": "custom", "status": "verified"})
    );

    let failing = check("").await;
    assert_eq!(failing["status"], "failing");
    assert_eq!(failing["check"]["problem"]["level"], "error");
    assert_eq!(counts().await, expected([2, 1, 0, 1, 0], "acme.portal.localhost"));
    assert!(served(&api, "portal.acme.test").await);
    assert_eq!(actions(&acme).await[0], "domain.failing");

    assert_eq!(check(&claim.cname()).await["status"], "verified");
    assert_eq!(counts().await, expected([2, 2, 0, 0, 0], "portal.acme.test"));
    assert_eq!(
        actions(&acme).await[..3],
        ["domain.verified", "domain.failing", "domain.verified"]
    );

    acme.delete(&claim.path).await.expect(204);
    assert_eq!(counts().await, expected([1, 1, 0, 0, 0], "acme.portal.localhost"));
    assert!(!served(&api, "portal.acme.test").await);
}

#[tokio::test]
async fn the_oldest_routed_custom_domain_is_primary() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    acme.subdomain("acme").await;
    let mut claims = Vec::new();
    for name in ["z.acme.test", "m.acme.test", "a.acme.test"] {
        claims.push(Claim::new(&acme, name).await);
    }
    api.dns
        .set_zone(&claims.iter().map(Claim::cname).collect::<String>())
        .unwrap();
    let primary = async || {
        overview(&acme).await["primaryDomain"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    // The oldest by creation, in whatever order they were proven.
    for (claim, expected) in claims
        .iter()
        .rev()
        .zip(["a.acme.test", "m.acme.test", "z.acme.test"])
    {
        claim.verify(&acme).await.expect(200);
        assert_eq!(primary().await, expected);
    }
    for (claim, expected) in claims
        .iter()
        .zip(["m.acme.test", "a.acme.test", "acme.portal.localhost"])
    {
        acme.delete(&claim.path).await.expect(204);
        assert_eq!(primary().await, expected);
    }
}

#[tokio::test]
async fn a_proven_name_is_its_holders_until_that_deletes_it() {
    let api = Api::build(System::builder().at(START)).await;
    let globex = api.agency("org_globex").await;
    let acme = api.agency("org_acme").await;
    globex
        .put("/agency/branding", json!({"footerText": "Globex"}))
        .await
        .expect(200);
    acme.put("/agency/branding", json!({"footerText": "Acme"}))
        .await
        .expect(200);
    let theirs = Claim::new(&globex, "portal.acme.test").await;
    let ours = Claim::new(&acme, "portal.acme.test").await;
    let footer = async || {
        let answer = api.visitor().get("/portal/branding?host=Portal.ACME.test.").await;
        assert_eq!(answer.header("cache-control"), Some("public, max-age=60"));
        answer.expect(200)["footerText"].clone()
    };
    api.dns.set_zone(&(theirs.txt() + &ours.txt())).unwrap();
    assert_eq!(theirs.verify(&globex).await.expect(200)["status"], "verified");
    assert_eq!(footer().await, "Globex");

    let answer = ours.verify(&acme).await;
    let domain = answer.expect(200);
    assert_eq!(domain["status"], "pending");
    assert_eq!(domain["check"]["problem"]["code"], "held-elsewhere");
    assert_eq!(domain["check"]["problem"]["level"], "error");
    assert_eq!(states(&domain)[0], "found");
    let id = theirs.path.rsplit('/').next().unwrap();
    for secret in ["globex", "Globex", id] {
        assert!(!answer.text.contains(secret), "{secret}: {}", answer.text);
    }
    assert_eq!(footer().await, "Globex");
    assert_eq!(actions(&acme).await[0], "domain.created");

    globex.delete(&theirs.path).await.expect(204);
    assert!(!served(&api, "portal.acme.test").await);
    api.advance(Duration::from_secs(5));
    assert_eq!(ours.verify(&acme).await.expect(200)["status"], "verified");
    assert_eq!(footer().await, "Acme");
    // The claim of one agency that another deletes is none of its business.
    globex.delete(&ours.path).await.problem(404, "not-found");
    assert_eq!(footer().await, "Acme");
}

#[tokio::test]
async fn a_deleted_domains_records_prove_nothing_for_its_successor() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    let globex = api.agency("org_globex").await;
    let old = Claim::new(&acme, "portal.acme.test").await;
    let zone = old.cname() + &old.txt();
    api.dns.set_zone(&zone).unwrap();
    assert_eq!(old.verify(&acme).await.expect(200)["status"], "verified");
    acme.delete(&old.path).await.expect(204);
    for user in [&acme, &globex] {
        let new = Claim::new(user, "portal.acme.test").await;
        assert_eq!(new.verify(user).await.expect(200)["status"], "pending");
        assert!(!served(&api, "portal.acme.test").await);
    }
}

#[tokio::test]
async fn twenty_verifies_at_once_are_one_check() {
    let api = Api::build(System::builder().at(START)).await;
    let acme = api.agency("org_acme").await;
    let claim = Claim::new(&acme, "portal.acme.test").await;
    api.dns.set_zone(&claim.cname()).unwrap();
    let answers = join_all((0..20).map(|_| claim.verify(&acme))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.problem(429, "too-many-requests");
        assert_eq!(answer.header("retry-after"), Some("5"));
    }
    let domain = acme.get(&claim.path).await.expect(200);
    assert_eq!(
        (&domain["status"], &domain["check"]["attempts"]),
        (&json!("verified"), &json!(1))
    );
    assert_eq!(
        actions(&acme).await,
        ["domain.verified", "domain.created", "agency.enabled"]
    );
    assert_eq!(overview(&acme).await["portalDomains"]["verified"], 1);
}

#[tokio::test]
async fn two_checks_that_overlap_take_effect_once_and_agree() {
    let resolver = Resolver::start().await;
    let api = resolver.system("authoritative").await;
    let acme = api.agency("org_acme").await;
    let claim = Claim::new(&acme, "portal.acme.test").await;
    api.dns.set_zone(&claim.cname()).unwrap();
    resolver.hold();
    let (first, second, ()) = tokio::join!(
        claim.verify(&acme),
        async {
            resolver.asked().await;
            // The first one is slow, and its slot is over before it is.
            api.advance(Duration::from_secs(5));
            claim.verify(&acme).await
        },
        async {
            // Both are under way when the second one has its slot.
            while slot(&api, "org_acme", &claim).await != Some(START + 5000) {
                tokio::task::yield_now().await;
            }
            resolver.release();
        }
    );
    let domain = acme.get(&claim.path).await.expect(200);
    assert_eq!(domain["check"]["attempts"], 1);
    assert_eq!(domain["status"], "verified");
    assert_eq!(first.expect(200), domain);
    assert_eq!(second.expect(200), domain);
    assert_eq!(
        actions(&acme).await,
        ["domain.verified", "domain.created", "agency.enabled"]
    );
    assert_eq!(overview(&acme).await["portalDomains"]["verified"], 1);
}

#[tokio::test]
async fn a_domain_that_is_deleted_during_its_check_stays_deleted() {
    let resolver = Resolver::start().await;
    let api = resolver.system("authoritative").await;
    let acme = api.agency("org_acme").await;
    let claim = Claim::new(&acme, "portal.acme.test").await;
    api.dns.set_zone(&claim.cname()).unwrap();
    resolver.hold();
    let (answer, ()) = tokio::join!(claim.verify(&acme), async {
        resolver.asked().await;
        acme.delete(&claim.path).await.expect(204);
        resolver.release();
    });
    answer.problem(404, "not-found");
    acme.get(&claim.path).await.problem(404, "not-found");
    assert!(!served(&api, "portal.acme.test").await);
    assert_eq!(overview(&acme).await["portalDomains"]["total"], 0);
    assert_eq!(overview(&acme).await["primaryDomain"], Value::Null);
    assert_eq!(
        actions(&acme).await,
        ["domain.deleted", "domain.created", "agency.enabled"]
    );
    // Its name is free.
    api.advance(Duration::from_secs(5));
    let again = Claim::new(&acme, "portal.acme.test").await;
    api.dns.set_zone(&again.cname()).unwrap();
    assert_eq!(again.verify(&acme).await.expect(200)["status"], "verified");
}

#[tokio::test]
async fn of_two_agencies_that_prove_a_name_at_once_one_holds_it() {
    let resolver = Resolver::start().await;
    let api = resolver.system("authoritative").await;
    let acme = api.agency("org_acme").await;
    let globex = api.agency("org_globex").await;
    let ours = Claim::new(&acme, "portal.acme.test").await;
    let theirs = Claim::new(&globex, "portal.acme.test").await;
    api.dns.set_zone(&(ours.txt() + &theirs.txt())).unwrap();
    resolver.hold();
    let (first, second, ()) = tokio::join!(ours.verify(&acme), theirs.verify(&globex), async {
        for _ in 0..2 {
            resolver.asked().await;
        }
        resolver.release();
    });
    let mut statuses = [first.expect(200), second.expect(200)].map(|domain| {
        (
            domain["status"].as_str().unwrap().to_owned(),
            domain["check"]["problem"]["code"].clone(),
        )
    });
    statuses.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(statuses[0], ("pending".to_owned(), json!("held-elsewhere")));
    assert_eq!(statuses[1], ("verified".to_owned(), Value::Null));
    assert!(served(&api, "portal.acme.test").await);
}

#[tokio::test]
async fn a_check_needs_neither_body_nor_type_but_the_role() {
    let api = Api::build(System::builder().at(START)).await;
    let acme = api.agency("org_acme").await;
    let claim = Claim::new(&acme, "portal.acme.test").await;
    let path = format!("{}/verify", claim.path);
    api.user("org_acme", "member")
        .post(&path, Value::Null)
        .await
        .problem(403, "role-too-low");
    for body in ["", "{", "{\"status\":\"verified\"}"] {
        let headers = [("content-type", "text/plain")];
        let answer = acme.raw(http::Method::POST, &path, &headers, body).await;
        assert_eq!(answer.expect(200)["status"], "pending");
        api.advance(Duration::from_secs(5));
    }
    // A refused role has not used up the slot, and neither does another agency.
    api.agency("org_globex")
        .await
        .post(&path, Value::Null)
        .await
        .problem(404, "not-found");
    api.user("org_acme", "member")
        .post(&path, Value::Null)
        .await
        .problem(403, "role-too-low");
    acme.post(&path, Value::Null).await.expect(200);
}

#[tokio::test]
async fn a_zone_within_a_zone_on_the_same_servers_is_where_its_records_are_entered() {
    let api = Api::build(System::builder().at(START)).await;
    let acme = api.agency("org_acme").await;
    let claim = Claim::new(&acme, "portal.shop.acme.test").await;
    let inner = "shop.acme.test. NS ns1.acme.test.\nshop.acme.test. NS ns2.acme.test.\n";
    let (cname, txt) = (claim.cname(), claim.txt());
    for records in [String::new(), cname.clone(), txt.clone(), cname + &txt] {
        api.dns.set_zone(&(inner.to_owned() + &records)).unwrap();
        api.advance(Duration::from_secs(5));
        let domain = claim.verify(&acme).await.expect(200);
        let check = &domain["check"];
        assert_eq!(check["zone"], "shop.acme.test", "{records}");
        assert_eq!(check["nameservers"], json!(["ns1.acme.test", "ns2.acme.test"]));
        assert_eq!(domain["records"][1]["host"], "portal");
    }
}

#[tokio::test]
async fn a_resolver_that_knows_no_such_domain_names_no_zone_for_it() {
    let resolver = Resolver::start().await;
    let api = resolver.system("recursive").await;
    let acme = api.agency("org_acme").await;
    let claim = Claim::new(&acme, "portal.acme.test").await;
    // The top-level domain exists, and its SOA record is in the answer.
    api.dns.set_zone("globex.test. A 192.0.2.1").unwrap();
    let domain = claim.verify(&acme).await.expect(200);
    assert_eq!(domain["check"]["problem"]["code"], "record-missing");
    assert_eq!(domain["check"]["zone"], Value::Null);
    assert_eq!(domain["records"][1]["host"], "portal");
}
