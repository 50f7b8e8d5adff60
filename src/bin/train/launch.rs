//! Starts one process per rank on this machine, and ends them together.

use std::net::TcpListener;
use std::process::{Child, Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, io, thread};

use metacl::dist::World;
use metacl::dist::launch::Placed;

/// The others notice by themselves that a rank is gone, and say so; those that have not ended after this are ended.
const GRACE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// Runs this program `count` times with the same arguments, as ranks that meet at `address` (HOST:PORT; none: a free port here). Where one fails the
/// others are ended. `stop`: set by Ctrl-C, which every rank is told too.
///
/// # Errors
/// Where a process cannot be started.
pub(crate) fn launch(count: u32, address: Option<(&str, u16)>, stop: &AtomicBool) -> io::Result<ExitCode> {
    let (host, port) = match address {
        Some((host, port)) => (host.to_owned(), port),
        None => ("127.0.0.1".to_owned(), TcpListener::bind("127.0.0.1:0")?.local_addr()?.port()),
    };
    let mut ranks = Vec::new();
    for rank in 0..count {
        let world = World::new(rank, count).expect("counted up to it");
        let placed = Placed { world, local_rank: rank, local_size: count, host: host.clone(), port };
        match start(&placed) {
            Ok(child) => ranks.push(child),
            Err(error) => {
                end(&mut ranks);
                return Err(error);
            }
        }
    }
    Ok(wait(&mut ranks, stop))
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
fn wait(ranks: &mut Vec<Child>, stop: &AtomicBool) -> ExitCode {
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
        if failed.is_some_and(|(_, since)| since.elapsed() > GRACE) {
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
