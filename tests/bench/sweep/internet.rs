//! Domains, and their DNS on the loopback interface: NSD is the resolver, the registry's name server and the name servers
//! of the DNS providers, each at an address of its own.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    net::{Ipv4Addr, UdpSocket},
    ops::Range,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use shared::models::{
    domain::{Check, Domain, RecordState, Routing, Status, Token},
    hostname::{HostPolicy, Hostname},
    id::DomainId,
    time::Timestamp,
};

use crate::{Result, edge, process};

/// The most domains in shared zones. Each domain with a higher number has a zone of its own.
const SHARED: u64 = 1_000_000;
const SHARED_ZONES: u64 = 1_000;
const OWN_ZONES: u64 = 10_000;
const AGENCIES: u64 = 10_000;
/// DNS providers, each with two name servers.
const PROVIDERS: u64 = 50;
const SERVERS: [u8; 2] = [1, 2];

/// The resolver, and the registry's name server.
const REGISTRY: Ipv4Addr = Ipv4Addr::new(127, 53, 0, 53);

/// A range of the domains.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    pub first: u64,
    pub count: u64,
}

impl Batch {
    /// Domains in shared zones.
    pub const fn shared(count: u64) -> Self {
        Self { first: 0, count }
    }

    /// Domains with a zone each.
    pub const fn own(count: u64) -> Self {
        let first = SHARED;
        Self { first, count }
    }

    pub fn numbers(self) -> Range<u64> {
        self.first..self.first + self.count
    }

    /// The packets that a sweep needs: two for each domain, one for each zone, one for each address of a name server, and
    /// two to find the registry's name server and its address.
    pub fn packets(self) -> u64 {
        let zones = match self.first < SHARED {
            true => self.count.min(SHARED_ZONES),
            false => self.count,
        };
        2 * self.count + zones + PROVIDERS.min(zones) * SERVERS.len() as u64 + 2
    }
}

/// A domain that was verified a day ago and is due.
pub fn domain(number: u64, now: Timestamp) -> Result<Domain> {
    let zone = zone(number);
    let due = now - Duration::from_secs(60);
    let before = due - Duration::from_secs(24 * 3600);
    let agency = format!("org_{}", number % AGENCIES);
    let agency = agency.parse().map_err(|_| "an agency's id")?;
    let mut domain = Domain::custom(DomainId::new(now), agency, host(number)?, token(number), before);
    domain.status = Status::Verified;
    domain.routing = Routing::Routed;
    domain.route = RecordState::Found;
    domain.verified_at = Some(before);
    domain.check = Some(Check {
        checked_at: Some(before),
        next_check_at: Some(due),
        attempts: 1,
        zone: Some(hostname(&zone_name(zone))?),
        nameservers: SERVERS.map(|server| server_name(zone % PROVIDERS, server)).into(),
        provider: None,
        provider_url: None,
        problem: None,
        findings: Vec::new(),
    });
    Ok(domain)
}

fn hostname(text: &str) -> Result<Hostname> {
    Hostname::parse(text).map_err(|_| format!("{text} is not a host name").into())
}

fn host(number: u64) -> Result<Hostname> {
    hostname(&format!("portal{number}.{}", zone_name(zone(number))))
}

fn zone(number: u64) -> u64 {
    match number.checked_sub(SHARED) {
        Some(own) => SHARED_ZONES + own,
        None => number % SHARED_ZONES,
    }
}

fn zone_name(zone: u64) -> String {
    format!("agency{zone}.test")
}

fn server_name(provider: u64, server: u8) -> String {
    format!("ns{server}.dns{provider}.test")
}

fn address(provider: u64, server: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 53, server, provider as u8)
}

/// As long as a real token, but computed from the number, so that the zones can contain it.
fn token(number: u64) -> Token {
    let odd = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    Token::new(u128::from(number + 1).wrapping_mul(odd).to_be_bytes())
}

/// A running NSD. Dropping it stops the process and removes its files.
pub struct Internet {
    nsd: Child,
    directory: PathBuf,
    port: u16,
}

impl Internet {
    /// Creates the directory, writes the zones with this number of domains in shared zones into it, and starts NSD.
    pub fn start(directory: PathBuf, names: &HostPolicy, shared: u64) -> Result<Self> {
        let port = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?.local_addr()?.port();
        fs::create_dir(&directory)?;
        write_zones(&directory, names, shared)?;
        write_configuration(&directory, port)?;
        let nsd = Command::new("setpriv")
            // NSD ends even if this process is killed.
            .args(["--pdeathsig", "TERM", "nsd", "-d", "-c"])
            .arg(directory.join("nsd.conf"))
            .process_group(0)
            .spawn()?;
        let internet = Self { nsd, directory, port };
        internet.wait()?;
        Ok(internet)
    }

    fn wait(&self) -> Result<()> {
        for _ in 0..600 {
            if self.packets().is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let log = fs::read_to_string(self.directory.join("nsd.log")).unwrap_or_default();
        Err(format!("NSD does not respond: {log}").into())
    }

    /// Its files, which are removed with it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The variables of the environment that point to it.
    pub fn variables(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("DNS_RESOLVERS", format!("{REGISTRY}:{}", self.port)),
            ("DNS_AUTHORITY_PORT", self.port.to_string()),
            ("DNS_ALLOW_PRIVATE", "true".to_owned()),
        ])
    }

    /// The queries that it has received.
    pub fn packets(&self) -> Result<u64> {
        let statistics = self.control("stats_noreset")?;
        let queries = statistics
            .lines()
            .find_map(|line| line.strip_prefix("num.queries="));
        Ok(queries.ok_or("NSD's statistics have no num.queries")?.parse()?)
    }

    /// The CPU time of its processes.
    pub fn cpu(&self) -> Result<Duration> {
        process::cpu_of_group(self.nsd.id())
    }

    /// The queries per second of `dnsperf`, which asks for the `CNAME` of each domain twice, with as many queries in
    /// flight as a sweep has.
    pub fn dnsperf(&self, batch: Batch, at_once: usize) -> Result<f64> {
        let file = self.directory.join("queries");
        let mut queries = String::new();
        for number in batch.numbers() {
            let query = format!("{} CNAME\n", host(number)?);
            queries.push_str(&query.repeat(2));
        }
        fs::write(&file, queries)?;
        let output = Command::new("dnsperf")
            .args([
                "-s",
                &address(0, 1).to_string(),
                "-p",
                &self.port.to_string(),
                "-d",
            ])
            .arg(file)
            .args(["-n", "1", "-e", "-c", "16", "-q", &at_once.to_string()])
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next())
        };
        match (value("Queries completed:"), value("Queries per second:")) {
            (Some(completed), Some(rate)) if crate::nearly_all(completed.parse()?, 2 * batch.count) => {
                Ok(rate.parse()?)
            }
            _ => Err(format!("dnsperf: {text}{}", String::from_utf8_lossy(&output.stderr)).into()),
        }
    }

    fn control(&self, command: &str) -> Result<String> {
        let output = Command::new("nsd-control")
            .arg("-c")
            .arg(self.directory.join("nsd.conf"))
            .arg(command)
            .output()?;
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout)?),
            false => Err(String::from_utf8_lossy(&output.stderr).into()),
        }
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        if self.control("stop").is_err() {
            let _ = self.nsd.kill();
        }
        let _ = self.nsd.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn write_zones(directory: &Path, names: &HostPolicy, shared: u64) -> Result<()> {
    let head = |server: &str| {
        format!("@ 3600 SOA {server}. dns.{server}. 1 3600 600 86400 300\n@ 3600 NS {server}.\n")
    };
    let registry = "ns.test";
    let mut root = head(registry) + &format!("test. 3600 NS ns.test.\nns.test. 3600 A {REGISTRY}\n");
    writeln!(root, "*.{}. 300 A {}", names.target, edge::ADDRESS)?;
    fs::write(directory.join("root"), root)?;
    let mut top = head(registry) + &format!("ns.test. 3600 A {REGISTRY}\n");
    for provider in 0..PROVIDERS {
        for server in SERVERS {
            let (name, address) = (server_name(provider, server), address(provider, server));
            writeln!(top, "{name}. 3600 A {address}")?;
        }
    }
    let servers = |zone: u64| SERVERS.map(|server| server_name(zone % PROVIDERS, server));
    let mut zones: Vec<String> = (0..SHARED_ZONES + OWN_ZONES)
        .map(|zone| head(&servers(zone)[0]))
        .collect();
    for (zone, text) in (0..).zip(&mut zones) {
        let [first, second] = servers(zone);
        let name = zone_name(zone);
        writeln!(top, "{name}. 3600 NS {first}.\n{name}. 3600 NS {second}.")?;
        writeln!(text, "@ 3600 NS {second}.")?;
    }
    fs::write(directory.join("test"), top)?;
    for number in (0..shared).chain(SHARED..SHARED + OWN_ZONES) {
        let text = zones
            .get_mut(zone(number) as usize)
            .ok_or("the zone does not exist")?;
        let target = token(number).cname_target(names);
        writeln!(text, "{}. 300 CNAME {target}.", host(number)?)?;
    }
    for (zone, text) in (0..).zip(zones) {
        fs::write(directory.join(zone_name(zone)), text)?;
    }
    Ok(())
}

/// All files are in the directory. Response rate limiting (`rrl-…`) is off.
fn write_configuration(directory: &Path, port: u16) -> Result<()> {
    let at = directory.display();
    let mut text = format!(
        "server:
  username: \"\"
  port: {port}
  zonesdir: {at}
  database: \"\"
  zonelistfile: {at}/zone.list
  pidfile: {at}/nsd.pid
  xfrdfile: \"\"
  xfrdir: {at}
  logfile: {at}/nsd.log
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
  ip-address: {REGISTRY}
"
    );
    for provider in 0..PROVIDERS {
        for server in SERVERS {
            writeln!(text, "  ip-address: {}", address(provider, server))?;
        }
    }
    writeln!(
        text,
        "remote-control:\n  control-enable: yes\n  control-interface: {at}/control"
    )?;
    writeln!(
        text,
        "zone:\n  name: .\n  zonefile: root\nzone:\n  name: test\n  zonefile: test"
    )?;
    for zone in 0..SHARED_ZONES + OWN_ZONES {
        let name = zone_name(zone);
        writeln!(text, "zone:\n  name: {name}\n  zonefile: {name}")?;
    }
    fs::write(directory.join("nsd.conf"), text)?;
    Ok(())
}
