//! Hundreds of pods over the nodes of two clusters. `cargo xtask bench pods` runs it, and the small form of it is in CI, among
//! the tests of `meshed`.

mod support;

use support::{churn, pods, user::User};

const PODS: usize = 500;
/// What this machine's memory and the nodes have room for at once.
const WAVE: usize = 100;

#[test]
#[ignore = "takes minutes, and measures: run by cargo xtask bench pods"]
fn hundreds_of_pods_come_and_go_and_nothing_is_left() {
    let user = User::with("pods", "--pod-ranges 11.0.0.0/8,12.0.0.0/8");
    pods::end_identities_soon(&user);
    user.connects(["cluster1", "cluster2"]);
    user.pods_answer(["cluster1", "cluster2"]);
    churn::agents_are_upgraded_without_a_loss(&user);
    churn::agents_are_rolled_back_without_a_loss(&user);
    let before = pods::memory(&user);
    let times = pods::come_and_go(&user, PODS, WAVE);
    let after = pods::memory(&user);
    pods::the_kernel_holds_no_more_than_is_wanted(&user);
    println!(
        "{PODS} pods in waves of {WAVE} over 4 nodes\n{}",
        times.table()
    );
    println!(
        "{:<14} {:>5} {:>22} {:>22}",
        "MiB", "count", "largest, before/after", "all, before/after"
    );
    for (role, (count, largest, all)) in before {
        let (_, largest_now, all_now) = after.get(role).copied().unwrap_or_default();
        println!(
            "{role:<14} {count:>5} {largest:>11.1} {largest_now:>10.1} {all:>11.1} {all_now:>10.1}"
        );
    }
}
