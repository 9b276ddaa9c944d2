//! A Swift that misbehaves: every request goes to the real one, unless a rule says otherwise.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What becomes of a request.
#[derive(Clone)]
pub(crate) enum Trick {
    /// It never reaches Swift: this status, with these headers.
    Say(u16, &'static str),
    /// The connection is cut after so many bytes of its body.
    CutRequest(usize),
    /// A byte of its body is changed on the way.
    FlipByte,
    /// Swift does it, and the answer is lost.
    LoseAnswer,
    /// The connection is cut after so many bytes of the answer's body.
    CutAnswer(usize),
    /// A text in the answer is replaced.
    Rewrite(String, String),
}

struct Rule {
    method: &'static str,
    part: String,
    skip: usize,
    times: usize,
    trick: Trick,
}

#[derive(Default)]
struct CrookState {
    rules: Vec<Rule>,
    log: Vec<String>,
}

/// It runs until the process ends.
pub(crate) struct Crook {
    pub(crate) url: String,
    state: Arc<Mutex<CrookState>>,
}

impl Crook {
    /// In front of the Swift at this port.
    pub(crate) fn of(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(CrookState::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || drop(serve(client, port, &state)));
            }
        });
        Self { url, state }
    }

    /// Plays a trick on the first `times` requests, after `skip`, of a method whose address holds `part`.
    pub(crate) fn play(&self, method: &'static str, part: &str, skip: usize, times: usize, trick: Trick) {
        self.state.lock().unwrap().rules.push(Rule { method, part: part.to_owned(), skip, times, trick });
    }

    /// How many requests of a method had an address that holds `part`.
    pub(crate) fn count(&self, method: &str, part: &str) -> usize {
        let state = self.state.lock().unwrap();
        state.log.iter().filter(|it| it.starts_with(&format!("{method} ")) && it.contains(part)).count()
    }
}

/// Up to the empty line; what was read beyond it comes too.
fn head(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 65536];
    loop {
        if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        match stream.read(&mut buffer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}

fn choose(state: &Mutex<CrookState>, head: &str) -> Option<Trick> {
    let mut state = state.lock().unwrap();
    let line = head.lines().next().unwrap_or_default().to_owned();
    let range = head.lines().find(|it| it.to_lowercase().starts_with("range:")).unwrap_or_default();
    state.log.push(format!("{line} {range}"));
    let rule = state
        .rules
        .iter_mut()
        .find(|it| it.times > 0 && line.starts_with(&format!("{} ", it.method)) && line.contains(&it.part))?;
    if rule.skip > 0 {
        rule.skip -= 1;
        return None;
    }
    rule.times -= 1;
    Some(rule.trick.clone())
}

fn serve(mut client: TcpStream, port: u16, state: &Mutex<CrookState>) -> std::io::Result<()> {
    let (request, early) = head(&mut client)?;
    let trick = choose(state, &request);
    if let Some(Trick::Say(status, headers)) = trick {
        return say(&mut client, &request, early.len(), status, headers);
    }
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    // One request a connection, so that every request is seen.
    server.write_all(request.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes())?;
    let upstream = (client.try_clone()?, server.try_clone()?);
    let way_up = trick.clone();
    let up = thread::spawn(move || forward(upstream, early, way_up));
    let (answer, body) = loop {
        let (answer, rest) = head(&mut server)?;
        if !answer.starts_with("HTTP/1.1 100") {
            break (answer, rest);
        }
        client.write_all(answer.as_bytes())?;
        if !rest.is_empty() {
            break split(rest);
        }
    };
    match trick {
        Some(Trick::LoseAnswer) => {}
        Some(Trick::CutAnswer(bytes)) => {
            client.write_all(answer.as_bytes())?;
            let mut body = body.as_slice().chain(&mut server).take(bytes as u64);
            std::io::copy(&mut body, &mut client)?;
        }
        Some(Trick::Rewrite(from, to)) => {
            let mut whole = [answer.as_bytes(), &body].concat();
            server.read_to_end(&mut whole)?;
            client.write_all(&replace(&whole, from.as_bytes(), to.as_bytes()))?;
        }
        _ => {
            client.write_all(answer.as_bytes())?;
            client.write_all(&body)?;
            std::io::copy(&mut server, &mut client)?;
        }
    }
    let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    let _ = up.join();
    Ok(())
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match bytes.windows(from.len()).position(|it| it == from) {
        Some(at) => [&bytes[..at], to, &replace(&bytes[at + from.len()..], from, to)].concat(),
        None => bytes.to_vec(),
    }
}

fn split(bytes: Vec<u8>) -> (String, Vec<u8>) {
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n").map_or(bytes.len(), |it| it + 4);
    (String::from_utf8_lossy(&bytes[..end]).into_owned(), bytes[end..].to_vec())
}

/// The whole body is taken first, unless the client holds it back: a reset would overtake the answer.
fn say(client: &mut TcpStream, request: &str, early: usize, status: u16, headers: &str) -> std::io::Result<()> {
    let request = request.to_lowercase();
    let waits = request.contains("expect: 100-continue");
    let length = request.lines().find_map(|it| it.strip_prefix("content-length:")?.trim().parse().ok());
    let length = length.filter(|_| !waits);
    let left = length.unwrap_or(0).max(early as u64) - early as u64;
    std::io::copy(&mut client.try_clone()?.take(left), &mut std::io::sink())?;
    write!(client, "HTTP/1.1 {status} Because\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n")?;
    client.shutdown(Shutdown::Write)
}

/// The body on its way to Swift.
fn forward((mut client, mut server): (TcpStream, TcpStream), early: Vec<u8>, trick: Option<Trick>) {
    let cut = if let Some(Trick::CutRequest(bytes)) = trick { bytes } else { usize::MAX };
    let mut flip = matches!(trick, Some(Trick::FlipByte));
    let (mut passed, mut buffer, mut filled) = (0, vec![0; 65536], early);
    loop {
        let n = filled.len().min(cut - passed);
        if flip && n > 100 {
            filled[n / 2] ^= 1;
            flip = false;
        }
        if server.write_all(&filled[..n]).is_err() {
            return;
        }
        passed += n;
        if passed >= cut {
            let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
            return;
        }
        match client.read(&mut buffer) {
            Ok(n) if n > 0 => filled = buffer[..n].to_vec(),
            _ => return,
        }
    }
}

/// Passes everything on to a port, and counts the connections.
pub(crate) fn counter(port: u16) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let ways = [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)];
            for (mut from, mut to) in ways {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    (url, count)
}
