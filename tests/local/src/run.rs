//! `cargo local`: starts everything, says where it is, and ends it on a signal.

use std::{
    fmt,
    io::{self, Write},
    net::SocketAddr,
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
    dns::Dns,
    dynamodb,
    environment::{Environment, REGION, reachable},
    system,
    template::Table,
    token,
    zone::Zone,
};

/// How long requests under way are waited for at the end.
const GRACE: Duration = Duration::from_secs(5);

/// Where everything listens and what it keeps.
#[derive(Args, Debug)]
pub struct Options {
    /// Where the API listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    addr: SocketAddr,
    /// Keeps the data in this file (default: in memory)
    #[arg(long, value_name = "FILE", conflicts_with = "dynamodb_endpoint")]
    data: Option<PathBuf>,
    /// Where the embedded DynamoDB listens, for other programs too
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    dynamodb_addr: SocketAddr,
    /// Uses this DynamoDB, not the embedded one
    #[arg(long, value_name = "URL")]
    dynamodb_endpoint: Option<String>,
    /// Serves the records of this zone file, and each change to it
    #[arg(long, value_name = "FILE")]
    zone: Option<PathBuf>,
    /// Where the DNS server listens, unless DNS_RESOLVERS is set
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5300")]
    dns_addr: SocketAddr,
}

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// One line: what could not be started, and the option or variable to change.
pub async fn run(options: Options, set: &dyn Fn(&str) -> Option<String>) -> Result<(), String> {
    let stop = asked_to_stop()?;
    let listener = listen(options.addr, "--addr").await?;
    let api = address(&listener)?;
    let environment = Environment::new(set);
    let dns = match environment.set("DNS_RESOLVERS") {
        Some(_) => None,
        None => Some(
            Dns::start(options.dns_addr, Zone::default())
                .await
                .map_err(|error| unusable(options.dns_addr, "--dns-addr", &error))?,
        ),
    };
    let database = match options
        .dynamodb_endpoint
        .clone()
        .or(environment.set("AWS_ENDPOINT_URL_DYNAMODB"))
    {
        Some(endpoint) => Database {
            endpoint,
            embedded: None,
        },
        None => Database::embedded(&options).await?,
    };
    let environment = environment.dynamodb(&database.endpoint);
    let environment = match &dns {
        Some(dns) => environment.dns(dns.address()),
        None => environment,
    };
    let config = Config::parse(&|name| environment.get(name)).map_err(|error| error.to_string())?;

    // What stands in the operator's own zone: the targets of custom domains lead to this machine.
    let targets = format!("$ORIGIN .\n*.{}. 60 IN A 127.0.0.1\n", config.names.target);
    if let Some(dns) = &dns {
        let text = match &options.zone {
            Some(file) => std::fs::read_to_string(file).map_err(|error| in_zone(file, &error))?,
            None => String::new(),
        };
        dns.set_zone(&format!("{text}\n{targets}"))
            .map_err(|error| in_zone(options.zone.as_deref().unwrap_or(Path::new("")), &error))?;
    }
    // One with TLS is AWS's own: its table is the template's to make.
    if database.endpoint.starts_with("http://") {
        let client = dynamodb::client(&database.endpoint, config.region.as_deref().unwrap_or(REGION));
        let table = Table::from_template().map_err(|error| error.to_string())?;
        let created = table.create(&client, &config.table).await;
        created.map_err(|error| format!("{}: {error}", database.endpoint))?;
    }
    let app = App::new(config).await;

    let (end, ended) = oneshot::channel::<()>();
    let router = system::router(&app)?;
    let mut server = tokio::spawn(async {
        let ended = async { drop(ended.await) };
        axum::serve(listener, router).with_graceful_shutdown(ended).await
    });
    let welcome = welcome(&environment, &options, reachable(api), &database, dns.as_ref());
    let _ = io::stdout().write_all(welcome.as_bytes()); // Whoever closed it does not want it.
    tokio::select! {
        () = stop => {}
        () = follow(dns.as_ref(), options.zone.as_deref(), &targets) => {}
        ended = &mut server => return Err(format!("{api}: the listener broke: {ended:?}")),
    }
    drop(end);
    let _ = tokio::time::timeout(GRACE, server).await; // What is not answered by then is cut off.
    drop(app);
    database.stop().await
}

/// Resolves at SIGINT or SIGTERM. They are caught from the call on.
fn asked_to_stop() -> Result<impl Future<Output = ()>, String> {
    let catch = |kind| signal(kind).map_err(|error| format!("signals cannot be caught: {error}"));
    let (mut interrupt, mut terminate) = (catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

async fn listen(address: SocketAddr, option: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address)
        .await
        .map_err(|error| unusable(address, option, &error))
}

fn unusable(address: SocketAddr, option: &str, error: &io::Error) -> String {
    format!("{address} ({option}) cannot be used: {error}")
}

fn in_zone(file: &Path, error: &dyn fmt::Display) -> String {
    format!("{} (--zone): {error}", file.display())
}

fn address(listener: &TcpListener) -> Result<SocketAddr, String> {
    listener.local_addr().map_err(|error| error.to_string())
}

async fn follow(dns: Option<&Dns>, file: Option<&Path>, suffix: &str) {
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
    async fn embedded(options: &Options) -> Result<Self, String> {
        let listener = listen(options.dynamodb_addr, "--dynamodb-addr").await?;
        let endpoint = format!("http://{}", reachable(address(&listener)?));
        let database = dynamodb::open(options.data.as_deref()).map_err(|error| format!("--data: {error}"))?;
        let (end, ended) = oneshot::channel();
        let server = tokio::spawn(dynamodb::serve(listener, database, async { drop(ended.await) }));
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
            // Another program is still connected, or the task is gone: what was answered is in the file all the same.
            _ => Ok(()),
        }
    }
}

/// What a person needs first: where things are, a token, and a request to paste.
fn welcome(
    environment: &Environment<'_>,
    options: &Options,
    api: SocketAddr,
    database: &Database,
    dns: Option<&Dns>,
) -> String {
    let kept = match (&database.embedded, &options.data) {
        (None, _) => "not embedded".to_owned(),
        (_, None) => "in memory; --data FILE keeps it".to_owned(),
        (_, Some(file)) => format!("in {}", file.display()),
    };
    let dns = match (dns, &options.zone) {
        (None, None) => "none: DNS_RESOLVERS is set".to_owned(),
        (None, Some(_)) => "none: DNS_RESOLVERS is set, and --zone is not served".to_owned(),
        (Some(dns), None) => format!("{} (empty: no domain is registered; --zone FILE)", dns.address()),
        (Some(dns), Some(file)) => format!("{} ({})", dns.address(), file.display()),
    };
    let token = match token::sign_for(environment, "org_demo", "owner", "user_demo", token::TTL) {
        Ok(token) => format!(
            "Token     {token}
          (owner of org_demo, for a day; others: cargo local token --org ORG --role ROLE)

Try it:
curl -X POST http://{api}/agency/enable -H 'authorization: Bearer {token}'
"
        ),
        Err(reason) => format!("Token     none: {reason}\n"),
    };
    format!(
        "API       http://{api}
Docs      http://{api}/docs
DynamoDB  {} ({kept})
DNS       {dns}
{token}",
        database.endpoint
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_one_line_that_names_address_and_option() {
        let taken = listen(crate::dns::ANY_PORT, "--addr").await.unwrap();
        let address = address(&taken).unwrap();
        let error = listen(address, "--addr").await.unwrap_err();
        assert!(
            error.starts_with(&format!("{address} (--addr) cannot be used: ")),
            "{error}"
        );
        assert!(!error.contains('\n'));
    }
}
