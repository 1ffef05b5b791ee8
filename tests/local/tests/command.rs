//! The program `cargo local`: its output, its data file, its signals and exit status.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A failed step fails the test.

use std::{
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use local::{
    dynamodb,
    environment::{REGION, TABLE},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

const TIME_LIMIT: Duration = Duration::from_secs(30);

/// A running `cargo local` on free ports.
struct LocalServer {
    child: Child,
    welcome: String,
}

impl LocalServer {
    async fn start(more: &[&str]) -> Self {
        let mut child = program(
            &[
                &[
                    "--addr",
                    "127.0.0.1:0",
                    "--dynamodb-addr",
                    "127.0.0.1:0",
                    "--dns-addr",
                    "127.0.0.1:0",
                ],
                more,
            ]
            .concat(),
        )
        .spawn()
        .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut welcome = String::new();
        while !welcome.contains("curl ") {
            let line = timeout(TIME_LIMIT, lines.next_line()).await.unwrap().unwrap();
            welcome.push_str(&line.expect("a line"));
            welcome.push('\n');
        }
        Self { child, welcome }
    }

    /// The word after this one in the output at the start.
    fn word(&self, after: &str) -> &str {
        self.welcome
            .split_once(after)
            .unwrap()
            .1
            .split_whitespace()
            .next()
            .unwrap()
    }

    fn database(&self) -> Client {
        dynamodb::client(self.word("DynamoDB"), REGION)
    }

    /// Sends a signal and returns the exit status.
    async fn stop(mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().unwrap().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .await
                .unwrap()
                .success()
        );
        timeout(TIME_LIMIT, self.child.wait())
            .await
            .unwrap()
            .unwrap()
            .code()
    }
}

fn program(arguments: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_local"));
    program
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    // The variables of the shell that runs the tests must not change the defaults.
    for name in [
        "AWS_ENDPOINT_URL_DYNAMODB",
        "DNS_RESOLVERS",
        "DNS_MODE",
        "DNS_AUTHORITY_PORT",
        "AUTH_JWKS",
        "AUTH_JWKS_URL",
        "TABLE_NAME",
    ] {
        program.env_remove(name);
    }
    program
}

async fn run(program: &mut Command) -> Output {
    timeout(TIME_LIMIT, program.output()).await.unwrap().unwrap()
}

struct TempDir(PathBuf);

impl TempDir {
    fn new() -> Self {
        let path = std::env::temp_dir().join(uuid::Uuid::new_v4().to_string());
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn put(client: &Client, pk: &str) {
    let put = client.put_item().table_name(TABLE);
    put.item("PK", AttributeValue::S(pk.into()))
        .item("SK", AttributeValue::S("A".into()))
        .send()
        .await
        .unwrap();
}

async fn has(client: &Client, pk: &str) -> bool {
    let get = client.get_item().table_name(TABLE);
    let get = get
        .key("PK", AttributeValue::S(pk.into()))
        .key("SK", AttributeValue::S("A".into()));
    get.send().await.unwrap().item.is_some()
}

#[tokio::test]
async fn the_printed_curl_command_works_when_pasted() {
    let server = LocalServer::start(&[]).await;
    let line = server
        .welcome
        .lines()
        .find(|line| line.starts_with("curl "))
        .unwrap();
    let output = run(Command::new("sh").args(["-c", &format!("{line} --silent --fail")])).await;
    assert!(output.status.success(), "{line}\n{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("org_demo"));
}

#[tokio::test]
async fn a_record_in_the_zone_file_proves_a_domain() {
    let folder = TempDir::new();
    let zone = folder.file("zone.txt");
    let servers = "acme.test. NS ns-1.awsdns-01.com.\nacme.test. NS ns-2.awsdns-02.net.\n";
    std::fs::write(&zone, servers).unwrap();
    let mut server = LocalServer::start(&["--zone", &zone]).await;
    let mut log = BufReader::new(server.child.stderr.take().unwrap()).lines();
    let post = async |path: &str, body: &str| -> Value {
        let url = format!("{}{path}", server.word("API"));
        let token = format!("authorization: Bearer {}", server.word("Token"));
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-f", "-d", body, &url, "-H", &token, "-H"]);
        let output = run(curl.arg("content-type: application/json")).await;
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{path}: {output:?}"))
    };
    post("/agency/enable", "").await;
    let domain = post(
        "/agency/portal-domains",
        r#"{"customDomain": "portal.acme.test"}"#,
    )
    .await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (name, value) = (
        text(&domain["records"][0]["name"]),
        text(&domain["records"][0]["value"]),
    );
    std::fs::write(&zone, format!("{servers}{name}. TXT \"{value}\"\n")).unwrap();
    let reloaded = async {
        while let Some(line) = log.next_line().await.unwrap() {
            if line.ends_with(": loaded") {
                return;
            }
        }
        panic!("the server ended")
    };
    timeout(TIME_LIMIT, reloaded).await.unwrap();
    let verify = format!("/agency/portal-domains/{}/verify", text(&domain["id"]));
    let domain = post(&verify, "").await;
    let check = &domain["check"];
    assert_eq!(domain["status"], "verified", "{domain}");
    assert_eq!(
        (&check["zone"], &check["provider"]),
        (&json!("acme.test"), &json!("Route 53"))
    );
    assert_eq!(
        check["nameservers"],
        json!(["ns-1.awsdns-01.com", "ns-2.awsdns-02.net"])
    );
    assert_eq!(domain["records"][0]["host"], "_agency-challenge.portal");
}

#[tokio::test]
async fn data_in_a_file_survives_a_kill_and_a_clean_exit_leaves_one_file() {
    let folder = TempDir::new();
    let file = folder.file("data.db");
    let server = LocalServer::start(&["--data", &file]).await;
    put(&server.database(), "before").await;
    assert_eq!(server.stop("-KILL").await, None);

    let server = LocalServer::start(&["--data", &file]).await;
    assert!(has(&server.database(), "before").await);
    put(&server.database(), "after").await;
    assert_eq!(server.stop("-TERM").await, Some(0));
    let files: Vec<_> = std::fs::read_dir(&folder.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(files, ["data.db"]);

    let server = LocalServer::start(&["--data", &file]).await;
    assert!(has(&server.database(), "after").await);
    assert_eq!(server.stop("-INT").await, Some(0));
}

#[tokio::test]
async fn two_servers_may_share_a_database() {
    let first = LocalServer::start(&[]).await;
    put(&first.database(), "shared").await;
    let endpoint = first.word("DynamoDB").to_owned();
    let second = LocalServer::start(&["--dynamodb-endpoint", &endpoint]).await;
    assert_eq!(second.word("DynamoDB"), endpoint);
    assert!(has(&second.database(), "shared").await);
    assert_eq!(second.stop("-TERM").await, Some(0));
    assert!(has(&first.database(), "shared").await);
}

#[tokio::test]
async fn an_unusable_option_or_variable_is_one_line_and_a_failure() {
    let server = LocalServer::start(&[]).await;
    let taken = server.word("http://").to_owned();
    let free = [
        "--addr",
        "127.0.0.1:0",
        "--dynamodb-addr",
        "127.0.0.1:0",
        "--dns-addr",
        "127.0.0.1:0",
    ];
    let folder = TempDir::new();
    let zone = folder.file("zone");
    std::fs::write(&zone, "a.test. A 192.0.2.1\nb.test. A nowhere\n").unwrap();
    for (option, value, expected) in [
        ("--addr", taken.as_str(), format!("{taken} (--addr)")),
        ("--dynamodb-addr", &taken, format!("{taken} (--dynamodb-addr)")),
        ("--dns-addr", &taken, format!("{taken} (--dns-addr)")),
        ("--data", folder.0.to_str().unwrap(), "--data".into()),
        ("--zone", &zone, "line 2".into()),
        ("--zone", "/there/is/none", "/there/is/none (--zone)".into()),
        (
            "--dynamodb-endpoint",
            "http://127.0.0.1:9",
            "http://127.0.0.1:9".into(),
        ),
    ] {
        let mut arguments = free.to_vec();
        match arguments.iter().position(|argument| *argument == option) {
            Some(index) => arguments[index + 1] = value,
            None => arguments.extend([option, value]),
        }
        let output = run(&mut program(&arguments)).await;
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{option}: {error}");
        assert!(
            error.starts_with("error: ") && error.contains(&expected),
            "{option}: {error}"
        );
        assert_eq!(error.lines().count(), 1, "{option}: {error}");
    }

    let output = run(program(&free).env("MAX_DOMAINS", "many")).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), error.lines().count()),
        (Some(1), 1),
        "{error}"
    );
    assert!(error.contains("MAX_DOMAINS"), "{error}");
}

#[tokio::test]
async fn the_token_command_prints_only_the_token() {
    let output = run(&mut program(&[
        "token", "--org", "org_a", "--role", "admin", "--ttl", "60",
    ]))
    .await;
    let token = String::from_utf8(output.stdout).unwrap();
    assert_eq!((token.lines().count(), token.matches('.').count()), (1, 2));
    assert!(output.stderr.is_empty() && output.status.success());
}

#[tokio::test]
async fn the_reverify_command_prints_the_report_of_one_run() {
    let server = LocalServer::start(&[]).await;
    let api = server.word("API").strip_prefix("http://").unwrap().to_owned();
    for more in [&[][..], &["--at", "2030-01-01T00:00:00Z"], &["--in", "25"]] {
        let output = run(program(&["reverify", "--addr", &api]).args(more)).await;
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let report = String::from_utf8(output.stdout).unwrap();
        assert!(
            report.starts_with('{') && report.contains("\"oldestDueSeconds\": 0"),
            "{report}"
        );
    }
    assert_eq!(server.stop("-TERM").await, Some(0));

    let output = run(&mut program(&["reverify", "--addr", &api])).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), error.lines().count()),
        (Some(1), 1),
        "{error}"
    );
    assert!(error.contains(&api), "{error}");
}
