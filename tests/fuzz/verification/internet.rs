//! The name servers of a scenario. They run in a network namespace in which each IPv4 address, and some IPv6 addresses, belong to this
//! machine. So the servers see to which address a message is sent, and no message leaves the machine.

use std::{
    cell::RefCell,
    env,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::process::CommandExt,
    process::Command,
    rc::Rc,
};

use hickory_proto::{op::Message, serialize::binary::BinDecodable};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
};

use super::{
    scenario::{ADDRESSES_6, Part, Scenario},
    world::{Asked, Zone},
};

/// Continues in a namespace of its own, unless this is one: then a socket that is connected to any address has this address.
pub fn enter() {
    let anywhere = SocketAddr::from(([192, 0, 2, 1], 53));
    let is_inside = || {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect(anywhere).ok()?;
        Some(socket.local_addr().ok()?.ip() == anywhere.ip())
    };
    if is_inside() == Some(true) {
        return;
    }
    let inside = "FUZZ_INSIDE";
    assert!(
        env::var_os(inside).is_none(),
        "`ip route add local` has no effect in the namespace"
    );
    let mut script = "ip link set lo up; ip route add local 0.0.0.0/0 dev lo;".to_owned();
    for address in ADDRESSES_6
        .into_iter()
        .filter(|address| !address.starts_with("::"))
    {
        script += &format!("ip address add {address}/128 dev lo nodad;");
    }
    script += "exec \"$0\" \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "bash", "-euc", &script]);
    let error = command
        .arg(env::current_exe().unwrap())
        .args(env::args_os().skip(1))
        .env(inside, "1")
        .exec();
    panic!("unshare: {error}");
}

/// A message that a server sent.
pub struct Sent {
    pub server: IpAddr,
    pub tcp: bool,
    pub query: Message,
    pub bytes: Vec<u8>,
}

/// What the servers received and sent.
#[derive(Default)]
pub struct Traffic {
    /// The address that each message was sent to.
    pub received: Vec<IpAddr>,
    pub sent: Vec<Sent>,
}

pub struct Internet {
    scenario: Scenario,
    zones: [Zone; 5],
    pub traffic: RefCell<Traffic>,
}

impl Internet {
    /// Starts the servers, until `tasks` is dropped.
    pub async fn start(scenario: Scenario, tasks: &mut JoinSet<()>) -> Rc<Self> {
        let zones = [
            Zone::parse(".", &scenario.resolver()),
            Zone::parse("test.", &scenario.registry()),
            Zone::parse("acme.test.", &scenario.zone(0)),
            Zone::parse("acme.test.", &scenario.zone(1)),
            Zone::parse("other.test.", &scenario.other_zone()),
        ];
        let internet = Rc::new(Self {
            scenario,
            zones,
            traffic: RefCell::default(),
        });
        // IPv4 too.
        let any = (Ipv6Addr::UNSPECIFIED, 53);
        let udp = UdpSocket::bind(any).await.unwrap();
        let tcp = TcpListener::bind(any).await.unwrap();
        tasks.spawn_local(serve_udp(Rc::clone(&internet), udp));
        tasks.spawn_local(serve_tcp(Rc::clone(&internet), tcp));
        internet
    }

    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Messages so far.
    pub fn count(&self) -> usize {
        let traffic = self.traffic.borrow();
        traffic.received.len() + traffic.sent.len()
    }

    fn answer(&self, server: IpAddr, tcp: bool, bytes: &[u8]) -> Vec<Vec<u8>> {
        let message = Message::from_bytes(bytes).unwrap();
        let asked = Asked { message, tcp };
        let part = Part::of(server);
        let [resolver, registry, first, second, other] = &self.zones;
        let zone = match part {
            Part::Resolver => resolver,
            Part::Registry => registry,
            Part::First => first,
            Part::Second | Part::Elsewhere => second,
            Part::Other => other,
        };
        let mut reply = zone.answer(&asked);
        if part == Part::Resolver {
            reply.metadata.authoritative = false;
            reply.metadata.recursion_available = true;
        }
        let answers = self.scenario.respond(server, tcp, reply);
        let mut traffic = self.traffic.borrow_mut();
        for bytes in &answers {
            traffic.sent.push(Sent {
                server,
                tcp,
                query: asked.message.clone(),
                bytes: bytes.clone(),
            });
        }
        answers
    }
}

async fn serve_udp(internet: Rc<Internet>, socket: UdpSocket) {
    let mut buffer = [0; 4096];
    loop {
        // An earlier answer may have come to a closed socket.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        // A socket that is connected to an address of this machine has this address.
        let server = from.ip().to_canonical();
        internet.traffic.borrow_mut().received.push(server);
        for answer in internet.answer(server, false, &buffer[..length]) {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

async fn serve_tcp(internet: Rc<Internet>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let Ok(address) = stream.local_addr() else {
            continue;
        };
        let server = address.ip().to_canonical();
        internet.traffic.borrow_mut().received.push(server);
        connections.spawn_local(answer_tcp(Rc::clone(&internet), server, stream));
    }
}

/// The client closes the connection.
async fn answer_tcp(internet: Rc<Internet>, server: IpAddr, mut stream: TcpStream) -> Option<()> {
    let length = stream.read_u16().await.ok()?;
    let mut query = vec![0; length.into()];
    stream.read_exact(&mut query).await.ok()?;
    for answer in internet.answer(server, true, &query) {
        let length = u16::try_from(answer.len()).ok()?;
        stream
            .write_all(&[&length.to_be_bytes(), answer.as_slice()].concat())
            .await
            .ok()?;
    }
    stream.read_u8().await.ok().map(drop)
}
