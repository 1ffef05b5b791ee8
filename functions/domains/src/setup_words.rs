//! The words of the setup page in each language, except for those of the findings, which a check stores in both.

use shared::models::{
    domain::{
        Certificate, CertificateProblem, CertificateState, Level, Purpose, RecordState, RecordType, Routing,
        Status,
    },
    language::Locale,
    time::Timestamp,
};
use time::OffsetDateTime;

/// The words that are the same for every domain.
pub struct Words {
    pub locale: Locale,
    /// The value of the `lang` attribute.
    pub tag: &'static str,
    /// The name of a portal without `portalName`.
    pub portal: &'static str,
    pub heading: &'static str,
    pub check_again: &'static str,
    pub last_check: &'static str,
    pub never_checked: &'static str,
    pub next_check: &'static str,
    pub certificate: &'static str,
    /// In front of the issuer of the certificate.
    pub issuer: &'static str,
    pub reloads: &'static str,
    pub reload: &'static str,
    pub stop_reloading: &'static str,
    pub what_to_do: &'static str,
    pub findings: &'static str,
    pub warnings: &'static str,
    pub expected: &'static str,
    pub observed: &'static str,
    pub zone: &'static str,
    pub provider: &'static str,
    pub open_provider: &'static str,
    pub name_servers: &'static str,
    pub records: &'static str,
    pub record: &'static str,
    pub records_intro: &'static str,
    pub host: &'static str,
    pub full_name: &'static str,
    pub value: &'static str,
    pub found_instead: &'static str,
    pub copy: &'static str,
    pub as_text: &'static str,
    pub as_zone: &'static str,
    pub valid_until: &'static str,
    pub safety: &'static str,
    pub support: &'static str,
    pub privacy: &'static str,
    pub imprint: &'static str,
    /// The title of the page of a link that does not exist, has expired or was deleted.
    pub ended: &'static str,
    pub ask_for_a_link: &'static str,
}

const ENGLISH: Words = Words {
    locale: Locale::English,
    tag: "en",
    portal: "Portal",
    heading: "DNS setup for",
    check_again: "Check again",
    last_check: "Last check",
    never_checked: "Not yet",
    next_check: "Next check",
    certificate: "Certificate",
    issuer: "Issued by",
    reloads: "This page reloads itself every minute until the domain is verified.",
    reload: "Reload this page every minute",
    stop_reloading: "Stop reloading",
    what_to_do: "What to do next",
    findings: "What the last check found",
    warnings: "What else the last check found",
    expected: "Expected",
    observed: "Answers",
    zone: "Zone",
    provider: "DNS provider",
    open_provider: "Open the DNS settings",
    name_servers: "Name servers",
    records: "DNS records",
    record: "record",
    records_intro: "Enter the host in the form of your DNS provider. If the form asks for the whole name, enter the full name. A click selects a value.",
    host: "Host",
    full_name: "Full name",
    value: "Value",
    found_instead: "Found instead",
    copy: "To copy all records at once:",
    as_text: "as text",
    as_zone: "as a zone file",
    valid_until: "This link is valid until",
    safety: "This page reads public DNS only. It never asks for a password.",
    support: "Support",
    privacy: "Privacy",
    imprint: "Legal notice",
    ended: "This link is not valid",
    ask_for_a_link: "It may have expired. Ask its sender for a new link.",
};

const GERMAN: Words = Words {
    locale: Locale::German,
    tag: "de",
    portal: "Portal",
    heading: "DNS-Einrichtung für",
    check_again: "Erneut prüfen",
    last_check: "Letzte Prüfung",
    never_checked: "Noch keine",
    next_check: "Nächste Prüfung",
    certificate: "Zertifikat",
    issuer: "Ausgestellt von",
    reloads: "Diese Seite lädt sich jede Minute neu, bis die Domain bestätigt ist.",
    reload: "Diese Seite jede Minute neu laden",
    stop_reloading: "Nicht mehr neu laden",
    what_to_do: "Was jetzt zu tun ist",
    findings: "Ergebnis der letzten Prüfung",
    warnings: "Weitere Ergebnisse der letzten Prüfung",
    expected: "Erwartet",
    observed: "Antworten",
    zone: "Zone",
    provider: "DNS-Anbieter",
    open_provider: "DNS-Einstellungen öffnen",
    name_servers: "Nameserver",
    records: "DNS-Einträge",
    record: "Eintrag",
    records_intro: "Geben Sie im Formular Ihres DNS-Anbieters den Host ein. Verlangt das Formular den ganzen Namen, geben Sie den vollständigen Namen ein. Ein Klick wählt einen Wert aus.",
    host: "Host",
    full_name: "Vollständiger Name",
    value: "Wert",
    found_instead: "Stattdessen gefunden",
    copy: "Um alle Einträge auf einmal zu kopieren:",
    as_text: "als Text",
    as_zone: "als Zonendatei",
    valid_until: "Dieser Link gilt bis zum",
    safety: "Diese Seite liest nur öffentliches DNS. Sie fragt nie nach einem Passwort.",
    support: "Hilfe",
    privacy: "Datenschutz",
    imprint: "Impressum",
    ended: "Dieser Link ist nicht gültig",
    ask_for_a_link: "Er kann abgelaufen sein. Bitten Sie seinen Absender um einen neuen Link.",
};

/// How a state looks. Its words say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Good,
    Waiting,
    Warning,
    Bad,
    Unchecked,
}

impl Mark {
    /// The class of the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Waiting | Self::Warning => "open",
            Self::Bad => "bad",
            Self::Unchecked => "unchecked",
        }
    }

    /// The path of the icon, in a square of 16 units.
    pub fn icon(self) -> &'static str {
        match self {
            Self::Good => "M3 8.5 6.5 12 13 4.5",
            Self::Waiting => "M8 4v4l2.5 2M14.5 8a6.5 6.5 0 1 1-13 0 6.5 6.5 0 0 1 13 0",
            Self::Warning => "M8 2.5v7M8 13v.5",
            Self::Bad => "m4 4 8 8m0-8-8 8",
            Self::Unchecked => "M4 8h8",
        }
    }
}

/// The state of a domain, and what to do in it.
pub struct Summary {
    pub mark: Mark,
    pub text: SummaryText,
}

impl Words {
    pub fn of(locale: Locale) -> &'static Self {
        match locale {
            Locale::English => &ENGLISH,
            Locale::German => &GERMAN,
        }
    }

    fn either<T>(&self, english: T, german: T) -> T {
        match self.locale {
            Locale::English => english,
            Locale::German => german,
        }
    }

    pub fn summary(&self, status: Status, routing: Routing) -> Summary {
        let (mark, [english, german]) = summary_texts(status, routing);
        let text = self.either(english, german);
        Summary { mark, text }
    }

    pub fn purpose(&self, purpose: Purpose) -> &'static str {
        match purpose {
            Purpose::Ownership => self.either(
                "Proves that the domain is yours.",
                "Weist nach, dass die Domain Ihnen gehört.",
            ),
            Purpose::Routing => self.either("Leads visitors to the portal.", "Führt Besucher zum Portal."),
        }
    }

    /// What a person must know of a record's type. Empty for the types that every provider has under this name.
    pub fn type_note(&self, kind: RecordType) -> &'static str {
        match kind {
            RecordType::Alias => self.either(
                "Some DNS providers call this type ANAME or flattened CNAME.",
                "Manche DNS-Anbieter nennen diesen Typ ANAME oder CNAME-Flattening.",
            ),
            RecordType::Txt | RecordType::Cname | RecordType::A | RecordType::Aaaa => "",
        }
    }

    pub fn record_state(&self, state: RecordState) -> &'static str {
        match state {
            RecordState::Unchecked => self.either("Not checked yet", "Noch nicht geprüft"),
            RecordState::Found => self.either("Found", "Gefunden"),
            RecordState::Missing => self.either("Missing", "Fehlt"),
            RecordState::Wrong => self.either("Wrong value", "Falscher Wert"),
            RecordState::Unreachable => self.either("No definite answer", "Keine eindeutige Antwort"),
        }
    }

    pub fn level(&self, level: Level) -> &'static str {
        match level {
            Level::Error => self.either("Error", "Fehler"),
            Level::Unknown => self.either("Undecided", "Unklar"),
            Level::Warning => self.either("Warning", "Warnung"),
        }
    }

    pub fn certificate_state(&self, state: CertificateState) -> &'static str {
        match state {
            CertificateState::Ready => self.either("Valid", "Gültig"),
            CertificateState::Pending => self.either("Being issued", "Wird ausgestellt"),
            CertificateState::Failing => self.either("Not valid", "Ungültig"),
            CertificateState::Unknown => self.either("Not checked", "Nicht geprüft"),
        }
    }

    /// What the state of the certificate means, and what to do. The reader of the page cannot change the certificate.
    pub fn certificate(&self, certificate: &Certificate) -> String {
        use CertificateProblem as Problem;
        let date = certificate
            .not_after
            .map(|time| self.date(&time))
            .unwrap_or_default();
        let tell = self.either(
            "Tell the sender of this link.",
            "Sagen Sie es dem Absender dieses Links.",
        );
        let repeated = self.either("The check is repeated.", "Die Prüfung wird wiederholt.");
        let failing =
            |english: &'static str, german: &'static str| format!("{} {tell}", self.either(english, german));
        let unknown = |english: &'static str, german: &'static str| {
            format!("{} {repeated}", self.either(english, german))
        };
        match (certificate.state, certificate.problem) {
            (CertificateState::Pending, _) => {
                let text = self.either("This can take a few minutes.", "Das kann einige Minuten dauern.");
                text.to_owned()
            }
            (_, None) => match self.locale {
                Locale::English => format!("Until {date}."),
                Locale::German => format!("Bis {date}."),
            },
            (_, Some(Problem::NoCertificate)) => failing(
                "The portal has no certificate for this domain.",
                "Das Portal hat kein Zertifikat für diese Domain.",
            ),
            (_, Some(Problem::WrongName)) => {
                failing("It is for another name.", "Es gilt für einen anderen Namen.")
            }
            (_, Some(Problem::Expired)) => match self.locale {
                Locale::English => format!("It expired on {date}. {tell}"),
                Locale::German => format!("Es ist am {date} abgelaufen. {tell}"),
            },
            (_, Some(Problem::NotYetValid)) => failing("It is not valid yet.", "Es gilt noch nicht."),
            (_, Some(Problem::Untrusted)) => failing(
                "Browsers do not trust its issuer.",
                "Browser vertrauen seinem Aussteller nicht.",
            ),
            (_, Some(Problem::Unreachable)) => unknown(
                "The portal accepted no connection.",
                "Das Portal hat keine Verbindung angenommen.",
            ),
            (_, Some(Problem::TimedOut)) => unknown(
                "The portal did not respond in time.",
                "Das Portal hat nicht rechtzeitig geantwortet.",
            ),
            (_, Some(Problem::HandshakeFailed)) => unknown(
                "The portal ended the connection.",
                "Das Portal hat die Verbindung beendet.",
            ),
        }
    }

    /// A time as people write it, in UTC.
    pub fn time(&self, time: &Timestamp) -> String {
        let (hour, minute, _) = calendar(time).to_hms();
        let date = self.date(time);
        match self.locale {
            Locale::German => format!("{date}, {hour:02}:{minute:02} Uhr (UTC)"),
            Locale::English => format!("{date}, {hour:02}:{minute:02} (UTC)"),
        }
    }

    /// The day of a time, in UTC.
    fn date(&self, time: &Timestamp) -> String {
        let time = calendar(time);
        let (year, month, day) = (time.year(), time.month(), time.day());
        match self.locale {
            Locale::German => {
                let month = GERMAN_MONTHS.get(usize::from(u8::from(month) - 1));
                format!("{day}. {} {year}", month.copied().unwrap_or_default())
            }
            Locale::English => format!("{day} {month} {year}"),
        }
    }
}

/// A timestamp is between 1970 and 9999, which the calendar has.
fn calendar(time: &Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(time.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

const GERMAN_MONTHS: [&str; 12] = [
    "Januar",
    "Februar",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
];

/// The words of a summary in one language.
pub struct SummaryText {
    pub title: &'static str,
    pub sentence: &'static str,
    pub steps: &'static [&'static str],
}

/// The English and the German text of a state.
fn summary_texts(status: Status, routing: Routing) -> (Mark, [SummaryText; 2]) {
    match (status, routing) {
        (Status::Pending, _) => (
            Mark::Waiting,
            [
                SummaryText {
                    title: "Not verified yet",
                    sentence: "This domain is not verified yet. The portal serves it as soon as a check finds its DNS records.",
                    steps: &[
                        "Open the DNS settings of the zone at your DNS provider.",
                        "Add the records below, exactly as they are shown. Change those that have a wrong value.",
                        "Choose “Check again”. Some DNS providers need a few minutes until all their name servers answer.",
                    ],
                },
                SummaryText {
                    title: "Noch nicht bestätigt",
                    sentence: "Diese Domain ist noch nicht bestätigt. Das Portal bedient sie, sobald eine Prüfung ihre DNS-Einträge findet.",
                    steps: &[
                        "Öffnen Sie bei Ihrem DNS-Anbieter die DNS-Einstellungen der Zone.",
                        "Tragen Sie die Einträge unten genau so ein, wie sie hier stehen. Ändern Sie die, die einen falschen Wert haben.",
                        "Wählen Sie „Erneut prüfen“. Manche DNS-Anbieter brauchen einige Minuten, bis alle ihre Nameserver antworten.",
                    ],
                },
            ],
        ),
        (Status::Verified, Routing::Routed) => (
            Mark::Good,
            [
                SummaryText {
                    title: "Verified and connected",
                    sentence: "This domain is verified, and its visitors reach the portal.",
                    steps: &["Keep the records. They are checked regularly."],
                },
                SummaryText {
                    title: "Bestätigt und verbunden",
                    sentence: "Diese Domain ist bestätigt, und ihre Besucher erreichen das Portal.",
                    steps: &["Behalten Sie die Einträge bei. Sie werden regelmäßig geprüft."],
                },
            ],
        ),
        (Status::Verified, Routing::Proxied) => (
            Mark::Good,
            [
                SummaryText {
                    title: "Verified, behind a proxy",
                    sentence: "This domain is verified. A proxy receives its traffic and hides where it leads.",
                    steps: &["Keep the records. Let the proxy send its visitors to the portal."],
                },
                SummaryText {
                    title: "Bestätigt, hinter einem Proxy",
                    sentence: "Diese Domain ist bestätigt. Ein Proxy empfängt ihren Datenverkehr und verdeckt, wohin er führt.",
                    steps: &[
                        "Behalten Sie die Einträge bei. Lassen Sie den Proxy die Besucher zum Portal leiten.",
                    ],
                },
            ],
        ),
        (Status::Verified, Routing::Elsewhere) => (
            Mark::Warning,
            [
                SummaryText {
                    title: "Verified, but not connected",
                    sentence: "This domain is verified, but its visitors do not reach the portal: its traffic goes elsewhere.",
                    steps: &[
                        "To connect the domain, add or change the records that lead visitors to the portal.",
                        "Keep the other records. They are checked regularly.",
                    ],
                },
                SummaryText {
                    title: "Bestätigt, aber nicht verbunden",
                    sentence: "Diese Domain ist bestätigt, aber ihre Besucher erreichen das Portal nicht. Der Datenverkehr der Domain geht an ein anderes Ziel.",
                    steps: &[
                        "Um die Domain zu verbinden, ergänzen oder ändern Sie die Einträge, die Besucher zum Portal führen.",
                        "Behalten Sie die übrigen Einträge bei. Sie werden regelmäßig geprüft.",
                    ],
                },
            ],
        ),
        (Status::Verified, Routing::Unknown) => (
            Mark::Warning,
            [
                SummaryText {
                    title: "Verified, connection unknown",
                    sentence: "This domain is verified, but DNS gave no definite answer about where its traffic goes.",
                    steps: &["Keep the records. The check is repeated."],
                },
                SummaryText {
                    title: "Bestätigt, Verbindung unbekannt",
                    sentence: "Diese Domain ist bestätigt, aber das DNS hat nicht eindeutig beantwortet, wohin ihr Datenverkehr geht.",
                    steps: &["Behalten Sie die Einträge bei. Die Prüfung wird wiederholt."],
                },
            ],
        ),
        (Status::Failing, _) => (
            Mark::Bad,
            [
                SummaryText {
                    title: "The proof is missing",
                    sentence: "The portal still serves this domain, but the records that prove it are no longer found.",
                    steps: &[
                        "Restore the records soon. If they stay missing, the portal stops serving the domain.",
                        "Choose “Check again”.",
                    ],
                },
                SummaryText {
                    title: "Der Nachweis fehlt",
                    sentence: "Das Portal bedient diese Domain noch, aber die Einträge, die den Besitz nachweisen, sind nicht mehr zu finden.",
                    steps: &[
                        "Stellen Sie die Einträge bald wieder her. Fehlen sie weiter, bedient das Portal die Domain nicht mehr.",
                        "Wählen Sie „Erneut prüfen“.",
                    ],
                },
            ],
        ),
        (Status::Failed, _) => (
            Mark::Bad,
            [
                SummaryText {
                    title: "Not connected",
                    sentence: "The portal does not serve this domain. The result of the last check says why.",
                    steps: &[
                        "Add the records below, exactly as they are shown. Change those that have a wrong value.",
                        "Choose “Check again”. Without that, the domain is checked rarely or no longer at all.",
                    ],
                },
                SummaryText {
                    title: "Nicht verbunden",
                    sentence: "Das Portal bedient diese Domain nicht. Das Ergebnis der letzten Prüfung nennt den Grund.",
                    steps: &[
                        "Tragen Sie die Einträge unten genau so ein, wie sie hier stehen. Ändern Sie die, die einen falschen Wert haben.",
                        "Wählen Sie „Erneut prüfen“. Sonst wird die Domain nur noch selten oder gar nicht mehr geprüft.",
                    ],
                },
            ],
        ),
    }
}
