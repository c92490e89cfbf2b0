//! In what order and measure clusters are used, by annotations of our own. What they say goes beyond Cilium's affinity.

use super::{Affinity, Sharing};
use crate::config::is_cluster_name;
use std::{collections::BTreeMap, fmt};

const ORDER: &str = "service.tombolo.io/cluster-order";
const WEIGHTS: &str = "service.tombolo.io/cluster-weights";
const SPILL_OVER: &str = "service.tombolo.io/spill-over";
/// The own cluster, whatever its name is.
const LOCAL: &str = "local";
/// What a backend gets of a cluster of which nothing is said.
const PERCENT: u16 = 100;
const PERCENT_MAX: u16 = 1000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grades {
    /// Whose backends are asked first. Those of one tier are alike, and who is in none comes last.
    order: Vec<Vec<String>>,
    /// In percent of what each backend would get otherwise.
    weights: BTreeMap<String, u16>,
    /// Percent of a tier's backends that must be ready for it to take all that comes to it; below, it takes its part and
    /// the rest goes on.
    pub(super) spill_over: Option<u8>,
}

impl Grades {
    /// Beside what was understood, a sentence for each value that was not.
    pub fn read(
        annotations: &BTreeMap<String, String>,
        sharing: &Sharing,
    ) -> (Grades, Vec<String>) {
        let mut problems = Vec::new();
        let grades = Grades {
            order: order(annotations, &mut problems),
            weights: weights(annotations, &mut problems),
            spill_over: spill_over(annotations, &mut problems),
        };
        if !sharing.global && grades != Grades::default() {
            problems.push(
                "order, weights and spill-over of clusters have no effect: the service is not global".into(),
            );
            return (Grades::default(), problems);
        }
        if !grades.order.is_empty() && sharing.affinity != Affinity::None {
            problems.push(format!(
                "affinity {} has no effect: annotation {ORDER} says whose backends come first",
                sharing.affinity
            ));
        }
        let all_alike = grades.order.is_empty() && sharing.affinity == Affinity::None;
        if grades.spill_over.is_some() && all_alike {
            problems.push(format!(
                "annotation {SPILL_OVER} has no effect: all clusters are alike; say who comes first, by affinity or by \
                 {ORDER}"
            ));
        }
        (grades, problems)
    }

    /// Whether clusters come one after the other by our own annotation.
    pub(super) fn is_ordered(&self) -> bool {
        !self.order.is_empty()
    }

    pub(super) fn tiers(&self) -> usize {
        self.order.len() + 1
    }

    pub(super) fn tier(&self, cluster: &str, is_own: bool) -> usize {
        let found = self.order.iter().position(|tier| {
            tier.iter()
                .any(|name| name == cluster || is_own && name == LOCAL)
        });
        found.unwrap_or(self.order.len())
    }

    /// Of a backend whose slice gives it `weight`. Nothing is rounded down to nothing.
    pub(super) fn weigh(&self, weight: u16, cluster: &str, is_own: bool) -> u16 {
        let named = self.weights.get(cluster);
        let own = || is_own.then(|| self.weights.get(LOCAL)).flatten();
        let percent = *named.or_else(own).unwrap_or(&PERCENT);
        if weight == 0 || percent == 0 {
            return 0;
        }
        let graded = u32::from(weight) * u32::from(percent) / u32::from(PERCENT);
        graded.clamp(1, u16::MAX.into()) as u16
    }
}

/// As they are told, for people.
impl fmt::Display for Grades {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tiers: Vec<String> = self.order.iter().map(|tier| tier.join("+")).collect();
        let weights = self.weights.iter();
        let weights: Vec<String> = weights.map(|(name, it)| format!("{name}={it}")).collect();
        let parts = [
            (!tiers.is_empty()).then(|| format!("order {}", tiers.join(", "))),
            (!weights.is_empty()).then(|| format!("weights {}", weights.join(", "))),
            self.spill_over.map(|it| format!("spill-over below {it} %")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join("; "))
    }
}

fn order(annotations: &BTreeMap<String, String>, problems: &mut Vec<String>) -> Vec<Vec<String>> {
    let Some(text) = annotations
        .get(ORDER)
        .filter(|text| !text.trim().is_empty())
    else {
        return Vec::new();
    };
    let mut seen = Vec::new();
    let mut order = Vec::new();
    for part in text.split(',') {
        let mut tier = Vec::new();
        for name in part.split('+').map(str::trim) {
            if !is_cluster_name(name) {
                problems.push(format!(
                    "annotation {ORDER} is `{text}`: `{name}` is no cluster's name; use names with commas between them, + \
                     between those that are alike, and {LOCAL} for this cluster"
                ));
            } else if seen.contains(&name) {
                problems.push(format!(
                    "annotation {ORDER} names {name} twice: its first place counts"
                ));
            } else {
                seen.push(name);
                tier.push(name.to_owned());
            }
        }
        if !tier.is_empty() {
            order.push(tier);
        }
    }
    order
}

fn weights(
    annotations: &BTreeMap<String, String>,
    problems: &mut Vec<String>,
) -> BTreeMap<String, u16> {
    let Some(text) = annotations
        .get(WEIGHTS)
        .filter(|text| !text.trim().is_empty())
    else {
        return BTreeMap::new();
    };
    let mut weights = BTreeMap::new();
    for part in text.split(',').map(str::trim) {
        let read = part.split_once('=').and_then(|(name, number)| {
            let percent: u16 = number.trim().parse().ok()?;
            let name = name.trim();
            (is_cluster_name(name) && percent <= PERCENT_MAX).then_some((name, percent))
        });
        match read {
            Some((name, percent)) if !weights.contains_key(name) => {
                weights.insert(name.to_owned(), percent);
            }
            Some((name, _)) => problems.push(format!(
                "annotation {WEIGHTS} names {name} twice: the first one counts"
            )),
            None => problems.push(format!(
                "annotation {WEIGHTS}: `{part}` is left out; use CLUSTER=PERCENT with a number from 0 to {PERCENT_MAX}"
            )),
        }
    }
    weights
}

fn spill_over(annotations: &BTreeMap<String, String>, problems: &mut Vec<String>) -> Option<u8> {
    let text = annotations.get(SPILL_OVER)?.to_ascii_lowercase();
    match text.trim() {
        "true" => return Some(100),
        "" | "false" => return None,
        _ => {}
    }
    let number = text.trim().trim_end_matches('%').trim_end();
    let percent = number.parse().ok().filter(|it| (1..=100).contains(it));
    if percent.is_none() {
        problems.push(format!(
            "annotation {SPILL_OVER} is `{text}`: taken for \"false\"; use \"true\", or the percent of a cluster's backends \
             that are enough, from 1 to 100"
        ));
    }
    percent
}
