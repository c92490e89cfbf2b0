//! How answers are written: text for people, JSON for programs, colour for terminals.
//!
//! Deliberately writes each answer at once and never by `print!`, which panics when the reader has gone.

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::{
    env,
    fmt::{self, Display},
    io::{self, IsTerminal, Write},
};

#[derive(Args, Clone, Copy, Debug)]
pub struct Output {
    /// How to write the answer
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

impl Output {
    /// Writes an answer whose JSON is the value itself.
    pub fn write<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
        match self.format {
            Format::Text => write(&text(value)),
            Format::Json => write(&format!("{}\n", serde_json::to_string_pretty(value)?)),
        }
    }
}

/// Writes to the standard output and makes sure that it is out.
pub fn write(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Whether and how to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    On,
    Off,
}

#[derive(Clone, Copy, Debug)]
pub enum Style {
    Good,
    Bad,
    Faint,
    Strong,
}

impl Colour {
    /// Colour on terminals, unless the user has asked for none (<https://no-color.org>).
    pub fn of_stdout() -> Colour {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        if io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb {
            Colour::On
        } else {
            Colour::Off
        }
    }

    pub fn paint<T: Display>(self, style: Style, text: T) -> Painted<T> {
        Painted {
            colour: self,
            style,
            text,
        }
    }
}

/// Text with its colour.
pub struct Painted<T> {
    colour: Colour,
    style: Style,
    text: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.colour == Colour::Off {
            return self.text.fmt(f);
        }
        let code = match self.style {
            Style::Good => "32",
            Style::Bad => "31",
            Style::Faint => "2",
            Style::Strong => "1",
        };
        write!(f, "\x1b[{code}m")?;
        self.text.fmt(f)?;
        f.write_str("\x1b[0m")
    }
}
