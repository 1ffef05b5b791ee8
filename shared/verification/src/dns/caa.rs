//! Whether our certificate authorities may issue for a host name (RFC 8659).

use hickory_proto::rr::{Name, RData, RecordType, rdata::CAA};
use shared::models::domain::{Finding, FindingCode};

use super::{
    Look, Place,
    consensus::{End, Width},
    diagnosis::observed,
    wire::Failure,
    zone,
};

/// The property tags that are understood; a critical one that is not forbids.
const TAGS: [&str; 5] = ["issue", "issuewild", "iodef", "issuemail", "issuevmc"];

impl Look<'_> {
    /// Climbs from the host name to the first name that has CAA records, aliases followed at each (section 3).
    pub(super) async fn caa(&self, place: &Place) -> Option<Finding> {
        let authorities = self.check.subject.certificate_authorities;
        if authorities.is_empty() {
            return None;
        }
        let mut name = self.hostname.clone();
        while !name.is_root() {
            let path = self.check.follow(&name, RecordType::CAA, Width::One).await;
            let shown = path.answers.last().map(observed).unwrap_or_default();
            match &path.end {
                End::Records(records) if !may_issue(records, authorities) => {
                    return Some(self.forbidden(&name, path.chain.last(), shown, place));
                }
                End::Records(_) => return None,
                End::None { .. } => {}
                // Not looked for to the end.
                End::Unknown(Failure::Spent) => return None,
                _ => {
                    return Some(
                        self.finding(
                            FindingCode::CaaUnanswered,
                            format!("DNS does not say whether {} has CAA records.", zone::text(&name)),
                            "Make the name servers answer for CAA records, or no certificate may be issued."
                                .to_owned(),
                            None,
                            shown,
                        ),
                    );
                }
            }
            name = name.base_name();
        }
        None
    }

    fn forbidden(
        &self,
        name: &Name,
        alias: Option<&Name>,
        shown: Vec<shared::models::domain::Observed>,
        place: &Place,
    ) -> Finding {
        let authorities = self.check.subject.certificate_authorities;
        let at = zone::text(alias.unwrap_or(name));
        let issue = format!("0 issue \"{}\"", authorities.first().map_or("", String::as_str));
        self.finding(
            FindingCode::CaaForbids,
            format!(
                "The CAA records of {at} let none of our certificate authorities issue for this host name."
            ),
            format!(
                "Add a CAA record {issue} to {at}{}, beside those that are there.",
                place.at()
            ),
            Some(issue),
            shown,
        )
    }
}

/// Whether one of `authorities` may issue, by this set of records: where there is no `issue` property, anybody may
/// (section 4.2).
fn may_issue(records: &[RData], authorities: &[String]) -> bool {
    let set: Vec<&CAA> = records
        .iter()
        .filter_map(|record| match record {
            RData::CAA(caa) => Some(caa),
            _ => None,
        })
        .collect();
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
    fn what_a_set_of_records_allows() {
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
