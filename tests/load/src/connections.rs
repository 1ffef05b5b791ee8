//! Clients that hold connections: idle ones, and ones that send one byte a second.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt, io,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{interval, timeout},
};

use crate::process::Server;

const IDLE: usize = 500;
/// Half of them are slow in the header, the others in the body.
const SLOW: usize = 50;
/// The server's limit for an idle connection, a header and a body is 30 s. A busy server may take a little longer.
const LIMIT: Duration = Duration::from_secs(40);

/// Open connections. When the server closes one, its client opens another one. Dropping this closes all of them.
pub struct Connections {
    outcomes: Rc<RefCell<BTreeMap<Kind, Outcomes>>>,
    _clients: JoinSet<()>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Idle,
    SlowHeader,
    SlowBody,
}

/// How connections ended.
#[derive(Default)]
struct Outcomes {
    ended: usize,
    longest: Duration,
    errors: Vec<String>,
}

impl Connections {
    pub fn open(api: &Server) -> Self {
        let outcomes = Rc::default();
        let mut clients = JoinSet::new();
        for (kind, count) in [
            (Kind::Idle, IDLE),
            (Kind::SlowHeader, SLOW / 2),
            (Kind::SlowBody, SLOW / 2),
        ] {
            for _ in 0..count {
                clients.spawn_local(repeat(kind, api.api.clone(), Rc::clone(&outcomes)));
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
        let line = |(kind, outcomes): (&Kind, &Outcomes)| {
            format!(
                "{kind}: the server ended {} connections{}, each after at most {:.1} s",
                outcomes.ended,
                if kind.response().is_empty() {
                    ""
                } else {
                    " with a status of 408"
                },
                outcomes.longest.as_secs_f64()
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

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "Idle connections",
            Self::SlowHeader => "Headers of one byte a second",
            Self::SlowBody => "Bodies of one byte a second",
        })
    }
}

impl Kind {
    /// What the client sends at once.
    fn head(self) -> &'static str {
        match self {
            Self::Idle => "",
            Self::SlowHeader => "GET /health HTTP/1.1\r\nhost: a\r\nx-slow: ",
            Self::SlowBody => "POST /agency/clients HTTP/1.1\r\nhost: a\r\ncontent-length: 60000\r\n\r\n",
        }
    }

    /// How the server's response begins. A connection whose request has not been read whole ends without a response.
    fn response(self) -> &'static str {
        match self {
            Self::Idle | Self::SlowHeader => "",
            Self::SlowBody => "HTTP/1.1 408 ",
        }
    }
}

async fn repeat(kind: Kind, address: String, outcomes: Rc<RefCell<BTreeMap<Kind, Outcomes>>>) {
    loop {
        let start = Instant::now();
        let ended = timeout(LIMIT, hold(kind, &address)).await;
        let time = start.elapsed();
        let error = match ended {
            Ok(Ok(response))
                if response.starts_with(kind.response())
                    && response.is_empty() == kind.response().is_empty() =>
            {
                None
            }
            Ok(Ok(response)) => Some(format!("{kind}: the response {response:?}")),
            Ok(Err(error)) => Some(format!("{kind}: {error}")),
            Err(_) => Some(format!(
                "{kind}: a connection is open after {} s",
                LIMIT.as_secs()
            )),
        };
        let mut outcomes = outcomes.borrow_mut();
        let outcomes = outcomes.entry(kind).or_default();
        outcomes.ended += 1;
        outcomes.longest = outcomes.longest.max(time);
        outcomes.errors.extend(error);
    }
}

/// Holds one connection until the server closes it. Returns what the server sent.
async fn hold(kind: Kind, address: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(kind.head().as_bytes()).await?;
    let (mut reader, mut writer) = stream.split();
    let mut response = Vec::new();
    let drip = async {
        let mut second = interval(Duration::from_secs(1));
        // The reader sees when the server has closed the connection.
        while kind != Kind::Idle && writer.write_all(b"a").await.is_ok() {
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
