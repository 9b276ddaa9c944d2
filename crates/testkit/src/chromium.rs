//! A real browser, for pages that people look at: Chromium without a screen.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Chromium's answer to a call; fails where it is not installed, or ends otherwise than well.
///
/// # Panics
/// Says what to install, or what Chromium said.
#[must_use]
pub fn chromium(arguments: &[&str], page: &Path) -> Vec<u8> {
    let profile = crate::temp_folder("chromium");
    let mut command = Command::new("chromium");
    // As root there is no sandbox, and containers have a small /dev/shm. Its own profile: nothing of the user's.
    command
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .arg(format!("file://{}", page.display()))
        .env("HOME", profile.path())
        .stdin(Stdio::null());
    let output =
        command.output().unwrap_or_else(|error| panic!("start chromium (Debian: apt install chromium): {error}"));
    let Output { status, stdout, stderr } = output;
    assert!(status.success(), "chromium: {status}\n{}", String::from_utf8_lossy(&stderr));
    stdout
}
