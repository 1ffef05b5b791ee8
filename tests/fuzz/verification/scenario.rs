//! What an input selects: the records of the zones, the domain that is checked, and how answers are changed.

use std::net::{IpAddr, Ipv4Addr};

use arbitrary::Arbitrary;
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, AAAA, CNAME, MX, NS, NULL, SOA, TXT},
    },
    serialize::binary::BinEncodable,
};

use super::world::{TARGET, TOKEN, VALUE, name};

pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(9, 9, 9, 9);
/// The servers of `test.`, `acme.test.` and `other.test.`.
const REGISTRY: [Ipv4Addr; 2] = [Ipv4Addr::new(8, 8, 0, 2), Ipv4Addr::new(8, 8, 0, 3)];
const OWN: [Ipv4Addr; 2] = [Ipv4Addr::new(8, 8, 0, 11), Ipv4Addr::new(8, 8, 0, 12)];
const OTHER: [Ipv4Addr; 2] = [Ipv4Addr::new(8, 8, 0, 13), Ipv4Addr::new(8, 8, 0, 14)];

/// The role of a server, which selects its records. A server with the role `Elsewhere` has an address that no other role has, and the
/// records of the second server of `acme.test.`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Part {
    Resolver,
    Registry,
    First,
    Second,
    Other,
    Elsewhere,
}

impl Part {
    pub fn of(address: IpAddr) -> Self {
        let is = |servers: &[Ipv4Addr]| servers.iter().any(|server| address == *server);
        match address {
            _ if is(&[RESOLVER]) => Self::Resolver,
            _ if is(&REGISTRY) => Self::Registry,
            _ if is(&OWN[..1]) => Self::First,
            _ if is(&OWN[1..]) => Self::Second,
            _ if is(&OTHER) => Self::Other,
            _ => Self::Elsewhere,
        }
    }
}

#[derive(Debug, Arbitrary)]
pub struct Scenario {
    /// `DNS_MODE=recursive`, in one of four.
    mode: u8,
    /// `DNS_ALLOW_PRIVATE=true`, in one of four.
    private: u8,
    pub apex: bool,
    pub verified: bool,
    pub depth: u8,
    delegation: u8,
    /// The records of each of the two servers. They have the same ones if the second is small.
    records: [u8; 2],
    pub rules: Vec<Rule>,
}

/// Changes to the answers of some servers to some questions.
#[derive(Debug, Arbitrary)]
pub struct Rule {
    servers: Servers,
    /// To questions of this type; others: all.
    kind: u8,
    transport: Transport,
    changes: Vec<Change>,
}

#[derive(Debug, Arbitrary)]
enum Servers {
    All,
    AllButResolver,
    Zone,
    First,
    Second,
    Registry,
    Resolver,
    Other,
    Elsewhere,
}

impl Servers {
    fn include(&self, part: Part) -> bool {
        match self {
            Self::All => true,
            Self::AllButResolver => part != Part::Resolver,
            Self::Zone => matches!(part, Part::First | Part::Second | Part::Elsewhere),
            Self::First => part == Part::First,
            Self::Second => part == Part::Second,
            Self::Registry => part == Part::Registry,
            Self::Resolver => part == Part::Resolver,
            Self::Other => part == Part::Other,
            Self::Elsewhere => part == Part::Elsewhere,
        }
    }
}

#[derive(Debug, Arbitrary, PartialEq)]
enum Transport {
    Both,
    Udp,
    Tcp,
}

/// A change of the message, or of its bytes.
#[derive(Debug, Arbitrary)]
enum Change {
    NoResponse,
    Code(u8),
    Authoritative(bool),
    Truncated,
    Id(u16),
    IsQuery,
    OpCode(u8),
    NoQuestion,
    TwoQuestions,
    Question(Host, u8),
    NoAnswers,
    NoAuthorities,
    NoGlue,
    /// Copies of a record.
    Repeat {
        section: u8,
        index: u8,
        count: u8,
    },
    Swap {
        section: u8,
        index: u8,
    },
    Move {
        from: u8,
        to: u8,
    },
    Rename {
        section: u8,
        index: u8,
        host: Host,
    },
    Class {
        section: u8,
        index: u8,
    },
    Add {
        section: u8,
        host: Host,
        data: Data,
    },
    /// In place of the answers.
    Only {
        host: Host,
        data: Data,
    },
    /// Lower case.
    Case,
    Flip(u16),
    Set(u16, u8),
    Count {
        section: u8,
        count: u16,
    },
    Insert(u16, u8),
    Remove(u16),
    Cut(u16),
    Append(Vec<u8>),
    /// A compression pointer to itself, or to what follows.
    Pointer(u16, u8),
    /// Any bytes after the header and the question.
    Raw(Vec<u8>),
    /// A datagram before the answer: a proof with another id.
    Forged(u16),
}

#[derive(Debug, Arbitrary)]
enum Host {
    Question,
    Hostname,
    Challenge,
    Target,
    ForeignTarget,
    Apex,
    Top,
    Root,
    Ns1,
    Ns2,
    Cdn,
    Other,
    Internal,
    Below,
    Odd,
    Long,
}

#[derive(Debug, Arbitrary)]
enum Data {
    Address(u8),
    AnyAddress(u32),
    Address6(u8),
    Cname(Host),
    Dname(Host),
    Ns(Host),
    Soa(Host),
    Mx(Host),
    Proof,
    Texts(u8),
    AnyText(Vec<u8>),
    LongText,
    Empty,
}

/// Addresses that name servers must not have, and public ones.
const ADDRESSES: [&str; 14] = [
    "8.8.0.12",
    "8.8.0.77",
    "9.9.9.9",
    "192.0.2.80",
    "127.0.0.1",
    "127.0.53.1",
    "10.0.0.53",
    "169.254.169.254",
    "169.254.169.253",
    "192.168.1.1",
    "172.16.0.1",
    "100.64.0.1",
    "0.0.0.0",
    "255.255.255.255",
];

/// The namespace has these of IPv6.
pub const ADDRESSES_6: [&str; 10] = [
    "2001:4860:4860::8888",
    "2606:4700::53",
    "::1",
    "::ffff:10.0.0.53",
    "::ffff:127.0.0.1",
    "64:ff9b::a00:1",
    "fd00:ec2::254",
    "2002:a00:1::1",
    "2001:db8::53",
    "fec0::53",
];

const FOREIGN_TARGET: &str = "00000000000000000000000000000001.edge.test.";

impl Scenario {
    pub fn is_recursive(&self) -> bool {
        self.mode % 4 == 3
    }

    pub fn allows_private(&self) -> bool {
        self.private % 4 == 3
    }

    pub fn hostname(&self) -> &'static str {
        if self.apex {
            "acme.test"
        } else {
            "portal.acme.test"
        }
    }

    /// The delegations in the zone `test.`.
    pub fn registry(&self) -> String {
        let servers = match self.delegation % 9 {
            0 | 1 => "acme.test. NS ns1.acme.test.\nacme.test. NS ns2.acme.test.",
            2 => "acme.test. NS ns1.acme.test.",
            3 => "acme.test. NS ns1.acme.test.\nacme.test. NS ns.private.test.\nns.private.test. A 10.0.0.53",
            4 => "acme.test. NS ns1.acme.test.\nacme.test. NS ns.other.test.",
            5 => {
                "acme.test. NS ns.six.test.\nns.six.test. AAAA 2001:4860:4860::8888\nns.six.test. AAAA fd00:ec2::254"
            }
            6 => "acme.test. NS ns1.acme.test.\nacme.test. NS ns2.acme.test.\nns1.acme.test. A 127.0.0.1",
            7 => {
                "acme.test. NS ns1.acme.test.\nacme.test. NS ns2.acme.test.\nacme.test. NS ns3.acme.test.\nacme.test. NS ns4.acme.test.\nns3.acme.test. A 8.8.0.21\nns4.acme.test. A 8.8.0.22"
            }
            _ => {
                "acme.test. NS ns.private.test.\nns.private.test. A 169.254.169.254\nns.private.test. AAAA ::ffff:10.0.0.53"
            }
        };
        format!(
            "*.edge.test. A 192.0.2.80\nother.test. NS ns.other.test.\nother.test. NS ns2.other.test.\n{}\n{servers}",
            self.addresses()
        )
    }

    fn addresses(&self) -> String {
        format!(
            "ns1.acme.test. A {}\nns2.acme.test. A {}\nns.other.test. A {}\nns2.other.test. A {}",
            OWN[0], OWN[1], OTHER[0], OTHER[1]
        )
    }

    /// The records that the resolver knows.
    pub fn resolver(&self) -> String {
        let addresses = self.addresses();
        let records = self.zone(0);
        let [first, second] = REGISTRY;
        let registry =
            format!("test. NS nic1.test.\ntest. NS nic2.test.\nnic1.test. A {first}\nnic2.test. A {second}");
        format!("{registry}\n*.edge.test. A 192.0.2.80\n{addresses}\n{records}")
    }

    /// The records of the first or the second server of `acme.test.`.
    pub fn zone(&self, server: usize) -> String {
        let host = self.hostname();
        let choice = match server {
            1 if self.records[1] >= 128 => self.records[1],
            _ => self.records[0],
        };
        let txt = format!("_agency-challenge.{host}. TXT \"{VALUE}\"\n");
        let cname = format!("{host}. CNAME {TARGET}\n");
        let own = match choice % 17 {
            0 => format!("{cname}{txt}"),
            1 => cname,
            2 => txt,
            3 => format!("{host}. A 203.0.113.9\n"),
            4 => format!("{host}. A 192.0.2.80\n{txt}"),
            5 => format!("{host}. CNAME cdn.other.test.\n"),
            6 => format!("{host}. CNAME {TOKEN}.alias.acme.test.\nalias.acme.test. DNAME edge.test.\n"),
            7 => format!("{host}. CNAME {FOREIGN_TARGET}\n_agency-challenge.{host}. TXT \"{VALUE} \"\n"),
            8 => format!("{host}. CNAME loop.acme.test.\nloop.acme.test. CNAME {host}.\n"),
            9 => format!("_agency-challenge.{host}. CNAME proof.other.test.\n"),
            10 => format!("_agency-challenge.{host}. TXT \"agency-verification\" \"={TOKEN}\"\n"),
            11 => format!("{host}. TXT \"{VALUE}\"\n_agency-challenge.{host}.acme.test. TXT \"{VALUE}\"\n"),
            12 => format!("*.acme.test. CNAME {TARGET}\n*.acme.test. TXT \"{VALUE}\"\n"),
            13 => format!("sub.acme.test. NS ns2.acme.test.\n{host}. CNAME x.sub.acme.test.\n{txt}"),
            14 => format!(
                "{host}. A 104.16.0.1\n{host}. MX mail.acme.test.\nacme.test. CAA 0 issue \"other.example\"\n"
            ),
            15 => {
                let aliases =
                    (1..9).map(|step| format!("a{step}.acme.test. CNAME a{}.acme.test.\n", step + 1));
                format!(
                    "{host}. CNAME a1.acme.test.\n_agency-challenge.{host}. CNAME a2.acme.test.\n{}",
                    aliases.collect::<String>()
                )
            }
            _ => String::new(),
        };
        format!("{own}ns1.acme.test. A {}\nns2.acme.test. A {}\n", OWN[0], OWN[1])
    }

    pub fn other_zone(&self) -> String {
        format!(
            "cdn.other.test. CNAME {TARGET}\nproof.other.test. TXT \"{VALUE}\"\nns.other.test. A {}\n",
            OTHER[0]
        )
    }

    /// The datagrams, or the message by TCP, of a server. `reply` is what its zone answers.
    pub fn respond(&self, server: IpAddr, tcp: bool, reply: Message) -> Vec<Vec<u8>> {
        let part = Part::of(server);
        let kind = reply.queries[0].query_type();
        let kinds = [
            RecordType::CNAME,
            RecordType::TXT,
            RecordType::NS,
            RecordType::A,
            RecordType::AAAA,
            RecordType::SOA,
        ];
        let transport = if tcp { Transport::Udp } else { Transport::Tcp };
        let rules = self.rules.iter().take(8).filter(|rule| {
            rule.servers.include(part)
                && rule.transport != transport
                && kinds
                    .get(usize::from(rule.kind % 12))
                    .is_none_or(|other| *other == kind)
        });
        let changes: Vec<_> = rules.flat_map(|rule| rule.changes.iter().take(8)).collect();
        let asked = reply.clone();
        let mut message = reply;
        let question = message.queries[0].name().clone();
        for change in &changes {
            if matches!(change, Change::NoResponse) {
                return Vec::new();
            }
            change.message(&mut message, &question, self);
        }
        let Ok(mut bytes) = message.to_bytes() else {
            return Vec::new();
        };
        let mut changes_bytes = false;
        for change in &changes {
            changes_bytes |= change.bytes(&mut bytes);
        }
        if !tcp && !changes_bytes && bytes.len() > 1232 {
            bytes = message.truncate().to_bytes().unwrap_or_default();
        }
        bytes.truncate(if tcp { 65_535 } else { 60_000 });
        let mut messages = Vec::new();
        for change in changes {
            if let Change::Forged(id) = change
                && *id != 0
                && !tcp
            {
                messages.push(forged(&asked, *id));
            }
        }
        messages.push(bytes);
        messages
    }
}

/// A proof of any domain by someone who does not know the id of the query.
fn forged(asked: &Message, id: u16) -> Vec<u8> {
    let mut message = asked.clone();
    message.metadata.id ^= id;
    message.metadata.authoritative = true;
    message.metadata.response_code = ResponseCode::NoError;
    message.authorities.clear();
    let query = &asked.queries[0];
    let proof = match query.query_type() {
        RecordType::TXT => RData::TXT(TXT::new(vec![VALUE.to_owned()])),
        _ => RData::CNAME(CNAME(name(TARGET))),
    };
    message.answers = vec![Record::from_rdata(query.name().clone(), 60, proof)];
    message.to_bytes().unwrap_or_default()
}

impl Change {
    fn message(&self, message: &mut Message, question: &Name, scenario: &Scenario) {
        let host = |host: &Host| host.name(question, scenario);
        match self {
            Self::Code(code) => message.metadata.response_code = ResponseCode::from(0, code % 16),
            Self::Authoritative(is) => message.metadata.authoritative = *is,
            Self::Truncated => message.metadata.truncation = true,
            Self::Id(id) => message.metadata.id ^= id,
            Self::IsQuery => message.metadata.message_type = MessageType::Query,
            Self::OpCode(code) => message.metadata.op_code = OpCode::from_u8(code % 16),
            Self::NoQuestion => message.queries.clear(),
            Self::TwoQuestions => message.queries.extend(message.queries.first().cloned()),
            Self::Question(name, kind) => {
                let kind = [RecordType::CNAME, RecordType::TXT, RecordType::A, RecordType::NS]
                    [usize::from(kind % 4)];
                message.queries = vec![Query::query(host(name), kind)];
            }
            Self::NoAnswers => message.answers.clear(),
            Self::NoAuthorities => message.authorities.clear(),
            Self::NoGlue => message.additionals.clear(),
            Self::Repeat {
                section,
                index,
                count,
            } => {
                let records = section_of(message, *section);
                if let Some(record) = records.get(usize::from(*index)).cloned() {
                    records.extend(std::iter::repeat_n(record, (*count).into()));
                }
            }
            Self::Swap { section, index } => {
                let records = section_of(message, *section);
                if usize::from(*index) + 1 < records.len() {
                    records.swap((*index).into(), usize::from(*index) + 1);
                }
            }
            Self::Move { from, to } => {
                let records = std::mem::take(section_of(message, *from));
                section_of(message, *to).extend(records);
            }
            Self::Rename {
                section,
                index,
                host: name,
            } => {
                if let Some(record) = section_of(message, *section).get_mut(usize::from(*index)) {
                    record.name = host(name);
                }
            }
            Self::Class { section, index } => {
                if let Some(record) = section_of(message, *section).get_mut(usize::from(*index)) {
                    record.dns_class = DNSClass::CH;
                }
            }
            Self::Add {
                section,
                host: name,
                data,
            } => {
                let record = Record::from_rdata(host(name), 60, data.rdata(&host));
                section_of(message, *section).push(record);
            }
            Self::Only { host: name, data } => {
                message.answers = vec![Record::from_rdata(host(name), 60, data.rdata(&host))];
            }
            Self::Case => {
                for query in &mut message.queries {
                    *query = Query::query(query.name().to_lowercase(), query.query_type());
                }
            }
            _ => {}
        }
    }

    /// Changes the bytes, and returns whether it did.
    fn bytes(&self, bytes: &mut Vec<u8>) -> bool {
        let length = bytes.len();
        let at = |offset: &u16| usize::from(*offset) % usize::max(length, 1);
        match self {
            _ if length < 12 => return false,
            Self::Flip(bit) => bytes[usize::from(*bit) / 8 % length] ^= 1 << (bit % 8),
            Self::Set(offset, byte) => bytes[at(offset)] = *byte,
            Self::Count { section, count } => {
                let field = 4 + 2 * usize::from(section % 4);
                bytes[field..field + 2].copy_from_slice(&count.to_be_bytes());
            }
            Self::Insert(offset, byte) => bytes.insert(at(offset), *byte),
            Self::Remove(offset) => drop(bytes.remove(at(offset))),
            Self::Cut(offset) => bytes.truncate(at(offset)),
            Self::Append(more) => bytes.extend_from_slice(more),
            Self::Pointer(offset, to) => {
                let offset = at(offset);
                bytes[offset] = 0xc0;
                if let Some(next) = bytes.get_mut(offset + 1) {
                    *next = *to;
                }
            }
            Self::Raw(more) => {
                // The question ends with an empty label, the type and the class.
                let labels = bytes[12..].iter().position(|byte| *byte == 0);
                let end = labels.map_or(length, |labels| usize::min(12 + labels + 5, length));
                bytes.truncate(end);
                bytes.extend_from_slice(more);
            }
            _ => return false,
        }
        true
    }
}

fn section_of(message: &mut Message, section: u8) -> &mut Vec<Record> {
    match section % 3 {
        0 => &mut message.answers,
        1 => &mut message.authorities,
        _ => &mut message.additionals,
    }
}

impl Host {
    fn name(&self, question: &Name, scenario: &Scenario) -> Name {
        let hostname = scenario.hostname();
        match self {
            Self::Question => question.clone(),
            Self::Hostname => name(&format!("{hostname}.")),
            Self::Challenge => name(&format!("_agency-challenge.{hostname}.")),
            Self::Target => name(TARGET),
            Self::ForeignTarget => name(FOREIGN_TARGET),
            Self::Apex => name("acme.test."),
            Self::Top => name("test."),
            Self::Root => Name::root(),
            Self::Ns1 => name("ns1.acme.test."),
            Self::Ns2 => name("ns2.acme.test."),
            Self::Cdn => name("cdn.other.test."),
            Self::Other => name("other.test."),
            Self::Internal => name("intranet.internal."),
            Self::Below => question.prepend_label("x").unwrap_or_else(|_| question.clone()),
            Self::Odd => Name::from_labels([&b"a.\n\"\x1b"[..], b"acme", b"test"]).unwrap_or_default(),
            Self::Long => {
                let labels = [&[1; 63][..], &[2; 63], &[3; 63], b"acme", b"test"];
                Name::from_labels(labels).unwrap_or_default()
            }
        }
    }
}

impl Data {
    fn rdata(&self, host: &impl Fn(&Host) -> Name) -> RData {
        let text = |text: Vec<u8>| RData::TXT(TXT::from_bytes(vec![&text]));
        match self {
            Self::Address(index) => {
                let address = ADDRESSES[usize::from(*index) % ADDRESSES.len()];
                RData::A(A(address.parse().unwrap()))
            }
            Self::AnyAddress(address) => RData::A(A(Ipv4Addr::from_bits(*address))),
            Self::Address6(index) => {
                let address = ADDRESSES_6[usize::from(*index) % ADDRESSES_6.len()];
                RData::AAAA(AAAA(address.parse().unwrap()))
            }
            Self::Cname(name) => RData::CNAME(CNAME(host(name))),
            Self::Dname(name) => {
                let rdata = host(name).to_bytes().unwrap_or_default();
                RData::Unknown {
                    code: RecordType::DNAME,
                    rdata: NULL::with(rdata),
                }
            }
            Self::Ns(name) => RData::NS(NS(host(name))),
            Self::Soa(name) => RData::SOA(SOA::new(host(name), host(name), 1, 60, 60, 60, 60)),
            Self::Mx(name) => RData::MX(MX::new(10, host(name))),
            Self::Proof => text(VALUE.into()),
            Self::Texts(index) => {
                let texts = [TOKEN, "agency-verification", "v=spf1 -all", TARGET, ""];
                let chosen = texts[usize::from(*index) % texts.len()];
                match index / 8 % 4 {
                    0 => text(chosen.into()),
                    1 => text(format!("{VALUE}{chosen}").into()),
                    2 => text(format!(" {VALUE}").into()),
                    _ => text(VALUE.to_uppercase().into()),
                }
            }
            Self::AnyText(bytes) => text(bytes[..usize::min(bytes.len(), 255)].to_vec()),
            Self::LongText => RData::TXT(TXT::from_bytes(vec![&[0x1b; 255], &[0xff; 255], &[b'"'; 255]])),
            Self::Empty => RData::TXT(TXT::from_bytes(Vec::new())),
        }
    }
}
