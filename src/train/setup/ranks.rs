//! This process among those that run together: how they meet, which cores each may use, and what all must agree on before rank 0 opens the
//! run's folder.

use std::fmt;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tch::Device;

use crate::config::{Config, Loaded};
use crate::dist::agree::agree;
use crate::dist::c10d::{Backend, Meeting};
use crate::dist::launch::Placed;
use crate::dist::{C10d, Comm, Single};
use crate::train::{Console, Records, TrainError};

/// This process among those of `placed`.
pub(super) fn meet(placed: &Placed, device: Device, config: &Config) -> Result<Arc<dyn Comm>, TrainError> {
    if placed.world.size() == 1 {
        return Ok(Arc::new(Single::default()));
    }
    let backend = if device.is_cuda() { Backend::Nccl } else { Backend::Gloo };
    let (host, port, world) = (placed.host.clone(), placed.port, placed.world);
    let timeout = Duration::from_secs(config.dist_timeout);
    let meeting = Meeting { host, port, world, timeout, backend, device, interface: None };
    Ok(Arc::new(C10d::join(meeting)?))
}

/// Cores for the threads of this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cores {
    /// That it may use.
    usable: usize,
    /// Processes of the run that may use them too, this one included.
    sharers: usize,
    processes: u32,
}

impl Cores {
    /// Those that the system lets the only process of a run use.
    pub(super) fn of_one() -> Self {
        let usable = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { usable, sharers: 1, processes: 1 }
    }

    /// Those of this rank of `comm`: who launched the ranks may have given each its own, or all the same.
    pub(super) fn among(comm: &dyn Comm) -> Result<Self, TrainError> {
        let own = seat();
        let all = comm.exchange(own.as_bytes())?;
        let sharers = all.iter().filter(|other| overlap(&own, &String::from_utf8_lossy(other))).count();
        Ok(Self { sharers, processes: comm.world().size(), ..Self::of_one() })
    }

    /// Whether the run has several processes.
    pub(super) fn several(self) -> bool {
        self.processes > 1
    }

    /// Threads for this process, at least 1.
    pub(super) fn share(self) -> usize {
        (self.usable / self.sharers).max(1)
    }

    /// Has torch compute with as many threads as `config` asks for, or where others use the same cores with this process's share.
    pub(super) fn limit_torch(self, config: &Config) {
        let share = (self.sharers > 1).then(|| self.share() as i32);
        if let Some(threads) = config.threads.map(|threads| threads as i32).or(share) {
            tch::set_num_threads(threads);
        }
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { usable, sharers, processes } = self;
        write!(f, "{processes} processes, {sharers} of them on the {usable} cores of this one")
    }
}

/// Machine and cores of this process, as Linux tells them: `BOOT\nMASK`; empty lines elsewhere.
fn seat() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed:")).unwrap_or_default();
    format!("{}\n{}", boot.trim(), mask.trim())
}

/// Whether two processes may use the same core; of the same machine, where masks are unknown.
fn overlap(one: &str, other: &str) -> bool {
    let parts = |seat: &str| seat.split_once('\n').map(|(boot, mask)| (boot.to_owned(), mask.replace(',', "")));
    let (Some((boot, mask)), Some((other_boot, other_mask))) = (parts(one), parts(other)) else { return one == other };
    let digits = |mask: &str| mask.chars().rev().map(|digit| digit.to_digit(16).unwrap_or(0)).collect::<Vec<_>>();
    let shared = digits(&mask).into_iter().zip(digits(&other_mask)).any(|(a, b)| a & b != 0);
    boot == other_boot && (shared || mask.is_empty() || other_mask.is_empty())
}

/// The records of this rank's run on the dataset `data`: rank 0 keeps them, and tells the others the seed and what the run goes on from.
/// `sources`: what else the run depends on, by digests.
pub(super) fn records(
    loaded: &Loaded,
    console: Console,
    logs: &Path,
    data: u128,
    sources: &[(&'static str, String)],
    comm: &dyn Comm,
) -> Result<Records, TrainError> {
    let mut facts = vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("config", format!("{:032x}", loaded.config.digest())),
        ("dataset", format!("{data:032x}")),
    ];
    facts.extend_from_slice(sources);
    agree(comm, &facts)?;
    let mut records =
        if comm.world().is_first() { lead(loaded, console, logs, data, comm) } else { follow(loaded, data, comm) }?;
    for (what, digest) in sources {
        records.depends_on(what, digest.clone());
    }
    Ok(records)
}

fn lead(loaded: &Loaded, console: Console, logs: &Path, data: u128, comm: &dyn Comm) -> Result<Records, TrainError> {
    let records = Records::open(loaded, logs, data, console)?;
    let newest = records.newest_path().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    comm.exchange(format!("{}\n{newest}", records.seed()).as_bytes())?;
    Ok(records)
}

fn follow(loaded: &Loaded, data: u128, comm: &dyn Comm) -> Result<Records, TrainError> {
    let told = comm.exchange(&[])?.swap_remove(0);
    let told = String::from_utf8_lossy(&told);
    let (seed, newest) = told.split_once('\n').unwrap_or((&told, ""));
    let newest = (!newest.is_empty()).then(|| PathBuf::from(newest));
    // Rank 0 wrote a number.
    Records::follow(loaded, data, seed.parse().unwrap_or_default(), newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_share_the_cores_of_both_masks_on_one_machine() {
        assert!(overlap("a\nff,ffffffff", "a\nff,ffffffff"));
        assert!(overlap("a\n3", "a\n00000001,00000002"));
        assert!(!overlap("a\n3", "a\nc"), "each has cores of its own");
        assert!(!overlap("a\n1,00000000", "a\n1"));
        assert!(!overlap("a\n3", "b\n3"), "another machine");
        assert!(overlap("a\n", "a\n3") && overlap("\n", "\n"), "who does not know shares");
        assert!(overlap(&seat(), &seat()));
    }

    #[test]
    fn a_share_is_at_least_one_thread() {
        let share = |usable, sharers| Cores { usable, sharers, processes: 9 }.share();
        assert_eq!([share(8, 1), share(8, 3), share(2, 4)], [8, 2, 1]);
    }
}
