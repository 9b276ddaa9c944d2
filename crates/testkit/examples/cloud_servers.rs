//! SeaweedFS and Swift for a program that is no test: tells where they are in assignments of a shell, and ends them at
//! the end of its input.

use std::io::{self, Write as _};

use dvb_testkit::{seaweed, swift};

fn main() -> io::Result<()> {
    let (s3, swift) = (seaweed::Server::start(), swift::Server::start());
    let mut out = io::stdout().lock();
    writeln!(out, "s3_url={} s3_key={} s3_secret={}", s3.url, s3.access, s3.secret)?;
    writeln!(out, "swift_url={} swift_user={} swift_key={}", swift.auth_url, swift.user, swift.key)?;
    writeln!(out, "ready=yes")?;
    out.flush()?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
