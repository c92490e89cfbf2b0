//! Medians of both sides, and of the ratios within each round.

use serde_json::{Value, json};

use super::plane::Side;
use crate::bench::report::{Format, Spread};

#[derive(Default)]
pub struct Report {
    measures: Vec<Measure>,
}

/// One run of each side for each round.
struct Measure {
    name: &'static str,
    tombolo: Vec<f64>,
    etcd: Vec<f64>,
}

impl Report {
    /// Sides may have come in either order, but both in each round.
    pub fn add(&mut self, side: Side, name: &'static str, value: f64) {
        let index = self
            .measures
            .iter()
            .position(|measure| measure.name == name);
        let index = index.unwrap_or_else(|| {
            self.measures.push(Measure {
                name,
                tombolo: Vec::new(),
                etcd: Vec::new(),
            });
            self.measures.len() - 1
        });
        let measure = &mut self.measures[index];
        match side {
            Side::Tombolo => measure.tombolo.push(value),
            Side::Etcd => measure.etcd.push(value),
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

    fn table(&self) -> String {
        let mut text = format!(
            "{:<26} {:>10} {:>10}  {}\n",
            "MEASURE", "TOMBOLO", "ETCD", "RATIO"
        );
        for measure in &self.measures {
            let [ours, etcd] =
                [&measure.tombolo, &measure.etcd].map(|runs| Spread::of(runs.clone()));
            let ratio = measure.ratio();
            text.push_str(&format!(
                "{:<26} {:>10.2} {:>10.2}  {:.2} ({:.2} to {:.2})\n",
                measure.name, ours.median, etcd.median, ratio.median, ratio.min, ratio.max
            ));
        }
        text
    }

    fn json(&self) -> Vec<Value> {
        let lines = self.measures.iter().map(|measure| {
            let series = |side: Side, runs: &Vec<f64>| {
                let median = Spread::of(runs.clone()).median;
                json!({"side": side.name(), "measure": measure.name, "median": median, "runs": runs})
            };
            let ratio = measure.ratio();
            [
                series(Side::Tombolo, &measure.tombolo),
                series(Side::Etcd, &measure.etcd),
                json!({
                    "ratio_of": Side::Tombolo.name(),
                    "to": Side::Etcd.name(),
                    "measure": measure.name,
                    "median": ratio.median,
                    "min": ratio.min,
                    "max": ratio.max,
                }),
            ]
        });
        lines.flatten().collect()
    }
}

impl Measure {
    fn ratio(&self) -> Spread {
        let rounds = self.tombolo.iter().zip(&self.etcd);
        Spread::of(rounds.map(|(ours, etcd)| ours / etcd).collect())
    }
}
