//! The trial: the clients, the faults and the sweeps at once, then the invariants.

use std::{
    net::SocketAddr,
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
    process::{self, Process, ProcessSetup},
    report::{self, TrialReport},
    table::TableItems,
};

/// The duration of a transaction in DynamoDB, in milliseconds.
const TRANSACTION_MS: std::ops::RangeInclusive<u64> = 8..=20;
const DELIVER_EVERY: Duration = Duration::from_millis(400);
/// How long nothing may reach the database before the table is read.
const QUIET: Duration = Duration::from_secs(2);
/// A trial with this number of operations fails if it does not cover every invariant, write and kind of fault.
const COVERING: usize = 3000;

#[derive(Args)]
pub struct TrialArgs {
    /// The number of operations. From 3000, every invariant, write and kind of fault must occur
    #[arg(default_value_t = 10_000, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(10..))]
    operations: usize,
    /// The source of the random choices (default: a random one, which is printed)
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

/// The servers beside the database, and the directory.
pub struct TrialEnvironment {
    pub dns: DnsServer,
    pub setup: ProcessSetup,
}

impl TrialEnvironment {
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
            setup: ProcessSetup {
                dns: dns_address,
                edge,
                folder,
            },
        })
    }

    /// Removes the directory with the logs and data, unless the trial failed: then the error names it.
    ///
    /// # Errors
    /// Those of the trial.
    pub fn end(&self, result: Result<(), String>) -> Result<(), String> {
        let folder = &self.setup.folder;
        result.map_err(|error| format!("{error}; the logs are in {}", folder.display()))?;
        let _ = std::fs::remove_dir_all(folder);
        Ok(())
    }
}

/// Prints the seed: that of the option, or a random one.
pub fn seed(given: Option<u64>) -> u64 {
    let seed = given.unwrap_or_else(|| shared::random::below(1_000_000).into());
    println!(
        "seed {seed}: fixes the operations and the sequence of random faults, not the order in which requests arrive (--help)"
    );
    seed
}

/// Runs a trial, and prints its report.
///
/// # Errors
/// It cannot be run, a process ends, a response is missing, an invariant is violated, or a trial of [`COVERING`] operations does
/// not cover everything.
pub async fn run(args: TrialArgs) -> Result<(), String> {
    let seed = seed(args.seed);
    let environment = TrialEnvironment::start().await?;
    environment.end(run_in(&environment, &args, seed).await)
}

async fn run_in(environment: &TrialEnvironment, args: &TrialArgs, seed: u64) -> Result<(), String> {
    let upstream = args.dynamodb_endpoint.unwrap_or_else(dynamodb::shared);
    let proxy = Proxy::start(upstream).await.map_err(|error| error.to_string())?;
    let mut processes = Vec::new();
    for number in 1..=args.processes {
        let name = format!("local-{number}");
        processes.push(environment.setup.start_with(&proxy, &name).await?);
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
    let mut rngs = [1, 2, 3].map(|number| load::rng(seed, u64::MAX - number));
    let [delays, of_sweeps, of_records] = &mut rngs;
    // Its end is that of the trial: a delivery in progress is not cancelled.
    let deliver_until_end = async {
        while !clients.is_empty() {
            sleep(DELIVER_EVERY).await;
            // Else the proxy would keep them all.
            requests += proxy.take_counts().values().sum::<usize>();
            if delays.random_bool(0.5) {
                late += deliver_delayed(&proxy).await?;
            }
            while let Some(ended) = clients.try_join_next() {
                ended.map_err(|error| error.to_string())?;
            }
        }
        Ok::<_, String>(())
    };
    tokio::select! {
        ended = deliver_until_end => ended?,
        never = environment::sweep(&addresses, of_sweeps, &sweeps) => match never {},
        never = environment::change_records(&environment.dns, &load, of_records) => match never? {},
        never = process::watch(&mut processes) => match never? {},
    }
    let duration = start.elapsed();

    injection::stop(&proxy);
    late += deliver_delayed(&proxy).await?;
    requests += quiet(&proxy).await;
    late += deliver_delayed(&proxy).await?;
    processes.iter_mut().try_for_each(Process::check_running)?;
    let client = dynamodb::client(&format!("http://{upstream}"), REGION);
    let table = TableItems::read(&client, TABLE).await?;
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
    let report = TrialReport {
        history: &history,
        faults: &faults,
        findings: &findings,
        sweeps: sweeps.into_inner().unwrap_or_default(),
        duration,
        more: vec![
            format!(
                "{requests} requests to DynamoDB, {late} of them applied after they were delivered later"
            ),
            format!("{} items in the table", table.items.len()),
        ],
    };
    println!("{report}");
    let uncovered = report.uncovered();
    let mut failures = [findings.violations.clone(), report.unanswered()].concat();
    match args.operations < COVERING {
        true => uncovered
            .iter()
            .for_each(|what| println!("  not covered: {what}")),
        false => failures.extend(uncovered),
    }
    report::verdict(&failures, seed)
}

async fn deliver_delayed(proxy: &Proxy) -> Result<usize, String> {
    let applied = proxy.deliver_delayed().await;
    applied.map_err(|error| format!("a delayed request was not delivered to DynamoDB: {error}"))
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
