//! One exchange with one server: a question by UDP, by TCP where that is not enough, and what makes an answer one.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{DNSClass, Name, RecordType},
    serialize::binary::{BinDecodable, BinDecoder},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::Semaphore,
    time::{Instant, timeout_at},
};

/// What a check may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The time of one question to one server, by UDP and TCP together.
    pub query: Duration,
    /// A question without an answer by then is sent once more.
    pub resend: Duration,
    /// The time of one check, without what it waits for other checks of its session.
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

/// So many records of a section are looked at; an answer with more decides nothing.
const MAX_RECORDS: u16 = 100;
/// The UDP payload that we ask for: it fragments nowhere (<https://www.dnsflagday.net/2020/>).
const UDP_PAYLOAD: u16 = 1232;
/// The header's length in octets (RFC 1035, section 4.1.1).
const HEADER: usize = 12;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nothing came in time, or nobody is there.
    Silent,
    /// The check's own time or packets are used up.
    Spent,
    /// A code that is neither `NOERROR` nor `NXDOMAIN`.
    Code(ResponseCode),
    /// What came is no DNS message, or contradicts itself.
    Malformed,
    /// There are more records than are looked at.
    TooBig,
    /// It was cut short, and TCP gave nothing.
    Truncated,
    /// The server is no authority for the name.
    Lame,
    /// The server has no address.
    NoAddress,
    /// The server has no address that may be asked.
    Private,
    /// The resolver found the zone's signatures wrong.
    Bogus,
}

/// What one check has left.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    sent: AtomicU32,
    clock: Mutex<Clock>,
}

/// Runs while anything is asked: a wait for other checks costs no time, unless it goes on beside a question.
#[derive(Debug, Default)]
struct Clock {
    /// Questions under way.
    asking: u32,
    /// The time of those before them.
    used: Duration,
    /// When the first of them began.
    since: Option<Instant>,
}

impl Clock {
    fn left(&self, limits: &Limits) -> Duration {
        let running = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        limits.check.saturating_sub(self.used + running)
    }
}

impl Budget {
    /// A whole check's.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            sent: AtomicU32::new(0),
            clock: Mutex::default(),
        }
    }

    /// Messages sent so far.
    pub fn sent(&self) -> u32 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether a question is under way.
    pub fn is_asking(&self) -> bool {
        self.clock().asking > 0
    }

    /// Whether there is time and a packet for another question.
    fn is_left(&self) -> bool {
        !self.clock().left(&self.limits).is_zero() && self.sent() < self.limits.packets
    }

    /// Begins a question, which may go on until the deadline that comes with it.
    fn ask(&self) -> Result<Asking<'_>, Failure> {
        if !self.is_left() {
            return Err(Failure::Spent);
        }
        let now = Instant::now();
        let mut clock = self.clock();
        let left = clock.left(&self.limits);
        clock.asking += 1;
        clock.since.get_or_insert(now);
        Ok(Asking {
            budget: self,
            deadline: now + left.min(self.limits.query),
            is_cut: left < self.limits.query,
        })
    }

    fn spend(&self) -> Result<(), Failure> {
        let one_more = |sent| (sent < self.limits.packets).then_some(sent + 1);
        let sent = self
            .sent
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        sent.map(|_| ()).map_err(|_| Failure::Spent)
    }

    fn clock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question under way.
#[derive(Debug)]
struct Asking<'a> {
    budget: &'a Budget,
    deadline: Instant,
    /// The check ends before the question's own time: silence until then says nothing about the server.
    is_cut: bool,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut clock = self.budget.clock();
        clock.asking -= 1;
        if clock.asking == 0
            && let Some(since) = clock.since.take()
        {
            clock.used += since.elapsed();
        }
    }
}

/// Lets one message go each millisecond: a resolver in AWS takes 1,024 a second from one network interface.
#[derive(Debug, Default)]
pub struct Pace {
    next: Mutex<Option<Instant>>,
}

impl Pace {
    const APART: Duration = Duration::from_millis(1);

    /// Waits for this message's turn.
    async fn turn(&self) {
        let at = self.take();
        if Instant::now() < at {
            tokio::time::sleep_until(at).await;
        }
    }

    /// Takes the next turn, which a message that cannot wait makes later for those that can.
    fn take(&self) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let at = next.map_or(now, |next| next.max(now));
        *next = Some(at + Self::APART);
        at
    }
}

/// Who pays for the messages of one exchange.
struct Sender<'a> {
    budget: &'a Budget,
    pace: Option<&'a Pace>,
    /// The first message has waited for its turn.
    waited: AtomicBool,
}

impl Sender<'_> {
    fn spend(&self) -> Result<(), Failure> {
        self.budget.spend()?;
        if let Some(pace) = self.pace
            && !self.waited.swap(false, Ordering::Relaxed)
        {
            pace.take();
        }
        Ok(())
    }
}

/// A question as it is sent.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub name: &'a Name,
    pub kind: RecordType,
    /// Whether the server is asked to find the answer (a resolver is, an authority never).
    pub recursion: bool,
    /// Whether a validating resolver is asked not to validate (RFC 4035, section 3.2.2).
    pub checking_disabled: bool,
}

impl Question<'_> {
    /// With a random id and random letter case: with the random source port, what a forger must guess.
    fn message(&self, edns: bool) -> Message {
        let mut name = self.name.clone();
        name.randomize_label_case();
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

/// Sockets of all checks at a time: a function has 1,024 descriptors, and the table needs some of them.
static SOCKETS: Semaphore = Semaphore::const_new(600);

/// Asks one server once: by UDP, and by TCP where the answer is cut short or changes the letters' case. A server that
/// does not know EDNS is asked without (RFC 6891, section 7). `pace` is what a resolver is asked at.
pub async fn exchange(
    server: SocketAddr,
    question: &Question<'_>,
    budget: &Budget,
    pace: Option<&Pace>,
) -> Result<Message, Failure> {
    // It is never closed.
    let _place = SOCKETS.acquire().await;
    if let Some(pace) = pace
        && budget.is_left()
    {
        pace.turn().await;
    }
    let asking = budget.ask()?;
    let sender = Sender {
        budget,
        pace,
        waited: AtomicBool::new(true),
    };
    match ask(server, question, asking.deadline, &sender).await {
        Err(Failure::Silent | Failure::Truncated) if asking.is_cut => Err(Failure::Spent),
        answer => answer,
    }
}

async fn ask(
    server: SocketAddr,
    question: &Question<'_>,
    deadline: Instant,
    sender: &Sender<'_>,
) -> Result<Message, Failure> {
    let mut edns = true;
    let answer = match udp(server, &question.message(edns), deadline, sender).await {
        Err(Failure::Code(ResponseCode::FormErr | ResponseCode::NotImp | ResponseCode::BADVERS)) => {
            edns = false;
            udp(server, &question.message(edns), deadline, sender).await?
        }
        answer => answer?,
    };
    let by_tcp = async || tcp(server, &question.message(edns), deadline, sender).await;
    match answer {
        Heard::Whole(message) => Ok(*message),
        Heard::OtherCase => by_tcp().await,
        Heard::Truncated => by_tcp().await.map_err(|failure| match failure {
            Failure::Silent => Failure::Truncated,
            failure => failure,
        }),
    }
}

enum Heard {
    Whole(Box<Message>),
    Truncated,
    OtherCase,
}

async fn udp(
    server: SocketAddr,
    question: &Message,
    deadline: Instant,
    sender: &Sender<'_>,
) -> Result<Heard, Failure> {
    let bytes = question.to_vec().map_err(|_| Failure::Malformed)?;
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // Its port is a random one, and connected it hears this server alone.
    let socket = UdpSocket::bind(any).await.map_err(|_| Failure::Spent)?;
    socket.connect(server).await.map_err(|_| Failure::Silent)?;
    sender.spend()?;
    socket.send(&bytes).await.map_err(|_| Failure::Silent)?;
    let mut again = Some(Instant::now() + sender.budget.limits.resend).filter(|again| *again < deadline);
    let mut buffer = vec![0; 4096];
    // Compared here too: a socket that always has something to read never lets a timer decide.
    while Instant::now() < deadline {
        match timeout_at(again.unwrap_or(deadline), socket.recv(&mut buffer)).await {
            Ok(Ok(length)) => {
                let datagram = buffer.get(..length).unwrap_or_default();
                if let Some(heard) = read(datagram, question, false) {
                    return heard;
                }
            }
            Ok(Err(_)) => return Err(Failure::Silent),
            Err(_) if again.take().is_some() && sender.spend().is_ok() => {
                socket.send(&bytes).await.map_err(|_| Failure::Silent)?;
            }
            Err(_) => {}
        }
    }
    Err(Failure::Silent)
}

async fn tcp(
    server: SocketAddr,
    question: &Message,
    deadline: Instant,
    sender: &Sender<'_>,
) -> Result<Message, Failure> {
    let bytes = question.to_vec().map_err(|_| Failure::Malformed)?;
    let length = u16::try_from(bytes.len()).map_err(|_| Failure::Malformed)?;
    sender.spend()?;
    let whole = async {
        let mut stream = TcpStream::connect(server).await?;
        // In one piece: some servers read no message that comes in two.
        stream
            .write_all(&[&length.to_be_bytes(), bytes.as_slice()].concat())
            .await?;
        let mut answer = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut answer).await?;
        io::Result::Ok(answer)
    };
    let answer = match timeout_at(deadline, whole).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => return Err(Failure::Silent),
    };
    match read(&answer, question, true) {
        Some(Ok(Heard::Whole(message))) => Ok(*message),
        Some(Err(failure)) => Err(failure),
        Some(Ok(_)) | None => Err(Failure::Malformed),
    }
}

/// What a message is to this question; `None` where it is no answer to it.
fn read(bytes: &[u8], question: &Message, any_case: bool) -> Option<Result<Heard, Failure>> {
    let asked = question.queries.first()?;
    let mut decoder = BinDecoder::new(bytes);
    let header = hickory_proto::op::Header::read(&mut decoder).ok()?;
    if bytes.len() < HEADER
        || header.metadata.id != question.metadata.id
        || header.metadata.message_type != MessageType::Response
        || header.metadata.op_code != OpCode::Query
    {
        return None;
    }
    let code = header.metadata.response_code;
    let decides = matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
    // A server that could not read the question cannot repeat it.
    if header.counts.queries == 0 && !decides {
        return Some(Err(Failure::Code(code)));
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
        return Some(Ok(Heard::OtherCase));
    }
    if header.metadata.truncation {
        return Some(if any_case {
            Err(Failure::Truncated)
        } else {
            Ok(Heard::Truncated)
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
    // Read again: EDNS has more codes than the header has room for.
    Some(match message.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(Heard::Whole(Box::new(message))),
        code => Err(Failure::Code(code)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_the_time_of_questions_counts_and_that_of_two_at_once_counts_once() {
        let budget = Budget::new(Limits::default());
        let pass = |millis| tokio::time::advance(Duration::from_millis(millis));
        let deadline = |asking: &Asking<'_>| asking.deadline - Instant::now();
        pass(20_000).await;
        let one = budget.ask().unwrap();
        assert_eq!(deadline(&one), Duration::from_millis(1500));
        pass(1000).await;
        let two = budget.ask().unwrap();
        pass(1000).await;
        assert!(!one.is_cut && !two.is_cut);
        drop(one);
        pass(3000).await;
        drop(two);
        pass(20_000).await;
        let last = budget.ask().unwrap();
        assert_eq!(
            (deadline(&last), last.is_cut),
            (Duration::from_millis(1000), true)
        );
        pass(1000).await;
        assert_eq!(budget.ask().err(), Some(Failure::Spent));
    }

    #[test]
    fn no_more_packets_than_allowed() {
        let budget = Budget::new(Limits {
            packets: 2,
            ..Limits::default()
        });
        assert!(budget.spend().is_ok() && budget.spend().is_ok());
        assert_eq!(budget.spend(), Err(Failure::Spent));
        assert_eq!((budget.sent(), budget.ask().err()), (2, Some(Failure::Spent)));
    }

    proptest! {
        #[test]
        fn garbage_is_never_an_answer(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), own_id: bool) {
            let name = Name::from_ascii("portal.acme.test.").unwrap();
            let question = Question { name: &name, kind: RecordType::TXT, recursion: false, checking_disabled: false };
            let message = question.message(true);
            if own_id && bytes.len() > 2 {
                bytes[..2].copy_from_slice(&message.metadata.id.to_be_bytes());
            }
            let heard = read(&bytes, &message, true);
            prop_assert!(!matches!(heard, Some(Ok(Heard::Whole(_)))));
        }
    }
}
