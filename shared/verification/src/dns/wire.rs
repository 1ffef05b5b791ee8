//! One exchange with one server: a query by UDP, by TCP when the response is truncated, and the checks that decide
//! whether a message is the response to the query.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{DNSClass, Name, RecordType},
    serialize::binary::{BinDecodable, BinDecoder},
};
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use crate::limit::lock;

/// The limits of one check.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time for one query to one server, UDP and TCP together.
    pub query: Duration,
    /// A UDP query without a response is sent once more after this time.
    pub resend: Duration,
    /// Time for one check. Time spent waiting for other checks of the session does not count.
    pub check: Duration,
    /// Messages sent in one check.
    pub packets: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            query: Duration::from_millis(1500),
            resend: Duration::from_millis(600),
            check: Duration::from_secs(6),
            packets: 64,
        }
    }
}

/// A response with more records in one section is rejected as too big.
const MAX_RECORDS: u16 = 100;
/// The EDNS buffer size: no network fragments a datagram of this size (<https://www.dnsflagday.net/2020/>).
const UDP_PAYLOAD: u16 = 1232;

/// Why a query has no usable response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Failure {
    /// No response arrived in time, or the server cannot be reached.
    #[error("no response")]
    Timeout,
    /// The check has no time, packets or sockets left, so the query was not sent or was cut off.
    #[error("not queried, the check's limits were reached")]
    BudgetExhausted,
    /// The response code is neither `NOERROR` nor `NXDOMAIN`.
    #[error("{}", mnemonic(*.0))]
    Code(ResponseCode),
    /// The message cannot be parsed, or it contradicts itself.
    #[error("malformed")]
    Malformed,
    /// A section has more than 100 records.
    #[error("too many records")]
    TooBig,
    /// The UDP response was truncated, and TCP brought no response.
    #[error("truncated, and no response by TCP")]
    Truncated,
    /// The server is not authoritative for the name, or the referrals do not end.
    #[error("not authoritative")]
    Lame,
    /// The name server's name has no address, or the resolver does not say which.
    #[error("no address")]
    NoAddress,
    /// The name server has no public address.
    #[error("no public address")]
    PrivateAddress,
    /// A validating resolver rejects the zone's signatures.
    #[error("SERVFAIL, but not with checking disabled")]
    Bogus,
    /// None of the configured resolvers answers.
    #[error("no resolver answers")]
    Resolver,
}

/// The name of a response code (IANA, DNS RCODEs).
fn mnemonic(code: ResponseCode) -> String {
    let name = match code {
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::YXDomain => "YXDOMAIN",
        ResponseCode::NotAuth => "NOTAUTH",
        ResponseCode::BADVERS | ResponseCode::BADSIG => "BADVERS",
        code => return format!("RCODE {}", u16::from(code)),
    };
    name.to_owned()
}

/// What one check has left of its limits.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    sent: AtomicU32,
    clock: Mutex<Stopwatch>,
}

/// Runs while at least one query is in flight, so that time spent waiting for other checks does not count.
#[derive(Debug, Default)]
struct Stopwatch {
    /// Queries in flight.
    in_flight: u32,
    /// Time of the finished queries; queries that overlap count once.
    used: Duration,
    /// When the first query in flight was sent.
    since: Option<Instant>,
}

impl Stopwatch {
    fn left(&self, limits: &Limits) -> Duration {
        let running = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        limits.check.saturating_sub(self.used + running)
    }
}

impl Budget {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            sent: AtomicU32::new(0),
            clock: Mutex::default(),
        }
    }

    pub fn sent(&self) -> u32 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether a query is in flight.
    pub fn is_in_use(&self) -> bool {
        lock(&self.clock).in_flight > 0
    }

    /// Whether another query can be sent.
    fn is_left(&self) -> bool {
        !lock(&self.clock).left(&self.limits).is_zero() && self.sent() < self.limits.packets
    }

    /// Starts a query. The returned guard has its deadline.
    fn start(&self) -> Result<InFlight<'_>, Failure> {
        if !self.is_left() {
            return Err(Failure::BudgetExhausted);
        }
        let now = Instant::now();
        let mut clock = lock(&self.clock);
        let left = clock.left(&self.limits);
        clock.in_flight += 1;
        clock.since.get_or_insert(now);
        Ok(InFlight {
            budget: self,
            deadline: now + left.min(self.limits.query),
            is_cut: left < self.limits.query,
        })
    }

    fn charge(&self) -> Result<(), Failure> {
        let one_more = |sent| (sent < self.limits.packets).then_some(sent + 1);
        let sent = self
            .sent
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        sent.map(|_| ()).map_err(|_| Failure::BudgetExhausted)
    }
}

/// A query in flight.
#[derive(Debug)]
struct InFlight<'a> {
    budget: &'a Budget,
    deadline: Instant,
    /// The check ends before the query's own time limit, so that a time-out says nothing about the server.
    is_cut: bool,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let mut clock = lock(&self.budget.clock);
        clock.in_flight -= 1;
        if clock.in_flight == 0
            && let Some(since) = clock.since.take()
        {
            clock.used += since.elapsed();
        }
    }
}

/// At most one message in a millisecond to all resolvers: a resolver in AWS accepts 1,024 a second from one network
/// interface.
#[derive(Debug, Default)]
pub struct RateLimit {
    next: Mutex<Option<Instant>>,
}

impl RateLimit {
    const INTERVAL: Duration = Duration::from_millis(1);

    /// Waits until a message may be sent.
    async fn wait(&self) {
        let at = self.reserve();
        if Instant::now() < at {
            tokio::time::sleep_until(at).await;
        }
    }

    /// Reserves the next slot. A retry does not wait for its slot, but delays the messages after it.
    fn reserve(&self) -> Instant {
        let mut next = lock(&self.next);
        let now = Instant::now();
        let at = next.map_or(now, |next| next.max(now));
        *next = Some(at + Self::INTERVAL);
        at
    }
}

/// Charges each message to the check's packet budget, and each retry to the rate limit.
struct Sender<'a> {
    budget: &'a Budget,
    rate_limit: Option<&'a RateLimit>,
    /// The slot of the first message is reserved before the query's time begins.
    has_slot: AtomicBool,
}

impl Sender<'_> {
    fn charge(&self) -> Result<(), Failure> {
        self.budget.charge()?;
        if let Some(rate_limit) = self.rate_limit
            && !self.has_slot.swap(false, Ordering::Relaxed)
        {
            rate_limit.reserve();
        }
        Ok(())
    }
}

/// A query to one server.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub name: &'a Name,
    pub kind: RecordType,
    /// The RD bit: set for resolvers, never for authoritative servers.
    pub recursion: bool,
    /// The CD bit: a validating resolver does not validate (RFC 4035, section 3.2.2).
    pub checking_disabled: bool,
    /// Sent by TCP with the name in lower case, not by UDP in random letter case: for servers that compare case.
    pub lower_case: bool,
}

impl Question<'_> {
    /// The message, with a random id and random letter case. Together with the random source port these are what an
    /// attacker who forges responses must guess.
    fn message(&self, edns: bool) -> Message {
        let mut name = self.name.to_lowercase();
        if !self.lower_case {
            name.randomize_label_case();
        }
        let mut message = Message::query();
        message.metadata.recursion_desired = self.recursion;
        message.metadata.checking_disabled = self.checking_disabled;
        message.add_query(Query::query(name, self.kind));
        if edns {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_PAYLOAD);
            message.set_edns(edns);
        }
        message
    }
}

/// Sockets of all checks: a Lambda function has 1,024 file descriptors, and DynamoDB's connections need some of them.
static SOCKETS: Semaphore = Semaphore::const_new(600);

/// Queries one server: by UDP, then by TCP if the response is truncated or changes the letter case of the name. A server
/// that does not support EDNS is queried once more without it (RFC 6891, section 7).
pub async fn exchange(
    server: SocketAddr,
    question: &Question<'_>,
    budget: &Budget,
    rate_limit: Option<&RateLimit>,
) -> Result<Message, Failure> {
    // The semaphore is never closed.
    let _permit = SOCKETS.acquire().await;
    if let Some(rate_limit) = rate_limit
        && budget.is_left()
    {
        rate_limit.wait().await;
    }
    let in_flight = budget.start()?;
    let sender = Sender {
        budget,
        rate_limit,
        has_slot: AtomicBool::new(true),
    };
    match udp_then_tcp(server, question, in_flight.deadline, &sender).await {
        Err(Failure::Timeout | Failure::Truncated) if in_flight.is_cut => Err(Failure::BudgetExhausted),
        result => result,
    }
}

async fn udp_then_tcp(
    server: SocketAddr,
    question: &Question<'_>,
    deadline: Instant,
    sender: &Sender<'_>,
) -> Result<Message, Failure> {
    let by_tcp = async |edns| tcp(server, &question.message(edns), deadline, sender).await;
    let by_udp = async |edns| match question.lower_case {
        true => by_tcp(edns)
            .await
            .map(|message| Received::Complete(Box::new(message))),
        false => udp(server, &question.message(edns), deadline, sender).await,
    };
    let mut edns = true;
    let received = match by_udp(edns).await {
        Err(Failure::Code(code)) if lacks_edns(code) => {
            edns = false;
            by_udp(edns).await?
        }
        received => received?,
    };
    let by_tcp = async || by_tcp(edns).await;
    match received {
        Received::Complete(message) => Ok(*message),
        Received::CaseMismatch => by_tcp().await,
        Received::Truncated => by_tcp().await.map_err(|failure| match failure {
            Failure::Timeout => Failure::Truncated,
            failure => failure,
        }),
    }
}

/// Whether a server without EDNS, or without its version, answers so. The library parses 16, `BADVERS`, as `BADSIG`.
fn lacks_edns(code: ResponseCode) -> bool {
    use ResponseCode::{BADSIG, BADVERS, FormErr, NotImp};
    matches!(code, FormErr | NotImp | BADVERS | BADSIG)
}

/// A response, or a reason to repeat the query by TCP.
enum Received {
    Complete(Box<Message>),
    Truncated,
    CaseMismatch,
}

async fn udp(
    server: SocketAddr,
    question: &Message,
    deadline: Instant,
    sender: &Sender<'_>,
) -> Result<Received, Failure> {
    let bytes = question.to_vec().map_err(|_| Failure::Malformed)?;
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // The port is random. `connect` makes the kernel drop datagrams from other sources.
    let socket = UdpSocket::bind(any).await.map_err(|_| Failure::BudgetExhausted)?;
    socket.connect(server).await.map_err(|_| Failure::Timeout)?;
    sender.charge()?;
    socket.send(&bytes).await.map_err(|_| Failure::Timeout)?;
    let mut again = Some(Instant::now() + sender.budget.limits.resend).filter(|again| *again < deadline);
    let mut buffer = vec![0; 4096];
    // A server that sends without end keeps the socket readable, so `timeout_at` alone would never fire.
    while Instant::now() < deadline {
        match timeout_at(again.unwrap_or(deadline), socket.recv(&mut buffer)).await {
            Ok(Ok(length)) => {
                let datagram = buffer.get(..length).unwrap_or_default();
                if let Some(received) = read(datagram, question, false) {
                    return received;
                }
            }
            Ok(Err(_)) => return Err(Failure::Timeout),
            Err(_) if again.take().is_some() && sender.charge().is_ok() => {
                socket.send(&bytes).await.map_err(|_| Failure::Timeout)?;
            }
            Err(_) => {}
        }
    }
    Err(Failure::Timeout)
}

async fn tcp(
    server: SocketAddr,
    question: &Message,
    deadline: Instant,
    sender: &Sender<'_>,
) -> Result<Message, Failure> {
    let bytes = question.to_vec().map_err(|_| Failure::Malformed)?;
    let length = u16::try_from(bytes.len()).map_err(|_| Failure::Malformed)?;
    sender.charge()?;
    let response = async {
        let mut stream = TcpStream::connect(server).await?;
        // One write: some servers do not read a message that arrives in two segments.
        stream
            .write_all(&[&length.to_be_bytes(), bytes.as_slice()].concat())
            .await?;
        let mut response = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut response).await?;
        io::Result::Ok(response)
    };
    let response = match timeout_at(deadline, response).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) | Err(_) => return Err(Failure::Timeout),
    };
    match read(&response, question, true) {
        Some(Ok(Received::Complete(message))) => Ok(*message),
        Some(Err(failure)) => Err(failure),
        Some(Ok(_)) | None => Err(Failure::Malformed),
    }
}

/// Parses a message. `None`: it is not a response to this question (RFC 5452, section 9.1) and must be ignored.
fn read(bytes: &[u8], question: &Message, any_case: bool) -> Option<Result<Received, Failure>> {
    let asked = question.queries.first()?;
    let mut decoder = BinDecoder::new(bytes);
    let header = hickory_proto::op::Header::read(&mut decoder).ok()?;
    if header.metadata.id != question.metadata.id
        || header.metadata.message_type != MessageType::Response
        || header.metadata.op_code != OpCode::Query
    {
        return None;
    }
    // A server that cannot parse the query sends its response code without the question.
    if header.counts.queries == 0 {
        // EDNS extends the header's response code.
        let code = Message::from_vec(bytes).map_or(header.metadata.response_code, |message| {
            message.metadata.response_code
        });
        let is_error = !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
        return is_error.then_some(Err(Failure::Code(code)));
    }
    let repeated = Query::read(&mut decoder).ok()?;
    if header.counts.queries != 1
        || repeated.query_type() != asked.query_type()
        || repeated.query_class() != DNSClass::IN
        || repeated.name() != asked.name()
    {
        return None;
    }
    if !any_case && !repeated.name().eq_case(asked.name()) {
        return Some(Ok(Received::CaseMismatch));
    }
    if header.metadata.truncation {
        return Some(if any_case {
            Err(Failure::Truncated)
        } else {
            Ok(Received::Truncated)
        });
    }
    let counts = [
        header.counts.answers,
        header.counts.authorities,
        header.counts.additionals,
    ];
    if counts.iter().any(|count| *count > MAX_RECORDS) {
        return Some(Err(Failure::TooBig));
    }
    let Ok(message) = Message::from_vec(bytes) else {
        return Some(Err(Failure::Malformed));
    };
    // EDNS extends the header's response code.
    Some(match message.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(Received::Complete(Box::new(message))),
        code => Err(Failure::Code(code)),
    })
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::future::join_all;
    use hickory_proto::rr::{RData, Record, rdata::TXT};
    use proptest::prelude::*;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_costs_no_time_and_queries_that_overlap_count_once() {
        let budget = Budget::new(Limits::default());
        let pass = |millis| tokio::time::advance(Duration::from_millis(millis));
        let left = |query: &InFlight<'_>| query.deadline - Instant::now();
        pass(20_000).await;
        let one = budget.start().unwrap();
        assert_eq!(left(&one), Duration::from_millis(1500));
        pass(1000).await;
        let two = budget.start().unwrap();
        pass(1000).await;
        assert!(!one.is_cut && !two.is_cut);
        drop(one);
        pass(3000).await;
        drop(two);
        pass(20_000).await;
        let last = budget.start().unwrap();
        assert_eq!((left(&last), last.is_cut), (Duration::from_millis(1000), true));
        pass(1000).await;
        assert_eq!(budget.start().err(), Some(Failure::BudgetExhausted));
    }

    #[tokio::test(start_paused = true)]
    async fn messages_to_resolvers_are_a_millisecond_apart() {
        let (rate_limit, begun) = (RateLimit::default(), Instant::now());
        join_all((0..100).map(|_| rate_limit.wait())).await;
        assert_eq!(begun.elapsed(), Duration::from_millis(99));
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_waits_for_one_of_600_sockets() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, budget) = (server.local_addr().unwrap(), Budget::new(Limits::default()));
        let question = Question {
            name: &Name::root(),
            kind: RecordType::NS,
            recursion: false,
            checking_disabled: false,
            lower_case: false,
        };
        let mut query = pin!(exchange(address, &question, &budget, None));
        let moment = Duration::from_millis(1);
        let others = SOCKETS.acquire_many(600).await.unwrap();
        assert!(timeout(moment, &mut query).await.is_err());
        assert_eq!(budget.sent(), 0);
        drop(others);
        assert!(timeout(moment, &mut query).await.is_err());
        assert_eq!(budget.sent(), 1);
    }

    #[test]
    fn no_more_packets_than_allowed_are_sent() {
        let budget = Budget::new(Limits {
            packets: 2,
            ..Limits::default()
        });
        assert!(budget.charge().is_ok() && budget.charge().is_ok());
        assert_eq!(budget.charge(), Err(Failure::BudgetExhausted));
        assert_eq!(
            (budget.sent(), budget.start().err()),
            (2, Some(Failure::BudgetExhausted))
        );
    }

    #[test]
    fn a_check_takes_at_most_6_s_and_64_packets_and_a_query_1500_ms() {
        let limits = Limits::default();
        assert_eq!(
            (limits.query.as_millis(), limits.check.as_secs(), limits.packets),
            (1500, 6, 64)
        );
    }

    fn question() -> Message {
        let name = Name::from_ascii("portal.acme.test.").unwrap();
        let question = Question {
            name: &name,
            kind: RecordType::TXT,
            recursion: false,
            checking_disabled: false,
            lower_case: false,
        };
        question.message(true)
    }

    fn response(question: &Message) -> Vec<u8> {
        let mut response = Message::response(question.metadata.id, OpCode::Query);
        let query = question.queries[0].clone();
        let txt = RData::TXT(TXT::new(vec!["agency-verification=0".to_owned()]));
        response.add_answer(Record::from_rdata(query.name().clone(), 60, txt));
        response.add_query(query);
        response.to_vec().unwrap()
    }

    #[test]
    fn a_valid_response_is_accepted() {
        let question = question();
        let received = read(&response(&question), &question, false);
        assert!(matches!(received, Some(Ok(Received::Complete(message))) if message.answers.len() == 1));
    }

    /// A change to some bytes of a valid response.
    #[derive(Debug, Clone)]
    enum Mutation {
        Set(prop::sample::Index, u8),
        Insert(prop::sample::Index, u8),
        Remove(prop::sample::Index),
        Truncate(prop::sample::Index),
    }

    fn mutation() -> impl Strategy<Value = Mutation> {
        let index = any::<prop::sample::Index>;
        prop_oneof![
            4 => (index(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
            1 => (index(), any::<u8>()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
            1 => index().prop_map(Mutation::Remove),
            1 => index().prop_map(Mutation::Truncate),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]
        #[test]
        fn an_accepted_mutation_of_a_response_still_answers_the_question(
            mutations in prop::collection::vec(mutation(), 1..6),
            any_case: bool,
        ) {
            let question = question();
            let mut bytes = response(&question);
            for mutation in mutations {
                let length = bytes.len();
                match mutation {
                    _ if length == 0 => {}
                    Mutation::Set(at, byte) => bytes[at.index(length)] = byte,
                    Mutation::Insert(at, byte) => bytes.insert(at.index(length), byte),
                    Mutation::Remove(at) => drop(bytes.remove(at.index(length))),
                    Mutation::Truncate(at) => bytes.truncate(at.index(length)),
                }
            }
            if let Some(Ok(Received::Complete(message))) = read(&bytes, &question, any_case) {
                // The header as it stands on the wire (RFC 1035, section 4.1.1).
                prop_assert_eq!([bytes[0], bytes[1]], question.metadata.id.to_be_bytes());
                prop_assert_eq!(bytes[2] & 0b1111_1010, 0b1000_0000, "QR, opcode, TC");
                prop_assert!(matches!(bytes[3] & 0b1111, 0 | 3), "RCODE");
                prop_assert_eq!([bytes[4], bytes[5]], [0, 1], "QDCOUNT");
                let asked = &question.queries[0];
                prop_assert_eq!(&message.queries, std::slice::from_ref(asked));
                prop_assert!(any_case || message.queries[0].name().eq_case(asked.name()));
                prop_assert!(message.answers.len() <= usize::from(MAX_RECORDS));
            }
        }
    }
}
