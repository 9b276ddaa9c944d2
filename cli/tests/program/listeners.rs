//! A mail server and a web server that only keep what they are told.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Where it listens, and what came.
pub(crate) struct Listener {
    pub(crate) port: u16,
    received: Receiver<String>,
}

impl Listener {
    fn start(talk: fn(TcpStream, &Sender<String>) -> std::io::Result<()>) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let (sender, received) = channel();
        std::thread::spawn(move || socket.incoming().flatten().for_each(|it| drop(talk(it, &sender))));
        Self { port, received }
    }

    /// A mail server without encryption that takes every login: gives each mail as it came.
    pub(crate) fn mail() -> Self {
        Self::start(take_mail)
    }

    /// A web server that likes every request: gives the first line of each.
    pub(crate) fn web() -> Self {
        Self::start(take_request)
    }

    #[track_caller]
    pub(crate) fn next(&self) -> String {
        self.received.recv_timeout(Duration::from_secs(20)).expect("nothing came")
    }

    /// What came so far and was not asked for yet; the program has ended by then.
    pub(crate) fn rest(&self) -> Vec<String> {
        self.received.try_iter().collect()
    }
}

fn take_mail(stream: TcpStream, sender: &Sender<String>) -> std::io::Result<()> {
    let mut reply = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    reply.write_all(b"220 test\r\n")?;
    while let Some(line) = lines.next().transpose()? {
        match line.split(' ').next().unwrap_or_default() {
            "DATA" => {
                reply.write_all(b"354 go on\r\n")?;
                let mail: Vec<_> = lines.by_ref().map_while(Result::ok).take_while(|it| it != ".").collect();
                // A test may have gone already.
                let _ = sender.send(mail.join("\n"));
                reply.write_all(b"250 taken\r\n")?;
            }
            "EHLO" => reply.write_all(b"250-test\r\n250 AUTH PLAIN\r\n")?,
            "AUTH" => reply.write_all(b"235 welcome\r\n")?,
            "QUIT" => return reply.write_all(b"221 bye\r\n"),
            _ => reply.write_all(b"250 fine\r\n")?,
        }
    }
    Ok(())
}

fn take_request(mut stream: TcpStream, sender: &Sender<String>) -> std::io::Result<()> {
    let lines = BufReader::new(stream.try_clone()?).lines().map_while(Result::ok);
    let head: Vec<_> = lines.take_while(|it| !it.is_empty()).collect();
    let _ = sender.send(head.first().cloned().unwrap_or_default());
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nOK")
}
