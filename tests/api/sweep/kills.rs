//! A sweep whose process is killed.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use ::reverify::{Selection, sweep};
use local::{dynamodb, environment::Environment};
use shared::{
    app::{App, Clock},
    config::Config,
};
use verification::Network;

use super::{LONG, counts, domains, entries, serve, system};
use crate::harness::{Api, DAY, MINUTE};

/// This process's argument to run [`one_sweep`].
const ONE_SWEEP: &str = "sweep::kills::one_sweep";

/// The process that is killed: one sweep, configured by its environment.
#[tokio::test]
#[ignore = "the test of kills runs it, in a process of its own"]
async fn one_sweep() {
    let set = |name: &str| std::env::var(name).ok();
    let dns = set("SWEEP_DNS").unwrap().parse().unwrap();
    let at: i64 = set("SWEEP_AT").unwrap().parse().unwrap();
    let environment = Environment::new(&set).dns(dns);
    let config = Config::parse(&|name| environment.get(name)).unwrap();
    let mut app = App::new(config).await;
    app.clock = Clock::Set(Arc::new(at.into()));
    let network = Network::new(&app.config).unwrap();
    println!("it begins");
    sweep(&app, &network, &Selection::default(), LONG).await.unwrap();
}

/// Sweeps in another process, and kills it this long after the sweep began. Returns whether the sweep had ended.
async fn sweep_and_kill(api: &Api, after: Duration) -> bool {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process
        .args(["--exact", ONE_SWEEP, "--ignored", "--nocapture"])
        .env("TABLE_NAME", api.table())
        .env(
            "AWS_ENDPOINT_URL_DYNAMODB",
            format!("http://{}", dynamodb::shared()),
        )
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .env("SWEEP_DNS", api.dns.address().to_string())
        .env("SWEEP_AT", api.app.clock.now().millis().to_string())
        .stdout(Stdio::piped());
    let killed = move || {
        let mut child = process.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(output.any(|line| line.unwrap().contains("it begins")));
        std::thread::sleep(after);
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert!(status.success() || status.signal() == Some(9), "{status}");
        status.success()
    };
    tokio::task::spawn_blocking(killed).await.unwrap()
}

#[tokio::test]
async fn a_kill_at_any_moment_loses_no_check_and_applies_none_twice() {
    let api = Api::build(system()).await;
    let domains = domains(&api, 12).await;
    api.advance(2 * MINUTE);
    let whole = Duration::from_millis(api.reverify().await.ms);
    let (mut cut_off, mut partly) = (0, 0);
    for round in 0..50_u64 {
        let present = round % 2 == 1;
        serve(&api, if present { &domains } else { &[] });
        api.advance(2 * DAY);
        // Spread over the duration of a sweep.
        let done = sweep_and_kill(&api, whole * (round * 17 % 50) as u32 / 40).await;
        cut_off += usize::from(!done);
        let report = api.reverify().await;
        assert_eq!(report.left, 0);
        partly += usize::from(!done && report.checked > 0 && report.checked < 12);
        let expected = if present { "verified" } else { "failing" };
        for domain in &domains {
            let domain = api.now(domain).await;
            assert_eq!(domain["status"], expected, "round {round}");
            assert_eq!(domain["check"]["attempts"], round + 2, "round {round}");
        }
    }
    assert_eq!(entries(&api, &domains, "domain.failing").await, vec![25; 12]);
    assert_eq!(entries(&api, &domains, "domain.verified").await, vec![26; 12]);
    counts(&api, &domains).await;
    eprintln!("killed {cut_off} of 50, {partly} of them with a part of the work done");
    assert!(cut_off > 10 && partly > 0);
}
