//! The setup page: what the person who runs the DNS of a custom domain sees. It needs no script and no inline style.

use std::cmp::Reverse;

use askama::Template;
use shared::models::{
    color::Color,
    domain::{DnsRecord, Finding, Level, PortalDomain, RecordState, ServerAnswer, Status},
    portal::PublicBranding,
    time::Timestamp,
};

pub use crate::setup_words::Language;
use crate::setup_words::{Summary, Words, german_finding};

/// What the page shows.
#[derive(Clone, Copy)]
pub struct SetupView<'a> {
    pub domain: &'a PortalDomain,
    pub branding: &'a PublicBranding,
    /// The page of the DNS provider where records are edited.
    pub provider_url: Option<&'a str>,
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
pub fn render(view: &SetupView<'_>, language: Language) -> Result<String, askama::Error> {
    let page = Page {
        view,
        language,
        words: language.words(),
        summary: language.summary(view.domain.status, view.domain.routing),
    };
    page.render()
}

/// The page of a link that does not exist, has expired or was deleted. It has no style sheet, because no portal is known.
///
/// # Errors
/// As those of [`render`].
pub fn render_ended(language: Language) -> Result<String, askama::Error> {
    let words = language.words();
    EndedPage { words }.render()
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

impl Language {
    /// The better of German and English by an `Accept-Language` header (RFC 9110, section 12.5.4). English if neither is better, or
    /// neither is accepted. Of two languages with the same quality the first one counts.
    pub fn from_accept(header: Option<&str>) -> Self {
        let ranges = header.unwrap_or_default().split(',').filter_map(language_range);
        let ranges: Vec<_> = ranges.collect();
        // A reader of any variant (`de-AT`) can read the page.
        let rank = |wanted: &str| {
            let ranked = |name: &str| {
                let ranges = ranges.iter().enumerate();
                ranges
                    .filter(|(_, (language, _))| language.eq_ignore_ascii_case(name))
                    .map(|(position, (_, quality))| (*quality, Reverse(position)))
                    .max()
            };
            ranked(wanted).or_else(|| ranked("*"))
        };
        match rank("de") {
            german @ Some((1.., _)) if german > rank("en") => Self::German,
            _ => Self::English,
        }
    }
}

/// The primary subtag of a language range, and its quality in thousandths. `None` if the quality is malformed.
fn language_range(range: &str) -> Option<(&str, u16)> {
    let mut parts = range.split(';').map(str::trim);
    let language = parts.next()?.split('-').next()?;
    let quality = match parts.next() {
        None => 1.0,
        Some(weight) => {
            let (name, value) = weight.split_once('=')?;
            let value: f32 = value.parse().ok()?;
            Some(value).filter(|value| name.eq_ignore_ascii_case("q") && (0.0..=1.0).contains(value))?
        }
    };
    Some((language, (quality * 1000.0).round() as u16))
}

#[derive(Template)]
#[template(path = "setup_ended.html", whitespace = "minimize")]
struct EndedPage {
    words: &'static Words,
}

#[derive(Template)]
#[template(path = "setup.html", whitespace = "minimize")]
struct Page<'a> {
    view: &'a SetupView<'a>,
    language: Language,
    words: &'static Words,
    summary: Summary,
}

impl Page<'_> {
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

    fn checked_at(&self) -> Option<Timestamp> {
        self.view.domain.check.as_ref()?.checked_at
    }

    fn next_check_at(&self) -> Option<Timestamp> {
        self.view.domain.check.as_ref()?.next_check_at
    }

    fn zone(&self) -> Option<&str> {
        let zone = self.view.domain.check.as_ref()?.zone.as_ref()?;
        Some(zone.as_str())
    }

    fn provider(&self) -> Option<&str> {
        self.view.domain.check.as_ref()?.provider.as_deref()
    }

    fn name_servers(&self) -> &[String] {
        let check = self.view.domain.check.as_ref();
        check.map_or(&[], |check| &check.nameservers)
    }

    fn findings(&self) -> &[Finding] {
        let check = self.view.domain.check.as_ref();
        check.map_or(&[], |check| &check.findings)
    }

    fn time(&self, time: &Timestamp) -> String {
        self.language.time(*time)
    }

    fn level(&self, finding: &Finding) -> &'static str {
        self.language.level(finding.level)
    }

    fn level_class(&self, finding: &Finding) -> &'static str {
        match finding.level {
            Level::Error => "bad",
            Level::Unknown | Level::Warning => "open",
        }
    }

    /// What was found. The sentences of a check are in English.
    fn found<'f>(&self, finding: &'f Finding) -> &'f str {
        match self.language {
            Language::German => german_finding(finding.code).0,
            Language::English => &finding.detail,
        }
    }

    fn fix<'f>(&self, finding: &'f Finding) -> &'f str {
        match self.language {
            Language::German => german_finding(finding.code).1,
            Language::English => &finding.fix,
        }
    }

    fn purpose(&self, record: &DnsRecord) -> &'static str {
        self.language.purpose(record.purpose)
    }

    fn type_note(&self, record: &DnsRecord) -> &'static str {
        self.language.type_note(record.kind)
    }

    fn state(&self, record: &DnsRecord) -> &'static str {
        self.language.record_state(record.state)
    }

    fn state_class(&self, record: &DnsRecord) -> &'static str {
        match record.state {
            RecordState::Found => "good",
            RecordState::Missing | RecordState::Wrong => "bad",
            RecordState::Unreachable => "open",
            RecordState::Unchecked => "unchecked",
        }
    }

    /// What the name servers answered instead of a record that is wrong: the answers of the findings about this record.
    fn found_instead(&self, record: &DnsRecord) -> Vec<&ServerAnswer> {
        if record.state != RecordState::Wrong {
            return Vec::new();
        }
        let is_about = |finding: &&Finding| {
            let expected = finding.expected.as_deref();
            expected == Some(&record.value) || expected == Some(&record.name)
        };
        let mut answers = Vec::new();
        for answer in self
            .findings()
            .iter()
            .filter(is_about)
            .flat_map(|finding| &finding.observed)
        {
            if !answers.contains(&answer) {
                answers.push(answer);
            }
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use shared::models::{
        branding::BrandingSettings,
        domain::{Check, Domain, FindingCode, Routing, Token},
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

    fn domain(status: Status, routing: Routing) -> PortalDomain {
        let names = HostPolicy {
            portal_domain: hostname("portal.example.com"),
            target: hostname("cname.portal.example.com"),
            allow_special_use: false,
        };
        let org: OrgId = "org_acme".parse().unwrap();
        let token = Token::new([5; 16]);
        let domain = Domain::custom(DomainId::new(NOW), org, hostname("portal.acme.com"), token, NOW);
        let mut domain = domain.show(&names, &[]);
        domain.status = status;
        domain.routing = routing;
        domain.check = Some(Check {
            checked_at: Some(NOW),
            next_check_at: Some(NOW),
            zone: Some(hostname("acme.com")),
            nameservers: vec!["ns1.acme.com".to_owned(), "ns2.acme.com".to_owned()],
            provider: Some("Cloudflare".to_owned()),
            ..Check::default()
        });
        domain
    }

    fn with_findings(mut domain: PortalDomain, findings: Vec<Finding>) -> PortalDomain {
        domain.check.as_mut().unwrap().findings = findings;
        domain
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

    fn page(domain: &PortalDomain, branding: &PublicBranding, reload: bool, language: Language) -> String {
        let view = SetupView {
            domain,
            branding,
            provider_url: Some("https://dash.cloudflare.com/?to=/:account/:zone/dns"),
            expires_at: NOW,
            path: PATH,
            reload,
        };
        render(&view, language).unwrap()
    }

    fn pages(domain: &PortalDomain) -> [String; 2] {
        [Language::German, Language::English].map(|language| page(domain, &branding(), true, language))
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
    fn the_better_language_of_the_header_is_taken() {
        use Language::{English, German};
        for (header, language) in [
            ("de", German),
            ("DE-at", German),
            ("de-CH, en;q=0.9", German),
            ("en;q=0.8, de;q=0.9", German),
            ("fr, de;q=0.3", German),
            ("de, en", German),
            ("en, de", English),
            ("en;q=0.9,de;q=0.8", English),
            ("en;q=0, *", German),
            ("en;q=0, *;q=0.1", German),
            ("de;q=0", English),
            ("de;q=0, *", English),
            ("de;q=0, en;q=0", English),
            ("de ; Q=0.001", German),
            ("de;q=2", English),
            ("de;q=NaN", English),
            ("de;q", English),
            ("den", English),
            ("*", English),
            ("fr", English),
            (",;,=", English),
            ("", English),
        ] {
            assert_eq!(Language::from_accept(Some(header)), language, "{header:?}");
        }
        assert_eq!(Language::from_accept(None), English);
    }

    #[test]
    fn each_state_has_a_page_in_each_language_with_no_sentence_in_common() {
        for status in Status::iter() {
            for routing in Routing::iter() {
                for state in RecordState::iter() {
                    let mut domain = domain(status, routing);
                    for record in &mut domain.records {
                        record.state = state;
                    }
                    let [german, english] = pages(&domain);
                    assert!(german.contains("<html lang=\"de\">") && english.contains("<html lang=\"en\">"));
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

    #[test]
    fn each_finding_is_in_german_on_the_german_page_and_as_written_on_the_english_one() {
        let mut seen = BTreeSet::new();
        for code in FindingCode::iter() {
            for level in Level::iter() {
                let domain = domain(Status::Pending, Routing::Unknown);
                let [german, english] = pages(&with_findings(domain, vec![finding(code, level)]));
                assert!(!german.contains("An English"), "{code:?}");
                assert!(english.contains("An English detail.") && english.contains("An English fix."));
                for page in [&german, &english] {
                    assert!(
                        page.contains("expected.test") && page.contains("other.test"),
                        "{code:?}"
                    );
                }
                let common: Vec<_> = sentences(&german)
                    .intersection(&sentences(&english))
                    .cloned()
                    .collect();
                assert!(common.is_empty(), "{code:?}: {common:?}");
            }
            assert!(
                seen.insert(german_finding(code).0),
                "{code:?} has the sentence of another code"
            );
        }
    }

    #[test]
    fn a_wrong_record_shows_what_was_found_where() {
        let mut domain = domain(Status::Pending, Routing::Unknown);
        let [txt, cname] = &mut domain.records[..] else {
            panic!("{:?}", domain.records);
        };
        txt.state = RecordState::Missing;
        cname.state = RecordState::Wrong;
        let finding = finding(FindingCode::WrongValue, Level::Error).with_expected(&cname.value);
        let [german, english] = pages(&with_findings(domain, vec![finding]));
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
            let domain = domain(status, Routing::Unknown);
            let [on, off] = [true, false].map(|reload| page(&domain, &branding(), reload, Language::English));
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
            let mut domain = with_findings(domain(status, Routing::Unknown), vec![finding.clone()]);
            let check = domain.check.as_mut().unwrap();
            check.provider = Some(hostile.to_owned());
            check.nameservers = vec![hostile.to_owned()];
            for record in &mut domain.records {
                record.state = RecordState::Wrong;
                record.value = hostile.to_owned();
                record.host = hostile.to_owned();
            }
            let mut branding = branding();
            branding.settings.portal_name = Some("\"><script>alert('x')</script>".parse().unwrap());
            branding.settings.footer_text = Some("</footer><script>\n\"'".parse().unwrap());
            for language in [Language::German, Language::English] {
                let html = page(&domain, &branding, false, language);
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
        for html in pages(&domain(Status::Pending, Routing::Unknown)) {
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
        let mut domain = domain(Status::Pending, Routing::Unknown);
        domain.check = None;
        let plain = PublicBranding::new(&"org_acme".parse().unwrap(), None, BrandingSettings::default());
        let html = page(&domain, &plain, false, Language::German);
        assert!(html.contains("Das DNS wurde noch nicht geprüft."));
        assert!(!html.contains("<img") && html.contains(">Portal</strong>"));
        assert!(stylesheet(&plain).starts_with(":root { }"));
    }

    #[test]
    fn times_are_written_as_people_write_them() {
        assert_eq!(Language::German.time(NOW), "23. November 2026, 17:00 Uhr (UTC)");
        assert_eq!(Language::English.time(NOW), "23 November 2026, 17:00 (UTC)");
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
