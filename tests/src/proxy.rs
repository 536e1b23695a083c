//! A way through which a program reaches a server, and which a test can cut: bytes are passed on as
//! they are, so that TLS ends where it did.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::session::free_port;

/// A listener on loopback in front of a port. Once cut, nothing passes and nobody is told, as with a
/// network that is down: what is sent meanwhile arrives when it is mended.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    way: Mutex<Way>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Way {
    #[default]
    Open,
    Cut,
    Gone,
}

impl State {
    fn set(&self, way: Way) {
        *self.way.lock().unwrap_or_else(PoisonError::into_inner) = way;
        self.changed.notify_all();
    }

    /// Waits while it is cut; whether it is there at all.
    fn is_passable(&self) -> bool {
        let way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        let way = self.changed.wait_while(way, |way| *way == Way::Cut);
        *way.unwrap_or_else(PoisonError::into_inner) == Way::Open
    }

    fn is_gone(&self) -> bool {
        *self.way.lock().unwrap_or_else(PoisonError::into_inner) == Way::Gone
    }
}

impl Proxy {
    /// One in front of this port on loopback.
    pub fn to(target: u16) -> Proxy {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        listener.set_nonblocking(true).expect("a listener can wait without blocking");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            while !shared.is_gone() {
                match listener.accept() {
                    Ok((client, _)) => serve(client, target, &shared),
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        Proxy { port, state }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Nothing passes from here on, in neither direction.
    pub fn cut(&self) {
        self.state.set(Way::Cut);
    }

    /// It does again, and so does what was held up.
    pub fn mend(&self) {
        self.state.set(Way::Open);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.set(Way::Gone);
    }
}

fn serve(client: TcpStream, target: u16, state: &Arc<State>) {
    let state = Arc::clone(state);
    std::thread::spawn(move || {
        if !state.is_passable() {
            return;
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { return };
        let (Ok(from_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else { return };
        let back = Arc::clone(&state);
        std::thread::spawn(move || pump(from_server, client, &back));
        pump(from_client, server, &state);
    });
}

/// Until one side ends, or the proxy does.
fn pump(mut from: TcpStream, mut to: TcpStream, state: &State) {
    let mut buffer = [0; 16 * 1024];
    // So that it notices the end of the proxy. (It holds for both sides' clones, which is no harm.)
    let _ = from.set_nonblocking(false).and_then(|()| from.set_read_timeout(Some(Duration::from_millis(200))));
    loop {
        let read = match from.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) && !state.is_gone() => {
                continue;
            }
            Err(_) => 0,
        };
        if !state.is_passable() || read == 0 || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
