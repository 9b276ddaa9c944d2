//! A web server that does what a test tells it, well or badly.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    /// How many came before it.
    pub(crate) nth: usize,
    pub(crate) method: String,
    /// Path and query, as the client wrote them.
    pub(crate) path: String,
    pub(crate) host: String,
    pub(crate) accept_encoding: String,
    /// `bytes=0-9` as (0, Some(9)).
    pub(crate) range: Option<(u64, Option<u64>)>,
    if_range: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    length: Option<u64>,
    cut: Option<usize>,
    chunked: bool,
    silent: bool,
    stalled: bool,
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            headers: vec![],
            body: vec![],
            length: None,
            cut: None,
            chunked: false,
            silent: false,
            stalled: false,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(self, bytes: &[u8]) -> Self {
        Self { body: bytes.to_vec(), ..self }
    }

    /// Promises another length than the body has.
    pub(crate) fn length(self, length: u64) -> Self {
        Self { length: Some(length), ..self }
    }

    /// Closes the connection after so much of the body.
    pub(crate) fn cut(self, at: usize) -> Self {
        Self { cut: Some(at), ..self }
    }

    pub(crate) fn chunked(self) -> Self {
        Self { chunked: true, ..self }
    }

    /// Reads the request and never answers it.
    pub(crate) fn silent(self) -> Self {
        Self { silent: true, ..self }
    }

    /// Keeps the connection open after the body, without a word.
    pub(crate) fn stalled(self) -> Self {
        Self { stalled: true, ..self }
    }

    /// As an ordinary server gives out a file.
    pub(crate) fn file(request: &Request, bytes: &[u8], etag: &str) -> Self {
        let size = bytes.len() as u64;
        let wanted = request.range.filter(|_| request.if_range.as_deref().is_none_or(|it| it == etag));
        let reply = match wanted {
            Some((from, _)) if from >= size => Self::new(416).header("Content-Range", &format!("bytes */{size}")),
            Some((from, to)) => {
                let to = to.unwrap_or(size - 1).min(size - 1);
                let part = &bytes[usize::try_from(from).unwrap()..=usize::try_from(to).unwrap()];
                Self::new(206).header("Content-Range", &format!("bytes {from}-{to}/{size}")).body(part)
            }
            None => Self::new(200).body(bytes),
        };
        reply.header("ETag", etag)
    }

    fn send(&self, request: &Request, stream: &mut TcpStream) -> std::io::Result<()> {
        if self.silent {
            thread::sleep(Duration::from_secs(3));
            return Ok(());
        }
        let mut head = format!("HTTP/1.1 {} Status\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &match self.chunked {
            true => "Transfer-Encoding: chunked\r\n".to_owned(),
            false => format!("Content-Length: {}\r\n", self.length.unwrap_or(self.body.len() as u64)),
        };
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        if request.method == "HEAD" {
            return Ok(());
        }
        let sent = &self.body[..self.cut.unwrap_or(self.body.len()).min(self.body.len())];
        if self.chunked {
            for chunk in sent.chunks(10_000) {
                stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
                stream.write_all(chunk)?;
                stream.write_all(b"\r\n")?;
            }
            return stream.write_all(b"0\r\n\r\n");
        }
        stream.write_all(sent)?;
        if self.stalled {
            thread::sleep(Duration::from_secs(3));
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.chunked || (self.cut.is_none() && self.length.is_none() && !self.silent && !self.stalled)
    }
}

pub(crate) struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Serves until the test ends.
    pub(crate) fn start(answer: impl Fn(&Request) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&seen);
        let answer = Arc::new(Mutex::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, all) = (Arc::clone(&answer), Arc::clone(&all));
                thread::spawn(move || {
                    let answer = |request: &Request| (answer.lock().unwrap())(request);
                    let _ = serve(stream.unwrap(), &answer, &all);
                });
            }
        });
        Self { port, seen }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.requests().into_iter().map(|it| it.path).collect()
    }

    pub(crate) fn ranges(&self) -> Vec<Option<u64>> {
        self.requests().into_iter().map(|it| it.range.map(|it| it.0)).collect()
    }
}

fn serve(stream: TcpStream, answer: &dyn Fn(&Request) -> Reply, seen: &Mutex<Vec<Request>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(mut request) = receive(&mut reader)? {
        {
            let mut seen = seen.lock().unwrap();
            request.nth = seen.len();
            seen.push(request.clone());
        }
        let reply = answer(&request);
        reply.send(&request, &mut writer)?;
        if !reply.is_whole() {
            return writer.shutdown(Shutdown::Both);
        }
    }
    Ok(())
}

fn receive(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.by_ref().take(1 << 16).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let mut request = Request { method, path, ..Request::default() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(Some(request)) };
        let value = value.trim().to_owned();
        match name.to_ascii_lowercase().as_str() {
            "host" => request.host = value,
            "accept-encoding" => request.accept_encoding = value,
            "if-range" => request.if_range = Some(value),
            "range" => {
                let (from, to) = value.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
                request.range = Some((from.parse().unwrap(), to.parse().ok()));
            }
            _ => {}
        }
    }
}

/// By coreutils, which know nothing of this crate.
pub(crate) fn sha512(text: &str) -> String {
    let mut child = Command::new("sha512sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}

/// `openssl s_server` with a certificate that nobody signed but itself.
pub(crate) struct Tls {
    pub(crate) port: u16,
    child: Child,
}

impl Tls {
    pub(crate) fn start(folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let openssl = |args: &str| {
            let mut command = Command::new("openssl");
            command.args(args.split(' ')).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
            command.stderr(Stdio::null());
            command
        };
        let request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key -out crt";
        assert!(openssl(request).status().unwrap().success());
        let child = openssl(&format!("s_server -accept {port} -key key -cert crt -www -4")).spawn().unwrap();
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        Self { port, child }
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
