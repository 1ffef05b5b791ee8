//! Whether the operator's certificate authorities may issue for a hostname (RFC 8659, RFC 8657).

use std::str;

use hickory_proto::rr::{Name, RData, RecordType, rdata::CAA};

use super::{
    evidence::Gatherer,
    lookup::{Response, ServerCount, Step, Unresolved},
    wire::Failure,
};

/// The property tags that are understood. A critical property with another tag forbids issuance (section 4.1).
const TAGS: [&str; 5] = ["issue", "issuewild", "iodef", "issuemail", "issuevmc"];
/// The reserved flag that people set for the critical one, because they count its bits from the other end. Let's Encrypt
/// treats it as critical too.
const MISTAKEN_CRITICAL: u8 = 1;
/// The validation methods of an edge that obtains its certificates by itself (RFC 8555, section 8.3; RFC 8737).
const METHODS: [&str; 2] = ["http-01", "tls-alpn-01"];

/// Why no certificate may be issued.
#[derive(Debug, Clone)]
pub(crate) struct CaaProblem {
    /// Where the CAA records are, or should be.
    pub name: Name,
    pub step: Option<Step>,
    /// The name leads to the operator's target, so the records are the operator's.
    pub is_operators: bool,
    /// `None`: the lookup failed.
    pub forbidden: Option<Forbidden>,
}

/// The records of a name permit none of the operator's certificate authorities.
#[derive(Debug, Clone)]
pub(crate) struct Forbidden {
    /// The first of these authorities.
    pub authority: String,
    pub reason: Reason,
}

/// Why a CAA record does not permit the operator's certificate authorities. The first one says most.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// The property of this tag is critical and unknown.
    Critical { tag: String },
    /// The record permits the authority with these validation methods only.
    Methods { authority: String, methods: String },
    /// The record permits the authority for this account only. It may be the operator's.
    Account { authority: String, uri: String },
    /// The value is outside the grammar, or has a parameter twice.
    Malformed,
    /// The record names another authority, or none.
    Unnamed,
}

impl Gatherer<'_> {
    /// Climbs from the hostname to the first name with CAA records, and follows aliases at each name (section 3).
    pub async fn caa(&self) -> Option<CaaProblem> {
        let authorities = self.client.operator.certificate_authorities;
        let authority = authorities.first()?;
        let mut name = self.expected.hostname.clone();
        while !name.is_root() {
            let follow = |count| self.client.follow(&name, RecordType::CAA, count);
            let mut lookup = follow(ServerCount::One).await;
            // One server that fails does not speak for the others.
            if lookup.is_unknown() {
                lookup = follow(ServerCount::Two).await;
            }
            let reason = match &lookup.result {
                Ok(Response::NoData | Response::NxDomain) => {
                    name = name.base_name();
                    continue;
                }
                Ok(Response::Answer(records)) => Some(refusal(records, authorities)?),
                // The hostname's own aliases lead nowhere. The finding about its CNAME record says so.
                Err(Unresolved::AliasLoop | Unresolved::TooManyAliases) if name == self.expected.hostname => {
                    return None;
                }
                // The check ended first, or the records are just being changed.
                Err(Unresolved::Failed(Failure::BudgetExhausted) | Unresolved::Conflict) => return None,
                _ => None,
            };
            // Of another domain behind an alias no records are shown.
            let step = lookup.steps.pop();
            let is_operators = lookup
                .aliases
                .iter()
                .any(|alias| self.client.operator.is_target(alias));
            let is_shown = is_operators || step.as_ref().is_none_or(|step| !step.is_foreign);
            let target = match is_shown {
                true => lookup.aliases.last(),
                false => lookup.last_own_alias(),
            };
            let forbidden = reason.map(|reason| Forbidden {
                authority: authority.clone(),
                reason: if is_shown { reason } else { Reason::Unnamed },
            });
            return Some(CaaProblem {
                name: target.filter(|_| forbidden.is_some()).cloned().unwrap_or(name),
                step,
                is_operators,
                forbidden,
            });
        }
        None
    }
}

/// Why the records permit none of `authorities` to issue. Without an `issue` property anyone may (section 4.2).
fn refusal(records: &[RData], authorities: &[String]) -> Option<Reason> {
    let set = records.iter().filter_map(|record| match record {
        RData::CAA(caa) => Some(caa),
        _ => None,
    });
    let is_unknown = |caa: &&CAA| !TAGS.iter().any(|tag| caa.tag.eq_ignore_ascii_case(tag));
    let is_critical = |caa: &&CAA| caa.issuer_critical || caa.reserved_flags & MISTAKEN_CRITICAL != 0;
    if let Some(caa) = set.clone().filter(is_unknown).find(is_critical) {
        let tag = caa.tag.clone();
        return Some(Reason::Critical { tag });
    }
    let issuers = set.filter(|caa| caa.tag.eq_ignore_ascii_case("issue"));
    let mut reasons = Vec::new();
    for caa in issuers {
        reasons.push(permit(&caa.value, authorities).err()?);
    }
    reasons.into_iter().min()
}

/// Whether the value of an `issue` property permits one of `authorities`.
fn permit(value: &[u8], authorities: &[String]) -> Result<(), Reason> {
    let (issuer, parameters) = parse(value).ok_or(Reason::Malformed)?;
    let is_issuer = |authority: &&String| authority.eq_ignore_ascii_case(issuer);
    let authority = authorities.iter().find(is_issuer).ok_or(Reason::Unnamed)?;
    // Two restrictions of a kind cannot be met together (RFC 8657, section 3).
    let restriction = |tag: &str| {
        let mut values = parameters
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(tag));
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Reason::Malformed),
            (first, None) => Ok(first.map(|(_, value)| *value)),
        }
    };
    let (methods, uri) = (restriction("validationmethods")?, restriction("accounturi")?);
    if let Some(methods) = methods.filter(|methods| !methods.split(',').any(|one| METHODS.contains(&one))) {
        return Err(Reason::Methods {
            authority: authority.clone(),
            methods: methods.to_owned(),
        });
    }
    match uri {
        None => Ok(()),
        Some(uri) => Err(Reason::Account {
            authority: authority.clone(),
            uri: uri.to_owned(),
        }),
    }
}

/// The issuer's domain name, which may be empty, and the parameters of an `issue` property. `None`: the value is outside the
/// grammar of section 4.2.
fn parse(value: &[u8]) -> Option<(&str, Vec<(&str, &str)>)> {
    fn trim(text: &str) -> &str {
        text.trim_matches([' ', '\t'])
    }
    // The grammar of a label of the domain name is that of a parameter's tag.
    fn is_label(text: &str) -> bool {
        let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !text.is_empty() && !text.starts_with('-') && !text.ends_with('-') && text.bytes().all(is_inside)
    }
    let (issuer, parameters) = match str::from_utf8(value).ok()?.split_once(';') {
        Some((issuer, parameters)) => (trim(issuer), trim(parameters)),
        None => (trim(str::from_utf8(value).ok()?), ""),
    };
    if !issuer.is_empty() && !issuer.split('.').all(is_label) {
        return None;
    }
    if parameters.is_empty() {
        return Some((issuer, Vec::new()));
    }
    let parameters = parameters.split(';').map(|parameter| {
        let (tag, value) = parameter.split_once('=')?;
        let (tag, value) = (trim(tag), trim(value));
        let is_value = value.bytes().all(|byte| byte.is_ascii_graphic());
        (is_label(tag) && is_value).then_some((tag, value))
    });
    Some((issuer, parameters.collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caa(flags: u8, tag: &str, value: &str) -> RData {
        let mut caa = CAA::new_issue(flags >= 128, None, Vec::new());
        caa.reserved_flags = flags % 128;
        caa.tag = tag.to_owned();
        caa.value = value.as_bytes().to_vec();
        RData::CAA(caa)
    }

    fn why(set: &[RData]) -> Option<Reason> {
        refusal(set, &["letsencrypt.org".to_owned(), "amazon.com".to_owned()])
    }

    fn issue(values: &[&str]) -> Option<Reason> {
        let set: Vec<_> = values.iter().map(|value| caa(0, "issue", value)).collect();
        why(&set)
    }

    fn methods(methods: &str) -> Option<Reason> {
        Some(Reason::Methods {
            authority: "letsencrypt.org".to_owned(),
            methods: methods.to_owned(),
        })
    }

    fn account(uri: &str) -> Option<Reason> {
        Some(Reason::Account {
            authority: "letsencrypt.org".to_owned(),
            uri: uri.to_owned(),
        })
    }

    #[test]
    fn a_record_that_names_an_authority_permits_it() {
        for values in [
            &["letsencrypt.org"][..],
            &["LetsEncrypt.ORG"],
            &["other.test", "amazon.com"],
            &[";", "amazon.com"],
            &["%%%%%", "amazon.com"],
            &[" \tletsencrypt.org\t "],
            &["letsencrypt.org;"],
            &["letsencrypt.org ; "],
            &["letsencrypt.org; foo=bar;baz=b,a/r"],
            &["letsencrypt.org;a = ; b-2=%=%"],
            &["letsencrypt.org; validationmethods=http-01"],
            &["letsencrypt.org; validationmethods=dns-01,tls-alpn-01"],
            &["letsencrypt.org; validationmethods=dns-01", "letsencrypt.org"],
            &[
                "letsencrypt.org; accounturi=https://ca.test/1",
                "letsencrypt.org; validationmethods=http-01",
            ],
        ] {
            assert_eq!(issue(values), None, "{values:?}");
        }
    }

    #[test]
    fn the_reason_of_a_refusal_is_the_one_that_says_most() {
        for (values, reason) in [
            (&["other.test"][..], Some(Reason::Unnamed)),
            (&[";"], Some(Reason::Unnamed)),
            (&[""], Some(Reason::Unnamed)),
            (&["; validationmethods=http-01"], Some(Reason::Unnamed)),
            (&["xletsencrypt.org"], Some(Reason::Unnamed)),
            (&["%%%%%"], Some(Reason::Malformed)),
            (&["letsencrypt.org."], Some(Reason::Malformed)),
            (&["letsencrypt.org; %%%%%"], Some(Reason::Malformed)),
            (&["letsencrypt.org; a=b;"], Some(Reason::Malformed)),
            (&["letsencrypt.org; a_b=123"], Some(Reason::Malformed)),
            (&["letsencrypt.org; ab=1 2 3"], Some(Reason::Malformed)),
            (&["letsencrypt.org; ab=é"], Some(Reason::Malformed)),
            (&["letsencrypt.org letsencrypt.org"], Some(Reason::Malformed)),
            (&["letsencrypt.org,amazon.com"], Some(Reason::Malformed)),
            (&["\"letsencrypt.org\""], Some(Reason::Malformed)),
            (
                &["letsencrypt.org; validationmethods=http-01; validationmethods=http-01"],
                Some(Reason::Malformed),
            ),
            (&["letsencrypt.org; validationmethods=dns-01"], methods("dns-01")),
            (&["letsencrypt.org; validationmethods="], methods("")),
            (
                &["letsencrypt.org; validationmethods=HTTP-01"],
                methods("HTTP-01"),
            ),
            (&["letsencrypt.org; ValidationMethods=dns-01"], methods("dns-01")),
            (
                &["letsencrypt.org; accounturi=https://ca.test/1; validationmethods=dns-01"],
                methods("dns-01"),
            ),
            (
                &["letsencrypt.org; accounturi=https://ca.test/1; validationmethods=http-01"],
                account("https://ca.test/1"),
            ),
            (&["other.test", "%", "letsencrypt.org;accounturi=x"], account("x")),
            (&["other.test", "letsencrypt.org; %"], Some(Reason::Malformed)),
        ] {
            assert_eq!(issue(values), reason, "{values:?}");
        }
    }

    #[test]
    fn critical_properties_that_are_unknown_forbid_and_all_others_are_ignored() {
        let ours = || caa(0, "issue", "letsencrypt.org");
        for (set, forbids) in [
            (vec![caa(128, "tbs", "x"), ours()], true),
            (vec![caa(1, "tbs", "x"), ours()], true),
            (vec![caa(2, "tbs", "x"), ours()], false),
            (vec![caa(0, "tbs", "x")], false),
            (vec![caa(128, "ISSUE", "letsencrypt.org")], false),
            (vec![caa(128, "IssueMail", "other.test"), ours()], false),
            (
                vec![
                    caa(0, "issuewild", "other.test"),
                    caa(0, "iodef", "mailto:a@b.test"),
                ],
                false,
            ),
        ] {
            let tag = "tbs".to_owned();
            let reason = forbids.then_some(Reason::Critical { tag });
            assert_eq!(why(&set), reason, "{set:?}");
        }
    }
}
