//! The scale of the schedule's function: sweeps of 1,000, 10,000 and 100,000 due domains against NSD on this machine,
//! and beside them what `dnsperf` does with the same questions. `.ci/bench` runs it.
//!
//! Times are only compared. What fails is a count that is too high, a domain that was left out, and memory that grows.
//!
//! Where the rest of `dnsperf`'s rate goes, by `perf` on two cores: of the 33 µs that a question costs here, writes left
//! out, 17 µs are the kernel's. A third of all is the life of a socket (`socket`, `bind`, `connect`, `epoll_ctl`, `close`):
//! each question has one of its own, because its port must be a random one, where `dnsperf` keeps sixteen. Sending is an
//! eighth, which `dnsperf` pays too. The other 16 µs are ours: names (parsed, compared, hashed, written in random case),
//! messages, the gates that keep a server from being flooded, and memory; nothing among them stands out. All of it is one
//! thread, as in a function with one CPU; `dnsperf` sends in one and receives in another.
//!
//! With writes a domain costs some 400 µs of the function's CPU time, 66 µs of them for its two questions: the rest is its
//! record, read and written by the SDK. The embedded DynamoDB, a debug build on the same two cores, takes thrice as much,
//! and is what the domains per second are bounded by.

use std::{collections::BTreeMap, env, fmt::Display, process::ExitCode, time::Duration};

use shared::config::Config;

mod function;
mod internet;
mod process;
mod table;

use function::Measured;
use internet::{Batch, Internet, SHARED};
use table::Table;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A sweep may take so many times the memory of the smallest one.
const FLAT: f64 = 1.2;
/// So often looks and `dnsperf` take turns.
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
        ["looks"] => function::looks(Batch::shared(SHARED)).await?,
        // Cargo's own.
        [] | ["--bench"] => return benchmark().await,
        _ => return Err("cargo bench --package bench".into()),
    };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

async fn benchmark() -> Result<()> {
    let mut variables = variables();
    let names = Config::parse(&|name| variables.get(name).cloned());
    let names = names.map_err(|error| error.to_string())?.names;
    let directory = env::temp_dir().join(format!("bench-{}", std::process::id()));
    let internet = Internet::start(directory, &names)?;
    variables.extend(internet.variables());
    let table = Table::start(&variables).await?;
    variables.extend(table.variables());
    let mut failures = sweeps(&internet, &table, &variables).await?;
    drop(table);
    failures.extend(rounds(&internet, &variables)?);
    match failures.as_slice() {
        [] => Ok(()),
        _ => Err(failures.join("\n").into()),
    }
}

/// Of the function's environment, what is the same for all.
fn variables() -> BTreeMap<&'static str, String> {
    let variables = [
        ("TABLE_NAME", table::NAME),
        ("AUTH_ISSUER", "https://issuer.test/"),
        ("AUTH_AUDIENCE", "agency-api"),
        (
            "AUTH_HS256_SECRET",
            "no-request-is-ever-made-with-a-token-of-this",
        ),
        ("PORTAL_DOMAIN", "portal.localhost"),
        ("AWS_REGION", "us-east-1"),
    ];
    variables.map(|(name, value)| (name, value.to_owned())).into()
}

/// The sweeps; and what is wrong with them.
async fn sweeps(
    internet: &Internet,
    table: &Table,
    variables: &BTreeMap<&'static str, String>,
) -> Result<Vec<String>> {
    println!(
        "Sweeps of domains that are due for renewal, each proven by its CNAME. In 1,000 zones, 100 name servers:\n"
    );
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
    let mut first = None;
    for (name, batch) in [
        ("1,000", Batch::shared(1_000)),
        ("10,000", Batch::shared(10_000)),
        ("100,000", Batch::shared(SHARED)),
        ("10,000 zones", Batch::own(10_000)),
    ] {
        table.add(batch).await?;
        // NSD's processes are others after it was asked to count: their time is read within.
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
        // One in a hundred may be sent again, where the machine is busy.
        let enough = batch.packets() * 101 / 100;
        must(
            packets <= enough,
            format!("{packets} packets, where {enough} are enough"),
        );
        // They are written one by one, read by the hundred, and found by 200 of a shard.
        let enough = batch.count * 102 / 100 + 64;
        must(
            requests <= enough,
            format!("{requests} requests, where {enough} are enough"),
        );
        must(
            growth <= FLAT,
            format!("{growth:.2} times the memory of the smallest sweep"),
        );
    }
    Ok(failures)
}

/// Looks at DNS alone, and `dnsperf`, by turns; and what is wrong with them.
fn rounds(internet: &Internet, variables: &BTreeMap<&'static str, String>) -> Result<Vec<String>> {
    let batch = Batch::shared(SHARED);
    println!(
        "\nThe 100,000 without a table, in one thread, and `dnsperf` with the same 200,000 questions, by turns:\n"
    );
    row([
        "",
        "questions/s",
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
        let looks = function::run(&["looks"], variables)?;
        let nsd = internet.cpu()? - before;
        let dnsperf = internet.dnsperf(batch, 2 * function::AT_ONCE)?;
        let questions = 2.0 * batch.count as f64;
        let rate = questions / looks.time.as_secs_f64();
        let micros = |time: Duration| format!("{:.1} µs", time.as_secs_f64() * 1e6 / questions);
        let none = String::new;
        row([
            format!("round {round}"),
            format!("{rate:.0}"),
            format!("{dnsperf:.0}"),
            format!("{:.2}", rate / dnsperf),
            none(),
            none(),
            micros(looks.user),
            micros(looks.system),
            none(),
            micros(nsd),
        ]);
        if !nearly_all(looks.renewed, batch.count) {
            failures.push(format!(
                "round {round}: {} of {} proven",
                looks.renewed, batch.count
            ));
        }
    }
    Ok(failures)
}

/// Where the machine stands still for longer than a question may take, its answer comes too late.
fn nearly_all(some: u64, all: u64) -> bool {
    some <= all && all - some <= all / 1_000
}

fn row(cells: [impl Display; 10]) {
    let line: String = cells.iter().map(|cell| format!("{cell:>12}")).collect();
    println!("{line}");
}
