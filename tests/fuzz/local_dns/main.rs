//! Messages to the DNS server of `cargo local`: each answer is a response to the message and has the records of the zone and no others,
//! and the server goes on to answer. Its parser is that of `hickory-server`, which reads a message in another way than `hickory-proto` does.

use std::{collections::BTreeSet, net::SocketAddr};

use fuzz::Accepted;
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RecordType},
    serialize::binary::BinEncodable,
};
use local::dns::{ANY_PORT, DnsServer};
use tokio::{net::UdpSocket, runtime};

/// Owner, type and data.
const RECORDS: [(&str, RecordType, &str); 5] = [
    ("portal.acme.test.", RecordType::TXT, "value"),
    ("www.acme.test.", RecordType::CNAME, "portal.acme.test."),
    ("*.wild.test.", RecordType::A, "192.0.2.1"),
    ("away.wild.test.", RecordType::CNAME, "www.acme.test."),
    ("*.away.test.", RecordType::CNAME, "x.wild.test."),
];
/// The server adds an SOA record and these name servers to each of these zones, and an address to each name server.
const ZONES: [&str; 7] = [
    ".",
    "test.",
    "acme.test.",
    "wild.test.",
    "away.test.",
    "localhost.",
    "dns.localhost.",
];
const SERVERS: [&str; 2] = ["ns1.dns.localhost.", "ns2.dns.localhost."];

fn main() {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let server = runtime.block_on(DnsServer::start(ANY_PORT)).unwrap();
    let lines = RECORDS.map(|(owner, kind, data)| format!("{owner} {kind} {data}\n"));
    server.set_zone(&lines.concat()).unwrap();
    let table = Table::new();
    let address = server.address();
    let accepted = Accepted::new();
    bolero::check!().for_each(|input: &[u8]| {
        let answers = runtime.block_on(answers(address, input));
        assert!(answers.len() <= 1, "{answers:?}");
        let has_records = |answer: &Message| {
            answer.metadata.response_code == ResponseCode::NoError && !answer.answers.is_empty()
        };
        accepted.count(answers.iter().any(has_records));
        for answer in &answers {
            check(&table, input, answer);
        }
    });
}

/// What the server answers to the message before it answers a query that follows.
async fn answers(server: SocketAddr, message: &[u8]) -> Vec<Message> {
    let socket = UdpSocket::bind(ANY_PORT).await.unwrap();
    socket.connect(server).await.unwrap();
    // No datagram is longer.
    let message = &message[..usize::min(message.len(), 4096)];
    socket.send(message).await.unwrap();
    let mut query = Message::query();
    // Another id than that of the message.
    query.metadata.id = !u16::from_be_bytes([byte(message, 0), byte(message, 1)]);
    query.add_query(Query::query(name("portal.acme.test."), RecordType::TXT));
    socket.send(&query.to_bytes().unwrap()).await.unwrap();
    let mut answers = Vec::new();
    loop {
        let mut buffer = vec![0; 4096];
        let length = socket.recv(&mut buffer).await.unwrap();
        buffer.truncate(length);
        let answer = match Message::from_vec(&buffer) {
            Ok(answer) => answer,
            // The server repeats the questions as they were sent, and the header that a name points into has changed.
            Err(_) if points_into_header(message) => continue,
            Err(error) => panic!("{error}: {buffer:?}"),
        };
        if answer.metadata.id == query.metadata.id {
            assert_eq!(answer.answers.len(), 1, "{answer:?}");
            return answers;
        }
        answers.push(answer);
    }
}

/// Whether the name of a question continues in the header, by a compression pointer (RFC 1035, section 4.1.4).
fn points_into_header(message: &[u8]) -> bool {
    let questions = u16::from_be_bytes([byte(message, 4), byte(message, 5)]);
    let mut start = 12;
    for _ in 0..questions {
        let (mut at, mut end) = (start, None);
        // Each pointer leads to an earlier place, so that a name ends.
        while let Some(length) = message.get(at).copied().filter(|length| *length > 0) {
            if length < 0xc0 {
                at += 1 + usize::from(length);
                continue;
            }
            end.get_or_insert(at + 2);
            let target = usize::from(length & 0x3f) << 8 | usize::from(byte(message, at + 1));
            if target < 12 {
                return true;
            }
            if target >= at {
                return false;
            }
            at = target;
        }
        start = end.unwrap_or(at + 1) + 4;
    }
    false
}

fn check(table: &Table, message: &[u8], answer: &Message) {
    let metadata = &answer.metadata;
    assert_eq!(metadata.id.to_be_bytes(), [byte(message, 0), byte(message, 1)]);
    assert_eq!(metadata.message_type, MessageType::Response);
    let Ok(asked) = Message::from_vec(message) else {
        return;
    };
    let (OpCode::Query, [query]) = (asked.metadata.op_code, asked.queries.as_slice()) else {
        let is_error = metadata.response_code != ResponseCode::NoError;
        assert!(is_error && answer.answers.is_empty(), "{answer:?}");
        return;
    };
    let follows = asked.metadata.recursion_desired;
    let (code, expected) = table.answer(query.name(), query.query_type(), follows);
    let records = answer.answers.iter();
    let found: BTreeSet<_> = records
        .map(|record| {
            let name = record.name.to_lowercase();
            (name, record.record_type(), record.data.to_string())
        })
        .collect();
    let mut expected: BTreeSet<_> = expected.into_iter().collect();
    // A response has at most 512 bytes, so that a long name does not fit in twice.
    if metadata.truncation && message.len() > 200 {
        expected.retain(|row| found.contains(row));
    } else {
        assert!(!metadata.truncation, "truncated: {asked:?}");
    }
    assert_eq!((metadata.response_code, found), (code, expected), "{asked:?}");
}

type Row = (Name, RecordType, String);

/// The records that the server has, with those that it adds.
struct Table {
    rows: Vec<Row>,
}

impl Table {
    fn new() -> Self {
        let row = |owner: &str, kind, data: &str| (name(owner), kind, data.to_owned());
        let mut rows: Vec<_> = RECORDS.map(|(owner, kind, data)| row(owner, kind, data)).into();
        for zone in ZONES {
            rows.push(row(zone, RecordType::SOA, ". . 1 60 60 60 0"));
            rows.extend(SERVERS.map(|server| row(zone, RecordType::NS, server)));
        }
        rows.extend(SERVERS.map(|server| row(server, RecordType::A, "127.0.0.1")));
        Self { rows }
    }

    /// The response code and the answer records. `follows`: the answer has the records of an alias in another zone.
    fn answer(&self, name: &Name, kind: RecordType, follows: bool) -> (ResponseCode, Vec<Row>) {
        let name = name.to_lowercase();
        let Some(owner) = self.owner(&name) else {
            return (ResponseCode::NXDomain, Vec::new());
        };
        let rows = self.rows.iter().filter(|row| row.0 == owner);
        let rows = rows.map(|(_, kind, data)| (name.clone(), *kind, data.clone()));
        let (alias, rows): (Vec<_>, Vec<_>) = rows.partition(|row| row.1 == RecordType::CNAME);
        let mut rows: Vec<_> = rows
            .into_iter()
            .filter(|row| kind == row.1 || kind == RecordType::ANY)
            .collect();
        let mut code = ResponseCode::NoError;
        if let Some(alias) = alias.into_iter().next() {
            let target = self::name(&alias.2);
            rows.push(alias);
            let stays = ["acme.test.", "wild.test.", "away.test."]
                .map(self::name)
                .iter()
                .any(|zone| zone.zone_of(&name) && zone.zone_of(&target));
            if ![RecordType::CNAME, RecordType::ANY].contains(&kind) && (follows || stays) {
                let (last, more) = self.answer(&target, kind, follows);
                code = last;
                rows.extend(more);
            }
        }
        (code, rows)
    }

    /// The name itself, if it exists, else the wildcard that covers it (RFC 4592, section 3.3.1).
    fn owner(&self, name: &Name) -> Option<Name> {
        let exists = |name: &Name| self.rows.iter().any(|row| name.zone_of(&row.0));
        if exists(name) {
            return Some(name.clone());
        }
        let mut encloser = name.base_name();
        while !exists(&encloser) {
            encloser = encloser.base_name();
        }
        let wildcard = encloser.prepend_label("*").ok()?;
        exists(&wildcard).then_some(wildcard)
    }
}

/// 0 if the message ends before it.
fn byte(message: &[u8], index: usize) -> u8 {
    message.get(index).copied().unwrap_or_default()
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}
