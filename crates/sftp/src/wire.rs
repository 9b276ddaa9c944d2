//! SFTP version 3 packets (draft-ietf-secsh-filexfer-02), with OpenSSH's extensions (its file PROTOCOL).

use thiserror::Error;

/// The version of the protocol that is spoken.
const VERSION: u32 = 3;

// Types of packets, section 3.
const SSH_FXP_INIT: u8 = 1;
const SSH_FXP_VERSION: u8 = 2;
const SSH_FXP_OPEN: u8 = 3;
const SSH_FXP_CLOSE: u8 = 4;
const SSH_FXP_READ: u8 = 5;
const SSH_FXP_WRITE: u8 = 6;
const SSH_FXP_LSTAT: u8 = 7;
const SSH_FXP_OPENDIR: u8 = 11;
const SSH_FXP_READDIR: u8 = 12;
const SSH_FXP_REMOVE: u8 = 13;
const SSH_FXP_MKDIR: u8 = 14;
const SSH_FXP_RMDIR: u8 = 15;
const SSH_FXP_REALPATH: u8 = 16;
const SSH_FXP_STAT: u8 = 17;
const SSH_FXP_RENAME: u8 = 18;
const SSH_FXP_STATUS: u8 = 101;
const SSH_FXP_HANDLE: u8 = 102;
const SSH_FXP_DATA: u8 = 103;
const SSH_FXP_NAME: u8 = 104;
const SSH_FXP_ATTRS: u8 = 105;
const SSH_FXP_EXTENDED: u8 = 200;
const SSH_FXP_EXTENDED_REPLY: u8 = 201;

// Status codes that mean something of their own, section 7.
pub(crate) const SSH_FX_OK: u32 = 0;
pub(crate) const SSH_FX_EOF: u32 = 1;
pub(crate) const SSH_FX_NO_SUCH_FILE: u32 = 2;
pub(crate) const SSH_FX_PERMISSION_DENIED: u32 = 3;
pub(crate) const SSH_FX_FAILURE: u32 = 4;
pub(crate) const SSH_FX_OP_UNSUPPORTED: u32 = 8;

// How a file is opened, section 6.3.
const SSH_FXF_READ: u32 = 0x01;
const SSH_FXF_WRITE: u32 = 0x02;
const SSH_FXF_CREAT: u32 = 0x08;
const SSH_FXF_TRUNC: u32 = 0x10;
const SSH_FXF_EXCL: u32 = 0x20;

pub(crate) const OPEN_READ: u32 = SSH_FXF_READ;
/// Creates a file that must not be there, to write.
pub(crate) const OPEN_CREATE_NEW: u32 = SSH_FXF_WRITE | SSH_FXF_CREAT | SSH_FXF_EXCL;
/// Opens a file that is there, to write.
pub(crate) const OPEN_WRITE: u32 = SSH_FXF_WRITE;
/// Makes a file empty that may be there, to write.
pub(crate) const OPEN_EMPTY: u32 = SSH_FXF_WRITE | SSH_FXF_CREAT | SSH_FXF_TRUNC;

// Which attributes follow, section 5.
const SSH_FILEXFER_ATTR_SIZE: u32 = 0x01;
const SSH_FILEXFER_ATTR_UIDGID: u32 = 0x02;
const SSH_FILEXFER_ATTR_PERMISSIONS: u32 = 0x04;
const SSH_FILEXFER_ATTR_ACMODTIME: u32 = 0x08;
const SSH_FILEXFER_ATTR_EXTENDED: u32 = 0x8000_0000;

/// What can be asked, `WRITE` aside ([`begin_write`]).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Request<'a> {
    Open { path: &'a str, flags: u32, mode: Option<u32> },
    Close { handle: &'a [u8] },
    Read { handle: &'a [u8], offset: u64, len: u32 },
    Lstat { path: &'a str },
    Stat { path: &'a str },
    OpenDir { path: &'a str },
    ReadDir { handle: &'a [u8] },
    Remove { path: &'a str },
    MakeDir { path: &'a str, mode: u32 },
    RemoveDir { path: &'a str },
    RealPath { path: &'a str },
    Rename { from: &'a str, to: &'a str },
    PosixRename { from: &'a str, to: &'a str },
    Fsync { handle: &'a [u8] },
    StatVfs { path: &'a str },
    Limits,
}

/// A server's answer to one request, by the type of its packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    Status(Status),
    Handle(Vec<u8>),
    Data(&'a [u8]),
    Names(Vec<Entry>),
    Attributes(Attributes),
    Extended(Vec<u8>),
}

/// A status code, with the server's words for it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the server says {message:?} (SFTP status {code})")]
pub(crate) struct Status {
    pub(crate) code: u32,
    pub(crate) message: String,
}

/// What a folder lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) attributes: Attributes,
}

/// The attributes that matter here; servers may leave each out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) size: Option<u64>,
    pub(crate) mode: Option<u32>,
    /// When it was written to last, in seconds since 1970.
    pub(crate) modified: Option<u32>,
}

impl Attributes {
    /// Whether it is known to be a folder.
    pub(crate) fn is_folder(self) -> bool {
        self.mode.is_some_and(|it| it & 0o170_000 == 0o040_000)
    }

    /// Whether it is known to be a symbolic link.
    pub(crate) fn is_link(self) -> bool {
        self.mode.is_some_and(|it| it & 0o170_000 == 0o120_000)
    }

    /// Whether it is known to be none of file, folder and link: to read it may take for ever.
    pub(crate) fn is_special(self) -> bool {
        self.mode.is_some_and(|it| !matches!(it & 0o170_000, 0 | 0o040_000 | 0o100_000 | 0o120_000))
    }
}

/// Extensions of the server's VERSION packet that are used when offered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    pub(crate) posix_rename: bool,
    pub(crate) fsync: bool,
    pub(crate) limits: bool,
    pub(crate) statvfs: bool,
}

/// A packet that breaks the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Appends a packet; its length is patched in when the body is there.
fn packet(out: &mut Vec<u8>, kind: u8, id: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(kind);
    out.extend_from_slice(&id.to_be_bytes());
    body(out);
    let len = out.len() - start - 4;
    patch(out, start, len);
}

fn patch(out: &mut [u8], at: usize, value: usize) {
    out[at..at + 4].copy_from_slice(&(value as u32).to_be_bytes());
}

/// The packet that opens the conversation.
pub(crate) fn init(out: &mut Vec<u8>) {
    out.extend_from_slice(&5_u32.to_be_bytes());
    out.push(SSH_FXP_INIT);
    out.extend_from_slice(&VERSION.to_be_bytes());
}

pub(crate) fn encode(out: &mut Vec<u8>, id: u32, request: &Request<'_>) {
    let path_only = |out: &mut Vec<u8>, kind, path: &str| packet(out, kind, id, |o| text(o, path.as_bytes()));
    let extended = |out: &mut Vec<u8>, name: &str, parts: &[&[u8]]| {
        packet(out, SSH_FXP_EXTENDED, id, |o| {
            text(o, name.as_bytes());
            parts.iter().for_each(|it| text(o, it));
        });
    };
    match *request {
        Request::Open { path, flags, mode } => packet(out, SSH_FXP_OPEN, id, |o| {
            text(o, path.as_bytes());
            o.extend_from_slice(&flags.to_be_bytes());
            attributes(o, mode);
        }),
        Request::Close { handle } => packet(out, SSH_FXP_CLOSE, id, |o| text(o, handle)),
        Request::Read { handle, offset, len } => packet(out, SSH_FXP_READ, id, |o| {
            text(o, handle);
            o.extend_from_slice(&offset.to_be_bytes());
            o.extend_from_slice(&len.to_be_bytes());
        }),
        Request::Lstat { path } => path_only(out, SSH_FXP_LSTAT, path),
        Request::Stat { path } => path_only(out, SSH_FXP_STAT, path),
        Request::OpenDir { path } => path_only(out, SSH_FXP_OPENDIR, path),
        Request::ReadDir { handle } => packet(out, SSH_FXP_READDIR, id, |o| text(o, handle)),
        Request::Remove { path } => path_only(out, SSH_FXP_REMOVE, path),
        Request::MakeDir { path, mode } => packet(out, SSH_FXP_MKDIR, id, |o| {
            text(o, path.as_bytes());
            attributes(o, Some(mode));
        }),
        Request::RemoveDir { path } => path_only(out, SSH_FXP_RMDIR, path),
        Request::RealPath { path } => path_only(out, SSH_FXP_REALPATH, path),
        Request::Rename { from, to } => packet(out, SSH_FXP_RENAME, id, |o| {
            text(o, from.as_bytes());
            text(o, to.as_bytes());
        }),
        Request::PosixRename { from, to } => {
            extended(out, "posix-rename@openssh.com", &[from.as_bytes(), to.as_bytes()]);
        }
        Request::Fsync { handle } => extended(out, "fsync@openssh.com", &[handle]),
        Request::StatVfs { path } => extended(out, "statvfs@openssh.com", &[path.as_bytes()]),
        Request::Limits => extended(out, "limits@openssh.com", &[]),
    }
}

/// Permission bits, or no attribute at all.
fn attributes(out: &mut Vec<u8>, mode: Option<u32>) {
    let flags: u32 = if mode.is_some() { SSH_FILEXFER_ATTR_PERMISSIONS } else { 0 };
    out.extend_from_slice(&flags.to_be_bytes());
    if let Some(mode) = mode {
        out.extend_from_slice(&mode.to_be_bytes());
    }
}

/// Where a WRITE begun in a buffer has its lengths.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    start: usize,
    data: usize,
}

/// Appends the head of a WRITE; the caller appends the bytes and calls [`end_write`], so that nothing is copied.
pub(crate) fn begin_write(out: &mut Vec<u8>, id: u32, handle: &[u8], offset: u64) -> Begun {
    let start = out.len();
    packet(out, SSH_FXP_WRITE, id, |o| {
        text(o, handle);
        o.extend_from_slice(&offset.to_be_bytes());
        o.extend_from_slice(&[0; 4]);
    });
    Begun { start, data: out.len() }
}

/// Patches the lengths, now that the bytes are there.
pub(crate) fn end_write(out: &mut [u8], begun: Begun) {
    let len = out.len();
    patch(out, begun.start, len - begun.start - 4);
    patch(out, begun.data - 4, len - begun.data);
}

/// Takes a WRITE back.
pub(crate) fn abandon_write(out: &mut Vec<u8>, begun: Begun) {
    out.truncate(begun.start);
}

/// Reads fields off the front of a packet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(Malformed("a packet ends early"))?;
        self.0 = rest;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.take(4).map(|it| it.iter().fold(0, |sum, b| sum << 8 | u32::from(*b)))
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from(self.u32()?) << 32 | u64::from(self.u32()?))
    }

    fn text(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.u32()? as usize;
        self.take(len)
    }

    fn attributes(&mut self) -> Result<Attributes, Malformed> {
        let flags = self.u32()?;
        let size = if flags & SSH_FILEXFER_ATTR_SIZE != 0 { Some(self.u64()?) } else { None };
        if flags & SSH_FILEXFER_ATTR_UIDGID != 0 {
            self.take(8)?;
        }
        let mode = if flags & SSH_FILEXFER_ATTR_PERMISSIONS != 0 { Some(self.u32()?) } else { None };
        let modified = if flags & SSH_FILEXFER_ATTR_ACMODTIME != 0 {
            self.u32()?;
            Some(self.u32()?)
        } else {
            None
        };
        if flags & SSH_FILEXFER_ATTR_EXTENDED != 0 {
            for _ in 0..self.u32()? {
                self.text()?;
                self.text()?;
            }
        }
        Ok(Attributes { size, mode, modified })
    }

    fn entry(&mut self) -> Result<Entry, Malformed> {
        let name = self.text()?.to_vec();
        self.text()?;
        Ok(Entry { name, attributes: self.attributes()? })
    }
}

/// Reads an answer: the request that it belongs to, and what it says.
pub(crate) fn parse(packet: &[u8]) -> Result<(u32, Reply<'_>), Malformed> {
    let mut fields = Fields(packet);
    let kind = fields.byte()?;
    let id = fields.u32()?;
    let reply = match kind {
        SSH_FXP_STATUS => {
            let code = fields.u32()?;
            // Some servers of version 3 leave the words out.
            let message = String::from_utf8_lossy(fields.text().unwrap_or_default()).into_owned();
            Reply::Status(Status { code, message })
        }
        SSH_FXP_HANDLE => Reply::Handle(fields.text()?.to_vec()),
        SSH_FXP_DATA => Reply::Data(fields.text()?),
        SSH_FXP_NAME => {
            let count = fields.u32()?;
            Reply::Names((0..count).map(|_| fields.entry()).collect::<Result<_, _>>()?)
        }
        SSH_FXP_ATTRS => Reply::Attributes(fields.attributes()?),
        SSH_FXP_EXTENDED_REPLY => Reply::Extended(fields.0.to_vec()),
        _ => return Err(Malformed("an answer of unknown type")),
    };
    Ok((id, reply))
}

/// Reads the VERSION packet.
pub(crate) fn parse_version(packet: &[u8]) -> Result<Extensions, Malformed> {
    let mut fields = Fields(packet);
    if fields.byte()? != SSH_FXP_VERSION {
        return Err(Malformed("the first packet is not VERSION"));
    }
    if fields.u32()? < VERSION {
        return Err(Malformed("the server speaks an SFTP older than version 3"));
    }
    let mut offered = Extensions::default();
    while !fields.0.is_empty() {
        let (name, version) = (fields.text()?, fields.text()?);
        match (name, version) {
            (b"posix-rename@openssh.com", b"1") => offered.posix_rename = true,
            (b"fsync@openssh.com", b"1") => offered.fsync = true,
            (b"limits@openssh.com", b"1") => offered.limits = true,
            (b"statvfs@openssh.com", b"2") => offered.statvfs = true,
            _ => {}
        }
    }
    Ok(offered)
}

/// How much the server takes; 0 where it does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) read: u64,
    pub(crate) write: u64,
    pub(crate) handles: u64,
}

/// Reads the answer to [`Request::Limits`].
pub(crate) fn parse_limits(body: &[u8]) -> Result<Limits, Malformed> {
    let mut fields = Fields(body);
    fields.u64()?;
    Ok(Limits { read: fields.u64()?, write: fields.u64()?, handles: fields.u64()? })
}

/// What an account may still store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) bytes: u64,
    /// Bytes of the whole file system, for all.
    pub(crate) total: u64,
    /// Whether not one more file can be made, on a file system that counts them.
    pub(crate) no_files: bool,
}

/// Reads the answer to [`Request::StatVfs`] (statvfs(3)).
pub(crate) fn parse_statvfs(body: &[u8]) -> Result<Room, Malformed> {
    let mut fields = Fields(body);
    fields.u64()?;
    let fragment = fields.u64()?;
    let all = fields.u64()?;
    fields.u64()?;
    let blocks = fields.u64()?;
    let files = fields.u64()?;
    fields.u64()?;
    let no_files = files > 0 && fields.u64()? == 0;
    Ok(Room { bytes: fragment.saturating_mul(blocks), total: fragment.saturating_mul(all), no_files })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn requests_have_their_bytes() {
        let mut out = Vec::new();
        encode(&mut out, 7, &Request::Open { path: "a", flags: OPEN_CREATE_NEW, mode: Some(0o640) });
        let expected = [0, 0, 0, 22, 3, 0, 0, 0, 7, 0, 0, 0, 1, b'a', 0, 0, 0, 0x2a, 0, 0, 0, 4, 0, 0, 1, 0xa0];
        assert_eq!(out, expected);
        out.clear();
        encode(&mut out, 1, &Request::Fsync { handle: b"hh" });
        assert_eq!(&out[..13], [0, 0, 0, 32, 200, 0, 0, 0, 1, 0, 0, 0, 17]);
        assert_eq!(&out[13..], b"fsync@openssh.com\0\0\0\x02hh");
    }

    #[test]
    fn a_write_is_built_in_place_or_taken_back() {
        let mut out = vec![9];
        let begun = begin_write(&mut out, 2, b"h", 258);
        out.extend_from_slice(b"xyz");
        end_write(&mut out, begun);
        assert_eq!(
            out,
            [9, 0, 0, 0, 25, 6, 0, 0, 0, 2, 0, 0, 0, 1, b'h', 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 3, b'x', b'y', b'z']
        );
        let begun = begin_write(&mut out, 3, b"h", 0);
        abandon_write(&mut out, begun);
        assert_eq!(out.len(), 30);
    }

    #[test]
    fn answers_are_read_and_cut_ones_refused() {
        let status = [101, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 2, b'n', b'o', 0, 0, 0, 0];
        let (id, reply) = parse(&status).unwrap();
        assert_eq!((id, reply), (5, Reply::Status(Status { code: 4, message: "no".into() })));
        let data = [103, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3];
        assert_eq!(parse(&data).unwrap().1, Reply::Data(&[1, 2, 3]));
        for cut in 0..data.len() {
            assert!(parse(&data[..cut]).is_err(), "{cut}");
        }
        assert!(parse(&[99, 0, 0, 0, 1]).is_err());
        let attributes = [105, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x41, 0xed];
        let (_, Reply::Attributes(it)) = parse(&attributes).unwrap() else { panic!("no attributes") };
        assert_eq!(it.size, Some(256));
        assert!(it.is_folder());
    }

    #[test]
    fn offered_extensions_are_known_by_name_and_version() {
        let mut packet = vec![2, 0, 0, 0, 3];
        for (name, version) in [("fsync@openssh.com", "1"), ("statvfs@openssh.com", "9"), ("x", "1")] {
            text(&mut packet, name.as_bytes());
            text(&mut packet, version.as_bytes());
        }
        assert_eq!(parse_version(&packet).unwrap(), Extensions { fsync: true, ..Extensions::default() });
        assert!(parse_version(&[2, 0, 0, 0, 2]).is_err());
    }
}
