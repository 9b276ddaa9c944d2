//! A self-signed certificate for `localhost` and 127.0.0.1, which is its own CA.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::spawn::run;

pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// Makes `tls.crt` and `tls.key` in `dir`.
    pub(crate) fn make(dir: &Path) -> Self {
        let made = Self { certificate: dir.join("tls.crt"), key: dir.join("tls.key") };
        let (certificate, key) = (made.certificate.to_str().expect("UTF-8"), made.key.to_str().expect("UTF-8"));
        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
        #[rustfmt::skip]
        let args = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", "/CN=localhost", "-addext", names, "-keyout", key, "-out", certificate];
        run("openssl", &args, "openssl");
        std::fs::set_permissions(&made.key, Permissions::from_mode(0o600)).expect("chmod the key");
        made
    }
}
