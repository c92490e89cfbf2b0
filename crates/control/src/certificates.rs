//! A cluster's own certificate authority and what it has issued, as files in one folder.
//!
//! ```text
//! ca.crt ca.key                     made once, at the first start
//! server.crt admin.crt local.crt    for the store, its writers, the cluster's agents; renewed in time
//! remote-<peer>.crt                 for a peer, to be carried there with ca.crt
//! users.yaml                        the peers that may read, in upstream's form
//! ```
//! No authority is shared between clusters: a peer gets a certificate of each cluster that it reads.

mod authority;
mod held;
mod names;
#[cfg(test)]
mod tests;
mod users;

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use anyhow::{Context as _, Result, bail};
use time::OffsetDateTime;
use tombolo_kvstore::TlsFiles;
use tombolo_model::config::is_cluster_name;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use authority::now;
pub use authority::{Authority, DAYS, Issued};
pub use held::{Held, is_good};
pub use names::{Owner, authorities, public_key, uris};
pub use users::Users;

/// A certificate is renewed when less than a third of its time is left.
const RENEW_DAYS: i64 = DAYS as i64 / 3;

/// The folder, with its authority loaded.
pub struct Certificates {
    folder: PathBuf,
    authority: Authority,
}

/// One certificate, for people.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Listed {
    pub name: String,
    pub common_name: String,
    /// Negative when it has expired.
    pub days_left: i64,
    /// Of a peer: whether it may read now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub may_read: Option<bool>,
}

impl Certificates {
    /// Makes what is missing and renews what ends soon. `names` are what the store is reached by, beside the usual ones.
    pub fn ensure(folder: &Path, cluster: &str, names: &[String]) -> Result<Certificates> {
        check_name(cluster)?;
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        if !folder.join("ca.key").exists() {
            if folder.join("ca.crt").exists() {
                bail!(
                    "{} has ca.crt but not ca.key: bring the key, or give an empty folder for a new authority",
                    folder.display()
                );
            }
            make_authority(folder, cluster)?;
            tracing::info!(folder = %folder.display(), "a certificate authority of this cluster's own was made");
        }
        let certificates = Certificates::open(folder)?;
        let mut renewed = Vec::new();
        for owner in Owner::own(cluster) {
            if certificates.wants_renewal(&owner, names)? {
                certificates.write(&owner, names)?;
                renewed.push(owner.file());
            }
        }
        if !renewed.is_empty() {
            tracing::info!(certificates = renewed.join(", "), "issued for {DAYS} days");
        }
        Ok(certificates)
    }

    /// Fails where there is no authority yet.
    pub fn open(folder: &Path) -> Result<Certificates> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).with_context(|| {
                format!(
                    "{} can't be read: `tombolo certificates init` makes an authority there",
                    path.display()
                )
            })
        };
        let authority = Authority::read(read("ca.crt")?, read("ca.key")?);
        let authority = authority.with_context(|| folder.display().to_string())?;
        Ok(Certificates {
            folder: folder.to_owned(),
            authority,
        })
    }

    pub fn server(&self) -> TlsFiles {
        self.files("server")
    }

    fn files(&self, name: &str) -> TlsFiles {
        files(&self.folder, name)
    }

    /// A certificate for a peer, by which it may read. An earlier one of the same peer stays good until it ends.
    pub fn issue(&self, peer: &str) -> Result<TlsFiles> {
        check_name(peer)?;
        let owner = Owner::Peer(peer.to_owned());
        self.write(&owner, &[])?;
        Users::change(&self.folder, |users| users.permit(&owner.common_name()))?;
        Ok(self.files(&owner.file()))
    }

    /// Takes a peer's right to read, whatever certificates it has. Whether it had one.
    pub fn revoke(&self, peer: &str) -> Result<bool> {
        check_name(peer)?;
        let owner = Owner::Peer(peer.to_owned());
        Users::change(&self.folder, |users| users.refuse(&owner.common_name()))
    }

    pub fn list(&self) -> Result<Vec<Listed>> {
        let users = Users::read(&Users::file(&self.folder))?;
        let entries = fs::read_dir(&self.folder)
            .with_context(|| format!("{} can't be read", self.folder.display()))?;
        let mut listed = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let name = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.extension().is_some_and(|kind| kind == "crt") {
                let (common_name, days_left) = look(&path)?;
                let may_read = name
                    .starts_with("remote-")
                    .then(|| users.permits(&common_name));
                listed.push(Listed {
                    name,
                    common_name,
                    days_left,
                    may_read,
                });
            }
        }
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    fn wants_renewal(&self, owner: &Owner, names: &[String]) -> Result<bool> {
        let files = self.files(&owner.file());
        if !files.certificate.exists() || !files.key.exists() {
            return Ok(true);
        }
        if days_left(&files.certificate)? < RENEW_DAYS {
            return Ok(true);
        }
        let has = names::in_certificate(&read_der(&files.certificate)?)?;
        let wanted = owner.names(names);
        Ok(!wanted.iter().all(|name| has.contains(name)))
    }

    fn write(&self, owner: &Owner, names: &[String]) -> Result<()> {
        let issued = self.authority.issue(owner, names)?;
        let files = self.files(&owner.file());
        // Who reads between the two finds a pair that does not fit, and tries again.
        write(&files.key, &issued.key, 0o600)?;
        write(&files.certificate, &issued.certificate, 0o644)
    }
}

/// Those in a folder that are of this name.
pub fn files(folder: &Path, name: &str) -> TlsFiles {
    TlsFiles {
        ca: folder.join("ca.crt"),
        certificate: folder.join(format!("{name}.crt")),
        key: folder.join(format!("{name}.key")),
    }
}

fn make_authority(folder: &Path, cluster: &str) -> Result<()> {
    let made = Authority::make(cluster)?;
    // The certificate first: with the key alone, another certificate would be made for it at the next start.
    write(&folder.join("ca.crt.new"), &made.certificate, 0o644)?;
    write(&folder.join("ca.key"), &made.key, 0o600)?;
    fs::rename(folder.join("ca.crt.new"), folder.join("ca.crt"))
        .with_context(|| format!("cannot write into {}", folder.display()))
}

/// Replaces the file at one instant.
fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    let written = || -> std::io::Result<()> {
        // A draft that was left may have other permissions.
        let _ = fs::remove_file(&draft);
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

fn check_name(cluster: &str) -> Result<()> {
    if is_cluster_name(cluster) {
        return Ok(());
    }
    bail!(
        "`{cluster}` can't be a cluster's name: at most 32 of a-z, 0-9 and -, without - at either end"
    )
}

fn read_der(path: &Path) -> Result<Vec<u8>> {
    let text = fs::read(path).with_context(|| format!("{} can't be read", path.display()))?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&text)
        .with_context(|| format!("{} holds no certificate in PEM", path.display()))?;
    Ok(pem.contents)
}

/// Common name and days left of the first certificate in a file.
fn look(path: &Path) -> Result<(String, i64)> {
    let der = read_der(path)?;
    let (_, certificate) = X509Certificate::from_der(&der)
        .with_context(|| format!("{} holds no certificate", path.display()))?;
    let common_name = certificate.subject().iter_common_name().next();
    let common_name = common_name
        .and_then(|name| name.as_str().ok())
        .unwrap_or_default();
    let seconds = certificate.validity().not_after.timestamp() - now().unix_timestamp();
    Ok((common_name.to_owned(), seconds.div_euclid(86_400)))
}

/// Whole days until the first certificate in a file ends; negative when it has.
pub fn days_left(path: &Path) -> Result<i64> {
    look(path).map(|(_, days)| days)
}

/// Seconds since 1970.
pub fn epoch() -> u64 {
    let since = now() - OffsetDateTime::from(UNIX_EPOCH);
    u64::try_from(since.whole_seconds()).unwrap_or(0)
}
