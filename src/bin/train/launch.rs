//! Starts one process per rank on this machine, and ends them together.

use std::net::TcpListener;
use std::process::{Child, Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, io, thread};

use metacl::config::{Config, ConfigError};
use metacl::device::Machine;
use metacl::dist::World;
use metacl::dist::launch::Placed;

/// The others notice by themselves that a rank is gone, and say so; those that have not ended after this, or what they wait for each other, are
/// ended.
const GRACE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// The processes of this machine.
pub(crate) struct Ranks<'a> {
    count: u32,
    /// Its number among `machines`, each of which runs as many.
    machine: u32,
    machines: u32,
    /// Where they meet; none: at a free port here.
    address: Option<(&'a str, u16)>,
    grace: Duration,
}

impl<'a> Ranks<'a> {
    /// Those that `config` asks for; none where it asks for one process, or only what a run would be.
    ///
    /// # Errors
    /// Where they could not meet, or a batch does not divide among them.
    pub(crate) fn of(config: &'a Config) -> Result<Option<Self>, ConfigError> {
        if config.dry_run {
            return Ok(None);
        }
        let (count, machines) = (config.processes(|| Machine::find().gpu_count()), config.machines());
        let processes = u64::from(count) * u64::from(machines);
        if processes == 1 {
            return Ok(None);
        }
        if config.pretrains() {
            config.batch_share(processes)?;
        }
        let grace = GRACE.min(Duration::from_secs(config.dist_timeout));
        Ok(Some(Self { count, machine: config.node_rank, machines, address: config.meeting_place()?, grace }))
    }

    /// Runs this program `count` times with the same arguments. Where one fails the others are ended. `stop`: set by Ctrl-C, which every rank
    /// is told too.
    ///
    /// # Errors
    /// Where a process cannot be started.
    pub(crate) fn run(&self, stop: &AtomicBool) -> io::Result<ExitCode> {
        let (host, port) = match self.address {
            Some((host, port)) => (host.to_owned(), port),
            None => ("127.0.0.1".to_owned(), TcpListener::bind("127.0.0.1:0")?.local_addr()?.port()),
        };
        let mut running = Vec::new();
        for local_rank in 0..self.count {
            let rank = self.machine * self.count + local_rank;
            let world = World::new(rank, self.machines * self.count).map_err(io::Error::other)?;
            match start(&Placed { world, local_rank, host: host.clone(), port }) {
                Ok(child) => running.push(child),
                Err(error) => {
                    end(&mut running);
                    return Err(error);
                }
            }
        }
        Ok(wait(&mut running, self.grace, stop))
    }
}

fn start(placed: &Placed) -> io::Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.args(env::args_os().skip(1)).envs(placed.variables());
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        // SAFETY: between fork and exec only this one call of the system is made, which is safe there.
        unsafe {
            command.pre_exec(|| {
                // No orphans: where this process is killed, so are the ranks.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
    }
    command.spawn()
}

/// Waits for all ranks; the first failure decides.
fn wait(ranks: &mut Vec<Child>, grace: Duration, stop: &AtomicBool) -> ExitCode {
    let (mut failed, mut told) = (None, false);
    while !ranks.is_empty() {
        let mut running = Vec::new();
        for mut rank in ranks.drain(..) {
            match rank.try_wait() {
                Ok(None) => running.push(rank),
                Ok(Some(status)) if status.success() => {}
                // A signal has no code.
                Ok(Some(status)) => {
                    failed.get_or_insert((status.code().unwrap_or(1), Instant::now()));
                }
                Err(_) => {
                    failed.get_or_insert((1, Instant::now()));
                }
            }
        }
        *ranks = running;
        if stop.load(Ordering::Relaxed) && !told {
            told = true;
            ranks.iter().for_each(terminate);
        }
        if failed.is_some_and(|(_, since)| since.elapsed() > grace) {
            end(ranks);
        }
        thread::sleep(LOOK);
    }
    failed.map_or(ExitCode::SUCCESS, |(code, _)| ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// Lets a rank write its checkpoint and end, as Ctrl-C does.
fn terminate(rank: &Child) {
    #[cfg(unix)]
    if let Ok(id) = i32::try_from(rank.id()) {
        // SAFETY: a signal to a child that has not been waited for.
        unsafe { libc::kill(id, libc::SIGTERM) };
    }
    #[cfg(not(unix))]
    let _ = rank;
}

fn end(ranks: &mut [Child]) {
    for rank in ranks {
        let _ = rank.kill();
        let _ = rank.wait();
    }
}
