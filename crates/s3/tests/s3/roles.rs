//! Keys of roles, from endpoints that answer as AWS documents them.

use dvb_s3::{Keys, of_container, of_instance};

use crate::proxy::{Act, Proxy, refusal};

const ANSWER: &str =
    r#"{"Code":"Success","AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"2030-01-02T03:04:05Z"}"#;

fn says(text: &str) -> Act {
    Act::Answer(200, Vec::new(), text.as_bytes().to_vec())
}

fn assert_keys(keys: &Keys) {
    assert_eq!((keys.access.as_str(), keys.token.as_deref(), keys.expires.is_some()), ("A", Some("T"), true));
}

#[test]
fn a_container_gets_the_keys_of_its_role() {
    let proxy = Proxy::scripted(vec![says(ANSWER)]);
    assert_keys(&of_container(&format!("{}/v2/credentials/x", proxy.url), Some("secret")).unwrap());
    assert_eq!(proxy.seen()[0].header("authorization"), Some("secret"));
    let proxy = Proxy::scripted(vec![refusal(403, "AccessDenied")]);
    assert!(of_container(&proxy.url, None).is_err());
}

#[test]
fn an_instance_gets_the_keys_of_its_role() {
    let proxy = Proxy::scripted(vec![says("session"), says("backup-role\n"), says(ANSWER)]);
    assert_keys(&of_instance(&proxy.url).unwrap());
    let seen = proxy.seen();
    assert!(seen[0].is("PUT", "/latest/api/token"));
    assert!(seen[2].is("GET", "/security-credentials/backup-role"), "{:?}", seen[2]);
    assert_eq!(seen[2].header("x-aws-ec2-metadata-token"), Some("session"));
    assert!(of_instance("http://127.0.0.1:1").is_err());
}
