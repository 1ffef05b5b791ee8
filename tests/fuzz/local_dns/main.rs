//! Messages to the DNS server of `cargo local`: each answer is a response to the message, has what the zone has, and the server goes
//! on to answer. Its parser is that of `hickory-server`, which reads a message in another way than `hickory-proto` does.

use std::net::SocketAddr;

use fuzz::Accepted;
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{DNSClass, Name, RecordType},
    serialize::binary::BinEncodable,
};
use local::dns::{ANY_PORT, DnsServer};
use tokio::{net::UdpSocket, runtime};

const ZONE: &str =
    "portal.acme.test. TXT \"value\"\nwww.acme.test. CNAME portal.acme.test.\n*.wild.test. A 192.0.2.1\n";

fn main() {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let server = runtime.block_on(DnsServer::start(ANY_PORT)).unwrap();
    server.set_zone(ZONE).unwrap();
    let address = server.address();
    let accepted = Accepted::new();
    bolero::check!().for_each(|input: &[u8]| {
        let answers = runtime.block_on(answers(address, input));
        accepted.count(!answers.is_empty());
        assert!(answers.len() <= 1, "{answers:?}");
        for answer in &answers {
            check(input, answer);
        }
    });
}

/// What the server answers to the message before it answers a query that follows.
async fn answers(server: SocketAddr, message: &[u8]) -> Vec<Vec<u8>> {
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
            Err(_) if points(message) => continue,
            Err(error) => panic!("{error}: {buffer:?}"),
        };
        if answer.metadata.id == query.metadata.id {
            assert_eq!(answer.answers.len(), 1, "{answer:?}");
            return answers;
        }
        answers.push(buffer);
    }
}

/// Whether a name of a question may have a pointer, which can point into the header.
fn points(message: &[u8]) -> bool {
    message.iter().skip(12).any(|byte| *byte >= 0xc0)
}

fn check(message: &[u8], answer: &[u8]) {
    let answer = Message::from_vec(answer).unwrap();
    let metadata = &answer.metadata;
    assert_eq!(metadata.id.to_be_bytes(), [byte(message, 0), byte(message, 1)]);
    assert_eq!(metadata.message_type, MessageType::Response);
    let Ok(asked) = Message::from_vec(message) else {
        return;
    };
    let [query] = asked.queries.as_slice() else { return };
    let is_own = *query.name() == name("portal.acme.test.") && query.query_type() == RecordType::TXT;
    if is_own && query.query_class() == DNSClass::IN && asked.metadata.op_code == OpCode::Query {
        let is_answer = metadata.response_code == ResponseCode::NoError && answer.answers.len() == 1;
        // Another version of EDNS (RFC 6891, section 6.1.3).
        let is_other_version = asked.edns.is_some_and(|edns| edns.version() > 0);
        assert!(is_answer || is_other_version, "{answer:?}");
    }
}

/// 0 if the message ends before it.
fn byte(message: &[u8], index: usize) -> u8 {
    message.get(index).copied().unwrap_or_default()
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}
