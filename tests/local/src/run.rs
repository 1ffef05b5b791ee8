//! Starts the servers of `cargo local`, prints their addresses, and stops them on a signal.

use std::{
    fmt,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use shared::{app::App, config::Config};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    task::JoinHandle,
};

use crate::{
    changes,
    dns::DnsServer,
    dynamodb,
    environment::{Environment, REGION, reachable},
    reverify, server, system,
    template::TableDefinition,
    token,
};

/// Where browsers look for the names below `localhost` (RFC 6761, section 6.3).
const LOCALHOST: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
/// How long open requests may take after the signal.
const GRACE: Duration = Duration::from_secs(5);

/// The options of `cargo local`.
#[derive(Args, Debug)]
pub struct Options {
    /// The address of the API
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000", value_parser = address)]
    addr: String,
    /// Keeps the data in this file (default: in memory)
    #[arg(long, value_name = "FILE", conflicts_with = "dynamodb_endpoint")]
    data: Option<PathBuf>,
    /// The address of the embedded DynamoDB, which other programs can use too
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000", value_parser = address)]
    dynamodb_addr: String,
    /// Uses the DynamoDB at this URL instead of the embedded one
    #[arg(long, value_name = "URL", value_parser = shared::config::endpoint)]
    dynamodb_endpoint: Option<String>,
    /// Serves the records of this zone file, and reads it again when it changes. `$SERVER 127.0.0.2` in it starts a name
    /// server that alone has the records that follow, until `$SERVER *`
    #[arg(long, value_name = "FILE")]
    zone: Option<PathBuf>,
    /// The address of the DNS server, which starts unless DNS_RESOLVERS is set
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5300", value_parser = address)]
    dns_addr: String,
    /// Does not run the scheduled function each minute. `cargo local reverify` runs it once
    #[arg(long)]
    no_schedule: bool,
}

/// Checks the form of an address. A host name is resolved when the address is used.
///
/// # Errors
/// The text is not a host and a port.
pub fn address(text: &str) -> Result<String, &'static str> {
    let is_name = |host: &str| !host.is_empty() && !host.contains([':', '[', ']']);
    let named = text
        .rsplit_once(':')
        .is_some_and(|(host, port)| is_name(host) && port.parse::<u16>().is_ok());
    match named || text.parse::<SocketAddr>().is_ok() {
        true => Ok(text.to_owned()),
        false => Err("must be a host and a port, such as 127.0.0.1:3000 or localhost:3000"),
    }
}

/// Checks the form of the address of a running server.
///
/// # Errors
/// The text is not a host and a port, or the port is 0.
pub fn server_address(text: &str) -> Result<String, &'static str> {
    let address = address(text)?;
    match address.rsplit_once(':') {
        Some((_, port)) if port.parse() == Ok(0_u16) => Err("must not have the port 0"),
        _ => Ok(address),
    }
}

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// One line that says what did not start, and which option or variable to change.
pub async fn run(options: Options, set: &dyn Fn(&str) -> Option<String>) -> Result<(), String> {
    let stop = stop_signal()?;
    let environment = Environment::new(set);
    // Before anything starts, so that an unusable variable leaves no file.
    let parse = |environment: &Environment<'_>| {
        Config::parse(&|name| environment.get(name)).map_err(|error| error.to_string())
    };
    let table = parse(&environment)?.table;
    let listener = bind(&options.addr, "--addr").await?;
    let api = local_address(&listener)?;
    let dns = start_dns(&options, &environment).await?;
    let database = Database::start(&options, &environment, &table).await?;
    let environment = environment.dynamodb(&database.endpoint).api(reachable(api));
    let environment = match &dns {
        Some(dns) => environment.dns(dns.address()),
        None => environment,
    };
    let config = parse(&environment)?;

    // The operator's own zone: the CNAME targets of custom domains lead to this machine.
    let targets = format!(
        "$SERVER *\n$ORIGIN .\n*.{}. 60 IN A 127.0.0.1\n",
        config.names.target
    );
    if let Some(dns) = &dns {
        load_zone(dns, options.zone.as_deref(), &targets)?;
    }
    create_table(&database.endpoint, &config).await?;
    let mut app = App::new(config).await;
    changes::print(&mut app);

    let (end, ended) = oneshot::channel::<()>();
    let router = system::router(&app)?;
    let network = system::network(&app)?;
    let ended = async { drop(ended.await) };
    let mut server = tokio::spawn(server::serve(listener, router, server::IDLE_TIMEOUT, ended));
    let welcome = welcome(&environment, &options, reachable(api), &database, dns.as_ref()).await;
    let _ = io::stdout().write_all(welcome.as_bytes()); // A closed standard output does not stop the server.
    tokio::select! {
        () = stop => {}
        () = reverify::schedule(&app, &network, reverify::each_minute()), if is_scheduled(&options, &database) => {}
        () = follow(dns.as_ref(), options.zone.as_deref(), &targets) => {}
        ended = &mut server => return Err(format!("{api}: the listener failed: {ended:?}")),
    }
    drop(end);
    let _ = tokio::time::timeout(GRACE, server).await; // Requests that take longer are cut off.
    drop(app);
    database.stop().await
}

/// Resolves at SIGINT or SIGTERM. The handlers are installed by the call itself.
fn stop_signal() -> Result<impl Future<Output = ()>, String> {
    let catch =
        |kind| signal(kind).map_err(|error| format!("the signal handlers cannot be installed: {error}"));
    let (mut interrupt, mut terminate) = (catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Starts the DNS server without records, unless `DNS_RESOLVERS` is set.
async fn start_dns(options: &Options, environment: &Environment<'_>) -> Result<Option<DnsServer>, String> {
    if environment.set("DNS_RESOLVERS").is_some() {
        return Ok(None);
    }
    let started = DnsServer::start(&*options.dns_addr).await;
    let dns = started.map_err(|error| bind_error(&options.dns_addr, "--dns-addr", &error))?;
    Ok(Some(dns))
}

/// Serves the records of the zone file and of `targets`.
fn load_zone(dns: &DnsServer, file: Option<&Path>, targets: &str) -> Result<(), String> {
    let text = match file {
        Some(file) => std::fs::read_to_string(file).map_err(|error| zone_error(file, &error))?,
        None => String::new(),
    };
    dns.set_zone(&format!("{text}\n{targets}"))
        .map_err(|error| zone_error(file.unwrap_or(Path::new("")), &error))
}

/// Whether the endpoint is AWS's own. An emulator has no `https`.
fn is_aws(endpoint: &str) -> bool {
    !endpoint.starts_with("http://")
}

/// Whether the scheduled function runs. A table in AWS has a deployment with a schedule of its own. This server's DNS does not
/// have the records of its domains, so that they would fail.
fn is_scheduled(options: &Options, database: &Database) -> bool {
    !options.no_schedule && !is_aws(&database.endpoint)
}

/// Creates the table, unless the endpoint is AWS's own: there the template creates it.
async fn create_table(endpoint: &str, config: &Config) -> Result<(), String> {
    if is_aws(endpoint) {
        return Ok(());
    }
    let client = dynamodb::client(endpoint, config.region.as_deref().unwrap_or(REGION));
    let table = TableDefinition::from_template().map_err(|error| error.to_string())?;
    let created = table.create(&client, &config.table).await;
    created.map_err(|error| format!("{endpoint}: {error}"))
}

async fn bind(address: &str, option: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address)
        .await
        .map_err(|error| bind_error(address, option, &error))
}

fn bind_error(address: &str, option: &str, error: &io::Error) -> String {
    format!("{address} ({option}) cannot be used: {error}")
}

fn zone_error(file: &Path, error: &dyn fmt::Display) -> String {
    format!("{} (--zone): {error}", file.display())
}

fn local_address(listener: &TcpListener) -> Result<SocketAddr, String> {
    listener.local_addr().map_err(|error| error.to_string())
}

async fn follow(dns: Option<&DnsServer>, file: Option<&Path>, suffix: &str) {
    match (dns, file) {
        (Some(dns), Some(file)) => dns.follow(file, suffix).await,
        _ => std::future::pending().await,
    }
}

struct Database {
    endpoint: String,
    embedded: Option<Embedded>,
}

struct Embedded {
    end: oneshot::Sender<()>,
    server: JoinHandle<Result<(), String>>,
}

impl Database {
    /// Uses the endpoint of the option or the variable, or starts the embedded database.
    async fn start(options: &Options, environment: &Environment<'_>, table: &str) -> Result<Self, String> {
        let endpoint = options.dynamodb_endpoint.clone();
        match endpoint.or(environment.set("AWS_ENDPOINT_URL_DYNAMODB")) {
            Some(endpoint) => Ok(Self {
                endpoint,
                embedded: None,
            }),
            None => Self::start_embedded(options, table).await,
        }
    }

    async fn start_embedded(options: &Options, table: &str) -> Result<Self, String> {
        let listener = bind(&options.dynamodb_addr, "--dynamodb-addr").await?;
        let endpoint = format!("http://{}", reachable(local_address(&listener)?));
        let (database, lock) = match &options.data {
            Some(file) => {
                let opened = dynamodb::open(file, table);
                let (database, lock) = opened.map_err(|error| format!("--data: {error}"))?;
                (database, Some(lock))
            }
            None => (
                dynoxide::Database::memory().map_err(|error| error.to_string())?,
                None,
            ),
        };
        let (end, ended) = oneshot::channel();
        let server = tokio::spawn(async move {
            let served = dynamodb::serve(listener, database, async { drop(ended.await) }).await;
            drop(lock);
            served
        });
        Ok(Self {
            endpoint,
            embedded: Some(Embedded { end, server }),
        })
    }

    async fn stop(self) -> Result<(), String> {
        let Some(Embedded { end, server }) = self.embedded else {
            return Ok(());
        };
        drop(end);
        match tokio::time::timeout(GRACE, server).await {
            Ok(Ok(result)) => result,
            // Another program is still connected, or the task panicked. Each write is in the file before its response.
            _ => Ok(()),
        }
    }
}

/// What the command prints at the start: addresses, a token, and a request to paste.
async fn welcome(
    environment: &Environment<'_>,
    options: &Options,
    api: SocketAddr,
    database: &Database,
    dns: Option<&DnsServer>,
) -> String {
    let storage = match (&database.embedded, &options.data) {
        (None, _) => "not embedded".to_owned(),
        (_, None) => "in memory; --data FILE stores it".to_owned(),
        (_, Some(file)) => format!("in {}", file.display()),
    };
    let dns = match (dns, &options.zone) {
        (None, None) => "none: DNS_RESOLVERS is set".to_owned(),
        (None, Some(_)) => "none: DNS_RESOLVERS is set, and --zone is not served".to_owned(),
        (Some(dns), None) => format!("{} (no records; --zone FILE adds them)", dns.address()),
        (Some(dns), Some(file)) => format!("{} ({})", dns.address(), file.display()),
    };
    let portals = environment.get("PORTAL_DOMAIN").unwrap_or_default();
    let preview = match LOCALHOST.contains(&api.ip()) && portals.ends_with(".localhost") {
        true => format!("http://SUBDOMAIN.{portals}:{}/preview or ", api.port()),
        false => String::new(),
    };
    let schedule = match (options.no_schedule, is_scheduled(options, database)) {
        (true, _) => "off: --no-schedule",
        (_, false) => "off: the deployment of this table has its own",
        (_, true) => "each minute; --no-schedule turns it off",
    };
    let token = token::sign_for(environment, "org_demo", "owner", "user_demo", token::TTL);
    let token = match token.await {
        Ok(token) => format!(
            "Token     {token}
          (owner of org_demo, valid for a day; for another one: cargo local token --org ORG --role ROLE)

Try it:
curl -X POST http://{api}/agency/enable -H 'authorization: Bearer {token}'
"
        ),
        Err(reason) => format!("Token     none: {reason}\n"),
    };
    format!(
        "API       http://{api}
Docs      http://{api}/docs
Preview   {preview}http://{api}/preview?host=HOST
DynamoDB  {} ({storage})
DNS       {dns}
Schedule  {schedule}
{token}",
        database.endpoint
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_reported_in_one_line_with_address_and_option() {
        let taken = bind("127.0.0.1:0", "--addr").await.unwrap();
        let port = local_address(&taken).unwrap().port();
        for host in ["127.0.0.1", "127.1"] {
            let error = bind(&format!("{host}:{port}"), "--addr").await.unwrap_err();
            let start = format!("{host}:{port} (--addr) cannot be used: ");
            assert!(error.starts_with(&start) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for text in [
            "127.0.0.1:3000",
            "[::1]:0",
            "localhost:3000",
            "host.example.com:80",
        ] {
            assert_eq!(address(text).as_deref(), Ok(text));
        }
        for text in [
            "",
            "3000",
            "localhost",
            "localhost:",
            ":3000",
            "::1:3000",
            "a:65536",
            "[::1]",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
