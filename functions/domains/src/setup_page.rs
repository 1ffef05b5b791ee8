//! The setup page: what the person who runs the DNS of a custom domain sees. It needs no script and no inline style.

use askama::Template;
use shared::models::{
    color::Color,
    domain::{
        Certificate, CertificateState, Check, DnsRecord, Domain, FindingCode, FindingText, Level,
        RecordState, RecordType, ServerAnswer, Status,
    },
    language::Locale,
    portal::PublicBranding,
    time::Timestamp,
};

use crate::setup_words::{Mark, Summary, Words};

/// What the page shows.
#[derive(Clone, Copy)]
pub struct SetupView<'a> {
    pub domain: &'a Domain,
    pub records: &'a [DnsRecord],
    pub branding: &'a PublicBranding,
    pub expires_at: Timestamp,
    /// The path of the page itself.
    pub path: &'a str,
    /// Whether the page reloads itself while the domain is pending.
    pub reload: bool,
}

/// The page as HTML.
///
/// # Errors
/// Those of the template library. Writing into memory causes none.
pub fn render(view: &SetupView<'_>, locale: Locale) -> Result<String, askama::Error> {
    let words = Words::of(locale);
    let unchecked = Check::default();
    let check = view.domain.check.as_ref().unwrap_or(&unchecked);
    let findings = findings(check, &view.domain.german_findings, words);
    let is_about_a_record =
        |finding: &&FindingView<'_>| view.records.iter().any(|record| finding.is_about(record));
    let others = findings.iter().filter(|finding| !is_about_a_record(finding));
    let (warnings, problems) = others.copied().partition(|finding| finding.mark == Mark::Warning);
    let page = SetupPage {
        view,
        words,
        summary: words.summary(view.domain.status, view.domain.routing),
        check,
        certificate: view
            .domain
            .tls
            .as_ref()
            .map(|tls| CertificateView::new(tls, words)),
        records: view
            .records
            .iter()
            .map(|record| RecordView::new(record, view.domain, &findings, words))
            .collect(),
        problems,
        warnings,
    };
    page.render()
}

/// The findings in the language of the page.
fn findings<'a>(check: &'a Check, german: &'a [FindingText], words: &Words) -> Vec<FindingView<'a>> {
    let german = match words.locale {
        Locale::English => &[],
        // Empty for a check of an earlier version of this program.
        Locale::German => german,
    };
    let findings = check.findings.iter().enumerate();
    findings
        // The state of each record says so.
        .filter(|(_, finding)| finding.code != FindingCode::RecordMissing)
        .map(|(index, finding)| {
            let german = german.get(index);
            FindingView {
                level: words.level(finding.level),
                mark: match finding.level {
                    Level::Error => Mark::Bad,
                    Level::Unknown => Mark::Waiting,
                    Level::Warning => Mark::Warning,
                },
                detail: german.map_or(&finding.detail, |german| &german.detail),
                fix: german.map_or(&finding.fix, |german| &german.fix),
                expected: finding.expected.as_deref(),
                observed: &finding.observed,
            }
        })
        .collect()
}

/// The style of the page of a link that is not valid. The page has it inline: a style sheet of its own would need a path without a
/// token, and no portal is known.
pub const ENDED_STYLE: &str = include_str!("../templates/setup_ended.css");

/// The page of a link that does not exist, has expired or was deleted.
///
/// # Errors
/// As those of [`render`].
pub fn render_ended(locale: Locale) -> Result<String, askama::Error> {
    let words = Words::of(locale);
    let style = ENDED_STYLE;
    EndedPage { words, style }.render()
}

/// The style sheet of the page: the colours and the font of the agency or client as custom properties, then the page's own rules.
pub fn stylesheet(branding: &PublicBranding) -> String {
    let (settings, text) = (&branding.settings, &branding.text);
    let color = |color: Color| color.to_string();
    let light = declarations([
        ("primary", settings.primary_color.map(color)),
        ("on-primary", text.on_primary_color.map(color)),
        ("accent", settings.accent_color.map(color)),
        ("on-accent", text.on_accent_color.map(color)),
        (
            "font-family",
            settings.font_family.as_ref().map(ToString::to_string),
        ),
    ]);
    let dark = declarations([
        ("primary", settings.primary_color_dark.map(color)),
        ("on-primary", text.on_primary_color_dark.map(color)),
        ("accent", settings.accent_color_dark.map(color)),
        ("on-accent", text.on_accent_color_dark.map(color)),
    ]);
    // A print is light, even if the screen is dark.
    format!(
        ":root {{{light} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{{dark} }} }}\n{}",
        include_str!("../templates/setup.css")
    )
}

/// A declaration of a custom property for each value that is set.
fn declarations(values: impl IntoIterator<Item = (&'static str, Option<String>)>) -> String {
    let set = values
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    set.map(|(name, value)| format!(" --{name}: {value};")).collect()
}

#[derive(Template)]
#[template(path = "setup_ended.html", whitespace = "minimize")]
struct EndedPage {
    words: &'static Words,
    style: &'static str,
}

#[derive(Template)]
#[template(path = "setup.html", whitespace = "minimize")]
struct SetupPage<'a> {
    view: &'a SetupView<'a>,
    words: &'static Words,
    summary: Summary,
    check: &'a Check,
    certificate: Option<CertificateView<'a>>,
    records: Vec<RecordView<'a>>,
    /// The findings that are about no record.
    problems: Vec<FindingView<'a>>,
    warnings: Vec<FindingView<'a>>,
}

struct CertificateView<'a> {
    mark: Mark,
    state: &'static str,
    detail: String,
    issuer: Option<&'a str>,
}

impl<'a> CertificateView<'a> {
    fn new(certificate: &'a Certificate, words: &Words) -> Self {
        Self {
            mark: match certificate.state {
                CertificateState::Ready => Mark::Good,
                CertificateState::Pending => Mark::Waiting,
                CertificateState::Failing => Mark::Bad,
                CertificateState::Unknown => Mark::Unchecked,
            },
            state: words.certificate_state(certificate.state),
            detail: words.certificate(certificate),
            issuer: certificate.issuer.as_deref(),
        }
    }
}

#[derive(Clone, Copy)]
struct FindingView<'a> {
    level: &'static str,
    mark: Mark,
    detail: &'a str,
    fix: &'a str,
    expected: Option<&'a str>,
    observed: &'a [ServerAnswer],
}

impl FindingView<'_> {
    fn is_about(&self, record: &DnsRecord) -> bool {
        self.expected == Some(&record.value) || self.expected == Some(&record.name)
    }
}

struct RecordView<'a> {
    record: &'a DnsRecord,
    mark: Mark,
    state: &'static str,
    purpose: &'static str,
    /// What a person must know of the record's type.
    note: &'static str,
    /// What is wrong with the record.
    findings: Vec<FindingView<'a>>,
    /// What the name servers answered, if the record is wrong or the answers are no definite ones.
    answers: Vec<&'a ServerAnswer>,
    answers_heading: &'static str,
}

impl<'a> RecordView<'a> {
    fn new(record: &'a DnsRecord, domain: &'a Domain, findings: &[FindingView<'a>], words: &Words) -> Self {
        let findings = findings.iter().filter(|finding| finding.is_about(record));
        let findings: Vec<_> = findings.copied().collect();
        Self {
            record,
            mark: match record.state {
                RecordState::Found => Mark::Good,
                // One of the records is enough.
                RecordState::Missing if domain.status == Status::Verified => Mark::Warning,
                RecordState::Missing | RecordState::Wrong => Mark::Bad,
                RecordState::Unreachable => Mark::Waiting,
                RecordState::Unchecked => Mark::Unchecked,
            },
            state: words.record_state(record.state),
            purpose: words.purpose(record.purpose),
            note: words.type_note(record.kind),
            answers: match record.state {
                RecordState::Wrong | RecordState::Unreachable => answers(record, domain, &findings),
                _ => Vec::new(),
            },
            answers_heading: match record.state {
                RecordState::Wrong => words.found_instead,
                _ => words.observed,
            },
            findings: without_repetitions(findings),
        }
    }
}

/// What the name servers answered for a record: the answers of the findings about it, and for an apex those with addresses.
fn answers<'a>(
    record: &DnsRecord,
    domain: &'a Domain,
    findings: &[FindingView<'a>],
) -> Vec<&'a ServerAnswer> {
    let (a, aaaa): (&[_], &[_]) = match (&domain.apex, record.kind) {
        (Some(apex), RecordType::A) => (&apex.a_answers, &[]),
        (Some(apex), RecordType::Aaaa) => (&[], &apex.aaaa_answers),
        (Some(apex), RecordType::Alias) => (&apex.a_answers, &apex.aaaa_answers),
        _ => (&[], &[]),
    };
    let observed = findings.iter().flat_map(|finding| finding.observed);
    let mut answers = Vec::new();
    for answer in observed.chain(a).chain(aaaa) {
        if !answers.contains(&answer) {
            answers.push(answer);
        }
    }
    answers
}

/// Of findings that ask for the same, the one that says most.
fn without_repetitions(findings: Vec<FindingView<'_>>) -> Vec<FindingView<'_>> {
    let is_repeated = |finding: &FindingView<'_>| {
        let says_more = |other: &FindingView<'_>| {
            let is_longer = other.detail.len() > finding.detail.len();
            is_longer && other.fix == finding.fix && other.detail.starts_with(finding.detail)
        };
        findings.iter().any(says_more)
    };
    findings
        .iter()
        .filter(|finding| !is_repeated(finding))
        .copied()
        .collect()
}

impl SetupPage<'_> {
    fn name(&self) -> &str {
        let name = self.view.branding.settings.portal_name.as_ref();
        name.map_or(self.words.portal, |name| name.as_str())
    }

    fn is_pending(&self) -> bool {
        self.view.domain.status == Status::Pending
    }

    fn reloads(&self) -> bool {
        self.is_pending() && self.view.reload
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use shared::models::{
        branding::BrandingSettings,
        domain::{CertificateProblem, Finding, Routing, Token},
        hostname::{HostPolicy, Hostname},
        id::{DomainId, OrgId},
    };
    use strum::IntoEnumIterator;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_453_200);
    const PATH: &str = "/portal/setup/Vb9zq3F6yX0aL2mN8pQ4rS7tU1wE5cD6fG9hJ0kLzXk";
    fn hostname(text: &str) -> Hostname {
        text.parse().unwrap()
    }

    fn finding(code: FindingCode, level: Level) -> Finding {
        Finding {
            code,
            level,
            detail: "An English detail.".to_owned(),
            fix: "An English fix.".to_owned(),
            expected: Some("expected.test".to_owned()),
            observed: vec![ServerAnswer {
                server: "ns1.acme.com".to_owned(),
                answer: "other.test".to_owned(),
            }],
        }
    }

    /// A domain after a check with these findings.
    fn domain(status: Status, routing: Routing, findings: Vec<Finding>) -> Domain {
        let org: OrgId = "org_acme".parse().unwrap();
        let token = Token::new([5; 16]);
        let domain = Domain::custom(DomainId::new(NOW), org, hostname("portal.acme.com"), token, NOW);
        let german = findings.iter().map(|_| FindingText {
            detail: "Eine deutsche Tatsache.".to_owned(),
            fix: "Ein deutscher Rat.".to_owned(),
        });
        Domain {
            status,
            routing,
            german_findings: german.collect(),
            check: Some(Check {
                checked_at: Some(NOW),
                next_check_at: Some(NOW),
                zone: Some(hostname("acme.com")),
                nameservers: vec!["ns1.acme.com".to_owned(), "ns2.acme.com".to_owned()],
                provider: Some("Cloudflare".to_owned()),
                provider_url: Some("https://dash.cloudflare.com/?to=/:account/:zone/dns".to_owned()),
                findings,
                ..Check::default()
            }),
            ..domain
        }
    }

    fn records(domain: &Domain) -> Vec<DnsRecord> {
        let names = HostPolicy {
            portal_domain: hostname("portal.example.com"),
            target: hostname("cname.portal.example.com"),
            allow_special_use: false,
        };
        domain.records(&names, &[])
    }

    fn branding() -> PublicBranding {
        let settings = BrandingSettings {
            portal_name: Some("Acme".parse().unwrap()),
            logo_url: Some("https://cdn.acme.com/logo.svg".parse().unwrap()),
            logo_dark_url: Some("https://cdn.acme.com/dark.svg".parse().unwrap()),
            imprint_url: Some("https://acme.com/imprint".parse().unwrap()),
            support_url: Some("mailto:dns@acme.com".parse().unwrap()),
            privacy_url: Some("https://acme.com/privacy".parse().unwrap()),
            primary_color: Some("#0b5fff".parse().unwrap()),
            primary_color_dark: Some("#8ab4ff".parse().unwrap()),
            accent_color: Some("#f5d90a".parse().unwrap()),
            font_family: Some("Inter, sans-serif".parse().unwrap()),
            ..BrandingSettings::default()
        };
        PublicBranding::new(&"org_acme".parse().unwrap(), None, settings)
    }

    /// The page of a domain whose records are in this state.
    fn page(domain: &Domain, branding: &PublicBranding, records: &[DnsRecord], locale: Locale) -> String {
        let view = SetupView {
            domain,
            records,
            branding,
            expires_at: NOW,
            path: PATH,
            reload: true,
        };
        render(&view, locale).unwrap()
    }

    fn pages(domain: &Domain) -> [String; 2] {
        [Locale::German, Locale::English].map(|locale| page(domain, &branding(), &records(domain), locale))
    }

    /// The texts of a page that have several words.
    fn sentences(html: &str) -> BTreeSet<String> {
        let texts = html
            .split('<')
            .filter_map(|part| Some(part.split_once('>')?.1.trim()));
        texts
            .filter(|text| text.contains(' '))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn each_state_has_a_page_in_each_language_with_no_sentence_in_common() {
        for status in Status::iter() {
            for routing in Routing::iter() {
                for state in RecordState::iter() {
                    for level in Level::iter() {
                        let mut domain =
                            domain(status, routing, vec![finding(FindingCode::DnsTimeout, level)]);
                        (domain.ownership, domain.route) = (state, state);
                        let [german, english] = pages(&domain);
                        assert!(
                            german.contains("<html lang=\"de\">") && english.contains("<html lang=\"en\">")
                        );
                        assert!(english.contains("_agency-challenge.portal</code>"));
                        let common: Vec<_> = sentences(&german)
                            .intersection(&sentences(&english))
                            .cloned()
                            .collect();
                        assert!(
                            common.is_empty(),
                            "{status:?}, {routing:?}, {state:?}: {common:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn each_page_has_the_findings_in_its_language() {
        let mut domain = domain(
            Status::Pending,
            Routing::Unknown,
            vec![finding(FindingCode::DnsTimeout, Level::Unknown)],
        );
        let [german, english] = pages(&domain);
        assert!(german.contains("Eine deutsche Tatsache.") && german.contains("Ein deutscher Rat."));
        assert!(english.contains("An English detail.") && english.contains("An English fix."));
        assert!(!german.contains("An English") && !english.contains("deutsche"));
        for page in [&german, &english] {
            assert!(page.contains("expected.test") && page.contains("other.test"));
        }
        // As an earlier version stored it.
        domain.german_findings.clear();
        assert!(pages(&domain)[0].contains("An English detail."));
    }

    #[test]
    fn each_state_of_the_certificate_is_in_both_languages() {
        let mut domain = domain(Status::Verified, Routing::Routed, Vec::new());
        let mut seen = BTreeSet::new();
        let problems =
            CertificateProblem::iter().map(|problem| (problem.state(Certificate::ISSUANCE), Some(problem)));
        let others = [
            (CertificateState::Ready, None),
            (CertificateState::Pending, Some(CertificateProblem::NoCertificate)),
        ];
        for (state, problem) in problems.chain(others) {
            domain.tls = Some(Certificate {
                state,
                issuer: Some("<i>TestCA".to_owned()),
                not_after: Some(NOW),
                problem,
                checked_at: NOW,
            });
            let [german, english] = pages(&domain);
            for (page, heading) in [(&german, ">Zertifikat<"), (&english, ">Certificate<")] {
                let (_, line) = page.split_once(heading).unwrap();
                let (line, _) = line.split_once("</dd>").unwrap();
                assert!(line.contains(">&#60;i&#62;TestCA</bdi>"), "{line}");
                assert!(seen.insert(line.to_owned()), "{state:?}, {problem:?}: {line}");
            }
            let common: Vec<_> = sentences(&german)
                .intersection(&sentences(&english))
                .cloned()
                .collect();
            assert!(common.is_empty(), "{state:?}, {problem:?}: {common:?}");
        }
        domain.tls = None;
        assert!(!pages(&domain)[1].contains("Certificate"));
    }

    #[test]
    fn of_findings_that_ask_for_the_same_the_page_shows_one() {
        let mut first = finding(FindingCode::WrongValue, Level::Error);
        first.expected = None;
        let mut second = first.clone();
        second.detail += " More of it.";
        let mut other = first.clone();
        other.detail = "Another detail.".to_owned();
        let mut domain = domain(Status::Pending, Routing::Unknown, vec![first, second, other]);
        let value = records(&domain)[0].value.clone();
        for finding in &mut domain.check.as_mut().unwrap().findings {
            finding.expected = Some(value.clone());
        }
        let page = &pages(&domain)[1];
        assert_eq!(page.matches("An English detail.").count(), 1);
        assert!(page.contains("An English detail. More of it.") && page.contains("Another detail."));
    }

    #[test]
    fn a_wrong_record_shows_what_was_found_where() {
        let mut domain = domain(Status::Pending, Routing::Unknown, Vec::new());
        (domain.ownership, domain.route) = (RecordState::Missing, RecordState::Wrong);
        let finding =
            finding(FindingCode::WrongValue, Level::Error).with_expected(&records(&domain)[1].value);
        domain.check.as_mut().unwrap().findings = vec![finding];
        let [german, english] = pages(&domain);
        for (page, heading) in [(&german, "Stattdessen gefunden"), (&english, "Found instead")] {
            let (_, answers) = page.split_once(heading).unwrap();
            assert!(answers.contains("ns1.acme.com") && answers.contains("other.test"));
            assert_eq!(page.matches(heading).count(), 1);
        }
        assert!(english.contains("Missing") && english.contains("Wrong value"));
    }

    #[test]
    fn only_the_page_of_a_pending_domain_offers_to_reload_or_to_stop() {
        for status in Status::iter() {
            let domain = domain(status, Routing::Unknown, Vec::new());
            let [on, off] = [true, false].map(|reload| {
                let view = SetupView {
                    domain: &domain,
                    records: &[],
                    branding: &branding(),
                    expires_at: NOW,
                    path: PATH,
                    reload,
                };
                render(&view, Locale::English).unwrap()
            });
            let is_pending = status == Status::Pending;
            assert_eq!(on.contains("?reload=false"), is_pending, "{status:?}");
            assert_eq!(off.contains("?reload=true"), is_pending, "{status:?}");
        }
    }

    #[test]
    fn hostile_texts_stay_texts() {
        let hostile = "\"><script>alert('x')</script>\u{202E}\u{2066}&amp;";
        let mut finding = finding(FindingCode::WrongValue, Level::Error);
        finding.detail = hostile.to_owned();
        finding.fix = hostile.to_owned();
        finding.expected = Some(hostile.to_owned());
        finding.observed[0].server = hostile.to_owned();
        finding.observed[0].answer = hostile.to_owned();
        for status in Status::iter() {
            let mut domain = domain(status, Routing::Unknown, vec![finding.clone()]);
            let german = &mut domain.german_findings[0];
            (german.detail, german.fix) = (hostile.to_owned(), hostile.to_owned());
            let check = domain.check.as_mut().unwrap();
            check.provider = Some(hostile.to_owned());
            check.nameservers = vec![hostile.to_owned()];
            let mut records = records(&domain);
            for record in &mut records {
                record.state = RecordState::Wrong;
                record.value = hostile.to_owned();
                record.host = hostile.to_owned();
            }
            let mut branding = branding();
            branding.settings.portal_name = Some("\"><script>alert('x')</script>".parse().unwrap());
            branding.settings.footer_text = Some("</footer><script>\n\"'".parse().unwrap());
            for locale in [Locale::German, Locale::English] {
                let html = page(&domain, &branding, &records, locale);
                assert!(
                    !html.contains("<script") && !html.contains("</footer><"),
                    "{html}"
                );
                assert_eq!(html.matches("</footer>").count(), 1);
                // What may have bidirectional controls is isolated from the text around it.
                for (start, _) in html.match_indices('\u{202E}') {
                    let tag = &html[html[..start].rfind('<').unwrap()..start];
                    assert!(tag.contains("dir=\"") || tag.starts_with("<bdi"), "{tag}");
                }
            }
        }
    }

    #[test]
    fn the_page_needs_no_script_no_inline_style_and_no_form_of_another_origin() {
        for html in pages(&domain(Status::Pending, Routing::Unknown, Vec::new())) {
            for forbidden in [
                "<script",
                " style=",
                "<style",
                "javascript:",
                " onclick",
                "http://",
            ] {
                assert!(!html.contains(forbidden), "{forbidden}");
            }
            assert!(html.contains(&format!("action=\"{PATH}/verify\"")));
            assert!(html.contains(&format!("href=\"{PATH}/style.css\"")));
            for format in ["text", "zone"] {
                assert!(html.contains(&format!("href=\"{PATH}/records?format={format}\"")));
            }
            assert!(html.contains("src=\"https://cdn.acme.com/logo.svg\""));
            assert!(html.contains("srcset=\"https://cdn.acme.com/dark.svg\""));
        }
    }

    #[test]
    fn a_page_without_a_check_and_branding_is_complete() {
        let mut domain = domain(Status::Pending, Routing::Unknown, Vec::new());
        domain.check = None;
        let plain = PublicBranding::new(&"org_acme".parse().unwrap(), None, BrandingSettings::default());
        let html = page(&domain, &plain, &records(&domain), Locale::German);
        assert!(html.contains(">Noch keine<"));
        assert!(!html.contains("<img") && html.contains(">Portal</strong>"));
        assert!(stylesheet(&plain).starts_with(":root { }"));
    }

    #[test]
    fn times_are_written_as_people_write_them() {
        assert_eq!(
            Words::of(Locale::German).time(&NOW),
            "23. November 2026, 17:00 Uhr (UTC)"
        );
        assert_eq!(
            Words::of(Locale::English).time(&NOW),
            "23 November 2026, 17:00 (UTC)"
        );
    }

    #[test]
    fn the_style_sheet_has_the_colours_and_no_url() {
        let css = stylesheet(&branding());
        for declaration in [
            "--primary: #0b5fff;",
            "--on-primary: #ffffff;",
            "--accent: #f5d90a;",
            "--on-accent: #000000;",
            "--font-family: Inter, sans-serif;",
            "--primary: #8ab4ff;",
            "--on-primary: #000000;",
        ] {
            assert!(css.contains(declaration), "{declaration}");
        }
        assert!(!css.contains("url(") && !css.contains("@import") && !css.contains("://"));
    }
}
