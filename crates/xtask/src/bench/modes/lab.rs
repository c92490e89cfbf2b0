//! The lab that is measured, and what its kernel counts.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{self, Child, ChildStdin, ChildStdout, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::CLUSTERS;
use crate::lab::tombolo;
use crate::process::{answer, binaries, quiet};

const STORE_PORT: u16 = 2379;
/// `TCP_ESTABLISHED` of the kernel, as its tables spell it.
const ESTABLISHED: &str = "01";

/// Taken down when dropped.
pub struct Lab {
    name: String,
    processes: Vec<Value>,
}

/// Sums over all clusters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Bytes that went from one cluster to another.
    pub between: u64,
    /// Bytes that left the machines of the stores.
    pub sent: u64,
    /// Seconds of processor time.
    pub store: f64,
    pub kvstoremesh: f64,
}

impl Counters {
    pub fn since(self, before: &Counters) -> Counters {
        Counters {
            between: self.between - before.between,
            sent: self.sent - before.sent,
            store: self.store - before.store,
            kvstoremesh: self.kvstoremesh - before.kvstoremesh,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Connections {
    pub own: u64,
    pub others: u64,
}

impl Drop for Lab {
    fn drop(&mut self) {
        let down = tombolo(&["lab", "down", "--name", &self.name]);
        if let Err(error) = down.and_then(|mut down| quiet(down.stdout(Stdio::null()))) {
            eprintln!("lab {} is left over: {error:#}", self.name);
        }
    }
}

impl Lab {
    pub fn up(mode: &str) -> Result<Lab> {
        let mut lab = Lab {
            name: format!("bench-{}-modes", process::id()),
            processes: Vec::new(),
        };
        let clusters = CLUSTERS.to_string();
        let mut up = tombolo(&["lab", "up", "--bare", "--name", &lab.name, "--mesh", mode])?;
        up.args(["--clusters", &clusters, "--nodes", "1", "--pods", "0"]);
        // The report has standard output to itself.
        quiet(up.stdout(Stdio::null()))?;
        let list = ["lab", "process", "list", "--name", &lab.name, "-o", "json"];
        let list = answer(&mut tombolo(&list)?).context("the lab does not list its processes")?;
        lab.processes = serde_json::from_str(&list)?;
        Ok(lab)
    }

    fn pid(&self, machine: &str, role: &str) -> Option<u64> {
        let of = |process: &&Value| process["machine"] == machine && process["role"] == role;
        self.processes.iter().find(of)?["pid"].as_u64()
    }

    /// A file of the first process of a cluster's control machine.
    fn control(&self, cluster: u8, file: &str) -> Result<PathBuf> {
        let pid = self.pid(&format!("c{cluster}-control"), "init");
        let pid = pid.with_context(|| format!("cluster{cluster} has no control machine"))?;
        Ok(format!("/proc/{pid}/{file}").into())
    }

    /// Replaces a file of the folder that the cluster's export follows.
    pub fn write_objects(&self, cluster: u8, name: &str, text: &str) -> Result<()> {
        let folder = self.control(cluster, "root/run/lab/objects")?;
        let draft = folder.join(".draft");
        fs::write(&draft, text)?;
        Ok(fs::rename(&draft, folder.join(name))?)
    }

    /// Waits until each export has at least so many records in its store.
    pub fn wait_for_records(&self, records: u64, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        let status = ["lab", "status", "--name", &self.name, "-o", "json"];
        loop {
            let output = tombolo(&status)?.stdin(Stdio::null()).output()?;
            let status: Value = serde_json::from_slice(&output.stdout)?;
            let machines = status["machines"].as_array().into_iter().flatten();
            let processes = machines
                .filter_map(|machine| machine["processes"].as_array())
                .flatten();
            let exports = processes.filter(|process| process["role"] == "apiserver");
            let written = |process: &Value| {
                let store = &process["told"]["store"];
                store["keys"].as_u64() >= Some(records) && store["pending"] == 0
            };
            if exports.filter(|process| written(process)).count() == usize::from(CLUSTERS) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the exports have not written {records} records within {patience:?}");
            }
            sleep(Duration::from_millis(100));
        }
    }

    pub fn start_readers(&self, count: u32) -> Result<Vec<Readers>> {
        (1..=CLUSTERS)
            .map(|cluster| Readers::start(&self.name, cluster, count))
            .collect()
    }

    pub fn counters(&self) -> Result<Counters> {
        let dev = [
            "lab",
            "exec",
            "--name",
            &self.name,
            "router",
            "--",
            "cat",
            "/proc/net/dev",
        ];
        let router =
            answer(&mut tombolo(&dev)?).context("the router does not tell its counters")?;
        let mut counters = Counters::default();
        for cluster in 1..=CLUSTERS {
            let (received, _) = traffic(&router, &format!("c{cluster}"))?;
            let machine = fs::read_to_string(self.control(cluster, "net/dev")?)?;
            let (_, sent) = traffic(&machine, "eth0")?;
            counters.between += received;
            counters.sent += sent;
            counters.store += self.seconds(cluster, "store")?;
            counters.kvstoremesh += self.seconds(cluster, "kvstoremesh")?;
        }
        Ok(counters)
    }

    /// Processor time of a program; none for one that this mode has not.
    fn seconds(&self, cluster: u8, role: &str) -> Result<f64> {
        let Some(pid) = self.pid(&format!("c{cluster}-control"), role) else {
            return Ok(0.0);
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name, in brackets, may hold spaces; utime and stime are the 12th and 13th after it.
        let (_, fields) = stat
            .rsplit_once(") ")
            .context("the kernel's line is cut short")?;
        let ticks: Vec<f64> = fields
            .split(' ')
            .skip(11)
            .take(2)
            .flat_map(str::parse)
            .collect();
        Ok(ticks.iter().sum::<f64>() / rustix::param::clock_ticks_per_second() as f64)
    }

    pub fn store_megabytes(&self) -> Result<f64> {
        let resident = |cluster| -> Result<f64> {
            let pid = self
                .pid(&format!("c{cluster}-control"), "store")
                .context("no store")?;
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kilobytes =
                line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
            Ok(kilobytes.context("the kernel tells no VmRSS")? / 1024.0)
        };
        (1..=CLUSTERS).map(resident).sum()
    }

    /// Who is connected to the stores.
    pub fn connections(&self) -> Result<Connections> {
        let mut connections = Connections::default();
        for cluster in 1..=CLUSTERS {
            let table = fs::read_to_string(self.control(cluster, "net/tcp")?)?;
            for remote in remotes(&table) {
                match remote {
                    [172, 30, of, _] if of != cluster => connections.others += 1,
                    _ => connections.own += 1,
                }
            }
        }
        Ok(connections)
    }
}

/// Bytes that a device has received and sent.
fn traffic(table: &str, device: &str) -> Result<(u64, u64)> {
    let lines = table.lines().filter_map(|line| line.split_once(':'));
    let mut counters = lines
        .filter(|(name, _)| name.trim() == device)
        .map(|(_, counters)| counters);
    let counters = counters
        .next()
        .with_context(|| format!("there is no device {device}"))?;
    let numbers: Vec<u64> = counters.split_whitespace().flat_map(str::parse).collect();
    match numbers[..] {
        [received, _, _, _, _, _, _, _, sent, ..] => Ok((received, sent)),
        _ => bail!("the kernel's counters of {device} are cut short"),
    }
}

/// Addresses that are connected to the store's port, from the kernel's table of IPv4 connections.
fn remotes(table: &str) -> Vec<[u8; 4]> {
    let rows = table.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (local, remote, state) = (words.get(1)?, words.get(2)?, words.get(3)?);
        let port = u16::from_str_radix(local.split_once(':')?.1, 16).ok()?;
        let address = u32::from_str_radix(remote.split_once(':')?.0, 16).ok()?;
        // The kernel prints the four bytes as a number of this machine's order.
        (port == STORE_PORT && *state == ESTABLISHED).then(|| address.to_ne_bytes())
    });
    rows.collect()
}

/// The readers of one cluster, in a process on its node.
pub struct Readers {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Readers {
    fn start(lab: &str, cluster: u8, count: u32) -> Result<Readers> {
        let readers = binaries("release").join("examples/readers");
        let mut command = tombolo(&[
            "lab",
            "exec",
            "--name",
            lab,
            &format!("c{cluster}-n1"),
            "--",
        ])?;
        command.arg(readers).args(["--readers", &count.to_string()]);
        command.args(["--cluster-id", &cluster.to_string()]);
        command.args(["--own", &format!("cluster{cluster}=/run/lab/own/store")]);
        let others = (1..=CLUSTERS).filter(|other| *other != cluster);
        command.args(
            others.map(|other| format!("cluster{other}=/run/lab/clustermesh/cluster{other}")),
        );
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().context("no pipe to the readers")?;
        let output = child.stdout.take().context("no pipe from the readers")?;
        Ok(Readers {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    fn line(&mut self, head: &str) -> Result<u64> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let number = line
            .strip_prefix(head)
            .and_then(|rest| rest.trim().parse().ok());
        number.with_context(|| format!("the readers say {line:?}"))
    }

    pub fn wait_until_ready(&mut self) -> Result<()> {
        self.line("ready ").map(drop)
    }

    /// How many facts they have heard.
    pub fn facts(&mut self) -> Result<u64> {
        self.input.write_all(b"\n")?;
        self.line("facts ")
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        // Its pid is that of the readers: each program on the way became the next.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_understood() {
        let dev = "Inter-|   Receive\n face |bytes\n    lo: 1 2 0 0 0 0 0 0 3 4\n  eth0: 500 6 0 0 0 0 0 0 700 8 0 0 0 0 0 0\n";
        assert_eq!(traffic(dev, "eth0").unwrap(), (500, 700));
        assert!(traffic(dev, "eth1").is_err());
        let row = |local: &str, remote: [u8; 4], state: &str| {
            format!(
                "   0: {local} {:08X}:C350 {state} 00000000:00000000\n",
                u32::from_ne_bytes(remote)
            )
        };
        let table = [
            "  sl  local_address rem_address   st\n".to_owned(),
            row("02011EAC:094B", [172, 30, 2, 11], "01"),
            row("02011EAC:094B", [172, 30, 1, 11], "06"),
            row("02011EAC:1F90", [172, 30, 1, 11], "01"),
        ];
        assert_eq!(remotes(&table.concat()), [[172, 30, 2, 11]]);
    }
}
