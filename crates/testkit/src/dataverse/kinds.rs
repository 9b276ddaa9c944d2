//! One world with every kind of data file that real installations hold.

use std::path::Path;

use super::{AlternativePid, Auxiliary, DataFile, DataTable, Expect, Schema, Store, Stored, World};
use crate::files;

/// The content type of a package.
const PACKAGE: &str = "application/vnd.dataverse.file-package";

/// What must never be copied: it lies outside of every store.
const SECRET: &[u8] = b"not a data file";

/// Every kind of data file, each with a `kind` of its own. Store `file` is `root`/files; with 6.9 there is a second one
/// of type file, `Archive-2_x`, at `root`/archive. Rows of further stores, `s3`, `swift`, `remote1`, `globus1` and
/// `tape`, are there without any bytes; nobody need configure them. A file that no backup may touch is at `root`/secret.
///
/// # Panics
/// When `root` is not UTF-8.
#[must_use]
pub fn every_kind(schema: Schema, root: &Path) -> World {
    let mut made = Kinds { world: World::new(schema, &root.join("files")), seed: 0 };
    made.world.objects.push(super::StoredObject {
        store: "file".into(),
        path: "../secret".into(),
        content: Stored::Bytes(SECRET.to_vec()),
    });
    made.checksums();
    made.names();
    made.tables();
    made.packages();
    made.damage();
    made.escapes(root);
    made.without_bytes();
    made.across_datasets();
    if schema == Schema::V4_8 {
        made.only_old();
    } else {
        made.only_new(root);
    }
    made.world
}

struct Kinds {
    world: World,
    seed: u64,
}

/// A digest in hexadecimal digits.
type Hex = fn(&[u8]) -> String;

impl Kinds {
    /// Content that no other file has.
    fn content(&mut self) -> Vec<u8> {
        self.seed += 1;
        files::bytes(self.seed, 1000 + usize::try_from(self.seed).unwrap_or(0) * 37)
    }

    fn dataset(&mut self, identifier: &str) -> i64 {
        self.world.add_dataset("10.5072", &format!("FK2/{identifier}")).id
    }

    fn fresh_identifier(&mut self) -> String {
        self.seed += 1;
        format!("file://{}", World::object_name(i64::try_from(self.seed).unwrap_or(0)))
    }

    /// A good file under a name of Dataverse's own making, to be changed by the caller.
    fn good(&mut self, dataset: i64, kind: &str) -> &mut DataFile {
        let identifier = self.fresh_identifier();
        self.named(dataset, kind, &identifier)
    }

    fn named(&mut self, dataset: i64, kind: &str, identifier: &str) -> &mut DataFile {
        let content = self.content();
        let file = self.world.add_file(dataset, identifier, &content);
        file.kind = kind.into();
        file
    }

    fn row(&mut self, dataset: i64, kind: &str, identifier: Option<&str>, expect: Expect) -> &mut DataFile {
        let content = self.content();
        let file = self.world.add_row(dataset, identifier, &content);
        file.kind = kind.into();
        file.expect = expect;
        file
    }

    fn checksums(&mut self) {
        let dataset = self.dataset("CHECKSUMS");
        self.good(dataset, "md5");
        let algorithms: [(&str, Hex); 3] =
            [("SHA1", files::sha1), ("SHA256", files::sha256), ("SHA512", files::sha512)];
        for (name, hex) in algorithms {
            // 4.8 knew MD5 and SHA1.
            if self.world.schema == Schema::V6_9 || name == "SHA1" {
                let file = self.good(dataset, &name.to_lowercase());
                file.checksum_type = name.into();
                file.checksum_value = hex(&file.copies[0].1);
            }
        }
        let file = self.good(dataset, "upper-case checksum");
        file.checksum_value = file.checksum_value.to_uppercase();
        for (kind, value) in [
            ("empty checksum", ""),
            ("checksum Unknown", "Unknown"),
            ("checksum unknown", "unknown"),
            ("checksum not available", "Not available in Dataverse"),
        ] {
            let file = self.good(dataset, kind);
            file.checksum_value = value.into();
            file.expect = Expect::OkNote;
        }
        let identifier = self.fresh_identifier();
        self.world.add_file(dataset, &identifier, b"").kind = "zero bytes".into();
        self.good(dataset, "size NULL").size = None;
        self.good(dataset, "restricted").restricted = true;
        self.good(dataset, "ingest status NULL").ingest_status = None;
        let first = self.good(dataset, "replaced").id;
        self.good(dataset, "replacement").previous = Some(first);
        let file = self.good(dataset, "in a folder with a label");
        for label in &mut file.labels {
            label.label = "Käse & \"Brot\".csv".into();
            label.directory = Some("raw data/2019".into());
        }
    }

    fn names(&mut self) {
        let dataset = self.dataset("NAMES");
        let long = "l".repeat(200);
        for (kind, identifier) in [
            ("unprefixed", "15b2cc7e5a1-0a1b2c3d4e5f"),
            ("unprefixed with an extension", "data.123"),
            ("unprefixed in folders with blanks", "sub dir/deep er/name with blanks.txt"),
            ("in folders", "file://sub/dir/name.txt"),
            ("non-ASCII name", "file://Übersicht größer 数据 ñ.csv"),
            ("name with quotes", "file://it's \"quoted\" `so`.txt"),
            ("name with a command", "file://$(touch pwned);id|cat&.txt"),
            ("name with a backslash", "file://back\\slash\\n.txt"),
            ("name with a newline", "file://line\nbreak.txt"),
            ("name with a tab", "file://tab\there.txt"),
            ("name with a leading dash", "file://-rf"),
            ("name with a leading tilde", "file://~root"),
            ("name with wildcards", "file://star*quest?[ab]{c,d}.txt"),
            ("name with percent and hash", "file://100%25 #1;x=1:y.txt"),
            ("hidden name", "file://.hidden"),
            ("name with a trailing blank", "file://trailing "),
            ("name of 200 characters", long.as_str()),
        ] {
            self.named(dataset, kind, identifier);
        }
    }

    /// A tabular file: `.tab` under the name, the upload under `.orig`; the checksum is the upload's.
    fn tabular(&mut self, dataset: i64, kind: &str) -> &mut DataFile {
        let (identifier, original, tab) = (self.fresh_identifier(), self.content(), self.content());
        let key = self.world.add_object(dataset, &identifier, Stored::Bytes(tab.clone()));
        self.world.add_object(dataset, &format!("{identifier}.orig"), Stored::Bytes(original.clone()));
        let file = self.world.add_row(dataset, Some(&identifier), &original);
        file.kind = kind.into();
        file.expect = Expect::Ok;
        file.content_type = "text/tab-separated-values".into();
        file.size = i64::try_from(tab.len()).ok();
        file.tables.push(DataTable {
            original_format: Some("application/x-stata".into()),
            original_size: i64::try_from(original.len()).ok(),
            original_name: Some("survey.dta".into()),
        });
        file.copies.push((format!("{key}.orig"), original));
        file.copies.push((key, tab));
        file
    }

    fn tables(&mut self) {
        let dataset = self.dataset("TABLES");
        self.tabular(dataset, "tabular");
        let file = self.tabular(dataset, "tabular twice");
        file.tables.push(file.tables[0].clone());
        self.tabular(dataset, "tabular of unknown original size").tables[0].original_size = Some(-1);
        let file = self.good(dataset, "tabular without original");
        file.content_type = "text/tab-separated-values".into();
        file.tables.push(DataTable::default());
        let file = self.tabular(dataset, "swapped pair");
        file.tables.clear();
        file.content_type = "application/x-stata".into();
        file.ingest_status = Some('D');
        file.expect = Expect::OkNote;

        let locked = self.dataset("INGEST");
        self.world.dataset_mut(locked).locks.push("Ingest".into());
        let file = self.good(locked, "ingest in progress");
        file.ingest_status = Some('C');
        file.expect = Expect::OkNote;
        let scheduled = self.dataset("SCHEDULED");
        let file = self.good(scheduled, "ingest scheduled");
        file.ingest_status = Some('B');
        file.expect = Expect::OkNote;
    }

    fn packages(&mut self) {
        let dataset = self.dataset("PACKAGE");
        self.package(dataset, "package", false);
        self.package(dataset, "package with a damaged member", true);
    }

    fn package(&mut self, dataset: i64, kind: &str, damaged: bool) {
        let identifier = self.fresh_identifier();
        let members = ["readme.txt", "sub/b c.dat", "sub/deep/ü.bin"].map(|name| (name, self.content()));
        let lines = members.iter().map(|(name, content)| format!("{} ./{name}\n", files::sha1(content)));
        let manifest = lines.collect::<String>().into_bytes();
        let mut copies = Vec::new();
        for (n, (name, mut content)) in [("files.sha", manifest.clone())].into_iter().chain(members).enumerate() {
            if damaged && n == 2 {
                content[5] ^= 1;
            }
            let path = format!("{identifier}/{name}");
            copies.push((self.world.add_object(dataset, &path, Stored::Bytes(content.clone())), content));
        }
        let total = copies.iter().skip(1).map(|(_, it)| it.len()).sum::<usize>();
        // Packages were stored without a prefix by every version; 4.20 gave one to what was there.
        let identifier = match self.world.schema {
            Schema::V4_8 => identifier.replace("file://", ""),
            Schema::V6_9 => identifier,
        };
        let file = self.row(dataset, kind, Some(&identifier), Expect::Ok);
        file.content_type = PACKAGE.into();
        file.checksum_type = "SHA1".into();
        file.checksum_value = files::sha1(&manifest);
        file.size = i64::try_from(total).ok();
        if damaged {
            file.expect = Expect::FailChecksum;
        } else {
            file.copies = copies;
        }
    }

    fn damage(&mut self) {
        let dataset = self.dataset("DAMAGE");
        let identifier = self.fresh_identifier();
        let mut rotten = self.content();
        let file = self.world.add_row(dataset, Some(&identifier), &rotten);
        (file.kind, file.expect) = ("damaged".into(), Expect::FailChecksum);
        rotten[17] ^= 0x20;
        self.world.add_object(dataset, &identifier, Stored::Bytes(rotten));

        let identifier = self.fresh_identifier();
        let whole = self.content();
        let file = self.world.add_row(dataset, Some(&identifier), &whole);
        (file.kind, file.expect) = ("cut short".into(), Expect::FailChecksum);
        self.world.add_object(dataset, &identifier, Stored::Bytes(whole[..100].to_vec()));

        let identifier = self.fresh_identifier();
        self.row(dataset, "missing", Some(&identifier), Expect::FailRead);
        let identifier = self.fresh_identifier();
        self.world.add_object(dataset, &identifier, Stored::Folder);
        self.row(dataset, "a folder in its place", Some(&identifier), Expect::FailRead);
        let gone = self.dataset("GONE");
        self.row(gone, "its dataset's folder is missing", Some("file://18f3a000000-000000000000"), Expect::FailRead);
    }

    fn escapes(&mut self, root: &Path) {
        let dataset = self.dataset("ESCAPES");
        let secret = root.join("secret");
        let absolute = secret.to_str().expect("a path in UTF-8").to_owned();
        let identifier = self.fresh_identifier();
        self.world.add_object(dataset, &identifier, Stored::Link(secret));
        for (kind, identifier) in [
            ("symbolic link out of the store", identifier),
            ("absolute name", absolute.clone()),
            ("absolute name behind a prefix", format!("file://{absolute}")),
        ] {
            let file = self.row(dataset, kind, Some(&identifier), Expect::FailRead);
            // Nobody shall be able to call it damaged: its bytes would be right.
            file.checksum_value = files::md5(SECRET);
            file.size = i64::try_from(SECRET.len()).ok();
        }
    }

    fn without_bytes(&mut self) {
        let dataset = self.dataset("NOBYTES");
        self.row(dataset, "identifier NULL", None, Expect::NotCovered);
        for (kind, identifier) in [
            ("identifier empty", ""),
            ("identifier blank", " "),
            ("identifier a prefix alone", "file://"),
            ("identifier an S3 prefix alone", "s3://"),
            ("identifier http", "http://dvn.example/files/7"),
            ("identifier https", "https://dvn.example/files/8"),
            ("identifier temporary", "tmp://18f3a000000-00000000aaaa"),
            ("s3", "s3://bucket:18f3a000000-00000000bbbb"),
            ("swift", "swift://endpoint:doi-10-5072:FK2/NOBYTES/18f3a000000-00000000cccc"),
            ("unknown driver", "tape://18f3a000000-00000000dddd"),
        ] {
            self.row(dataset, kind, Some(identifier), Expect::NotCovered);
        }
        let orphan = self.row(dataset, "without an owner", Some("file://18f3a000000-00000000eeee"), Expect::Orphaned);
        orphan.dataset = None;
        let harvested = self.dataset("HARVESTED");
        self.world.dataset_mut(harvested).harvested = true;
        self.row(harvested, "harvested", Some("http://partner.example/api/access/datafile/7"), Expect::Absent);
        self.row(harvested, "harvested with a plausible name", Some("file://18f3a000000-00000000ffff"), Expect::Absent);
    }

    fn across_datasets(&mut self) {
        for (kind, identifier) in [("same name, one dataset", "TWIN1"), ("same name, the other dataset", "TWIN2")] {
            let dataset = self.dataset(identifier);
            self.named(dataset, kind, "file://shared.txt");
        }
        let logo = self.dataset("LOGO");
        let content = self.content();
        let key = self.world.add_object(logo, "file://dataset_logo_original", Stored::Bytes(content.clone()));
        self.world.dataset_copies.push((key, content));
        for derivable in ["dataset_logo.thumb140", "export_dataverse_json.cached"] {
            self.world.add_object(logo, &format!("file://{derivable}"), Stored::Bytes(b"can be made again".to_vec()));
        }
        self.good(logo, "beside a logo");
        self.dataset("EMPTY");
    }

    fn only_old(&mut self) {
        let dataset = self.dataset("OLD");
        let file = self.row(dataset, "climbing name", Some("file://../../../../secret"), Expect::FailRead);
        file.checksum_value = files::md5(SECRET);
        let content = self.content();
        self.world.add_file(dataset, "file://15b2cc7e5a1-00000000d0b1", &content).kind =
            "same object, first row".into();
        // Two data files never share a key.
        let second = self.world.add_row(dataset, Some("file://15b2cc7e5a1-00000000d0b1"), &content);
        (second.kind, second.expect) = ("same object, second row".into(), Expect::Ok);
        let key = format!("10.5072/FK2/OLD/15b2cc7e5a1-00000000d0b1.id{}", second.id);
        second.copies.push((key, content));
    }

    fn only_new(&mut self, root: &Path) {
        let second = "Archive-2_x";
        self.world.stores.push(Store { id: second.into(), directory: root.join("archive") });
        let dataset = self.dataset("NEW");
        let name = World::object_name(4711);
        self.named(dataset, "second store", &format!("{second}://{name}x"));
        self.named(dataset, "same name, one store", &format!("file://{name}"));
        let clash = self.named(dataset, "same name, the other store", &format!("{second}://{name}"));
        let id = clash.id;
        clash.copies[0].0 += &format!(".id{id}");
        for (kind, identifier) in [
            ("remote", "remote1://18f3a000000-00000000a001//study/data.csv"),
            ("globus reference", "globus1://18f3a000000-00000000a002//d0a1/data.h5"),
            ("globus managed", "globus1://18f3a000000-00000000a003"),
        ] {
            self.row(dataset, kind, Some(identifier), Expect::NotCovered).checksum_value =
                "Not available in Dataverse".into();
        }
        self.good(dataset, "embargoed").embargo_until = Some("2031-05-06".into());
        self.good(dataset, "retained").retention_until = Some("2041-07-08".into());
        self.auxiliary(dataset);
        self.moved_pid();
    }

    fn auxiliary(&mut self, dataset: i64) {
        let (identifier, content, provenance) = (self.fresh_identifier(), self.content(), self.content());
        let (aux, before_5_9) = (self.content(), self.content());
        let mut copies = Vec::new();
        for (tag, bytes) in [("dpJson_v1", &aux), ("dpXml_0.1", &before_5_9), ("prov-json.json", &provenance)] {
            let object = format!("{identifier}.{tag}");
            copies.push((self.world.add_object(dataset, &object, Stored::Bytes(bytes.clone())), bytes.clone()));
        }
        for derivable in ["thumb64", "RData"] {
            let object = format!("{identifier}.{derivable}");
            self.world.add_object(dataset, &object, Stored::Bytes(b"can be made again".to_vec()));
        }
        let row = |tag: &str, version: &str, bytes: &[u8], checksum| Auxiliary {
            format_tag: tag.into(),
            format_version: version.into(),
            content_type: Some("application/json".into()),
            size: i64::try_from(bytes.len()).ok(),
            checksum: Some(checksum),
        };
        let file = self.world.add_file(dataset, &identifier, &content);
        file.kind = "with auxiliary files and provenance".into();
        file.provenance_entity = Some("entity".into());
        file.auxiliary.push(row("dpJson", "v1", &aux, files::md5(&aux)));
        // From 5.3 to 5.8 the digest was that of nothing.
        file.auxiliary.push(row("dpXml", "0.1", &before_5_9, files::md5(b"")));
        file.copies.extend(copies);
    }

    /// A dataset that was given a new PID while its objects stayed where the old one put them.
    fn moved_pid(&mut self) {
        let dataset = self.dataset("MOVED");
        let pid = |protocol: &str, authority: &str, identifier: &str, designator| AlternativePid {
            protocol: protocol.into(),
            authority: authority.into(),
            identifier: identifier.into(),
            designator,
        };
        let alternatives = &mut self.world.dataset_mut(dataset).alternatives;
        alternatives.push(pid("hdl", "1902.1", "00001", None));
        alternatives.push(pid("hdl", "1902.1", "00012", Some(true)));
        alternatives.push(pid("hdl", "1902.1", "00013", Some(false)));
        self.good(dataset, "under a designated alternative PID");
    }
}
