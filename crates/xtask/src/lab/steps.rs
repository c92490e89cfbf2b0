//! Commands one after the other, each with the time that it took.
//!
//! What they are and what they say goes to standard error, so that standard output stays the answer.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::tombolo;
use crate::process::variable;

pub struct Steps {
    start: Instant,
    colour: bool,
    done: Vec<Done>,
    /// What leads the commands to the clusters, as soon as there are some.
    pub kubeconfig: Option<String>,
}

struct Done {
    what: String,
    seconds: f64,
    /// The time is that from the start.
    so_far: bool,
}

impl Steps {
    pub fn start() -> Steps {
        Steps {
            start: Instant::now(),
            colour: std::io::stderr().is_terminal() && variable("NO_COLOR").is_none(),
            done: Vec::new(),
            kubeconfig: None,
        }
    }

    pub fn step<T>(&mut self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("{}", self.coloured("1", &format!("$ {what}")));
        let start = Instant::now();
        let result = work();
        let seconds = start.elapsed().as_secs_f64();
        let mark = match result {
            Ok(_) => self.coloured("32", "ok"),
            Err(_) => self.coloured("31", "FAILED"),
        };
        eprintln!("{mark} in {seconds:.1} s");
        self.done.push(Done {
            what: what.to_owned(),
            seconds,
            so_far: false,
        });
        result
    }

    /// Runs a verb of the program's, which must do well, and shows what it says.
    pub fn tombolo(&mut self, words: &[&str]) -> Result<()> {
        let (said, well) = self.judged(words)?;
        eprint!("{said}");
        if !well {
            bail!("`tombolo {}` failed, see above", words.join(" "));
        }
        Ok(())
    }

    /// What the program answers with, and whether it calls that well.
    pub fn judged(&mut self, words: &[&str]) -> Result<(String, bool)> {
        let what = format!("tombolo {}", words.join(" "));
        let mut command = tombolo(words)?;
        command.envs(self.kubeconfig.iter().map(|file| ("KUBECONFIG", file)));
        self.step(&what, || {
            let output = command
                .stdin(Stdio::null())
                .stderr(Stdio::inherit())
                .output()
                .with_context(|| format!("cannot start `{what}`"))?;
            Ok((String::from_utf8(output.stdout)?, output.status.success()))
        })
    }

    /// Remembers how long it took to come so far.
    pub fn mark(&mut self, what: &str) {
        self.done.push(Done {
            what: what.to_owned(),
            seconds: self.start.elapsed().as_secs_f64(),
            so_far: true,
        });
    }

    pub fn json(&self) -> Vec<Value> {
        let each = |Done {
                        what,
                        seconds,
                        so_far,
                    }: &Done| match so_far {
            true => json!({"reached": what, "seconds_from_start": seconds}),
            false => json!({"step": what, "seconds": seconds}),
        };
        self.done.iter().map(each).collect()
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        for Done {
            what,
            seconds,
            so_far,
        } in &self.done
        {
            let _ = match so_far {
                true => writeln!(text, "         {what} after {seconds:.1} s"),
                false => writeln!(text, "{seconds:>6.1} s {what}"),
            };
        }
        text
    }

    fn coloured(&self, colour: &str, text: &str) -> String {
        match self.colour {
            true => format!("\x1b[{colour}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}
