//! Object lock: put, seen, made longer, and tried.

use std::time::{Duration, SystemTime};

use dvb_model::{ObjectKey, RunId};
use dvb_s3::{LockMode, ObjectLock, S3Purger, S3Sink, S3SinkConfig};
use dvb_storage::conformance::{Bytes, End, some_bytes};
use dvb_storage::{Cause, CommitRequest, Lock, LockTrial, Purger as _, Sink as _, SinkSession, StageRequest};

use crate::proxy::{Act, Proxy};
use crate::world::{Service, seaweed};

const DAY: Duration = Duration::from_secs(86_400);

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

fn locking(service: &Service, bucket: &str, mode: LockMode, days: u32) -> S3SinkConfig {
    S3SinkConfig { object_lock: Some(ObjectLock { days, mode }), ..service.sink(bucket, "copies") }
}

fn connect(config: &S3SinkConfig) -> Box<dyn SinkSession> {
    S3Sink::new(config.clone()).unwrap().connect(&RunId("20000101T000000Z-lock".into())).unwrap()
}

fn store(config: &S3SinkConfig, at: &ObjectKey, bytes: Vec<u8>) -> Result<(), String> {
    let mut session = connect(config);
    let payload = Box::new(Bytes::new(bytes, session.algorithms(), End::Whole));
    let staged = session.stage(vec![StageRequest { key: at.clone(), payload }]).unwrap().remove(0);
    let staged = staged.map_err(|it| it.to_string())?;
    let done = session.commit(vec![CommitRequest { staged, replace: false }]).unwrap().remove(0);
    done.map(|_| ()).map_err(|it| format!("{it:?}"))
}

/// Until when each version at a key is locked.
fn locks(config: &S3SinkConfig, at: &ObjectKey) -> Vec<Option<SystemTime>> {
    let held = S3Purger::new(config.clone()).unwrap().held(at).unwrap();
    let until = |it: Option<Lock>| match it {
        Some(Lock::Until(until)) => Some(until),
        Some(Lock::Hold) => panic!("a hold"),
        None => None,
    };
    held.into_iter().map(|it| until(it.lock)).collect()
}

fn is_about(found: SystemTime, days: u32) -> bool {
    let left = found.duration_since(SystemTime::now()).unwrap_or_default();
    left < DAY * days && left > DAY * days - Duration::from_secs(60)
}

#[test]
fn what_has_less_than_half_of_its_lock_left_gets_all_of_it_again() {
    let service = seaweed();
    for mode in [LockMode::Governance, LockMode::Compliance] {
        let bucket = service.lockable_bucket("lock-renewed");
        let of = |days| locking(&service, &bucket.name(), mode, days);
        let (small, large) = (key("a/small"), key("a/large"));
        store(&of(2), &small, b"small".to_vec()).unwrap();
        store(&of(2), &large, some_bytes(1, 6 << 20)).unwrap();
        let none = key("a/none");
        store(&S3SinkConfig { object_lock: None, ..of(2) }, &none, b"before there was a lock".to_vec()).unwrap();
        assert!(is_about(locks(&of(2), &large)[0].unwrap(), 2));

        // Two days are more than half of three.
        let keys = [small.clone(), large.clone(), none.clone(), key("a/missing")];
        let answers = connect(&of(3)).lock(&keys).unwrap();
        assert!(is_about(*answers[0].as_ref().unwrap(), 2) && is_about(*answers[2].as_ref().unwrap(), 3));
        assert!(answers[3].is_err(), "nothing is there");
        // Of ten, they are not.
        for at in &keys[..3] {
            let answer = connect(&of(10)).lock(std::slice::from_ref(at)).unwrap().remove(0).unwrap();
            let seen = locks(&of(10), at);
            assert!(is_about(answer, 10) && seen.len() == 1 && is_about(seen[0].unwrap(), 10), "{at}: {seen:?}");
        }
        // None becomes shorter.
        let answer = connect(&of(1)).lock(std::slice::from_ref(&small)).unwrap().remove(0).unwrap();
        assert!(is_about(answer, 10) && is_about(locks(&of(1), &small)[0].unwrap(), 10));
        // A lock that nobody can lift is not made one that some can.
        if mode == LockMode::Compliance {
            let weaker = locking(&service, &bucket.name(), LockMode::Governance, 30);
            connect(&weaker).lock(std::slice::from_ref(&small)).unwrap().remove(0).unwrap();
            let (head, _) = bucket.head_object("/copies/a/small").unwrap();
            assert!(format!("{head:?}").contains("COMPLIANCE"), "{head:?}");
            assert!(is_about(locks(&weaker, &small)[0].unwrap(), 30));
        }
    }
}

#[test]
fn governance_lets_who_may_bypass_it_delete_and_compliance_nobody() {
    let service = seaweed();
    for (mode, is_deleted) in [(LockMode::Governance, true), (LockMode::Compliance, false)] {
        let bucket = service.lockable_bucket("lock-modes");
        let config = locking(&service, &bucket.name(), mode, 2);
        store(&config, &key("a"), b"locked".to_vec()).unwrap();
        let held = S3Purger::new(config.clone()).unwrap().held(&key("a")).unwrap();
        let version = held[0].version.clone().unwrap();
        assert_eq!(S3Purger::new(config.clone()).unwrap().delete(&held[0]).unwrap_err().cause, Cause::Forbidden);
        let mut whole = service.again(&bucket.name());
        whole.add_query("versionId", &version);
        whole.add_header("x-amz-bypass-governance-retention", "true");
        let _ = whole.delete_object("/copies/a");
        let left = S3Purger::new(config).unwrap().held(&key("a")).unwrap();
        assert_eq!(left.is_empty(), is_deleted, "{mode:?}: {left:?}");
    }
}

#[test]
fn trying_a_lock_says_whether_it_holds_and_leaves_one_version() {
    let service = seaweed();
    let bucket = service.lockable_bucket("lock-trial");
    let config = locking(&service, &bucket.name(), LockMode::Compliance, 30);
    let probe = ObjectKey::own("lock-probe.txt").unwrap();
    let mut last = SystemTime::UNIX_EPOCH;
    for _ in 0..3 {
        let Some(LockTrial::Holds { until, may_delete: true }) = connect(&config).try_lock().unwrap() else { panic!() };
        let left = until.duration_since(SystemTime::now()).unwrap();
        assert!(left < Duration::from_secs(21 * 60) && until >= last, "{left:?}");
        last = until;
        assert_eq!(locks(&config, &probe).len(), 1);
    }
    assert_eq!(locks(&config, &ObjectKey::own("lock-probe-free.txt").unwrap()), []);
    let unlocked = S3SinkConfig { object_lock: None, ..config };
    assert_eq!(connect(&unlocked).try_lock().unwrap(), None);

    // The account of the server may do everything.
    let bucket = service.lockable_bucket("lock-trial-governance");
    let config = locking(&service, &bucket.name(), LockMode::Governance, 30);
    let Some(LockTrial::Fails(why)) = connect(&config).try_lock().unwrap() else { panic!() };
    assert!(why.contains("s3:BypassGovernanceRetention"), "{why}");

    let bucket = service.bucket("lock-trial-none");
    let config = locking(&service, &bucket.name(), LockMode::Compliance, 30);
    let why = connect(&config).try_lock().unwrap_err().to_string();
    assert!(why.contains("has no object lock"), "{why}");
    assert!(connect(&config).lock(&[key("a")]).unwrap()[0].is_err());
}

/// As services do that take the headers and forget them.
#[test]
fn a_copy_whose_lock_does_not_show_is_none() {
    let service = seaweed();
    let bucket = service.lockable_bucket("lock-forgotten");
    let proxy = Proxy::before(&service.url, |asked| match asked.is("HEAD", "copies/a") {
        true => Act::Change("x-amz-object-lock-mode", ""),
        false => Act::Forward,
    });
    let config = locking(&service.through(&proxy.url), &bucket.name(), LockMode::Compliance, 30);
    let why = store(&config, &key("a"), b"bytes".to_vec()).unwrap_err();
    assert!(why.contains("cannot lock copies/a"), "{why}");
    assert!(connect(&config).lock(&[key("a")]).unwrap()[0].is_err());
}

#[test]
fn what_describes_the_copies_is_locked_with_them() {
    let service = seaweed();
    let bucket = service.lockable_bucket("lock-own");
    let config = locking(&service, &bucket.name(), LockMode::Compliance, 30);
    for (name, is_locked) in [
        ("catalogue-20260101T000000Z-a.jsonl.zst", true),
        ("catalogue-20260101T000000Z-a.jsonl.zst.sha256", true),
        ("installation.json", true),
        ("token-1", false),
        ("damaged/20260101T000000Z-a/10.5072/a", false),
    ] {
        let own = ObjectKey::own(name).unwrap();
        store(&config, &own, b"own".to_vec()).unwrap();
        assert_eq!(locks(&config, &own)[0].is_some(), is_locked, "{name}");
    }
    // It can be removed, as every copy can be: what has its lock stays, and does not show.
    let old = ObjectKey::own("catalogue-20260101T000000Z-a.jsonl.zst").unwrap();
    let mut session = connect(&config);
    session.remove_own(&old).unwrap();
    assert_eq!(session.stat(std::slice::from_ref(&old)).unwrap().remove(0).unwrap(), None);
    assert_eq!(locks(&config, &old).len(), 2);
}
