//! Deleting copies in a container, for a lawful purge: with their versions, their segments, and what was cut.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, RangeInclusive};

use dvb_http::Interrupt;
use dvb_model::{ObjectKey, RunId};
use dvb_storage::{Cause, Held, HeldKind, Purger, Setting, SinkError, parallel_map};
use ureq::http::Method;

use crate::client::{Client, Request};
use crate::config::SwiftSinkConfig;
use crate::container;
use crate::context::{MARKS, MOVED, SEGMENTS, of_key, segments_of};
use crate::error::{SwiftFailure, status};
use crate::manifest;
use crate::path::{Path, quote, unquote};
use crate::versions::{Row, Versioning};

/// What the backup keeps for itself.
const OWN: &str = ".dataverse-backup/";
/// Where copies that were set aside as damaged lie, a folder for each run.
const DAMAGED: &str = ".dataverse-backup/damaged/";

/// A container with that of its segments, with the right to delete in both.
pub struct SwiftPurger {
    config: SwiftSinkConfig,
    client: Client,
    /// How each container keeps versions.
    versioning: BTreeMap<String, Versioning>,
}

/// Containers, and objects in them.
type Names = BTreeSet<(String, String)>;

/// Whether an object is a large one.
#[derive(Debug, Default)]
struct Told {
    is_static: bool,
    /// What the names of the segments of a dynamic large object begin with, as the server says it.
    prefix: Option<String>,
}

impl SwiftPurger {
    /// A container; nothing is contacted yet.
    ///
    /// # Errors
    /// [`Cause::Misconfigured`], when the certificates of the account make no sense.
    pub fn new(config: SwiftSinkConfig) -> Result<Self, SinkError> {
        let client = Client::new(config.account.clone(), Interrupt::default());
        let client = client.map_err(|it| it.into_sink(format!("cannot use container {}", config.container)))?;
        Ok(Self { config, client, versioning: BTreeMap::new() })
    }

    fn segments(&self) -> String {
        segments_of(&self.config.container)
    }

    /// How a container keeps versions; `None` where there is none.
    fn versioning(&mut self, container: &str) -> Result<Option<Versioning>, SwiftFailure> {
        if let Some(known) = self.versioning.get(container) {
            return Ok(Some(known.clone()));
        }
        let found = Versioning::of(&self.client, container)?;
        self.versioning.extend(found.iter().map(|it| (container.to_owned(), it.clone())));
        Ok(found)
    }

    /// All that a container has under names that begin so; nothing, where there is no such container.
    fn rows(&mut self, container: &str, prefix: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<Row>, SwiftFailure> {
        let Some(versioning) = self.versioning(container)? else { return Ok(Vec::new()) };
        let rows = versioning.rows(&self.client, container, prefix)?;
        Ok(rows.into_iter().filter(|it| wanted(&it.name)).collect())
    }

    /// Those that are there still, with what the server says of them: listings lag behind. Of markers it says nothing.
    fn there(&self, rows: Vec<Row>) -> Result<Vec<(Row, Told)>, SwiftFailure> {
        let looked = parallel_map(rows, self.config.requests, |row| {
            if row.is_marker {
                return Ok(Some((row, Told::default())));
            }
            let path = row.path();
            let head = Request::new(Method::HEAD, &path).query(row.query("?")).header("X-Newest", "true");
            match self.client.send(head) {
                Err(failure) if status(&failure) == Some(404) => self.link(row).map(|it| Some((it?, Told::default()))),
                answer => {
                    let answer = answer?;
                    let told = Told {
                        is_static: manifest::is_large(&answer),
                        prefix: answer.header("x-object-manifest").map(str::to_owned),
                    };
                    Ok(Some((Row { bytes: crate::http::length(&answer)?, ..row }, told)))
                }
            }
        });
        looked.into_iter().filter_map(Result::transpose).collect()
    }

    /// The link to a version that is gone. Swift 2.30 leaves it, and with it the name, where there is a `%` in that; it is
    /// what has the version `null`.
    fn link(&self, row: Row) -> Result<Option<Row>, SwiftFailure> {
        if self.versioning.get(&row.container) != Some(&Versioning::Ids) {
            return Ok(None);
        }
        let path = row.path();
        match self.client.send(Request::new(Method::HEAD, &path).query("?symlink=get").header("X-Newest", "true")) {
            Err(failure) if status(&failure) == Some(404) => Ok(None),
            // It may be that of a version which is there.
            Ok(_) if self.client.send(Request::new(Method::HEAD, &path)).is_ok() => Ok(None),
            answer => answer.map(|_| Some(Row { version: Some("null".to_owned()), is_marker: true, ..row })),
        }
    }

    /// These names with all their versions, also those that a listing does not have yet.
    fn named(&mut self, names: &Names) -> Result<Vec<Row>, SwiftFailure> {
        let mut folders: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for (container, name) in names {
            let folder = name.rfind('/').map_or("", |it| &name[..=it]);
            folders.entry((container, folder)).or_default().push(name);
        }
        let mut rows = Vec::new();
        for ((container, folder), of) in folders {
            let prefix = if let [only] = of.as_slice() { only } else { folder };
            rows.extend(self.rows(container, prefix, |it| of.contains(&it))?);
        }
        let listed: Names = rows.iter().map(|it| (it.container.clone(), it.object.clone())).collect();
        rows.extend(names.difference(&listed).map(|(container, object)| Row::unlisted(container, object)));
        Ok(rows)
    }

    /// The copies at a key, and those that were set aside of it.
    fn copies(&mut self, key: &ObjectKey) -> Result<Vec<(Row, Told)>, SwiftFailure> {
        let container = self.config.container.clone();
        let mut rows = self.named(&Names::from([(container.clone(), key.as_str().to_owned())]))?;
        if !key.is_own() {
            rows.extend(self.rows(&container, DAMAGED, |it| is_aside(key, it))?);
        }
        self.there(rows)
    }

    /// The segments of a large object; `None` where it is none.
    fn segments_of(&mut self, row: &Row, told: &Told) -> Result<Option<Names>, SwiftFailure> {
        if told.is_static {
            let found = manifest::read_version(&self.client, &row.path(), &row.query("&"))?;
            return found.iter().map(|it| address(&it.name)).collect::<Result<_, _>>().map(Some);
        }
        // What python-swiftclient makes of large files, such as the original's: all objects with a prefix.
        let Some(prefix) = &told.prefix else { return Ok(None) };
        let (container, prefix) = unquote(prefix).map_or(Err(strange(prefix)), |it| address(&it))?;
        if prefix.matches('/').count() < 2 || !prefix.ends_with('/') {
            let why = format!("{} takes all that lies below {container}/{prefix} for its segments", row.name);
            return Err(SwiftFailure::Protocol(why));
        }
        let rows = self.rows(&container, &prefix, |_| true)?;
        Ok(Some(rows.into_iter().map(|it| (container.clone(), it.name)).collect()))
    }

    /// Which of these segments a manifest at another key names, that of an object of so many bytes.
    fn shared(&self, key: &ObjectKey, bytes: RangeInclusive<u64>, of: &Names) -> Result<Names, SwiftFailure> {
        let (container, mut alike) = (&self.config.container, Vec::new());
        container::walk(&self.client, container, "", false, &mut |name, size| {
            if size.is_some_and(|it| bytes.contains(&it)) && name != key.as_str() && !is_aside(key, name) {
                alike.push(name.to_owned());
            }
            ControlFlow::Continue(())
        })?;
        let mut shared = Names::new();
        for name in alike {
            for segment in manifest::get(&self.client, &Path::object(container, &name))?.unwrap_or_default() {
                shared.extend(Some(address(&segment.name)?).filter(|it| of.contains(it)));
            }
        }
        Ok(shared)
    }

    /// What is named after the key among the segments, whether a manifest names it or not; what belongs to another key by
    /// now aside.
    fn named_after(&mut self, key: &ObjectKey) -> Result<Vec<Row>, SwiftFailure> {
        let (container, prefix) = (self.segments(), segments_named_after(key));
        let mut folders: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        for row in self.rows(&container, &prefix, |_| true)? {
            let folder = row.name.rsplit_once('/').map_or("", |it| it.0).to_owned();
            folders.entry(folder).or_default().push(row);
        }
        let mut found = Vec::new();
        for (folder, rows) in folders {
            if rows.iter().any(|it| it.name == format!("{folder}/{MOVED}")) {
                let names = rows.iter().map(|it| (container.clone(), it.name.clone())).collect();
                let least = rows.iter().map(|it| it.bytes).max().unwrap_or(0);
                if !self.shared(key, least..=u64::MAX, &names)?.is_empty() {
                    continue;
                }
            }
            found.extend(rows);
        }
        Ok(found)
    }

    /// Segments that these manifests name and that are not named after the key; those of another key's manifest aside.
    fn named_by(&mut self, key: &ObjectKey, copies: &[(Row, Names)]) -> Result<Vec<Row>, SwiftFailure> {
        let (container, own) = (self.segments(), segments_named_after(key));
        let mut named = Names::new();
        for (row, segments) in copies {
            let mut others = segments.clone();
            others.retain(|(at, name)| *at != container || !name.starts_with(&own));
            if others.is_empty() {
                continue;
            }
            let shared = self.shared(key, row.bytes..=row.bytes, &others)?;
            named.extend(others.difference(&shared).cloned());
        }
        let note = |(at, name): &(String, String)| {
            let is_ours = *at == container && name.starts_with(SEGMENTS);
            Some((at.clone(), format!("{}/{MOVED}", is_ours.then(|| name.rsplit_once('/'))??.0)))
        };
        named.extend(named.iter().filter_map(note).collect::<Names>());
        self.named(&named)
    }

    /// In the order in which they go: segments before what tells of them, markers last.
    fn find(&mut self, key: &ObjectKey) -> Result<Vec<Held>, SwiftFailure> {
        // Marks first: what is finished meanwhile becomes a copy.
        let (container, of_key) = (self.segments(), of_key(key.as_str()));
        let is_of_key = |name: &str| name.rsplit_once('/').is_some_and(|it| it.1.split('.').next() == Some(&of_key));
        let marks = self.rows(&container, MARKS, is_of_key)?;
        let (mut copies, mut manifests) = (Vec::new(), Vec::new());
        for (row, told) in self.copies(key)? {
            match self.segments_of(&row, &told)? {
                None => copies.push(self.held_of(row, HeldKind::Object)),
                Some(segments) => {
                    copies.push(self.held_of(row.clone(), HeldKind::Manifest));
                    manifests.push((row, segments));
                }
            }
        }
        let mut segments = self.named_after(key)?;
        segments.extend(self.named_by(key, &manifests)?);
        let mut held = Vec::new();
        for (kind, rows) in [(HeldKind::Segment, segments), (HeldKind::Upload, marks)] {
            held.extend(self.there(rows)?.into_iter().map(|(row, _)| self.held_of(row, kind)));
        }
        held.extend(copies);
        held.sort_by_key(|it| it.kind == HeldKind::Marker);
        held.dedup();
        Ok(held)
    }

    /// Each name that begins so, of whatever version.
    fn find_own(&mut self, prefix: &str) -> Result<Vec<ObjectKey>, SwiftFailure> {
        let container = self.config.container.clone();
        let names: BTreeSet<String> = self.rows(&container, prefix, |_| true)?.into_iter().map(|it| it.name).collect();
        // A name that no key can have is none of ours.
        Ok(names.iter().filter_map(|it| ObjectKey::new(it).ok()).collect())
    }

    fn held_of(&self, row: Row, kind: HeldKind) -> Held {
        let kind = if row.is_marker { HeldKind::Marker } else { kind };
        let size = match kind {
            HeldKind::Object | HeldKind::Segment => row.bytes,
            HeldKind::Manifest | HeldKind::Upload | HeldKind::Marker => 0,
        };
        let name = match row.container == self.config.container {
            true => row.object,
            false => format!("/{}/{}", row.container, row.object),
        };
        Held { name, version: row.version, size, kind, lock: None }
    }

    fn failed(&self, doing: &str, failure: SwiftFailure) -> SinkError {
        failure.into_sink(format!("cannot {doing} in {}", self.describe()))
    }
}

/// Whether a name is that of a copy that a run set aside of a key.
fn is_aside(key: &ObjectKey, name: &str) -> bool {
    let run = name.strip_prefix(DAMAGED).and_then(|it| it.split_once('/'));
    run.is_some_and(|(run, _)| key.set_aside(&RunId(run.to_owned())).is_ok_and(|it| it.as_str() == name))
}

/// What the names of segments begin with that were stored for a key.
fn segments_named_after(key: &ObjectKey) -> String {
    format!("{SEGMENTS}{}/", of_key(key.as_str()))
}

/// Container and object of a name as a manifest has it.
fn address(name: &str) -> Result<(String, String), SwiftFailure> {
    let (container, object) = name.trim_start_matches('/').split_once('/').ok_or_else(|| strange(name))?;
    Ok((container.to_owned(), object.to_owned()))
}

fn strange(name: &str) -> SwiftFailure {
    SwiftFailure::Protocol(format!("{name:?} is no name of a segment"))
}

impl Purger for SwiftPurger {
    fn describe(&self) -> String {
        format!("container {} at {}", self.config.container, self.config.account.auth_url)
    }

    fn held(&mut self, key: &ObjectKey) -> Result<Vec<Held>, SinkError> {
        let container = self.config.container.clone();
        if self.versioning(&container).map_err(|it| self.failed("look for versions", it))?.is_none() {
            let attempt = format!("the {} does not exist; check {}", self.describe(), Setting::Container);
            return Err(SinkError::new(Cause::Absent, attempt));
        }
        self.find(key).map_err(|it| self.failed(&format!("list all versions and segments of {key}"), it))
    }

    fn own_keys(&mut self, prefix: &str) -> Result<Vec<ObjectKey>, SinkError> {
        let prefix = format!("{OWN}{prefix}");
        self.find_own(&prefix).map_err(|it| self.failed(&format!("list all versions of what begins with {prefix}"), it))
    }

    fn delete(&mut self, held: &Held) -> Result<(), SinkError> {
        let path = match held.name.starts_with('/') {
            true => Path::absolute(&held.name),
            false => Path::object(&self.config.container, &held.name),
        };
        let version = held.version.as_ref();
        let query = version.map(|it| format!("?version-id={}", quote(it))).unwrap_or_default();
        match self.client.send(Request::new(Method::DELETE, &path).query(query)) {
            Err(failure) if status(&failure) == Some(404) => Ok(()),
            Err(failure) => Err(self.failed(&format!("delete {}", held.name), failure)),
            Ok(mut answer) => {
                answer.why();
                Ok(())
            }
        }
    }
}
