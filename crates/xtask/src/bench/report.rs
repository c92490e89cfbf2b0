//! Medians of what was measured, and of the ratios within each round.

use std::fmt;

use clap::ValueEnum;
use serde_json::{Value, json};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// An array with one object for each side and measure, and one for each ratio
    Json,
}

/// What is measured, and in what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    pub name: &'static str,
    pub unit: &'static str,
    pub goal: Option<Goal>,
}

/// What the median of our own side should be, or that of its ratios.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
    TimesAtLeast(f64, &'static str),
}

impl Measure {
    pub const fn new(name: &'static str, unit: &'static str) -> Self {
        Self {
            name,
            unit,
            goal: None,
        }
    }

    pub const fn with(self, goal: Goal) -> Self {
        Self {
            goal: Some(goal),
            ..self
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "≤ {most}"),
            Self::AtLeast(least) => write!(f, "≥ {least}"),
            Self::TimesAtLeast(times, side) => write!(f, "≥ {times} × {side}"),
        }
    }
}

pub struct Report {
    /// Sides that every other side is compared with.
    references: &'static [&'static str],
    /// One that shows what would be without anything.
    beside: Option<&'static str>,
    series: Vec<Series>,
}

/// What one side did, round by round.
struct Series {
    side: &'static str,
    measure: Measure,
    runs: Vec<f64>,
}

#[derive(Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

struct Ratio<'a> {
    of: &'a Series,
    to: &'static str,
    spread: Spread,
}

impl Report {
    pub fn new(references: &'static [&'static str]) -> Self {
        Self {
            references,
            beside: None,
            series: Vec::new(),
        }
    }

    pub fn beside(self, side: &'static str) -> Self {
        Self {
            beside: Some(side),
            ..self
        }
    }

    pub fn add(&mut self, side: &'static str, measure: Measure, value: f64) {
        let known = self
            .series
            .iter_mut()
            .find(|series| series.side == side && series.measure == measure);
        match known {
            Some(series) => series.runs.push(value),
            None => self.series.push(Series {
                side,
                measure,
                runs: vec![value],
            }),
        }
    }

    pub fn print(&self, format: Format) {
        match format {
            Format::Table => print!("{}", self.table()),
            Format::Json => {
                let lines: Vec<_> = self.json().iter().map(Value::to_string).collect();
                println!("[\n{}\n]", lines.join(",\n"));
            }
        }
    }

    fn ratios(&self) -> Vec<Ratio<'_>> {
        let mut ratios = Vec::new();
        for of in &self.series {
            for &to in self.references {
                let reference = self
                    .series
                    .iter()
                    .find(|to_| to_.side == to && to_.measure == of.measure);
                if let Some(reference) = reference.filter(|_| of.side != to) {
                    let rounds = of.runs.iter().zip(&reference.runs).map(|(of, to)| of / to);
                    ratios.push(Ratio {
                        of,
                        to,
                        spread: Spread::of(rounds.collect()),
                    });
                }
            }
        }
        ratios
    }

    /// Whether a side meets the goal of what it did; goals are not for those that it is compared with.
    fn verdict(&self, series: &Series) -> Option<(Goal, bool)> {
        let goal = series.measure.goal?;
        if self.references.contains(&series.side) || self.beside == Some(series.side) {
            return None;
        }
        let median = Spread::of(series.runs.clone()).median;
        let met = match goal {
            Goal::AtMost(most) => median <= most,
            Goal::AtLeast(least) => median >= least,
            Goal::TimesAtLeast(times, side) => {
                let ratios = self.ratios();
                let of_side = |ratio: &&Ratio| std::ptr::eq(ratio.of, series) && ratio.to == side;
                ratios.iter().find(of_side)?.spread.median >= times
            }
        };
        Some((goal, met))
    }

    fn json(&self) -> Vec<Value> {
        let series = self.series.iter().map(|series| {
            let verdict = self.verdict(series);
            json!({
                "side": series.side,
                "measure": series.measure.name,
                "median": Spread::of(series.runs.clone()).median,
                "unit": series.measure.unit,
                "runs": series.runs,
                "goal": verdict.map(|(goal, _)| goal.to_string()),
                "met": verdict.map(|(_, met)| met),
            })
        });
        let ratios = self.ratios().into_iter().map(|ratio| {
            json!({
                "ratio_of": ratio.of.side,
                "to": ratio.to,
                "measure": ratio.of.measure.name,
                "median": ratio.spread.median,
                "min": ratio.spread.min,
                "max": ratio.spread.max,
            })
        });
        series.chain(ratios).collect()
    }

    fn table(&self) -> String {
        let mut series: Vec<_> = self.series.iter().collect();
        series.sort_by_key(|series| {
            self.series
                .iter()
                .position(|first| first.measure == series.measure)
        });
        let ratios = self.ratios();
        let ratio = |of: &Series, to: &str| {
            let found = ratios
                .iter()
                .find(|ratio| std::ptr::eq(ratio.of, of) && ratio.to == to);
            found.map_or_else(String::new, |Ratio { spread, .. }| {
                format!(
                    "{:.2} ({:.2} to {:.2})",
                    spread.median, spread.min, spread.max
                )
            })
        };
        let judged = self
            .series
            .iter()
            .any(|series| series.measure.goal.is_some());
        let heads = self.references.iter();
        let heads = heads.map(|to| format!("TO {}", to.to_uppercase()));
        let goal = judged.then(|| "GOAL".to_owned());
        let mut text = row(["MEASURE", "SIDE", "MEDIAN", "UNIT"], heads.chain(goal));
        for series in series {
            let median = Spread::of(series.runs.clone()).median;
            let digits = if median < 1000.0 { 2 } else { 0 };
            let Measure { name, unit, .. } = series.measure;
            let verdict = self.verdict(series).map(|(goal, met)| {
                let word = if met { "met" } else { "missed" };
                format!("{goal}: {word}")
            });
            text += &row(
                [name, series.side, &format!("{median:.digits$}"), unit],
                self.references
                    .iter()
                    .map(|to| ratio(series, to))
                    .chain(verdict),
            );
        }
        text
    }
}

fn row([measure, side, median, unit]: [&str; 4], ratios: impl Iterator<Item = String>) -> String {
    let mut row = format!("{measure:<21} {side:<15} {median:>12} {unit:<15}");
    for ratio in ratios {
        row += &format!(" {ratio:<21}");
    }
    row.trim_end().to_owned() + "\n"
}

impl Spread {
    pub fn of(mut values: Vec<f64>) -> Self {
        assert!(!values.is_empty(), "a series has at least one run");
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Self {
            median,
            min: values[0],
            max: values[values.len() - 1],
        }
    }
}

#[cfg(test)]
mod tests;
