//! The same verification against servers that others wrote: BIND, Knot and NSD, and BIND as the resolver.

use hickory_proto::{
    op::ResponseCode,
    rr::{RData, RecordType},
};
use shared::{config::DnsMode, models::domain::FindingCode as Code};
use verification::dns::{Depth, Limits, Proof, Session};

use crate::{answers, daemons::*, diagnosis, world::*};

/// A provider's server that is none of the zone's two.
const ELSEWHERE: u8 = 31;
const BOTH: [&str; 2] = ["ns1.acme.test", "ns2.acme.test"];

fn cname() -> String {
    format!("portal.acme.test. CNAME {TARGET}")
}

fn txt() -> String {
    format!("_agency-challenge.portal.acme.test. TXT \"{VALUE}\"")
}

fn outcome(seen: &Seen) -> (Proof, Vec<Code>) {
    (seen.proof, codes(seen))
}

fn place(seen: &Seen) -> (Option<&str>, Vec<&str>) {
    (
        seen.zone.as_ref().map(|zone| zone.as_str()),
        seen.nameservers.iter().map(String::as_str).collect(),
    )
}

/// What is said of `host` with these records of `acme.test.`, each row in a zone of its own.
struct Row {
    records: String,
    host: &'static str,
    proof: Proof,
    /// `None` where the proof is all that is looked at.
    codes: Option<Vec<Code>>,
}

fn row(host: &'static str, records: &str, proof: Proof, codes: &[Code]) -> Row {
    Row {
        records: records.to_owned(),
        host,
        proof,
        codes: Some(codes.to_vec()),
    }
}

fn rows() -> Vec<Row> {
    let challenge = "_agency-challenge.portal.acme.test. TXT";
    // More than UDP carries, less than is looked at; then more than that.
    let many = |count: usize| -> String {
        let others = (0..count).map(|number| format!("{challenge} \"{number:060}\"\n"));
        others.collect::<String>() + &txt()
    };
    let (first, rest) = VALUE.split_at(39);
    let strings: String = first.chars().map(|char| format!("\"{char}\" ")).collect();
    let chain = |count: usize| {
        let mut records = "portal.acme.test. CNAME c1.acme.test.\n".to_owned();
        for link in 1..count - 1 {
            records += &format!("c{link}.acme.test. CNAME c{}.acme.test.\n", link + 1);
        }
        format!("{records}c{}.acme.test. CNAME {TARGET}", count - 1)
    };
    let mut rows = vec![
        row("portal", &cname(), Proof::Cname, &[]),
        row("portal", &txt(), Proof::Txt, &[Code::NotRouted]),
        row("portal", &format!("{}\n{}", cname(), txt()), Proof::Cname, &[]),
        // Neither: there is no such name; there is, with something else; there is one below it alone.
        row("portal", "", Proof::Missing, &[Code::RecordMissing]),
        row(
            "portal",
            "portal.acme.test. MX mail.acme.test.",
            Proof::Missing,
            &[Code::RecordMissing],
        ),
        row(
            "portal",
            "a.portal.acme.test. A 192.0.2.1",
            Proof::Missing,
            &[Code::RecordMissing],
        ),
        row(
            "PORTAL",
            &txt().replace("portal", "Portal"),
            Proof::Txt,
            &[Code::NotRouted],
        ),
        row(
            "büro",
            &format!("xn--bro-hoa.acme.test. CNAME {TARGET}"),
            Proof::Cname,
            &[],
        ),
        row(
            "portal",
            &format!("{challenge} {strings}\"{rest}\""),
            Proof::Txt,
            &[Code::NotRouted],
        ),
        row("portal", &many(60), Proof::Txt, &[Code::NotRouted]),
        row("portal", &many(120), Proof::Unknown, &[Code::AnswerTooBig]),
        row(
            "portal",
            "portal.acme.test. CNAME b.acme.test.\nb.acme.test. CNAME portal.acme.test.",
            Proof::Missing,
            &[Code::CnameLoop],
        ),
        row("portal", &chain(8), Proof::Cname, &[]),
        row("portal", &chain(9), Proof::Missing, &[Code::CnameTooLong]),
        row(
            "portal",
            &format!("*.acme.test. CNAME {TARGET}"),
            Proof::Cname,
            &[Code::WildcardShadowed],
        ),
        row(
            "portal",
            &format!("_agency-challenge.portal.acme.test. CNAME c.acme.test.\nc.acme.test. TXT \"{VALUE}\""),
            Proof::Txt,
            &[Code::NotRouted],
        ),
        // A name below the owner of a DNAME record; the owner itself.
        row(
            "portal.old",
            &format!("old.acme.test. DNAME new.acme.test.\nportal.new.acme.test. CNAME {TARGET}"),
            Proof::Cname,
            &[],
        ),
        row(
            "old",
            "old.acme.test. DNAME new.acme.test.",
            Proof::Missing,
            &[Code::RecordMissing],
        ),
    ];
    // Knot takes no zone whose names have other characters than those of host names.
    let is_usual = |(records, _): &(String, _)| {
        !["CNAME agency-verification=", "CNAME https:"]
            .iter()
            .any(|name| records.contains(name))
    };
    let mistakes = diagnosis::mistakes().into_iter().filter(is_usual);
    rows.extend(mistakes.map(|(records, codes)| row("portal", &records, Proof::Missing, &codes)));
    // No server takes a CNAME beside the apex's own records: see below.
    let values = answers::values().into_iter();
    let values = values.filter(|(records, _)| !records.starts_with("acme.test. CNAME"));
    rows.extend(values.map(|(records, proof)| Row {
        records,
        host: "portal",
        proof,
        codes: None,
    }));
    rows
}

#[tokio::test]
#[ignore = "needs name servers: .ci/dns"]
async fn records_are_what_they_are_to_our_own_servers() {
    let rows: Vec<_> = rows().into_iter().enumerate().collect();
    let own = |number: usize, text: &str| text.replace("cme.test", &format!("cme{number}.test"));
    let texts: Vec<_> = rows
        .iter()
        .map(|(number, row)| (own(*number, "acme.test."), own(*number, &row.records)))
        .collect();
    let mut zones: Vec<_> = texts
        .iter()
        .map(|(apex, text)| (apex.as_str(), text.as_str()))
        .collect();
    let apexes: Vec<_> = zones.iter().map(|(apex, _)| *apex).collect();
    let delegations = to_both(&[apexes.as_slice(), &["acme.test."]].concat());
    zones.push(("acme.test.", ""));
    for cast in CASTS {
        let daemons = Daemons::start(cast, &delegations, &zones).await;
        let mut wrong = Vec::new();
        for (number, row) in &rows {
            let apex = own(*number, "acme.test");
            let seen = daemons
                .see(&domain(&format!("{}.{apex}", row.host)), Depth::Diagnose)
                .await;
            let expected = (row.proof, row.codes.clone().unwrap_or_else(|| codes(&seen)));
            let at = (Some(apex.as_str()), BOTH.to_vec());
            if outcome(&seen) != expected || place(&seen) != at || seen.packets > 64 {
                wrong.push((&row.records, expected, seen));
            }
        }
        assert!(wrong.is_empty(), "{cast:?}: {wrong:#?}");
    }
}

#[tokio::test]
#[ignore = "needs name servers: .ci/dns"]
async fn aliases_are_followed_across_zones_and_servers() {
    let alias = "portal.acme.test. CNAME portal.globex.test.";
    let dname =
        "acme.test. DNAME globex.test.\nacme.test. NS ns1.elsewhere.test.\nacme.test. NS ns2.elsewhere.test.";
    let proves = format!("portal.globex.test. CNAME {TARGET}");
    let nobody = "z.globex.test. A 192.0.2.1";
    let wrong = (Proof::Missing, vec![Code::WrongValue, Code::TargetMissing]);
    let proven = (Proof::Cname, vec![]);
    // Nothing may be below the owner of a DNAME, so the servers' names are.
    let named = |apex: &str| {
        format!(
            "{apex} NS ns1.elsewhere.test.\n{apex} NS ns2.elsewhere.test.\nns1.elsewhere.test. A {}\nns2.elsewhere.test. A {}\n",
            address(NS1),
            address(NS2)
        )
    };
    let apart = format!(
        "globex.test. NS ns.globex.test.\nns.globex.test. A {}\n",
        address(ELSEWHERE)
    );
    for cast in CASTS {
        for (acme, globex, expected) in [
            (alias, proves.as_str(), &proven),
            (alias, nobody, &wrong),
            (dname, &proves, &proven),
            (dname, nobody, &wrong),
        ] {
            // The servers of the first zone have the second one too; another one has it, and they have a stale copy.
            for together in [true, false] {
                let stale = "portal.globex.test. CNAME stale.test.";
                let mut daemons = Daemons::new().await;
                let delegations = match together {
                    true => named("acme.test.") + &to_both(&["globex.test."]),
                    false => named("acme.test.") + &apart,
                };
                daemons.registry(cast.registry, &delegations);
                for (server, software) in [NS1, NS2].into_iter().zip(cast.servers) {
                    let globex = if together { globex } else { stale };
                    daemons.serve(
                        software,
                        server,
                        &[("acme.test.", acme), ("globex.test.", globex)],
                    );
                }
                if !together {
                    let own = format!(
                        "globex.test. NS ns.globex.test.\nns.globex.test. A {}\n{globex}",
                        address(ELSEWHERE)
                    );
                    daemons.serve(cast.servers[0], ELSEWHERE, &[("globex.test.", &own)]);
                }
                daemons.resolver("");
                daemons.ready().await;
                let seen = daemons.see(&portal(), Depth::Diagnose).await;
                assert_eq!(
                    &outcome(&seen),
                    expected,
                    "{cast:?} {acme} {globex} {together}: {seen:#?}"
                );
                assert_eq!(
                    place(&seen),
                    (
                        Some("acme.test"),
                        vec!["ns1.elsewhere.test", "ns2.elsewhere.test"]
                    )
                );
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs name servers: .ci/dns"]
async fn a_zone_below_is_found_whoever_has_it() {
    let child = format!(
        "portal.acme.test. NS ns.portal.acme.test.\nns.portal.acme.test. A {}\n",
        address(ELSEWHERE)
    );
    for cast in CASTS {
        // Elsewhere: by referral. What stands beside the delegation is hidden by it.
        let acme = format!("{child}{}", txt());
        let mut daemons = Daemons::new().await;
        daemons.registry(cast.registry, &to_both(&["acme.test."]));
        for (server, software) in [NS1, NS2].into_iter().zip(cast.servers) {
            daemons.serve(software, server, &[("acme.test.", &acme)]);
        }
        daemons.serve(cast.servers[1], ELSEWHERE, &[("portal.acme.test.", &child)]);
        daemons.resolver("");
        daemons.ready().await;
        let at = (Some("portal.acme.test"), vec!["ns.portal.acme.test"]);
        let seen = daemons.see(&portal(), Depth::Diagnose).await;
        assert_eq!(
            outcome(&seen),
            (Proof::Missing, vec![Code::RecordMissing]),
            "{cast:?}: {seen:#?}"
        );
        assert_eq!(place(&seen), at);
        daemons
            .change(ELSEWHERE, "portal.acme.test.", &format!("{child}{}", txt()))
            .await;
        let seen = daemons.see(&portal(), Depth::Diagnose).await;
        assert_eq!(
            outcome(&seen),
            (Proof::Txt, vec![Code::NotRouted]),
            "{cast:?}: {seen:#?}"
        );
        assert_eq!(place(&seen), at);
        drop(daemons);

        // At the same servers, which answer from it and say nothing of the cut.
        let daemons = Daemons::start(
            cast,
            &to_both(&["acme.test."]),
            &[
                ("acme.test.", &to_both(&["eu.acme.test."])),
                ("eu.acme.test.", "a.eu.acme.test. A 192.0.2.1"),
            ],
        )
        .await;
        let host = domain("portal.eu.acme.test");
        let at = (Some("eu.acme.test"), BOTH.to_vec());
        let seen = daemons.see(&host, Depth::Diagnose).await;
        assert_eq!(
            outcome(&seen),
            (Proof::Missing, vec![Code::RecordMissing]),
            "{cast:?}: {seen:#?}"
        );
        assert_eq!(place(&seen), at);
        for (records, proof) in [
            (txt().replace("portal", "portal.eu"), Proof::Txt),
            (cname().replace("portal", "portal.eu"), Proof::Cname),
        ] {
            for server in [NS1, NS2] {
                daemons.change(server, "eu.acme.test.", &records).await;
            }
            let seen = daemons.see(&host, Depth::Diagnose).await;
            assert_eq!(seen.proof, proof, "{cast:?}: {seen:#?}");
            assert_eq!(place(&seen), at, "{proof:?}");
        }
    }
}

#[tokio::test]
#[ignore = "needs name servers: .ci/dns"]
async fn servers_that_are_dead_or_lame_do_not_decide() {
    let wrong = "portal.acme.test. CNAME other.acme.test.\nother.acme.test. A 192.0.2.1";
    for cast in CASTS {
        for dead in [true, false] {
            for (records, unconfirmed_proof) in [
                (cname(), Some(Proof::Cname)),
                (txt(), Some(Proof::Txt)),
                (String::new(), None),
                (wrong.to_owned(), None),
            ] {
                let mut daemons = Daemons::new().await;
                daemons.registry(cast.registry, &to_both(&["acme.test."]));
                daemons.serve(cast.servers[0], NS1, &[("acme.test.", &records)]);
                if !dead {
                    daemons.serve(cast.servers[1], NS2, &[("other.test.", "")]);
                }
                daemons.resolver("");
                daemons.ready().await;
                let seen = daemons.see(&portal(), Depth::Scheduled).await;
                assert_eq!(
                    (seen.proof, seen.unconfirmed_proof),
                    (Proof::Unknown, unconfirmed_proof),
                    "{cast:?} {dead} {records}: {seen:#?}"
                );
                assert_eq!(seen.findings[0].code, Code::NotEverywhereYet);
                let renewed = daemons.see(&verified("portal.acme.test"), Depth::Scheduled).await;
                assert_eq!(renewed.proof, Proof::Unknown, "{cast:?} {records}: {renewed:#?}");
                assert_eq!(place(&seen), (Some("acme.test"), BOTH.to_vec()));
            }
        }
        // None of them has the zone.
        let daemons = Daemons::start(cast, &to_both(&["acme.test."]), &[("other.test.", "")]).await;
        let seen = daemons.see(&portal(), Depth::Diagnose).await;
        assert_eq!(
            outcome(&seen),
            (Proof::Unknown, vec![Code::DnsRefused]),
            "{cast:?}: {seen:#?}"
        );
        assert!(
            seen.findings[0]
                .observed
                .iter()
                .all(|seen| seen.answer == "REFUSED")
        );
    }
}

#[tokio::test]
#[ignore = "needs name servers: .ci/dns"]
async fn what_servers_do_not_load_decides_nothing() {
    for cast in CASTS {
        for records in [
            format!("{}\nportal.acme.test. MX mail.acme.test.", cname()),
            format!("{}\nportal.acme.test. CNAME other.acme.test.", cname()),
            format!("acme.test. CNAME {TARGET}"),
        ] {
            let mut daemons = Daemons::new().await;
            daemons.registry(cast.registry, &to_both(&["acme.test."]));
            for (server, software) in [NS1, NS2].into_iter().zip(cast.servers) {
                daemons.serve_in_vain(software, server, &[("acme.test.", &records)]);
            }
            daemons.resolver("");
            daemons.ready().await;
            for host in ["portal.acme.test", "acme.test"] {
                let seen = daemons.see(&domain(host), Depth::Diagnose).await;
                let code = codes(&seen)[0];
                assert_eq!(seen.proof, Proof::Unknown, "{cast:?} {records}: {seen:#?}");
                assert!(
                    [Code::DnsServfail, Code::DnsRefused].contains(&code),
                    "{cast:?} {records}: {seen:#?}"
                );
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs name servers: .ci/dns"]
async fn a_domain_that_moved_is_asked_for_where_it_is_now() {
    let ns = "acme.test. NS old.test.\n";
    let old = format!("{ns}old.test. A {}\n", address(ELSEWHERE));
    for cast in CASTS {
        // The proof is left behind; the proof is at the new servers alone.
        for (before, after, proof) in [
            (cname(), String::new(), Proof::Missing),
            (String::new(), cname(), Proof::Cname),
        ] {
            let mut daemons = Daemons::new().await;
            daemons.registry(cast.registry, &old);
            daemons.serve(
                cast.servers[1],
                ELSEWHERE,
                &[("acme.test.", &format!("{ns}{before}"))],
            );
            for (server, software) in [NS1, NS2].into_iter().zip(cast.servers) {
                daemons.serve(software, server, &[("acme.test.", &after)]);
            }
            daemons.resolver("");
            daemons.ready().await;
            let resolved = async || {
                let message = daemons
                    .ask(RESOLVER, "portal.acme.test.", RecordType::CNAME, false)
                    .await;
                !message.unwrap().answers.is_empty()
            };
            assert_eq!(resolved().await, !before.is_empty());
            let seen = daemons.see(&portal(), Depth::Scheduled).await;
            assert_eq!(place(&seen), (Some("acme.test"), vec!["old.test"]));
            assert_ne!(seen.proof, proof, "{cast:?}: {seen:#?}");
            daemons.delegate(&to_both(&["acme.test."])).await;
            // The resolver still believes the old ones.
            assert_eq!(resolved().await, !before.is_empty());
            for (domain, depth) in [
                (portal(), Depth::Scheduled),
                (verified("portal.acme.test"), Depth::Scheduled),
            ] {
                let seen = daemons.see(&domain, depth).await;
                assert_eq!(seen.proof, proof, "{cast:?}: {seen:#?}");
                assert_eq!(place(&seen), (Some("acme.test"), BOTH.to_vec()));
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs name servers: .ci/dns"]
async fn a_change_is_seen_at_once_whatever_the_resolver_remembers() {
    for cast in CASTS {
        let daemons = Daemons::start(cast, &to_both(&["acme.test."]), &[("acme.test.", "")]).await;
        let resolved = async || {
            let message = daemons
                .ask(RESOLVER, "portal.acme.test.", RecordType::CNAME, false)
                .await;
            message.unwrap().metadata.response_code
        };
        assert_eq!(resolved().await, ResponseCode::NXDomain);
        let seen = daemons.see(&portal(), Depth::Scheduled).await;
        assert_eq!(
            outcome(&seen),
            (Proof::Missing, vec![Code::RecordMissing]),
            "{cast:?}"
        );
        // Once one of them has it, and once both do.
        daemons.change(NS1, "acme.test.", &cname()).await;
        let seen = daemons.see(&portal(), Depth::Scheduled).await;
        assert_eq!(
            outcome(&seen),
            (Proof::Unknown, vec![Code::NotEverywhereYet]),
            "{cast:?}"
        );
        daemons.change(NS2, "acme.test.", &cname()).await;
        assert_eq!(resolved().await, ResponseCode::NXDomain);
        assert_eq!(
            daemons.see(&portal(), Depth::Scheduled).await.proof,
            Proof::Cname,
            "{cast:?}"
        );

        // A renewal is two packets, where the delegation and the servers' addresses are known.
        let (dns, session) = (daemons.dns(), Session::default());
        let domain = verified("portal.acme.test");
        look(&dns, &domain, Depth::Scheduled, &session).await;
        let seen = look(&dns, &domain, Depth::Scheduled, &session).await;
        assert_eq!((seen.proof, seen.packets), (Proof::Cname, 2), "{cast:?}");

        for server in [NS1, NS2] {
            daemons.change(server, "acme.test.", "").await;
        }
        assert_eq!(
            daemons.see(&domain, Depth::Scheduled).await.proof,
            Proof::Missing,
            "{cast:?}"
        );
    }
}

#[tokio::test]
#[ignore = "needs name servers: .ci/dns"]
async fn signatures_are_checked_by_a_resolver_that_does() {
    let target = "other.signed.test.";
    let records = format!(
        "portal.signed.test. CNAME {target}\n_agency-challenge.txt.signed.test. TXT \"agency-verification={}\"",
        "0".repeat(32)
    );
    let forge = |file: &str| file.replace(target, TARGET).replace(&"0".repeat(32), TOKEN);
    let true_records = forge(&records);
    let past = ["-P", "-s", "20200101000000", "-e", "20200201000000"];
    for cast in CASTS {
        for (signed, forged, options, bogus) in [
            (&true_records, false, &[][..], false),
            (&records, true, &[][..], true),
            (&true_records, false, &past[..], true),
        ] {
            let mut daemons = Daemons::new().await;
            let (file, anchor) = daemons.sign("signed.test.", signed, options);
            let file = if forged { forge(&file) } else { file };
            daemons.registry(cast.registry, &to_both(&["signed.test."]));
            for (server, software) in [NS1, NS2].into_iter().zip(cast.servers) {
                daemons.serve_files(software, server, &[("signed.test.", file.clone())]);
            }
            daemons.resolver(&anchor);
            daemons.ready().await;
            // What the resolver says of it, so that it is known to validate.
            for unchecked in [false, true] {
                let message = daemons
                    .ask(RESOLVER, "portal.signed.test.", RecordType::CNAME, unchecked)
                    .await
                    .unwrap();
                let alias = message.answers.iter().find_map(|record| match &record.data {
                    RData::CNAME(target) => Some(target.0.to_ascii()),
                    _ => None,
                });
                let (code, alias) = (message.metadata.response_code, alias.as_deref());
                match bogus && !unchecked {
                    true => assert_eq!((code, alias), (ResponseCode::ServFail, None), "{cast:?}"),
                    false => assert_eq!((code, alias), (ResponseCode::NoError, Some(TARGET)), "{cast:?}"),
                }
                assert!(unchecked || message.metadata.authentic_data != bogus, "{cast:?}");
            }
            let recursive = dns_at(daemons.port, DnsMode::Recursive, true).with_limits(Limits::default());
            for (host, proof) in [
                ("portal.signed.test", Proof::Cname),
                ("txt.signed.test", Proof::Txt),
            ] {
                let by_resolver =
                    look(&recursive, &domain(host), Depth::Scheduled, &Session::default()).await;
                for seen in [daemons.see(&domain(host), Depth::Diagnose).await, by_resolver] {
                    match bogus {
                        true => {
                            assert_eq!(seen.proof, Proof::Unknown, "{cast:?}: {seen:#?}");
                            assert_eq!(codes(&seen)[0], Code::DnssecBogus, "{cast:?}: {seen:#?}");
                        }
                        false => assert_eq!(seen.proof, proof, "{cast:?}: {seen:#?}"),
                    }
                    assert_eq!(place(&seen), (Some("signed.test"), BOTH.to_vec()));
                }
                // A renewal is not seen from there.
                let renewed = daemons.see(&verified(host), Depth::Scheduled).await;
                assert_eq!(renewed.proof, proof, "{cast:?}: {renewed:#?}");
            }
            if !bogus {
                let seen = daemons.see(&domain("none.signed.test"), Depth::Scheduled).await;
                assert_eq!(
                    outcome(&seen),
                    (Proof::Missing, vec![Code::RecordMissing]),
                    "{cast:?}"
                );
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs name servers: .ci/dns"]
async fn servers_that_lack_part_of_the_protocol() {
    let others = (0..60).map(|number| format!("_agency-challenge.portal.acme.test. TXT \"{number:060}\"\n"));
    let big = others.collect::<String>() + &txt();
    for (option, records, proof, code) in [
        ("noedns", cname(), Proof::Cname, None),
        ("noedns", big.clone(), Proof::Txt, None),
        ("ednsformerr", cname(), Proof::Cname, None),
        ("ednsformerr", big.clone(), Proof::Txt, None),
        ("ednsnotimp", cname(), Proof::Cname, None),
        ("maxudp512", big.clone(), Proof::Txt, None),
        // Who refuses EDNS, or drops it, is no server that could be asked (<https://www.dnsflagday.net/2019/>).
        ("ednsrefused", cname(), Proof::Unknown, Some(Code::DnsRefused)),
        ("dropedns", cname(), Proof::Unknown, Some(Code::DnsTimeout)),
        ("noaa", cname(), Proof::Unknown, Some(Code::LameDelegation)),
        ("notcp", cname(), Proof::Cname, None),
        ("notcp", big.clone(), Proof::Unknown, Some(Code::AnswerTooBig)),
    ] {
        let mut daemons = Daemons::new().await;
        daemons.registry(Software::Bind, &to_both(&["acme.test."]));
        for server in [NS1, NS2] {
            daemons.serve(Software::BindWith(option), server, &[("acme.test.", &records)]);
        }
        daemons.resolver("");
        daemons.ready().await;
        let seen = daemons.see(&portal(), Depth::Scheduled).await;
        assert_eq!(seen.proof, proof, "{option}: {seen:#?}");
        if let Some(code) = code {
            assert!(codes(&seen).contains(&code), "{option}: {seen:#?}");
        }
    }
}
