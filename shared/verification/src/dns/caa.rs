//! Whether the operator's certificate authorities may issue for a hostname (RFC 8659).

use hickory_proto::rr::{Name, RData, RecordType, rdata::CAA};

use super::{
    evidence::Gatherer,
    lookup::{Response, ServerCount, Step, Unresolved},
    wire::Failure,
};

/// The property tags that are understood. A critical property with another tag forbids issuance (section 4.1).
const TAGS: [&str; 5] = ["issue", "issuewild", "iodef", "issuemail", "issuevmc"];

/// Why no certificate may be issued.
#[derive(Debug, Clone)]
pub(crate) struct CaaProblem {
    /// Where the CAA records are, or should be.
    pub name: Name,
    pub step: Option<Step>,
    /// The records of this name permit none of these certificate authorities. `None`: the lookup failed.
    pub forbidden: Option<Vec<String>>,
}

impl Gatherer<'_> {
    /// Climbs from the hostname to the first name with CAA records, and follows aliases at each name (section 3).
    pub async fn caa(&self) -> Option<CaaProblem> {
        let authorities = self.client.operator.certificate_authorities;
        if authorities.is_empty() {
            return None;
        }
        let mut name = self.expected.hostname.clone();
        while !name.is_root() {
            let mut lookup = self.client.follow(&name, RecordType::CAA, ServerCount::One).await;
            let forbidden = match &lookup.result {
                Ok(Response::NoData | Response::NxDomain) => {
                    name = name.base_name();
                    continue;
                }
                Ok(Response::Answer(records)) if may_issue(records, authorities) => return None,
                Ok(Response::Answer(_)) => Some(authorities.to_vec()),
                // The check ended first.
                Err(Unresolved::Failed(Failure::BudgetExhausted)) => return None,
                _ => None,
            };
            let target = lookup.aliases.pop().filter(|_| forbidden.is_some());
            return Some(CaaProblem {
                name: target.unwrap_or(name),
                step: lookup.steps.pop(),
                forbidden,
            });
        }
        None
    }
}

/// Whether the records permit one of `authorities` to issue. Without an `issue` property anyone may (section 4.2).
fn may_issue(records: &[RData], authorities: &[String]) -> bool {
    let set = records.iter().filter_map(|record| match record {
        RData::CAA(caa) => Some(caa),
        _ => None,
    });
    let set: Vec<&CAA> = set.collect();
    let known = |caa: &&CAA| TAGS.iter().any(|tag| caa.tag.eq_ignore_ascii_case(tag));
    if set.iter().any(|caa| caa.issuer_critical && !known(caa)) {
        return false;
    }
    let mut issuers = set
        .iter()
        .filter(|caa| caa.tag.eq_ignore_ascii_case("issue"))
        .peekable();
    issuers.peek().is_none()
        || issuers.any(|caa| {
            let value = String::from_utf8_lossy(&caa.value);
            let issuer = value.split(';').next().unwrap_or_default().trim();
            authorities
                .iter()
                .any(|authority| authority.eq_ignore_ascii_case(issuer))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issue_properties_and_critical_unknown_properties_decide() {
        let caa = |critical: bool, tag: &str, value: &str| {
            let mut caa = CAA::new_issue(critical, None, Vec::new());
            caa.tag = tag.to_owned();
            caa.value = value.as_bytes().to_vec();
            RData::CAA(caa)
        };
        let ours = ["letsencrypt.org".to_owned(), "amazon.com".to_owned()];
        for (set, may) in [
            (vec![caa(false, "issue", "letsencrypt.org")], true),
            (vec![caa(false, "ISSUE", " Amazon.com ; account=1")], true),
            (
                vec![
                    caa(false, "issue", "other.test"),
                    caa(false, "issue", "amazon.com"),
                ],
                true,
            ),
            (vec![caa(false, "issue", "other.test")], false),
            (vec![caa(false, "issue", ";")], false),
            (vec![caa(false, "issue", "")], false),
            (
                vec![
                    caa(false, "issuewild", "other.test"),
                    caa(false, "iodef", "mailto:a@b.test"),
                ],
                true,
            ),
            (
                vec![caa(true, "tbs", "x"), caa(false, "issue", "amazon.com")],
                false,
            ),
            (vec![caa(false, "tbs", "x")], true),
        ] {
            assert_eq!(may_issue(&set, &ours), may, "{set:?}");
        }
    }
}
