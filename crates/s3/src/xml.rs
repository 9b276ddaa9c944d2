//! The XML that a service answers with, as far as it is read here, and the XML of a completion.

use std::fmt::Write as _;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::Fault;

/// `Error` (S3 API, "Error responses").
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ErrorAnswer {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) region: Option<String>,
}

/// The answer to `CreateMultipartUpload`: `InitiateMultipartUploadResult`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Created {
    pub(crate) upload_id: String,
}

/// The answer to `UploadPartCopy`: `CopyPartResult`.
#[derive(Debug, Deserialize)]
pub(crate) struct CopiedPart {
    #[serde(rename = "ETag")]
    pub(crate) etag: String,
    #[serde(rename = "ChecksumSHA256")]
    pub(crate) sha256: Option<String>,
}

/// One page of `ListMultipartUploads`: uploads that were begun and not ended.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Uploads {
    #[serde(rename = "Upload")]
    pub(crate) uploads: Vec<OpenUpload>,
    pub(crate) is_truncated: bool,
    pub(crate) next_key_marker: String,
    pub(crate) next_upload_id_marker: String,
    pub(crate) encoding_type: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OpenUpload {
    pub(crate) key: String,
    pub(crate) upload_id: String,
    #[serde(default)]
    pub(crate) initiated: String,
}

/// One page of `ListParts`: the parts of an upload that the service has.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ListedParts {
    #[serde(rename = "Part")]
    pub(crate) parts: Vec<ListedPart>,
    pub(crate) is_truncated: bool,
    pub(crate) next_part_number_marker: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ListedPart {
    #[serde(rename = "PartNumber")]
    pub(crate) number: u32,
    #[serde(rename = "Size")]
    pub(crate) size: u64,
    #[serde(rename = "ETag")]
    pub(crate) etag: String,
    #[serde(rename = "ChecksumSHA256")]
    pub(crate) sha256: Option<String>,
}

/// One page of `ListObjectsV2`: `ListBucketResult`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ListedPage {
    pub(crate) contents: Vec<ListedObject>,
    pub(crate) is_truncated: bool,
    pub(crate) next_continuation_token: String,
    pub(crate) encoding_type: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListedObject {
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) size: u64,
}

/// One page of `ListObjectVersions`: `ListVersionsResult`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Versions {
    #[serde(rename = "Version")]
    pub(crate) versions: Vec<VersionRow>,
    #[serde(rename = "DeleteMarker")]
    pub(crate) markers: Vec<VersionRow>,
    pub(crate) is_truncated: bool,
    pub(crate) next_key_marker: String,
    pub(crate) next_version_id_marker: String,
    pub(crate) encoding_type: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct VersionRow {
    pub(crate) key: String,
    pub(crate) version_id: Option<String>,
    pub(crate) size: u64,
}

pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    quick_xml::de::from_str(text.trim_start()).map_err(Fault::Xml)
}

/// A refusal that came with status 200: `CopyObject` and `CompleteMultipartUpload` answer so when they fail after they
/// began to answer.
pub(crate) fn late_error(text: &str) -> Option<ErrorAnswer> {
    let is_error = |it: &str| it.starts_with("<Error>") || it.starts_with("<Error ");
    let start = text.trim_start();
    let root = if start.starts_with("<?") { start.split_once("?>")?.1.trim_start() } else { start };
    is_error(root).then(|| quick_xml::de::from_str(root).unwrap_or_default())
}

/// A part as a completion names it.
pub(crate) struct NamedPart {
    pub(crate) number: u32,
    pub(crate) etag: String,
    /// Base64, where the upload was begun with this checksum.
    pub(crate) sha256: Option<String>,
}

/// The body of a `CompleteMultipartUpload`, with the parts in the order given.
pub(crate) fn completion(parts: &[NamedPart]) -> String {
    let mut xml = String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for NamedPart { number, etag, sha256 } in parts {
        // Writing to a string cannot fail. Base64 needs no escapes; an ETag is quoted hexadecimal as a rule.
        let _ = write!(xml, "<Part><ETag>{}</ETag>", quick_xml::escape::escape(etag.as_str()));
        if let Some(it) = sha256 {
            let _ = write!(xml, "<ChecksumSHA256>{it}</ChecksumSHA256>");
        }
        let _ = write!(xml, "<PartNumber>{number}</PartNumber></Part>");
    }
    xml.push_str("</CompleteMultipartUpload>");
    xml
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_late_error_is_told_from_a_success() {
        let xml = "<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code><Message>x</Message></Error>";
        assert_eq!(late_error(&format!("   \n{xml}")).unwrap().code, "InternalError");
        assert!(late_error("<?xml version=\"1.0\"?><CopyObjectResult><ETag>x</ETag></CopyObjectResult>").is_none());
        assert!(late_error("").is_none());
    }

    #[test]
    fn lists_are_read_with_none_one_and_many() {
        let none: Uploads =
            parse("<ListMultipartUploadsResult xmlns=\"x\"><Bucket>b</Bucket></ListMultipartUploadsResult>").unwrap();
        assert!(none.uploads.is_empty() && !none.is_truncated);
        let upload = |key: &str, id| {
            format!("<Upload><UploadId>{id}</UploadId><Key>{key}</Key><Owner><ID>x</ID></Owner></Upload>")
        };
        let text = format!("<R><IsTruncated>true</IsTruncated>{}{}</R>", upload("a&amp;b c", 1), upload("d", 2));
        let two: Uploads = parse(&text).unwrap();
        let found: Vec<_> = two.uploads.iter().map(|it| (it.key.as_str(), it.upload_id.as_str())).collect();
        assert_eq!((found, two.is_truncated), (vec![("a&b c", "1"), ("d", "2")], true));
    }
}
