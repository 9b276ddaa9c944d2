//! The suites that every store and every destination keeps to.

use std::sync::OnceLock;

use dvb_storage::{Demand, Sink as _, conformance};
use dvb_swift::{Limits, SwiftAccount, SwiftAuth, SwiftSink};
use dvb_testkit::keystone;
use dvb_testkit::swift::{self, Options, Server};

use crate::{QUICK, SMALL, sink_config, tempauth};

/// The one Swift with Keystone of this process.
pub(crate) fn identity() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| {
        let keystone = Some(keystone::Server::start());
        Server::start_with(Options { keystone, ..Options::default() })
    })
}

pub(crate) fn v3(server: &Server) -> SwiftAccount {
    let keystone = server.keystone();
    SwiftAccount {
        auth_url: format!("{}/v3/auth/tokens", keystone.url),
        auth: SwiftAuth::V3 {
            user: keystone.user.clone(),
            key: keystone.password.clone(),
            project: Some(keystone.project.clone()),
            user_domain: None,
            project_domain: None,
        },
        endpoint: None,
        region: Some(keystone.region.clone()),
        ca: None,
        limits: QUICK,
    }
}

fn keeps_the_promises(account: SwiftAccount, limits: Limits, demand: Demand) -> Result<(), String> {
    let container = swift::container("conformance");
    conformance::sink(&SwiftSink::new(sink_config(account, &container, limits, demand)), "10.5072/FK2/ABC")
}

#[test]
fn a_container_keeps_the_promises_of_a_sink() {
    assert_eq!(keeps_the_promises(tempauth(swift::shared()), SMALL, Demand::RemoteHash), Ok(()));
}

#[test]
fn a_container_that_was_made_for_nothing_goes_and_one_with_objects_stays() {
    let (server, container) = (swift::shared(), swift::container("unmade"));
    let sink = SwiftSink::new(sink_config(tempauth(server), &container, SMALL, Demand::Auto));
    let is_there = |name: &str| server.request("HEAD", name, "", &[], b"").status < 300;
    let segments = format!("{container}_segments");
    sink.make().unwrap();
    assert!(is_there(&container) && is_there(&segments));
    sink.unmake().unwrap();
    assert!(!is_there(&container) && !is_there(&segments));
    sink.unmake().unwrap();
    sink.make().unwrap();
    server.put(&container, "copy", b"bytes");
    sink.unmake().unwrap();
    assert!(is_there(&container));
}

#[test]
fn reading_back_proves_too() {
    assert_eq!(keeps_the_promises(tempauth(swift::shared()), SMALL, Demand::ReadBack), Ok(()));
}

#[test]
fn without_memory_everything_is_a_large_object() {
    let limits = Limits { held_total: 0, ..SMALL };
    assert_eq!(keeps_the_promises(tempauth(swift::shared()), limits, Demand::Auto), Ok(()));
}

/// What waits in memory leaves nothing to be swept: the last promise finds nothing to be kept by.
#[test]
fn the_usual_limits_keep_the_promises_but_leave_nothing_behind() {
    let broken = keeps_the_promises(tempauth(swift::shared()), Limits::USUAL, Demand::Auto);
    assert_eq!(broken, Err("the temporary of a dead run is removed".to_owned()));
}

#[test]
fn tls_changes_nothing() {
    let server = swift::shared();
    let auth_url = server.tls_url.clone() + "/auth/v1.0";
    let account = SwiftAccount { auth_url, ca: Some(server.ca.clone()), ..tempauth(server) };
    assert_eq!(keeps_the_promises(account, SMALL, Demand::Auto), Ok(()));
}

#[test]
fn keystone_v3_with_a_password() {
    assert_eq!(keeps_the_promises(v3(identity()), SMALL, Demand::Auto), Ok(()));
}

#[test]
fn keystone_v3_with_an_application_credential() {
    let (id, secret) = identity().keystone().application_credential.clone();
    let auth = SwiftAuth::ApplicationCredential { id, secret };
    assert_eq!(keeps_the_promises(SwiftAccount { auth, ..v3(identity()) }, SMALL, Demand::Auto), Ok(()));
}

#[test]
fn large_objects_that_were_cut_are_gone_on_with() {
    let server = swift::shared();
    let sink = crate::sink(crate::tempauth(server), &swift::container("continued"));
    sink.make().unwrap();
    assert_eq!(conformance::continued(&sink, "10.5072/FK2"), Ok(()));
}
