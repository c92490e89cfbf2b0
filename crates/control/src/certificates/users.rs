//! Who may read a cluster's store: upstream's `users.yaml`, and what that means for the embedded store.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use tombolo_kvstore::{Access, Keys, Right, Role};
use tombolo_model::{config::is_cluster_name, record::Key};

const FILE_LEN_MAX: u64 = 1 << 20;

/// As the file says; others than peers are not its business.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Users {
    #[serde(default)]
    users: Vec<User>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    pub name: String,
    pub role: String,
}

impl Users {
    /// The one user that all peers were before each had a name of its own.
    pub const SHARED: &str = "remote";

    pub fn file(folder: &Path) -> PathBuf {
        folder.join("users.yaml")
    }

    /// A file that is not there has no users.
    pub fn read(path: &Path) -> Result<Users> {
        let shown = path.display();
        let text = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Users::default()),
            Ok(metadata) if metadata.len() > FILE_LEN_MAX => {
                bail!("{shown} has more than {FILE_LEN_MAX} bytes")
            }
            _ => fs::read_to_string(path).with_context(|| format!("{shown} can't be read"))?,
        };
        if text.trim().is_empty() {
            return Ok(Users::default());
        }
        let users: Users = serde_saphyr::from_str(&text).with_context(|| {
            format!("{shown} is not of the form `users: [{{name: remote-cluster2, role: remote}}]`")
        })?;
        users
            .check()
            .with_context(|| format!("{shown} is refused"))?;
        Ok(users)
    }

    fn check(&self) -> Result<()> {
        for User { name, role } in &self.users {
            let peer = name.strip_prefix("remote-").unwrap_or_default();
            if name != Users::SHARED && !is_cluster_name(peer) {
                bail!(
                    "the user `{name}` is no peer: peers are called remote-<name of the cluster>"
                );
            }
            if role != "remote" {
                bail!("the user `{name}` has the role `{role}`: peers have the role `remote`");
            }
        }
        Ok(())
    }

    /// Changes the file in the folder; what `change` returns.
    pub fn change<T>(folder: &Path, change: impl FnOnce(&mut Users) -> T) -> Result<T> {
        let path = Users::file(folder);
        let mut users = Users::read(&path)?;
        let answer = change(&mut users);
        super::write(&path, &users.text(), 0o644)?;
        Ok(answer)
    }

    pub fn text(&self) -> String {
        if self.users.is_empty() {
            return "users: []\n".to_owned();
        }
        let lines = self.users.iter();
        let lines = lines.map(|User { name, role }| format!("- name: {name}\n  role: {role}\n"));
        format!("users:\n{}", lines.collect::<String>())
    }

    pub fn permits(&self, name: &str) -> bool {
        self.users.iter().any(|user| user.name == name)
    }

    pub fn permit(&mut self, name: &str) {
        if !self.permits(name) {
            self.users.push(User {
                name: name.to_owned(),
                role: "remote".to_owned(),
            });
        }
    }

    /// Whether it was permitted.
    pub fn refuse(&mut self, name: &str) -> bool {
        let before = self.users.len();
        self.users.retain(|user| user.name != name);
        self.users.len() != before
    }

    /// The rights of upstream's users, and beside them: the cluster's own agents may read its own state too.
    pub fn access(&self, cluster: &str) -> Access {
        let key = |key: Key| Keys::One(key.to_string().into());
        let read = |keys: Vec<Keys>| {
            Role::Ranges(keys.into_iter().map(|keys| (keys, Right::Read)).collect())
        };
        // Upstream's readers ask for all keys that begin so.
        let heartbeat = || Keys::prefix(Key::Heartbeat.to_string());
        let local = vec![
            heartbeat(),
            Keys::prefix("cilium/cache/"),
            Keys::prefix("cilium/cluster-config/"),
            Keys::prefix("cilium/synced/"),
            Keys::prefix("cilium/state/"),
        ];
        let own = cluster.to_owned();
        let remote = vec![
            heartbeat(),
            Keys::prefix("cilium/state/"),
            key(Key::ClusterConfig { cluster: own }),
            Keys::prefix(format!("cilium/synced/{cluster}/")),
        ];
        let roles = [
            ("root", Role::Root),
            ("local", read(local)),
            ("remote", read(remote)),
        ];
        let own = [
            (format!("admin-{cluster}"), "root"),
            (format!("local-{cluster}"), "local"),
        ];
        let own = own.map(|(user, role)| (user, role.to_owned()));
        let peers = self.users.iter();
        let peers = peers.map(|user| (user.name.clone(), user.role.clone()));
        Access {
            users: peers.chain(own).collect(),
            roles: roles
                .map(|(name, role)| (name.to_owned(), role))
                .into_iter()
                .collect::<BTreeMap<_, _>>(),
        }
    }
}
