//! The configuration files of a Swift of one node.

use std::fmt::Write as _;
use std::path::Path;

use super::Options;

pub(super) struct Ports {
    pub(super) account: u16,
    pub(super) container: u16,
    pub(super) object: u16,
    pub(super) proxy: u16,
    pub(super) memcached: u16,
}

/// Every file with its name.
pub(super) fn files(dir: &Path, ports: &Ports, options: &Options, identity: Option<&str>) -> Vec<(String, String)> {
    let storage = [("account", ports.account), ("container", ports.container), ("object", ports.object)];
    let mut files: Vec<_> = storage
        .into_iter()
        .map(|(name, port)| (format!("{name}-server.conf"), storage_server(dir, name, port)))
        .collect();
    files.push(("proxy-server.conf".to_owned(), proxy_server(dir, ports, options, identity)));
    files.push(("swift.conf".to_owned(), constraints(options)));
    files
}

fn constraints(options: &Options) -> String {
    format!(
        "[swift-hash]
swift_hash_path_suffix = a
swift_hash_path_prefix = b
[swift-constraints]
max_file_size = {}
container_listing_limit = {}
",
        options.max_file_size, options.listing_limit
    )
}

fn common(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    format!(
        "[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {dir}
devices = {dir}/devices
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
workers = 0
log_custom_handlers = launcher.log_to_stderr
recon_cache_path = {dir}/cache
"
    )
}

fn storage_server(dir: &Path, name: &str, port: u16) -> String {
    common(dir, port)
        + &format!(
            "[pipeline:main]
pipeline = healthcheck {name}-server
[app:{name}-server]
use = egg:swift#{name}
[filter:healthcheck]
use = egg:swift#healthcheck
"
        )
}

fn proxy_server(dir: &Path, ports: &Ports, options: &Options, identity: Option<&str>) -> String {
    let auth = if identity.is_some() { "authtoken s3api s3token keystoneauth" } else { "s3api tempauth" };
    let mut text = common(dir, ports.proxy);
    let _ = write!(
        text,
        "[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck proxy-logging cache listing_formats bulk tempurl formpost {auth} copy container-quotas account-quotas slo dlo versioned_writes symlink proxy-logging proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
[filter:tempauth]
use = egg:swift#tempauth
token_life = {token_life}
user_admin_admin = admin .admin .reseller_admin
user_test_tester = testing .admin
user_test_tester3 = testing3
user_test2_tester2 = testing2 .admin
[filter:s3api]
use = egg:swift#s3api
storage_domain = localhost
min_segment_size = {s3_min_part}
[filter:slo]
use = egg:swift#slo
max_manifest_segments = {max_segments}
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
allow_object_versioning = true
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
",
        token_life = options.token_life,
        s3_min_part = options.s3_min_part,
        max_segments = options.max_segments,
        memcached = ports.memcached,
    );
    text.push_str(&identity.map(keystone_filters).unwrap_or_default());
    for filter in ["catch_errors", "gatekeeper", "healthcheck", "listing_formats", "bulk", "tempurl", "formpost"] {
        let _ = write!(text, "[filter:{filter}]\nuse = egg:swift#{filter}\n");
    }
    for filter in ["copy", "dlo", "symlink"] {
        let _ = write!(text, "[filter:{filter}]\nuse = egg:swift#{filter}\n");
    }
    for filter in ["proxy-logging", "container-quotas", "account-quotas"] {
        let _ = write!(text, "[filter:{filter}]\nuse = egg:swift#{}\n", filter.replace('-', "_"));
    }
    text
}

/// Swift's own user in Keystone validates the tokens of all others.
fn keystone_filters(url: &str) -> String {
    let service = "auth_type = password
username = swift
password = secret
project_name = service
user_domain_id = default
project_domain_id = default";
    format!(
        "[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = {url}
auth_url = {url}
{service}
cache = swift.cache
delay_auth_decision = true
service_token_roles_required = true
[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = admin, member
reseller_admin_role = reseller_admin
[filter:s3token]
use = egg:swift#s3token
auth_uri = {url}/v3
auth_url = {url}
{service}
"
    )
}
