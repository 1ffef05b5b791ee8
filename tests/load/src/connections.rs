//! Clients that hold connections: idle ones, and ones that send one byte a second.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt, io,
    ops::Range,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{interval, sleep, timeout},
};

use crate::process::ServerProcess;

const IDLE: usize = 500;
/// Half of them are slow in the header, the others in the body.
const SLOW: usize = 50;
/// How long a connection lives. The server's limit for an idle connection, a header and a body is 30 s (`IDLE_TIMEOUT` in
/// `tests/local/src/server.rs`). It counts from a moment after the client has opened the connection, and a busy server may be late.
const LIFE: Range<Duration> = Duration::from_secs(30)..Duration::from_secs(40);

/// The time in which the clients open their first connections. All at once would overflow the listener's queue, and then the kernel
/// makes a connection seconds after the client believes to have it.
const OPENING: Duration = Duration::from_secs(10);

/// Open connections. When the server closes one, its client opens another one. A client stops at its first error. Dropping this
/// closes all of them.
pub struct Connections {
    outcomes: Rc<RefCell<BTreeMap<ConnectionKind, Outcomes>>>,
    _clients: JoinSet<()>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ConnectionKind {
    Idle,
    SlowHeader,
    SlowBody,
}

#[derive(Default)]
struct Outcomes {
    /// How long each connection lived that ended as expected.
    lives: Vec<Duration>,
    errors: Vec<String>,
}

impl Connections {
    pub fn open(api: &ServerProcess) -> Self {
        let outcomes = Rc::default();
        let mut clients = JoinSet::new();
        for (kind, count) in [
            (ConnectionKind::Idle, IDLE),
            (ConnectionKind::SlowHeader, SLOW / 2),
            (ConnectionKind::SlowBody, SLOW / 2),
        ] {
            for number in 0..count {
                let (address, outcomes) = (api.api.clone(), Rc::clone(&outcomes));
                clients.spawn_local(async move {
                    sleep(OPENING.mul_f64(number as f64 / count as f64)).await;
                    repeat(kind, address, outcomes).await;
                });
            }
        }
        Self {
            outcomes,
            _clients: clients,
        }
    }

    /// What the server did with them, one kind a line.
    pub fn outcomes(&self) -> String {
        let outcomes = self.outcomes.borrow();
        let line = |(kind, outcomes): (&ConnectionKind, &Outcomes)| {
            let seconds = |life: Option<&Duration>| life.copied().unwrap_or_default().as_secs_f64();
            format!(
                "{kind}: the server ended {} connections, each after {:.1} to {:.1} s",
                outcomes.lives.len(),
                seconds(outcomes.lives.iter().min()),
                seconds(outcomes.lives.iter().max()),
            )
        };
        outcomes.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    pub fn errors(&self) -> Vec<String> {
        let outcomes = self.outcomes.borrow();
        outcomes
            .values()
            .flat_map(|outcomes| outcomes.errors.clone())
            .collect()
    }
}

impl fmt::Display for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{IDLE} idle connections and {SLOW} clients that send one byte a second"
        )
    }
}

impl fmt::Display for ConnectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "Idle connections",
            Self::SlowHeader => "Headers of one byte a second",
            Self::SlowBody => "Bodies of one byte a second",
        })
    }
}

impl ConnectionKind {
    /// What the client sends at once.
    fn head(self) -> &'static str {
        match self {
            Self::Idle => "",
            Self::SlowHeader => "GET /health HTTP/1.1\r\nhost: a\r\nx-slow: ",
            Self::SlowBody => "POST /agency/clients HTTP/1.1\r\nhost: a\r\ncontent-length: 60000\r\n\r\n",
        }
    }

    /// Whether the server sends this response. A connection whose header has not been read ends without a response.
    fn expects(self, response: &str) -> bool {
        match self {
            Self::Idle | Self::SlowHeader => response.is_empty(),
            Self::SlowBody => response.starts_with("HTTP/1.1 408 "),
        }
    }
}

async fn repeat(
    kind: ConnectionKind,
    address: String,
    outcomes: Rc<RefCell<BTreeMap<ConnectionKind, Outcomes>>>,
) {
    loop {
        let start = Instant::now();
        let ended = timeout(LIFE.end, hold(kind, &address)).await;
        let life = start.elapsed();
        let error = match ended {
            Err(_) => format!("a connection is open after {life:.1?}"),
            Ok(Err(error)) => error.to_string(),
            Ok(Ok(_)) if life < LIFE.start => format!("a connection ended after {life:.1?}"),
            Ok(Ok(response)) if !kind.expects(&response) => format!("the response {response:?}"),
            Ok(Ok(_)) => {
                let mut outcomes = outcomes.borrow_mut();
                outcomes.entry(kind).or_default().lives.push(life);
                continue;
            }
        };
        let mut outcomes = outcomes.borrow_mut();
        let errors = &mut outcomes.entry(kind).or_default().errors;
        errors.push(format!("{kind}: {error}"));
        return;
    }
}

/// Holds one connection until the server closes it. Returns what the server sent.
async fn hold(kind: ConnectionKind, address: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(kind.head().as_bytes()).await?;
    let (mut reader, mut writer) = stream.split();
    let mut response = Vec::new();
    let drip = async {
        let mut second = interval(Duration::from_secs(1));
        // The reader sees when the server has closed the connection.
        while kind != ConnectionKind::Idle && writer.write_all(b"a").await.is_ok() {
            second.tick().await;
        }
        std::future::pending().await
    };
    let read = tokio::select! {
        read = reader.read_to_end(&mut response) => read,
        never = drip => never,
    };
    match read {
        // A byte that meets the closed connection resets it: an error after what the server has sent.
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
        _ => Ok(String::from_utf8_lossy(&response).into_owned()),
    }
}
