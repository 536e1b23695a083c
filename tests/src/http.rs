//! As much of an HTTP client as a test of `/metrics` and `/readyz` needs. (The one for the Kubernetes
//! API is [`ApiClient`](crate::kubernetes::ApiClient).)

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// 200, 503, ….
    pub status: u16,
    /// The header lines.
    pub head: String,
    /// The rest.
    pub body: String,
}

impl Response {
    /// The value of a metric; `labels` as printed, without braces, or empty. The sum over all
    /// series of that name where `labels` is `None`.
    pub fn metric(&self, name: &str, labels: Option<&str>) -> Option<f64> {
        let mut sum = None;
        for line in self.body.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let (metric, found) = series.split_once('{').unwrap_or((series, ""));
            let matches = labels.is_none_or(|wanted| found.trim_end_matches('}').contains(wanted));
            if metric == name && matches {
                *sum.get_or_insert(0.0) += value.parse::<f64>().expect("a sample is a number");
            }
        }
        sum
    }

    /// Asserts the status.
    pub fn has_status(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "the answer: {}", self.body);
        self
    }

    /// Asserts that the status is one of success.
    pub fn succeeds(&self) -> &Self {
        assert!((200..300).contains(&self.status), "the answer: {} {}", self.status, self.body);
        self
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in the answer: {}", self.body))
    }
}

/// GET on loopback; `None` when nobody answers.
pub fn get(port: u16, path: &str) -> Option<Response> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body =
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") { dechunk(body) } else { body.into() };
    Some(Response { status, head: head.to_owned(), body })
}

fn dechunk(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { break };
        let Some(chunk) = rest.get(..size) else { break };
        if size == 0 {
            break;
        }
        text.push_str(chunk);
        body = rest.get(size + 2..).unwrap_or_default();
    }
    text
}
