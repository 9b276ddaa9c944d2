//! Destinations, and folders that files are given back to.

use std::path::{Path, PathBuf};

use dvb_config::{Destination, DestinationKind, SshLibrary, SshTarget, Verify};
use dvb_fs::{DirectorySink, DirectorySinkConfig, FolderWriter, OwnershipPolicy};
use dvb_model::{DestinationName, RunId};
use dvb_sftp::{KeyFile, SftpConfig, SftpSink};
use dvb_storage::{Demand, Folder, Sink, SinkError};

use crate::cloud;
use crate::error::BuildError;
use crate::process::home;

/// A destination; nothing is contacted yet.
///
/// # Errors
/// [`BuildError`], where it could not work whatever the server says.
pub fn sink(destination: &Destination) -> Result<Box<dyn Sink>, BuildError> {
    let demand = match destination.verify {
        Verify::Auto => Demand::Auto,
        Verify::RemoteHash => Demand::RemoteHash,
        Verify::ReadBack => Demand::ReadBack,
    };
    let unusable = |source| BuildError::Destination { destination: destination.name.0.clone(), source };
    match &destination.kind {
        DestinationKind::Ssh(target) => Ok(Box::new(SftpSink::new(checked_sftp(&destination.name, target, demand)?))),
        DestinationKind::Directory(root) => {
            Ok(Box::new(DirectorySink::new(DirectorySinkConfig { root: root.clone(), demand })))
        }
        DestinationKind::S3(target) => Ok(Box::new(cloud::s3_sink(target, demand).map_err(unusable)?)),
        DestinationKind::Swift(target) => Ok(Box::new(cloud::swift_sink(target, demand))),
    }
}

/// An SSH server, if it could be logged in to as it is described.
pub(crate) fn checked_sftp(
    name: &DestinationName,
    target: &SshTarget,
    demand: Demand,
) -> Result<SftpConfig, BuildError> {
    let config = sftp(target, demand);
    config.check().map_err(|source| BuildError::Ssh { destination: name.0.clone(), source })?;
    // The one that was named; of the usual ones, any may do.
    if target.key_file.is_some() {
        let wrong = |source| BuildError::SshKey { destination: name.0.clone(), source };
        config.keys.iter().try_for_each(|it| it.check().map_err(wrong))?;
    }
    Ok(config)
}

/// What ssh(1) would look up by itself is looked up here.
fn sftp(target: &SshTarget, demand: Demand) -> SftpConfig {
    let home = home();
    let usual = |name: &str| home.as_ref().map(|it| it.join(".ssh").join(name));
    let known_hosts = match &target.known_hosts {
        Some(file) => vec![file.clone()],
        None => usual("known_hosts").into_iter().chain([PathBuf::from("/etc/ssh/ssh_known_hosts")]).collect(),
    };
    let (keys, agent) = match &target.key_file {
        Some(file) => (vec![file.clone()], None),
        None => {
            let usual = ["id_ed25519", "id_ecdsa", "id_rsa"].into_iter().filter_map(usual).filter(|it| it.is_file());
            (usual.collect(), std::env::var_os("SSH_AUTH_SOCK").filter(|it| !it.is_empty()).map(PathBuf::from))
        }
    };
    let passphrase = target.key_passphrase.as_ref().map(|it| it.expose().to_owned());
    SftpConfig {
        library: match target.library {
            SshLibrary::Russh => dvb_sftp::SshLibrary::Russh,
            SshLibrary::Libssh2 => dvb_sftp::SshLibrary::Libssh2,
        },
        host: target.host.clone(),
        port: target.port,
        username: target.username.clone(),
        root: target.directory.clone(),
        keys: keys.into_iter().map(|path| KeyFile { path, passphrase: passphrase.clone() }).collect(),
        agent,
        known_hosts,
        ciphers: target.ciphers.clone(),
        exchanges: target.exchanges.clone(),
        macs: target.macs.clone(),
        host_key_types: target.host_key_types.clone(),
        open_files: target.open_files.and_then(|it| usize::try_from(it).ok()),
        demand,
        connect_timeout: target.connect_timeout,
        idle_timeout: target.idle_timeout,
    }
}

/// A folder that files are given back to.
///
/// # Errors
/// [`SinkError`], where it cannot be written to.
pub fn restore_folder(folder: &Path, run: &RunId) -> Result<Box<dyn Folder>, SinkError> {
    Ok(Box::new(FolderWriter::open(folder, run, OwnershipPolicy::Own)?))
}
