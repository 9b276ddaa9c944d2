//! The names of settings.

use dvb_storage::Setting;

/// The key of `config.ini` for a setting of a store or destination, for [`dvb_storage::name_settings`].
#[must_use]
pub fn key(setting: &Setting) -> String {
    let key = match setting {
        Setting::Evidence => "Verify",
        Setting::Folder => "BackupDirectory",
        Setting::ExtraRoots => "ExtraRoots",
        Setting::Bucket => "S3Bucket",
        Setting::StoreBucket => "BucketName",
        Setting::PartSize => "S3PartSize",
        Setting::ObjectLock => "S3ObjectLock",
        Setting::ConnectTimeout => "ConnectTimeout",
        Setting::OpenFiles => "SshOpenFiles",
        Setting::SshLibrary => "SshLibrary",
        Setting::Ciphers => "SshCiphers",
        Setting::KexAlgorithms => "SshKexAlgorithms",
        Setting::Macs => "SshMacs",
        Setting::HostKeyAlgorithms => "SshHostKeyAlgorithms",
        Setting::Container => "SwiftContainer",
        Setting::AuthUrl => "SwiftAuthUrl",
        Setting::AuthVersion => "SwiftAuthVersion",
        Setting::Region => "SwiftRegion",
        Setting::Tenant => "SwiftTenant",
        Setting::Endpoint => "SwiftEndPoint",
        Setting::StoreEndpoint(name) => return format!("AuthUrl.{name}"),
        Setting::SigningKey => "SecretKey",
        Setting::Store(id) => return format!("a [Store {id}] section"),
    };
    key.to_owned()
}
