//! Addresses of hosts, looked up once for many requests.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Hosts may move, and large services spread their clients by changing answers.
const HOLDS: Duration = Duration::from_secs(5);

/// Without it `ureq` looks the host up for every request, each time on a new thread, even where a connection is open.
#[derive(Debug, Default)]
pub(crate) struct Hosts<R = DefaultResolver> {
    names: R,
    known: Mutex<HashMap<String, (Instant, ResolvedSocketAddrs)>>,
}

impl<R: Resolver> Resolver for Hosts<R> {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let (scheme, authority) = uri.scheme().zip(uri.authority()).ok_or(Error::HostNotFound)?;
        // The port decides, too, and the scheme the port.
        let host = format!("{scheme}://{authority}");
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, found)) = known().get(&host)
            && when.elapsed() < HOLDS
        {
            return Ok(found.clone());
        }
        let found = self.names.resolve(uri, config, timeout)?;
        known().insert(host, (Instant::now(), found.clone()));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Counted(AtomicUsize);

    impl Resolver for Counted {
        fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
            let mut found = self.empty();
            found.push(([127, 0, 0, 1], u16::try_from(self.0.fetch_add(1, Ordering::SeqCst)).unwrap()).into());
            Ok(found)
        }
    }

    #[test]
    fn each_host_is_looked_up_once() {
        let hosts = Hosts::<Counted>::default();
        let port = |uri: &'static str| {
            let found = hosts.resolve(&Uri::from_static(uri), &Config::default(), NextTimeout::default());
            found.unwrap()[0].port()
        };
        assert_eq!([port("http://a/x"), port("http://b/"), port("http://a/y"), port("https://a/x")], [0, 1, 0, 2]);
    }
}
