//! Medians of what was measured, and of the ratios within each round.

use clap::ValueEnum;
use serde_json::{Value, json};

use super::load::Measure;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// An array with one object for each side and measure, and one for each ratio
    Json,
}

/// Sides that every other side is compared with.
const REFERENCES: [&str; 2] = ["vxlan", "host"];

#[derive(Default)]
pub struct Report {
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
            for to in REFERENCES {
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
                "measure": series.measure.name(),
                "median": Spread::of(series.runs.clone()).median,
                "unit": series.measure.unit(),
                "runs": series.runs,
            })
        });
        let ratios = self.ratios().into_iter().map(|ratio| {
            json!({
                "ratio_of": ratio.of.side,
                "to": ratio.to,
                "measure": ratio.of.measure.name(),
                "median": ratio.spread.median,
                "min": ratio.spread.min,
                "max": ratio.spread.max,
            })
        });
        series.chain(ratios).collect()
    }

    fn table(&self) -> String {
        let mut series: Vec<_> = self.series.iter().collect();
        series.sort_by_key(|series| series.measure);
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
        let mut text = format!(
            "{:<13} {:<15} {:>12} {:<15} {:<21} {}\n",
            "MEASURE", "SIDE", "MEDIAN", "UNIT", "TO VXLAN", "TO HOST"
        );
        for series in series {
            let median = Spread::of(series.runs.clone()).median;
            let digits = if median < 1000.0 { 2 } else { 0 };
            let row = format!(
                "{:<13} {:<15} {median:>12.digits$} {:<15} {:<21} {}",
                series.measure.name(),
                series.side,
                series.measure.unit(),
                ratio(series, "vxlan"),
                ratio(series, "host"),
            );
            text.push_str(row.trim_end());
            text.push('\n');
        }
        text
    }
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
