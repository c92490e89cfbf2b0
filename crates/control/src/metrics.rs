//! Prometheus' text format.

use std::{collections::BTreeMap, fmt::Write as _};

/// A page of metrics, written family by family.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

impl Page {
    pub fn text(self) -> String {
        self.text
    }

    pub fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub fn line(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.text.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{open}{label}=\"{}\"", escape(text));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {value}");
    }

    pub fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        self.line(name, &[], value);
    }

    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.line(name, &[], value);
    }

    pub fn family(&mut self, name: &str, help: &str, label: &str, values: &BTreeMap<String, u64>) {
        let counter = name.ends_with("_total");
        self.head(name, if counter { "counter" } else { "gauge" }, help);
        for (text, value) in values {
            self.line(name, &[(label, text)], *value);
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
