//! The claims of a verified token: issuer, audience, times, user, organization and role.
//!
//! Identity providers name their claims differently, so the names and the words for roles are settings.

use std::{collections::HashMap, str::FromStr, time::Duration};

use serde_json::{Map, Value};

use super::{AuthConfig, AuthError, Principal, Tenant, reject};
use crate::models::{
    id::{ClientOrgId, OrgId},
    text,
    time::Timestamp,
};

/// The tolerated difference between the issuer's clock and ours.
const LEEWAY: Duration = Duration::from_secs(30);

/// The longest `sub`, in characters (OpenID Connect Core 1.0, section 2).
const MAX_USER: usize = 255;

/// A user's role, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads.
    Member,
    /// Reads and writes.
    Admin,
    /// Reads and writes.
    Owner,
}

impl Role {
    const ALL: [Self; 3] = [Self::Member, Self::Admin, Self::Owner];

    /// The role's name in this API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let role = Self::ALL.into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| format!("`{text}` is not owner, admin or member"))
    }
}

/// The identity provider's names of the claims.
#[derive(Debug, Clone)]
pub struct ClaimNames {
    /// The organization.
    pub org: ClaimName,
    /// The role or roles.
    pub role: ClaimName,
    /// The audience.
    pub audience: ClaimName,
    /// The client organization, if the provider has a separate claim for it.
    pub client: Option<ClaimName>,
}

/// The name of a claim: a path with dots. A step is the longest part of the rest that is a member's name, because some names
/// are URLs. `*` stands for the only member of an object: `organization.*.id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimName(String);

impl FromStr for ClaimName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("must not be empty and must not contain white space".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl ClaimName {
    /// The claim of this name. `null` counts as absent.
    fn find<'a>(&self, claims: &'a Map<String, Value>) -> Result<Option<&'a Value>, AuthError> {
        let (mut object, mut rest) = (claims, self.0.as_str());
        loop {
            match step(object, rest)? {
                Some((value, None)) => return Ok(Some(value).filter(|value| !value.is_null())),
                Some((Value::Object(inner), Some(remaining))) => (object, rest) = (inner, remaining),
                _ => return Ok(None),
            }
        }
    }

    /// Whether the member of the first step is present and not `null`. The path can still lead to no value.
    fn is_present(&self, claims: &Map<String, Value>) -> bool {
        self.0.starts_with('*')
            || prefixes(&self.0).any(|name| claims.get(name).is_some_and(|value| !value.is_null()))
    }
}

/// The member that the first step of a path leads to, and the rest of the path.
fn step<'a, 'n>(
    object: &'a Map<String, Value>,
    path: &'n str,
) -> Result<Option<(&'a Value, Option<&'n str>)>, AuthError> {
    if path == "*" || path.starts_with("*.") {
        if object.len() > 1 {
            return reject("The token names several organizations. Request a token for one.");
        }
        return Ok(object.values().next().map(|value| (value, path.get(2..))));
    }
    let mut members = prefixes(path).filter_map(|name| Some((object.get(name)?, path.get(name.len() + 1..))));
    Ok(members.next())
}

/// The beginnings of a path that end before a dot or at its end, longest first.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |prefix| Some(prefix.rsplit_once('.')?.0))
}

/// The identity provider's words for the roles. The default is the names in this API.
#[derive(Debug, Clone)]
pub struct RoleMap(HashMap<String, Role>);

impl Default for RoleMap {
    fn default() -> Self {
        Self(Role::ALL.map(|role| (role.as_str().to_owned(), role)).into())
    }
}

/// `org:admin=admin,org:member=member`. Only these words map to a role.
impl FromStr for RoleMap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = HashMap::new();
        for pair in text.split(',') {
            let (word, role) = pair
                .rsplit_once('=')
                .map(|(word, role)| (word.trim(), role.trim()))
                .filter(|(word, _)| !word.is_empty())
                .ok_or_else(|| format!("`{pair}` does not have the form word=role"))?;
            if words.insert(word.to_owned(), role.parse()?).is_some() {
                return Err(format!("`{word}` is repeated"));
            }
        }
        Ok(Self(words))
    }
}

impl RoleMap {
    /// The highest role that a claim maps to. The default is `member`.
    fn role(&self, claim: Option<&Value>) -> Role {
        let map = |word: &str| self.0.get(word).copied();
        match claim {
            // A word of the map may contain spaces.
            Some(Value::String(text)) => text.split(' ').chain([text.as_str()]).filter_map(map).max(),
            Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).filter_map(map).max(),
            Some(Value::Object(words)) => words.keys().map(String::as_str).filter_map(map).max(),
            _ => None,
        }
        .unwrap_or(Role::Member)
    }
}

/// The principal of a token with a valid signature.
///
/// The organization claim is also required for a client's user.
pub(super) fn principal(
    claims: &Map<String, Value>,
    config: &AuthConfig,
    now: Timestamp,
) -> Result<Principal, AuthError> {
    let AuthConfig { claims: names, .. } = config;
    if claims.get("iss").and_then(Value::as_str) != Some(&config.issuer) {
        return reject("The issuer of the token is not trusted.");
    }
    if !is_for(names.audience.find(claims)?, &config.audience) {
        return reject("The token is not for this audience.");
    }
    let user = claims
        .get("sub")
        .and_then(Value::as_str)
        .filter(|user| !user.is_empty())
        .ok_or(AuthError::InvalidToken("The token has no sub."))?;
    // It is written to the audit log, which people read.
    if user.chars().count() > MAX_USER || user.chars().any(text::is_control) {
        return reject("The sub of the token is not 1 to 255 characters of text.");
    }
    let org = names.org.find(claims)?;
    let tenant = match names.client.as_ref().filter(|name| name.is_present(claims)) {
        Some(name) => tenant(org, Some(name.find(claims)?))?,
        None => tenant(org, None)?,
    };
    let role = config.roles.role(names.role.find(claims)?);
    check_times(claims, now)?;
    Ok(Principal {
        user: user.to_owned(),
        role,
        tenant,
    })
}

/// Whether the audience equals ours, or is an array of strings that contains ours.
fn is_for(audience: Option<&Value>, ours: &str) -> bool {
    match audience {
        Some(Value::String(audience)) => audience == ours,
        Some(Value::Array(audiences)) => {
            audiences.iter().all(Value::is_string) && audiences.iter().any(|audience| audience == ours)
        }
        _ => false,
    }
}

const NOT_AN_ORGANIZATION: &str =
    "The organization of the token is not 1 to 64 letters, digits, hyphens and underscores.";

/// `client` is the value of the client claim, if the token has this claim; a path may lead to no value.
fn tenant(org: Option<&Value>, client: Option<Option<&Value>>) -> Result<Tenant, AuthError> {
    let client_id = |text: &str| text.parse::<ClientOrgId>().ok();
    let org = org
        .and_then(Value::as_str)
        .ok_or(AuthError::InvalidToken("The token names no organization."))?;
    let tenant = match (client_id(org), org.parse::<OrgId>()) {
        (Some(client), _) => Tenant::Client(client),
        (None, Ok(agency)) => Tenant::Agency(agency),
        (None, Err(_)) => return reject(NOT_AN_ORGANIZATION),
    };
    Ok(match client {
        None => tenant,
        Some(client) => client
            .and_then(Value::as_str)
            .and_then(client_id)
            .map_or(Tenant::NoOrganization, Tenant::Client),
    })
}

/// RFC 7519, sections 4.1.4 to 4.1.6, with [`LEEWAY`].
fn check_times(claims: &Map<String, Value>, now: Timestamp) -> Result<(), AuthError> {
    let seconds = |time: Timestamp| time.millis() as f64 / 1000.0;
    let time = |name| match claims.get(name).map(Value::as_f64) {
        None => Ok(None),
        Some(Some(time)) => Ok(Some(time)),
        Some(None) => reject("A time in the token is not a number."),
    };
    let (nbf, iat, exp) = (time("nbf")?, time("iat")?, time("exp")?);
    if nbf.is_some_and(|nbf| nbf > seconds(now + LEEWAY)) {
        return reject("The token is not valid yet.");
    }
    if iat.is_some_and(|iat| iat > seconds(now + LEEWAY)) {
        return reject("The token was issued in the future.");
    }
    let exp = exp.ok_or(AuthError::InvalidToken("The token has no exp."))?;
    if exp <= seconds(now - LEEWAY) {
        return Err(AuthError::ExpiredToken);
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    const CLIENT: &str = "cli_01890a5d-ac96-774b-bcce-b302099a8057";

    fn find(name: &str, claims: Value) -> Result<Option<Value>, AuthError> {
        let name: ClaimName = name.parse().unwrap();
        Ok(name.find(claims.as_object().unwrap())?.cloned())
    }

    #[test]
    fn a_name_is_tried_whole_then_as_a_path() {
        let url = "https://example.com/org";
        assert_eq!(find(url, json!({url: "a"})), Ok(Some(json!("a"))));
        assert_eq!(find("o.id", json!({"o": {"id": "a"}})), Ok(Some(json!("a"))));
        assert_eq!(
            find("o.id", json!({"o.id": "whole", "o": {"id": "a"}})),
            Ok(Some(json!("whole")))
        );
        assert_eq!(find("o.id", json!({"o.id": null, "o": {"id": "a"}})), Ok(None));
        let hasura = "https://hasura.io/jwt/claims.x-hasura-org-id";
        assert_eq!(
            find(
                hasura,
                json!({"https://hasura.io/jwt/claims": {"x-hasura-org-id": "a"}})
            ),
            Ok(Some(json!("a")))
        );
        assert_eq!(find("a.b.c", json!({"a": {"b.c": 1}})), Ok(Some(json!(1))));
        assert_eq!(find("a.b.c", json!({"a.b": {}, "a": {"b": {"c": 1}}})), Ok(None));
        for claims in [
            json!({}),
            json!({"o": null}),
            json!({"o": "id"}),
            json!({"o": ["id"]}),
            json!({"o": {}}),
            json!({"o": {"id": null}}),
        ] {
            assert_eq!(find("o.id", claims.clone()), Ok(None), "{claims}");
        }
        for name in ["..", ".", "o.", ".id", "o..id"] {
            assert_eq!(find(name, json!({"o": {"id": "a"}})), Ok(None), "{name}");
        }
    }

    #[test]
    fn a_star_is_an_objects_only_member() {
        let path = "organization.*.id";
        assert_eq!(
            find(path, json!({"organization": {"acme": {"id": "a"}}})),
            Ok(Some(json!("a")))
        );
        for claims in [
            json!({"organization": {}}),
            json!({"organization": ["acme"]}),
            json!({"organization": {"acme": {}}}),
            json!({"organization": {"acme": "id"}}),
        ] {
            assert_eq!(find(path, claims.clone()), Ok(None), "{claims}");
        }
        let several = json!({"organization": {"acme": {"id": "a"}, "beta": {"id": "a"}}});
        assert!(matches!(find(path, several), Err(AuthError::InvalidToken(_))));
    }

    #[test]
    fn a_name_has_no_white_space() {
        for text in ["", " org_id", "org id", "org_id\n"] {
            assert!(text.parse::<ClaimName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_highest_role_that_maps_counts() {
        let roles = RoleMap::default();
        for (claim, role) in [
            (json!("owner"), Role::Owner),
            (json!("admin"), Role::Admin),
            (json!("member"), Role::Member),
            (json!("member admin"), Role::Admin),
            (json!(["member", "owner", "admin"]), Role::Owner),
            (json!([1, null, ["owner"], "admin"]), Role::Admin),
            (json!("superuser"), Role::Member),
            (json!("Owner"), Role::Member),
            (json!("owner,admin"), Role::Member),
            (json!(""), Role::Member),
            (json!([]), Role::Member),
            (json!(7), Role::Member),
            (
                json!({"member": {}, "admin": {"286": "acme.example"}}),
                Role::Admin,
            ),
            (json!({"role": "owner"}), Role::Member),
            (json!({}), Role::Member),
        ] {
            assert_eq!(roles.role(Some(&claim)), role, "{claim}");
        }
        assert_eq!(roles.role(None), Role::Member);
        assert!(Role::Member < Role::Admin && Role::Admin < Role::Owner);
    }

    #[test]
    fn with_a_map_only_its_words_count() {
        let roles: RoleMap = "org:admin=admin, Big Boss=owner,a=b=member".parse().unwrap();
        assert_eq!(roles.role(Some(&json!("org:admin"))), Role::Admin);
        assert_eq!(roles.role(Some(&json!("Big Boss"))), Role::Owner);
        assert_eq!(roles.role(Some(&json!(["Big Boss"]))), Role::Owner);
        assert_eq!(roles.role(Some(&json!("owner admin"))), Role::Member);
    }

    #[test]
    fn a_map_that_is_no_map_is_refused() {
        for (text, reason) in [
            ("", "form"),
            ("admin", "form"),
            ("=admin", "form"),
            ("a=admin,", "form"),
            ("a=root", "not owner"),
            ("a=", "not owner"),
            ("a=admin,a=owner", "repeated"),
        ] {
            let error = text.parse::<RoleMap>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn an_organization_is_an_agency_or_by_its_form_a_client() {
        let of = |org: Value| tenant(Some(&org), None);
        assert_eq!(of(json!("org_1")), Ok(Tenant::Agency("org_1".parse().unwrap())));
        assert_eq!(of(json!(CLIENT)), Ok(Tenant::Client(CLIENT.parse().unwrap())));
        assert!(matches!(of(json!("cli_acme")), Ok(Tenant::Agency(_))));
        for org in [
            json!(""),
            json!("a b"),
            json!("a#b"),
            json!("é"),
            json!("a".repeat(65)),
            json!(7),
            json!(["org_1"]),
            json!({"id": "org_1"}),
        ] {
            assert!(
                matches!(of(org.clone()), Err(AuthError::InvalidToken(_))),
                "{org}"
            );
        }
        assert!(tenant(None, Some(Some(&json!(CLIENT)))).is_err());
    }

    #[test]
    fn the_claim_of_a_client_is_never_the_agency() {
        let of = |client: Value| tenant(Some(&json!("org_1")), Some(Some(&client))).unwrap();
        assert_eq!(of(json!(CLIENT)), Tenant::Client(CLIENT.parse().unwrap()));
        for client in [
            json!(""),
            json!("org_1"),
            json!(CLIENT.to_uppercase()),
            json!([CLIENT]),
            json!(false),
            json!(0),
            json!({}),
        ] {
            assert_eq!(of(client.clone()), Tenant::NoOrganization, "{client}");
        }
        assert_eq!(
            tenant(Some(&json!("org_1")), Some(None)),
            Ok(Tenant::NoOrganization)
        );
        assert!(tenant(Some(&json!("a b")), Some(Some(&json!(CLIENT)))).is_err());
    }

    #[test]
    fn an_audience_is_ours_or_contains_ours() {
        for audience in [json!("api"), json!(["api"]), json!(["other", "api"])] {
            assert!(is_for(Some(&audience), "api"), "{audience}");
        }
        for audience in [
            json!("API"),
            json!("api "),
            json!("other api"),
            json!([]),
            json!(["other"]),
            json!([["api"]]),
            json!(["api", 7]),
            json!(7),
            json!({"api": true}),
            json!(true),
        ] {
            assert!(!is_for(Some(&audience), "api"), "{audience}");
        }
        assert!(!is_for(None, "api"));
    }

    #[test]
    fn times_hold_with_half_a_minute_of_leeway() {
        let now = Timestamp::from_seconds(1_000_000);
        let check = |claims: Value| check_times(claims.as_object().unwrap(), now);
        let ok = |claims: Value| assert_eq!(check(claims.clone()), Ok(()), "{claims}");
        ok(json!({"exp": 1_000_001}));
        ok(json!({"exp": 999_970.5}));
        ok(json!({"exp": 1e300, "nbf": -1e300, "iat": -1}));
        ok(json!({"exp": u64::MAX, "nbf": i64::MIN, "iat": 0}));
        ok(json!({"exp": 1_000_001, "nbf": 1_000_030, "iat": 1_000_030}));
        for exp in [
            json!(999_970),
            json!(999_969.9),
            json!(0),
            json!(-1e308),
            json!(i64::MIN),
        ] {
            assert_eq!(check(json!({"exp": exp})), Err(AuthError::ExpiredToken), "{exp}");
        }
        for claims in [
            json!({}),
            json!({"exp": null}),
            json!({"exp": "1000001"}),
            json!({"exp": [1_000_001]}),
            json!({"exp": true}),
            json!({"exp": 1_000_001, "nbf": 1_000_030.5}),
            json!({"exp": 1_000_001, "iat": 1_000_031}),
            json!({"exp": 1_000_001, "iat": 1e308}),
            json!({"exp": 1_000_001, "nbf": null}),
            json!({"exp": 1_000_001, "iat": "999999"}),
        ] {
            assert!(
                matches!(check(claims.clone()), Err(AuthError::InvalidToken(_))),
                "{claims}"
            );
        }
    }
}
