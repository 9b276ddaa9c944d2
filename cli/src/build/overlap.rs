//! Two places that are one: a store that would be its own backup, or two destinations that hold one copy.

use std::path::{Path, PathBuf};

use super::{BuildError, StoreTable};
use dvb_config::{Config, DestinationKind, StoreType};

/// Where objects lie, as far as the configuration alone tells.
#[derive(PartialEq, Eq)]
enum Place {
    Folder(PathBuf),
    Bucket {
        endpoint: String,
        bucket: String,
        prefix: String,
    },
    /// A folder on a server, a container.
    Remote(Vec<String>),
}

/// Refuses what the configuration itself shows to be no second storage system.
pub(crate) fn refuse_one_place(config: &Config, stores: &StoreTable) -> Result<(), BuildError> {
    let destinations: Vec<_> = config.destinations.iter().map(|it| (&it.name, of_destination(&it.kind))).collect();
    for (n, (name, place)) in destinations.iter().enumerate() {
        let stores = stores.described().filter(|it| of_store(it.1).contains(place));
        let earlier = destinations[..n].iter().filter(|it| it.1 == *place);
        let mut others =
            stores.map(|it| format!("store {}", it.0)).chain(earlier.map(|it| format!("destination {}", it.0)));
        if let Some(other) = others.next() {
            return Err(BuildError::OnePlace { destination: name.to_string(), other });
        }
    }
    Ok(())
}

fn of_destination(kind: &DestinationKind) -> Place {
    match kind {
        DestinationKind::Directory(folder) => Place::Folder(real(folder)),
        DestinationKind::S3(it) => bucket(it.endpoint_url.as_deref(), &it.bucket, &it.prefix),
        DestinationKind::Ssh(it) => Place::Remote(vec![
            it.host.to_ascii_lowercase(),
            it.port.to_string(),
            it.username.clone(),
            it.directory.trim_end_matches('/').to_owned(),
        ]),
        DestinationKind::Swift(it) => Place::Remote(vec![
            it.auth_url.trim_end_matches('/').to_owned(),
            format!("{:?}", it.auth),
            it.tenant.clone().unwrap_or_default(),
            it.region.clone().unwrap_or_default(),
            it.container.clone(),
        ]),
    }
}

fn of_store(store: &StoreType) -> Vec<Place> {
    match store {
        StoreType::File { directory, extra_roots } => {
            std::iter::once(directory).chain(extra_roots).map(|it| Place::Folder(real(it))).collect()
        }
        StoreType::S3 { bucket_name: Some(name), custom_endpoint_url, .. } => {
            vec![bucket(custom_endpoint_url.as_deref(), name, "")]
        }
        // A Swift store has a container for each authority.
        StoreType::S3 { .. } | StoreType::Swift { .. } | StoreType::Remote { .. } | StoreType::Globus { .. } => {
            Vec::new()
        }
    }
}

fn bucket(endpoint: Option<&str>, bucket: &str, prefix: &str) -> Place {
    let endpoint = endpoint.unwrap_or_default().trim_end_matches('/').to_ascii_lowercase();
    Place::Bucket { endpoint, bucket: bucket.to_owned(), prefix: prefix.to_owned() }
}

/// Through symbolic links, where it is there.
fn real(folder: &Path) -> PathBuf {
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}
