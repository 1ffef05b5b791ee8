use serde_json::{Value, json};

use crate::harness::{Api, BRANDING, operations::operation};

/// All settings.
pub fn branding() -> Value {
    let mut all = operation("putBranding").examples();
    all["primaryColor"] = json!("#123456");
    all["accentColor"] = json!("#ffee00");
    all
}

/// All settings as a portal shows them.
pub fn shown_branding() -> Value {
    let mut shown = branding();
    shown["onPrimaryColor"] = json!("#ffffff");
    shown["onAccentColor"] = json!("#000000");
    shown
}

#[tokio::test]
async fn a_login_page_sees_the_branding_without_from_email() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.subdomain("acme").await;
    let path = "/portal/branding?host=acme.portal.localhost";
    let mut expected = shown_branding();
    expected.as_object_mut().unwrap().remove("fromEmail");
    let empty = api.visitor().get(path).await.expect(200);
    let empty = empty.as_object().unwrap();
    assert!(empty.values().all(Value::is_null), "{empty:?}");
    assert!(empty.keys().eq(expected.as_object().unwrap().keys()), "{empty:?}");
    owner.put(BRANDING, branding()).await.expect(200);
    // A token makes no difference, not even an invalid one.
    for user in [api.visitor(), api.with_token("x"), api.user("org_other", "owner")] {
        assert_eq!(user.get(path).await.expect(200), expected);
    }
}
