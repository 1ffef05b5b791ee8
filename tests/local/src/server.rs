//! The HTTP listener of the local gateway, with time limits for connections and bodies.

use std::{pin::pin, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    serve::Listener,
};
use http::{StatusCode, header::CONNECTION};
use http_body_util::BodyExt;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, time::timeout};

/// How long a connection may be idle, and how long a request's header and its body may take. API Gateway's integrations have the
/// same limit.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest body that API Gateway accepts, in bytes.
const MAX_BODY: usize = 10 * 1024 * 1024;

/// Serves `router` until `shutdown` resolves and the open requests have their responses. `idle_timeout` limits how long a
/// connection may be idle, and how long a request's header and its body may take.
pub async fn serve(
    mut listener: TcpListener,
    router: Router,
    idle_timeout: Duration,
    shutdown: impl Future<Output = ()>,
) {
    let read_body = from_fn(move |request, next| read_body(request, next, idle_timeout));
    let service = TowerToHyperService::new(router.layer(read_body));
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(idle_timeout);
    let connections = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, _) = tokio::select! {
            accepted = Listener::accept(&mut listener) => accepted,
            () = &mut shutdown => break,
        };
        let connection = builder.serve_connection(TokioIo::new(stream), service.clone());
        let connection = connections.watch(connection.into_owned());
        tokio::spawn(async { connection.await.ok() }); // A broken connection concerns only its client.
    }
    drop(listener);
    connections.shutdown().await;
}

/// Passes a request on when its whole body is here, as API Gateway does. A response that precedes the end of the body would close
/// the connection while the client sends, and the client could lose the response.
async fn read_body(request: Request, next: Next, idle_timeout: Duration) -> Response {
    let (parts, body) = request.into_parts();
    let status = match timeout(idle_timeout, collect(body)).await {
        Ok(Ok(Some(bytes))) => return next.run(Request::from_parts(parts, bytes.into())).await,
        Ok(Ok(None)) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Ok(Err(_)) => StatusCode::BAD_REQUEST,
        Err(_) => StatusCode::REQUEST_TIMEOUT,
    };
    (status, [(CONNECTION, "close")]).into_response()
}

/// The whole body, or `None` if it is larger than [`MAX_BODY`]. It is read to its end then too.
async fn collect(mut body: Body) -> Result<Option<Vec<u8>>, axum::Error> {
    let mut whole = Some(Vec::new());
    while let Some(frame) = body.frame().await.transpose()? {
        let data = frame.into_data().unwrap_or_default();
        whole = whole.filter(|bytes| bytes.len() + data.len() <= MAX_BODY);
        whole.iter_mut().for_each(|bytes| bytes.extend_from_slice(&data));
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::{
        io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
        net::TcpStream,
        task::JoinHandle,
        time::interval,
    };

    use super::*;
    use crate::{
        dns::ANY_PORT,
        system::{self, System},
    };

    const TIME_LIMIT: Duration = Duration::from_secs(30);
    const SHORT: Duration = Duration::from_millis(50);

    async fn start(idle_timeout: Duration) -> (System, SocketAddr, JoinHandle<()>) {
        let system = System::start().await;
        let listener = TcpListener::bind(ANY_PORT).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = system::router(&system.app).unwrap();
        let server = tokio::spawn(serve(listener, router, idle_timeout, std::future::pending()));
        (system, address, server)
    }

    async fn connect(address: SocketAddr) -> BufReader<TcpStream> {
        BufReader::new(TcpStream::connect(address).await.unwrap())
    }

    /// The status of the next response on a kept connection.
    async fn status(stream: &mut BufReader<TcpStream>) -> u16 {
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            assert!(!line.is_empty(), "the connection ended before a response");
            let line = line.trim_end().to_ascii_lowercase();
            match line.strip_prefix("http/1.1 ") {
                Some(line) => status = line[..3].parse().unwrap(),
                None if line.is_empty() => break,
                None => {}
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
        }
        stream.read_exact(&mut vec![0; length]).await.unwrap();
        status
    }

    /// What the server sends until it closes the connection.
    async fn rest(mut stream: BufReader<TcpStream>) -> String {
        let mut text = String::new();
        timeout(TIME_LIMIT, stream.read_to_string(&mut text))
            .await
            .unwrap()
            .unwrap();
        text
    }

    #[tokio::test]
    async fn a_request_that_is_refused_before_its_body_is_read_gets_its_response_and_keeps_its_connection() {
        let (system, address, _server) = start(IDLE_TIMEOUT).await;
        let token = system.token("org_a", "owner");
        let authorized = format!("authorization: Bearer {token}\r\n");
        let typed = format!("{authorized}content-type: application/json\r\n");
        let mut stream = connect(address).await;
        for (request, headers, length, expected, times) in [
            ("POST /agency/clients", "", 60_000, 401, 100),
            ("POST /nowhere", "", 60_000, 404, 100),
            ("DELETE /health", "", 60_000, 405, 100),
            ("GET /local/reverify", "", 60_000, 405, 50),
            ("POST /agency/clients", &*authorized, 60_000, 415, 50),
            ("POST /agency/clients", &*typed, 600_000, 413, 10),
            ("POST /agency/clients", &*typed, MAX_BODY + 1, 413, 2),
        ] {
            let head = format!("{request} HTTP/1.1\r\nhost: a\r\n{headers}content-length: {length}\r\n\r\n");
            let message = [head.as_bytes(), &vec![b' '; length]].concat();
            for _ in 0..times {
                stream.write_all(&message).await.unwrap();
                assert_eq!(status(&mut stream).await, expected, "{request} {length}");
            }
        }
    }

    #[tokio::test]
    async fn a_refused_request_whose_body_follows_its_header_later_gets_its_response_and_keeps_its_connection()
     {
        let (system, address, _server) = start(IDLE_TIMEOUT).await;
        let token = system.token("org_a", "owner");
        let mut stream = connect(address).await;
        for (request, headers, expected) in [
            ("POST /agency/clients", "", 401),
            ("POST /nowhere", "", 404),
            ("DELETE /health", "", 405),
            (
                "POST /agency/clients",
                &*format!("authorization: Bearer {token}\r\n"),
                415,
            ),
        ] {
            let head = format!(
                "{request} HTTP/1.1\r\nhost: a\r\n{headers}content-length: 2\r\nexpect: 100-continue\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            // It shows that the server has the header and waits for the body.
            assert_eq!(status(&mut stream).await, 100);
            stream.write_all(b"{}").await.unwrap();
            assert_eq!(status(&mut stream).await, expected, "{request}");
        }
    }

    #[tokio::test]
    async fn a_header_or_a_body_that_comes_byte_by_byte_has_the_same_limit() {
        let (_system, address, _server) = start(SHORT).await;
        for (head, expected) in [
            ("GET /health HTTP/1.1\r\nhost: a\r\nx-slow: ", ""),
            (
                "POST /agency/clients HTTP/1.1\r\nhost: a\r\ncontent-length: 60000\r\n\r\n",
                "HTTP/1.1 408 Request Timeout",
            ),
        ] {
            let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
            writer.write_all(head.as_bytes()).await.unwrap();
            // Each byte is well within the limit.
            tokio::spawn(async move {
                let mut between = interval(SHORT / 50);
                while writer.write_all(b"a").await.is_ok() {
                    between.tick().await;
                }
            });
            let mut bytes = Vec::new();
            // A byte that meets the closed connection resets it: an error after what the server has sent.
            let _ = timeout(TIME_LIMIT, reader.read_to_end(&mut bytes)).await.unwrap();
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(text.lines().next().unwrap_or_default(), expected, "{head}");
        }
    }

    #[tokio::test]
    async fn a_header_or_a_body_that_does_not_end_and_an_idle_connection_are_closed() {
        let (_system, address, _server) = start(SHORT).await;
        let answered = "GET /health HTTP/1.1\r\nhost: a\r\n\r\n";
        for (sent, expected) in [
            ("", ""),
            ("GET /health HTTP/1.1\r\nhost", ""),
            (answered, "HTTP/1.1 200 OK"),
            (
                "POST /agency/clients HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{",
                "HTTP/1.1 408 Request Timeout",
            ),
        ] {
            let mut stream = connect(address).await;
            stream.write_all(sent.as_bytes()).await.unwrap();
            let text = rest(stream).await;
            assert_eq!(text.lines().next().unwrap_or_default(), expected, "{sent}");
        }
    }

    #[tokio::test]
    async fn an_open_request_gets_its_response_after_the_signal() {
        let router = Router::new().fallback(async || tokio::task::yield_now().await);
        let listener = TcpListener::bind(ANY_PORT).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, router, IDLE_TIMEOUT, async { drop(ended.await) }));
        let mut open = connect(address).await;
        open.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\nexpect: 100-continue\r\n\r\n")
            .await
            .unwrap();
        let mut line = String::new();
        open.read_line(&mut line).await.unwrap();
        assert_eq!(line, "HTTP/1.1 100 Continue\r\n");
        drop(end);
        open.write_all(b"1").await.unwrap();
        assert!(rest(open).await.contains("HTTP/1.1 200 OK"));
        timeout(TIME_LIMIT, server).await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
