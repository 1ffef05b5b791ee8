use crate::harness::{Api, path};

#[tokio::test]
async fn a_member_reads_a_domain_with_its_records() {
    let api = Api::start().await;
    let domain = api
        .agency("org_acme")
        .await
        .custom_domain("portal.acme.com")
        .await;
    assert_eq!(domain["records"].as_array().unwrap().len(), 2);
    let member = api.user("org_acme", "member");
    assert_eq!(member.get(&path(&domain)).await.expect(200), domain);
}
