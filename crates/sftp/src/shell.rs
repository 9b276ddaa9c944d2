//! One shell on the server for the whole session, that is asked for digests a batch at a time.

use std::time::{Duration, Instant};

use crate::client::Client;
use crate::error::Fault;
use crate::transport::Until;

/// More than any answer: a shell that prints without end is none to wait for.
const LONGEST: usize = 64 * 1024 * 1024;

/// A text as one word of a POSIX shell, whatever it holds.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A shell's answer to a script that is on its way.
#[must_use]
pub(crate) struct Asked {
    begin: Vec<u8>,
    end: Vec<u8>,
    /// How long the answer may take.
    limit: Duration,
}

/// What nobody can guess, so that no name and no file can pretend to be the end of an answer.
pub(crate) fn random_word() -> Result<String, Fault> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|it| Fault::System("random numbers", it.into()))?;
    Ok(bytes.iter().map(|it| format!("{it:02x}")).collect())
}

/// Sends a script of whole lines, whose answer may take as long as `limit` from when it is waited for.
///
/// # Errors
/// [`Fault`], when there is no shell.
pub(crate) fn send(client: &mut Client, script: &str, limit: Duration) -> Result<Asked, Fault> {
    let word = random_word()?;
    let out = client.connection.shell_out().ok_or(Fault::Ended("command"))?;
    out.extend_from_slice(format!("printf '\\n%s\\n' b{word}\n{script}\nprintf '\\n%s\\n' e{word}\n").as_bytes());
    Ok(Asked { begin: format!("\nb{word}\n").into_bytes(), end: format!("\ne{word}\n").into_bytes(), limit })
}

/// Waits for what a script printed.
///
/// # Errors
/// [`Fault`], when the shell ended or the session is lost.
pub(crate) fn wait(client: &mut Client, asked: &Asked) -> Result<Vec<u8>, Fault> {
    let usual = client.connection.pace.for_bytes(0);
    client.connection.pace.set(asked.limit);
    let answer = wait_within(client, asked);
    client.connection.pace.set(usual);
    answer
}

fn wait_within(client: &mut Client, asked: &Asked) -> Result<Vec<u8>, Fault> {
    let until = Instant::now() + asked.limit;
    let mut searched = 0;
    loop {
        let input = client.connection.shell_input().ok_or(Fault::Ended("command"))?;
        if let Some(end) = find(&input[searched..], &asked.end).map(|it| it + searched) {
            let begin = find(&input[..end], &asked.begin).map_or(end, |it| it + asked.begin.len());
            let answer = input.get(begin..end).unwrap_or_default().to_vec();
            input.drain(..end + asked.end.len());
            return Ok(answer);
        }
        searched = input.len().saturating_sub(asked.end.len());
        let endless = input.len() > LONGEST || Instant::now() > until;
        if endless || client.connection.shell_ended() {
            return Err(Fault::Ended("command"));
        }
        client.connection.pump(Until::Input)?;
    }
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|it| it == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_leaves_no_way_out() {
        assert_eq!(quoted("a'b$(c)"), r"'a'\''b$(c)'");
        assert_eq!(quoted(""), "''");
    }
}
