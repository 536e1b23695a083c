//! A few answers over HTTP that stand in for an API server, in tests of what no real one does on
//! request.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::{Connection, ErrorCount};

pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) body: String,
}

pub(crate) enum Answer {
    /// Status and body.
    Whole(u16, String),
    /// The answer begins with this, which is not empty, and then nothing comes any more.
    Begun(String),
}

/// A connection to somebody who answers like this, for as long as the process lives.
pub(crate) fn serve(silence: Duration, answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Connection {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, answer) = (client.unwrap(), Arc::clone(&answer));
            std::thread::spawn(move || converse(client, answer.as_ref()));
        }
    });
    Connection::new(kube::Config::new(url.parse().unwrap()), silence, ErrorCount::new(|_| {})).unwrap()
}

/// Until the other side goes.
fn converse(mut client: TcpStream, answer: &dyn Fn(&Request) -> Answer) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    while let Some(request) = read(&mut reader) {
        let text = match answer(&request) {
            Answer::Whole(status, body) => format!(
                "HTTP/1.1 {status} Some\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ),
            Answer::Begun(body) => format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n",
                body.len()
            ),
        };
        if client.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = || {
        let mut line = String::new();
        let read = reader.read_line(&mut line).ok().filter(|read| *read > 0);
        read.map(|_| line.trim_end().to_owned())
    };
    let first = line()?;
    let mut length = 0;
    while let Some(header) = line().filter(|line| !line.is_empty()) {
        let (name, value) = header.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut words = first.split(' ').map(str::to_owned);
    Some(Request { method: words.next()?, path: words.next()?, body: String::from_utf8(body).ok()? })
}
