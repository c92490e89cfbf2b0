//! Packets through the kernel's test-run call.

mod bench;
mod conntrack;
mod drops;
mod ecn;
mod errors;
mod fragments;
mod fuzz;
mod invalidation;
mod large;
mod mutate;
mod neighbours;
mod node;
mod outside;
mod packets;
mod paths;
mod policy;
mod random;
mod restart;
mod run;
mod service;
mod shapes;
mod too_big;
mod trial;
mod verifier;
