//! A world of DNS servers on loopback addresses that all listen at one port, each answering as a test tells it to.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use hickory_proto::{
    op::{Edns, Message, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, AAAA, CAA, CNAME, MX, NS, NULL, SOA, TXT},
    },
    serialize::binary::BinDecodable,
};
use shared::{
    config::{DnsConfig, DnsMode},
    models::{
        domain::{ApexAddresses, Domain, Finding, FindingCode, RecordState, Routing, Status, Token},
        hostname::{HostPolicy, Hostname},
        id::DomainId,
        time::Timestamp,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
    task::JoinSet,
};
use verification::{
    Busy, Facts,
    dns::{Depth, Dns, Evidence, Limits, Operator, Proof, Session},
    explain,
};

/// Where the resolver is.
pub const RESOLVER: u8 = 1;
/// Where the registry of `test.` is.
pub const REGISTRY: u8 = 2;
/// Where the two servers of `acme.test.` are.
pub const NS1: u8 = 11;
pub const NS2: u8 = 12;
/// Our target's address.
pub const EDGE: &str = "192.0.2.80";

/// A question as it came.
pub struct Asked {
    pub message: Message,
    pub tcp: bool,
}

impl Asked {
    pub fn name(&self) -> &Name {
        self.message.queries[0].name()
    }

    pub fn kind(&self) -> RecordType {
        self.message.queries[0].query_type()
    }

    /// An authoritative answer without records.
    pub fn reply(&self) -> Message {
        let mut reply = Message::response(self.message.metadata.id, self.message.metadata.op_code);
        reply.metadata.authoritative = true;
        reply.add_query(self.message.queries[0].clone());
        reply
    }

    pub fn code(&self, code: ResponseCode) -> Reaction {
        let mut reply = self.reply();
        reply.metadata.response_code = code;
        if code.high() > 0 {
            // The part of the code that does not fit into the header.
            reply.set_edns(Edns::new());
        }
        Reaction::Say(reply)
    }
}

/// What a server does.
pub enum Reaction {
    Say(Message),
    /// These datagrams, or this message by TCP.
    Raw(Vec<Vec<u8>>),
    /// By TCP, one byte a second.
    Drip(Vec<u8>),
    Silence,
}

type Behaviour = Arc<dyn Fn(&Asked) -> Reaction + Send + Sync>;

/// One message that a server got.
#[derive(Debug, Clone, PartialEq)]
pub struct Got {
    pub server: u8,
    pub tcp: bool,
    pub name: String,
    pub kind: RecordType,
    pub recursion: bool,
    pub id: u16,
    /// The port that it came from.
    pub from: u16,
    /// The name with its letters as they came.
    pub spelled: String,
}

/// All servers, and all that they got. Dropping it ends them.
pub struct World {
    pub port: u16,
    servers: Arc<Mutex<HashMap<u8, Behaviour>>>,
    got: Arc<Mutex<Vec<Got>>>,
    tasks: Mutex<JoinSet<()>>,
}

impl World {
    /// A resolver, the registry of `test.`, and `acme.test.` with these records at two servers.
    pub async fn new(zone: &str) -> Self {
        let world = Self::empty().await;
        world.resolver("").await;
        world
            .registry("acme.test. NS ns1.acme.test.\nacme.test. NS ns2.acme.test.")
            .await;
        world.zone("acme.test.", zone, &[NS1, NS2]).await;
        world
    }

    pub async fn empty() -> Self {
        let port = loop {
            let socket = UdpSocket::bind((address(RESOLVER), 0)).await.unwrap();
            let port = socket.local_addr().unwrap().port();
            if TcpListener::bind((address(RESOLVER), port)).await.is_ok() {
                break port;
            }
        };
        Self {
            port,
            servers: Arc::default(),
            got: Arc::default(),
            tasks: Mutex::default(),
        }
    }

    /// The resolver: it knows the registry's zone, our target, and these records; never anything of `acme.test.` else.
    pub async fn resolver(&self, more: &str) {
        let text = format!(
            "test. NS nic.test.\nnic.test. A {}\n*.edge.test. A {EDGE}\n{more}",
            address(REGISTRY)
        );
        let zone = Zone::parse(".", &text);
        self.serve(RESOLVER, move |asked| {
            let mut reply = zone.answer(asked);
            reply.metadata.authoritative = false;
            reply.metadata.recursion_available = true;
            Reaction::Say(reply)
        })
        .await;
    }

    /// The registry of `test.` with these delegations; `ns1.acme.test.` and `ns2.acme.test.` have addresses there.
    pub async fn registry(&self, delegations: &str) {
        let text = format!(
            "*.edge.test. A {EDGE}\nns1.acme.test. A {}\nns2.acme.test. A {}\n{delegations}",
            address(NS1),
            address(NS2)
        );
        self.zone("test.", &text, &[REGISTRY]).await;
    }

    /// The same records at each of these servers.
    pub async fn zone(&self, apex: &str, text: &str, servers: &[u8]) {
        for server in servers {
            let zone = Zone::parse(apex, text);
            self.serve(*server, move |asked| Reaction::Say(zone.answer(asked)))
                .await;
        }
    }

    /// A server that does this from now on.
    pub async fn serve(&self, server: u8, behaviour: impl Fn(&Asked) -> Reaction + Send + Sync + 'static) {
        let new = self
            .servers
            .lock()
            .unwrap()
            .insert(server, Arc::new(behaviour))
            .is_none();
        if !new {
            return;
        }
        let at = (address(server), self.port);
        let udp = UdpSocket::bind(at).await.unwrap();
        let tcp = TcpListener::bind(at).await.unwrap();
        let (servers, got) = (Arc::clone(&self.servers), Arc::clone(&self.got));
        let act = move |bytes: &[u8], from: u16, tcp: bool| {
            let asked = Asked {
                message: Message::from_bytes(bytes).unwrap(),
                tcp,
            };
            got.lock().unwrap().push(Got {
                server,
                tcp,
                name: asked.name().to_lowercase().to_string(),
                kind: asked.kind(),
                recursion: asked.message.metadata.recursion_desired,
                id: asked.message.metadata.id,
                from,
                spelled: asked.name().to_string(),
            });
            let behaviour = Arc::clone(&servers.lock().unwrap()[&server]);
            behaviour(&asked)
        };
        let mut tasks = self.tasks.lock().unwrap();
        let by_udp = act.clone();
        tasks.spawn(async move {
            let mut buffer = vec![0; 4096];
            loop {
                let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
                let datagrams = match by_udp(&buffer[..length], from.port(), false) {
                    Reaction::Say(message) => {
                        let bytes = message.to_vec().unwrap();
                        vec![if bytes.len() > 1232 {
                            message.truncate().to_vec().unwrap()
                        } else {
                            bytes
                        }]
                    }
                    Reaction::Raw(datagrams) => datagrams,
                    Reaction::Drip(_) | Reaction::Silence => Vec::new(),
                };
                for datagram in datagrams {
                    udp.send_to(&datagram, from).await.unwrap();
                }
            }
        });
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut stream, from) = tcp.accept().await.unwrap();
                let act = act.clone();
                connections.spawn(async move {
                    let length = stream.read_u16().await.unwrap();
                    let mut question = vec![0; length.into()];
                    stream.read_exact(&mut question).await.unwrap();
                    let framed = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
                    match act(&question, from.port(), true) {
                        Reaction::Say(message) => {
                            let _ = stream.write_all(&framed(&message.to_vec().unwrap())).await;
                        }
                        Reaction::Raw(messages) => {
                            let _ = stream.write_all(&framed(&messages[0])).await;
                        }
                        Reaction::Drip(bytes) => {
                            for byte in framed(&bytes) {
                                if stream.write_u8(byte).await.is_err() {
                                    break;
                                }
                                tokio::time::sleep(Duration::from_secs(1)).await;
                            }
                        }
                        Reaction::Silence => tokio::time::sleep(Duration::from_secs(60)).await,
                    }
                });
            }
        });
    }

    /// What came since the last time this was asked.
    pub fn got(&self) -> Vec<Got> {
        std::mem::take(&mut self.got.lock().unwrap())
    }

    pub fn dns(&self) -> Dns {
        self.dns_with(DnsMode::Authoritative, true)
    }

    pub fn dns_with(&self, mode: DnsMode, allow_private: bool) -> Dns {
        dns_at(self.port, mode, allow_private)
    }

    /// Checks a domain in a session of its own.
    pub async fn see(&self, domain: &Domain, depth: Depth) -> Seen {
        look(&self.dns(), domain, depth, &Session::default()).await
    }
}

/// A check's evidence and findings, as the tests compare them.
#[derive(Debug)]
pub struct Seen {
    pub proof: Proof,
    /// The proof that only one of several servers gives.
    pub unconfirmed_proof: Option<Proof>,
    pub flattened: bool,
    pub routing: Routing,
    pub zone: Option<Hostname>,
    pub nameservers: Vec<String>,
    pub provider: Option<&'static str>,
    pub ownership: RecordState,
    pub route: RecordState,
    pub apex: Option<ApexAddresses>,
    pub findings: Vec<Finding>,
    pub packets: u32,
}

pub fn seen(domain: &Domain, evidence: &Evidence) -> Seen {
    let facts = Facts {
        domain,
        evidence,
        holder: None,
        names: &names(),
        now: Timestamp::now(),
    };
    Seen {
        proof: evidence.proof(),
        unconfirmed_proof: evidence.unconfirmed_proof,
        flattened: evidence.is_flattened(),
        routing: evidence.routing(),
        zone: evidence.zone(),
        nameservers: evidence.nameservers().collect(),
        provider: evidence.provider(),
        ownership: evidence.txt_state,
        route: evidence.route_state(),
        apex: evidence.apex_addresses(),
        findings: explain(&facts).0,
        packets: evidence.packets,
    }
}

pub fn names() -> HostPolicy {
    HostPolicy {
        portal_domain: "portal.example".parse().unwrap(),
        target: "edge.test".parse().unwrap(),
        allow_special_use: true,
    }
}

/// Asks servers at this port.
pub fn dns_at(port: u16, mode: DnsMode, allow_private: bool) -> Dns {
    let config = DnsConfig {
        resolvers: vec![SocketAddr::new(address(RESOLVER).into(), port)],
        mode,
        authority_port: port,
        allow_private,
    };
    Dns::new(&config).unwrap().with_limits(FAST)
}

/// Limits that keep tests short.
pub const FAST: Limits = Limits {
    query: Duration::from_millis(250),
    resend: Duration::from_millis(100),
    check: Duration::from_secs(1),
    packets: 64,
};

pub async fn look(dns: &Dns, domain: &Domain, depth: Depth, session: &Session) -> Seen {
    look_with(dns, domain, depth, session, &[], &[]).await
}

pub async fn look_with(
    dns: &Dns,
    domain: &Domain,
    depth: Depth,
    session: &Session,
    addresses: &[IpAddr],
    authorities: &[&str],
) -> Seen {
    let evidence = gather(dns, domain, depth, session, addresses, authorities).await;
    seen(domain, &evidence.unwrap())
}

pub async fn gather(
    dns: &Dns,
    domain: &Domain,
    depth: Depth,
    session: &Session,
    addresses: &[IpAddr],
    authorities: &[&str],
) -> Result<Evidence, Busy> {
    let authorities: Vec<_> = authorities.iter().map(ToString::to_string).collect();
    let operator = Operator {
        names: &names(),
        addresses,
        certificate_authorities: &authorities,
    };
    dns.gather(domain, &operator, depth, session, Timestamp::now())
        .await
}

pub fn address(server: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 53, server)
}

/// The token of all domains here.
pub const TOKEN: &str = "5f0c7a1e9b2d4c6f8a3e1d7b9c5f2a40";
pub const TARGET: &str = "5f0c7a1e9b2d4c6f8a3e1d7b9c5f2a40.edge.test.";
pub const VALUE: &str = "agency-verification=5f0c7a1e9b2d4c6f8a3e1d7b9c5f2a40";

/// A pending domain.
pub fn domain(hostname: &str) -> Domain {
    let token = Token::new(u128::from_str_radix(TOKEN, 16).unwrap().to_be_bytes());
    let now = Timestamp::now();
    Domain::custom(
        DomainId::new(now),
        "org_acme".parse().unwrap(),
        hostname.parse().unwrap(),
        token,
        now,
    )
}

pub fn verified(hostname: &str) -> Domain {
    Domain {
        status: Status::Verified,
        ..domain(hostname)
    }
}

pub fn portal() -> Domain {
    domain("portal.acme.test")
}

pub fn codes(seen: &Seen) -> Vec<FindingCode> {
    seen.findings.iter().map(|finding| finding.code).collect()
}

pub fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// One zone's records, as a well-behaved server has them.
pub struct Zone {
    apex: Name,
    records: Vec<Record>,
}

impl Zone {
    /// One record a line: owner, type, data. TXT strings are in quotes.
    pub fn parse(apex: &str, text: &str) -> Self {
        let records = text.lines().filter(|line| !line.trim().is_empty()).map(|line| {
            let mut words = line.trim().splitn(3, ' ');
            let owner = name(words.next().unwrap());
            let kind = words.next().unwrap();
            let data = words.next().unwrap();
            let data = match kind {
                "A" => RData::A(A(data.parse().unwrap())),
                "AAAA" => RData::AAAA(AAAA(data.parse::<Ipv6Addr>().unwrap())),
                // A server takes characters that the name parser does not.
                "CNAME" => {
                    let labels = data.trim_end_matches('.').split('.');
                    RData::CNAME(CNAME(Name::from_labels(labels.map(str::as_bytes)).unwrap()))
                }
                "NS" => RData::NS(NS(name(data))),
                "MX" => RData::MX(MX::new(10, name(data))),
                "CAA" => {
                    let mut words = data.splitn(3, ' ');
                    let flags: u8 = words.next().unwrap().parse().unwrap();
                    let mut caa = CAA::new_issue(flags >= 128, None, Vec::new());
                    caa.reserved_flags = flags % 128;
                    caa.tag = words.next().unwrap().to_owned();
                    caa.value = words.next().unwrap().trim_matches('"').as_bytes().to_vec();
                    RData::CAA(caa)
                }
                "TXT" => {
                    let strings = data.split('"').skip(1).step_by(2).map(str::to_owned);
                    RData::TXT(TXT::new(strings.collect()))
                }
                "DNAME" => RData::Unknown {
                    code: RecordType::DNAME,
                    rdata: NULL::with(wire(&name(data))),
                },
                kind => panic!("{kind}"),
            };
            Record::from_rdata(owner, 60, data)
        });
        Self {
            apex: name(apex),
            records: records.collect(),
        }
    }

    pub fn answer(&self, asked: &Asked) -> Message {
        let mut reply = asked.reply();
        let (name, kind) = (asked.name(), asked.kind());
        if !self.apex.zone_of(name) {
            reply.metadata.authoritative = false;
            reply.metadata.response_code = ResponseCode::Refused;
            return reply;
        }
        let cut = self.records.iter().find(|record| {
            record.record_type() == RecordType::NS
                && record.name != self.apex
                && !self.apex.is_root()
                && record.name.zone_of(name)
        });
        if let Some(cut) = cut {
            reply.metadata.authoritative = false;
            let set = |record: &&Record| record.name == cut.name && record.record_type() == RecordType::NS;
            let servers: Vec<_> = self.records.iter().filter(set).cloned().collect();
            for server in &servers {
                let RData::NS(host) = &server.data else { continue };
                let glue = |record: &&Record| record.name == host.0 && record.data.ip_addr().is_some();
                reply.add_additionals(self.records.iter().filter(glue).cloned());
            }
            reply.add_authorities(servers);
            return reply;
        }
        let dname = self.records.iter().find(|record| {
            record.record_type() == RecordType::DNAME && record.name.zone_of(name) && record.name != *name
        });
        if let Some(dname) = dname {
            reply.add_answer(dname.clone());
            return reply;
        }
        let owner = self.owner(name);
        let own = |record: &&Record| Some(&record.name) == owner.as_ref();
        let found: Vec<_> = self.records.iter().filter(own).collect();
        let wanted: Vec<_> = found
            .iter()
            .copied()
            .filter(|record| record.record_type() == kind)
            .collect();
        let alias = found
            .iter()
            .copied()
            .find(|record| record.record_type() == RecordType::CNAME);
        for record in if wanted.is_empty() {
            alias.into_iter().collect()
        } else {
            wanted
        } {
            reply.add_answer(Record::from_rdata(name.clone(), 60, record.data.clone()));
        }
        if reply.answers.is_empty() {
            let soa = SOA::new(self.apex.clone(), self.apex.clone(), 1, 60, 60, 60, 60);
            reply.add_authority(Record::from_rdata(self.apex.clone(), 60, RData::SOA(soa)));
            let exists = *name == self.apex || self.records.iter().any(|record| name.zone_of(&record.name));
            if !exists && owner.is_none() {
                reply.metadata.response_code = ResponseCode::NXDomain;
            }
        }
        reply
    }

    /// The name itself, else the wildcard that covers it.
    fn owner(&self, name: &Name) -> Option<Name> {
        let has = |name: &Name| self.records.iter().any(|record| record.name == *name);
        if has(name) {
            return Some(name.clone());
        }
        let mut encloser = name.clone();
        while !encloser.is_root() && !self.records.iter().any(|record| encloser.zone_of(&record.name)) {
            encloser = encloser.base_name();
            let wildcard = encloser.prepend_label("*").unwrap();
            if has(&wildcard) {
                return Some(wildcard);
            }
        }
        None
    }
}

fn wire(name: &Name) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.iter() {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label);
    }
    bytes.push(0);
    bytes
}
