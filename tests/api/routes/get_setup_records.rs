use serde_json::json;

use crate::harness::{Api, path, setup_token};

#[tokio::test]
async fn the_records_are_a_table_or_lines_of_a_zone_file() {
    let api = Api::with(&[("PORTAL_ADDRESSES", "192.0.2.1,2001:db8::1")]).await;
    let owner = api.agency("org_acme").await;
    let mut texts = Vec::new();
    for hostname in ["portal.acme.com", "acme.com"] {
        let domain = owner.custom_domain(hostname).await;
        let link = owner
            .post(&format!("{}/setup-link", path(&domain)), json!({}))
            .await
            .expect(201);
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
