//! Random changes of objects against all records worked out anew from all objects.

mod naive;
mod random;

use std::collections::BTreeSet;

use naive::Naive;
use random::{Random, object};

use super::*;

const SEEDS: u64 = 100;
const STEPS: u64 = 300;

#[test]
fn every_change_leads_to_what_all_objects_say() {
    (0..SEEDS).for_each(run);
}

fn run(seed: u64) {
    let mut random = Random::new(seed);
    let export = [
        ExportMode::Services,
        ExportMode::Both,
        ExportMode::EndpointSlices,
    ];
    let options = Options {
        default_global_namespace: random.one_in(2),
        service_exports: !random.one_in(4),
        export: *random.pick(&export),
        ..options()
    };
    let mut translator = Translator::new(options.clone());
    let mut naive = Naive::new(options);
    let mut view = View::default();
    for step in 0..STEPS {
        change(&mut random, &mut translator, &mut naive);
        naive.settle();
        if random.one_in(3) {
            view.take(&mut translator);
            view.check(&naive, &format!("seed {seed}, step {step}"));
        }
    }
}

fn change(random: &mut Random, translator: &mut Translator, naive: &mut Naive) {
    let kind = *random.pick(&Kind::ALL);
    match random.below(24) {
        0 => {
            translator.handle(kind, Event::Restart);
            naive.restart(kind);
        }
        1 | 2 => {
            translator.handle(kind, Event::Synced);
            naive.synced(kind);
        }
        3 => {
            let (key, _) = read(object(random, kind));
            translator.keep(&key);
            naive.keep(&key);
        }
        4..=9 => {
            let (key, _) = read(object(random, kind));
            translator.handle(kind, Event::Delete(key.clone()));
            naive.delete(&key);
        }
        _ => {
            let (key, object) = read(object(random, kind));
            translator.handle(kind, Event::Upsert(key.clone(), object.clone()));
            naive.upsert(key, object);
        }
    }
}

/// What a reader of the events knows.
#[derive(Default)]
struct View {
    records: BTreeMap<(Resource, Name), Record>,
    begun: BTreeSet<Resource>,
    whole: BTreeSet<Resource>,
}

impl View {
    fn take(&mut self, translator: &mut Translator) {
        for (resource, event) in drain(translator) {
            match event {
                Event::Restart => assert!(self.begun.insert(resource), "{resource} begins once"),
                Event::Synced => assert!(self.whole.insert(resource), "{resource} is whole once"),
                Event::Upsert(name, record) => {
                    assert!(self.begun.contains(&resource));
                    assert_eq!(name.resource(), resource);
                    self.records.insert((resource, name), record);
                }
                Event::Delete(name) => {
                    assert!(self.whole.contains(&resource));
                    let gone = self.records.remove(&(resource, name));
                    assert!(gone.is_some(), "what goes was there");
                }
            }
        }
        assert_eq!(self.begun, self.whole);
    }

    fn check(&self, naive: &Naive, at: &str) {
        let expected = naive.records();
        for (key, record) in &expected {
            assert_eq!(self.records.get(key), Some(record), "{at}: {key:?}");
        }
        let more: Vec<_> = self
            .records
            .keys()
            .filter(|key| !expected.contains_key(key))
            .collect();
        assert!(more.is_empty(), "{at}: {more:?}");
        for resource in Resource::ALL {
            assert_eq!(
                self.whole.contains(&resource),
                naive.is_ready(resource),
                "{at}: {resource}"
            );
        }
    }
}
