//! Requests as a client on the network sends them: each has a connection of its own, which may end before the response.

use std::{io, net::SocketAddr};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A request to the API.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Value>,
}

/// A response of the API.
#[derive(Clone, Debug)]
pub struct HttpResponse {
    pub status: u16,
    head: String,
    /// `null` if the body is empty or not JSON.
    pub body: Value,
}

impl HttpResponse {
    /// The value of a header with this name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// The `code` of a problem.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let response = Self {
            status: head.split(' ').nth(1)?.parse().ok()?,
            head: head.to_owned(),
            body: serde_json::from_str(body).unwrap_or_default(),
        };
        let length = response.header("content-length").unwrap_or("0").parse();
        (length == Ok(body.len())).then_some(response)
    }
}

/// Sends a request, and waits for the response.
///
/// # Errors
/// The connection fails or ends before the end of the response. The request may have taken effect.
pub async fn send(address: SocketAddr, request: &HttpRequest) -> io::Result<HttpResponse> {
    let body = request.body.as_ref().map(Value::to_string).unwrap_or_default();
    let mut head = format!("{} {} HTTP/1.0\r\nhost: api\r\n", request.method, request.path);
    for (name, value) in &request.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if request.body.is_some() {
        head += "content-type: application/json\r\n";
    }
    head += &format!("content-length: {}\r\n\r\n{body}", body.len());
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(head.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    HttpResponse::parse(&bytes).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
