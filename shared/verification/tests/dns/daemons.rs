//! Name servers that others wrote, as Debian has them, started for one test on loopback addresses and one port.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Message, Query},
    rr::{RData, RecordType},
    serialize::binary::BinDecodable,
};
use shared::{config::DnsMode, models::domain::Domain};
use tokio::{
    net::UdpSocket,
    time::{sleep, timeout},
};
use verification::dns::{Depth, Dns, Limits, Session};

use crate::world::*;

/// A server that starts, or reloads, takes no longer.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Software {
    Bind,
    /// BIND with one of the options that its own tests use to make it behave worse.
    BindWith(&'static str),
    Knot,
    Nsd,
}

/// Which software the registry is, and the two servers of a zone.
#[derive(Debug, Clone, Copy)]
pub struct Cast {
    pub registry: Software,
    pub servers: [Software; 2],
}

impl Cast {
    pub const fn all(software: Software) -> Self {
        Self {
            registry: software,
            servers: [software; 2],
        }
    }
}

/// Each software alone, and all of them together.
pub const CASTS: [Cast; 4] = [
    Cast::all(Software::Bind),
    Cast::all(Software::Knot),
    Cast::all(Software::Nsd),
    Cast {
        registry: Software::Nsd,
        servers: [Software::Bind, Software::Knot],
    },
];

/// All servers of a test. Dropping it ends them, and removes all that they wrote.
pub struct Daemons {
    pub port: u16,
    directory: PathBuf,
    running: Vec<Daemon>,
}

struct Daemon {
    server: u8,
    process: Child,
    /// The zones that it must have before anybody asks for them.
    zones: Vec<String>,
}

impl Daemons {
    pub async fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let port = World::empty().await.port;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("dns-{}-{count}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        Self {
            port,
            directory,
            running: Vec::new(),
        }
    }

    /// A validating resolver, the registry of `test.` with these delegations, and these zones at both servers of a zone.
    pub async fn start(cast: Cast, delegations: &str, zones: &[(&str, &str)]) -> Self {
        let mut daemons = Self::new().await;
        daemons.registry(cast.registry, delegations);
        for (server, software) in [NS1, NS2].into_iter().zip(cast.servers) {
            daemons.serve(software, server, zones);
        }
        daemons.resolver("");
        daemons.ready().await;
        daemons
    }

    /// The root and the registry, with the servers' addresses, our target, and what Cloudflare has.
    pub fn registry(&mut self, software: Software, delegations: &str) {
        let nic = format!("NS nic.test.\nnic.test. A {}\n", address(REGISTRY));
        let zones = [
            (".", format!(". {nic}test. {nic}net. {nic}")),
            ("test.", registry_zone(delegations)),
            (
                "net.",
                "net. NS nic.test.\n*.cdn.cloudflare.net. A 104.16.0.1".to_owned(),
            ),
        ];
        let zones: Vec<_> = zones.iter().map(|(apex, text)| (*apex, text.as_str())).collect();
        self.serve(software, REGISTRY, &zones);
    }

    /// A server with these zones, each with the records that [`Zone::parse`] reads.
    pub fn serve(&mut self, software: Software, server: u8, zones: &[(&str, &str)]) {
        let files: Vec<_> = zones
            .iter()
            .map(|(apex, text)| (*apex, zone_file(apex, 1, text)))
            .collect();
        self.serve_files(software, server, &files);
    }

    /// A server with zones that it will not load.
    pub fn serve_in_vain(&mut self, software: Software, server: u8, zones: &[(&str, &str)]) {
        self.serve(software, server, zones);
        if let Some(daemon) = self.running.last_mut() {
            daemon.zones.clear();
        }
    }

    /// A server with zone files as they stand.
    pub fn serve_files(&mut self, software: Software, server: u8, zones: &[(&str, String)]) {
        for (apex, file) in zones {
            fs::write(self.home(server).join(file_name(apex)), file).unwrap();
        }
        let apexes: Vec<_> = zones.iter().map(|(apex, _)| *apex).collect();
        self.launch(software, server, &apexes);
    }

    /// BIND as a resolver that validates what is below these trust anchors.
    pub fn resolver(&mut self, anchors: &str) {
        let directory = self.home(RESOLVER);
        fs::write(
            directory.join("root.hint"),
            format!(". 3600 NS nic.test.\nnic.test. 3600 A {}\n", address(REGISTRY)),
        )
        .unwrap();
        let configuration = format!(
            "options {{ {} recursion yes; allow-query {{ any; }}; dnssec-validation yes; }};
             controls {{}};
             trust-anchors {{ {anchors} }};
             zone \".\" {{ type hint; file \"root.hint\"; }};\n",
            self.bind_options(RESOLVER)
        );
        fs::write(directory.join("conf"), configuration).unwrap();
        self.spawn(
            RESOLVER,
            Command::new("named").args(["-g", "-n", "1", "-c", "conf"]),
            &[],
        );
    }

    /// Waits until all servers answer, and have their zones.
    pub async fn ready(&self) {
        for Daemon { server, zones, .. } in &self.running {
            let up = async || {
                for apex in zones {
                    if self.serial(*server, apex).await.is_none() {
                        return false;
                    }
                }
                let any = self.ask(*server, "nic.test.", RecordType::A, false).await;
                any.is_some_and(|message| *server != RESOLVER || !message.answers.is_empty())
            };
            if !until(up).await {
                let log = fs::read_to_string(self.home(*server).join("log")).unwrap_or_default();
                panic!("server {server} does not answer:\n{log}");
            }
        }
    }

    /// Other records for a zone, from now on: the server is told, and has them when this returns.
    pub async fn change(&self, server: u8, apex: &str, text: &str) {
        let before = self.serial(server, apex).await.unwrap_or_default();
        fs::write(
            self.home(server).join(file_name(apex)),
            zone_file(apex, before + 1, text),
        )
        .unwrap();
        let daemon = self
            .running
            .iter()
            .find(|daemon| daemon.server == server)
            .unwrap();
        signal("-HUP", &daemon.process.id().to_string()).unwrap();
        let changed = async || self.serial(server, apex).await == Some(before + 1);
        assert!(until(changed).await, "server {server} does not reload {apex}");
    }

    /// Other delegations at the registry, from now on.
    pub async fn delegate(&self, delegations: &str) {
        self.change(REGISTRY, "test.", &registry_zone(delegations)).await;
    }

    /// What a server says, asked as anybody may.
    pub async fn ask(&self, server: u8, text: &str, kind: RecordType, unchecked: bool) -> Option<Message> {
        let mut question = Message::query();
        question.metadata.recursion_desired = server == RESOLVER;
        question.metadata.checking_disabled = unchecked;
        // Whether it found the signatures right is to be told (RFC 6840, section 5.7).
        question.metadata.authentic_data = true;
        question.add_query(Query::query(name(text), kind));
        let socket = UdpSocket::bind((address(RESOLVER), 0)).await.ok()?;
        socket.connect((address(server), self.port)).await.ok()?;
        socket.send(&question.to_vec().ok()?).await.ok()?;
        let mut buffer = vec![0; 4096];
        let patience = Duration::from_secs(if server == RESOLVER { 5 } else { 1 });
        let length = timeout(patience, socket.recv(&mut buffer)).await.ok()?.ok()?;
        Message::from_bytes(&buffer[..length]).ok()
    }

    pub fn dns(&self) -> Dns {
        dns_at(self.port, DnsMode::Authoritative, true).with_limits(Limits::default())
    }

    /// Looks at a domain in a session of its own.
    pub async fn see(&self, domain: &Domain, depth: Depth) -> Seen {
        look(&self.dns(), domain, depth, &Session::default()).await
    }

    /// Keys for a zone, and the zone signed with them: its file, and the trust anchor for its resolver. `options` are those
    /// of `dnssec-signzone`.
    pub fn sign(&self, apex: &str, text: &str, options: &[&str]) -> (String, String) {
        let directory = self.directory.join(format!("signed-{apex}"));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("zone"), zone_file(apex, 1, text)).unwrap();
        let run = |program: &str, arguments: &[&str]| -> Output {
            let output = Command::new(program)
                .args(arguments)
                .current_dir(&directory)
                .output()
                .unwrap();
            assert!(output.status.success(), "{program}: {output:?}");
            output
        };
        // One key that signs all: each further one costs time and shows nothing else.
        let generated = run(
            "dnssec-keygen",
            &["-q", "-a", "ECDSAP256SHA256", "-f", "KSK", apex],
        );
        let key = String::from_utf8(generated.stdout).unwrap();
        let public = fs::read_to_string(directory.join(format!("{}.key", key.trim()))).unwrap();
        let fields: Vec<_> = public
            .lines()
            .find(|line| !line.starts_with(';'))
            .unwrap()
            .split_whitespace()
            .collect();
        let data = fields.iter().position(|field| *field == "DNSKEY").unwrap() + 1;
        let anchor = format!(
            "{apex} static-key {} \"{}\";",
            fields[data..data + 3].join(" "),
            fields[data + 3..].concat()
        );
        let full = [
            &["-q", "-z", "-S", "-O", "full", "-o", apex, "-f", "signed"],
            options,
            &["zone"],
        ]
        .concat();
        run("dnssec-signzone", &full);
        (fs::read_to_string(directory.join("signed")).unwrap(), anchor)
    }

    async fn serial(&self, server: u8, apex: &str) -> Option<u32> {
        let message = self.ask(server, apex, RecordType::SOA, false).await?;
        message.answers.iter().find_map(|record| match &record.data {
            RData::SOA(soa) => Some(soa.serial),
            _ => None,
        })
    }

    fn home(&self, server: u8) -> PathBuf {
        let directory = self.directory.join(server.to_string());
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    fn bind_options(&self, server: u8) -> String {
        format!(
            "directory \"{}\"; port {}; listen-on {{ {}; }}; listen-on-v6 {{ none; }}; pid-file none;
             session-keyfile none; notify no; empty-zones-enable no; max-cache-size 8m;",
            self.home(server).display(),
            self.port,
            address(server)
        )
    }

    fn launch(&mut self, software: Software, server: u8, apexes: &[&str]) {
        let directory = self.home(server);
        let home = directory.display();
        let at = format!("{}@{}", address(server), self.port);
        let each =
            |zone: &dyn Fn(&str) -> String| -> String { apexes.iter().map(|apex| zone(apex)).collect() };
        let mut command;
        let configuration = match software {
            Software::Bind | Software::BindWith(_) => {
                command = Command::new("named");
                command.args(["-g", "-n", "1", "-c", "conf"]);
                if let Software::BindWith(option) = software {
                    command.args(["-T", option]);
                }
                let zones = each(&|apex| {
                    let file = file_name(apex);
                    format!("zone \"{apex}\" {{ type primary; file \"{file}\"; }};\n")
                });
                format!(
                    "options {{ {} recursion no; dnssec-validation no; max-records-per-type 0; }};\ncontrols {{}};\n{zones}",
                    self.bind_options(server)
                )
            }
            Software::Knot => {
                command = Command::new("knotd");
                command.args(["-c", "conf"]);
                let zones = each(&|apex| format!("  - domain: {apex}\n    file: {}\n", file_name(apex)));
                format!(
                    "server:
    rundir: \"{home}\"
    listen: {at}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: \"{home}\"
log:
  - target: stderr
    any: info
template:
  - id: default
    storage: \"{home}\"
    journal-content: none
zone:
{zones}"
                )
            }
            Software::Nsd => {
                command = Command::new("nsd");
                command.args(["-d", "-c", "conf"]);
                let zones =
                    each(&|apex| format!("zone:\n    name: \"{apex}\"\n    zonefile: {}\n", file_name(apex)));
                // No pid file, no change of user, and no rate limit.
                format!(
                    "server:
    ip-address: {at}
    server-count: 1
    username: \"\"
    chroot: \"\"
    zonesdir: \"{home}\"
    database: \"\"
    pidfile: \"{home}/pid\"
    xfrdfile: \"{home}/xfrd\"
    xfrdir: \"{home}\"
    zonelistfile: \"{home}/zones\"
    rrl-ratelimit: 0
remote-control:
    control-enable: no
{zones}"
                )
            }
        };
        fs::write(directory.join("conf"), configuration).unwrap();
        self.spawn(server, &mut command, apexes);
    }

    fn spawn(&mut self, server: u8, command: &mut Command, apexes: &[&str]) {
        let directory = self.home(server);
        let log = File::create(directory.join("log")).unwrap();
        let process = command
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            // NSD is several processes.
            .process_group(0)
            .spawn();
        let process = process.unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()));
        self.running.push(Daemon {
            server,
            process,
            zones: apexes.iter().map(ToString::to_string).collect(),
        });
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        for daemon in &mut self.running {
            let _ = signal("-KILL", &format!("-{}", daemon.process.id()));
            let _ = daemon.process.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn signal(signal: &str, to: &str) -> io::Result<()> {
    Command::new("kill").args([signal, "--", to]).status().map(drop)
}

/// Tries again and again until it is so; `false` when patience ends.
async fn until(so: impl AsyncFn() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if so().await {
            return true;
        }
        sleep(Duration::from_millis(20)).await;
    }
    false
}

/// Delegations to both servers of a zone.
pub fn to_both(apexes: &[&str]) -> String {
    let both = apexes
        .iter()
        .map(|apex| format!("{apex} NS ns1.acme.test.\n{apex} NS ns2.acme.test.\n"));
    both.collect()
}

fn registry_zone(delegations: &str) -> String {
    format!(
        "test. NS nic.test.\nnic.test. A {}\n*.edge.test. A {EDGE}\n{}{delegations}",
        address(REGISTRY),
        server_addresses()
    )
}

fn server_addresses() -> String {
    format!(
        "ns1.acme.test. A {}\nns2.acme.test. A {}\n",
        address(NS1),
        address(NS2)
    )
}

fn file_name(apex: &str) -> String {
    format!("zone-{apex}")
}

/// A master file (RFC 1035, section 5) of the records that [`Zone::parse`] reads, and of what a zone must have.
fn zone_file(apex: &str, serial: u32, text: &str) -> String {
    let mut lines = BTreeSet::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.splitn(3, ' ');
        let (owner, kind, data) = (
            words.next().unwrap(),
            words.next().unwrap(),
            words.next().unwrap(),
        );
        let data = match kind {
            "MX" => format!("10 {data}"),
            "CAA" => format!("0 issue \"{data}\""),
            _ => data.to_owned(),
        };
        lines.insert(format!("{owner} {kind} {data}\n"));
    }
    if !lines.iter().any(|line| line.starts_with(&format!("{apex} NS "))) {
        lines.insert(format!("{apex} NS ns1.acme.test.\n{apex} NS ns2.acme.test.\n"));
        if apex == "acme.test." {
            lines.insert(server_addresses());
        }
    }
    let soa = format!("$TTL 3600\n{apex} SOA nic.test. hostmaster.test. {serial} 3600 600 86400 3600\n");
    soa + &lines.into_iter().collect::<String>()
}
