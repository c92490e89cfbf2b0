//! Runs helm, which knows how to install, upgrade and take away.
//!
//! Deliberately no library of it: what runs is what people could type, and is shown to them when they ask.

use std::{
    env,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;

use crate::cluster::Where;

/// Name of the release, and of its DaemonSet.
pub const RELEASE: &str = "tombolo";
/// What is written by dry runs in the place of the chart's folder.
const CHART: &str = "CHART";

#[derive(Args, Clone, Debug)]
pub struct Helm {
    /// The program helm, version 3 or 4; from PATH, or where the lab keeps programs, unless told
    #[arg(long, env = "TOMBOLO_HELM", value_name = "PROGRAM")]
    helm: Option<PathBuf>,
    /// Print what would run, and run nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What helm is told, but for the chart.
#[derive(Clone, Debug, Default)]
pub struct Call {
    pub words: Vec<OsString>,
    /// By the environment: there it may be several files.
    kubeconfig: Option<PathBuf>,
    /// Whether a chart stands among the words, as `CHART`.
    pub chart: Option<PathBuf>,
}

impl Call {
    pub fn new(verb: &str, at: &Where) -> Call {
        let mut call = Call::default();
        call.word(verb);
        call.word(RELEASE);
        call.pair("--namespace", &at.namespace);
        call.kubeconfig.clone_from(&at.kubeconfig);
        if let Some(context) = &at.context {
            call.pair("--kube-context", context);
        }
        call
    }

    pub fn word(&mut self, word: impl Into<OsString>) {
        self.words.push(word.into());
    }

    pub fn pair(&mut self, name: &str, value: impl Into<OsString>) {
        self.word(name);
        self.word(value);
    }

    fn environment(&self) -> String {
        let file = self.kubeconfig.iter();
        let shown = file.map(|file| format!("KUBECONFIG={} ", shown(&[file.into()])));
        shown.collect()
    }

    /// Puts the chart after the release's name.
    pub fn with_chart(mut self, folder: &Path) -> Call {
        self.words.insert(2, CHART.into());
        self.chart = Some(folder.to_owned());
        self
    }
}

impl Helm {
    /// What the call wrote; an error where it failed. On a dry run nothing runs.
    pub fn run(&self, call: &Call) -> Result<()> {
        if self.dry_run {
            let chart = call
                .chart
                .as_ref()
                .map(|_| "# CHART is what `tombolo chart FOLDER` writes\n");
            return crate::output::write(&format!(
                "{}{}helm {}\n",
                chart.unwrap_or_default(),
                call.environment(),
                shown(&call.words)
            ));
        }
        let program = self.find()?;
        self.check(&program)?;
        let words = call.words.iter().map(|word| match &call.chart {
            Some(folder) if word == CHART => folder.clone().into(),
            _ => word.clone(),
        });
        let output = Command::new(&program)
            .args(words)
            .envs(call.kubeconfig.iter().map(|file| ("KUBECONFIG", file)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .with_context(|| format!("starting {}", program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return crate::output::write(&String::from_utf8_lossy(&output.stdout));
        }
        bail!(
            "helm {} failed: {}",
            call.words[0].display(),
            explain(&said)
        )
    }

    fn find(&self) -> Result<PathBuf> {
        if let Some(helm) = &self.helm {
            return Ok(helm.clone());
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let cache = env::home_dir().map(|home| home.join(".cache/tombolo/bin"));
        let folders = env::split_paths(&path).chain(cache);
        let mut found = folders.map(|folder| folder.join("helm"));
        found.find(|file| file.is_file()).ok_or_else(absent)
    }

    fn check(&self, program: &Path) -> Result<()> {
        let output = Command::new(program).args(["version", "--short"]).output();
        let output = match output {
            Ok(output) => output,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(absent()),
            Err(error) => {
                return Err(error).with_context(|| format!("starting {}", program.display()));
            }
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.trim();
        if version.starts_with("v3.") || version.starts_with("v4.") {
            return Ok(());
        }
        bail!(
            "{} is helm {}, and version 3 or 4 is needed: install that, or name it with --helm",
            program.display(),
            if version.is_empty() {
                "of an unknown version"
            } else {
                version
            }
        )
    }
}

fn absent() -> anyhow::Error {
    anyhow!(
        "helm is not there, neither on PATH nor in ~/.cache/tombolo/bin: install it (https://helm.sh/docs/intro/install), \
         have the lab build it (`tombolo lab binaries`), or name it with --helm"
    )
}

/// Helm's words, and what to do where they are known to puzzle people.
fn explain(said: &str) -> String {
    let said = said.trim().trim_start_matches("Error: ").trim();
    let hint = [
        (
            "cannot re-use a name",
            "it is installed there already: use `tombolo upgrade`",
        ),
        (
            "release: not found",
            "it is not installed there: use `tombolo install`",
        ),
        (
            "has no deployed releases",
            "it is not installed there: use `tombolo install`",
        ),
        (
            "another operation",
            "an earlier call of helm was cut off: `helm rollback tombolo` ends it",
        ),
        (
            "does not exist\n",
            "name one of `kubectl config get-contexts`",
        ),
        ("context \"", "name one of `kubectl config get-contexts`"),
        (
            "values don't meet the specifications",
            "the names and values above are those of `tombolo chart FOLDER`, values.yaml",
        ),
    ];
    let hint = hint.iter().find(|(part, _)| said.contains(part));
    match hint {
        Some((_, hint)) => format!("{said}\nhint: {hint}"),
        None => said.to_owned(),
    }
}

/// As a shell would take it.
pub fn shown(words: &[OsString]) -> String {
    let quoted = words.iter().map(|word| {
        let word = word.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:@%+".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_run_can_be_typed() {
        let words = ["install", "a b", "it's", "", "x={y}"].map(OsString::from);
        assert_eq!(shown(&words), r"install 'a b' 'it'\''s' '' 'x={y}'");
    }

    #[test]
    fn helms_words_come_with_what_to_do() {
        let said =
            explain("Error: INSTALLATION FAILED: cannot re-use a name that is still in use\n");
        assert!(said.ends_with("use `tombolo upgrade`"), "{said}");
        assert_eq!(explain("Error: something else"), "something else");
    }
}
