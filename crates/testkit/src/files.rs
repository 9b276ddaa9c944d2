//! Contents that are the same every time, trees of files, and digests of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dvb_fixity::{Algorithm, Measured};

/// `len` bytes that look random, do not compress, and are the same for the same `seed`.
#[must_use]
pub fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        // splitmix64
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        out.extend_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    out.truncate(len);
    out
}

/// Lower-case hexadecimal digest.
///
/// # Panics
/// Never: the hasher computes what it is asked for.
#[must_use]
pub fn hex(algorithm: Algorithm, content: &[u8]) -> String {
    Measured::of(content, &[algorithm]).digest(algorithm).expect("it was asked for").hex()
}

/// MD5 in hexadecimal.
#[must_use]
pub fn md5(content: &[u8]) -> String {
    hex(Algorithm::Md5, content)
}

/// SHA-1 in hexadecimal.
#[must_use]
pub fn sha1(content: &[u8]) -> String {
    hex(Algorithm::Sha1, content)
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn sha256(content: &[u8]) -> String {
    hex(Algorithm::Sha256, content)
}

/// SHA-512 in hexadecimal.
#[must_use]
pub fn sha512(content: &[u8]) -> String {
    hex(Algorithm::Sha512, content)
}

/// Writes one file below `root`, with the folders that it needs.
///
/// # Panics
/// When the file system refuses.
pub fn write(root: &Path, name: &str, content: &[u8]) {
    let path = root.join(name);
    let parent = path.parent().expect("a file has a folder");
    fs::create_dir_all(parent).unwrap_or_else(|error| panic!("make {}: {error}", parent.display()));
    fs::write(&path, content).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
}

/// Makes a named pipe, which nobody writes to.
///
/// # Panics
/// When the file system refuses.
pub fn pipe(path: &Path) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let made = rustix::fs::mkfifoat(rustix::fs::CWD, path, mode);
    made.unwrap_or_else(|error| panic!("make the pipe {}: {error}", path.display()));
}

/// Every file below `root` with its content, by its path relative to `root`; one that goes meanwhile is not there. A
/// symbolic link shows as its target; a pipe, which would never end, as `|`.
///
/// # Panics
/// When something cannot be read, or has a name that is not UTF-8.
#[must_use]
pub fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    gather(root, "", &mut found);
    found
}

fn gather(folder: &Path, prefix: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("read {}: {error}", folder.display()));
    for entry in entries {
        let entry = entry.expect("read an entry");
        let name = format!("{prefix}{}", entry.file_name().to_str().expect("a name in UTF-8"));
        let path = entry.path();
        let kind = entry.file_type().expect("the type of an entry");
        if kind.is_dir() {
            gather(&path, &format!("{name}/"), found);
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).expect("read a link");
            found.insert(name, format!("-> {}", target.display()).into_bytes());
        } else if !kind.is_file() {
            found.insert(name, b"|".to_vec());
        } else {
            match fs::read(&path) {
                Ok(content) => drop(found.insert(name, content)),
                // A server may still do what it was asked before its line was cut.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => panic!("read {}: {error}", path.display()),
            }
        }
    }
}

/// How two trees differ, one line a file: `missing`, `unexpected`, or the first byte that differs.
#[must_use]
pub fn differences(expected: &BTreeMap<String, Vec<u8>>, found: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, content) in expected {
        match found.get(name) {
            None => lines.push(format!("missing: {name:?}")),
            Some(other) if other == content => {}
            Some(other) => {
                let at = content.iter().zip(other).take_while(|(a, b)| a == b).count();
                lines.push(format!(
                    "{name:?} differs at byte {at}; {} bytes wanted, {} found",
                    content.len(),
                    other.len()
                ));
            }
        }
    }
    let surplus = found.keys().filter(|it| !expected.contains_key(*it));
    lines.extend(surplus.map(|name| format!("unexpected: {name:?}")));
    lines
}

/// Fails unless the two trees hold the same files with the same bytes.
///
/// # Panics
/// With the differences.
pub fn assert_same(expected: &BTreeMap<String, Vec<u8>>, found: &BTreeMap<String, Vec<u8>>) {
    let differences = differences(expected, found);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
