//! The proxy does to connections what it is told to.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use dvb_testkit::netfault::{Options, Proxy};

/// Sends back what it gets.
fn echo() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut &stream));
        }
    });
    port
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends so much and tells how much of it came back.
fn sent_and_back(mut stream: TcpStream, len: usize) -> usize {
    let mut writer = stream.try_clone().unwrap();
    thread::spawn(move || {
        let _ = writer.write_all(&vec![7; len]);
        let _ = writer.shutdown(std::net::Shutdown::Write);
    });
    let mut back = Vec::new();
    let _ = stream.read_to_end(&mut back);
    back.len()
}

#[test]
fn bytes_pass_whole_or_up_to_the_cut() {
    let port = echo();
    let none = Options::default();
    for (options, back) in [
        (none, 1_000_000),
        (Options { cut_up: Some(70_000), ..none }, 70_000),
        (Options { cut_down: Some(70_000), ..none }, 70_000),
        (Options { refuse: true, ..none }, 0),
    ] {
        let proxy = Proxy::start(port, options);
        let came = sent_and_back(connect(&proxy), 1_000_000);
        // What was under way to us when the other direction was cut may be lost.
        assert!(came == back || (options.cut_up.is_some() && came < back), "{options:?}: {came}");
    }
}

#[test]
fn a_long_line_is_not_a_thin_one() {
    let delay = Duration::from_millis(100);
    let proxy = Proxy::start(echo(), Options { delay, ..Options::default() });
    let began = Instant::now();
    assert_eq!(sent_and_back(connect(&proxy), 20_000_000), 20_000_000);
    assert!(began.elapsed() >= 2 * delay);
    assert!(began.elapsed() < Duration::from_secs(10), "300 pieces that wait for each other take 30 s");
    let before = proxy.round_trips();
    let mut stream = connect(&proxy);
    for _ in 0..3 {
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    assert_eq!(proxy.round_trips() - before, 2, "the first word is not an answer to anything");
}

#[test]
fn hanging_and_resetting_come_while_connections_are_under_way() {
    let proxy = Proxy::start(echo(), Options::default());
    let mut stream = connect(&proxy);
    let mut ping = || {
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])
    };
    ping().unwrap();
    proxy.set(Options { hang: true, ..Options::default() });
    let limited = connect(&proxy);
    limited.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!((&limited).write_all(b"x").is_ok() && (&limited).read(&mut [0]).is_err());
    proxy.set(Options::default());
    ping().unwrap();
    proxy.reset();
    ping().unwrap_err();
}
