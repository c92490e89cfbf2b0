//! The rows of the kernel's tables, by their keys.

use super::Key;
use crate::tables::Tables;

pub(super) fn rows(tables: &Tables) -> impl Iterator<Item = Key> {
    let Tables {
        nodes,
        addresses,
        endpoints,
        policies,
        routes,
        frontends,
        backends,
        maglev,
    } = tables;
    let endpoints = endpoints
        .keys()
        .chain(policies.keys())
        .flat_map(|id| [Key::Endpoint(*id), Key::Policy(*id)]);
    endpoints
        .chain(addresses.keys().map(Key::Address))
        .chain(nodes.keys().map(|slot| Key::Node(*slot)))
        .chain(routes.iter().map(|prefix| Key::Route(*prefix)))
        .chain(frontends.keys().copied().map(Key::Frontend))
        .chain(
            backends
                .keys()
                .map(|(pool, backend)| Key::Backend(*pool, *backend)),
        )
        .chain(maglev.keys().copied().map(Key::Maglev))
}

pub(super) fn same_row(key: Key, one: &Tables, other: &Tables) -> bool {
    match key {
        Key::Policy(id) => one.policies.get(&id) == other.policies.get(&id),
        Key::Endpoint(id) => one.endpoints.get(&id) == other.endpoints.get(&id),
        Key::Node(slot) => one.nodes.get(&slot) == other.nodes.get(&slot),
        Key::Address(prefix) => one.addresses.get(&prefix) == other.addresses.get(&prefix),
        Key::Route(prefix) => one.routes.contains(&prefix) == other.routes.contains(&prefix),
        Key::Frontend(frontend) => one.frontends.get(&frontend) == other.frontends.get(&frontend),
        Key::Backend(pool, backend) => {
            let row = (pool, backend);
            one.backends.get(&row) == other.backends.get(&row)
        }
        Key::Maglev(pool) => one.maglev.get(&pool) == other.maglev.get(&pool),
    }
}
