//! What holds for each check, whatever the servers answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType},
    serialize::binary::{BinDecodable, BinDecoder},
};
use shared::models::{domain::Domain, time::Timestamp};
use verification::{
    Facts,
    dns::{Evidence, Proof},
    explain,
};

use super::{
    internet::{Internet, Sent, Traffic},
    scenario::RESOLVER,
    world::{TARGET, VALUE, name, names},
};

/// The limits of a check are 64 messages and 6 s. Messages to resolvers are a millisecond apart, and this wait is not counted.
const MESSAGES: u32 = 64;
const TIME: Duration = Duration::from_millis(6000 + 64);
/// The limits of the findings: their number, octets of all, servers of one, and characters of a server's name and answer.
const FINDINGS: usize = 16;
const OCTETS: usize = 16_000;
const ANSWERS: usize = 4;
const TEXT: usize = 255;

/// Returns whether the proof, or its absence, had to come from two servers.
pub fn check(internet: &Internet, domain: &Domain, evidence: &Evidence, elapsed: Duration) -> bool {
    let traffic = internet.traffic.borrow();
    limits(&traffic, evidence, elapsed);
    if !internet.scenario().allows_private() {
        for address in traffic.received.iter().filter(|address| **address != RESOLVER) {
            assert!(is_public(*address), "a message to {address}");
        }
    }
    let needs_two = Answers::read(&traffic, internet.scenario().is_recursive()).support(domain, evidence);
    texts(domain, evidence);
    needs_two
}

fn limits(traffic: &Traffic, evidence: &Evidence, elapsed: Duration) {
    let received = traffic.received.len();
    assert!(evidence.packets <= MESSAGES, "{} messages", evidence.packets);
    assert!(
        received <= evidence.packets as usize,
        "{received} messages received, {} counted",
        evidence.packets
    );
    assert!(elapsed <= TIME, "{elapsed:?}");
}

/// Whether an address is globally reachable, by the words of RFC 6890 and not by the product's table.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let is_special = v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_documentation()
                || v4.is_broadcast()
                || v4.is_multicast();
            let is_reserved = a == 0 || a >= 240 || (a, b, c) == (192, 0, 0);
            let is_shared = (a == 100 && (64..128).contains(&b)) || (a == 198 && (18..20).contains(&b));
            !is_special && !is_reserved && !is_shared
        }
        IpAddr::V6(v6) => {
            let [a, b, ..] = v6.segments();
            // Of global unicast: documentation, and what embeds IPv4 addresses.
            v6 != Ipv6Addr::LOCALHOST
                && a & 0xe000 == 0x2000
                && a != 0x2002
                && (a, b) != (0x2001, 0xdb8)
                && (a, b) != (0x2001, 0)
        }
    }
}

/// A response that a server sent to a query, which can count: it is well-formed, answers the question, and is authoritative.
struct Answer {
    server: IpAddr,
    name: Name,
    kind: RecordType,
    message: Message,
}

struct Answers {
    answers: Vec<Answer>,
    /// Whether one server may be enough: by a response that the product may accept, a zone of the name has one server, or two servers
    /// have one address.
    one_is_enough: bool,
}

impl Answers {
    fn read(traffic: &Traffic, recursive: bool) -> Self {
        let answers = traffic
            .sent
            .iter()
            .filter_map(|sent| Answer::read(sent, recursive));
        let messages: Vec<_> = traffic.sent.iter().filter_map(response).collect();
        Self {
            answers: answers.collect(),
            one_is_enough: recursive
                || messages.iter().any(has_one_server)
                || shares_address(&messages, &traffic.received),
        }
    }

    /// The evidence follows from answers that were sent. Returns whether it had to follow from answers of two servers.
    fn support(&self, domain: &Domain, evidence: &Evidence) -> bool {
        let hostname = name(&format!("{}.", domain.hostname));
        let challenge = name(&format!("{}.", domain.hostname.challenge()));
        let by_cname = self.servers(&hostname, RecordType::CNAME, |answer| {
            answer.leads_to(&name(TARGET))
        });
        let by_txt = self.servers(&challenge, RecordType::TXT, Answer::has_proof);
        let supporters = match evidence.proof() {
            Proof::Cname => by_cname,
            Proof::Txt => by_txt,
            Proof::Missing => {
                let any = |from, kind| self.servers(from, kind, |_| true);
                let (cname, txt) = (
                    any(&hostname, RecordType::CNAME),
                    any(&challenge, RecordType::TXT),
                );
                assert!(
                    !cname.is_empty() && !txt.is_empty(),
                    "a miss without an answer to each question"
                );
                if cname.len() < txt.len() { cname } else { txt }
            }
            Proof::Unknown => {
                if let Some(proof) = evidence.unconfirmed_proof {
                    let servers = if proof == Proof::Cname { by_cname } else { by_txt };
                    assert!(!servers.is_empty(), "an unconfirmed proof that no server sent");
                }
                return false;
            }
        };
        let proof = evidence.proof();
        assert!(!supporters.is_empty(), "{proof:?} that no server sent");
        assert!(
            supporters.len() > 1 || self.one_is_enough,
            "{proof:?} by one of several servers"
        );
        !self.one_is_enough
    }

    /// The servers that answered a question for which `holds`: for `from`, or a name that aliases lead to.
    fn servers(&self, from: &Name, kind: RecordType, holds: impl Fn(&Answer) -> bool) -> BTreeSet<IpAddr> {
        let of_kind = || self.answers.iter().filter(|answer| answer.kind == kind);
        // An answer can repeat an alias a thousand times.
        let mut names = BTreeSet::from([from.to_lowercase()]);
        let mut next = vec![from.to_lowercase()];
        while let Some(name) = next.pop() {
            for answer in of_kind().filter(|answer| answer.name == name) {
                let aliases = answer.aliases().map(|alias| alias.to_lowercase());
                next.extend(aliases.filter(|alias| names.insert(alias.clone())));
            }
        }
        let counts = of_kind().filter(|answer| names.contains(&answer.name.to_lowercase()) && holds(answer));
        counts.map(|answer| answer.server).collect()
    }
}

/// The message, if it is a response to the query (RFC 5452, section 9.1). By UDP, it repeats the letter case of the name.
fn response(sent: &Sent) -> Option<Message> {
    let message = Message::from_vec(&sent.bytes).ok()?;
    let (metadata, asked) = (&message.metadata, sent.query.queries.first()?);
    let is_response = metadata.id == sent.query.metadata.id
        && metadata.message_type == MessageType::Response
        && metadata.op_code == OpCode::Query
        && !metadata.truncation
        && matches!(
            metadata.response_code,
            ResponseCode::NoError | ResponseCode::NXDomain
        );
    let has_name = |name: &Name| match sent.tcp {
        true => name == asked.name(),
        false => name.eq_case(asked.name()),
    };
    let answers_question = matches!(message.queries.as_slice(), [question] if has_name(question.name())
        && question.query_type() == asked.query_type()
        && question.query_class() == DNSClass::IN);
    (is_response && answers_question).then_some(message)
}

impl Answer {
    /// `recursive`: answers of the resolver count, and those of other servers do not.
    fn read(sent: &Sent, recursive: bool) -> Option<Self> {
        let message = response(sent)?;
        let asked = sent.query.queries.first()?;
        let counts = match recursive {
            true => sent.server == RESOLVER,
            false => sent.server != RESOLVER && message.metadata.authoritative,
        };
        counts.then(|| Self {
            server: sent.server,
            name: asked.name().clone(),
            kind: asked.query_type(),
            message,
        })
    }

    fn records(&self) -> impl Iterator<Item = &Record> {
        self.message
            .answers
            .iter()
            .filter(|record| record.dns_class == DNSClass::IN)
    }

    fn exists(&self) -> bool {
        self.message.metadata.response_code == ResponseCode::NoError
    }

    /// What the name is an alias for. The question for a `CNAME` record is answered by `NXDOMAIN` only if there is none.
    fn aliases(&self) -> impl Iterator<Item = Name> {
        self.records().filter_map(|record| match &record.data {
            RData::CNAME(target) if record.name == self.name => Some(target.0.clone()),
            RData::Unknown {
                code: RecordType::DNAME,
                rdata,
            } if record.name.zone_of(&self.name) => {
                let target = Name::read(&mut BinDecoder::new(&rdata.anything)).ok()?;
                let labels = self.name.iter().len().checked_sub(record.name.iter().len())?;
                Name::from_labels(self.name.iter().take(labels).chain(target.iter())).ok()
            }
            _ => None,
        })
    }

    fn leads_to(&self, target: &Name) -> bool {
        self.aliases().any(|alias| alias == *target)
    }

    fn has_proof(&self) -> bool {
        let is_proof = |record: &Record| match &record.data {
            RData::TXT(txt) => record.name == self.name && txt.txt_data.concat() == VALUE.as_bytes(),
            _ => false,
        };
        self.exists() && self.records().any(is_proof)
    }
}

fn all_records(message: &Message) -> impl Iterator<Item = &Record> {
    message
        .answers
        .iter()
        .chain(&message.authorities)
        .chain(&message.additionals)
}

/// Whether the message delegates a zone of the question's name to one server.
fn has_one_server(message: &Message) -> bool {
    let mut servers: BTreeMap<Name, BTreeSet<Name>> = BTreeMap::new();
    let name = message.queries[0].name();
    for record in message.answers.iter().chain(&message.authorities) {
        if let RData::NS(server) = &record.data
            && record.name.zone_of(name)
        {
            servers
                .entry(record.name.to_lowercase())
                .or_default()
                .insert(server.0.to_lowercase());
        }
    }
    servers.values().any(|servers| servers.len() == 1)
}

/// Whether two names have the address of one server.
fn shares_address(messages: &[Message], servers: &[IpAddr]) -> bool {
    let mut names: BTreeMap<IpAddr, BTreeSet<Name>> = BTreeMap::new();
    for record in messages.iter().flat_map(all_records) {
        if let Some(address) = record.data.ip_addr().filter(|address| servers.contains(address)) {
            names
                .entry(address)
                .or_default()
                .insert(record.name.to_lowercase());
        }
    }
    names.values().any(|names| names.len() > 1)
}

/// The findings have at most the documented sizes, and no character that a terminal or a page would interpret.
fn texts(domain: &Domain, evidence: &Evidence) {
    let names = names();
    let facts = Facts {
        domain,
        evidence,
        holder: None,
        names: &names,
        now: Timestamp::now(),
    };
    let (findings, german) = explain(&facts);
    assert_eq!(findings.len(), german.len());
    assert!(findings.len() <= FINDINGS, "{} findings", findings.len());
    let mut octets = 0;
    for (finding, german) in findings.iter().zip(&german) {
        assert!(finding.observed.len() <= ANSWERS, "{finding:?}");
        let mut all = vec![&finding.detail, &finding.fix, &german.detail, &german.fix];
        all.extend(&finding.expected);
        for observed in &finding.observed {
            let lengths = [&observed.server, &observed.answer].map(|text| text.chars().count());
            assert!(lengths.into_iter().all(|length| length <= TEXT), "{finding:?}");
            all.extend([&observed.server, &observed.answer]);
        }
        octets += all.iter().map(|text| text.len()).sum::<usize>();
        for text in all {
            assert!(
                !text.is_empty() && !text.chars().any(char::is_control),
                "{text:?} of {finding:?}"
            );
        }
    }
    assert!(octets <= OCTETS, "{octets} octets");
    for server in evidence.nameservers() {
        assert!(server.len() <= TEXT && server.is_ascii(), "{server}");
    }
}
