//! A cluster's own authority: who is who among the parts of its Kubernetes.

use crate::{Error, error::Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    net::IpAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::{Duration, SystemTime},
};

const DAYS: u32 = 365;
const DAY: Duration = Duration::from_secs(86_400);
/// Clocks are one machine's, but rounding is not.
const SKEW: Duration = Duration::from_secs(3600);

/// What the cluster's own authority is called among its files.
const FILE: &str = "ca";

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub certificate: String,
    key: String,
}

/// A certificate and its key, as text.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// Whom a certificate is for.
#[derive(Default)]
pub struct Owner<'a> {
    pub name: &'a str,
    /// What Kubernetes takes for groups of the user.
    pub group: Option<&'a str>,
    /// What a server is reached by; a client needs none.
    pub hosts: &'a [&'a str],
    pub addresses: &'a [IpAddr],
}

impl Authority {
    pub fn make(name: &str) -> Result<Authority> {
        let key = KeyPair::generate().map_err(fail)?;
        let params = params_of(name);
        let certificate = params.self_signed(&key).map_err(fail)?.pem();
        let text = key.serialize_pem();
        Ok(Authority {
            issuer: Issuer::new(params, key),
            certificate,
            key: text,
        })
    }

    /// The authority `name` as it was written.
    pub fn read(folder: &Path, name: &str) -> Result<Authority> {
        let read = |end: &str| {
            let path = folder.join(format!("{FILE}.{end}"));
            fs::read_to_string(&path).map_err(Error::file("read", path))
        };
        let (certificate, text) = (read("crt")?, read("key")?);
        let key = KeyPair::from_pem(&text).map_err(fail)?;
        Ok(Authority {
            issuer: Issuer::new(params_of(name), key),
            certificate,
            key: text,
        })
    }

    pub fn issue(&self, owner: &Owner<'_>) -> Result<Pair> {
        let key = KeyPair::generate().map_err(fail)?;
        let hosts: Vec<String> = owner.hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).map_err(fail)?;
        let addresses = owner
            .addresses
            .iter()
            .map(|address| SanType::IpAddress(*address));
        params.subject_alt_names.extend(addresses);
        params
            .distinguished_name
            .push(DnType::CommonName, owner.name);
        if let Some(group) = owner.group {
            params
                .distinguished_name
                .push(DnType::OrganizationName, group);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !params.subject_alt_names.is_empty() {
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        set_validity(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).map_err(fail)?;
        Ok(Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// Writes the authority with its key, for the one program that signs for others, and for nodes that come later.
    pub fn write(&self, folder: &Path) -> Result<()> {
        self.write_certificate(folder, FILE)?;
        write(&folder.join(format!("{FILE}.key")), &self.key)
    }

    pub fn write_certificate(&self, folder: &Path, name: &str) -> Result<()> {
        write(&folder.join(format!("{name}.crt")), &self.certificate)
    }
}

impl Pair {
    pub fn write(&self, folder: &Path, name: &str) -> Result<()> {
        write(&folder.join(format!("{name}.key")), &self.key)?;
        write(&folder.join(format!("{name}.crt")), &self.certificate)
    }
}

/// The pair that signs and checks the tokens of service accounts.
pub fn write_token_keys(folder: &Path) -> Result<()> {
    let key = KeyPair::generate().map_err(fail)?;
    write(&folder.join("tokens.key"), &key.serialize_pem())?;
    write(&folder.join("tokens.pub"), &key.public_key_pem())
}

/// Readable by its owner alone, whatever it is: certificates stand beside keys.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let fail = || Error::file("write", path);
    let draft = path.with_extension("draft");
    let _ = fs::remove_file(&draft);
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .map_err(fail())?;
    file.write_all(text.as_bytes()).map_err(fail())?;
    fs::rename(&draft, path).map_err(fail())
}

fn params_of(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    set_validity(&mut params);
    params
}

fn set_validity(params: &mut CertificateParams) {
    #[expect(
        clippy::disallowed_methods,
        reason = "certificates are valid by the clock on the wall"
    )]
    let now = time::OffsetDateTime::from(SystemTime::now());
    params.not_before = now - SKEW;
    params.not_after = now + DAY * DAYS;
}

fn fail(source: rcgen::Error) -> Error {
    Error::Certificate { source }
}
