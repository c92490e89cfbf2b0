//! Building a program by Go, into the user's cache, whole or not at all.

use super::{Binary, Error, Passed, Result};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The first that knows the `tool` lines of our modules.
const GO_MIN: (u32, u32) = (1, 24);
const LAST_WORDS_LINES: usize = 12;

/// What was built before is Go's to know, so a build that was broken off goes on where it was.
pub fn build(binary: &'static Binary, folder: &Path, passed: Passed) -> Result<PathBuf> {
    if let Some(go) = refused_go()? {
        return Err(Error::NoGo {
            name: binary.name,
            series: binary.series,
            folder: folder.to_owned(),
            go,
            passed,
        });
    }
    let place = folder.with_file_name("modules").join(binary.module.name);
    fs::create_dir_all(&place).map_err(Error::file("create", &place))?;
    for (name, text) in [
        ("go.mod", binary.module.requirements),
        ("go.sum", binary.module.checksums),
    ] {
        let path = place.join(name);
        fs::write(&path, text).map_err(Error::file("write", &path))?;
    }
    let draft = folder.join(format!(".{}.new", binary.name));
    let set = binary.set.iter().map(|text| format!(" -X {text}"));
    let output = Command::new("go")
        .args(["build", "-mod=readonly", "-trimpath"])
        .arg(format!("-ldflags=-s -w{}", set.collect::<String>()))
        .arg("-o")
        .arg(&draft)
        .arg(binary.package)
        .current_dir(&place)
        // For a static program, of this module alone.
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .stdin(Stdio::null())
        .output()
        .map_err(Error::file("start", Path::new("go")))?;
    if !output.status.success() {
        return Err(Error::Build {
            name: binary.name,
            version: binary.version,
            said: last_words(&String::from_utf8_lossy(&output.stderr)),
        });
    }
    let path = folder.join(binary.name);
    fs::rename(&draft, &path).map_err(Error::file("move a program to", &path))?;
    Ok(path)
}

/// What is wrong with the Go of this machine, if anything is.
fn refused_go() -> Result<Option<String>> {
    let output = Command::new("go")
        .args(["env", "GOVERSION"])
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Some("there is no Go on PATH".to_owned()));
        }
        other => other.map_err(Error::file("start", Path::new("go")))?,
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.trim().trim_start_matches("go");
    let mut numbers = version.split('.').map_while(|part| part.parse().ok());
    let good = numbers
        .next()
        .zip(numbers.next())
        .is_some_and(|version| version >= GO_MIN);
    Ok((!good).then(|| format!("Go is `{version}`")))
}

fn last_words(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("go: downloading "))
        .collect();
    let from = lines.len().saturating_sub(LAST_WORDS_LINES);
    lines[from..]
        .iter()
        .map(|line| format!("  {line}\n"))
        .collect::<String>()
        .trim_end()
        .to_owned()
}
