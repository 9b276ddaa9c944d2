//! Digests that the server computes, by whatever program it has for that.

use std::collections::HashMap;
use std::time::Duration;

use dvb_fixity::{Algorithm, Digest, Measured};

use crate::client::Client;
use crate::error::Fault;
use crate::shell::{self, Asked, quoted};
use crate::wire::{self, Status};

/// Programs that print a digest first and then the name, best first. `openssl` comes last, as it starts slowly.
const PROGRAMS: [(Algorithm, &[&str]); 4] = [
    (Algorithm::Sha256, &["sha256sum", "shasum -a 256", "sha256 -r", FOR_LARGE]),
    (Algorithm::Sha512, &["sha512sum", "shasum -a 512", "sha512 -r", "openssl dgst -sha512 -r"]),
    (Algorithm::Sha1, &["sha1sum", "shasum -a 1", "sha1 -r", "openssl dgst -sha1 -r"]),
    (Algorithm::Md5, &["md5sum", "md5 -r", "openssl dgst -md5 -r"]),
];
/// Uses the processor's SHA instructions, which the coreutils of many systems do not: three to four times as fast.
const FOR_LARGE: &str = "openssl dgst -sha256 -r";
/// Bytes in one batch from which on speed counts more than a slow start.
const LARGE: u64 = 1024 * 1024;
/// Flushes the file system (syncfs(2)) and tells of errors; other programs of that name flush less, or do not wait.
const FLUSH: &str = "case $(sync --version </dev/null) in *coreutils*) sync -f . && printf 'flush|ok\\n';; esac\n";
/// Bytes of names in one command: every system takes this much (POSIX's `ARG_MAX` is larger wherever SSH runs).
const LINE: usize = 64 * 1024;

/// The server's programs that gave the right digest of a file that nobody could have known before.
#[derive(Debug)]
pub(crate) struct Tools {
    found: Vec<(Algorithm, String)>,
    large: bool,
    flush: bool,
}

/// What came of asking for digests.
pub(crate) struct Answer {
    /// In the order of the targets; `None` where the server could not tell.
    pub(crate) digests: Vec<Option<Digest>>,
    /// Whether the file system was flushed.
    pub(crate) flushed: bool,
}

/// A file to be hashed: its name as the shell finds it, and its size where known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) name: &'a str,
    pub(crate) size: u64,
}

/// What is flushed to stable storage while digests are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flush {
    Nothing,
    /// The files that are hashed; few enough for one command.
    These,
    /// The whole file system that they lie in.
    All,
}

impl Tools {
    /// Has the shell go to `folder` and hash `name` there by all programs: only the answer counts, for some servers answer
    /// every command with nothing and success. [`Tools::of_probe`] takes the answer.
    ///
    /// # Errors
    /// [`Fault`], when there is no shell.
    pub(crate) fn probe(client: &mut Client, folder: &str, name: &str, limit: Duration) -> Result<Asked, Fault> {
        let mut script = format!("exec 2>/dev/null\nLC_ALL=C\nexport LC_ALL\ncd {} || exit 1\n", quoted(folder));
        let large: &[&str] = &[FOR_LARGE];
        let tries = PROGRAMS.iter().map(|it| it.1).chain([large]);
        for (n, programs) in tries.enumerate() {
            let programs: Vec<String> = programs.iter().map(|it| quoted(it)).collect();
            script.push_str(&format!(
                "for t in {}; do if r=$($t {} </dev/null); then printf '%s\\n' \"{n}|$t|$r\"; break; fi; done\n",
                programs.join(" "),
                quoted(name)
            ));
        }
        script.push_str(FLUSH);
        shell::send(client, &script, limit)
    }

    /// The programs that told the truth of the file.
    ///
    /// # Errors
    /// [`Fault`], when the shell does not answer.
    pub(crate) fn of_probe(client: &mut Client, asked: &Asked, truth: &Measured) -> Result<Self, Fault> {
        let answer = shell::wait(client, asked)?;
        let mut tools = Self { found: Vec::new(), large: false, flush: false };
        for line in String::from_utf8_lossy(&answer).lines() {
            tools.flush |= line == "flush|ok";
            let mut parts = line.splitn(3, '|');
            let (Some(n), Some(program), Some(printed)) = (parts.next(), parts.next(), parts.next()) else { continue };
            let right = first_digest(printed).is_some_and(|it| truth.matches(&it) == Some(true));
            match PROGRAMS.get(n.parse().unwrap_or(usize::MAX)) {
                Some((algorithm, known)) if right && known.contains(&program) => {
                    tools.found.push((*algorithm, program.to_owned()));
                }
                None if right && program == FOR_LARGE => tools.large = true,
                Some(_) | None => {}
            }
        }
        Ok(tools)
    }

    /// The algorithm that a proof is made by.
    pub(crate) fn best(&self) -> Option<Algorithm> {
        self.found.first().map(|it| it.0)
    }

    /// Whether all of these can be computed.
    pub(crate) fn know(&self, algorithms: &[Algorithm]) -> bool {
        algorithms.iter().all(|it| self.program(*it, 0).is_some())
    }

    /// Whether many files can be flushed at once.
    pub(crate) fn can_flush(&self) -> bool {
        self.flush
    }

    /// Flushes the file system of the temporaries, which is that of the copies: a rename goes no further.
    ///
    /// # Errors
    /// [`Fault`], when it cannot be flushed, or the shell ended.
    pub(crate) fn flush(&self, client: &mut Client) -> Result<(), Fault> {
        let limit = client.connection.pace.for_bytes(0);
        let asked = shell::send(client, "sync -f . && printf 'flush|ok\\n'", limit)?;
        if is_flushed(&shell::wait(client, &asked)?) {
            return Ok(());
        }
        Err(Fault::Flush(Status { code: wire::SSH_FX_FAILURE, message: "sync -f failed".into() }))
    }

    /// The program for a batch of so many bytes.
    fn program(&self, algorithm: Algorithm, bytes: u64) -> Option<&str> {
        if algorithm == Algorithm::Sha256 && self.large && bytes >= LARGE {
            return Some(FOR_LARGE);
        }
        self.found.iter().find(|it| it.0 == algorithm).map(|it| it.1.as_str())
    }

    /// Asks for the digests of many files in few commands, and meanwhile to flush them where told; [`Tools::read`]
    /// takes the answer.
    ///
    /// # Errors
    /// [`Fault`], when there is no shell.
    pub(crate) fn ask(
        &self,
        client: &mut Client,
        targets: &[Target<'_>],
        algorithm: Algorithm,
        flush: Flush,
    ) -> Result<Asked, Fault> {
        let mut script = String::new();
        match flush {
            Flush::Nothing => {}
            // Of few files, each on its own: the rest of the file system may be somebody else's.
            Flush::These => {
                let names: Vec<String> = targets.iter().map(|it| quoted(it.name)).collect();
                script.push_str(&format!("sync {} & s=$!\n", names.join(" ")));
            }
            Flush::All => script.push_str("sync -f . & s=$!\n"),
        }
        let bytes = targets.iter().map(|it| it.size).sum();
        if let Some(program) = self.program(algorithm, bytes) {
            hash(&mut script, program, targets);
        }
        if flush != Flush::Nothing {
            script.push_str("wait $s && printf 'flush|ok\\n'\n");
        }
        let limit = client.connection.pace.for_bytes(bytes);
        shell::send(client, &script, limit)
    }

    /// The digests asked for.
    ///
    /// # Errors
    /// [`Fault`], when the shell ended or the session is lost.
    pub(crate) fn read(
        client: &mut Client,
        asked: &Asked,
        targets: &[Target<'_>],
        algorithm: Algorithm,
    ) -> Result<Answer, Fault> {
        let answer = shell::wait(client, asked)?;
        Ok(Answer { digests: in_answer(&answer, targets, algorithm), flushed: is_flushed(&answer) })
    }
}

/// Has `program` hash all targets, in few commands.
fn hash(script: &mut String, program: &str, targets: &[Target<'_>]) {
    let mut line = String::new();
    for (n, target) in targets.iter().enumerate() {
        let name = quoted(target.name);
        if !is_plain(target.name) {
            // Programs write such a name in ways of their own, so it is not shown to them.
            script.push_str(&format!("printf '\\n%s ' {n}; {program} <{name}\nprintf '\\n'\n"));
            continue;
        }
        if line.len() > LINE {
            script.push_str(&format!("{program}{line} </dev/null\n"));
            line.clear();
        }
        line.push(' ');
        line.push_str(&name);
    }
    if !line.is_empty() {
        script.push_str(&format!("{program}{line} </dev/null\n"));
    }
}

fn is_flushed(answer: &[u8]) -> bool {
    answer.split(|it| *it == b'\n').any(|it| it == b"flush|ok")
}

/// Whether a name goes through every program unchanged.
fn is_plain(name: &str) -> bool {
    !name.contains(|c: char| c.is_control() || c == '\\')
}

fn in_answer(answer: &[u8], targets: &[Target<'_>], algorithm: Algorithm) -> Vec<Option<Digest>> {
    let mut named: HashMap<&[u8], Digest> = HashMap::new();
    let mut numbered: HashMap<usize, Digest> = HashMap::new();
    for line in answer.split(|it| *it == b'\n') {
        let Some(blank) = line.iter().position(|it| *it == b' ') else { continue };
        let (word, rest) = (String::from_utf8_lossy(&line[..blank]), &line[blank + 1..]);
        if let Some(digest) = digest_of(&word, algorithm) {
            // A second blank, or `*` for binary mode. No name that is asked for begins with either.
            let name = rest.strip_prefix(b" ").or_else(|| rest.strip_prefix(b"*")).unwrap_or(rest);
            named.insert(name, digest);
        } else if let (Ok(n), Some(digest)) = (word.parse(), first_digest(&String::from_utf8_lossy(rest))) {
            numbered.insert(n, digest);
        }
    }
    let find = |(n, target): (usize, &Target<'_>)| {
        let found = if is_plain(target.name) { named.get(target.name.as_bytes()) } else { numbered.get(&n) };
        found.filter(|it| it.algorithm() == algorithm).cloned()
    };
    targets.iter().enumerate().map(find).collect()
}

fn digest_of(word: &str, algorithm: Algorithm) -> Option<Digest> {
    word.parse().ok().filter(|it: &Digest| it.algorithm() == algorithm)
}

fn first_digest(printed: &str) -> Option<Digest> {
    printed.split_whitespace().next()?.trim_start_matches('\\').parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn answers_are_told_apart_by_name() {
        let of = |text: &str| Measured::of(text.as_bytes(), &[]).digests[0].clone();
        let targets = ["/a b", "/é", "/new\nline", "/gone"].map(|name| Target { name, size: 0 });
        let answer = format!("{}  /a b\n{} */é\n\n2 {}  -\n\njunk\n", of("1"), of("2"), of("3"));
        let found = in_answer(answer.as_bytes(), &targets, Algorithm::Sha256);
        assert_eq!(found, [Some(of("1")), Some(of("2")), Some(of("3")), None]);
    }

    #[test]
    fn a_batch_of_many_bytes_goes_to_the_faster_program() {
        let mut tools = Tools { found: vec![(Algorithm::Sha256, "sha256sum".into())], large: true, flush: false };
        assert_eq!(tools.program(Algorithm::Sha256, LARGE - 1), Some("sha256sum"));
        assert_eq!(tools.program(Algorithm::Sha256, LARGE), Some(FOR_LARGE));
        assert_eq!(tools.program(Algorithm::Md5, LARGE), None);
        tools.large = false;
        assert_eq!(tools.program(Algorithm::Sha256, LARGE), Some("sha256sum"));
    }

    #[test]
    fn commands_are_no_longer_than_a_system_takes_and_name_each_file_once() {
        let names: Vec<String> = (0..4000).map(|n| format!("/tmp/{n}-{}", "x".repeat(40))).collect();
        let mut targets: Vec<_> = names.iter().map(|name| Target { name, size: 1 }).collect();
        targets.insert(7, Target { name: "/tmp/new\nline", size: 1 });
        let mut script = String::new();
        hash(&mut script, "sha256sum", &targets);
        assert!(script.lines().all(|it| it.len() < LINE + 200));
        for name in &names {
            assert_eq!(script.matches(&quoted(name)).count(), 1, "{name}");
        }
        assert!(script.contains("\\n%s ' 7; sha256sum <'/tmp/new\nline'\n"));
    }
}
