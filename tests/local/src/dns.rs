//! A DNS server (UDP and TCP) with the records of one zone file. It is the resolver and all authoritative servers at once:
//! a query with the RD bit gets a resolver's response, any other query gets the response of the name's zone.

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, PoisonError, RwLock},
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
    zone::{ZoneDatabase, ZoneError, ZoneResponse},
};

/// Any free port at the loopback address.
pub const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The largest UDP response, which no network fragments (DNS flag day 2020).
const MAX_UDP: u16 = 1232;
const TCP_IDLE: Duration = Duration::from_secs(10);
const RELOAD_EVERY: Duration = Duration::from_millis(250);

/// A running server. Dropping it stops it.
pub struct DnsServer {
    address: SocketAddr,
    zone: SharedZone,
    _server: Server<Handler>,
}

type SharedZone = Arc<RwLock<Arc<ZoneDatabase>>>;

impl DnsServer {
    /// Serves the records of `zone`, completed by [`ZoneDatabase::complete`]. UDP and TCP have the same port; 0 is any port. Of
    /// several addresses, it is the first that can be bound.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(address: impl ToSocketAddrs, zone: ZoneDatabase) -> io::Result<Self> {
        let (udp, tcp) = bind(address).await?;
        let address = reachable(udp.local_addr()?);
        let zone = Arc::new(RwLock::new(Arc::new(zone.complete(address.ip()))));
        let mut server = Server::new(Handler {
            zone: Arc::clone(&zone),
        });
        server.register_socket(udp);
        server.register_listener(tcp, TCP_IDLE, 64);
        Ok(Self {
            address,
            zone,
            _server: server,
        })
    }

    /// The address at which this machine reaches the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces all records by those of this text (see [`ZoneDatabase::parse`]).
    ///
    /// # Errors
    /// The first invalid entry. The server keeps its records then.
    pub fn set_zone(&self, text: &str) -> Result<(), ZoneError> {
        let zone = Arc::new(ZoneDatabase::parse(text)?.complete(self.address.ip()));
        *self.zone.write().unwrap_or_else(PoisonError::into_inner) = zone;
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
                let loaded = now.and_then(|text| self.set_zone(&text).map_err(|error| error.to_string()));
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
async fn bind(address: impl ToSocketAddrs) -> io::Result<(UdpSocket, TcpListener)> {
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
        let socket = UdpSocket::bind(ANY_PORT).await.unwrap();
        socket.send_to(question, dns.address()).await.unwrap();
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
        let zone = ZoneDatabase::parse("portal.acme.test. CNAME edge.test.\nedge.test. A 192.0.2.1").unwrap();
        let dns = DnsServer::start(ANY_PORT, zone).await.unwrap();
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
        let zone = ZoneDatabase::parse("portal.acme.test. CNAME edge.test.\nedge.test. A 192.0.2.1").unwrap();
        let dns = DnsServer::start(ANY_PORT, zone).await.unwrap();
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
        let dns = DnsServer::start(every, ZoneDatabase::default()).await.unwrap();
        assert_eq!(dns.address().ip(), Ipv4Addr::LOCALHOST);
        dns.set_zone("acme.test. NS ns.acme.test.").unwrap();
        let answer = udp(&dns, &question("ns.acme.test.", RecordType::A, true)).await;
        assert_eq!(answer.answers[0].data.to_string(), "127.0.0.1");
    }

    #[tokio::test]
    async fn a_large_response_is_truncated_by_udp_and_complete_by_tcp() {
        let zone: String = (0..40).map(|i| format!("big.test. TXT \"{i:060}\"\n")).collect();
        let dns = DnsServer::start(ANY_PORT, ZoneDatabase::parse(&zone).unwrap())
            .await
            .unwrap();
        for edns in [false, true] {
            let question = question("big.test.", RecordType::TXT, edns);
            assert!(udp(&dns, &question).await.metadata.truncation);
            assert_eq!(tcp(&dns, &question).await.answers.len(), 40);
        }
    }

    #[tokio::test]
    async fn a_changed_zone_file_is_served_and_an_invalid_one_is_not() {
        let dns = DnsServer::start(ANY_PORT, ZoneDatabase::default()).await.unwrap();
        let file = std::env::temp_dir().join(format!("{}.zone", uuid::Uuid::new_v4()));
        let a = question("a.test.", RecordType::A, true);
        let served = async || {
            let answers = udp(&dns, &a).await.answers;
            answers
                .iter()
                .map(|record| record.data.to_string())
                .collect::<Vec<_>>()
        };
        let write = async |text: &str, expected: &[&str]| {
            std::fs::write(&file, text).unwrap();
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

    #[tokio::test]
    async fn dropping_the_server_frees_its_port() {
        let dns = DnsServer::start(ANY_PORT, ZoneDatabase::default()).await.unwrap();
        let address = dns.address();
        assert!(DnsServer::start(address, ZoneDatabase::default()).await.is_err());
        drop(dns);
        tokio::task::yield_now().await;
        DnsServer::start(address, ZoneDatabase::default()).await.unwrap();
    }
}
