//! Limits and losses of a device, by the `tc` program of iproute2.

use crate::{
    error::Result,
    process::{Namespaces, run_tool},
};
use std::process::Command;

/// Bytes that may leave at once; one segmented super-packet must fit.
const BURST: &str = "128kb";
const QUEUE: &str = "50ms";

/// A device, in the namespace of a name.
pub struct Device<'a> {
    pub netns: &'a str,
    pub name: &'a str,
}

impl Device<'_> {
    /// Limits what leaves by the device; `None` lifts the limit.
    pub fn set_rate(&self, mbit: Option<u32>) -> Result<()> {
        self.clear("root")?;
        let Some(mbit) = mbit else { return Ok(()) };
        let rate = format!("{mbit}mbit");
        self.tc(
            &["qdisc", "add", "dev", self.name, "root", "tbf"],
            &["rate", &rate, "burst", BURST, "latency", QUEUE],
        )
    }

    /// Drops packets at random, coming and going; 100 drops all.
    pub fn set_loss(&self, percent: Option<f64>) -> Result<()> {
        self.clear("clsact")?;
        let Some(percent) = percent else {
            return Ok(());
        };
        self.tc(&["qdisc", "add", "dev", self.name, "clsact"], &[])?;
        let program = loss_program(percent);
        for way in ["ingress", "egress"] {
            self.tc(
                &["filter", "add", "dev", self.name, way],
                &["bpf", "direct-action", "bytecode", &program],
            )?;
        }
        Ok(())
    }

    /// There being nothing to clear is fine.
    fn clear(&self, parent: &str) -> Result<()> {
        match self.tc(&["qdisc", "del", "dev", self.name, parent], &[]) {
            Err(crate::Error::Tool { .. }) => Ok(()),
            result => result,
        }
    }

    fn tc(&self, what: &[&str], more: &[&str]) -> Result<()> {
        let words = Namespaces::of_net(self.netns).words();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("tc").args(what).args(more);
        run_tool("tc", &mut command).map(drop)
    }
}

/// Classic BPF, which the kernel turns into eBPF: a random number below the threshold drops the packet.
///
/// Codes are those of `linux/filter.h`: 32 loads a word from the packet or, at negative offsets, what the kernel offers
/// beside it; 53 jumps if greater or equal; 6 returns. Returned are tc's verdicts: 2 drops, -1 goes on.
fn loss_program(percent: f64) -> String {
    const DROP: u32 = 2;
    const GO_ON: u32 = u32::MAX;
    /// `SKF_AD_OFF + SKF_AD_RANDOM`.
    const RANDOM: u32 = (-0x1000_i32 + 56) as u32;
    if percent >= 100.0 {
        return format!("1,6 0 0 {DROP}");
    }
    let threshold = (percent / 100.0 * f64::from(u32::MAX)) as u32;
    format!("4,32 0 0 {RANDOM},53 0 1 {threshold},6 0 0 {GO_ON},6 0 0 {DROP}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_a_share_of_all_random_numbers() {
        assert_eq!(
            loss_program(10.0),
            "4,32 0 0 4294963256,53 0 1 429496729,6 0 0 4294967295,6 0 0 2"
        );
        assert_eq!(loss_program(100.0), "1,6 0 0 2");
        assert!(loss_program(0.0).contains("53 0 1 0,"));
    }
}
