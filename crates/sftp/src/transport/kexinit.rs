//! What a server offers: its SSH_MSG_KEXINIT (RFC 4253, section 7.1), which libssh2 does not give away.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const SSH_MSG_KEXINIT: u8 = 20;
/// The type of the message, and its cookie.
const HEAD: usize = 17;
/// More than all lines of greeting and a packet of the largest size that must be taken (RFC 4253, section 6.1).
const LONGEST: u64 = 64 * 1024;

/// The names of what a server offers, by what they are for, in its order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Offered {
    pub(super) exchanges: Vec<String>,
    pub(super) host_keys: Vec<String>,
    pub(super) ciphers: Vec<String>,
    pub(super) macs: Vec<String>,
}

/// Greets a server, and reads what it offers. The connection serves for nothing else.
///
/// # Errors
/// [`io::Error`], where it does not tell, or not within `limit` for each read.
pub(super) fn ask(mut socket: TcpStream, limit: Duration) -> io::Result<Offered> {
    socket.set_read_timeout(Some(limit))?;
    socket.set_write_timeout(Some(limit))?;
    socket.write_all(b"SSH-2.0-dataverse_backup\r\n")?;
    let mut reader = BufReader::new(socket.take(LONGEST));
    let mut line = Vec::new();
    // Lines of other text may come first (section 4.2).
    while !line.starts_with(b"SSH-") {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let mut lengths = [0; 5];
    reader.read_exact(&mut lengths)?;
    let [a, b, c, d, padding] = lengths;
    let len = u64::from(u32::from_be_bytes([a, b, c, d])).saturating_sub(1);
    let mut packet = Vec::new();
    reader.take(len.min(LONGEST)).read_to_end(&mut packet)?;
    packet.truncate(packet.len().saturating_sub(padding.into()));
    parse(&packet).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no SSH_MSG_KEXINIT"))
}

fn parse(message: &[u8]) -> Option<Offered> {
    let (head, mut rest) = message.split_at_checked(HEAD)?;
    if head[0] != SSH_MSG_KEXINIT {
        return None;
    }
    let mut list = || {
        let (len, after) = rest.split_first_chunk()?;
        let (names, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
        rest = after;
        Some(String::from_utf8_lossy(names).split(',').map(str::to_owned).collect())
    };
    let (exchanges, host_keys) = (list()?, list()?);
    let (ciphers, _from_server) = (list()?, list()?);
    Some(Offered { exchanges, host_keys, ciphers, macs: list()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_in_their_order_and_cut_ones_refused() {
        let mut message = vec![SSH_MSG_KEXINIT; 17];
        for names in ["k1,k2", "h", "c1,c2", "other", "m"] {
            message.extend_from_slice(&u32::try_from(names.len()).unwrap_or(0).to_be_bytes());
            message.extend_from_slice(names.as_bytes());
        }
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let expected = Offered {
            exchanges: all(&["k1", "k2"]),
            host_keys: all(&["h"]),
            ciphers: all(&["c1", "c2"]),
            macs: all(&["m"]),
        };
        assert_eq!(parse(&message), Some(expected));
        for cut in 0..message.len() {
            assert_eq!(parse(&message[..cut]), None, "{cut}");
        }
        message[0] = 21;
        assert_eq!(parse(&message), None);
    }
}
