use crate::harness::{Api, operations::DOCUMENT};

#[tokio::test]
async fn everybody_gets_the_committed_document() {
    let api = Api::start().await;
    for user in [api.visitor(), api.with_token("x")] {
        assert_eq!(user.get("/openapi.json").await.expect(200), *DOCUMENT);
    }
}
