//! What can delete at a destination, with the credentials that the configuration has for that.

use dvb_config::{Destination, DestinationKind, PurgeLogin};
use dvb_fs::DirectoryPurger;
use dvb_model::RunId;
use dvb_s3::S3Purger;
use dvb_sftp::SftpPurger;
use dvb_storage::{Demand, Purger, SinkError};
use dvb_swift::SwiftPurger;

use crate::cloud;
use crate::error::BuildError;
use crate::sinks::checked_sftp;

/// Opens a purger as often as one is needed: when it is lost with its connection, another one. The run is what its
/// temporaries are called by, where it has any.
///
/// Its errors are those of [`Sink::connect`](dvb_storage::Sink::connect).
pub type PurgeOpener = Box<dyn Fn(&RunId) -> Result<Box<dyn Purger>, SinkError> + Send + Sync>;

/// Whoever deletes at a destination: the account of `[Purge NAME]`, or the destination's own where there is none. Nothing is
/// contacted yet.
///
/// # Errors
/// [`BuildError`], where it could not work whatever the server says, or the secrets of `[Purge NAME]` cannot be read.
pub fn purger(destination: &Destination) -> Result<PurgeOpener, BuildError> {
    let name = destination.name.0.clone();
    let kind = match &destination.purge {
        PurgeLogin::Own => &destination.kind,
        PurgeLogin::Given(kind) => kind,
        PurgeLogin::Unreadable(why) => {
            return Err(BuildError::PurgeLogin { destination: name, why: why.join("; ") });
        }
    };
    let unusable = |source| BuildError::Destination { destination: name.clone(), source };
    Ok(match kind {
        DestinationKind::Directory(root) => {
            let root = root.clone();
            Box::new(move |_| Ok(Box::new(DirectoryPurger::open(&root)?)))
        }
        DestinationKind::Ssh(target) => {
            let config = checked_sftp(&destination.name, target, Demand::Auto)?;
            Box::new(move |run| Ok(Box::new(SftpPurger::open(&config, run)?)))
        }
        DestinationKind::S3(target) => {
            let config = cloud::s3_config(target, Demand::Auto).map_err(unusable)?;
            Box::new(move |_| Ok(Box::new(S3Purger::new(config.clone())?)))
        }
        DestinationKind::Swift(target) => {
            let config = cloud::swift_config(target, Demand::Auto);
            Box::new(move |_| Ok(Box::new(SwiftPurger::new(config.clone())?)))
        }
    })
}
