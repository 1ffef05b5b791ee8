//! Tokens and roles: who may call which operation.

use super::{Convention, assert_departures};
use crate::harness::{
    Api,
    operations::{Names, SampleTenant, operations, operations_where},
};

#[tokio::test]
async fn owners_and_admins_may_call_every_operation() {
    for role in ["owner", "admin"] {
        for operation in operations() {
            let api = Api::start().await;
            let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
            let answer = operation.send(&api.user("org_acme", role), &tenant.names).await;
            assert_eq!(answer.status.as_u16(), operation.success, "{answer:?}");
        }
    }
}

/// Nothing else of the request is looked at before, and nothing is told about it.
#[tokio::test]
async fn without_a_token_every_operation_that_is_not_public_is_401() {
    let api = Api::start().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    let before = tenant.everything().await;
    let visitor = api.visitor();
    let mut public = Vec::new();
    for operation in operations() {
        if operation.public && !operation.reads() {
            // It is sent with a link of its own, in its own tests.
            public.push(operation.id.as_str());
            continue;
        }
        let answer = operation.send(&visitor, &tenant.names).await;
        if answer.status != 401 {
            assert_eq!(answer.status.as_u16(), operation.success, "{answer:?}");
            assert!(operation.public, "{}", operation.id);
            public.push(operation.id.as_str());
            continue;
        }
        assert!(!operation.public, "{}", operation.id);
        answer.problem(401, "missing-token");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        let unknown = operation.send(&visitor, &Names::absent()).await;
        let nonsense = operation.send_nonsense(&visitor, &tenant.names).await;
        let uri = format!("{}?limit=0&cursor=&slug=", operation.uri(&tenant.names));
        let odd = visitor.call(operation.method.clone(), &uri, &[], None).await;
        for other in [unknown, nonsense, odd] {
            assert_eq!(other.fingerprint(), answer.fingerprint(), "{}", operation.id);
        }
    }
    assert_departures(Convention::NeedsToken, public);
    assert_eq!(tenant.everything().await, before);
}

/// Before the body, the state and the resource are looked at.
#[tokio::test]
async fn a_member_reads_and_does_not_write() {
    let api = Api::start().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    let before = tenant.everything().await;
    let mut closed_reads = Vec::new();
    for operation in operations_where(|operation| operation.reads() || !operation.public) {
        for role in ["member", "", "Owner", "superadmin", "owner,admin"] {
            let member = api.user("org_acme", role);
            let answer = operation.send(&member, &tenant.names).await;
            if answer.status != 403 {
                assert!(operation.reads(), "{answer:?}");
                assert_eq!(answer.status.as_u16(), operation.success, "{answer:?}");
                continue;
            }
            answer.problem(403, "role-too-low");
            if operation.reads() {
                closed_reads.push(operation.id.as_str());
            }
            let unknown = operation.send(&member, &Names::absent()).await;
            let nonsense = operation.send_nonsense(&member, &tenant.names).await;
            let elsewhere = operation.send(&api.user("org_nobody", role), &tenant.names).await;
            for other in [unknown, nonsense, elsewhere] {
                assert_eq!(other.fingerprint(), answer.fingerprint(), "{}", operation.id);
            }
        }
    }
    assert_departures(Convention::OpenToMembers, closed_reads);
    assert_eq!(tenant.everything().await, before);
}
