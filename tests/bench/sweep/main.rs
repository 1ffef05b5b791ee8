//! Measures sweeps of 1,000, 10,000 and 100,000 due domains against NSD on this machine, and compares them with `dnsperf`
//! on the same queries. `.ci/bench` runs it.
//!
//! Times are printed and never fail. The benchmark fails if a sweep sends too many packets or requests, misses a domain,
//! or needs more memory for more domains.
//!
//! Why `dnsperf` is faster, by `perf` on two cores: a query costs 33 µs here, without writes. 17 µs of them are the
//! kernel's. A third of all is opening and closing a socket (`socket`, `bind`, `connect`, `epoll_ctl`, `close`): each query
//! has its own, because its source port must be random, and `dnsperf` keeps sixteen. Sending is an eighth, for `dnsperf`
//! too. The other 16 µs are names (parsed, compared, hashed, written in random case), messages, concurrency limits and
//! memory; none of them stands out. All of it is one thread, as in a function with one CPU; `dnsperf` sends in one thread
//! and receives in another.
//!
//! With its write a domain costs about 300 µs of the function's CPU time. A fifth is its two queries; the rest is the SDK's
//! reading and writing of the record. The embedded DynamoDB, on the same two cores, takes one to three times as much, and
//! limits the domains per second.

use std::{collections::BTreeMap, env, fmt::Display, process::ExitCode, time::Duration};

use shared::config::Config;

mod edge;
mod function;
mod growth;
mod internet;
mod process;
mod table;

use function::Measured;
use internet::{Batch, Internet};
use table::DueTable;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The domains of the largest sweep.
const LARGEST: u64 = 100_000;
/// The peak memory of a sweep over that of the smallest sweep is at most this.
const MEMORY_GROWTH: f64 = 1.2;
/// The queries for the edge's address, and for that of a random name below the target.
const EDGE_PACKETS: u64 = 4;
/// Rounds of observations and `dnsperf`, alternating.
const ROUNDS: usize = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match begin().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn begin() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let measured = match arguments.as_slice() {
        ["sweep"] => function::sweep().await?,
        ["observe"] => function::observe(Batch::shared(LARGEST)).await?,
        // As `cargo bench` calls it.
        ["--bench"] => return benchmark().await,
        ["growth", "--bench"] => return growth::benchmark().await,
        _ => return Err("cargo bench --package bench [-- growth]".into()),
    };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

async fn benchmark() -> Result<()> {
    let mut variables = variables();
    let names = config(&variables)?.names;
    let directory = env::temp_dir().join(format!("bench-{}", std::process::id()));
    let internet = Internet::start(directory, &names, LARGEST)?;
    variables.extend(internet.variables());
    let table = DueTable::start(&variables).await?;
    variables.extend(table.variables());
    let mut failures = sweeps(&internet, &table, &variables).await?;
    drop(table);
    failures.extend(rounds(&internet, &variables)?);
    result(&failures)
}

/// The configuration of a function with these variables.
fn config(variables: &BTreeMap<&'static str, String>) -> Result<Config> {
    Config::parse(&|name| variables.get(name).cloned()).map_err(|error| error.to_string().into())
}

/// An error with all failures, if there are any.
fn result(failures: &[String]) -> Result<()> {
    match failures {
        [] => Ok(()),
        _ => Err(failures.join("\n").into()),
    }
}

/// The part of the function's environment that all measurements share.
fn variables() -> BTreeMap<&'static str, String> {
    let variables = [
        ("TABLE_NAME", table::NAME),
        ("AUTH_ISSUER", "https://issuer.test/"),
        ("AUTH_AUDIENCE", "agency-api"),
        (
            "AUTH_HS256_SECRET",
            "a-secret-of-this-benchmark-that-nothing-else-has",
        ),
        ("PORTAL_DOMAIN", "portal.localhost"),
        ("AWS_REGION", "us-east-1"),
    ];
    variables.map(|(name, value)| (name, value.to_owned())).into()
}

/// Measures the sweeps. Returns each limit that one of them exceeded.
async fn sweeps(
    internet: &Internet,
    table: &DueTable,
    variables: &BTreeMap<&'static str, String>,
) -> Result<Vec<String>> {
    println!(
        "Sweeps of due domains that stay verified by their CNAME, in 1,000 zones on 100 name servers. With the edge, each has a\n\
         TLS handshake and a valid certificate:\n"
    );
    let root = internet.directory().join("root.pem");
    let port = edge::start(&root)?;
    let (mut variables, mut with_edge) = (variables.clone(), variables.clone());
    // Nothing listens on this port, so that a sweep soon stops asking.
    variables.insert("EDGE_PORT", "1".to_owned());
    with_edge.insert("EDGE_PORT", port.to_string());
    with_edge.insert("EDGE_ROOTS", root.display().to_string());
    row([
        "due",
        "domains/s",
        "packets",
        "requests",
        "peak memory",
        "",
        "CPU: own",
        "kernel",
        "DynamoDB",
        "NSD",
    ]);
    let mut failures = Vec::new();
    let mut smallest = [None; 2];
    for (name, batch, has_edge) in [
        ("1,000", Batch::shared(1_000), false),
        ("10,000", Batch::shared(10_000), false),
        ("100,000", Batch::shared(LARGEST), false),
        ("10,000 zones", Batch::own(10_000), false),
        ("1,000 edge", Batch::shared(1_000), true),
        ("10,000 edge", Batch::shared(10_000), true),
        ("100,000 edge", Batch::shared(LARGEST), true),
    ] {
        let variables = if has_edge { &with_edge } else { &variables };
        let first = &mut smallest[usize::from(has_edge)];
        table.add(batch).await?;
        // Reading NSD's statistics replaces its processes, so that the CPU time is read between the two readings.
        let packets = internet.packets()?;
        let before = (internet.cpu()?, table.cpu()?);
        let sweep = function::run(&["sweep"], variables)?;
        let (nsd, dynamodb) = (internet.cpu()? - before.0, table.cpu()? - before.1);
        let packets = internet.packets()? - packets;
        let growth = sweep.memory as f64 / *first.get_or_insert(sweep.memory) as f64;
        let each = |number: f64| number / batch.count as f64;
        let micros = |time: Duration| format!("{:.0} µs", each(time.as_secs_f64() * 1e6));
        row([
            name.to_owned(),
            format!("{:.0}", batch.count as f64 / sweep.time.as_secs_f64()),
            format!("{:.3}", each(packets as f64)),
            format!("{:.3}", each(sweep.requests as f64)),
            format!("{:.1} MiB", sweep.memory as f64 / 1024.0),
            format!("{growth:.2} x"),
            micros(sweep.user),
            micros(sweep.system),
            micros(dynamodb),
            micros(nsd),
        ]);

        let mut must = |holds: bool, failure: String| {
            if !holds {
                failures.push(format!("{name}: {failure}"));
            }
        };
        let Measured {
            checked,
            renewed,
            requests,
            ..
        } = sweep;
        must(
            checked == batch.count,
            format!("{checked} of {} checked", batch.count),
        );
        must(
            nearly_all(renewed, batch.count),
            format!("{renewed} of {} renewed", batch.count),
        );
        // 1 % may be retransmitted on a busy machine.
        let enough = batch.packets() * 101 / 100 + EDGE_PACKETS;
        must(
            packets <= enough,
            format!("{packets} packets, more than {enough}"),
        );
        // One write for each, one read for 100, and one query for 200 of a shard.
        let enough = batch.count * 102 / 100 + 64;
        must(
            requests <= enough,
            format!("{requests} requests, more than {enough}"),
        );
        must(
            growth <= MEMORY_GROWTH,
            format!("{growth:.2} times the memory of the smallest sweep"),
        );
    }
    Ok(failures)
}

/// Measures observations without a table and `dnsperf`, alternating. Returns each round that found too few proofs.
fn rounds(internet: &Internet, variables: &BTreeMap<&'static str, String>) -> Result<Vec<String>> {
    let batch = Batch::shared(LARGEST);
    println!(
        "\nThe 100,000 observed without a table, in one thread, and `dnsperf` with the same 200,000 queries, alternating:\n"
    );
    row([
        "",
        "queries/s",
        "dnsperf",
        "ratio",
        "",
        "",
        "CPU: own",
        "kernel",
        "",
        "NSD",
    ]);
    let mut failures = Vec::new();
    for round in 1..=ROUNDS {
        let before = internet.cpu()?;
        let observed = function::run(&["observe"], variables)?;
        let nsd = internet.cpu()? - before;
        let dnsperf = internet.dnsperf(batch, 2 * function::AT_ONCE)?;
        let queries = 2.0 * batch.count as f64;
        let rate = queries / observed.time.as_secs_f64();
        let micros = |time: Duration| format!("{:.1} µs", time.as_secs_f64() * 1e6 / queries);
        let none = String::new;
        row([
            format!("round {round}"),
            format!("{rate:.0}"),
            format!("{dnsperf:.0}"),
            format!("{:.2}", rate / dnsperf),
            none(),
            none(),
            micros(observed.user),
            micros(observed.system),
            none(),
            micros(nsd),
        ]);
        if !nearly_all(observed.renewed, batch.count) {
            failures.push(format!(
                "round {round}: {} of {} proven",
                observed.renewed, batch.count
            ));
        }
    }
    Ok(failures)
}

/// A few responses arrive too late when the machine stalls for longer than a query's timeout.
fn nearly_all(some: u64, all: u64) -> bool {
    some <= all && all - some <= all / 1_000
}

fn row(cells: [impl Display; 10]) {
    let line: String = cells.iter().map(|cell| format!("{cell:>12}")).collect();
    println!("{line}");
}
