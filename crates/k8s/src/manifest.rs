//! Manifests as people and kubectl write them: YAML of several documents, JSON, and lists of objects.
//!
//! Bytes in, objects and rejects out. Deliberately without files: whoever reads these gives each its name.

#[cfg(test)]
mod tests;

use serde_json::{Value, value::RawValue};

use crate::{
    Kind, Object, ObjectKey, Reject,
    object::{Document, Fault, Head, Json, Tree, key, object},
};

/// A file may hold all objects of a large cluster.
pub const FILE_LEN_MAX: usize = 256 << 20;
/// Lists hold objects, and no lists that hold lists.
const DEPTH_MAX: usize = 2;

/// What one file says.
#[derive(Debug, Default)]
pub struct Manifest {
    pub objects: Vec<(ObjectKey, Object)>,
    pub rejects: Vec<Reject>,
    /// Objects of kinds that nothing is told of.
    pub ignored: usize,
}

/// Reads a file of this name: JSON if it ends so, else YAML.
pub fn parse(name: &str, content: &[u8]) -> Manifest {
    let mut manifest = Manifest::default();
    if content.len() > FILE_LEN_MAX {
        let reason = format!("it has more than {FILE_LEN_MAX} bytes");
        manifest.rejects.push(Reject::whole(name, reason));
    } else if name.ends_with(".json") {
        manifest.json(name, content);
    } else {
        manifest.yaml(name, content);
    }
    manifest
}

/// Whether a file of this name is read as a manifest.
pub fn is_manifest(name: &str) -> bool {
    let ending = [".yaml", ".yml", ".json"]
        .iter()
        .any(|ending| name.ends_with(ending));
    ending && !name.starts_with('.')
}

impl Manifest {
    fn json(&mut self, name: &str, content: &[u8]) {
        let documents = serde_json::Deserializer::from_slice(content).into_iter::<&RawValue>();
        for (number, document) in (1..).zip(documents) {
            let place = format!("{name}, document {number}");
            match document {
                Ok(document) => self.add(&place, &Json(document)),
                // It is not known where the next one would begin.
                Err(error) => return self.rejects.push(Reject::whole(&place, error.to_string())),
            }
        }
    }

    fn yaml(&mut self, name: &str, content: &[u8]) {
        let text = match std::str::from_utf8(content) {
            Ok(text) => text,
            Err(error) => return self.rejects.push(Reject::whole(name, error.to_string())),
        };
        for (number, (line, document)) in (1..).zip(documents(text)) {
            let place = format!("{name}, document {number} (from line {line})");
            match read_yaml(document) {
                Ok(Value::Null) => {}
                Ok(document) => self.add(&place, &Tree(&document)),
                Err(reason) => self.rejects.push(Reject::whole(&place, reason)),
            }
        }
    }

    fn add(&mut self, place: &str, source: &impl Document) {
        self.add_below(place, source, &Head::default(), 0);
    }

    /// The items of a list whose kind says what they are need not say it themselves.
    fn add_below<S: Document>(&mut self, place: &str, source: &S, list: &Head, depth: usize) {
        if !source.is_object() {
            return self
                .rejects
                .push(Reject::whole(place, "it is not an object"));
        }
        let mut head: Head = match source.read() {
            Ok(head) => head,
            Err(fault) => return self.rejects.push(Reject::new(place, None, fault)),
        };
        if head.kind.is_empty() {
            head.kind = list
                .kind
                .strip_suffix("List")
                .unwrap_or_default()
                .to_owned();
            head.api_version.clone_from(&list.api_version);
        }
        if head.kind.is_empty() {
            let fault = Fault::new("kind", "it is missing");
            return self.rejects.push(Reject::new(place, None, fault));
        }
        match head.kind() {
            Some(kind) => self.add_object(place, source, kind, head),
            None if head.kind.ends_with("List") && depth < DEPTH_MAX => {
                self.add_list(place, source, &head, depth);
            }
            None => self.ignored += 1,
        }
    }

    fn add_object<S: Document>(&mut self, place: &str, source: &S, kind: Kind, head: Head) {
        let key = match key(kind, head) {
            Ok(key) => key,
            Err(fault) => return self.rejects.push(Reject::new(place, None, fault)),
        };
        match object(&key, source) {
            Ok(object) => self.objects.push((key, object)),
            Err(fault) => self.rejects.push(Reject::new(place, Some(key), fault)),
        }
    }

    fn add_list<S: Document>(&mut self, place: &str, source: &S, head: &Head, depth: usize) {
        match source.items() {
            Ok(items) => {
                for (number, item) in (1..).zip(items) {
                    let place = format!("{place}, item {number}");
                    self.add_below(&place, &item, head, depth + 1);
                }
            }
            Err(fault) => self.rejects.push(Reject::new(place, None, fault)),
        }
    }
}

/// The documents of a file and the lines in which they begin. They are parted before they are read, so that one that
/// can't be read takes no other with it.
pub(crate) fn documents(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let (mut begin, mut begin_line, mut at) = (0, 1, 0);
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        if is_separator(line) && at > begin {
            found.push((begin_line, &text[begin..at]));
            (begin, begin_line) = (at, number);
        }
        at += line.len();
    }
    found.push((begin_line, &text[begin..]));
    found
}

fn is_separator(line: &str) -> bool {
    let rest = line.strip_prefix("---");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Null if there is nothing but comments.
pub(crate) fn read_yaml(text: &str) -> Result<Value, String> {
    let mut options = serde_saphyr::Options::default();
    options.with_snippet = false;
    if let Some(budget) = &mut options.budget {
        // A list may be as long as its file; what aliases may add stays limited.
        budget.max_nodes = budget.max_nodes.max(text.len());
        budget.max_events = budget.max_events.max(text.len().saturating_mul(2));
        budget.max_total_scalar_bytes = budget.max_total_scalar_bytes.max(text.len());
    }
    let value: Option<Value> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            error
                .to_string()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned()
        })?;
    Ok(value.unwrap_or_default())
}
