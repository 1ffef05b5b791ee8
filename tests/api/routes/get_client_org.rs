use crate::harness::{Api, path};

#[tokio::test]
async fn a_member_reads_a_client() {
    let api = Api::start().await;
    let client = api.agency("org_acme").await.client("Acme").await;
    let member = api.user("org_acme", "member");
    assert_eq!(member.get(&path(&client)).await.expect(200), client);
}
