//! The trial: the clients, the faults and the sweeps at once, then the invariants.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use clap::Args;
use local::{
    dns::DnsServer,
    dynamodb,
    environment::{REGION, TABLE},
    fault::Proxy,
};
use rand::RngExt;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    environment::{self, Sweeps},
    injection, invariants,
    load::{self, Load},
    process::Setup,
    report::{self, Report},
    table::Table,
};

/// The duration of a transaction in DynamoDB, in milliseconds.
const TRANSACTION_MS: std::ops::RangeInclusive<u64> = 8..=20;
const DELIVER_EVERY: Duration = Duration::from_millis(400);
/// How long nothing may reach the database before the table is read.
const QUIET: Duration = Duration::from_secs(2);

#[derive(Args)]
pub struct TrialArgs {
    /// The number of operations
    #[arg(default_value_t = 10_000, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(10..))]
    operations: usize,
    /// The source of all random choices (default: a random one, which is printed)
    #[arg(long)]
    seed: Option<u64>,
    /// The number of processes of the API
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    processes: u8,
    /// The number of clients at once
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u8).range(1..))]
    clients: u8,
    /// Uses the DynamoDB at this address instead of the embedded one. It must have no table `agency`
    #[arg(long, value_name = "HOST:PORT")]
    dynamodb_endpoint: Option<SocketAddr>,
}

/// The parts of a trial that do not depend on the database.
pub struct Surroundings {
    pub dns: DnsServer,
    pub setup: Setup,
}

impl Surroundings {
    /// Starts DNS and the edge.
    ///
    /// # Errors
    /// One of them does not start.
    pub async fn start() -> Result<Self, String> {
        let dns = environment::dns().await?;
        let edge = environment::edge().await.map_err(|error| error.to_string())?;
        let folder = std::env::temp_dir().join(format!("faults-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let dns_address = dns.address();
        Ok(Self {
            dns,
            setup: Setup {
                dns: dns_address,
                edge,
                folder,
            },
        })
    }

    /// The directory for logs and data, which is removed unless something failed.
    pub fn end(&self, failed: bool) -> Option<PathBuf> {
        if failed {
            return Some(self.setup.folder.clone());
        }
        let _ = std::fs::remove_dir_all(&self.setup.folder);
        None
    }
}

/// The seed of the option, or a random one.
pub fn seed(given: Option<u64>) -> u64 {
    given.unwrap_or_else(|| shared::random::below(1_000_000).into())
}

/// Runs a trial, and prints its report.
///
/// # Errors
/// It cannot be run, or an invariant is violated.
pub async fn run(args: TrialArgs) -> Result<(), String> {
    let seed = seed(args.seed);
    println!("seed {seed}");
    let around = Surroundings::start().await?;
    let upstream = args.dynamodb_endpoint.unwrap_or_else(dynamodb::shared);
    let proxy = Proxy::start(upstream).await.map_err(|error| error.to_string())?;
    let mut processes = Vec::new();
    for number in 1..=args.processes {
        let name = format!("local-{number}");
        processes.push(around.setup.start_with(&proxy, &name).await?);
    }
    let addresses: Vec<_> = processes.iter().map(|process| process.address).collect();
    let load = Arc::new(Load::new(seed, addresses.clone(), args.operations));
    let start = Instant::now();
    proxy.make_transactions_last(TRANSACTION_MS);
    let faults = injection::start(&proxy, load::rng(seed, u64::MAX).random());
    load.prepare().await?;

    let (mut requests, mut late) = (0, 0);
    let sweeps = Mutex::new(Sweeps::default());
    let mut clients = JoinSet::new();
    for _ in 0..args.clients {
        let load = Arc::clone(&load);
        clients.spawn(async move { load.work().await });
    }
    let mut delays = load::rng(seed, u64::MAX - 1);
    let deliver = async {
        loop {
            sleep(DELIVER_EVERY).await;
            // Else the proxy would keep them all.
            requests += proxy.take_counts().values().sum::<usize>();
            if delays.random_bool(0.5) {
                late += proxy.deliver_delayed().await.unwrap_or_default();
            }
        }
    };
    tokio::select! {
        _ = clients.join_all() => {}
        () = deliver => {}
        () = environment::sweep(&addresses, load::rng(seed, u64::MAX - 2), &sweeps) => {}
        ended = environment::change_records(&around.dns, &load, load::rng(seed, u64::MAX - 3)) => ended?,
    }
    let duration = start.elapsed();

    injection::stop(&proxy);
    late += proxy.deliver_delayed().await.map_err(|error| error.to_string())?;
    requests += quiet(&proxy).await;
    late += proxy.deliver_delayed().await.map_err(|error| error.to_string())?;
    let client = dynamodb::client(&format!("http://{upstream}"), REGION);
    let table = Table::read(&client, TABLE).await?;
    let history = load.history();
    let findings = invariants::check(&table, &history);
    let mut faults: Vec<_> = faults
        .get()
        .into_iter()
        .map(|(kind, count)| (kind.to_owned(), count))
        .collect();
    faults.push((
        "conflict of overlapping transactions".to_owned(),
        proxy.conflicts(),
    ));
    let sweeps = sweeps.into_inner().unwrap_or_default();
    let report = Report {
        history: &history,
        faults: &faults,
        findings: &findings,
        duration,
        more: vec![
            format!(
                "{requests} requests to DynamoDB, {late} of them applied after they were delivered later"
            ),
            sweeps.to_string(),
            format!("{} items in the table", table.items.len()),
        ],
    };
    println!("{report}");
    drop(processes);
    let logs = around.end(!findings.violations.is_empty());
    report::verdict(&findings, seed, logs.as_deref())
}

/// Waits until no request reaches the database. Returns the number of requests until then.
async fn quiet(proxy: &Proxy) -> usize {
    let mut requests = 0;
    loop {
        sleep(QUIET).await;
        match proxy.take_counts().values().sum() {
            0 => return requests,
            more => requests += more,
        }
    }
}
