//! The fault trial: `.ci/faults` runs it.
//!
//! Clients of three agencies send every write of the API at once, to one or more processes of `cargo local` on one table. A proxy
//! injects DynamoDB's faults, sweeps run beside, and DNS records come and go. Then the table must satisfy the invariants. `SEED` says
//! what a seed repeats.

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

/// What a seed repeats, for `--help`.
const SEED: &str = "\
With the same options, the seed fixes each operation by its number (its kind, its agency and its contents; for each attempt the
process, how long the client waits, and the pause after it), and the sequences of random numbers for the proxy's faults, the
sweeps, the DNS records and the kills. It does not fix the order in which requests arrive, and what follows from it: which client
sends an operation, which resource it names, which request gets which fault, and the responses. So a second run with the same seed
is similar, not equal.";

/// Sends concurrent operations while DynamoDB fails, and checks the table
#[derive(Parser)]
#[command(bin_name = ".ci/faults", after_help = SEED, args_conflicts_with_subcommands = true)]
struct TrialCli {
    #[command(subcommand)]
    command: Option<TrialCommand>,
    #[command(flatten)]
    trial: trial::TrialArgs,
}

#[derive(Subcommand)]
enum TrialCommand {
    /// Kills `cargo local --data FILE` under load and during its first start
    #[command(after_help = SEED)]
    Kills(kills::KillArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = TrialCli::parse();
    let result = match cli.command {
        Some(TrialCommand::Kills(args)) => kills::run(args).await,
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
