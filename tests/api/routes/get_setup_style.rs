use serde_json::json;

use crate::harness::{Api, BRANDING, setup_token};

#[tokio::test]
async fn the_style_sheet_has_the_colours_of_the_portal_and_no_url() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let branding = json!({
        "primaryColor": "#0b5fff", "primaryColorDark": "#8ab4ff", "logoUrl": "https://cdn.acme.com/logo.svg",
        "fontFamily": "Inter", "fontUrl": "https://cdn.acme.com/inter.woff2", "customCss": "a { color: red }",
    });
    owner.put(BRANDING, branding).await.expect(200);
    let domain = owner.custom_domain("portal.acme.com").await;
    let link = owner.setup_link(&domain).await;
    let answer = api
        .visitor()
        .get(&format!("/portal/setup/{}/style.css", setup_token(&link)))
        .await;
    assert_eq!(answer.header("content-type"), Some("text/css; charset=utf-8"));
    for property in [
        "--primary: #0b5fff;",
        "--on-primary: #ffffff;",
        "--primary: #8ab4ff;",
        "--font-family: Inter;",
    ] {
        assert!(answer.text.contains(property), "{property}: {}", answer.text);
    }
    for absent in ["url(", "cdn.acme.com", "color: red"] {
        assert!(!answer.text.contains(absent), "{absent}");
    }
}
