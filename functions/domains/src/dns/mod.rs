//! Asks DNS about a domain. What was seen is returned; what follows from it is decided elsewhere.

use std::{net::IpAddr, time::Duration};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, RecordType},
    },
};
use shared::{
    config::DnsConfig,
    models::{
        domain::{Domain, Finding, FindingCode, Level, Observed, RecordState, Routing, challenge_name},
        hostname::{HostPolicy, Hostname},
    },
};

/// One query waits this long at most, and is asked once more.
const QUERY_TIMEOUT: Duration = Duration::from_millis(1500);
/// One check waits this long at most.
const CHECK_TIMEOUT: Duration = Duration::from_secs(6);
/// So many `CNAME` records are followed.
const MAX_CNAMES: usize = 8;
/// So many records of an answer are looked at; an answer with more decides nothing.
const MAX_RECORDS: usize = 100;

/// Whom DNS questions go to.
#[derive(Clone)]
pub struct Dns {
    resolver: TokioResolver,
    server: String,
}

/// What DNS said about a domain.
#[derive(Debug, Clone)]
pub struct Observation {
    /// Whether the domain is proven.
    pub proof: Proof,
    /// Neither record is left, but the name's addresses are ours.
    pub flattened: bool,
    /// Where its traffic goes.
    pub routing: Routing,
    /// The zone into which its records must be entered.
    pub zone: Option<Hostname>,
    /// That zone's name servers.
    pub nameservers: Vec<String>,
    /// The DNS provider, from the name servers' names.
    pub provider: Option<String>,
    /// The state of the `TXT` record.
    pub ownership: RecordState,
    /// The state of the record that routes traffic.
    pub route: RecordState,
    /// What was found, the problems first.
    pub findings: Vec<Finding>,
}

/// Whether a domain is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// By its `CNAME`.
    Cname,
    /// By its `TXT` record alone.
    Txt,
    /// Definitely not.
    Missing,
    /// DNS did not say.
    Unknown,
}

/// What DNS said to one question.
enum Answer {
    /// These records, or definitely none.
    Records(Vec<RData>),
    /// Nothing that decides anything.
    Unknown(FindingCode, String),
}

impl Dns {
    /// The resolvers of the configuration, or the system's.
    ///
    /// # Errors
    /// The system's resolvers cannot be read.
    pub fn new(config: &DnsConfig) -> Result<Self, NetError> {
        let mut builder = if config.resolvers.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let servers = config.resolvers.iter().map(|address| {
                let mut server = NameServerConfig::udp_and_tcp(address.ip());
                for connection in &mut server.connections {
                    set_port(connection, address.port());
                }
                server
            });
            let resolvers = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            TokioResolver::builder_with_config(resolvers, TokioRuntimeProvider::default())
        };
        let options: &mut ResolverOpts = builder.options_mut();
        options.timeout = QUERY_TIMEOUT;
        options.attempts = 1;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.case_randomization = true;
        options.edns_payload_len = 1232;
        let resolver = builder.build()?;
        Ok(Self {
            resolver,
            server: "resolver".to_owned(),
        })
    }

    /// Looks for a custom domain's records. `addresses` are those of the edge.
    pub async fn observe(&self, domain: &Domain, names: &HostPolicy, addresses: &[IpAddr]) -> Observation {
        let observed = tokio::time::timeout(CHECK_TIMEOUT, self.look(domain, names, addresses)).await;
        observed.unwrap_or_else(|_| Observation {
            proof: Proof::Unknown,
            flattened: false,
            routing: Routing::Unknown,
            zone: None,
            nameservers: Vec::new(),
            provider: None,
            ownership: RecordState::Unreachable,
            route: RecordState::Unreachable,
            findings: vec![self.unknown(FindingCode::DnsTimeout, "no answer in time".to_owned())],
        })
    }

    async fn look(&self, domain: &Domain, names: &HostPolicy, addresses: &[IpAddr]) -> Observation {
        let token = domain.token.as_ref();
        let (target, value) = token.map_or_else(Default::default, |token| {
            (token.cname_target(names), token.txt_value())
        });
        let challenge = challenge_name(&domain.hostname);
        let (cname, txt) = tokio::join!(
            self.follow(domain.hostname.as_str(), names),
            self.ask(&challenge, RecordType::TXT),
        );
        let mut findings = Vec::new();

        let route = match &cname {
            Ok(chain)
                if chain
                    .last()
                    .is_some_and(|name| same(&name.to_ascii_lowercase(), &target)) =>
            {
                RecordState::Found
            }
            Ok(chain) if chain.is_empty() => RecordState::Missing,
            Ok(_) => RecordState::Wrong,
            Err((code, answer)) => {
                findings.push(self.unknown(*code, answer.clone()));
                RecordState::Unreachable
            }
        };
        let (ownership, texts) = match txt {
            Answer::Records(records) => {
                let texts: Vec<_> = records.iter().filter_map(text).collect();
                let state = match &texts {
                    texts if texts.iter().any(|text| verify(text, value.as_bytes())) => RecordState::Found,
                    texts if texts.is_empty() => RecordState::Missing,
                    _ => RecordState::Wrong,
                };
                (state, texts)
            }
            Answer::Unknown(code, answer) => {
                findings.push(self.unknown(code, answer));
                (RecordState::Unreachable, Vec::new())
            }
        };
        let proof = match (route, ownership) {
            (RecordState::Found, _) => Proof::Cname,
            (_, RecordState::Found) => Proof::Txt,
            (RecordState::Unreachable, _) | (_, RecordState::Unreachable) => Proof::Unknown,
            _ => Proof::Missing,
        };
        if proof == Proof::Missing {
            let chain = cname.unwrap_or_default();
            findings.push(self.missing(domain, &target, &chain));
            if !texts.is_empty() {
                findings.push(self.wrong_text(&challenge, &value, &texts));
            }
        }
        let (routing, route) = match route {
            RecordState::Found => (Routing::Routed, route),
            _ => self.routing(domain.hostname.as_str(), route, addresses).await,
        };
        Observation {
            flattened: proof == Proof::Missing && routing == Routing::Routed,
            proof,
            routing,
            zone: None,
            nameservers: Vec::new(),
            provider: None,
            ownership,
            route,
            findings,
        }
    }

    /// The names that the `CNAME` records of `name` lead to; following them ends at a name below our target.
    async fn follow(&self, name: &str, names: &HostPolicy) -> Result<Vec<String>, (FindingCode, String)> {
        let mut chain: Vec<String> = Vec::new();
        loop {
            let at = chain.last().map_or(name, String::as_str);
            let next = match self.ask(at, RecordType::CNAME).await {
                Answer::Unknown(code, answer) => return Err((code, answer)),
                Answer::Records(records) => records.into_iter().find_map(|record| match record {
                    RData::CNAME(target) => {
                        Some(target.0.to_ascii().trim_end_matches('.').to_ascii_lowercase())
                    }
                    _ => None,
                }),
            };
            let Some(next) = next else {
                return Ok(chain);
            };
            let ours = next
                .strip_suffix(names.target.as_str())
                .is_some_and(|label| label.ends_with('.'));
            let ends = ours || chain.len() + 1 >= MAX_CNAMES || chain.contains(&next);
            chain.push(next);
            if ends {
                return Ok(chain);
            }
        }
    }

    /// Where a host name's addresses lead.
    async fn routing(&self, name: &str, route: RecordState, ours: &[IpAddr]) -> (Routing, RecordState) {
        let (v4, v6) = tokio::join!(self.ask(name, RecordType::A), self.ask(name, RecordType::AAAA));
        let (Answer::Records(v4), Answer::Records(v6)) = (v4, v6) else {
            return (Routing::Unknown, route);
        };
        let mut addresses = v4.iter().chain(&v6).filter_map(RData::ip_addr);
        match addresses.any(|address| ours.contains(&address)) {
            true => (Routing::Routed, RecordState::Found),
            false => (Routing::Elsewhere, route),
        }
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Answer {
        // With its final dot the name is asked as it is, without the system's search list.
        let Ok(name) = Name::from_ascii(format!("{name}.")) else {
            return Answer::Unknown(
                FindingCode::DnsMalformed,
                "the name cannot be asked for".to_owned(),
            );
        };
        match self.resolver.lookup(name, kind).await {
            Ok(lookup) if lookup.answers().len() > MAX_RECORDS => Answer::Unknown(
                FindingCode::AnswerTooBig,
                format!("{} records", lookup.answers().len()),
            ),
            Ok(lookup) => Answer::Records(
                lookup
                    .answers()
                    .iter()
                    .filter(|record| record.record_type() == kind)
                    .map(|record| record.data.clone())
                    .collect(),
            ),
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
                ResponseCode::NXDomain | ResponseCode::NoError => Answer::Records(Vec::new()),
                code => refusal(code),
            },
            Err(NetError::Dns(DnsError::ResponseCode(code))) => refusal(code),
            Err(NetError::Timeout) => {
                Answer::Unknown(FindingCode::DnsTimeout, "no answer in time".to_owned())
            }
            Err(NetError::Proto(_)) => Answer::Unknown(FindingCode::DnsMalformed, "malformed".to_owned()),
            Err(_) => Answer::Unknown(FindingCode::DnsTimeout, "no answer".to_owned()),
        }
    }

    fn unknown(&self, code: FindingCode, answer: String) -> Finding {
        self.finding(
            code,
            Level::Unknown,
            "DNS gave no answer that decides anything.".to_owned(),
            "Nothing needs to be changed for this; the check is repeated.".to_owned(),
            None,
            answer,
        )
    }

    fn missing(&self, domain: &Domain, target: &str, chain: &[String]) -> Finding {
        let hostname = &domain.hostname;
        match chain.last() {
            None => self.finding(
                FindingCode::RecordMissing,
                Level::Error,
                format!("Neither record for {hostname} was found."),
                format!("Add a CNAME record from {hostname} to {target}, or the TXT record."),
                Some(target.to_owned()),
                "no records".to_owned(),
            ),
            Some(found) => self.finding(
                FindingCode::WrongValue,
                Level::Error,
                format!("The CNAME record of {hostname} leads to {found}."),
                format!("Change the CNAME record of {hostname} to {target}, or add the TXT record."),
                Some(target.to_owned()),
                found.clone(),
            ),
        }
    }

    fn wrong_text(&self, name: &str, value: &str, texts: &[Vec<u8>]) -> Finding {
        let seen: Vec<_> = texts.iter().map(|text| String::from_utf8_lossy(text)).collect();
        self.finding(
            FindingCode::WrongValue,
            Level::Error,
            format!("The TXT record {name} has another value."),
            format!("Change the TXT record {name} to exactly {value}."),
            Some(value.to_owned()),
            seen.join(", "),
        )
    }

    fn finding(
        &self,
        code: FindingCode,
        level: Level,
        detail: String,
        fix: String,
        expected: Option<String>,
        answer: String,
    ) -> Finding {
        let answer = answer.chars().take(255).collect();
        let observed = vec![Observed {
            server: self.server.clone(),
            answer,
        }];
        Finding {
            code,
            level,
            detail,
            fix,
            expected,
            observed,
        }
    }
}

fn set_port(connection: &mut ConnectionConfig, port: u16) {
    connection.port = port;
}

fn refusal(code: ResponseCode) -> Answer {
    let finding = match code {
        ResponseCode::Refused => FindingCode::DnsRefused,
        _ => FindingCode::DnsServfail,
    };
    Answer::Unknown(finding, code.to_str().to_owned())
}

/// The strings of a `TXT` record, joined (RFC 7208, section 3.3, has the same rule).
fn text(record: &RData) -> Option<Vec<u8>> {
    match record {
        RData::TXT(txt) => Some(txt.txt_data.concat()),
        _ => None,
    }
}

fn same(name: &str, target: &str) -> bool {
    verify(name.as_bytes(), target.as_bytes())
}

/// In constant time, so that a token cannot be guessed from how long a comparison takes.
fn verify(a: &[u8], b: &[u8]) -> bool {
    verify_slices_are_equal(a, b).is_ok()
}
