//! What the server says of itself (`/info`).

use serde_json::Value;

use crate::client::Client;
use crate::error::{SwiftFailure, status};

/// The largest object where the server keeps its limits to itself: Swift's own default.
const MAX_FILE_SIZE: u64 = 5 * (1 << 30) + 2;
const MAX_OBJECT_NAME: u64 = 1024;
const MAX_SEGMENTS: u64 = 1000;

/// Limits of a server. <https://docs.openstack.org/swift/latest/api/discoverability.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// Bytes of an object, or of a segment, at most.
    pub(crate) max_file_size: u64,
    /// Bytes of an object's name at most.
    pub(crate) max_object_name: u64,
    /// Static large objects; `None` where there are none.
    pub(crate) large: Option<Large>,
}

/// Limits of static large objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Large {
    pub(crate) max_segments: u64,
    /// Bytes of every segment but the last at least.
    pub(crate) min_segment: u64,
}

impl Capabilities {
    /// Asks; a server that does not tell is taken to be as Swift is by default.
    pub(crate) fn ask(client: &Client) -> Result<Self, SwiftFailure> {
        let storage = client.storage()?;
        match client.public(&info_url(&storage)) {
            Ok(mut answer) => {
                // Limits that are told must not be missed: what is sent would be refused.
                let body = answer.small_body().map_err(|it| SwiftFailure::Unread("cannot read /info", it.into()))?;
                Ok(Self::read(&serde_json::from_slice(&body).unwrap_or(Value::Null)))
            }
            Err(failure) if status(&failure).is_some() || matches!(failure, SwiftFailure::LoginRefused { .. }) => {
                Ok(Self::read(&Value::Null))
            }
            Err(failure) => Err(failure),
        }
    }

    fn read(info: &Value) -> Self {
        let max_file_size = info["swift"]["max_file_size"].as_u64().unwrap_or(MAX_FILE_SIZE);
        let max_object_name = info["swift"]["max_object_name_length"].as_u64().unwrap_or(MAX_OBJECT_NAME);
        let is_told = info["swift"].is_object();
        let large = (!is_told || info["slo"].is_object()).then(|| Large {
            max_segments: info["slo"]["max_manifest_segments"].as_u64().unwrap_or(MAX_SEGMENTS).max(1),
            min_segment: info["slo"]["min_segment_size"].as_u64().unwrap_or(1),
        });
        Self { max_file_size, max_object_name, large }
    }

    /// Bytes a segment of an object of `size` bytes: as configured, as far as the server's limits allow.
    pub(crate) fn segment(&self, configured: u64, size: u64) -> u64 {
        let (fewest, least) = self.large.as_ref().map_or((1, 1), |it| (size.div_ceil(it.max_segments), it.min_segment));
        configured.max(fewest).max(least).max(1).min(self.max_file_size)
    }
}

/// `/info` stands beside the version of the interface: `https://host/v1/AUTH_x`, `https://host/swift/v1`.
fn info_url(storage: &str) -> String {
    let base = storage.rfind("/v1").map_or(storage, |at| &storage[..at]);
    format!("{base}/info")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn info_is_beside_the_version() {
        assert_eq!(info_url("https://h:8080/v1/AUTH_x"), "https://h:8080/info");
        assert_eq!(info_url("https://h/swift/v1"), "https://h/swift/info");
    }

    #[test]
    fn segments_keep_to_every_limit() {
        let info =
            json!({"swift": {"max_file_size": 1000}, "slo": {"max_manifest_segments": 10, "min_segment_size": 5}});
        let capabilities = Capabilities::read(&info);
        for (configured, size, expected) in [(100, 0, 100), (100, 3000, 300), (1, 20, 5), (5000, 20, 1000)] {
            assert_eq!(capabilities.segment(configured, size), expected, "{configured} {size}");
        }
        assert_eq!(Capabilities::read(&json!({"swift": {}})).large, None);
        assert_eq!(Capabilities::read(&Value::Null).segment(1 << 30, 0), 1 << 30);
    }
}
