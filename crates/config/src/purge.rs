//! `[Purge]` and `[Purge NAME]`: with which credentials copies are deleted at a destination, for a lawful purge.

use super::backup::{self, Destination, DestinationKind, S3Target, SshTarget, SwiftTarget};
use super::fields::{Fields, Findings, Surroundings};
use super::keys;
use super::lines::Section;
use super::store::access_keys;

/// Who deletes copies at a destination, when that has to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PurgeLogin {
    /// The destination's own credentials: there is no `[Purge NAME]`.
    #[default]
    Own,
    /// The destination, as the account of `[Purge NAME]` sees it.
    Given(Box<DestinationKind>),
    /// There is a `[Purge NAME]`, and its secrets cannot be read by whoever reads the file now, which is as it should be
    /// for the account that copies: why, a sentence each.
    Unreadable(Vec<String>),
}

/// How many people a purge takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PurgeApproval {
    /// Somebody else than who asks for it has to approve it.
    #[default]
    TwoPerson,
    /// Who asks for it may do it alone.
    None,
}

/// The keys that say who logs in, by the type of the destination.
fn keys_for(kind: &DestinationKind) -> &'static [&'static str] {
    match kind {
        DestinationKind::Ssh(_) => &["SshUsername", "SshKeyFile", "SshKeyPassphrase"],
        DestinationKind::Swift(_) => &[
            "SwiftUser",
            "SwiftKey",
            "SwiftUserDomain",
            "SwiftApplicationCredentialId",
            "SwiftApplicationCredentialSecret",
        ],
        DestinationKind::S3(_) => &["S3Profile", "S3AccessKey", "S3SecretKey"],
        DestinationKind::Directory(_) => &[],
    }
}

/// The login that a section gives for this destination; what is wrong with anything but its secrets is reported.
pub(super) fn read(
    of: &Destination,
    section: &Section,
    around: Surroundings<'_>,
    findings: &mut Findings,
) -> PurgeLogin {
    let useful = keys_for(&of.kind);
    let fields = Fields::new(section, keys::PURGE, around, findings);
    if !useful.iter().any(|it| fields.has(it)) {
        let advice = match useful {
            [] => "its folder needs none; leave the section out".to_owned(),
            _ => format!("give {}, or leave the section out", useful.join(", ")),
        };
        let message = format!("[{}] gives no credentials for destination {}: {advice}", section.header, of.name.0);
        findings.add(section.line, message);
        return PurgeLogin::Own;
    }
    // What lacks a key is wrong for everybody; a secret that cannot be read, only for whoever needs it.
    let mut own = Findings::default();
    let fields = &mut Fields::new(section, keys::PURGE, around, &mut own);
    let kind = match &of.kind {
        DestinationKind::Ssh(target) => Some(DestinationKind::Ssh(ssh(target, fields))),
        DestinationKind::Swift(target) => swift(target, fields).map(DestinationKind::Swift),
        DestinationKind::S3(target) => Some(DestinationKind::S3(s3(target, fields))),
        DestinationKind::Directory(_) => None,
    };
    let secrets = std::mem::take(&mut own.secrets);
    if secrets.is_empty() && own.exposed.is_empty() {
        findings.problems.extend(own.problems);
        return kind.map_or(PurgeLogin::Own, |it| PurgeLogin::Given(Box::new(it)));
    }
    let exposed = own.exposed.iter().map(ToString::to_string);
    PurgeLogin::Unreadable(secrets.into_iter().map(|it| it.to_string()).chain(exposed).collect())
}

fn ssh(of: &SshTarget, fields: &mut Fields<'_>) -> SshTarget {
    let mut target = of.clone();
    target.username = fields.text("SshUsername").unwrap_or(target.username);
    let passphrase = fields.secret("SshKeyPassphrase");
    if let Some(file) = fields.path("SshKeyFile") {
        (target.key_file, target.key_passphrase) = (Some(file), passphrase);
    } else if passphrase.is_some() {
        target.key_passphrase = passphrase;
    }
    target
}

fn swift(of: &SwiftTarget, fields: &mut Fields<'_>) -> Option<SwiftTarget> {
    let auth = backup::read_swift_auth(fields, Some(of.auth_version))?;
    let user_domain = fields.text("SwiftUserDomain").or_else(|| of.user_domain.clone());
    Some(SwiftTarget { auth, user_domain, ..of.clone() })
}

fn s3(of: &S3Target, fields: &mut Fields<'_>) -> S3Target {
    let keys = access_keys(fields, "S3AccessKey", "S3SecretKey");
    S3Target { profile: fields.text("S3Profile"), keys, ..of.clone() }
}
