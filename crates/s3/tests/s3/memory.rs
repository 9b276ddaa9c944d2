//! Memory does not grow with the size of an object: seen in processes of their own, which do nothing else.
//!
//! The process is this program again, told by its environment to run `an_object_is_carried` with a large one.

use std::io::{self, Read};
use std::process::Command;

use dvb_fixity::{Algorithm, Hasher, Measured};
use dvb_s3::{S3Sink, S3SinkConfig, S3Store};
use dvb_storage::{CommitRequest, Payload, PayloadError, Sink as _, Source as _, StageRequest};

use crate::sink::{key, run};
use crate::world::{Service, location, seaweed};

const MIB: u64 = 1 << 20;
const LARGE: u64 = 300 * MIB;

/// Bytes that are made as they are read.
struct Made {
    left: u64,
    state: u64,
}

impl Made {
    fn new(size: u64) -> Self {
        Self { left: size, state: 1 }
    }
}

impl Read for Made {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = buffer.len().min(usize::try_from(self.left).unwrap());
        for byte in &mut buffer[..n] {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = self.state.to_be_bytes()[0];
        }
        self.left -= n as u64;
        Ok(n)
    }
}

struct MadePayload(Made, Hasher);

impl MadePayload {
    fn new(size: u64, algorithms: &[Algorithm]) -> Self {
        Self(Made::new(size), Hasher::new(algorithms))
    }
}

impl Payload for MadePayload {
    fn size_hint(&self) -> u64 {
        self.0.left
    }

    fn open(&mut self) -> Result<(), PayloadError> {
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PayloadError> {
        let n = self.0.read(buffer).unwrap();
        self.1.update(&buffer[..n]);
        Ok(n)
    }

    fn finish(self: Box<Self>) -> Measured {
        self.1.finish()
    }
}

fn high_water() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|it| it.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// What a process of its own is asked for: where, with what, how much.
struct Task {
    service: Service,
    bucket: String,
    what: String,
    size: u64,
}

impl Task {
    /// `None` where this is no such process.
    fn of_environment() -> Option<Self> {
        let given = |name: &str| std::env::var(name).ok();
        let service = Service { url: given("S3_URL")?, access: given("S3_ACCESS")?, secret: given("S3_SECRET")? };
        Some(Self { service, bucket: given("S3_BUCKET")?, what: given("S3_WHAT")?, size: LARGE })
    }

    fn carry(&self) {
        let Self { service, size, .. } = self;
        let bucket = service.again(&self.bucket);
        match self.what.as_str() {
            "sink" => {
                let config = S3SinkConfig { part_memory: 32 * MIB, ..service.sink(&self.bucket, "") };
                let sink = S3Sink::new(config).unwrap();
                let mut session = sink.connect(&run("memory")).unwrap();
                let payload = Box::new(MadePayload::new(*size, session.algorithms()));
                let staged = session.stage(vec![StageRequest { key: key("10.5072/FK2/ABC/large"), payload }]).unwrap();
                let staged = staged.into_iter().next().unwrap().unwrap();
                session.commit(vec![CommitRequest { staged, replace: false }]).unwrap().remove(0).unwrap();
            }
            "source" => {
                let store = S3Store::new(&service.store(&self.bucket)).unwrap();
                let mut object = store.open(&location("s3://large", "large")).unwrap();
                assert_eq!(io::copy(&mut object.body, &mut io::sink()).unwrap(), *size);
            }
            "rust-s3 put" => {
                bucket.put_object_stream(&mut Made::new(*size), "/theirs").unwrap();
            }
            "rust-s3 get" => {
                bucket.get_object_to_writer("/theirs", &mut io::sink()).unwrap();
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn an_object_is_carried() {
    if let Some(task) = Task::of_environment() {
        let before = high_water();
        task.carry();
        eprintln!("grew by {} bytes", high_water() - before);
        return;
    }
    let bucket = seaweed().bucket("carried").name();
    for what in ["sink", "source", "rust-s3 put", "rust-s3 get"] {
        Task { service: seaweed(), bucket: bucket.clone(), what: what.into(), size: 3 * MIB + 1 }.carry();
    }
}

/// By how much the memory of a process grew that carried the object.
fn growth(service: &Service, bucket: &str, what: &str) -> u64 {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "memory::an_object_is_carried", "--nocapture", "--test-threads=1"])
        .envs([("S3_URL", &service.url), ("S3_ACCESS", &service.access), ("S3_SECRET", &service.secret)])
        .env("S3_BUCKET", bucket)
        .env("S3_WHAT", what)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stdout));
    let grew = text.lines().find_map(|it| it.strip_prefix("grew by ")).unwrap();
    grew.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_large_object_does_not_fill_memory_either_way() {
    let service = seaweed();
    let bucket = service.bucket("memory").name();
    let sent = growth(&service, &bucket, "sink");
    assert!(sent < 60 * MIB, "sending 300 MiB took {} MiB", sent / MIB);
    let read = growth(&service, &bucket, "source");
    assert!(read < 8 * MIB, "reading 300 MiB took {} MiB", read / MIB);
    eprintln!("ours: sending {} KiB, reading {} KiB", sent >> 10, read >> 10);
}

/// What rust-s3's own client takes: told, not judged.
#[test]
fn rust_s3_is_measured_for_comparison() {
    let service = seaweed();
    let bucket = service.bucket("theirs").name();
    let (sent, read) = (growth(&service, &bucket, "rust-s3 put"), growth(&service, &bucket, "rust-s3 get"));
    eprintln!("rust-s3: sending {} KiB, reading {} KiB", sent >> 10, read >> 10);
}
