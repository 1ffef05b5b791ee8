use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::harness::{Api, setup_token};

#[tokio::test]
async fn the_records_are_a_table_or_lines_of_a_zone_file() {
    let api = Api::with(&[("PORTAL_ADDRESSES", "192.0.2.1,2001:db8::1")]).await;
    let owner = api.agency("org_acme").await;
    let mut texts = Vec::new();
    for hostname in ["portal.acme.com", "acme.com"] {
        let domain = owner.custom_domain(hostname).await;
        let link = owner.setup_link(&domain).await;
        let records = format!("/portal/setup/{}/records", setup_token(&link));
        let token = crate::harness::token(&domain).to_owned();
        for format in ["text", "zone"] {
            let answer = api.visitor().get(&format!("{records}?format={format}")).await;
            assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
            texts.push(answer.text.replace(&token, "TOKEN"));
        }
        for query in ["", "?format=", "?format=json", "?format=text&format=zone"] {
            let answer = api.visitor().get(&format!("{records}{query}")).await;
            answer.problem(400, "invalid-parameter");
        }
    }
    assert_eq!(
        texts,
        [
            "\
Type   Name                               Host                      Value
TXT    _agency-challenge.portal.acme.com  _agency-challenge.portal  agency-verification=TOKEN
CNAME  portal.acme.com                    portal                    TOKEN.cname.portal.localhost
",
            "\
_agency-challenge.portal.acme.com. 300 IN TXT \"agency-verification=TOKEN\"
portal.acme.com. 300 IN CNAME TOKEN.cname.portal.localhost.
",
            "\
Type  Name                        Host               Value
TXT   _agency-challenge.acme.com  _agency-challenge  agency-verification=TOKEN
A     acme.com                    @                  192.0.2.1
AAAA  acme.com                    @                  2001:db8::1
",
            "\
_agency-challenge.acme.com. 300 IN TXT \"agency-verification=TOKEN\"
acme.com. 300 IN A 192.0.2.1
acme.com. 300 IN AAAA 2001:db8::1
",
        ]
    );
}

/// The records of a new domain as lines of a zone file, and the domain's token.
async fn zone_file(api: &Api, hostname: &str) -> (String, String) {
    let owner = api.agency("org_acme").await;
    let domain = owner.custom_domain(hostname).await;
    let link = owner.setup_link(&domain).await;
    let records = format!("/portal/setup/{}/records?format=zone", setup_token(&link));
    let answer = api.visitor().get(&records).await;
    (answer.text, crate::harness::token(&domain).to_owned())
}

/// The records of a zone as BIND reads them, one a line, with single spaces.
fn read_by_bind(zone: &str, records: &str) -> String {
    let head = "@ 300 IN SOA ns hostmaster 1 3600 600 86400 300\n@ 300 IN NS ns\nns 300 IN A 192.0.2.53\n";
    let mut child = Command::new("named-checkzone")
        .args([
            "-D",
            "-q",
            "-i",
            "local",
            "-k",
            "fail",
            "-o",
            "-",
            zone,
            "/dev/stdin",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("named-checkzone, of the Debian package bind9-utils");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{head}{records}").as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let read = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{zone}: {records} {read}");
    let lines = read
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.map(|line| line + "\n").collect()
}

#[tokio::test]
#[ignore = "needs named-checkzone: .ci/dns"]
async fn bind_reads_the_zone_file() {
    let with_addresses = Api::with(&[("PORTAL_ADDRESSES", "192.0.2.1,2001:db8::1")]).await;
    let without = Api::start().await;
    for (api, zone, hostname, records) in [
        (
            &without,
            "acme.com",
            "portal.acme.com",
            &[
                "_agency-challenge.portal.acme.com. 300 IN TXT \"agency-verification=TOKEN\"",
                "portal.acme.com. 300 IN CNAME TOKEN.cname.portal.localhost.",
            ][..],
        ),
        (
            &without,
            "xn--bcher-kva.com",
            "kunden.b\u{fc}cher.com",
            &[
                "_agency-challenge.kunden.xn--bcher-kva.com. 300 IN TXT \"agency-verification=TOKEN\"",
                "kunden.xn--bcher-kva.com. 300 IN CNAME TOKEN.cname.portal.localhost.",
            ],
        ),
        (
            &with_addresses,
            "acme.com",
            "acme.com",
            &[
                "_agency-challenge.acme.com. 300 IN TXT \"agency-verification=TOKEN\"",
                "acme.com. 300 IN A 192.0.2.1",
                "acme.com. 300 IN AAAA 2001:db8::1",
            ],
        ),
        // The ALIAS record is a comment.
        (
            &without,
            "acme.com",
            "acme.com",
            &["_agency-challenge.acme.com. 300 IN TXT \"agency-verification=TOKEN\""],
        ),
    ] {
        let (text, token) = zone_file(api, hostname).await;
        let read = read_by_bind(zone, &text).replace(&token, "TOKEN");
        for record in records {
            assert!(read.lines().any(|line| line == *record), "{record}: {read}");
        }
        let is_comment = |line: &&str| line.starts_with("; Zone files have no ALIAS record.");
        let comments = text.lines().filter(is_comment).count();
        assert_eq!(text.lines().count(), records.len() + comments, "{text}");
        // BIND adds none: those of the head are the SOA, the NS and an address.
        assert_eq!(read.lines().count(), 3 + records.len(), "{read}");
    }
}
