//! Which objects a data file or a dataset has, and where each is in its store (design.md 5, dataverse.md 2.8, 4).

use std::sync::Arc;

use dvb_fixity::{Digest, RecordedChecksum};
use dvb_model::{
    AuxiliaryFile, DataFile, Dataset, KeyError, ObjectKey, ObjectName, ObjectRole, StorageIdentifier, StoragePid,
};
use dvb_storage::{Location, ObjectAddress, Source, SourceError};

use crate::source::on_record::OnRecord;
use crate::source::package::Manifest;
use crate::source::stores::{Access, Store, StoreLocation, Stores};

/// `PersistProvJsonCommand`: in no table, so it is looked for by its name.
pub(crate) const PROVENANCE: &str = "prov-json.json";
/// What a person uploaded as the logo of a dataset; its thumbnails can be made again.
const LOGO: &str = "dataset_logo_original";
/// Format of auxiliary files that Dataverse makes itself (5.13).
const DERIVABLE: &str = "NcML";
/// The exporters of Dataverse 4.8 to 6.9, by the names of their cached files (`ExportService`).
const EXPORTS: [&str; 12] = [
    "ddi",
    "oai_ddi",
    "html",
    "dcterms",
    "oai_dc",
    "dataverse_json",
    "schema.org",
    "Datacite",
    "oai_datacite",
    "OAI_ORE",
    "croissant",
    "rocrate_json",
];

/// One object to be at the destination.
#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) role: ObjectRole,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) at: Location,
    /// Where its first version belongs.
    pub(crate) key: ObjectKey,
    /// Bytes, as far as Dataverse knows.
    pub(crate) size_hint: u64,
    /// A digest recorded for this object alone.
    pub(crate) expected: Option<Digest>,
    /// Nothing is wrong where it is not there.
    pub(crate) optional: bool,
}

/// Why a data file's objects cannot be listed.
pub(crate) enum Unlisted {
    Source(SourceError),
    Name(KeyError),
}

impl From<SourceError> for Unlisted {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<KeyError> for Unlisted {
    fn from(error: KeyError) -> Self {
        Self::Name(error)
    }
}

/// The objects of a data file, and the manifest where it is a package.
pub(crate) struct Listed {
    pub(crate) objects: Vec<Object>,
    pub(crate) package: Option<Manifest>,
    /// Its storage PID among several, where Dataverse's configuration is ambiguous.
    pub(crate) ambiguous: bool,
    pub(crate) directory: String,
}

/// Lists the objects of a data file. Only names that stand in no table are looked for at the source; what was copied of
/// them and is gone is listed too, as long as the table says that there is some.
pub(crate) fn of_data_file(
    file: &DataFile,
    known: &OnRecord,
    place: &StoreLocation,
    auxiliary: bool,
) -> Result<Listed, Unlisted> {
    let pid = choose_pid(file, place)?;
    let site = Site { place, directory: pid.directory(), pid };
    let (mut objects, package) = match site.package(file)? {
        Some((objects, manifest)) => (objects, Some(manifest)),
        None => (site.main_and_original(file)?, None),
    };
    if auxiliary {
        site.auxiliary(file, known, &mut objects)?;
    }
    Ok(Listed { objects, package, ambiguous: place.pids.len() > 1, directory: site.directory })
}

/// With several designated PIDs, where something is; else the only one.
fn choose_pid(file: &DataFile, place: &StoreLocation) -> Result<StoragePid, Unlisted> {
    if place.pids.len() > 1 {
        for pid in &place.pids {
            let site = Site { place, directory: pid.directory(), pid: pid.clone() };
            for object in site.main_and_original(file)? {
                if place.source.size(&object.at)?.is_some() || is_folder(place, &object.at) {
                    return Ok(site.pid);
                }
            }
        }
    }
    // `Stores::scope` lets none pass without a PID.
    place.pids.first().cloned().ok_or(Unlisted::Name(KeyError::Empty))
}

fn is_folder(place: &StoreLocation, at: &Location) -> bool {
    place.source.members(at).is_ok_and(|it| it.is_some())
}

/// The saved original of a data file that is not known to be tabular: half of a swapped pair (dataverse.md R6, 3.4).
pub(crate) fn original(file: &DataFile, main: &Object, place: &StoreLocation) -> Result<Object, Unlisted> {
    let pid = main.at.storage_pid.clone();
    let site = Site { place, directory: pid.directory(), pid };
    let object = site.tagged(ObjectRole::Original, "orig", file.size.unwrap_or(0))?;
    Ok(Object { optional: true, ..object })
}

/// One data file's folder in its store.
struct Site<'a> {
    place: &'a StoreLocation,
    pid: StoragePid,
    directory: String,
}

impl Site<'_> {
    fn object(&self, role: ObjectRole, address: ObjectAddress, name: &ObjectName) -> Result<Object, KeyError> {
        Ok(Object {
            role,
            source: Arc::clone(&self.place.source),
            at: Location {
                storage_pid: self.pid.clone(),
                identifier: Some(self.place.identifier.clone()),
                object: address,
            },
            key: ObjectKey::of(&self.directory, name)?,
            size_hint: 0,
            expected: None,
            optional: false,
        })
    }

    fn tagged(&self, role: ObjectRole, tag: &str, size_hint: u64) -> Result<Object, Unlisted> {
        let name = &self.place.name;
        let object = self.object(role, ObjectAddress::Tagged(name.clone(), tag.to_owned()), &name.with_tag(tag)?)?;
        Ok(Object { size_hint, ..object })
    }

    fn main_and_original(&self, file: &DataFile) -> Result<Vec<Object>, Unlisted> {
        let name = &self.place.name;
        let main = self.object(ObjectRole::Main, ObjectAddress::Main(name.clone()), name)?;
        let main = Object { size_hint: file.size.unwrap_or(0), ..main };
        let Some(tabular) = &file.tabular else { return Ok(vec![main]) };
        // The one that the checksum speaks of comes first.
        Ok(vec![self.tagged(ObjectRole::Original, "orig", tabular.original_size.unwrap_or(0))?, main])
    }

    /// The members of a package that is a folder; on an S3 store it is one zip like any other object (dataverse.md 2.8).
    fn package(&self, file: &DataFile) -> Result<Option<(Vec<Object>, Manifest)>, Unlisted> {
        if !file.is_package() {
            return Ok(None);
        }
        let name = &self.place.name;
        let folder = self.object(ObjectRole::Main, ObjectAddress::Main(name.clone()), name)?;
        let Some(members) = self.place.source.members(&folder.at)? else { return Ok(None) };
        let place = self.place.source.place(&folder.at);
        let manifest = match Manifest::name_among(&members) {
            Some(it) => Manifest::read(place, it, &self.member(it)?)?,
            None => Manifest::none(place),
        };
        let mut objects = Vec::with_capacity(members.len());
        for path in &members {
            let expected = manifest.digest_of(path).cloned();
            objects.push(Object { expected, ..self.member(path)? });
        }
        Ok(Some((objects, manifest)))
    }

    fn member(&self, path: &str) -> Result<Object, KeyError> {
        let name = &self.place.name;
        let address = ObjectAddress::Member(name.clone(), path.to_owned());
        self.object(ObjectRole::Member(path.to_owned()), address, &name.member(path)?)
    }

    fn auxiliary(&self, file: &DataFile, known: &OnRecord, objects: &mut Vec<Object>) -> Result<(), Unlisted> {
        for row in &file.auxiliary {
            let tag = row.tag();
            let object = self.tagged(ObjectRole::Auxiliary(tag.clone()), &tag, row.size.unwrap_or(0))?;
            let optional = row.format_tag == DERIVABLE;
            objects.push(Object { expected: auxiliary_digest(row), optional, ..object });
        }
        let provenance = self.tagged(ObjectRole::Auxiliary(PROVENANCE.to_owned()), PROVENANCE, 0)?;
        match provenance.source.size(&provenance.at)? {
            Some(size) => objects.push(Object { size_hint: size, ..provenance }),
            // Dataverse takes the name of its entity from the row when it deletes it.
            None if file.provenance_entity.is_some() && known.knows(&provenance.role) => objects.push(provenance),
            None => {}
        }
        Ok(())
    }
}

/// Tags of the auxiliary objects that must be there once they were copied: nobody makes them again.
pub(crate) fn lasting_tags(file: &DataFile) -> Vec<String> {
    let rows = file.auxiliary.iter().filter(|it| it.format_tag != DERIVABLE).map(AuxiliaryFile::tag);
    rows.chain(file.provenance_entity.iter().map(|_| PROVENANCE.to_owned())).collect()
}

/// From 5.3 to 5.8 the recorded digest was that of no bytes at all, whatever the file held (dataverse.md 4).
fn auxiliary_digest(row: &AuxiliaryFile) -> Option<Digest> {
    let recorded = RecordedChecksum::parse(row.checksum.as_deref().unwrap_or(""));
    let digest = recorded.digest()?.clone();
    let of_nothing = dvb_fixity::Measured::of(b"", &[digest.algorithm()]).matches(&digest) == Some(true);
    (!of_nothing || row.size == Some(0)).then_some(digest)
}

/// The objects of a dataset itself that are there: the logo, cached exports.
pub(crate) fn of_dataset(
    dataset: &Dataset,
    stores: &Stores,
    logo: bool,
    exports: bool,
) -> Result<Vec<Object>, Unlisted> {
    let Some((_, Store { access: Access::Readable(source), kind })) = stores.of_dataset(dataset) else {
        return Ok(Vec::new());
    };
    let exported = EXPORTS.iter().filter(|_| exports).map(|it| format!("export_{it}.cached"));
    let wanted: Vec<String> = logo.then(|| LOGO.to_owned()).into_iter().chain(exported).collect();
    let mut objects = Vec::new();
    for tag in wanted {
        for pid in &dataset.storage_pids {
            let name = ObjectName::new(&tag)?;
            // A dataset's identifier may be junk that leads nowhere: then nothing is there.
            let Ok(pid) = pid.in_store(*kind) else { continue };
            let Ok(key) = ObjectKey::of(&pid.directory(), &name) else { continue };
            let at = Location {
                storage_pid: pid,
                identifier: dataset
                    .storage_identifier
                    .as_deref()
                    .and_then(|it| StorageIdentifier::parse(Some(it)).ok()),
                object: ObjectAddress::DatasetLevel(name.clone()),
            };
            if let Some(size) = source.size(&at)? {
                objects.push(Object {
                    role: ObjectRole::DatasetLevel(tag.clone()),
                    source: Arc::clone(source),
                    at,
                    key,
                    size_hint: size,
                    expected: None,
                    optional: true,
                });
                break;
            }
        }
    }
    Ok(objects)
}
