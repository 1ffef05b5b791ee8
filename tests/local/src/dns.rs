//! A DNS server (UDP and TCP) with the records of one zone file. It is the resolver and all authoritative servers at once:
//! a query with the RD bit gets a resolver's response, any other query gets the response of the name's zone. `$SERVER` in the
//! zone file starts more of them, at other addresses and the same port, whose records may differ.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    net::{self, IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use hickory_server::{
    Server,
    net::runtime::Time,
    proto::op::{Edns, Header, HeaderCounts, Metadata, OpCode, ResponseCode},
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponseBuilder,
};
use tokio::net::{TcpListener, ToSocketAddrs, UdpSocket};

use crate::{
    environment::reachable,
    zone::{ZoneDatabase, ZoneResponse},
};

/// Any free port at the loopback address.
pub const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The largest UDP response, which no network fragments (DNS flag day 2020).
const MAX_UDP: u16 = 1232;
const TCP_IDLE: Duration = Duration::from_secs(10);
const RELOAD_EVERY: Duration = Duration::from_millis(250);

/// A running server. Dropping it stops it.
pub struct DnsServer {
    address: SocketAddr,
    /// The server at `address`, and those of `$SERVER`.
    servers: Mutex<BTreeMap<IpAddr, NameServer>>,
}

struct NameServer {
    zone: SharedZone,
    _server: Server<Handler>,
}

type Sockets = (UdpSocket, TcpListener);
type SharedZone = Arc<RwLock<Arc<ZoneDatabase>>>;

impl DnsServer {
    /// Starts without records. UDP and TCP have the same port; 0 is any port. Of several addresses, it is the first that can
    /// be bound.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(address: impl ToSocketAddrs) -> io::Result<Self> {
        let sockets = bind(address).await?;
        let address = reachable(sockets.0.local_addr()?);
        let zone = ZoneDatabase::default().complete(address.ip());
        let servers = BTreeMap::from([(address.ip(), NameServer::start(sockets, zone))]);
        Ok(Self {
            address,
            servers: servers.into(),
        })
    }

    /// The address at which this machine reaches the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces all records by those of this text (see [`ZoneDatabase::parse`]).
    ///
    /// # Errors
    /// One line: the first invalid entry, or the address of a `$SERVER` that cannot be bound. Every server keeps its records then.
    pub fn set_zone(&self, text: &str) -> Result<(), String> {
        let zone = ZoneDatabase::parse(text).map_err(|error| error.to_string())?;
        let zones = zone.servers(self.address.ip());
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = BTreeMap::new();
        for address in zones.keys().filter(|address| !servers.contains_key(address)) {
            let sockets = bind_now(SocketAddr::new(*address, self.address.port()));
            new.insert(*address, sockets.map_err(|error| server_error(*address, &error))?);
        }
        servers.retain(|address, _| zones.contains_key(address));
        for (address, zone) in zones {
            if let Some(sockets) = new.remove(&address) {
                servers.insert(address, NameServer::start(sockets, zone));
            } else if let Some(server) = servers.get(&address) {
                *server.zone.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(zone);
            }
        }
        Ok(())
    }

    /// Loads a zone file again within a second of each change, and never returns. `suffix` is appended to the file's text.
    /// Reports each change in one line on standard error. A file that cannot be read or parsed changes no record.
    pub async fn follow(&self, file: &Path, suffix: &str) {
        let mut last = None;
        loop {
            let now = read(file, suffix).await;
            let text = now.clone().unwrap_or_else(|error| error);
            if last.as_ref() != Some(&text) {
                let loaded = now.and_then(|text| self.set_zone(&text));
                let report = match loaded {
                    Ok(()) if last.is_none() => String::new(),
                    Ok(()) => format!("{}: loaded\n", file.display()),
                    Err(error) => format!("{}: {error}; the records stay as they were\n", file.display()),
                };
                // A closed standard error does not stop the server.
                let _ = io::stderr().write_all(report.as_bytes());
                last = Some(text);
            }
            tokio::time::sleep(RELOAD_EVERY).await;
        }
    }
}

async fn read(file: &Path, suffix: &str) -> Result<String, String> {
    let text = tokio::fs::read_to_string(file)
        .await
        .map_err(|error| error.to_string())?;
    Ok(format!("{text}\n{suffix}"))
}

/// Binds UDP and TCP to one port. With port 0, a port that is free for TCP may be in use for UDP: it tries another one.
async fn bind(address: impl ToSocketAddrs) -> io::Result<Sockets> {
    let mut tries = 20;
    loop {
        let tcp = TcpListener::bind(&address).await?;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Ok(udp) => return Ok((udp, tcp)),
            Err(error) if tries == 1 => return Err(error),
            Err(_) => tries -= 1,
        }
    }
}

/// Binds as [`bind`] does, without waiting.
fn bind_now(address: SocketAddr) -> io::Result<Sockets> {
    let (udp, tcp) = (net::UdpSocket::bind(address)?, net::TcpListener::bind(address)?);
    udp.set_nonblocking(true)?;
    tcp.set_nonblocking(true)?;
    Ok((UdpSocket::from_std(udp)?, TcpListener::from_std(tcp)?))
}

fn server_error(address: IpAddr, error: &io::Error) -> String {
    let fix = match error.kind() {
        io::ErrorKind::AddrNotAvailable => {
            format!("; add the address to this machine, on macOS by: sudo ifconfig lo0 alias {address}")
        }
        _ => String::new(),
    };
    format!("$SERVER {address}: {error}{fix}")
}

impl NameServer {
    fn start((udp, tcp): Sockets, zone: ZoneDatabase) -> Self {
        let zone = Arc::new(RwLock::new(Arc::new(zone)));
        let mut server = Server::new(Handler {
            zone: Arc::clone(&zone),
        });
        server.register_socket(udp);
        server.register_listener(tcp, TCP_IDLE, 64);
        Self {
            zone,
            _server: server,
        }
    }
}

struct Handler {
    zone: SharedZone,
}

impl Handler {
    fn respond(&self, request: &Request) -> ZoneResponse {
        let error = |code| ZoneResponse {
            code,
            records: Vec::new(),
            soa: None,
        };
        match request.queries.queries() {
            _ if request.metadata.op_code != OpCode::Query => error(ResponseCode::NotImp),
            [query] => {
                let zone = Arc::clone(&self.zone.read().unwrap_or_else(PoisonError::into_inner));
                // The original name, so that the response repeats its case (0x20).
                let (name, kind) = (query.original().name(), query.query_type());
                match request.metadata.recursion_desired {
                    true => zone.resolve(name, kind),
                    false => zone.authority(name, kind),
                }
            }
            _ => error(ResponseCode::FormErr),
        }
    }
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        let answer = self.respond(request);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.authoritative = !request.metadata.recursion_desired;
        metadata.recursion_available = request.metadata.recursion_desired;
        metadata.response_code = answer.code;
        let edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(asked.max_payload().clamp(512, MAX_UDP));
            edns
        });
        let mut message = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &edns {
            message.edns(edns);
        }
        let message = message.build(metadata, &answer.records, &[], &answer.soa, &[]);
        // The client closed the connection: nothing is left to do.
        let sent = response.send_response(message).await;
        sent.unwrap_or_else(|_| {
            Header {
                metadata,
                counts: HeaderCounts::default(),
            }
            .into()
        })
    }
}

#[cfg(test)]
mod tests {
    use hickory_server::proto::{
        op::{Message, Query},
        rr::{Name, RecordType},
        serialize::binary::BinDecodable,
    };
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn start(zone: &str) -> DnsServer {
        let dns = DnsServer::start(ANY_PORT).await.unwrap();
        dns.set_zone(zone).unwrap();
        dns
    }

    fn question(name: &str, kind: RecordType, edns: bool) -> Vec<u8> {
        query(name, kind, true, edns)
    }

    fn query(name: &str, kind: RecordType, recursion: bool, edns: bool) -> Vec<u8> {
        let mut message = Message::query();
        message.metadata.recursion_desired = recursion;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        if edns {
            message.edns = Some({
                let mut edns = Edns::new();
                edns.set_max_payload(1232);
                edns
            });
        }
        message.to_vec().unwrap()
    }

    async fn udp(dns: &DnsServer, question: &[u8]) -> Message {
        udp_at(dns.address(), question).await
    }

    async fn udp_at(address: SocketAddr, question: &[u8]) -> Message {
        let socket = UdpSocket::bind(ANY_PORT).await.unwrap();
        socket.send_to(question, address).await.unwrap();
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).await.unwrap();
        Message::from_bytes(&buffer[..length]).unwrap()
    }

    async fn tcp(dns: &DnsServer, question: &[u8]) -> Message {
        let mut stream = tokio::net::TcpStream::connect(dns.address()).await.unwrap();
        stream.write_u16(question.len() as u16).await.unwrap();
        stream.write_all(question).await.unwrap();
        let mut answer = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut answer).await.unwrap();
        Message::from_bytes(&answer).unwrap()
    }

    #[tokio::test]
    async fn a_query_with_rd_gets_a_resolver_response_in_the_query_s_case() {
        let dns = start("portal.acme.test. CNAME edge.test.\nedge.test. A 192.0.2.1").await;
        let answer = udp(&dns, &question("PoRtAl.acme.test.", RecordType::A, true)).await;
        assert!(!answer.metadata.authoritative && answer.metadata.recursion_available);
        assert_eq!(answer.queries[0].name().to_string(), "PoRtAl.acme.test.");
        assert_eq!(answer.answers[0].name.to_string(), "PoRtAl.acme.test.");
        assert_eq!(answer.answers.len(), 2);
        assert_eq!(answer.edns.unwrap().max_payload(), 1232);

        let none = tcp(&dns, &question("none.test.", RecordType::A, false)).await;
        assert_eq!(none.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(none.authorities[0].record_type(), RecordType::SOA);
    }

    #[tokio::test]
    async fn a_query_without_rd_gets_an_authoritative_response() {
        let dns = start("portal.acme.test. CNAME edge.test.\nedge.test. A 192.0.2.1").await;
        let answer = udp(&dns, &query("PoRtAl.acme.test.", RecordType::A, false, true)).await;
        assert!(answer.metadata.authoritative && !answer.metadata.recursion_available);
        assert_eq!(answer.answers[0].name.to_string(), "PoRtAl.acme.test.");
        assert_eq!(answer.answers.len(), 1, "the target is in another zone");

        let servers = tcp(&dns, &query("acme.test.", RecordType::NS, false, false)).await;
        assert_eq!(servers.answers.len(), 2);
        for server in servers.answers {
            let server = server.data.to_string();
            let addresses = udp(&dns, &question(&server, RecordType::A, true)).await.answers;
            assert_eq!(addresses[0].data.ip_addr(), Some(dns.address().ip()));
        }
        for (name, code, zone) in [
            ("www.acme.test.", ResponseCode::NXDomain, "acme.test."),
            ("acme.test.", ResponseCode::NoError, "acme.test."),
            ("globex.test.", ResponseCode::NXDomain, "test."),
            ("acme.com.", ResponseCode::NXDomain, "."),
        ] {
            let none = udp(&dns, &query(name, RecordType::A, false, true)).await;
            assert!(none.metadata.authoritative);
            let soa = &none.authorities[0];
            assert_eq!(
                (none.metadata.response_code, soa.name.to_string()),
                (code, zone.into())
            );
        }
    }

    #[tokio::test]
    async fn a_server_on_all_addresses_reports_the_loopback_address() {
        let every = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let dns = DnsServer::start(every).await.unwrap();
        assert_eq!(dns.address().ip(), Ipv4Addr::LOCALHOST);
        dns.set_zone("acme.test. NS ns.acme.test.").unwrap();
        let answer = udp(&dns, &question("ns.acme.test.", RecordType::A, true)).await;
        assert_eq!(answer.answers[0].data.to_string(), "127.0.0.1");
    }

    #[tokio::test]
    async fn a_large_response_is_truncated_by_udp_and_complete_by_tcp() {
        let zone: String = (0..40).map(|i| format!("big.test. TXT \"{i:060}\"\n")).collect();
        let dns = start(&zone).await;
        for edns in [false, true] {
            let question = question("big.test.", RecordType::TXT, edns);
            assert!(udp(&dns, &question).await.metadata.truncation);
            assert_eq!(tcp(&dns, &question).await.answers.len(), 40);
        }
    }

    #[tokio::test]
    async fn a_changed_zone_file_is_served_and_an_invalid_one_is_not() {
        let dns = start("").await;
        let file = std::env::temp_dir().join(format!("{}.zone", uuid::Uuid::new_v4()));
        let next = file.with_extension("next");
        let a = question("a.test.", RecordType::A, true);
        let served = async || {
            let answers = udp(&dns, &a).await.answers;
            answers
                .iter()
                .map(|record| record.data.to_string())
                .collect::<Vec<_>>()
        };
        let write = async |text: &str, expected: &[&str]| {
            // Not in place: a write has a moment at which the file is empty, and so valid.
            std::fs::write(&next, text).unwrap();
            std::fs::rename(&next, &file).unwrap();
            tokio::time::sleep(RELOAD_EVERY * 2).await;
            // A busy machine may take longer.
            for _ in 0..40 {
                if served().await == expected {
                    return;
                }
                tokio::time::sleep(RELOAD_EVERY).await;
            }
            panic!("{text:?}: {:?}", served().await);
        };
        tokio::select! {
            () = dns.follow(&file, "b.test. A 192.0.2.9") => unreachable!("follow never returns"),
            () = async {
                write("a.test. A 192.0.2.1", &["192.0.2.1"]).await;
                write("a.test. A 192.0.2.2", &["192.0.2.2"]).await;
                write("a.test. A 192.0.2", &["192.0.2.2"]).await;
                write("", &[]).await;
                assert_eq!(udp(&dns, &question("b.test.", RecordType::A, true)).await.answers.len(), 1);
            } => {}
        }
        std::fs::remove_file(file).unwrap();
    }

    #[cfg(target_os = "linux")] // macOS has no second loopback address unless root adds it.
    #[tokio::test]
    async fn a_server_of_the_zone_file_has_its_own_records_besides_the_common_ones() {
        let dns = start("").await;
        let port = dns.address().port();
        let (first, second) = (dns.address(), SocketAddr::from(([127, 0, 0, 2], port)));
        let answers = async |server, name: &str| -> Vec<String> {
            let answers = udp_at(server, &query(name, RecordType::A, false, false))
                .await
                .answers;
            answers.iter().map(|record| record.data.to_string()).collect()
        };
        let zone = "a.test. A 192.0.2.1\n$SERVER 127.0.0.1\nb.test. A 192.0.2.2
$SERVER 127.0.0.2\na.test. A 192.0.2.3\n$SERVER *\nc.test. A 192.0.2.4\n";
        dns.set_zone(zone).unwrap();
        for (name, here, there) in [
            ("a.test.", &["192.0.2.1"][..], &["192.0.2.1", "192.0.2.3"][..]),
            ("b.test.", &["192.0.2.2"], &[]),
            ("c.test.", &["192.0.2.4"], &["192.0.2.4"]),
            ("ns1.dns.localhost.", &["127.0.0.1"], &["127.0.0.1"]),
        ] {
            assert_eq!(answers(first, name).await, here, "{name}");
            assert_eq!(answers(second, name).await, there, "{name}");
        }
        // An address of no machine (RFC 5737), among changes that would be valid.
        let error = dns
            .set_zone("$SERVER 127.0.0.3\n$SERVER 192.0.2.1\n")
            .unwrap_err();
        assert!(
            error.starts_with("$SERVER 192.0.2.1: ") && !error.contains('\n'),
            "{error}"
        );
        assert_eq!(answers(second, "b.test.").await, [""; 0]);
        assert_eq!(answers(first, "b.test.").await, ["192.0.2.2"]);

        dns.set_zone("a.test. A 192.0.2.1").unwrap();
        tokio::task::yield_now().await;
        drop(UdpSocket::bind(second).await.unwrap());
        assert_eq!(answers(first, "a.test.").await, ["192.0.2.1"]);
    }

    #[tokio::test]
    async fn dropping_the_server_frees_its_port() {
        let dns = start("").await;
        let address = dns.address();
        assert!(DnsServer::start(address).await.is_err());
        drop(dns);
        tokio::task::yield_now().await;
        DnsServer::start(address).await.unwrap();
    }
}
