//! A body that comes at a pace: a byte now and then is no answer, though no single wait is long.

use std::io::{self, Read};
use std::time::{Duration, Instant};

/// Bytes a second that any line has.
const LEAST: f64 = 1024.0;

/// Reads a body, and fails when it comes too slowly. Only the time in which it was waited for counts, however long the
/// reader takes with what came.
pub struct Steady<R> {
    inner: R,
    window: Duration,
    waited: Duration,
    came: u64,
}

impl<R: Read> Steady<R> {
    /// Over so much waiting, the pace is taken each time: a server may pause for as long.
    pub fn new(inner: R, window: Duration) -> Self {
        Self { inner, window, waited: Duration::ZERO, came: 0 }
    }
}

impl<R: Read> Read for Steady<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let began = Instant::now();
        let n = self.inner.read(buffer)?;
        self.waited += began.elapsed();
        self.came += n as u64;
        if n > 0 && self.waited >= self.window {
            // Far below 2^52.
            #[allow(clippy::cast_precision_loss)]
            let is_slow = (self.came as f64) < LEAST * self.waited.as_secs_f64();
            if is_slow {
                let text = format!("only {} bytes came in {} s", self.came, self.waited.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            (self.waited, self.came) = (Duration::ZERO, 0);
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::thread;

    use super::*;

    /// So many bytes at a time, after a pause, so often.
    struct Paced(usize, Duration, u32);

    impl Read for Paced {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.2 == 0 {
                return Ok(0);
            }
            self.2 -= 1;
            thread::sleep(self.1);
            Ok(self.0.min(buffer.len()))
        }
    }

    fn read(bytes: usize, pause: u64, times: u32) -> io::Result<u64> {
        let paced = Paced(bytes, Duration::from_millis(pause), times);
        io::copy(&mut Steady::new(paced, Duration::from_millis(200)), &mut io::sink())
    }

    #[test]
    fn a_byte_now_and_then_is_no_answer() {
        assert_eq!(read(1, 20, 100).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(read(8_000, 20, 100).unwrap(), 800_000);
        assert_eq!(read(1, 20, 5).unwrap(), 5, "short ones may be slow");
        assert_eq!(read(1, 0, 100_000).unwrap(), 100_000, "many small pieces are no slow ones");
    }
}
