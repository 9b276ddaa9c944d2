//! Object lock: until when a version cannot be deleted, put with it, seen, and made longer.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use dvb_model::ObjectKey;
use md5::Digest as _;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::client::Answer;
use crate::config::{LockMode, ObjectLock};
use crate::error::Fault;
use crate::prove::head;
use crate::sink::Shared;

/// What a version has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    pub(crate) mode: LockMode,
    pub(crate) until: OffsetDateTime,
}

impl Retention {
    /// From the headers of an object; `None` where it has no lock, or this account may not see it.
    pub(crate) fn of(answer: &Answer) -> Result<Option<Self>, Fault> {
        let (Some(mode), Some(until)) =
            (answer.header("x-amz-object-lock-mode"), answer.header("x-amz-object-lock-retain-until-date"))
        else {
            return Ok(None);
        };
        let mode = if mode.eq_ignore_ascii_case("COMPLIANCE") { LockMode::Compliance } else { LockMode::Governance };
        let until = OffsetDateTime::parse(until, &Rfc3339).map_err(|_| Fault::Lacking("date of a lock that is one"))?;
        Ok(Some(Self { mode, until }))
    }

    fn is_at_least(self, other: Self) -> bool {
        // Services keep whole seconds.
        self.until >= other.until - Duration::SECOND
            && (self.mode == LockMode::Compliance || other.mode == LockMode::Governance)
    }
}

impl ObjectLock {
    fn for_new(self) -> Retention {
        Retention { mode: self.mode, until: OffsetDateTime::now_utc() + Duration::days(self.days.into()) }
    }

    /// With less, it is to be made longer.
    fn at_least(self) -> Retention {
        Retention { mode: self.mode, until: OffsetDateTime::now_utc() + Duration::days(self.days.into()) / 2 }
    }
}

/// The lock that what is stored at this key is to have. Of the backup's own objects most must stay removable.
pub(crate) fn wanted(shared: &Shared, key: &str) -> Option<ObjectLock> {
    let key = ObjectKey::new(key.strip_prefix(&shared.prefix)?).ok()?;
    shared.config.object_lock.filter(|_| !key.is_own() || key.is_record())
}

/// `x-amz-object-lock-…` of a request that stores.
pub(crate) fn headers(shared: &Shared, key: &str) -> Vec<(&'static str, String)> {
    wanted(shared, key).map_or_else(Vec::new, |it| headers_of(it.for_new()))
}

pub(crate) fn headers_of(it: Retention) -> Vec<(&'static str, String)> {
    vec![
        ("x-amz-object-lock-mode", it.mode.header().to_owned()),
        ("x-amz-object-lock-retain-until-date", written(it.until)),
    ]
}

fn written(at: OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC);
    let (date, (hour, minute, second)) = (at.date(), at.to_hms());
    format!("{date}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Whether what was just stored at a key has its lock: some services take the headers and forget them.
pub(crate) fn confirm(shared: &Shared, key: &str) -> Result<(), Fault> {
    let Some(lock) = wanted(shared, key) else { return Ok(()) };
    let answer = head(shared, key)?.ok_or(Fault::Lacking("object that was just stored"))?;
    match Retention::of(&answer)? {
        Some(found) if found.is_at_least(lock.at_least()) => Ok(()),
        _ => Err(Fault::Lacking(UNSEEN)),
    }
}

const UNSEEN: &str = "lock of it that was asked for (may this account see it, by s3:GetObjectRetention?)";

/// Has what lies at a key locked for at least half of the time that is asked for, and tells until when it is.
pub(crate) fn renew(shared: &Shared, key: &str) -> Result<OffsetDateTime, Fault> {
    let Some(lock) = shared.config.object_lock else { return Err(Fault::Lacking("lock")) };
    let answer = shared.client.ask(&shared.call("HEAD", key))?;
    let (new, found) = (lock.for_new(), Retention::of(&answer)?);
    if let Some(found) = found.filter(|it| it.is_at_least(lock.at_least())) {
        return Ok(found.until);
    }
    let version = answer.header("x-amz-version-id").map(str::to_owned);
    let stronger = |it: Retention| Retention {
        mode: if it.mode == LockMode::Compliance { it.mode } else { new.mode },
        until: it.until.max(new.until),
    };
    Ok(put(shared, key, version.as_deref(), found.map_or(new, stronger))?.until)
}

/// Gives a version a lock, and looks that it has it.
pub(crate) fn put(shared: &Shared, key: &str, version: Option<&str>, it: Retention) -> Result<Retention, Fault> {
    let of_version = |mut call: crate::client::Call<'_>| {
        call.query.extend(version.map(|it| ("versionId", it.to_owned())));
        shared.client.ask(&call)
    };
    let body = format!(
        "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{}</Mode><RetainUntilDate>{}</RetainUntilDate>\
         </Retention>",
        it.mode.header(),
        written(it.until)
    );
    let mut call = shared.call("PUT", key);
    call.query.push(("retention", String::new()));
    call.headers.push(("content-md5", BASE64.encode(md5::Md5::digest(&body))));
    call.body = body.as_bytes();
    of_version(call)?;
    match Retention::of(&of_version(shared.call("HEAD", key))?)? {
        Some(found) if found.is_at_least(it) => Ok(found),
        _ => Err(Fault::Lacking(UNSEEN)),
    }
}
