//! The records of a zone file, and the responses to queries for them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use hickory_server::proto::{
    op::ResponseCode,
    rr::{
        LowerName, Name, RData, Record, RecordType,
        rdata::{NS, SOA},
    },
    serialize::txt::{Parser, parse_ttl},
};

/// The TTL in seconds of a record without one, before any `$TTL`.
const DEFAULT_TTL: u32 = 60;
/// The maximum length of an alias chain, as in the large public resolvers.
const MAX_ALIASES: usize = 16;

/// The name servers of a zone without `NS` records in the file. There are two, because the product needs two servers that
/// agree.
const SERVERS: [&str; 2] = ["ns1.dns.localhost.", "ns2.dns.localhost."];

/// The records of any number of zones. A name that is not in it does not exist. A zone begins at each name with an SOA record
/// (see [`ZoneDatabase::complete`]) and ends at the next zone cut.
#[derive(Debug, Default)]
pub struct ZoneDatabase {
    /// Every name that exists. A name without records is an empty non-terminal (RFC 8499).
    names: BTreeMap<LowerName, Vec<Record>>,
    /// The records that only the server at the address has (`$SERVER`).
    only: BTreeMap<IpAddr, Vec<Record>>,
}

/// An invalid entry of a zone file.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ZoneError {
    /// The line where the entry begins, from 1.
    pub line: usize,
    reason: String,
}

impl ZoneError {
    fn new(line: usize, reason: impl Into<String>) -> Self {
        Self {
            line,
            reason: reason.into(),
        }
    }
}

/// The response code and sections of a response.
#[derive(Debug)]
pub struct ZoneResponse {
    /// `NoError` or `NXDomain`, for the target of the last alias.
    pub code: ResponseCode,
    /// The answer section: the alias chain, then the records of the query.
    pub records: Vec<Record>,
    /// The zone's SOA record in a negative response (RFC 2308), if the file has one.
    pub soa: Option<Record>,
}

impl ZoneDatabase {
    /// Parses the master file format (RFC 1035, section 5) without `$INCLUDE` and `\DDD`. The origin is the root until an
    /// `$ORIGIN`. A record without a TTL or `$TTL` has 60 seconds. Class and SOA are optional.
    ///
    /// `$SERVER 127.0.0.2` starts a name server at this address. Only this server has the records that follow, until
    /// `$SERVER` with another address, or with `*` for all servers.
    ///
    /// # Errors
    /// The first invalid entry.
    pub fn parse(text: &str) -> Result<Self, ZoneError> {
        let mut zone = Self::default();
        let (mut origin, mut ttl, mut owner, mut server) = (Name::root(), DEFAULT_TTL, None, None);
        for Entry { line, text } in entries(text)? {
            let invalid = |reason: String| ZoneError::new(line, reason);
            let mut words = text.split_whitespace();
            match (words.next(), words.next()) {
                (None, _) => continue,
                (Some("$ORIGIN"), Some(name)) => {
                    origin = Name::parse(name, Some(&origin)).map_err(|error| invalid(error.to_string()))?;
                }
                (Some("$TTL"), Some(value)) => {
                    ttl = parse_ttl(value).map_err(|error| invalid(error.to_string()))?;
                }
                (Some("$SERVER"), Some("*")) => server = None,
                (Some("$SERVER"), Some(address)) => {
                    let address = address.parse();
                    let address = address.map_err(|_| invalid("$SERVER needs an IP address or *".into()))?;
                    zone.only.entry(address).or_default();
                    server = Some(address);
                }
                (Some(word), _) if word.starts_with('$') => {
                    return Err(invalid(format!("{word} is not supported, or lacks its value")));
                }
                _ => {
                    let record = match &owner {
                        Some(owner) if text.starts_with(char::is_whitespace) => format!("{owner} {text}"),
                        _ => text,
                    };
                    let parser = Parser::new(format!("$TTL {ttl}\n{record}\n"), None, Some(origin.clone()));
                    let (_, sets) = parser.parse().map_err(|error| invalid(error.to_string()))?;
                    let mut records = sets
                        .values()
                        .flat_map(|set| set.records_without_rrsigs())
                        .peekable();
                    let first = records.peek().ok_or_else(|| invalid("no record type".into()))?;
                    owner = Some(first.name.clone());
                    match server {
                        Some(server) => zone.only.entry(server).or_default().extend(records.cloned()),
                        None => records.for_each(|record| zone.insert(record.clone())),
                    }
                }
            }
        }
        Ok(zone)
    }

    /// The completed records of each name server: the one at `address`, and those of `$SERVER`.
    pub fn servers(mut self, address: IpAddr) -> BTreeMap<IpAddr, Self> {
        self.only.entry(address).or_default();
        let server = |(server, records): (IpAddr, Vec<Record>)| {
            let mut zone = Self {
                names: self.names.clone(),
                only: BTreeMap::new(),
            };
            records.into_iter().for_each(|record| zone.insert(record));
            (server, zone.complete(address))
        };
        self.only.into_iter().map(server).collect()
    }

    /// Adds the SOA, `NS` and address records that the file leaves out, with all name servers at `address`. Zones are the root,
    /// the top-level domains, the registrable domains, and every other name with an SOA or `NS` record.
    #[must_use]
    pub fn complete(mut self, address: IpAddr) -> Self {
        let own = SERVERS.map(|name| Name::from_ascii(name).unwrap_or_default());
        let record = |name: &Name, data| Record::from_rdata(name.clone(), DEFAULT_TTL, data);
        let named = self.names.values().flatten();
        let named = named.filter_map(|record| match &record.data {
            RData::NS(name) => Some(name.0.clone()),
            _ => None,
        });
        let servers: BTreeSet<_> = named.chain(own.clone()).collect();
        for server in servers {
            use RecordType::{A, AAAA, CNAME};
            if !self.has(&server, &[A, AAAA, CNAME]) {
                self.insert(record(&server, address.into()));
            }
        }
        let names = self.names.keys().map(Name::from);
        let zones: Vec<_> = names.filter(|name| self.is_zone(name)).collect();
        for zone in zones {
            if !self.has(&zone, &[RecordType::SOA]) {
                let soa = SOA::new(Name::root(), Name::root(), 1, 60, 60, 60, 0);
                self.insert(record(&zone, RData::SOA(soa)));
            }
            if !self.has(&zone, &[RecordType::NS]) {
                let servers = own.clone().map(|server| record(&zone, RData::NS(NS(server))));
                servers.into_iter().for_each(|record| self.insert(record));
            }
        }
        self
    }

    /// The response of a resolver: follows aliases into other zones and expands wildcards (RFC 4592).
    pub fn resolve(&self, name: &Name, kind: RecordType) -> ZoneResponse {
        self.respond(name, kind, |_, _| true)
    }

    /// The response of an authoritative server of the zone of `name`: follows aliases within that zone only.
    pub fn authority(&self, name: &Name, kind: RecordType) -> ZoneResponse {
        self.respond(name, kind, |alias, target| self.soa(alias) == self.soa(target))
    }

    fn respond(&self, name: &Name, kind: RecordType, follows: impl Fn(&Name, &Name) -> bool) -> ZoneResponse {
        let mut name = name.clone();
        let mut records = Vec::new();
        for _ in 0..MAX_ALIASES {
            let Some(found) = self.find(&name) else {
                return ZoneResponse {
                    code: ResponseCode::NXDomain,
                    records,
                    soa: self.soa(&name).cloned(),
                };
            };
            let named = |record: &Record| Record::from_rdata(name.clone(), record.ttl, record.data.clone());
            let wanted = |record: &&Record| kind == RecordType::ANY || record.record_type() == kind;
            let before = records.len();
            records.extend(found.iter().filter(wanted).map(named));
            if records.len() > before {
                break;
            }
            let alias = found.iter().find_map(|record| match &record.data {
                RData::CNAME(target) => Some((record, target.0.clone())),
                _ => None,
            });
            let Some((record, target)) = alias else {
                return ZoneResponse {
                    code: ResponseCode::NoError,
                    records,
                    soa: self.soa(&name).cloned(),
                };
            };
            records.push(named(record));
            if !follows(&name, &target) {
                break;
            }
            name = target;
        }
        ZoneResponse {
            code: ResponseCode::NoError,
            records,
            soa: None,
        }
    }

    fn insert(&mut self, record: Record) {
        let mut name = LowerName::new(&record.name);
        let records = self.names.entry(name.clone()).or_default();
        if !records.contains(&record) {
            records.push(record);
        }
        while !name.is_root() {
            name = name.base_name();
            self.names.entry(name.clone()).or_default();
        }
    }

    fn find(&self, name: &Name) -> Option<&[Record]> {
        let name = LowerName::new(name);
        if let Some(records) = self.names.get(&name) {
            return Some(records);
        }
        let mut encloser = name;
        while !encloser.is_root() {
            // `into_wildcard` replaces the first label by the asterisk.
            let wildcard = encloser.clone().into_wildcard();
            encloser = encloser.base_name();
            if self.names.contains_key(&encloser) {
                return self.names.get(&wildcard).map(Vec::as_slice);
            }
        }
        None
    }

    /// The SOA record of the zone of `name`.
    fn soa(&self, name: &Name) -> Option<&Record> {
        let mut name = LowerName::new(name);
        loop {
            let mut records = self.names.get(&name).into_iter().flatten();
            let soa = records.find(|record| record.record_type() == RecordType::SOA);
            if soa.is_some() || name.is_root() {
                return soa;
            }
            name = name.base_name();
        }
    }

    /// Whether the name has a record of one of these types. Wildcards are not expanded.
    fn has(&self, name: &Name, kinds: &[RecordType]) -> bool {
        let mut records = self.names.get(&LowerName::new(name)).into_iter().flatten();
        records.any(|record| kinds.contains(&record.record_type()))
    }

    fn is_zone(&self, name: &Name) -> bool {
        let text = name.to_ascii();
        let text = text.trim_end_matches('.');
        // A wildcard name is not a zone cut.
        !name.is_wildcard()
            && (name.iter().len() <= 1
                || psl::domain_str(text) == Some(text)
                || self.has(name, &[RecordType::SOA, RecordType::NS]))
    }
}

struct Entry {
    line: usize,
    text: String,
}

/// Splits the text into entries: removes comments and joins lines in parentheses. The parser of hickory cannot do this: it
/// reports no line numbers, knows one zone only, and accepts no quoted string in parentheses.
fn entries(text: &str) -> Result<Vec<Entry>, ZoneError> {
    let mut splitter = Splitter::new();
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\\' => {
                splitter.entry.text.push(char);
                match chars.peek() {
                    Some('0'..='9') => return Err(splitter.invalid("\\DDD is not supported")),
                    Some(next) if *next != '\n' => splitter.entry.text.extend(chars.next()),
                    _ => {}
                }
            }
            ';' if !splitter.quoted => while chars.next_if(|char| *char != '\n').is_some() {},
            _ => splitter.push(char)?,
        }
    }
    splitter.finish()
}

/// The state of [`entries`].
struct Splitter {
    entries: Vec<Entry>,
    entry: Entry,
    line: usize,
    quoted: bool,
    parenthesis: bool,
}

impl Splitter {
    fn new() -> Self {
        Self {
            entries: Vec::new(),
            entry: Entry {
                line: 1,
                text: String::new(),
            },
            line: 1,
            quoted: false,
            parenthesis: false,
        }
    }

    fn invalid(&self, reason: &str) -> ZoneError {
        ZoneError::new(self.line, reason)
    }

    /// Handles a character that is neither escaped nor in a comment.
    fn push(&mut self, char: char) -> Result<(), ZoneError> {
        match char {
            '\n' => self.end_line()?,
            '"' => {
                self.quoted = !self.quoted;
                self.entry.text.push(char);
            }
            _ if self.quoted => self.entry.text.push(char),
            '(' if self.parenthesis => return Err(self.invalid("a parenthesis in a parenthesis")),
            ')' if !self.parenthesis => return Err(self.invalid("a parenthesis that was not opened")),
            '(' | ')' => {
                self.parenthesis = char == '(';
                self.entry.text.push(' ');
            }
            '\r' => self.entry.text.push(' '),
            _ => self.entry.text.push(char),
        }
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), ZoneError> {
        if self.quoted {
            return Err(self.invalid("a quote is not closed"));
        }
        self.line += 1;
        if self.parenthesis {
            self.entry.text.push(' ');
        } else {
            let next = Entry {
                line: self.line,
                text: String::new(),
            };
            self.entries.push(std::mem::replace(&mut self.entry, next));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Entry>, ZoneError> {
        if self.quoted || self.parenthesis {
            let mark = if self.quoted { "quote" } else { "parenthesis" };
            return Err(ZoneError::new(self.entry.line, format!("a {mark} is not closed")));
        }
        self.entries.push(self.entry);
        Ok(self.entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn resolve(zone: &ZoneDatabase, host: &str, kind: RecordType) -> (ResponseCode, Vec<String>) {
        let answer = zone.resolve(&name(host), kind);
        (
            answer.code,
            answer
                .records
                .iter()
                .map(|record| format!("{} {}", record.name, record.data))
                .collect(),
        )
    }

    #[test]
    fn one_record_is_enough() {
        let zone = ZoneDatabase::parse(
            "_agency-challenge.portal.acme.test. 60 IN TXT \"agency-verification=a;b(c) d\" ; mine",
        )
        .unwrap();
        let answer = zone.resolve(&name("_agency-challenge.PORTAL.acme.test."), RecordType::TXT);
        let RData::TXT(text) = &answer.records[0].data else {
            panic!("{answer:?}")
        };
        assert_eq!(text.txt_data[0].as_ref(), b"agency-verification=a;b(c) d");
        assert_eq!(answer.records[0].ttl, 60);
        assert_eq!(
            resolve(&zone, "portal.acme.test.", RecordType::A),
            (ResponseCode::NoError, vec![])
        );
        assert_eq!(
            resolve(&zone, "www.acme.test.", RecordType::A).0,
            ResponseCode::NXDomain
        );
    }

    #[test]
    fn a_file_with_several_zones_and_every_syntax_is_parsed() {
        let zone = ZoneDatabase::parse(
            "$TTL 1h
$ORIGIN acme.test.
@   IN SOA ns1 admin ( 1 ; serial
        2h 1h 1w 300 )
    IN NS ns1
    IN MX 10 mail
ns1 5 A 192.0.2.1
    AAAA 2001:db8::1
portal IN CNAME tok.cname.portal.localhost.
two TXT ( \"first \" \"second ; no comment\" )\r
caa CAA 0 issue \"letsencrypt.org\"
$ORIGIN globex.test.
www A 192.0.2.2
$ORIGIN sub
www A 192.0.2.3
",
        )
        .unwrap();
        assert_eq!(
            resolve(&zone, "ns1.acme.test.", RecordType::AAAA),
            (ResponseCode::NoError, vec!["ns1.acme.test. 2001:db8::1".into()])
        );
        assert_eq!(
            resolve(&zone, "acme.test.", RecordType::MX).1,
            ["acme.test. 10 mail.acme.test."]
        );
        assert_eq!(
            resolve(&zone, "www.sub.globex.test.", RecordType::A).1,
            ["www.sub.globex.test. 192.0.2.3"]
        );
        assert_eq!(
            resolve(&zone, "portal.acme.test.", RecordType::CNAME).1,
            ["portal.acme.test. tok.cname.portal.localhost."]
        );
        let two = zone.resolve(&name("two.acme.test."), RecordType::TXT);
        let RData::TXT(text) = &two.records[0].data else {
            panic!("{two:?}")
        };
        assert_eq!(
            text.txt_data.iter().map(AsRef::as_ref).collect::<Vec<_>>(),
            [&b"first "[..], b"second ; no comment"]
        );
        assert_eq!(
            zone.resolve(&name("caa.acme.test."), RecordType::CAA).records[0].ttl,
            3600
        );
        let none = zone.resolve(&name("none.acme.test."), RecordType::A);
        assert_eq!(
            (none.code, none.soa.unwrap().name),
            (ResponseCode::NXDomain, name("acme.test."))
        );
        let none = zone.resolve(&name("none.globex.test."), RecordType::A);
        assert_eq!(none.soa, None);
    }

    #[test]
    fn aliases_are_followed_up_to_the_maximum() {
        let zone = ZoneDatabase::parse(
            "a.test. CNAME b.test.\nb.test. CNAME c.test.\nc.test. A 192.0.2.1
gone.test. CNAME nowhere.test.\nx.test. CNAME y.test.\ny.test. CNAME x.test.",
        )
        .unwrap();
        assert_eq!(
            resolve(&zone, "a.test.", RecordType::A).1,
            ["a.test. b.test.", "b.test. c.test.", "c.test. 192.0.2.1"]
        );
        assert_eq!(
            resolve(&zone, "gone.test.", RecordType::A),
            (ResponseCode::NXDomain, vec!["gone.test. nowhere.test.".into()])
        );
        assert_eq!(resolve(&zone, "x.test.", RecordType::A).1.len(), MAX_ALIASES);
    }

    #[test]
    fn a_wildcard_answers_for_names_that_do_not_exist() {
        let zone = ZoneDatabase::parse(
            "*.acme.test. CNAME edge.test.\nedge.test. A 192.0.2.1\nreal.acme.test. TXT here\ndeep.er.acme.test. TXT x",
        )
        .unwrap();
        assert_eq!(
            resolve(&zone, "a.b.acme.test.", RecordType::A).1,
            ["a.b.acme.test. edge.test.", "edge.test. 192.0.2.1"]
        );
        assert_eq!(
            resolve(&zone, "real.acme.test.", RecordType::A),
            (ResponseCode::NoError, vec![])
        );
        assert_eq!(
            resolve(&zone, "other.er.acme.test.", RecordType::A).0,
            ResponseCode::NXDomain
        );
        assert_eq!(resolve(&zone, "*.acme.test.", RecordType::CNAME).1.len(), 1);
    }

    fn complete(text: &str) -> ZoneDatabase {
        ZoneDatabase::parse(text).unwrap().complete([127, 0, 0, 1].into())
    }

    /// The zone of a name, from the SOA record of a negative response.
    fn apex(zone: &ZoneDatabase, host: &str) -> String {
        let answer = zone.authority(&name(host), RecordType::HINFO);
        answer.soa.unwrap().name.to_string()
    }

    fn servers(zone: &ZoneDatabase, host: &str) -> Vec<String> {
        let answer = zone.authority(&name(host), RecordType::NS);
        answer
            .records
            .iter()
            .map(|record| record.data.to_string())
            .collect()
    }

    #[test]
    fn zones_are_tlds_registrable_domains_and_names_with_soa_or_ns() {
        let zone = complete(
            "www.acme.test. A 192.0.2.1\nwww.globex.co.uk. A 192.0.2.1\nx.corp.github.io. A 192.0.2.1
*.wild.test. A 192.0.2.1\n*.test. A 192.0.2.1\n*.ns.test. NS a.test.
team.acme.test. SOA ns admin 7 1 1 1 1\nshop.acme.test. NS ns1.acme.test.\na.shop.acme.test. A 192.0.2.1",
        );
        for (host, expected) in [
            (".", "."),
            ("test.", "test."),
            ("nowhere.", "."),
            ("acme.test.", "acme.test."),
            ("x.www.acme.test.", "acme.test."),
            ("a.globex.co.uk.", "globex.co.uk."),
            ("other.co.uk.", "uk."),
            ("corp.github.io.", "corp.github.io."),
            ("github.io.", "io."),
            ("a.wild.test.", "wild.test."),
            ("unregistered.test.", "test."),
            ("a.team.acme.test.", "team.acme.test."),
            ("a.shop.acme.test.", "shop.acme.test."),
        ] {
            assert_eq!(apex(&zone, host), expected, "{host}");
        }
        // Records of the file are kept.
        let soa = zone.authority(&name("team.acme.test."), RecordType::SOA);
        assert!(soa.records[0].data.to_string().contains(" 7 "), "{soa:?}");
        assert_eq!(servers(&zone, "shop.acme.test."), ["ns1.acme.test."]);
        assert_eq!(servers(&zone, "team.acme.test."), SERVERS);
        assert_eq!(servers(&zone, "acme.test."), SERVERS);
        assert_eq!(servers(&zone, "www.acme.test."), [""; 0]);
    }

    #[test]
    fn a_name_server_without_an_address_gets_the_server_s_address() {
        let zone = complete(
            "acme.test. NS ns-1.awsdns-01.com.\nacme.test. NS far.acme.test.\nacme.test. NS six.acme.test.
*.acme.test. A 192.0.2.9\nfar.acme.test. A 192.0.2.1\nsix.acme.test. AAAA 2001:db8::1",
        );
        let addresses = |host| resolve(&zone, host, RecordType::A).1;
        assert_eq!(
            addresses("ns-1.awsdns-01.com."),
            ["ns-1.awsdns-01.com. 127.0.0.1"]
        );
        assert_eq!(addresses("far.acme.test."), ["far.acme.test. 192.0.2.1"]);
        assert_eq!(addresses("six.acme.test."), [""; 0]);
        assert_eq!(apex(&zone, "ns-1.awsdns-01.com."), "awsdns-01.com.");
        let zone = ZoneDatabase::parse("acme.test. NS ns.acme.test.").unwrap();
        let zone = zone.complete(std::net::Ipv6Addr::LOCALHOST.into());
        assert_eq!(
            resolve(&zone, "ns.acme.test.", RecordType::AAAA).1,
            ["ns.acme.test. ::1"]
        );
    }

    #[test]
    fn an_authoritative_response_has_no_records_of_another_zone() {
        let zone = complete(
            "a.acme.test. CNAME b.acme.test.\nb.acme.test. CNAME edge.globex.test.\nedge.globex.test. A 192.0.2.1
*.acme.test. CNAME a.acme.test.\ngone.acme.test. CNAME no.thing.acme.test.\nthing.acme.test. TXT x",
        );
        let answer = |host: &str| {
            let answer = zone.authority(&name(host), RecordType::A);
            let records = answer.records.iter().map(|record| record.data.to_string());
            (answer.code, records.collect::<Vec<_>>(), answer.soa.is_some())
        };
        let two = vec!["b.acme.test.".to_owned(), "edge.globex.test.".into()];
        assert_eq!(answer("a.acme.test."), (ResponseCode::NoError, two, false));
        assert_eq!(answer("wild.acme.test.").1.len(), 3);
        let gone = vec!["no.thing.acme.test.".to_owned()];
        assert_eq!(answer("gone.acme.test."), (ResponseCode::NXDomain, gone, true));
        assert_eq!(resolve(&zone, "a.acme.test.", RecordType::A).1.len(), 3);
    }

    #[test]
    fn an_error_names_its_line() {
        for (text, line) in [
            ("a.test. A 192.0.2.1\nb.test. A 192.0.2\n", 2),
            ("\n\na.test. TXT \"open\n", 3),
            ("a.test. SOA ( ns\n1\n", 1),
            ("a.test. A 192.0.2.1 )", 1),
            ("a.test. 60 IN", 1),
            ("a.test. NOTYPE x", 1),
            ("$INCLUDE /etc/passwd", 1),
            ("$ORIGIN", 1),
            ("$TTL soon", 1),
            ("\n$SERVER ns2.acme.test.", 2),
            ("$SERVER", 1),
            ("a.test. TXT \"\\255\"", 1),
            ("   A 192.0.2.1", 1),
            ("a..test. A 192.0.2.1", 1),
        ] {
            let error = ZoneDatabase::parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}
