use crate::harness::{Api, operations::DOCUMENT};

#[tokio::test]
async fn everybody_gets_the_same_document_in_openapi_3_0() {
    let api = Api::start().await;
    for user in [api.visitor(), api.with_token("x")] {
        let document = user.get("/openapi-3.0.json").await.expect(200);
        assert_eq!(document["openapi"], "3.0.3");
        assert_eq!(document["info"], DOCUMENT["info"]);
    }
}
