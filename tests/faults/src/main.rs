//! The fault trial: `.ci/faults` runs it.
//!
//! Clients of three agencies send every write of the API at once, to one or more processes of `cargo local` on one table. A proxy
//! injects DynamoDB's faults, sweeps run beside, and DNS records come and go. Then the table must satisfy the invariants.
//!
//! All choices come from the seed: the operations and their contents, when a client gives up and repeats, the sequence of faults.
//! Which request gets which fault, and which resource an operation names, also depends on the order in which requests arrive, which
//! differs from run to run.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod environment;
mod history;
mod http;
mod injection;
mod invariants;
mod kills;
mod load;
mod operations;
mod process;
mod report;
mod table;
mod trial;

/// Sends concurrent operations while DynamoDB fails, and checks the table
#[derive(Parser)]
#[command(bin_name = ".ci/faults", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    trial: trial::TrialArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Kills `cargo local --data FILE` under load and during its first start
    Kills(kills::KillArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::Kills(args)) => kills::run(args).await,
        None => trial::run(cli.trial).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
