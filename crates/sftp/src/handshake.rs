//! The start of a session: the root, a folder for temporaries, and what the server turns out to be able to do.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dvb_fixity::{Algorithm, Evidence, Measured};
use dvb_model::RunId;
use dvb_storage::{Cause, Demand, Room, Setting, SinkError};
use tracing::debug;

use crate::client::{Client, is_vague};
use crate::config::SftpConfig;
use crate::connect::connect;
use crate::connection::Connection;
use crate::digest::Tools;
use crate::error::{Fault, refusal};
use crate::folders::Folders;
use crate::fsync::Trial;
use crate::lessons::Lessons;
use crate::pace::Interrupt;
use crate::session::{SCARCE, SftpSession, TEMP, told_room};
use crate::shell::{self, Asked};
use crate::upload::{Failure, Names};
use crate::wire::{self, Reply, Request};

/// How the names of a session's own trial files begin.
pub(crate) const PROBE: &str = "probe-";
/// The folder of temporaries at a destination where nothing can be removed: one for all runs, for it stays. No run's
/// folder has this name.
pub(crate) const KEPT: &str = ".kept";
/// What stands between a run and the rest of a name there.
pub(crate) const OF_RUN: char = '~';
/// A shell that takes longer to start is worth a note.
const SLOW_SHELL: Duration = Duration::from_secs(5);

/// Connects and tries out what can be had.
///
/// # Errors
/// [`SinkError`], as [`Sink::connect`](dvb_storage::Sink::connect) promises.
pub(crate) fn start(
    config: &SftpConfig,
    run: &RunId,
    lessons: &Arc<Lessons>,
    interrupt: &Interrupt,
) -> Result<SftpSession, SinkError> {
    let who = config.describe();
    let fault = |doing: &'static str| {
        let who = who.clone();
        move |it: Fault| unavailable(it, doing, &who)
    };
    let wants_shell = config.demand != Demand::ReadBack && lessons.may_use_shell();
    let Entered { client, root, keeps_all, shell_since } = enter(config, lessons, interrupt, wants_shell, false)?;
    let word = shell::random_word().map_err(fault("set up"))?.split_off(24);
    let (folder, before) = match keeps_all {
        true => (KEPT.to_owned(), format!("{}{OF_RUN}", encode_run(run))),
        false => (encode_run(run), String::new()),
    };
    let mut it = SftpSession {
        temp: format!("{root}/{TEMP}/{folder}"),
        names: Names::new(before, word),
        folders: Folders::new(root.clone()),
        client,
        who: who.clone(),
        root,
        writable: Ok(()),
        tools: None,
        algorithms: vec![Algorithm::Sha256],
        evidence: Evidence::ReadBack,
        refuses_taken: false,
        flushed: HashSet::new(),
        flushes_folders: Trial::Known(false),
        keeps_all,
        lessons: Arc::clone(lessons),
        spared: 0,
        ahead: HashMap::new(),
        tried: crate::names::Tried::new(),
        lost: false,
    };
    let shell = wants_shell.then_some((shell_since, config.connect_timeout));
    let full = it.prepare(&folder, shell).map_err(fault("try out"))?;
    debug!(
        destination = who,
        root = it.root,
        shell = !it.client.connection.shell_ended(),
        evidence = ?it.evidence,
        extensions = ?it.client.offers,
        writable = it.writable.is_ok(),
        "session"
    );
    if config.demand == Demand::RemoteHash && it.tools.is_none() {
        return Err(match (it.writable, full) {
            (Err((cause, words)), _) => SinkError::new(cause, words),
            (Ok(()), Some(error)) => error,
            (Ok(()), None) => SinkError::new(
                if lessons.may_use_shell() { Cause::Misconfigured } else { Cause::Unavailable },
                match lessons.may_use_shell() {
                    true => format!(
                        "{who} computes no digest: the account may run no command, or has none of sha256sum, shasum, sha256 \
                         and openssl. Allow it, or set Verify to auto or read-back"
                    ),
                    false => {
                        format!("{}; or set Verify to auto or read-back", lessons.notes().join("; "))
                    }
                },
            ),
        });
    }
    Ok(it)
}

fn unavailable(fault: Fault, doing: &'static str, who: &str) -> SinkError {
    let mut error = fault.into_error(format!("cannot {doing} {who}"));
    if error.cause == Cause::Transient {
        error.cause = Cause::Unavailable;
    }
    error
}

/// Makes the folder that the copies lie in.
///
/// # Errors
/// [`SinkError`], as [`Sink::make`](dvb_storage::Sink::make) promises.
pub(crate) fn make(config: &SftpConfig, lessons: &Arc<Lessons>, interrupt: &Interrupt) -> Result<(), SinkError> {
    enter(config, lessons, interrupt, false, true).map(drop)
}

/// Takes away the folder that the copies were to lie in; one that is not empty stays.
///
/// # Errors
/// [`SinkError`], as [`Sink::unmake`](dvb_storage::Sink::unmake) promises.
pub(crate) fn unmake(config: &SftpConfig, lessons: &Arc<Lessons>, interrupt: &Interrupt) -> Result<(), SinkError> {
    let who = config.describe();
    let Entered { mut client, root, .. } = match enter(config, lessons, interrupt, false, false) {
        Err(error) if error.cause == Cause::Absent => return Ok(()),
        entered => entered?,
    };
    // A server says of one that is not empty only that it failed.
    let fault = |it| unavailable(it, "remove the empty folder of", &who);
    client.order(&[Request::RemoveDir { path: &root }]).map(drop).map_err(fault)
}

/// The room there is, where the server tells it.
///
/// # Errors
/// [`SinkError`], as [`Sink::room`](dvb_storage::Sink::room) promises.
pub(crate) fn room(
    config: &SftpConfig,
    lessons: &Arc<Lessons>,
    interrupt: &Interrupt,
) -> Result<Option<Room>, SinkError> {
    let who = config.describe();
    let Entered { mut client, root, .. } = enter(config, lessons, interrupt, false, false)?;
    let told = told_room(&mut client, &root).map_err(|it| unavailable(it, "read the free space on", &who))?;
    Ok(told.map(|it| Room { free: it.bytes, total: it.total }))
}

/// A login, and the folder that the copies lie in.
struct Entered {
    client: Client,
    root: String,
    /// Nothing can be removed there.
    keeps_all: bool,
    /// When a shell was asked for, if one was.
    shell_since: Instant,
}

fn enter(
    config: &SftpConfig,
    lessons: &Arc<Lessons>,
    interrupt: &Interrupt,
    wants_shell: bool,
    make: bool,
) -> Result<Entered, SinkError> {
    let who = config.describe();
    let mut transport = connect(config, interrupt)?;
    let shell_since = Instant::now();
    let channels = transport.open(wants_shell, shell_since + config.connect_timeout, interrupt).map_err(|error| {
        let attempt = format!("cannot start SFTP with {who}; check that the server offers SFTP to this account");
        SinkError::because(Cause::Unavailable, attempt, error)
    })?;
    let connection = Connection::new(transport, channels, config.idle_timeout, interrupt.clone());
    let given = given_root(config);
    let kept = format!("{given}/{TEMP}/{KEPT}");
    let first = [Request::Stat { path: given }, Request::RealPath { path: given }, Request::Stat { path: &kept }];
    let handles = Arc::clone(&lessons.handles);
    let begun = Client::start(connection, config.connect_timeout, handles, &first);
    let (mut client, mut seen) = begun.map_err(|fault| {
        let is_late = matches!(fault, Fault::Silent(_));
        let mut error = unavailable(fault, "start SFTP with", &who);
        if is_late {
            // sshd starts a program for SFTP by the login shell, which runs its start-up files first.
            error.attempt.push_str(&format!(
                " within {}; if the server is well, look what the start-up files of the account's login shell (.bashrc, \
                 .profile) do where nobody sits at a terminal",
                Setting::ConnectTimeout
            ));
        }
        error
    })?;
    let keeps_all = matches!(seen.pop(), Some(Reply::Attributes(it)) if it.is_folder());
    let found = find_root(&mut client, given, seen, make, &who);
    let root = found.map_err(|it| unavailable(it, "stat the folder on", &who))??;
    Ok(Entered { client, root, keeps_all, shell_since })
}

/// A run's id as the name of a folder: whatever could be more than a name is written as `%XX`.
fn encode_run(run: &RunId) -> String {
    let mut name = String::new();
    for (n, byte) in run.0.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' || (byte == b'.' && n > 0);
        if plain { name.push(byte.into()) } else { name.push_str(&format!("%{byte:02X}")) }
    }
    name
}

/// The run whose folder has this name.
pub(crate) fn decode_run(name: &[u8]) -> Option<RunId> {
    let mut bytes = Vec::new();
    let mut rest = std::str::from_utf8(name).ok()?;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(after.get(..2)?, 16).ok()?);
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok().map(RunId)
}

/// Where the copies lie, as it is asked for.
fn given_root(config: &SftpConfig) -> &str {
    match config.root.strip_prefix("~/").unwrap_or(&config.root).trim_end_matches('/') {
        "" if config.root.starts_with('/') => "/",
        "" | "~" => ".",
        it => it,
    }
}

/// Where the copies lie, by its absolute name, so that SFTP and the shell mean the same. `seen` is what the server said
/// to STAT and REALPATH.
fn find_root(
    client: &mut Client,
    given: &str,
    mut seen: Vec<Reply<'static>>,
    make: bool,
    who: &str,
) -> Result<Result<String, SinkError>, Fault> {
    let is_folder =
        |it: Option<&Reply<'_>>| matches!(it, Some(Reply::Attributes(it)) if it.is_folder() || it.mode.is_none());
    if !is_folder(seen.first()) && !make {
        return Ok(Err(match seen.into_iter().next() {
            Some(Reply::Status(it)) if it.code == crate::wire::SSH_FX_NO_SUCH_FILE => SinkError::new(
                Cause::Absent,
                format!(
                    "{who}: the folder does not exist; check {}, and that its disk is mounted there",
                    Setting::Folder
                ),
            ),
            Some(Reply::Status(it)) => {
                refusal(format!("{who}: the folder cannot be entered; check {}", Setting::Folder), it)
            }
            _ => {
                SinkError::new(Cause::Misconfigured, format!("{who}: that is not a folder; check {}", Setting::Folder))
            }
        }));
    }
    if !is_folder(seen.first()) {
        let made = client.order(&[Request::MakeDir { path: given, mode: crate::folders::FOLDER_MODE }])?.remove(0);
        seen = client.ask(&[Request::Stat { path: given }, Request::RealPath { path: given }])?;
        if let Err(status) = made
            && !is_folder(seen.first())
        {
            let mut error = refusal(
                format!("{who}: the folder is not there and cannot be made; create it, or correct {}", Setting::Folder),
                status,
            );
            if error.cause != Cause::Forbidden {
                error.cause = Cause::Misconfigured;
            }
            return Ok(Err(error));
        }
    }
    let path = match seen.pop() {
        Some(Reply::Names(entries)) => entries.into_iter().next().and_then(|it| String::from_utf8(it.name).ok()),
        _ => None,
    };
    Ok(path.filter(|it| it.starts_with('/')).map(|it| it.trim_end_matches('/').to_owned()).ok_or_else(|| {
        SinkError::new(Cause::Unavailable, format!("{who}: the server does not report the folder's full path"))
    }))
}

impl SftpSession {
    /// Makes the folder for temporaries, and tries with a few small files what the server can do; tells why not, where
    /// that may pass. What does not depend on each other travels together.
    fn prepare(&mut self, folder: &str, shell: Option<(Instant, Duration)>) -> Result<Option<SinkError>, Fault> {
        let temp = format!("{TEMP}/{folder}");
        let secret = shell::random_word()?.into_bytes();
        let known = if self.keeps_all && shell.is_some() { self.find_known_file()? } else { None };
        let truth = known.as_ref().map_or_else(|| Measured::of(&secret, &Algorithm::ALL), |it| it.1.clone());
        let is_known = known.is_some();
        let probes = match known {
            Some((path, _)) => Ok((vec![path], None)),
            None => self.make_probes(&temp, &secret, shell.is_some())?,
        };
        let (paths, failure) = match probes {
            Ok(it) => it,
            Err((folder, status)) => {
                self.not_writable(&format!("make the folder {folder}"), status)?;
                return Ok(None);
            }
        };
        if let Some(Failure::Refused(attempt, status, room)) = failure {
            let error = self.refused(attempt, status.clone(), room, SCARCE);
            self.drop_files(&paths.iter().map(String::as_str).collect::<Vec<_>>())?;
            // Room may be found again while the session lasts; permission will not.
            if error.cause == Cause::Full {
                return Ok(Some(error));
            }
            self.not_writable(attempt, status)?;
            return Ok(None);
        }
        // The last one is the shell's, which works on it while the others are tried.
        let hashed = paths.last().filter(|_| !self.client.connection.shell_ended());
        let asked = match (shell, hashed) {
            (Some((since, limit)), Some(path)) => {
                Some((Tools::probe(&mut self.client, &self.temp, path, limit), since, limit))
            }
            _ => None,
        };
        if let [a, b, ..] = paths.as_slice() {
            let opened = self.begin_to_open_folder();
            self.try_to_rename_and_remove(a, b)?;
            self.try_to_flush_folders(opened)?;
        }
        if let Some((asked, since, limit)) = asked {
            self.tools = self.find_tools(asked, &truth, since, limit)?;
        }
        if let Some(best) = self.tools.as_ref().and_then(Tools::best) {
            self.algorithms = vec![best];
            self.evidence = Evidence::RemoteHash;
        }
        match paths.as_slice() {
            [_, _, hashed] if !self.keeps_all => {
                // One that stays for a moment is swept with the folder.
                let removed = self.client.begin(&Request::Remove { path: hashed });
                self.client.forget(removed);
            }
            [_, _] => {}
            [_] if is_known => {}
            [trial] if self.tools.is_some() => self.leave_known_file(trial)?,
            [_, _, rest @ ..] | rest => self.drop_files(&rest.iter().map(String::as_str).collect::<Vec<_>>())?,
        }
        if self.keeps_all {
            self.lessons.note(format!(
                "the account of {} can remove nothing: temporary files that come to nothing stay in {TEMP}/{KEPT}, and later \
                 ones take their place",
                self.who
            ));
            let opened = self.begin_to_open_folder();
            self.try_to_flush_folders(opened)?;
        }
        Ok(None)
    }

    /// Whether one file can take another's place by RENAME, and whether files can be removed.
    fn try_to_rename_and_remove(&mut self, a: &str, b: &str) -> Result<(), Fault> {
        let tried = [Request::Rename { from: a, to: b }, Request::Remove { path: a }, Request::Remove { path: b }];
        let (mut attempts, mut refuses) = (0, false);
        let mut left = Vec::new();
        self.client.patiently(1, |client, _| {
            attempts += 1;
            let answers = client.order(&tried)?;
            refuses = answers[0].is_err();
            let still = |it: &&(&str, &Result<(), wire::Status>)| {
                it.1.as_ref().is_err_and(|status| status.code != wire::SSH_FX_NO_SUCH_FILE)
            };
            let files: Vec<_> = [a, b].into_iter().zip(&answers[1..]).collect();
            left = files.iter().filter(still).map(|it| it.0).collect();
            let again = files.iter().filter(still).any(|it| it.1.as_ref().is_err_and(is_vague));
            Ok(if again { vec![0] } else { Vec::new() })
        })?;
        // A server that refuses this will not let one copy take the place of another; one that refuses everything for
        // a moment has said nothing of it.
        self.refuses_taken = refuses && attempts == 1;
        self.keeps_all = !left.is_empty();
        if self.keeps_all {
            let kept = format!("{TEMP}/{KEPT}");
            self.folders.make(&mut self.client, [kept.as_str()].into_iter())?;
            self.drop_files(&left)?;
        }
        Ok(())
    }

    fn not_writable(&mut self, attempt: &str, status: crate::wire::Status) -> Result<(), Fault> {
        let error = self.explain(&format!("{attempt}; the account must be able to write there"), status)?;
        self.writable = Err((error.cause, error.chain()));
        Ok(())
    }

    /// A shell that sees the same files as SFTP and has a program for digests.
    fn find_tools(
        &mut self,
        asked: Result<Asked, Fault>,
        truth: &Measured,
        since: Instant,
        limit: Duration,
    ) -> Result<Option<Tools>, Fault> {
        let probed = asked.and_then(|it| Tools::of_probe(&mut self.client, &it, truth));
        let took = since.elapsed();
        match probed {
            Ok(tools) => {
                if took >= SLOW_SHELL {
                    let (who, took) = (&self.who, took.as_secs());
                    self.lessons.note(format!(
                        "the login shell of {who} took {took} s to start, and each session waits for it: look what its \
                         start-up files (.bashrc, .profile) do where nobody sits at a terminal"
                    ));
                }
                Ok(tools.best().is_some().then_some(tools))
            }
            Err(Fault::Ended(_) | Fault::Silent(_)) => {
                if took >= limit {
                    let (who, took) = (&self.who, took.as_secs());
                    self.lessons.give_up_shell(format!(
                        "the login shell of {who} did not answer for {took} s, so that copies are proved by reading them back: \
                         look what its start-up files (.bashrc, .profile) do where nobody sits at a terminal; \
                         {} says how long it is waited for",
                        Setting::ConnectTimeout
                    ));
                }
                self.client.connection.forget_shell();
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_folder_names_are_one_to_one() {
        for run in ["20260101T000000Z-1", "..", ".x", "a/b", "ü%41"] {
            let name = encode_run(&RunId(run.to_owned()));
            assert!(!name.contains('/') && !name.starts_with('.'), "{name}");
            assert_eq!(decode_run(name.as_bytes()), Some(RunId(run.to_owned())));
        }
    }
}
