//! Which of the own cluster's namespaces are global: in the others nothing is joined with what other clusters have.

use super::{super::Sharing, Definition, Grades, Held, Service, Services};
use crate::{event::Event, record::Namespaced};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Spaces {
    /// What each says of itself, if anything.
    known: BTreeMap<String, Held<Option<bool>>>,
    /// All have been told.
    is_whole: bool,
}

impl Services {
    pub(crate) fn handle_namespace(&mut self, generation: u64, event: Event<String, Option<bool>>) {
        match event {
            Event::Restart => {}
            Event::Upsert(name, value) => {
                let held = Held { value, generation };
                let former = self.spaces.known.insert(name.clone(), held);
                if former.is_none_or(|former| former.value != value) {
                    self.define_anew(Some(&name));
                }
            }
            Event::Delete(name) => {
                self.spaces.known.remove(&name);
                self.define_anew(Some(&name));
            }
            Event::Synced => {
                let known = &mut self.spaces.known;
                known.retain(|_, held| held.generation == generation);
                self.spaces.is_whole = true;
                self.define_anew(None);
            }
        }
    }

    /// The services of a namespace, or of all, for which it counts what namespaces say.
    fn define_anew(&mut self, namespace: Option<&str>) {
        let first = Namespaced {
            namespace: namespace.unwrap_or_default().to_owned(),
            name: String::new(),
        };
        let services = self.services.range(first..);
        let services = services
            .take_while(|(name, _)| namespace.is_none_or(|namespace| name.namespace == namespace))
            .filter(|(_, service)| service.told().sharing.global);
        let told = |(name, service): (&Namespaced, &Service)| {
            let held = Held {
                value: service.told().clone(),
                generation: service.definition.generation,
            };
            (name.clone(), held)
        };
        let told: Vec<(Namespaced, Held<Definition>)> = services.map(told).collect();
        for (name, held) in told {
            self.define(name, Some(held));
        }
    }

    /// As for peers: one that is not there is not global. Until all are told of, what is not known is as the option has it.
    fn is_global(&self, namespace: &str) -> bool {
        match self.spaces.known.get(namespace) {
            Some(held) => held.value.unwrap_or(self.here.default_global_namespace),
            None => !self.spaces.is_whole && self.here.default_global_namespace,
        }
    }

    /// Whether names of a namespace are joined, which may be there in other clusters alone.
    pub(in crate::service) fn joins_names(&self, namespace: &str) -> bool {
        let known = self.spaces.known.get(namespace);
        let said = known.and_then(|held| held.value);
        said.unwrap_or(self.here.default_global_namespace)
    }

    /// A service as it is in its namespace, and as it was told if that differs.
    pub(super) fn in_its_namespace(
        &self,
        name: &Namespaced,
        told: Definition,
    ) -> (Definition, Option<Box<Definition>>) {
        if !told.sharing.global || self.is_global(&name.namespace) {
            return (told, None);
        }
        let mut definition = Definition {
            sharing: Sharing {
                shared: told.sharing.shared,
                ..Sharing::default()
            },
            grades: Grades::default(),
            ..told.clone()
        };
        definition.problems.push(format!(
            "the service is global and its namespace {0} is not: it is its cluster's own; annotate the namespace \
             clustermesh.cilium.io/global: \"true\" to share what is in it",
            name.namespace
        ));
        (definition, Some(told.into()))
    }
}

impl Service {
    fn told(&self) -> &Definition {
        self.told.as_deref().unwrap_or(&self.definition.value)
    }
}
