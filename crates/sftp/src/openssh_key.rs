//! OpenSSH's private keys that the library takes for broken. The number of one P-256 key in 256 begins with a zero byte,
//! which OpenSSH leaves out (mpint, RFC 4251 section 5), and `ssh-key` 0.7 wants all 32 bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::symm::{Cipher, decrypt};

const MAGIC: &[u8] = b"openssh-key-v1\0";

/// Such a key (OpenSSH's PROTOCOL.key) as PKCS #8 in PEM; `None` for any other, or where the passphrase does not open it.
pub(crate) fn to_pkcs8(text: &str, passphrase: Option<&str>) -> Option<String> {
    let lines = text.lines().skip_while(|it| *it != "-----BEGIN OPENSSH PRIVATE KEY-----").skip(1);
    let body: String = lines.take_while(|it| !it.starts_with("-----END ")).map(str::trim).collect();
    let bytes = STANDARD.decode(body).ok()?;
    let mut file = Fields(bytes.strip_prefix(MAGIC)?);
    let (cipher, kdf, mut options) = (file.string()?, file.string()?, Fields(file.string()?));
    if file.number()? != 1 {
        return None;
    }
    let (_public, secret) = (file.string()?, file.string()?);
    let secret = match (cipher, kdf) {
        (b"none", b"none") => secret.to_vec(),
        // What ssh-keygen encrypts with unless it is told otherwise.
        (b"aes256-ctr", b"bcrypt") => {
            let mut key = [0; 48];
            bcrypt_pbkdf::bcrypt_pbkdf(passphrase?, options.string()?, options.number()?, &mut key).ok()?;
            decrypt(Cipher::aes_256_ctr(), &key[..32], Some(&key[32..]), secret).ok()?
        }
        _ => return None,
    };
    let mut secret = Fields(&secret);
    if secret.number()? != secret.number()? || secret.string()? != b"ecdsa-sha2-nistp256" {
        return None;
    }
    let (_curve, point, number) = (secret.string()?, secret.string()?, secret.string()?);
    pkcs8(point, number).ok()
}

fn pkcs8(point: &[u8], number: &[u8]) -> Result<String, Box<dyn std::error::Error>> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let point = EcPoint::from_bytes(&group, point, &mut *openssl::bn::BigNumContext::new()?)?;
    let key = EcKey::from_private_components(&group, &*BigNum::from_slice(number)?, &point)?;
    key.check_key()?;
    Ok(String::from_utf8(PKey::from_ec_key(key)?.private_key_to_pem_pkcs8()?)?)
}

/// What is left of a sequence of fields (RFC 4251, section 5).
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        let (string, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(string)
    }
}
