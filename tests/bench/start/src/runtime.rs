//! A stand-in of the Lambda runtime API, for one function at a time.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Instant};

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
    task::JoinSet,
};

use crate::Result;

/// What a function does, in its order.
enum RuntimeStep {
    /// It asks for the next invocation.
    Next(Instant),
    /// It sent the response to an invocation.
    Response(Instant, Bytes),
    /// It reported an error.
    Error(String),
}

/// A running API. Dropping it closes it.
pub struct RuntimeApi {
    /// Its address.
    pub address: SocketAddr,
    events: mpsc::UnboundedSender<Bytes>,
    steps: mpsc::UnboundedReceiver<RuntimeStep>,
    _connections: JoinSet<()>,
}

struct Shared {
    events: Mutex<mpsc::UnboundedReceiver<Bytes>>,
    steps: mpsc::UnboundedSender<RuntimeStep>,
}

impl RuntimeApi {
    /// Listens on a free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (events, receiver) = mpsc::unbounded_channel();
        let (sender, steps) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            events: Mutex::new(receiver),
            steps: sender,
        });
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                // Otherwise the kernel delays the second packet of a response.
                let _ = stream.set_nodelay(true);
                let shared = Arc::clone(&shared);
                let service = service_fn(move |request| answer(Arc::clone(&shared), request));
                // The end of a connection is the end of the function.
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self {
            address,
            events,
            steps,
            _connections: connections,
        })
    }

    /// Waits until the function asks for an invocation.
    ///
    /// # Errors
    /// The function reports an error instead.
    pub async fn next(&mut self) -> Result<Instant> {
        match self.steps.recv().await {
            Some(RuntimeStep::Next(at)) => Ok(at),
            Some(RuntimeStep::Error(error)) => Err(error.into()),
            Some(RuntimeStep::Response(..)) | None => Err("no invocation was asked for".into()),
        }
    }

    /// Gives the waiting function an event. Returns when its response arrived, and the response. The function then waits again.
    ///
    /// # Errors
    /// The function reports an error instead.
    pub async fn invoke(&mut self, event: Bytes) -> Result<(Instant, Bytes)> {
        self.events.send(event)?;
        let response = match self.steps.recv().await {
            Some(RuntimeStep::Response(at, body)) => (at, body),
            Some(RuntimeStep::Error(error)) => return Err(error.into()),
            Some(RuntimeStep::Next(_)) | None => return Err("no response was sent".into()),
        };
        self.next().await?;
        Ok(response)
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    if request.method() == Method::GET {
        // The receiver ends with the measurement.
        let _ = shared.steps.send(RuntimeStep::Next(Instant::now()));
        let event = shared.events.lock().await.recv().await.unwrap_or_default();
        return Ok(invocation(event));
    }
    let is_response = request.uri().path().ends_with("/response");
    let body = request.into_body().collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let step = match is_response {
        true => RuntimeStep::Response(Instant::now(), body),
        false => RuntimeStep::Error(String::from_utf8_lossy(&body).into_owned()),
    };
    let _ = shared.steps.send(step);
    let mut accepted = Response::default();
    *accepted.status_mut() = StatusCode::ACCEPTED;
    Ok(accepted)
}

/// An event with the headers that Lambda sends beside it.
fn invocation(event: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(event));
    for (name, value) in [
        (
            "lambda-runtime-aws-request-id",
            "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        ),
        // The year 2100, in milliseconds.
        ("lambda-runtime-deadline-ms", "4102444800000"),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-central-1:123456789012:function:measured",
        ),
        (
            "lambda-runtime-trace-id",
            "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0",
        ),
        ("content-type", "application/json"),
    ] {
        response
            .headers_mut()
            .insert(name, http::HeaderValue::from_static(value));
    }
    response
}
