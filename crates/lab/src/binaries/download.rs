//! Fetching a project's own build of a program, into the user's cache, whole or not at all.
//!
//! By curl, which knows the proxies and authorities of its machine.

use super::{
    Binary, Error, Result,
    list::{Checksum, Release},
};
use ring::digest::{Context, SHA256};
use std::{
    env,
    fmt::Write as _,
    fs::{self, File, Permissions},
    io::{ErrorKind, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    str::FromStr,
};

const PUBLIC: &str = "https://";

/// What stands before host and path of each address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror(String);

impl Default for Mirror {
    fn default() -> Mirror {
        Mirror(PUBLIC.to_owned())
    }
}

impl FromStr for Mirror {
    type Err = String;

    fn from_str(text: &str) -> Result<Mirror, String> {
        let rest = ["https://", "http://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        match rest {
            Some(rest) if !rest.is_empty() && !rest.contains(char::is_whitespace) => {
                Ok(Mirror(format!("{}/", text.trim_end_matches('/'))))
            }
            _ => Err("give an address like https://mirror.example/releases".to_owned()),
        }
    }
}

impl Mirror {
    /// Where the release of a program is.
    pub fn url(&self, binary: &Binary) -> Result<String> {
        let public = spell(binary, binary.release.url)?;
        let rest = public.strip_prefix(PUBLIC).unwrap_or(&public);
        Ok(format!("{}{rest}", self.0))
    }
}

/// Where the program is.
pub fn download(binary: &'static Binary, folder: &Path, mirror: &Mirror) -> Result<PathBuf> {
    let Release {
        checksum, member, ..
    } = &binary.release;
    let url = mirror.url(binary)?;
    let (above, file) = url.rsplit_once('/').unwrap_or_default();
    let beside = match checksum {
        Checksum::Ending(ending) => format!("{url}{ending}"),
        Checksum::Beside(name) => format!("{above}/{name}"),
    };
    let draft = Draft::new(folder, binary.name)?;
    let sums = draft.path("sums");
    fetch(&beside, &sums)?;
    let text = fs::read(&sums).map_err(Error::file("read", &sums))?;
    let wanted = checksum_of(&String::from_utf8_lossy(&text), file).ok_or_else(|| {
        let file = file.to_owned();
        Error::NoChecksum {
            beside: beside.clone(),
            file,
        }
    })?;
    let fetched = draft.path("fetched");
    fetch(&url, &fetched)?;
    let is = sha256(&fetched).map_err(Error::file("read", &fetched))?;
    if is != wanted {
        return Err(Error::Checksum {
            url,
            beside,
            is,
            wanted,
        });
    }
    let program = match member {
        Some(member) => unpack(&draft, &url, &fetched, &spell(binary, member)?)?,
        None => fetched,
    };
    fs::set_permissions(&program, Permissions::from_mode(0o755))
        .map_err(Error::file("make a program of", &program))?;
    let path = folder.join(binary.name);
    fs::rename(&program, &path).map_err(Error::file("move a program to", &path))?;
    Ok(path)
}

fn spell(binary: &Binary, text: &str) -> Result<String> {
    let arch = match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        architecture => {
            return Err(Error::NoRelease {
                name: binary.name,
                architecture,
            });
        }
    };
    Ok(text
        .replace("{version}", binary.version)
        .replace("{arch}", arch))
}

fn fetch(url: &str, to: &Path) -> Result<()> {
    let fail = |said: String| Error::Fetch {
        url: url.to_owned(),
        said,
    };
    let protocols = match url.starts_with(PUBLIC) {
        true => "=https",
        false => "=http,https",
    };
    let mut curl = Command::new("curl");
    curl.args(["--fail", "--silent", "--show-error", "--location"])
        .args(["--proto", protocols, "--proto-redir", protocols])
        .args(["--retry", "3", "--connect-timeout", "20"])
        // A connection on which nothing comes for a minute is dead.
        .args(["--speed-limit", "1", "--speed-time", "60"])
        .arg("--output")
        .arg(to)
        .arg(url);
    match run(&mut curl) {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(fail(first_line(&output.stderr))),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(fail("there is no curl on PATH, install it".to_owned()))
        }
        Err(error) => Err(fail(format!("curl can't be started: {error}"))),
    }
}

fn unpack(draft: &Draft, url: &str, archive: &Path, member: &str) -> Result<PathBuf> {
    let fail = |said: String| Error::Unpack {
        url: url.to_owned(),
        said,
    };
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--gzip", "--no-same-owner", "--file"])
        .arg(archive)
        .arg("--directory")
        .arg(&draft.0)
        .arg("--")
        .arg(member);
    let output = run(&mut tar).map_err(|error| fail(format!("tar can't be started: {error}")))?;
    if !output.status.success() {
        return Err(fail(first_line(&output.stderr)));
    }
    Ok(draft.path(member))
}

fn run(command: &mut Command) -> std::io::Result<Output> {
    command.stdin(Stdio::null()).output()
}

fn first_line(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    said.lines().next().unwrap_or("nothing").trim().to_owned()
}

/// Of a file alone, or of one of many with a name on each line.
fn checksum_of(text: &str, file: &str) -> Option<String> {
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(|mut words| {
        let sum = words.next()?.to_ascii_lowercase();
        let name = words.next().map(|name| name.trim_start_matches('*'));
        let is_sum = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_sum && name.is_none_or(|name| name == file)).then_some(sum)
    })
}

fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        context.update(&buffer[..read]);
    }
    let mut text = String::new();
    for byte in context.finish().as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// A folder beside the finished programs, which goes with all that is left in it.
struct Draft(PathBuf);

impl Draft {
    fn new(folder: &Path, name: &str) -> Result<Draft> {
        let path = folder.join(format!(".{name}.fetched"));
        // Of one who was killed; whoever lives has the lock.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).map_err(Error::file("create", &path))?;
        Ok(Draft(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binaries::ALL;

    #[test]
    fn a_checksum_is_of_the_file_that_was_fetched() {
        let (one, two) = ("1".repeat(64), "A".repeat(64));
        let many = format!("{one}  a.tar.gz\n{two} *b.tar.gz\n");
        let cases = [
            (one.clone(), Some(one.clone())),
            (format!("{one}\n"), Some(one.clone())),
            (format!("{one}  b.tar.gz\n"), Some(one.clone())),
            (many, Some("a".repeat(64))),
            (format!("{one}  a.tar.gz\n"), None),
            ("<html>404</html>".to_owned(), None),
            (String::new(), None),
        ];
        for (text, expected) in cases {
            assert_eq!(checksum_of(&text, "b.tar.gz"), expected, "{text:?}");
        }
    }

    #[test]
    fn every_program_has_a_release_whose_address_is_whole() {
        for binary in &ALL {
            let url = Mirror::default().url(binary).unwrap();
            assert!(url.starts_with("https://"), "{url}");
            assert!(url.contains(binary.version), "{url}");
            assert!(!url.contains(['{', '}']), "{url}");
        }
    }

    #[test]
    fn a_mirror_has_the_hosts_as_folders() {
        let mirror: Mirror = "http://127.0.0.1:8080/some/".parse().unwrap();
        let url = mirror.url(Binary::named("helm").unwrap()).unwrap();
        assert!(
            url.starts_with("http://127.0.0.1:8080/some/get.helm.sh/helm-v"),
            "{url}"
        );
        for bad in [
            "",
            "mirror.example",
            "ftp://mirror",
            "https://",
            "https://a b",
        ] {
            assert!(bad.parse::<Mirror>().is_err(), "{bad:?}");
        }
    }
}
