use crate::harness::Api;

/// An edge proxy reads the status alone.
#[tokio::test]
async fn a_host_is_200_if_it_is_served_and_404_otherwise_without_a_body() {
    let api = Api::start().await;
    api.agency("org_acme").await.subdomain("acme").await;
    for (host, status) in [("acme.portal.localhost", 200), ("other.portal.localhost", 404)] {
        let path = format!("/portal/tls-check?domain={host}");
        let answer = api.visitor().get(&path).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (status, ""));
        assert_eq!(answer.header("content-type"), None);
    }
}
