//! A proxy between the SDK and the embedded DynamoDB. It counts requests and injects the faults that AWS has now and then and
//! the emulator never has.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    fmt, io,
    net::SocketAddr,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Map, Value, json};
use shared::store::keys;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

use crate::dns::ANY_PORT;

/// The kinds of faults. [`Fault`] has a constructor for each.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Effect {
    Conflict,
    Throttle,
    ServerError(u16, &'static str),
    LoseRequest,
    LoseAnswer,
    CutAnswer,
    Delay,
    Stall,
    Unprocessed,
    EndPage(usize),
}

/// A fault. By default it applies to the next request, once.
///
/// ```
/// use local::fault::Fault;
/// // The second and the third transaction conflict with another one.
/// let fault = Fault::conflict().on("TransactWriteItems").after(1).times(2);
/// ```
pub struct Fault {
    effect: Effect,
    matches: Matches,
    after: usize,
    times: usize,
}

type Matches = Box<dyn Fn(&str, &Value) -> bool + Send>;
type Chooser = Box<dyn FnMut(&str) -> Option<Fault> + Send>;

impl Fault {
    /// Another transaction holds the item: `TransactionCanceledException` with the reason `TransactionConflict` for the
    /// transaction's first item, `TransactionConflictException` for any other action. Nothing is applied.
    pub fn conflict() -> Self {
        Self::new(Effect::Conflict)
    }

    /// `ThrottlingException`; nothing is applied.
    pub fn throttle() -> Self {
        Self::new(Effect::Throttle)
    }

    /// `InternalServerError` with status 500; nothing is applied.
    pub fn internal_error() -> Self {
        Self::server_error(500, "InternalServerError")
    }

    /// An error with this status and code; nothing is applied.
    pub fn server_error(status: u16, code: &'static str) -> Self {
        Self::new(Effect::ServerError(status, code))
    }

    /// The connection closes before anything is applied.
    pub fn lose_request() -> Self {
        Self::new(Effect::LoseRequest)
    }

    /// The request is applied, then the connection closes without a response.
    pub fn lose_answer() -> Self {
        Self::new(Effect::LoseAnswer)
    }

    /// The request is applied, then the connection closes in the middle of the response.
    pub fn cut_answer() -> Self {
        Self::new(Effect::CutAnswer)
    }

    /// The connection closes. The request is applied by [`Proxy::deliver_delayed`], as one that the network held back.
    pub fn delay() -> Self {
        Self::new(Effect::Delay)
    }

    /// Nothing is applied, and no response comes until the client times out.
    pub fn stall() -> Self {
        Self::new(Effect::Stall)
    }

    /// A `BatchGetItem` returns the first key's item only. The other keys are `UnprocessedKeys`.
    pub fn unprocessed() -> Self {
        Self::new(Effect::Unprocessed).on("BatchGetItem")
    }

    /// A `Query` ends after this many rows, with a `LastEvaluatedKey`, as DynamoDB may do at any time.
    pub fn end_page(rows: usize) -> Self {
        Self::new(Effect::EndPage(rows)).on("Query")
    }

    fn new(effect: Effect) -> Self {
        Self {
            effect,
            matches: Box::new(|_, _| true),
            after: 0,
            times: 1,
        }
    }

    /// Applies to this action only (`PutItem`, `TransactWriteItems`, …).
    #[must_use]
    pub fn on(self, action: &str) -> Self {
        let action = action.to_owned();
        self.when(move |requested, _| requested == action)
    }

    /// Adds a condition on the action and the request's JSON.
    #[must_use]
    pub fn when(self, condition: impl Fn(&str, &Value) -> bool + Send + 'static) -> Self {
        let before = self.matches;
        Self {
            matches: Box::new(move |action, body| before(action, body) && condition(action, body)),
            ..self
        }
    }

    /// Skips this number of matching requests first.
    #[must_use]
    pub fn after(self, requests: usize) -> Self {
        Self {
            after: requests,
            ..self
        }
    }

    /// Applies to this number of matching requests.
    #[must_use]
    pub fn times(self, requests: usize) -> Self {
        Self {
            times: requests,
            ..self
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} after {}, times {}", self.effect, self.after, self.times)
    }
}

/// A running proxy. Dropping it closes it and its connections.
pub struct Proxy {
    address: SocketAddr,
    upstream: SocketAddr,
    state: Arc<ProxyState>,
    accepting: AbortHandle,
}

/// A request to DynamoDB.
#[derive(Clone, Debug)]
pub struct Request {
    /// `PutItem`, `Query`, …
    pub action: String,
    /// The request's JSON.
    pub body: Value,
}

impl Request {
    /// The IAM actions that the request needs, once for each item. A transaction needs the actions of its parts.
    pub fn permissions(&self) -> Vec<String> {
        let part = |part: &Value| {
            let kind = part.as_object().and_then(|part| part.keys().next());
            format!("{}Item", kind.map_or("", String::as_str))
        };
        match self.action.as_str() {
            "TransactWriteItems" | "TransactGetItems" => {
                let parts = self.body["TransactItems"].as_array().into_iter().flatten();
                parts.map(part).collect()
            }
            "BatchGetItem" => {
                let tables = self.body["RequestItems"].as_object().into_iter().flatten();
                let keys = tables.filter_map(|(_, table)| table["Keys"].as_array());
                vec![self.action.clone(); keys.map(Vec::len).sum()]
            }
            action => vec![action.to_owned()],
        }
    }

    /// The index that a query reads.
    pub fn index(&self) -> Option<&str> {
        self.body["IndexName"].as_str()
    }

    /// Whether it is a transaction, which consumes twice the capacity units.
    pub fn is_transaction(&self) -> bool {
        self.action.starts_with("Transact")
    }
}

#[derive(Default)]
struct ProxyState {
    requests: Mutex<Vec<Request>>,
    faults: Mutex<Vec<Fault>>,
    chooser: Mutex<Option<Chooser>>,
    delayed: Mutex<VecDeque<HttpMessage>>,
    transactions: Mutex<Transactions>,
}

/// The transactions in progress, if they take time.
#[derive(Default)]
struct Transactions {
    duration_ms: Option<RangeInclusive<u64>>,
    started: u64,
    conflicts: usize,
    keys: HashSet<String>,
}

impl Proxy {
    /// Listens on a free port and forwards to the database at `upstream`.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(ANY_PORT).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(ProxyState::default());
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                // An error closes the connection, which the client sees.
                connections.spawn(forward(client, upstream, Arc::clone(&shared)));
            }
        })
        .abort_handle();
        Ok(Self {
            address,
            upstream,
            state,
            accepting,
        })
    }

    /// The address at which the proxy listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of requests since the start or the last `take_…`, with those that had a fault and the SDK's retries.
    pub fn count(&self) -> usize {
        lock(&self.state.requests).len()
    }

    /// The number of requests by action. Resets the count.
    pub fn take_counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for request in self.take_requests() {
            *counts.entry(request.action).or_default() += 1;
        }
        counts
    }

    /// The requests, oldest first. Resets the count.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut lock(&self.state.requests))
    }

    /// Makes each transaction last this long, in milliseconds. As in DynamoDB, a write of an item that is in a transaction in
    /// progress conflicts with it. (The emulator applies a transaction at once.) A request whose response is lost or cut, or that is
    /// delivered later, also takes this time and conflicts.
    pub fn make_transactions_last(&self, duration_ms: RangeInclusive<u64>) {
        lock(&self.state.transactions).duration_ms = Some(duration_ms);
    }

    /// The number of requests that conflicted with a transaction in progress, if transactions last.
    pub fn conflicts(&self) -> usize {
        lock(&self.state.transactions).conflicts
    }

    /// Sends the requests with the fault [`Fault::delay`] to the database, the oldest first. Returns how many were applied, and not
    /// refused.
    ///
    /// # Errors
    /// The connection fails. The next call sends the request again, and those after it.
    pub async fn deliver_delayed(&self) -> io::Result<usize> {
        let (count, mut applied) = (lock(&self.state.delayed).len(), 0);
        for _ in 0..count {
            let Some(request) = lock(&self.state.delayed).pop_front() else {
                break;
            };
            match self.deliver(&request).await {
                Ok(is_applied) => applied += usize::from(is_applied),
                Err(error) => {
                    lock(&self.state.delayed).push_front(request);
                    return Err(error);
                }
            }
        }
        Ok(applied)
    }

    async fn deliver(&self, request: &HttpMessage) -> io::Result<bool> {
        let mut server = BufReader::new(TcpStream::connect(self.upstream).await?);
        let response = self.state.apply(request, &mut server).await?;
        Ok(response.head.split(' ').nth(1) == Some("200"))
    }

    /// Asks `choose` for the fault of each request to which no injected fault applies, by its action.
    pub fn choose_faults(&self, choose: impl FnMut(&str) -> Option<Fault> + Send + 'static) {
        *lock(&self.state.chooser) = Some(Box::new(choose));
    }

    /// Adds a fault. If several match a request, only the oldest one counts and applies.
    pub fn inject(&self, fault: Fault) {
        lock(&self.state.faults).push(fault);
    }

    /// The faults that still have to apply. Empty at the end of a test in which every fault occurred.
    pub fn pending(&self) -> Vec<String> {
        lock(&self.state.faults)
            .iter()
            .map(|fault| format!("{fault:?}"))
            .collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl ProxyState {
    fn record(&self, request: &HttpMessage) -> Option<Effect> {
        let (action, body) = (request.action(), request.json());
        lock(&self.requests).push(Request {
            action: action.to_owned(),
            body: body.clone(),
        });
        let mut faults = lock(&self.faults);
        let Some(index) = faults.iter().position(|fault| (fault.matches)(action, &body)) else {
            let chosen = lock(&self.chooser).as_mut()?(action)?;
            return (chosen.matches)(action, &body).then_some(chosen.effect);
        };
        let fault = faults.get_mut(index)?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        let effect = fault.effect;
        fault.times = fault.times.saturating_sub(1);
        if fault.times == 0 {
            faults.remove(index);
        }
        Some(effect)
    }
}

impl ProxyState {
    /// Sends a request to the database. A transaction lasts as long as [`Proxy::make_transactions_last`] says. The response to a
    /// request that conflicts with one in progress is the proxy's.
    async fn apply(
        self: &Arc<Self>,
        request: &HttpMessage,
        server: &mut BufReader<TcpStream>,
    ) -> io::Result<HttpMessage> {
        match self.begin(request) {
            Ok(Some((transaction, duration))) => {
                let response = request.exchange(server).await?;
                tokio::time::sleep(duration).await;
                drop(transaction);
                Ok(response)
            }
            Ok(None) => request.exchange(server).await,
            Err(conflict) => Ok(conflict),
        }
    }

    /// Starts a transaction that takes time, and tells how long. `None` for any other request.
    ///
    /// # Errors
    /// The response to a write of an item that is in a transaction in progress.
    fn begin(self: &Arc<Self>, request: &HttpMessage) -> Result<Option<(InProgress, Duration)>, HttpMessage> {
        let mut transactions = lock(&self.transactions);
        let Some(duration_ms) = transactions.duration_ms.clone() else {
            return Ok(None);
        };
        let keys = written_keys(request);
        let in_progress = |key| transactions.keys.contains(key);
        let conflicting: Vec<_> = keys.iter().map(in_progress).collect();
        if conflicting.contains(&true) {
            transactions.conflicts += 1;
            return Err(conflict(request, &conflicting));
        }
        if request.action() != TRANSACTION {
            return Ok(None);
        }
        transactions.keys.extend(keys.iter().cloned());
        transactions.started += 1;
        // Multiples of the golden ratio are spread evenly, and the same in each run.
        let fraction = (transactions.started as f64 * 0.618_034).fract();
        let length = duration_ms.end() - duration_ms.start() + 1;
        let duration = duration_ms.start() + (fraction * length as f64) as u64;
        let state = Arc::clone(self);
        Ok(Some((
            InProgress { state, keys },
            Duration::from_millis(duration),
        )))
    }
}

/// A transaction in progress. It ends when this is dropped.
struct InProgress {
    state: Arc<ProxyState>,
    keys: Vec<String>,
}

impl Drop for InProgress {
    fn drop(&mut self) {
        let mut transactions = lock(&self.state.transactions);
        for key in &self.keys {
            transactions.keys.remove(key);
        }
    }
}

const TRANSACTION: &str = "TransactWriteItems";

/// The keys of the items that a request writes, those of a transaction in the order of its items.
fn written_keys(request: &HttpMessage) -> Vec<String> {
    let body = request.json();
    let key = |write: &Value| {
        let item = write.get("Key").or(write.get("Item"))?;
        Some(format!("{} {}", item["PK"]["S"], item["SK"]["S"]))
    };
    match request.action() {
        TRANSACTION => {
            let writes = body["TransactItems"].as_array().into_iter().flatten();
            // An item without a key would shift the reasons of a cancellation. The SDK sends none.
            let key = |write: &Value| write.as_object()?.values().next().and_then(key);
            writes.map(|write| key(write).unwrap_or_default()).collect()
        }
        "PutItem" | "UpdateItem" | "DeleteItem" => key(&body).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn forward(client: TcpStream, upstream: SocketAddr, state: Arc<ProxyState>) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let mut server = BufReader::new(TcpStream::connect(upstream).await?);
    client.get_ref().set_nodelay(true)?;
    server.get_ref().set_nodelay(true)?;
    while let Some(request) = HttpMessage::read(&mut client).await? {
        let effect = state.record(&request);
        let request = begin_again(request);
        let response = match effect {
            None => state.apply(&request, &mut server).await?,
            Some(Effect::Delay) => {
                lock(&state.delayed).push_back(request);
                return Ok(());
            }
            Some(Effect::LoseRequest) => return Ok(()),
            Some(Effect::LoseAnswer) => {
                state.apply(&request, &mut server).await?;
                return Ok(());
            }
            Some(Effect::CutAnswer) => {
                let response = state.apply(&request, &mut server).await?;
                let bytes = [response.head.as_bytes(), &response.body].concat();
                let (start, _) = bytes.split_at(bytes.len() / 2);
                return client.get_mut().write_all(start).await;
            }
            Some(Effect::Stall) => {
                // Returns when the client closes the connection.
                client.read_u8().await?;
                return Ok(());
            }
            Some(Effect::Unprocessed) => {
                let (processed, unprocessed) = split_batch(request.json());
                let response = request.with(&processed).exchange(&mut server).await?;
                let mut body = response.json();
                body["UnprocessedKeys"] = unprocessed;
                response.with(&body)
            }
            Some(Effect::EndPage(rows)) => {
                let response = request.exchange(&mut server).await?;
                response.with(&end_page(response.json(), rows, &request.json()))
            }
            Some(Effect::Conflict) => conflict(&request, &[true]),
            Some(Effect::Throttle) => error_response(
                400,
                json!({
                    "__type": "com.amazon.coral.availability#ThrottlingException",
                    "message": "Rate of requests exceeds the allowed throughput.",
                }),
            ),
            Some(Effect::ServerError(status, code)) => error_response(
                status,
                json!({
                    "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"),
                    "message": "The request processing has failed because of an unknown error",
                }),
            ),
        };
        response.write(client.get_mut()).await?;
    }
    Ok(())
}

/// The sort key of a page's end before its first row.
const BEFORE_FIRST: &str = "before the first row";

/// A page of a query with at most this many rows, and the key of the last one.
fn end_page(mut page: Value, rows: usize, request: &Value) -> Value {
    let mut items: Vec<Value> = serde_json::from_value(page["Items"].take()).unwrap_or_default();
    items.truncate(rows);
    page["LastEvaluatedKey"] = match items.last() {
        Some(last) => key_of(last, request["IndexName"].as_str()),
        None if request["ExclusiveStartKey"].is_object() => request["ExclusiveStartKey"].clone(),
        None => json!({"PK": {"S": BEFORE_FIRST}, "SK": {"S": BEFORE_FIRST}}),
    };
    page["Count"] = items.len().into();
    page["Items"] = items.into();
    page
}

/// The key of a row: that of the table and, in an index, that of the index too.
fn key_of(row: &Value, index: Option<&str>) -> Value {
    let own = match index {
        Some(keys::DUE_INDEX) => &[keys::DUE, keys::DUE_AT][..],
        Some(keys::HOSTS_INDEX) => &[keys::HOSTS, keys::HOST],
        _ => &[],
    };
    let names = [keys::PK, keys::SK].iter().chain(own);
    let key: Map<_, _> = names
        .map(|name| ((*name).to_owned(), row[*name].clone()))
        .collect();
    key.into()
}

/// The request without an `ExclusiveStartKey` that [`end_page`] made up.
fn begin_again(request: HttpMessage) -> HttpMessage {
    let mut body = request.json();
    if body["ExclusiveStartKey"]["SK"]["S"] != BEFORE_FIRST {
        return request;
    }
    if let Some(body) = body.as_object_mut() {
        body.remove("ExclusiveStartKey");
    }
    request.with(&body)
}

/// A `BatchGetItem` of the first key of each table, and the keys that it leaves out.
fn split_batch(mut request: Value) -> (Value, Value) {
    let mut unprocessed = request["RequestItems"].clone();
    for table in request["RequestItems"]
        .as_object_mut()
        .into_iter()
        .flat_map(Map::values_mut)
    {
        if let Some(keys) = table["Keys"].as_array_mut() {
            keys.truncate(1);
        }
    }
    for table in unprocessed.as_object_mut().into_iter().flat_map(Map::values_mut) {
        if let Some(keys) = table["Keys"].as_array_mut() {
            keys.drain(..keys.len().min(1));
        }
    }
    (request, unprocessed)
}

/// The response to a write that conflicts with a transaction. `conflicting` tells which of its items do.
fn conflict(request: &HttpMessage, conflicting: &[bool]) -> HttpMessage {
    if request.action() == TRANSACTION {
        return transaction_conflict(&request.json(), conflicting);
    }
    error_response(
        400,
        json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionConflictException",
            "message": "Transaction is ongoing for the item",
        }),
    )
}

/// The response to a transaction of which these items are in another transaction.
fn transaction_conflict(request: &Value, conflicting: &[bool]) -> HttpMessage {
    let items = request["TransactItems"].as_array().map_or(0, Vec::len);
    let reason = |index| match conflicting.get(index) {
        Some(true) => {
            json!({ "Code": "TransactionConflict", "Message": "Transaction is ongoing for the item" })
        }
        _ => json!({ "Code": "None" }),
    };
    let reasons: Vec<_> = (0..items).map(reason).collect();
    let codes: Vec<_> = reasons
        .iter()
        .filter_map(|reason| reason["Code"].as_str())
        .collect();
    error_response(
        400,
        json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": format!(
                "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
                codes.join(", ")
            ),
            "CancellationReasons": reasons,
        }),
    )
}

fn error_response(status: u16, body: Value) -> HttpMessage {
    let body = body.to_string().into_bytes();
    let head = format!(
        "HTTP/1.1 {status} \r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    HttpMessage { head, body }
}

/// An HTTP/1.1 request or response with `content-length`. The SDK and the emulator send no other kind.
struct HttpMessage {
    /// Start line and headers, with the empty line at the end.
    head: String,
    body: Vec<u8>,
}

impl HttpMessage {
    /// Reads the next message. `None` if the connection closed before it.
    async fn read(from: &mut BufReader<TcpStream>) -> io::Result<Option<Self>> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if from.read_line(&mut head).await? == 0 {
                return if head.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
        let mut message = Self {
            head,
            body: Vec::new(),
        };
        let length = message
            .header("content-length")
            .and_then(|length| length.parse().ok())
            .unwrap_or(0);
        message.body.resize(length, 0);
        from.read_exact(&mut message.body).await?;
        Ok(Some(message))
    }

    async fn write(&self, to: &mut TcpStream) -> io::Result<()> {
        to.write_all(&[self.head.as_bytes(), &self.body].concat()).await
    }

    async fn exchange(&self, server: &mut BufReader<TcpStream>) -> io::Result<Self> {
        self.write(server.get_mut()).await?;
        Self::read(server)
            .await?
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// A copy with another body.
    fn with(&self, body: &Value) -> Self {
        let body = body.to_string().into_bytes();
        let (length, checksum) = ("content-length", "x-amz-crc32"); // The checksum of the old body.
        let lines = self.head.trim_end().split("\r\n").filter(|line| {
            let name = line.split(':').next().unwrap_or_default();
            ![length, checksum]
                .iter()
                .any(|other| name.eq_ignore_ascii_case(other))
        });
        let mut head: String = lines.flat_map(|line| [line, "\r\n"]).collect();
        head.push_str(&format!("{length}: {}\r\n\r\n", body.len()));
        Self { head, body }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().filter_map(|line| line.split_once(':'));
        headers
            .into_iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// `PutItem` of `X-Amz-Target: DynamoDB_20120810.PutItem`.
    fn action(&self) -> &str {
        self.header("x-amz-target")
            .and_then(|target| target.split_once('.'))
            .map_or("", |(_, action)| action)
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use aws_sdk_dynamodb::{
        Client,
        config::{retry::RetryConfig, timeout::TimeoutConfig},
        error::{ProvideErrorMetadata, SdkError},
        operation::transact_write_items::TransactWriteItemsError,
        types::{AttributeValue, KeysAndAttributes, Put, TransactWriteItem},
    };

    use super::*;
    use crate::{dynamodb, environment::REGION, template::TableDefinition};

    /// A client that uses a proxy and makes this number of attempts.
    async fn through(table: &str, attempts: u32) -> (Client, Proxy) {
        let direct = dynamodb::client(&format!("http://{}", dynamodb::shared()), REGION);
        TableDefinition::from_template()
            .unwrap()
            .create(&direct, table)
            .await
            .unwrap();
        let proxy = Proxy::start(dynamodb::shared()).await.unwrap();
        let client = dynamodb::client(&format!("http://{}", proxy.address()), REGION);
        let retries = RetryConfig::standard()
            .with_max_attempts(attempts)
            .with_initial_backoff(Duration::from_millis(1));
        let timeouts = TimeoutConfig::builder()
            .operation_timeout(Duration::from_millis(500))
            .build();
        let config = client
            .config()
            .to_builder()
            .retry_config(retries)
            .timeout_config(timeouts)
            .build();
        (Client::from_conf(config), proxy)
    }

    fn s(value: &str) -> AttributeValue {
        AttributeValue::S(value.into())
    }

    async fn has(client: &Client, table: &str, pk: &str) -> bool {
        let get = client
            .get_item()
            .table_name(table)
            .key("PK", s(pk))
            .key("SK", s("A"));
        get.send().await.unwrap().item.is_some()
    }

    #[tokio::test]
    async fn requests_are_counted_by_action() {
        let (client, proxy) = through("fault-counts", 1).await;
        client
            .put_item()
            .table_name("fault-counts")
            .item("PK", s("p"))
            .item("SK", s("A"))
            .send()
            .await
            .unwrap();
        assert!(has(&client, "fault-counts", "p").await);
        assert!(!has(&client, "fault-counts", "q").await);
        assert_eq!(proxy.count(), 3);
        let counts = proxy.take_counts();
        assert_eq!(
            counts,
            BTreeMap::from([("GetItem".into(), 2), ("PutItem".into(), 1)])
        );
        assert_eq!(proxy.count(), 0);
    }

    #[test]
    fn a_transaction_needs_the_permissions_of_its_parts() {
        let request = |action: &str, body| Request {
            action: action.to_owned(),
            body,
        };
        let transaction =
            json!({"TransactItems": [{"Put": {}}, {"Update": {}}, {"Delete": {}}, {"ConditionCheck": {}}]});
        let transaction = request("TransactWriteItems", transaction);
        assert_eq!(
            transaction.permissions(),
            ["PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem"]
        );
        assert!(transaction.is_transaction());
        let reads = request("TransactGetItems", json!({"TransactItems": [{"Get": {}}]}));
        assert_eq!(reads.permissions(), ["GetItem"]);
        let batch = request("BatchGetItem", json!({"RequestItems": {"t": {"Keys": [{}, {}]}}}));
        assert_eq!(batch.permissions(), ["BatchGetItem", "BatchGetItem"]);
        let query = request("Query", json!({"IndexName": "due"}));
        assert_eq!(
            (query.permissions(), query.index()),
            (vec!["Query".to_owned()], Some("due"))
        );
    }

    #[tokio::test]
    async fn an_unprocessed_fault_returns_one_key_and_the_requests_are_recorded() {
        let (client, proxy) = through("fault-unprocessed", 1).await;
        let keys = ["p", "q", "r"].map(|pk| HashMap::from([("PK".into(), s(pk)), ("SK".into(), s("A"))]));
        for key in &keys {
            let put = client.put_item().table_name("fault-unprocessed");
            put.set_item(Some(key.clone())).send().await.unwrap();
        }
        proxy.take_requests();
        proxy.inject(Fault::unprocessed());
        let asked = KeysAndAttributes::builder()
            .set_keys(Some(keys.to_vec()))
            .consistent_read(true)
            .build()
            .unwrap();
        let get = client.batch_get_item().request_items("fault-unprocessed", asked);
        let answer = get.send().await.unwrap();
        assert_eq!(answer.responses.unwrap()["fault-unprocessed"], keys[..1]);
        let left = &answer.unprocessed_keys.unwrap()["fault-unprocessed"];
        assert_eq!(left.keys, keys[1..]);
        assert_eq!(left.consistent_read, Some(true));
        let requests = proxy.take_requests();
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].action, "BatchGetItem");
        let asked = &requests[0].body["RequestItems"]["fault-unprocessed"];
        assert_eq!(asked["Keys"].as_array().unwrap().len(), 3);
        assert_eq!(proxy.count(), 0);
    }

    #[tokio::test]
    async fn the_sdk_recognizes_a_transaction_conflict_and_does_not_retry_it() {
        let (client, proxy) = through("fault-conflict", 3).await;
        let put = |pk: &str| {
            let put = Put::builder()
                .table_name("fault-conflict")
                .item("PK", s(pk))
                .item("SK", s("A"));
            TransactWriteItem::builder().put(put.build().unwrap()).build()
        };
        let send = || {
            client
                .transact_write_items()
                .transact_items(put("p"))
                .transact_items(put("q"))
                .send()
        };
        proxy.inject(Fault::conflict().on("TransactWriteItems").after(1));
        send().await.unwrap();
        let error = send().await.unwrap_err().into_service_error();
        let TransactWriteItemsError::TransactionCanceledException(error) = error else {
            panic!("{error:?}")
        };
        let codes: Vec<_> = error
            .cancellation_reasons()
            .iter()
            .map(|reason| reason.code())
            .collect();
        assert_eq!(codes, [Some("TransactionConflict"), Some("None")]);
        assert_eq!(proxy.take_counts()["TransactWriteItems"], 2);
        send().await.unwrap();
        assert_eq!(proxy.pending(), [""; 0]);
    }

    #[tokio::test]
    async fn a_transaction_whose_response_is_lost_lasts_and_the_item_that_conflicts_is_reported() {
        let (client, proxy) = through("fault-lasting", 1).await;
        let put = |pk: &str| {
            let put = Put::builder().table_name("fault-lasting");
            let put = put.item("PK", s(pk)).item("SK", s("A")).build().unwrap();
            TransactWriteItem::builder().put(put).build()
        };
        let send = |keys: &[&str]| {
            let items = keys.iter().map(|key| put(key)).collect();
            client
                .transact_write_items()
                .set_transact_items(Some(items))
                .send()
        };
        // Longer than the test: the client times out.
        proxy.make_transactions_last(3_600_000..=3_600_000);
        for (fault, key) in [(Fault::lose_answer(), "p"), (Fault::cut_answer(), "q")] {
            proxy.inject(fault);
            assert!(matches!(send(&[key]).await, Err(SdkError::TimeoutError(_))));
            assert!(has(&client, "fault-lasting", key).await);
        }
        let error = send(&["r", "p", "s", "q"])
            .await
            .unwrap_err()
            .into_service_error();
        let TransactWriteItemsError::TransactionCanceledException(error) = error else {
            panic!("{error:?}")
        };
        let reasons = error.cancellation_reasons().iter();
        let codes: Vec<_> = reasons.map(|reason| reason.code().unwrap()).collect();
        assert_eq!(
            codes,
            ["None", "TransactionConflict", "None", "TransactionConflict"]
        );
        assert_eq!(proxy.conflicts(), 1);
        proxy.inject(Fault::delay());
        send(&["t", "p"]).await.unwrap_err();
        assert_eq!(proxy.deliver_delayed().await.unwrap(), 0);
        assert!(!has(&client, "fault-lasting", "t").await);
        assert_eq!(proxy.conflicts(), 2);
    }

    #[tokio::test]
    async fn a_delayed_request_that_cannot_be_delivered_remains() {
        // It accepts connections and closes them.
        let database = TcpListener::bind(ANY_PORT).await.unwrap();
        let proxy = Proxy::start(database.local_addr().unwrap()).await.unwrap();
        tokio::spawn(async move { while database.accept().await.is_ok() {} });
        lock(&proxy.state.delayed).extend(["first", "second"].map(|name| HttpMessage {
            head: format!("POST /{name} HTTP/1.1\r\n\r\n"),
            body: Vec::new(),
        }));
        for _ in 0..2 {
            proxy.deliver_delayed().await.unwrap_err();
            let delayed = lock(&proxy.state.delayed);
            let names: Vec<_> = delayed
                .iter()
                .filter_map(|request| request.head.split(' ').nth(1))
                .collect();
            assert_eq!(names, ["/first", "/second"]);
        }
    }

    #[tokio::test]
    async fn the_sdk_retries_throttling_and_internal_errors() {
        let (client, proxy) = through("fault-codes", 1).await;
        let put = || {
            client
                .put_item()
                .table_name("fault-codes")
                .item("PK", s("p"))
                .item("SK", s("A"))
                .send()
        };
        for (fault, code) in [
            (Fault::throttle(), "ThrottlingException"),
            (Fault::internal_error(), "InternalServerError"),
            (Fault::conflict(), "TransactionConflictException"),
        ] {
            proxy.inject(fault);
            assert_eq!(put().await.unwrap_err().code(), Some(code));
        }
        assert!(!has(&client, "fault-codes", "p").await);

        let (client, proxy) = through("fault-codes", 3).await;
        proxy.inject(Fault::throttle());
        proxy.inject(Fault::internal_error());
        client
            .put_item()
            .table_name("fault-codes")
            .item("PK", s("p"))
            .item("SK", s("A"))
            .send()
            .await
            .unwrap();
        assert_eq!(proxy.count(), 3);
    }

    #[tokio::test]
    async fn a_write_is_applied_if_its_response_is_lost_and_not_if_the_request_is_lost() {
        let (client, proxy) = through("fault-lost", 1).await;
        let put = |pk: &str| {
            client
                .put_item()
                .table_name("fault-lost")
                .item("PK", s(pk))
                .item("SK", s("A"))
                .send()
        };
        proxy.inject(Fault::lose_answer().when(|_, body| body["Item"]["PK"]["S"] == "applied"));
        proxy.inject(Fault::lose_request().on("PutItem"));
        assert!(matches!(put("not").await, Err(SdkError::DispatchFailure(_))));
        assert!(matches!(put("applied").await, Err(SdkError::DispatchFailure(_))));
        assert!(has(&client, "fault-lost", "applied").await);
        assert!(!has(&client, "fault-lost", "not").await);
        proxy.inject(Fault::stall());
        assert!(matches!(put("stalled").await, Err(SdkError::TimeoutError(_))));
        assert!(!has(&client, "fault-lost", "stalled").await);
        proxy.inject(Fault::cut_answer());
        put("cut").await.unwrap_err();
        assert!(has(&client, "fault-lost", "cut").await);
        proxy.inject(Fault::delay());
        put("delayed").await.unwrap_err();
        assert!(!has(&client, "fault-lost", "delayed").await);
        assert_eq!(proxy.deliver_delayed().await.unwrap(), 1);
        assert!(has(&client, "fault-lost", "delayed").await);
    }

    #[tokio::test]
    async fn a_fault_is_chosen_for_each_request_to_which_no_injected_one_applies() {
        let (client, proxy) = through("fault-chosen", 1).await;
        let mut requests = 0;
        proxy.choose_faults(move |action| {
            requests += 1;
            // The last one does not apply to this action.
            match (action, requests) {
                ("GetItem", 1) => Some(Fault::throttle()),
                ("GetItem", 2) => None,
                _ => Some(Fault::end_page(1)),
            }
        });
        let get = || {
            let get = client.get_item().table_name("fault-chosen");
            get.key("PK", s("p")).key("SK", s("A")).send()
        };
        assert_eq!(get().await.unwrap_err().code(), Some("ThrottlingException"));
        get().await.unwrap();
        proxy.inject(Fault::internal_error());
        assert_eq!(get().await.unwrap_err().code(), Some("InternalServerError"));
        get().await.unwrap();
    }
}
