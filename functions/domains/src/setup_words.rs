//! The words of the setup page in each language, except for those of the findings, which a check stores in both.

use shared::models::{
    domain::{Level, Purpose, RecordState, RecordType, Routing, Status},
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
    pub reloads: &'static str,
    pub reload: &'static str,
    pub stop_reloading: &'static str,
    pub what_to_do: &'static str,
    pub findings: &'static str,
    pub expected: &'static str,
    pub observed: &'static str,
    pub zone: &'static str,
    pub provider: &'static str,
    pub open_provider: &'static str,
    pub name_servers: &'static str,
    pub records: &'static str,
    pub record: &'static str,
    pub records_intro: &'static str,
    pub state: &'static str,
    pub host: &'static str,
    pub full_name: &'static str,
    pub value: &'static str,
    pub found_instead: &'static str,
    pub copy: &'static str,
    pub copy_intro: &'static str,
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
    last_check: "Last check:",
    never_checked: "DNS has not been checked yet.",
    next_check: "Next check:",
    reloads: "This page reloads itself every minute until the domain is verified.",
    reload: "Reload this page every minute",
    stop_reloading: "Stop reloading",
    what_to_do: "What to do next",
    findings: "What the last check found",
    expected: "Expected",
    observed: "Answers of the name servers",
    zone: "Zone",
    provider: "DNS provider",
    open_provider: "Open the DNS settings",
    name_servers: "Name servers",
    records: "DNS records",
    record: "record",
    records_intro: "The host is the name as the form of the DNS provider expects it: relative to the zone. If your form asks for the whole name, enter the full name.",
    state: "State",
    host: "Host",
    full_name: "Full name",
    value: "Value",
    found_instead: "Found instead",
    copy: "Copy all records",
    copy_intro: "For an email, a ticket or a zone file:",
    as_text: "All records as text",
    as_zone: "All records as a zone file",
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
    last_check: "Letzte Prüfung:",
    never_checked: "Das DNS wurde noch nicht geprüft.",
    next_check: "Nächste Prüfung:",
    reloads: "Diese Seite lädt sich jede Minute neu, bis die Domain bestätigt ist.",
    reload: "Diese Seite jede Minute neu laden",
    stop_reloading: "Nicht mehr neu laden",
    what_to_do: "Was jetzt zu tun ist",
    findings: "Ergebnis der letzten Prüfung",
    expected: "Erwartet",
    observed: "Antworten der Nameserver",
    zone: "Zone",
    provider: "DNS-Anbieter",
    open_provider: "DNS-Einstellungen öffnen",
    name_servers: "Nameserver",
    records: "DNS-Einträge",
    record: "Eintrag",
    records_intro: "Der Host ist der Name, wie ihn das Formular des DNS-Anbieters erwartet: relativ zur Zone. Verlangt Ihr Formular den ganzen Namen, geben Sie den vollständigen Namen ein.",
    state: "Zustand",
    host: "Host",
    full_name: "Vollständiger Name",
    value: "Wert",
    found_instead: "Stattdessen gefunden",
    copy: "Alle Einträge kopieren",
    copy_intro: "Für eine E-Mail, ein Ticket oder eine Zonendatei:",
    as_text: "Alle Einträge als Text",
    as_zone: "Alle Einträge als Zonendatei",
    valid_until: "Dieser Link gilt bis zum",
    safety: "Diese Seite liest nur öffentliches DNS. Sie fragt nie nach einem Passwort.",
    support: "Hilfe",
    privacy: "Datenschutz",
    imprint: "Impressum",
    ended: "Dieser Link ist nicht gültig",
    ask_for_a_link: "Er kann abgelaufen sein. Bitten Sie seinen Absender um einen neuen Link.",
};

/// The state of a domain, and what to do in it.
pub struct Summary {
    /// The class of the style sheet: `good`, `open` or `bad`.
    pub class: &'static str,
    pub title: &'static str,
    pub sentence: &'static str,
    pub steps: &'static [&'static str],
}

impl Words {
    pub fn of(locale: Locale) -> &'static Self {
        match locale {
            Locale::English => &ENGLISH,
            Locale::German => &GERMAN,
        }
    }

    fn either(&self, english: &'static str, german: &'static str) -> &'static str {
        match self.locale {
            Locale::English => english,
            Locale::German => german,
        }
    }

    pub fn summary(&self, status: Status, routing: Routing) -> Summary {
        match self.locale {
            Locale::English => english_summary(status, routing),
            Locale::German => german_summary(status, routing),
        }
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

    /// A time as people write it, in UTC.
    pub fn time(&self, time: &Timestamp) -> String {
        // A timestamp is between 1970 and 9999, which the calendar has.
        let time = OffsetDateTime::from_unix_timestamp(time.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let month = usize::from(u8::from(time.month()) - 1);
        let (day, year, hour, minute) = (time.day(), time.year(), time.hour(), time.minute());
        match self.locale {
            Locale::German => {
                let month = GERMAN_MONTHS.get(month).copied().unwrap_or_default();
                format!("{day}. {month} {year}, {hour:02}:{minute:02} Uhr (UTC)")
            }
            Locale::English => format!("{day} {} {year}, {hour:02}:{minute:02} (UTC)", time.month()),
        }
    }
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

fn english_summary(status: Status, routing: Routing) -> Summary {
    match (status, routing) {
        (Status::Pending, _) => Summary {
            class: "open",
            title: "Not verified yet",
            sentence: "This domain is not verified yet. The portal serves it as soon as a check finds its DNS records.",
            steps: &[
                "Open the DNS settings of the zone at your DNS provider.",
                "Add every record of this page that is not found yet, exactly as it is shown.",
                "Then choose “Check again”. Some DNS providers need a few minutes until all their name servers answer.",
            ],
        },
        (Status::Verified, Routing::Routed) => Summary {
            class: "good",
            title: "Verified and connected",
            sentence: "This domain is verified, and its visitors reach the portal.",
            steps: &["Keep the records. They are checked regularly."],
        },
        (Status::Verified, Routing::Proxied) => Summary {
            class: "good",
            title: "Verified, behind a proxy",
            sentence: "This domain is verified. A proxy receives its traffic and hides where it leads.",
            steps: &["Keep the records. Let the proxy send its visitors to the portal."],
        },
        (Status::Verified, Routing::Elsewhere) => Summary {
            class: "open",
            title: "Verified, but not connected",
            sentence: "This domain is verified, but its visitors do not reach the portal: its traffic goes elsewhere.",
            steps: &[
                "To connect the domain, add or change the records that lead visitors to the portal.",
                "Keep the other records. They are checked regularly.",
            ],
        },
        (Status::Verified, Routing::Unknown) => Summary {
            class: "open",
            title: "Verified, connection unknown",
            sentence: "This domain is verified, but DNS gave no definite answer about where its traffic goes.",
            steps: &["Keep the records. The check is repeated."],
        },
        (Status::Failing, _) => Summary {
            class: "bad",
            title: "The proof is missing",
            sentence: "The portal still serves this domain, but the records that prove it are no longer found.",
            steps: &[
                "Restore the records soon. If they stay missing, the portal stops serving the domain.",
                "Then choose “Check again”.",
            ],
        },
        (Status::Failed, _) => Summary {
            class: "bad",
            title: "Not connected",
            sentence: "The portal does not serve this domain. The result of the last check says why.",
            steps: &[
                "Add every record of this page that is not found, exactly as it is shown.",
                "Then choose “Check again”. Without that, the domain is checked rarely or no longer at all.",
            ],
        },
    }
}

fn german_summary(status: Status, routing: Routing) -> Summary {
    match (status, routing) {
        (Status::Pending, _) => Summary {
            class: "open",
            title: "Noch nicht bestätigt",
            sentence: "Diese Domain ist noch nicht bestätigt. Das Portal bedient sie, sobald eine Prüfung ihre DNS-Einträge findet.",
            steps: &[
                "Öffnen Sie bei Ihrem DNS-Anbieter die DNS-Einstellungen der Zone.",
                "Tragen Sie jeden Eintrag dieser Seite ein, der noch nicht gefunden wurde, genau so, wie er hier steht.",
                "Wählen Sie dann „Erneut prüfen“. Manche DNS-Anbieter brauchen einige Minuten, bis alle ihre Nameserver antworten.",
            ],
        },
        (Status::Verified, Routing::Routed) => Summary {
            class: "good",
            title: "Bestätigt und verbunden",
            sentence: "Diese Domain ist bestätigt, und ihre Besucher erreichen das Portal.",
            steps: &["Behalten Sie die Einträge bei. Sie werden regelmäßig geprüft."],
        },
        (Status::Verified, Routing::Proxied) => Summary {
            class: "good",
            title: "Bestätigt, hinter einem Proxy",
            sentence: "Diese Domain ist bestätigt. Ein Proxy empfängt ihren Datenverkehr und verdeckt, wohin er führt.",
            steps: &["Behalten Sie die Einträge bei. Lassen Sie den Proxy die Besucher zum Portal leiten."],
        },
        (Status::Verified, Routing::Elsewhere) => Summary {
            class: "open",
            title: "Bestätigt, aber nicht verbunden",
            sentence: "Diese Domain ist bestätigt, aber ihre Besucher erreichen das Portal nicht. Der Datenverkehr der Domain geht an ein anderes Ziel.",
            steps: &[
                "Um die Domain zu verbinden, ergänzen oder ändern Sie die Einträge, die Besucher zum Portal führen.",
                "Behalten Sie die übrigen Einträge bei. Sie werden regelmäßig geprüft.",
            ],
        },
        (Status::Verified, Routing::Unknown) => Summary {
            class: "open",
            title: "Bestätigt, Verbindung unbekannt",
            sentence: "Diese Domain ist bestätigt, aber das DNS hat nicht eindeutig beantwortet, wohin ihr Datenverkehr geht.",
            steps: &["Behalten Sie die Einträge bei. Die Prüfung wird wiederholt."],
        },
        (Status::Failing, _) => Summary {
            class: "bad",
            title: "Der Nachweis fehlt",
            sentence: "Das Portal bedient diese Domain noch, aber die Einträge, die den Besitz nachweisen, sind nicht mehr zu finden.",
            steps: &[
                "Stellen Sie die Einträge bald wieder her. Fehlen sie weiter, bedient das Portal die Domain nicht mehr.",
                "Wählen Sie dann „Erneut prüfen“.",
            ],
        },
        (Status::Failed, _) => Summary {
            class: "bad",
            title: "Nicht verbunden",
            sentence: "Das Portal bedient diese Domain nicht. Das Ergebnis der letzten Prüfung nennt den Grund.",
            steps: &[
                "Tragen Sie jeden Eintrag dieser Seite ein, der nicht gefunden wurde, genau so, wie er hier steht.",
                "Wählen Sie dann „Erneut prüfen“. Sonst wird die Domain nur noch selten oder gar nicht mehr geprüft.",
            ],
        },
    }
}
