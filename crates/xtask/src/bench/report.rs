//! Medians of what was measured, and of the ratios within each round.

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    pub name: &'static str,
    pub unit: &'static str,
}

pub struct Report {
    /// Sides that every other side is compared with.
    references: &'static [&'static str],
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
            series: Vec::new(),
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

    fn json(&self) -> Vec<Value> {
        let series = self.series.iter().map(|series| {
            json!({
                "side": series.side,
                "measure": series.measure.name,
                "median": Spread::of(series.runs.clone()).median,
                "unit": series.measure.unit,
                "runs": series.runs,
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
        let mut text = row(
            ["MEASURE", "SIDE", "MEDIAN", "UNIT"],
            self.references
                .iter()
                .map(|to| format!("TO {}", to.to_uppercase())),
        );
        for series in series {
            let median = Spread::of(series.runs.clone()).median;
            let digits = if median < 1000.0 { 2 } else { 0 };
            let Measure { name, unit } = series.measure;
            text += &row(
                [name, series.side, &format!("{median:.digits$}"), unit],
                self.references.iter().map(|to| ratio(series, to)),
            );
        }
        text
    }
}

fn row([measure, side, median, unit]: [&str; 4], ratios: impl Iterator<Item = String>) -> String {
    let mut row = format!("{measure:<17} {side:<15} {median:>12} {unit:<15}");
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
