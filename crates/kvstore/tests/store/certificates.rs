//! A certificate authority for one test, with its files in a folder of their own.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use tombolo_kvstore::TlsFiles;

pub struct Certificates {
    pub folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Certificates {
    pub fn make() -> Certificates {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tombolo-kvstore-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "a test's authority");
        let certificate = params.self_signed(&key).unwrap();
        write(&folder.join("ca.crt"), "CERTIFICATE", certificate.der());
        Certificates {
            folder,
            issuer: Issuer::new(params, key),
        }
    }

    pub fn server(&self) -> TlsFiles {
        self.issue("server", "server")
    }

    /// For the client that is this user.
    pub fn of(&self, user: &str) -> TlsFiles {
        self.issue(user, user)
    }

    /// Writes certificate and key into files of this name, over what was there.
    pub fn issue(&self, user: &str, file: &str) -> TlsFiles {
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, user);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = TlsFiles {
            ca: self.folder.join("ca.crt"),
            certificate: self.folder.join(format!("{file}.crt")),
            key: self.folder.join(format!("{file}.key")),
        };
        write(&files.certificate, "CERTIFICATE", certificate.der());
        write(&files.key, "PRIVATE KEY", key.serialized_der());
        files
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).unwrap_or_default();
    }
}

fn write(path: &Path, kind: &str, bytes: &[u8]) {
    let text = STANDARD.encode(bytes);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let text = format!(
        "-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n",
        lines.join("\n")
    );
    fs::write(path, text).unwrap();
}
