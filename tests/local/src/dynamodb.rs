//! The embedded DynamoDB, in memory or in one file. The SDK uses it over HTTP, as it uses AWS.

use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
};
use dynoxide::Database;
use shared::app::direct_http;
use tokio::net::TcpListener;

use crate::template::TableDefinition;

/// Opens the database in a file, and creates the file and the table if they do not exist. The file is SQLite with a write-ahead
/// log: a write survives a kill once it has its response.
///
/// The embedded database creates a table in several transactions. So the table is created in a copy, which then replaces the
/// file: a kill leaves no part of a table.
///
/// # Errors
/// Another process has the lock of the file. The file cannot be opened or written, or is not such a database.
pub fn open(file: &Path, table: &str) -> Result<(Database, FileLock), String> {
    let name = file.display();
    let failed = |error: &dyn fmt::Display| format!("{name}: {error}");
    drop(create(file).map_err(|error| failed(&error))?);
    // The copy replaces the target of a symbolic link, and not the link.
    let file = file.canonicalize().map_err(|error| failed(&error))?;
    let path = file.to_str().ok_or_else(|| format!("{name} is not UTF-8"))?;
    let lock = FileLock::acquire(format!("{path}-lock").into()).map_err(|error| match error {
        TryLockError::WouldBlock => format!("{name} is in use by another process"),
        TryLockError::Error(error) => failed(&error),
    })?;
    let open = |path: &str| Database::new(path).map_err(|error| failed(&error));
    let copy = format!("{path}.new");
    // What a kill left.
    for file in [copy.clone(), format!("{copy}-wal"), format!("{copy}-shm")] {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&error)),
            _ => {}
        }
    }
    if file.metadata().map_err(|error| failed(&error))?.len() > 0 {
        let database = open(path)?;
        if matches!(database.get_table_metadata(table), Ok(Some(_))) {
            return Ok((database, lock));
        }
        database.vacuum_into(&copy).map_err(|error| failed(&error))?;
    }
    let definition = TableDefinition::from_template().map_err(|error| error.to_string())?;
    // Dropping the database moves its log into the copy.
    definition.create_in(&open(&copy)?, table)?;
    fs::rename(&copy, &file).map_err(|error| failed(&error))?;
    Ok((open(path)?, lock))
}

/// Opens a file, and creates it if there is none.
fn create(file: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(file)
}

/// The exclusive lock of a data file, until the drop. It is on an empty file beside it: on the data file itself it would conflict
/// with SQLite's own locks on BSD and macOS, and end when the copy replaces the file.
pub struct FileLock {
    path: PathBuf,
    _held: File,
}

impl FileLock {
    fn acquire(path: PathBuf) -> Result<Self, TryLockError> {
        let held = create(&path).map_err(TryLockError::Error)?;
        held.try_lock()?;
        // The last owner may have removed the file after it was opened here. Another process would create and lock a new file.
        match (path.metadata(), held.metadata()) {
            (Ok(there), Ok(here)) if there.ino() == here.ino() => Ok(Self { path, _held: held }),
            _ => Err(TryLockError::WouldBlock),
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // The next owner creates it again, or takes the one that is left.
    }
}

/// Serves `database` on `listener` until `shutdown` resolves and the open requests have their responses.
///
/// # Errors
/// The listener failed.
pub async fn serve(
    listener: TcpListener,
    database: Database,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), String> {
    dynoxide::server::serve_with_shutdown(listener, database, shutdown).await
}

/// The address of the one in-memory database of this process. The first call starts it, with a thread and a runtime of its
/// own, because the runtime of a test ends with the test.
///
/// # Panics
/// There is no free port or no thread, so no test can run.
#[allow(clippy::expect_used)] // See `Panics`.
pub fn shared() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener
            .set_nonblocking(true)
            .expect("a socket that can be non-blocking");
        let address = listener.local_addr().expect("a bound socket has an address");
        let database = Database::memory().expect("a database in memory");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        std::thread::spawn(move || {
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener on this runtime");
                serve(listener, database, std::future::pending())
                    .await
                    .expect("a listener that works");
            });
        });
        address
    })
}

/// A client of the database at `endpoint` (`http://127.0.0.1:8000`), with dummy credentials. `region` matters to emulators
/// that have separate tables for each region.
pub fn client(endpoint: &str, region: &str) -> Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(endpoint)
        .region(Region::new(region.to_owned()))
        .credentials_provider(Credentials::new("local", "local", None, None, "local"))
        .http_client(direct_http())
        .build();
    Client::from_conf(config)
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::{
        error::ProvideErrorMetadata,
        operation::{
            put_item::PutItemError, transact_write_items::TransactWriteItemsError,
            update_item::UpdateItemError,
        },
        types::{
            AttributeValue, KeysAndAttributes, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
            Update,
        },
    };
    use std::collections::HashMap;

    use super::*;
    use crate::environment::REGION;

    const TABLE: &str = "emulator";
    const OLD: ReturnValuesOnConditionCheckFailure = ReturnValuesOnConditionCheckFailure::AllOld;

    async fn table(name: &str) -> Client {
        let client = client(&format!("http://{}", shared()), REGION);
        TableDefinition::from_template()
            .unwrap()
            .create(&client, name)
            .await
            .unwrap();
        client
    }

    fn s(value: &str) -> AttributeValue {
        AttributeValue::S(value.into())
    }

    fn n(value: i64) -> AttributeValue {
        AttributeValue::N(value.to_string())
    }

    fn key(pk: &str, sk: &str) -> HashMap<String, AttributeValue> {
        HashMap::from([("PK".into(), s(pk)), ("SK".into(), s(sk))])
    }

    async fn put(client: &Client, pk: &str, sk: &str, extra: &[(&str, AttributeValue)]) {
        let item = key(pk, sk)
            .into_iter()
            .chain(extra.iter().map(|(k, v)| (k.to_string(), v.clone())));
        client
            .put_item()
            .table_name(TABLE)
            .set_item(Some(item.collect()))
            .send()
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_transaction_with_the_same_client_request_token_is_applied_once() {
        let client = table(TABLE).await;
        put(&client, "token", "A", &[("n", n(0))]).await;
        let add = || {
            Update::builder()
                .table_name(TABLE)
                .set_key(Some(key("token", "A")))
                .update_expression("ADD #n :one")
                .expression_attribute_names("#n", "n")
                .expression_attribute_values(":one", n(1))
        };
        for _ in 0..2 {
            client
                .transact_write_items()
                .client_request_token("one-token")
                .transact_items(
                    TransactWriteItem::builder()
                        .update(add().build().unwrap())
                        .build(),
                )
                .send()
                .await
                .unwrap();
        }
        let item = client
            .get_item()
            .table_name(TABLE)
            .set_key(Some(key("token", "A")))
            .send()
            .await
            .unwrap();
        assert_eq!(item.item().unwrap()["n"], n(1));

        let other = add().expression_attribute_values(":one", n(2)).build().unwrap();
        let error = client
            .transact_write_items()
            .client_request_token("one-token")
            .transact_items(TransactWriteItem::builder().update(other).build())
            .send()
            .await
            .unwrap_err();
        assert_eq!(error.code(), Some("IdempotentParameterMismatchException"));
    }

    #[tokio::test]
    async fn a_failed_condition_of_a_put_returns_the_existing_item() {
        let client = table(TABLE).await;
        put(&client, "old-put", "A", &[("v", n(7))]).await;
        let error = client
            .put_item()
            .table_name(TABLE)
            .set_item(Some(key("old-put", "A")))
            .condition_expression("attribute_not_exists(PK)")
            .return_values_on_condition_check_failure(OLD)
            .send()
            .await
            .unwrap_err()
            .into_service_error();
        let PutItemError::ConditionalCheckFailedException(error) = error else {
            panic!("{error:?}")
        };
        assert_eq!(error.item().unwrap()["v"], n(7));
    }

    #[tokio::test]
    async fn a_failed_condition_of_an_update_returns_the_existing_item() {
        let client = table(TABLE).await;
        put(&client, "old-update", "A", &[("v", n(7))]).await;
        let error = client
            .update_item()
            .table_name(TABLE)
            .set_key(Some(key("old-update", "A")))
            .update_expression("SET v = :new")
            .condition_expression("v = :old")
            .expression_attribute_values(":new", n(9))
            .expression_attribute_values(":old", n(8))
            .return_values_on_condition_check_failure(OLD)
            .send()
            .await
            .unwrap_err()
            .into_service_error();
        let UpdateItemError::ConditionalCheckFailedException(error) = error else {
            panic!("{error:?}")
        };
        assert_eq!(error.item().unwrap()["v"], n(7));
    }

    #[tokio::test]
    async fn a_failed_condition_cancels_a_transaction_and_names_its_item() {
        let client = table(TABLE).await;
        put(&client, "old", "A", &[("v", n(7))]).await;
        let put = |sk: &str| {
            Put::builder()
                .table_name(TABLE)
                .set_item(Some(key("old", sk)))
                .condition_expression("attribute_not_exists(PK)")
                .return_values_on_condition_check_failure(OLD)
                .build()
                .unwrap()
        };
        let error = client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().put(put("B")).build())
            .transact_items(TransactWriteItem::builder().put(put("A")).build())
            .send()
            .await
            .unwrap_err()
            .into_service_error();
        let TransactWriteItemsError::TransactionCanceledException(error) = error else {
            panic!("{error:?}")
        };
        let [first, second] = error.cancellation_reasons() else {
            panic!("{error:?}")
        };
        assert_eq!(first.code(), Some("None"));
        assert_eq!(second.code(), Some("ConditionalCheckFailed"));
        assert_eq!(second.item().unwrap()["v"], n(7));
        let absent = client
            .get_item()
            .table_name(TABLE)
            .set_key(Some(key("old", "B")))
            .send()
            .await
            .unwrap();
        assert_eq!(absent.item(), None);
    }

    #[tokio::test]
    async fn a_query_is_paged_in_both_directions() {
        let client = table(TABLE).await;
        for sk in ["A#1", "A#2", "A#3", "A#4", "B#1"] {
            put(&client, "page", sk, &[]).await;
        }

        let keys = KeysAndAttributes::builder()
            .keys(key("page", "A#1"))
            .keys(key("page", "none"))
            .keys(key("page", "B#1"))
            .consistent_read(true)
            .build()
            .unwrap();
        let batch = client
            .batch_get_item()
            .request_items(TABLE, keys)
            .send()
            .await
            .unwrap();
        assert_eq!(batch.responses().unwrap()[TABLE].len(), 2);

        let query = |start: Option<HashMap<String, AttributeValue>>, forward: bool| {
            client
                .query()
                .table_name(TABLE)
                .consistent_read(true)
                .key_condition_expression("PK = :pk AND SK BETWEEN :from AND :to")
                .expression_attribute_values(":pk", s("page"))
                .expression_attribute_values(":from", s("A#"))
                .expression_attribute_values(":to", s("A#~"))
                .scan_index_forward(forward)
                .set_exclusive_start_key(start)
                .limit(3)
                .send()
        };
        let sks = |items: &[HashMap<String, AttributeValue>]| {
            items
                .iter()
                .map(|item| item["SK"].as_s().unwrap().clone())
                .collect::<Vec<_>>()
        };
        let first = query(None, false).await.unwrap();
        assert_eq!(sks(first.items()), ["A#4", "A#3", "A#2"]);
        let second = query(first.last_evaluated_key().cloned(), false).await.unwrap();
        assert_eq!(sks(second.items()), ["A#1"]);
        assert_eq!(second.last_evaluated_key(), None);
        // A start key need not be the key of an item.
        let forward = query(Some(key("page", "A#1x")), true).await.unwrap();
        assert_eq!(sks(forward.items()), ["A#2", "A#3", "A#4"]);
    }

    #[tokio::test]
    async fn an_index_of_included_attributes_is_sparse_and_has_no_others() {
        let client = table(TABLE).await;
        let host = |name: &str| {
            [
                ("HOSTS", s("HOSTS")),
                ("HOST", s(name)),
                ("status", s("verified")),
                ("v", n(1)),
            ]
        };
        put(&client, "include", "B", &host("b.test")).await;
        put(&client, "include", "A", &host("a.test")).await;
        put(&client, "include", "C", &[("HOST", s("c.test"))]).await;
        let query = || {
            client
                .query()
                .table_name(TABLE)
                .index_name("hosts")
                .key_condition_expression("#hosts = :hosts AND #host > :after")
                .expression_attribute_names("#hosts", "HOSTS")
                .expression_attribute_names("#host", "HOST")
                .expression_attribute_values(":hosts", s("HOSTS"))
                .expression_attribute_values(":after", s("-"))
                .send()
        };
        let found = query().await.unwrap();
        let hosts: Vec<_> = found.items().iter().map(|item| item["HOST"].clone()).collect();
        assert_eq!(hosts, [s("a.test"), s("b.test")]);
        let mut names: Vec<_> = found.items()[0].keys().map(String::as_str).collect();
        names.sort();
        assert_eq!(names, ["HOST", "HOSTS", "PK", "SK", "status"]);
        let empty = client.put_item().table_name(TABLE);
        let empty = empty
            .set_item(Some(key("include", "D")))
            .item("HOST", s(""))
            .send();
        assert_eq!(empty.await.unwrap_err().code(), Some("ValidationException"));
    }

    #[tokio::test]
    async fn the_index_is_sparse_and_projects_only_keys() {
        let client = table(TABLE).await;
        let due = |at: &str| [("DUE", s("DUE#3")), ("DUEAT", s(at)), ("v", n(1))];
        put(&client, "sparse", "A", &due("2026-01-02T00:00:00Z")).await;
        put(&client, "sparse", "B", &due("2026-01-01T00:00:00Z")).await;
        put(&client, "sparse", "C", &[("v", n(1))]).await;
        let query = || {
            client
                .query()
                .table_name(TABLE)
                .index_name("due")
                .key_condition_expression("DUE = :due AND DUEAT <= :now")
                .expression_attribute_values(":due", s("DUE#3"))
                .expression_attribute_values(":now", s("2026-01-03T00:00:00Z"))
                .send()
        };
        let found = query().await.unwrap();
        let [first, second] = found.items() else {
            panic!("{found:?}")
        };
        assert_eq!((first["SK"].clone(), second["SK"].clone()), (s("B"), s("A")));
        let mut names: Vec<_> = first.keys().map(String::as_str).collect();
        names.sort();
        assert_eq!(names, ["DUE", "DUEAT", "PK", "SK"]);

        client
            .update_item()
            .table_name(TABLE)
            .set_key(Some(key("sparse", "B")))
            .update_expression("REMOVE DUE, DUEAT")
            .send()
            .await
            .unwrap();
        assert_eq!(query().await.unwrap().count(), 1);
    }
}
