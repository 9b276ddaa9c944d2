//! A proxy that speaks enough HTTP to refuse, cut and falsify single requests, and to count all of them.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request, as far as a rule looks at it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query, as the client wrote them.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|it| it.0 == name).map(|it| it.1.as_str())
    }

    pub(crate) fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.path.contains(part)
    }
}

/// What becomes of it.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// The service gets the request as it is, and the client the answer.
    Forward,
    /// The service answers, and a header of the answer (`:status` for its first line) gets another value, or goes.
    Change(&'static str, &'static str),
    /// The service never hears of it.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// So many bytes of its body are sent on, then all ends.
    CutRequest(usize),
    /// So many bytes of the answer's body are handed back, then all ends.
    CutAnswer(usize),
    /// The service gets the body with one byte changed.
    Falsify,
    /// The service hears of it, the client does not hear of that.
    LoseAnswer,
}

type Rule = dyn Fn(&Asked) -> Act + Send + Sync;

/// A running proxy; it ends with the process.
pub(crate) struct Proxy {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
}

/// `Answer` in the words of S3.
pub(crate) fn refusal(status: u16, code: &str) -> Act {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>so it is</Message></Error>");
    Act::Answer(status, vec![("content-type", "application/xml".into())], body.into_bytes())
}

impl Proxy {
    /// In front of `url`.
    pub(crate) fn before(url: &str, rule: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        let target = url.strip_prefix("http://").expect("an http URL").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (rule, log): (Arc<Rule>, _) = (Arc::new(rule), Arc::clone(&seen));
        let connections: Arc<AtomicUsize> = Arc::default();
        let counter = Arc::clone(&connections);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::SeqCst);
                let (rule, log, target) = (Arc::clone(&rule), Arc::clone(&log), target.clone());
                // A connection that ends early is what this is for.
                thread::spawn(move || serve(client, &target, &*rule, &log).ok());
            }
        });
        Self { url, seen, connections }
    }

    /// With nothing behind it: the n-th request gets the n-th answer, and the last one again and again.
    pub(crate) fn scripted(acts: Vec<Act>) -> Self {
        let acts = Mutex::new(VecDeque::from(acts));
        Self::before("http://127.0.0.1:1", move |_| {
            let mut acts = acts.lock().unwrap();
            if acts.len() > 1 { acts.pop_front().unwrap() } else { acts[0].clone() }
        })
    }

    pub(crate) fn seen(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn count(&self, method: &str, part: &str) -> usize {
        self.seen().iter().filter(|it| it.is(method, part)).count()
    }
}

fn head(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16384];
    loop {
        if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}

fn changed(head: &str, name: &str, value: &str) -> String {
    let mut lines: Vec<String> = head.trim_end().split("\r\n").map(str::to_owned).collect();
    let has_name = |it: &str| it.split_once(':').is_some_and(|it| it.0.eq_ignore_ascii_case(name));
    for line in lines.iter_mut().skip(1).filter(|it| has_name(it)) {
        *line = if value.is_empty() { "x-gone: 1".into() } else { format!("{name}: {value}") };
    }
    if let Some((from, to)) = value.split_once(" -> ").filter(|_| name == ":status") {
        lines[0] = lines[0].replace(from, to);
    }
    lines.join("\r\n") + "\r\n\r\n"
}

fn serve(mut client: TcpStream, target: &str, rule: &Rule, log: &Mutex<Vec<Asked>>) -> io::Result<()> {
    loop {
        let (text, body) = head(&mut client)?;
        let mut lines = text.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (method, path) = (first.next().unwrap_or_default().to_owned(), first.next().unwrap_or_default().to_owned());
        let headers: Vec<(String, String)> = lines
            .filter_map(|it| it.split_once(':'))
            .map(|it| (it.0.to_ascii_lowercase(), it.1.trim().to_owned()))
            .collect();
        let length = headers.iter().find(|it| it.0 == "content-length").map_or(0, |it| it.1.parse().unwrap());
        let asked = Asked { method, path, headers };
        let act = rule(&asked);
        log.lock().unwrap().push(asked.clone());
        let mut rest = body.as_slice().chain(client.try_clone()?.take((length - body.len()) as u64));
        if let Act::Answer(status, headers, body) = act {
            io::copy(&mut rest, &mut io::sink())?;
            let mut answer = format!("HTTP/1.1 {status} So\r\n");
            headers.iter().for_each(|(name, value)| answer.push_str(&format!("{name}: {value}\r\n")));
            if !headers.iter().any(|it| it.0 == "content-length") {
                answer.push_str(&format!("content-length: {}\r\n", body.len()));
            }
            client.write_all(answer.as_bytes())?;
            client.write_all(b"\r\n")?;
            if asked.method != "HEAD" {
                client.write_all(&body)?;
            }
            let promised = headers.iter().find(|it| it.0 == "content-length");
            if promised.is_some_and(|it| it.1.parse() != Ok(body.len())) && asked.method != "HEAD" {
                return client.shutdown(Shutdown::Both);
            }
            continue;
        }
        let mut service = TcpStream::connect(target)?;
        service.write_all(text.trim_end().as_bytes())?;
        service.write_all(b"\r\nConnection: close\r\n\r\n")?;
        if let Act::CutRequest(bytes) = act {
            io::copy(&mut rest.take(bytes as u64), &mut service)?;
            drop(service);
            return client.shutdown(Shutdown::Both);
        }
        if let Act::Falsify = act {
            let mut body = Vec::new();
            rest.read_to_end(&mut body)?;
            *body.last_mut().expect("a body") ^= 1;
            service.write_all(&body)?;
        } else {
            io::copy(&mut rest, &mut service)?;
        }
        let (mut answer, start) = head(&mut service)?;
        match act {
            Act::LoseAnswer => {
                io::copy(&mut service, &mut io::sink())?;
                return client.shutdown(Shutdown::Both);
            }
            Act::Change(name, value) => answer = changed(&answer, name, value),
            _ => {}
        }
        client.write_all(answer.as_bytes())?;
        let limit = if let Act::CutAnswer(bytes) = act { bytes as u64 } else { u64::MAX };
        io::copy(&mut start.as_slice().chain(service).take(limit), &mut client)?;
        return client.shutdown(Shutdown::Both);
    }
}
