//! The program `cargo local`: its output, its data file, its signals and exit status.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A failed step fails the test.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use local::{
    dynamodb,
    environment::{REGION, TABLE},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdout, Command},
    time::timeout,
};

const TIME_LIMIT: Duration = Duration::from_secs(30);

/// A running `cargo local` on free ports.
struct LocalServer {
    child: Child,
    welcome: String,
    /// Standard output after the welcome text, until it is closed.
    output: Option<Lines<BufReader<ChildStdout>>>,
}

impl LocalServer {
    async fn start(more: &[&str]) -> Self {
        Self::spawn(&mut program(&on_free_ports(more))).await
    }

    async fn spawn(program: &mut Command) -> Self {
        let mut child = program.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut welcome = String::new();
        while !welcome.contains("curl ") && !welcome.contains("Token     none") {
            let line = timeout(TIME_LIMIT, output.next_line()).await.unwrap().unwrap();
            welcome.push_str(&line.expect("a line"));
            welcome.push('\n');
        }
        Self {
            child,
            welcome,
            output: Some(output),
        }
    }

    /// The next line on standard output.
    async fn line(&mut self) -> String {
        let output = self.output.as_mut().expect("an open output");
        let line = timeout(TIME_LIMIT, output.next_line()).await.unwrap();
        line.unwrap().expect("a line")
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

    /// Sends a request with the printed token, and returns the body of its successful response.
    async fn curl(&self, path: &str, more: &[&str]) -> String {
        let url = format!("{}{path}", self.word("API"));
        let token = format!("authorization: Bearer {}", self.word("Token"));
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-f", "--noproxy", "*", &url, "-H", &token]);
        let output = run(curl.args(more)).await;
        assert!(output.status.success(), "{path}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Sends a `POST` with this JSON, and returns the response's JSON.
    async fn post(&self, path: &str, body: &str) -> Value {
        let json = ["-d", body, "-H", "content-type: application/json"];
        serde_json::from_str(&self.curl(path, &json).await).unwrap()
    }

    /// Runs the scheduled function as if it were this number of hours later.
    async fn reverify(&self, hours: &str) {
        let arguments = ["reverify", "--addr", self.word("http://"), "--in", hours];
        let output = run(&mut program(&arguments)).await;
        assert!(output.status.success(), "{output:?}");
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

/// The arguments of a server on free ports, unless `more` has the ports.
fn on_free_ports<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = more.to_vec();
    for option in ["--addr", "--dynamodb-addr", "--dns-addr"] {
        if !more.contains(&option) {
            arguments.extend([option, "127.0.0.1:0"]);
        }
    }
    arguments
}

/// The program without the variables of the shell that runs the tests.
fn program(arguments: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_local"));
    program
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    program
}

/// The writing end of a pipe whose reader has ended, as in `cargo local token | true`.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// The one line on standard error of a run that fails with this exit status.
async fn one_line(program: &mut Command, status: i32) -> String {
    let output = run(program).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{error}");
    assert!(error.starts_with("error: ") && error.ends_with('\n'), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(output.stdout.is_empty(), "{error}");
    error
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
    let output = run(Command::new("sh").args(["-c", &format!("{line} --silent --fail --noproxy '*'")])).await;
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
    server.post("/agency/enable", "").await;
    let domain = server
        .post(
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
    let domain = server.post(&verify, "").await;
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
    let line = server.line().await;
    assert!(line.ends_with(" portal.acme.test pending → verified"), "{line}");
}

#[tokio::test]
async fn the_changes_of_a_run_are_printed_unless_standard_output_is_closed() {
    let mut server = LocalServer::start(&[]).await;
    server.post("/agency/enable", "").await;
    let add = async |server: &LocalServer, name: &str| {
        let domain = format!("{{\"customDomain\": \"{name}.acme.test\"}}");
        server.post("/agency/portal-domains", &domain).await
    };
    add(&server, "one").await;
    // A domain that is never proven fails after a week.
    for hours in ["25", "192"] {
        server.reverify(hours).await;
    }
    let line = server.line().await;
    assert!(
        line.ends_with(" one.acme.test pending → failed (expired)"),
        "{line}"
    );

    server.output = None;
    let two = add(&server, "two").await;
    for hours in ["25", "192"] {
        server.reverify(hours).await;
    }
    let path = format!("/agency/portal-domains/{}", two["id"].as_str().unwrap());
    let two = server.curl(&path, &[]).await;
    assert!(two.contains("\"status\":\"failed\""), "{two}");
    assert_eq!(server.stop("-TERM").await, Some(0));
}

#[tokio::test]
async fn the_schedule_runs_unless_it_is_turned_off_or_the_table_is_in_aws() {
    for (options, expected) in [
        (&[][..], "Schedule  each minute"),
        (&["--no-schedule"], "Schedule  off: --no-schedule"),
        (
            &["--dynamodb-endpoint", "https://127.0.0.1:9"],
            "Schedule  off: the deployment",
        ),
    ] {
        let server = LocalServer::start(options).await;
        assert!(server.welcome.contains(expected), "{}", server.welcome);
        assert_eq!(server.stop("-TERM").await, Some(0));
    }
}

#[tokio::test]
async fn the_preview_is_served_at_every_host_name() {
    let server = LocalServer::start(&[]).await;
    let address = server.word("http://").to_owned();
    let port = address.rsplit_once(':').unwrap().1;
    let subdomain = format!("http://SUBDOMAIN.portal.localhost:{port}/preview");
    assert_eq!(server.word("Preview"), subdomain);
    for host in [
        &*format!("acme.portal.localhost:{port}"),
        "acme.portal.localhost",
        "portal.acme.test:80",
        "unknown.example",
        "[::1]:3000",
    ] {
        for (path, expected) in [
            ("/preview", "<title>"),
            ("/preview/preview.js", "/portal/branding"),
        ] {
            let body = server.curl(path, &["-H", &format!("host: {host}")]).await;
            assert!(body.contains(expected), "{host}{path}: {body}");
        }
    }
    // These names do not lead to this machine.
    let mut other = program(&on_free_ports(&[]));
    let other = LocalServer::spawn(other.env("PORTAL_DOMAIN", "portal.example.com")).await;
    let (preview, api) = (other.word("Preview"), other.word("API"));
    assert_eq!(preview, format!("{api}/preview?host=HOST"));
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
async fn a_kill_at_any_moment_of_the_first_start_leaves_a_file_that_works() {
    let folder = TempDir::new();
    let mut interrupted = 0;
    // The embedded database writes some 90 KB to its log until the table is complete.
    for written in (0..90_000).step_by(5_000) {
        let file = folder.file(&format!("{written}.db"));
        let log = |name: &str| std::fs::metadata(format!("{file}{name}-wal")).map_or(0, |log| log.len());
        let mut first = program(&on_free_ports(&["--data", &file])).spawn().unwrap();
        let started = Instant::now();
        while log("").max(log(".new")) < written && started.elapsed() < Duration::from_secs(1) {}
        first.kill().await.unwrap();
        // The copy exists from the start of the creation until it replaces the file.
        interrupted += usize::from(std::fs::exists(format!("{file}.new")).unwrap());

        let server = LocalServer::start(&["--data", &file]).await;
        server.curl("/agency/enable", &["-X", "POST"]).await;
        let domain = r#"{"customDomain": "portal.acme.test"}"#;
        let json = ["-d", domain, "-H", "content-type: application/json"];
        server.curl("/agency/portal-domains", &json).await;
        let list = server.curl("/agency/portal-domains", &[]).await;
        assert!(list.contains("portal.acme.test"), "{written}: {list}");
    }
    eprintln!("{interrupted} kills during the creation");
    assert!(interrupted > 0, "no kill was during the creation");
}

#[tokio::test]
async fn a_file_gets_each_table_that_it_does_not_have_and_keeps_the_others() {
    let folder = TempDir::new();
    let file = folder.file("data.db");
    std::fs::write(&file, "").unwrap();
    let left = folder.file("data.db.new");
    std::fs::write(&left, "what a kill left").unwrap();
    let server = LocalServer::start(&["--data", &file]).await;
    put(&server.database(), "kept").await;
    assert_eq!(server.stop("-KILL").await, None);

    let mut other = program(&on_free_ports(&["--data", &file]));
    let server = LocalServer::spawn(other.env("TABLE_NAME", "other")).await;
    assert!(has(&server.database(), "kept").await);
    let names = server.database().list_tables().send().await.unwrap();
    assert_eq!(names.table_names(), [TABLE, "other"]);
    assert_eq!(server.stop("-TERM").await, Some(0));
    assert!(!std::fs::exists(left).unwrap());
}

#[tokio::test]
async fn a_second_server_does_not_start_on_a_file_in_use() {
    let folder = TempDir::new();
    let file = folder.file("data.db");
    let link = folder.file("link.db");
    std::os::unix::fs::symlink("data.db", &link).unwrap();
    let first = LocalServer::start(&["--data", &link]).await;
    put(&first.database(), "before").await;
    for data in [&file, &link] {
        let mut second = program(&on_free_ports(&["--data", data]));
        let error = one_line(second.env("TABLE_NAME", "other"), 1).await;
        assert_eq!(
            error,
            format!("error: --data: {data} is in use by another process\n")
        );
    }
    put(&first.database(), "after").await;
    assert_eq!(first.stop("-TERM").await, Some(0));

    let mut other = program(&on_free_ports(&["--data", &link]));
    let other = LocalServer::spawn(other.env("TABLE_NAME", "other")).await;
    for item in ["before", "after"] {
        assert!(has(&other.database(), item).await, "{item}");
    }
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(other.stop("-TERM").await, Some(0));
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 2);
}

#[tokio::test]
async fn an_address_can_have_a_host_name_and_the_served_address_is_printed() {
    let at = |option| [option, "localhost:0"];
    let names = [at("--addr"), at("--dynamodb-addr"), at("--dns-addr")].concat();
    let server = LocalServer::start(&names).await;
    for address in [
        server.word("API       http://"),
        server.word("DynamoDB  http://"),
        server.word("DNS       "),
    ] {
        let address: SocketAddr = address.parse().unwrap();
        assert!(address.ip().is_loopback() && address.port() != 0, "{address}");
    }
    server.curl("/agency/enable", &["-X", "POST"]).await;
    let port = server.word("API").rsplit_once(':').unwrap().1;
    let output = run(&mut program(&[
        "reverify",
        "--addr",
        &format!("localhost:{port}"),
    ]))
    .await;
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn a_proxy_in_the_environment_is_not_used_for_this_machine() {
    let unusable = "http://127.0.0.1:9";
    let proxied = |program: &mut Command| {
        for name in [
            "http_proxy",
            "HTTP_PROXY",
            "https_proxy",
            "all_proxy",
            "ALL_PROXY",
        ] {
            program.env(name, unusable);
        }
    };
    let mut program = program(&on_free_ports(&[]));
    proxied(&mut program);
    let server = LocalServer::spawn(&mut program).await;
    server.curl("/agency/enable", &["-X", "POST"]).await;
    let address = server.word("http://");
    let mut reverify = self::program(&["reverify", "--addr", address]);
    proxied(&mut reverify);
    assert!(run(&mut reverify).await.status.success());
}

#[tokio::test]
async fn the_identity_provider_is_reached_through_the_proxy_of_the_environment() {
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut program = program(&on_free_ports(&[]));
    program
        .env("AUTH_JWKS_URL", "https://id.example.com/keys")
        .env("HTTPS_PROXY", format!("http://{}", proxy.local_addr().unwrap()));
    let server = LocalServer::spawn(&mut program).await;
    let request = async {
        // RS256, a kid, no claims and a wrong signature.
        let token = "authorization: Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.AAAA";
        let url = format!("{}/agency/overview", server.word("API"));
        let mut curl = Command::new("curl");
        run(curl.args(["-sS", "--noproxy", "*", &url, "-H", token])).await
    };
    let fetch = async {
        let (stream, _) = proxy.accept().await.unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.unwrap();
        line
    };
    let (_, line) = timeout(TIME_LIMIT, async { tokio::join!(request, fetch) })
        .await
        .unwrap();
    assert_eq!(line, "CONNECT id.example.com:443 HTTP/1.1\r\n");
}

#[tokio::test]
async fn an_unusable_option_is_one_line_and_a_failure() {
    let server = LocalServer::start(&[]).await;
    let taken = server.word("http://").to_owned();
    let folder = TempDir::new();
    let zone = folder.file("zone");
    std::fs::write(&zone, "a.test. A 192.0.2.1\nb.test. A nowhere\n").unwrap();
    for (option, value, expected) in [
        ("--addr", taken.as_str(), format!("{taken} (--addr)")),
        ("--dynamodb-addr", &taken, format!("{taken} (--dynamodb-addr)")),
        ("--dns-addr", &taken, format!("{taken} (--dns-addr)")),
        ("--data", folder.0.to_str().unwrap(), "--data".into()),
        ("--data", "/there/is/none", "/there/is/none".into()),
        ("--zone", &zone, "line 2".into()),
        ("--zone", "/there/is/none", "/there/is/none (--zone)".into()),
        (
            "--dynamodb-endpoint",
            "http://127.0.0.1:9",
            "http://127.0.0.1:9".into(),
        ),
    ] {
        let error = one_line(&mut program(&on_free_ports(&[option, value])), 1).await;
        assert!(error.contains(&expected), "{option}: {error}");
    }
}

#[tokio::test]
async fn an_argument_of_the_wrong_form_is_one_line_that_names_the_option_and_the_form() {
    let token = ["token", "--org", "org_a", "--role", "owner"];
    for (arguments, option, form) in [
        (&["--addr", "3000"][..], "--addr", "localhost:3000"),
        (&["--dns-addr", "localhost"], "--dns-addr", "127.0.0.1:3000"),
        (&["--dynamodb-addr", ":8000"], "--dynamodb-addr", "127.0.0.1:3000"),
        (
            &["--dynamodb-endpoint", "127.0.0.1:8000"],
            "--dynamodb-endpoint",
            "http://127.0.0.1:8000",
        ),
        (
            &["--dynamodb-endpoint", "ftp://127.0.0.1:8000"],
            "--dynamodb-endpoint",
            "http://127.0.0.1:8000",
        ),
        (&["reverify", "--addr", "here"], "--addr", "127.0.0.1:3000"),
        (&["reverify", "--addr", "127.0.0.1:0"], "--addr", "port 0"),
        (&["reverify", "--at", "tomorrow"], "--at", "<TIME>"),
        (&["reverify", "--in", "-1"], "-1", "unexpected"),
        (&["hosts", "--addr", "here"], "--addr", "127.0.0.1:3000"),
        (&["hosts", "--addr", "localhost:0"], "--addr", "port 0"),
        (&["hosts", "--limit", "0"], "--limit", "1..=1000"),
        (&["token", "--role", "owner"], "--org", "required"),
        (
            &["token", "--org", "org_a", "--role", "god"],
            "--role",
            "owner, admin, member",
        ),
        (&[&token[..], &["--ttl", "0"]].concat(), "--ttl", "1.."),
        (&[&token[..], &["--ttl", "-60"]].concat(), "--ttl", "1.."),
        (&["--nonsense"], "--nonsense", "unexpected"),
    ] {
        let error = one_line(&mut program(arguments), 2).await;
        assert!(
            error.contains(option) && error.contains(form),
            "{arguments:?}: {error}"
        );
    }
}

#[tokio::test]
async fn an_unusable_variable_is_one_line_that_names_it_and_leaves_no_file() {
    let folder = TempDir::new();
    let arguments = ["--data", &folder.file("data.db")];
    for (variable, value, form) in [
        ("TABLE_NAME", "a b", "3 to 255 letters"),
        ("AWS_REGION", "x y", "eu-central-1"),
        ("AWS_LAMBDA_LOG_LEVEL", "LOUD", "INFO"),
        ("PORTAL_DOMAIN", "com", "portal.example.com"),
        ("CERTIFICATE_AUTHORITIES", "letsencrypt", "letsencrypt.org"),
        ("DNS_RESOLVERS", ",", "between its commas"),
        ("DNS_RESOLVERS", "1.1.1.1", "1.1.1.1:53"),
        ("MAX_DOMAINS", "many", ""),
        ("MAX_DOMAINS", "0", ""),
    ] {
        let mut program = program(&on_free_ports(&arguments));
        let error = one_line(program.env(variable, value), 1).await;
        assert!(error.contains(variable) && error.contains(form), "{error}");
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0, "{error}");
    }
    let mut program = program(&on_free_ports(&[]));
    let error = one_line(program.env("AWS_ENDPOINT_URL_DYNAMODB", "127.0.0.1:8000"), 1).await;
    assert!(error.contains("http://127.0.0.1:8000"), "{error}");
}

#[tokio::test]
async fn a_closed_pipe_ends_no_command_with_an_error() {
    let mut program = program(&on_free_ports(&[]));
    let server = LocalServer::spawn(program.stderr(closed_pipe())).await;
    // Each request writes a line to the log.
    server.curl("/agency/enable", &["-X", "POST"]).await;
    let token = ["token", "--org", "org_a", "--role", "owner"];
    let reverify = ["reverify", "--addr", server.word("http://")];
    let hosts = ["hosts", "--addr", server.word("http://")];
    for arguments in [&token[..], &reverify, &hosts, &["--help"], &["token", "--help"]] {
        let output = run(self::program(arguments).stdout(closed_pipe())).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
    for (arguments, status) in [
        (&["--nonsense"][..], 2),
        (&["token", "--org", "a b", "--role", "owner"], 1),
    ] {
        let output = run(self::program(arguments).stderr(closed_pipe())).await;
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
    }
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
async fn the_token_command_prints_no_token_that_the_server_does_not_accept() {
    for (org, sub, reason) in [
        ("a b", "user_1", "organization"),
        ("org_a", "", "sub"),
        ("org_a", "user\u{202e}", "sub"),
    ] {
        let arguments = ["token", "--org", org, "--role", "owner", "--sub", sub];
        let error = one_line(&mut program(&arguments), 1).await;
        assert!(error.contains(reason), "{error}");
    }
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

    let error = one_line(&mut program(&["reverify", "--addr", &api]), 1).await;
    assert!(error.contains(&api), "{error}");
}

#[tokio::test]
async fn the_hosts_command_prints_one_page_of_the_hosts_of_the_running_server() {
    let server = LocalServer::start(&[]).await;
    let api = server.word("http://").to_owned();
    server.curl("/agency/enable", &["-X", "POST"]).await;
    for label in ["acme", "globex"] {
        let domain = json!({ "subdomain": label }).to_string();
        let body = ["-d", &domain, "-H", "content-type: application/json"];
        server.curl("/agency/portal-domains", &body).await;
    }
    let page = async |more: &[&str]| -> Value {
        let output = run(program(&["hosts", "--addr", &api]).args(more)).await;
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let all = page(&[]).await;
    assert_eq!(all["items"].as_array().unwrap().len(), 2);
    assert_eq!(all["nextCursor"], Value::Null);
    let first = page(&["--limit", "1"]).await;
    assert_eq!(first["items"][0]["hostname"], "acme.portal.localhost");
    let rest = page(&["--cursor", first["nextCursor"].as_str().unwrap()]).await;
    assert_eq!(
        rest,
        json!({"items": [all["items"][1].clone()], "nextCursor": null})
    );
    let error = one_line(&mut program(&["hosts", "--addr", &api, "--cursor", "x"]), 1).await;
    assert!(
        error.contains(" 400 ") && error.contains("invalid-cursor"),
        "{error}"
    );
    assert_eq!(server.stop("-TERM").await, Some(0));

    let error = one_line(&mut program(&["hosts", "--addr", &api]), 1).await;
    assert!(error.contains(&api), "{error}");
}
