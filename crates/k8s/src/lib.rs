//! Kubernetes' objects become the records that a cluster tells its peers, in Cilium's wire format.
//!
//! ```text
//!  manifests ──► manifest, snapshot ─┐                             ┌─► nodes, identities, ip,
//!                                    ├─► Translator: handle, poll ─┤   services, endpointslices,
//!  watch events ──► watch ───────────┘                             └─► serviceexports
//! ```
//!
//! [`Translator`] takes events of objects, kind by kind, and gives events of records, resource by resource, both in the
//! one vocabulary of change. It is a value without clock, I/O or tasks.
//!
//! * **Incremental.** Nothing is queued as a record: it is noted of which record the content may have changed, and the
//!   record is made when it is polled. A changed endpoint makes one record per address, a changed namespace those of what
//!   is in it.
//! * **Whole before the first word.** Of a resource nothing is told before every kind that it is made of has been told
//!   once: [`Resource::Services`](tombolo_model::record::Resource) is made of Services, EndpointSlices and Namespaces. So
//!   a program that starts anew never replaces a full service by one that has half of its backends, nor tells of what
//!   turns out to be in a namespace that is kept from others. Then come `Restart`, all records and `Synced`, once; from
//!   there on only what changes, however often a source of objects begins anew.
//! * **Scope.** What is in a namespace is told only if the namespace is global: by its annotation
//!   `clustermesh.cilium.io/global`, without one by an option. A namespace that is not known is not global. Nodes are in
//!   no namespace; identities are in that of their pods, and where they tell of none the option decides.
//! * **Addresses have one owner.** Of the endpoints that claim an address the first one has it, and when that one lets
//!   go the next in order of coming, so an endpoint that is deleted late takes nothing from its successor.
//! * **Refusals.** What is malformed is refused with its path and reason and rejects only itself; what was known of the
//!   object before stays.
//!
//! [`Snapshot`] makes a folder of manifests one snapshot, [`watch`] reads streams of watch events. Files and pipes are
//! whose who call. [`Client`] is the one that speaks to an API server.

pub mod client;
pub mod labels;
pub mod manifest;
pub mod object;
mod reject;
mod snapshot;
mod translator;
pub mod watch;

pub use client::Client;
pub use object::{Kind, Object, ObjectKey};
pub use reject::Reject;
pub use snapshot::Snapshot;
pub use translator::{Options, Translator};
