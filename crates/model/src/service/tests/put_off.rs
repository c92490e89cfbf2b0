//! Backends that a kernel takes together, or not.

use super::*;
use crate::{
    change::Change,
    drive::{Datapath, Refused, drain},
    endpoint::EndpointRecord,
    id::EndpointId,
    random::Random,
};

/// Does what was put off when it is settled, and then at times a part of it alone.
struct Lazy {
    kernel: Recorder,
    late: Vec<Change>,
    random: Random,
    /// One settling of so many fails; 0 for none.
    fail: u64,
}

impl Lazy {
    fn new(fail: u64) -> Lazy {
        Lazy {
            kernel: Recorder::default(),
            late: Vec::new(),
            random: Random::new(7),
            fail,
        }
    }
}

impl Datapath for Lazy {
    type Error = &'static str;

    fn apply(&mut self, change: &Change) -> Result<(), &'static str> {
        assert_eq!(self.late, [], "{change:?} comes after what was put off");
        self.kernel.apply(change).map_err(|never| match never {})
    }

    fn put_off(&mut self, change: &Change) -> Result<(), &'static str> {
        assert!(matches!(change, Change::BackendSet(_, _, path) if path.weight > 0));
        self.late.push(change.clone());
        Ok(())
    }

    fn settle(&mut self) -> Result<(), &'static str> {
        let mut late = std::mem::take(&mut self.late);
        let fails = self.fail > 0 && self.random.one_in(self.fail);
        if fails {
            late.truncate(self.random.below(late.len() as u64) as usize);
        }
        for change in late {
            self.kernel.apply(&change).map_err(|never| match never {})?;
        }
        if fails { Err("no room") } else { Ok(()) }
    }

    fn remember(&mut self, _: &EndpointRecord) -> Result<(), &'static str> {
        Ok(())
    }

    fn forget(&mut self, _: EndpointId) -> Result<(), &'static str> {
        Ok(())
    }
}

fn tell(world: &mut World, kernel: &mut Lazy, fact: Fact, now: Duration) -> Vec<Refused> {
    step(world, kernel, fact, now).refused
}

fn part(backends: usize) -> Fact {
    let ips: Vec<String> = (0..backends)
        .map(|it| format!("10.1.{}.{}", it / 250, it % 250))
        .collect();
    let endpoints: Vec<(&str, State)> = ips.iter().map(|ip| (&**ip, State::Active)).collect();
    let offer = offer("c1", "web", &endpoints);
    Fact::Slice(OWN, Event::Upsert(name("web-1"), offer))
}

fn service(ip: &str) -> Fact {
    let definition = definition(ip, global(Affinity::None));
    Fact::Service(Event::Upsert(name("web"), definition))
}

fn ready(kernel: &mut Lazy) -> World {
    let mut world = World::new(config()).expect("a config");
    for fact in [
        Fact::Service(Event::Synced),
        Fact::Slice(OWN, Event::Synced),
    ] {
        assert_eq!(tell(&mut world, kernel, fact, T0), []);
    }
    world
}

#[test]
fn a_service_comes_after_all_its_backends() {
    let mut kernel = Lazy::new(0);
    let mut world = ready(&mut kernel);
    assert_eq!(tell(&mut world, &mut kernel, part(10_000), T0), []);
    kernel.kernel.log.clear();
    assert_eq!(tell(&mut world, &mut kernel, service("10.96.0.1"), T0), []);
    assert_eq!(kernel.kernel.tables, world.desired());
    let log = &kernel.kernel.log;
    assert_eq!(log.len(), 10_001);
    assert!(matches!(log[10_000], Change::FrontendSet(..)));
}

#[test]
fn what_can_not_be_settled_is_tried_again() {
    let mut kernel = Lazy::new(1);
    let mut world = ready(&mut kernel);
    tell(&mut world, &mut kernel, service("10.96.0.1"), T0);
    let refused = tell(&mut world, &mut kernel, part(3), T0);
    assert_eq!(refused.len(), 3);
    assert!(refused.iter().all(|it| it.error == "no room"));
    assert_eq!(world.status().pending, 3);
    kernel.fail = 0;
    let now = world.poll_timeout().expect("it is tried again");
    world.handle_timeout(now);
    assert_eq!(drain(&mut world, &mut kernel, now), []);
    assert_eq!(kernel.kernel.tables, world.desired());
    assert_eq!(world.status().pending, 0);
    // What was taken away meanwhile goes, whether it came to be or not.
    kernel.fail = 1;
    tell(&mut world, &mut kernel, part(9), now);
    kernel.fail = 0;
    tell(&mut world, &mut kernel, part(2), now);
    let now = world.poll_timeout().expect("it is tried again");
    world.handle_timeout(now);
    assert_eq!(drain(&mut world, &mut kernel, now), []);
    assert_eq!(kernel.kernel.tables, world.desired());
    assert_eq!(kernel.kernel.tables.backends.len(), 2);
}

#[test]
fn whatever_fails_the_kernel_has_it_in_the_end() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut kernel = Lazy::new(2);
        let mut world = ready(&mut kernel);
        let mut now = T0;
        for _ in 0..30 {
            let fact = match random.below(4) {
                0 => service(&format!("10.96.0.{}", 1 + random.below(2))),
                1 => Fact::Service(Event::Delete(name("web"))),
                _ => part(random.below(6) as usize),
            };
            tell(&mut world, &mut kernel, fact, now);
            now += Duration::from_millis(random.below(2_000));
            wake(&mut world, &mut kernel, now);
        }
        kernel.fail = 0;
        while let Some(due) = world.poll_timeout() {
            now = now.max(due);
            wake(&mut world, &mut kernel, now);
        }
        assert_eq!(kernel.kernel.tables, world.desired(), "seed {seed}");
        assert_eq!(world.status().pending, 0, "seed {seed}");
    }
}
