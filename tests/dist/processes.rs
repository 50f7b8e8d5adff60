//! Starts ranks as processes of this executable on loopback, and never leaves one behind.

use std::io::Read;
use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use metacl::dist::c10d::{Backend, Meeting};
use metacl::dist::{C10d, DistError, World};
use tch::Device;

/// Longest life of a rank, in polls; only a rank that hangs comes here.
const POLLS: u32 = 3000;
const POLL: Duration = Duration::from_millis(50);

/// What a started process is told.
pub(crate) struct Role {
    pub(crate) task: String,
    pub(crate) world: World,
    port: u16,
}

impl Role {
    /// None in the test program itself.
    pub(crate) fn of_environment() -> Option<Self> {
        let number = |name: &str| std::env::var(name).ok()?.parse().ok();
        let task = std::env::var("METACL_TEST_TASK").ok()?;
        let world = World::new(number("METACL_TEST_RANK")?, number("METACL_TEST_SIZE")?).ok()?;
        // Several ranks share the cores of the test's machine.
        tch::set_num_threads(1);
        Some(Self { task, world, port: number("METACL_TEST_PORT")? as u16 })
    }

    pub(crate) fn join(&self, timeout: Duration) -> Result<C10d, DistError> {
        self.join_as(self.world, timeout)
    }

    pub(crate) fn join_as(&self, world: World, timeout: Duration) -> Result<C10d, DistError> {
        let (host, port) = ("127.0.0.1".to_owned(), self.port);
        C10d::join(Meeting { host, port, world, timeout, backend: Backend::Gloo, device: Device::Cpu, interface: None })
    }
}

/// Free now, and hardly taken by another until rank 0 opens it.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Started processes, in order; killed when dropped.
pub(crate) struct Ranks {
    children: Vec<Child>,
    task: String,
    size: u32,
    port: u16,
}

impl Ranks {
    pub(crate) fn start(size: u32, task: &str) -> Self {
        Self::start_through(size, task, |port| port)
    }

    /// As [`start`](Self::start), where all but rank 0 reach the store through `between`, which is told the store's port and gives its own.
    pub(crate) fn start_through(size: u32, task: &str, between: impl FnOnce(u16) -> u16) -> Self {
        let port = free_port();
        let mut ranks = Self { children: Vec::new(), task: task.to_owned(), size, port };
        ranks.add(0);
        ranks.port = between(port);
        (1..size).for_each(|rank| ranks.add(rank));
        ranks
    }

    /// Starts one more process, as `rank`.
    pub(crate) fn add(&mut self, rank: u32) {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["as_rank", "--exact", "--nocapture", "--test-threads=1"])
            .env("METACL_TEST_TASK", &self.task)
            .env("METACL_TEST_RANK", rank.to_string())
            .env("METACL_TEST_SIZE", self.size.to_string())
            .env("METACL_TEST_PORT", self.port.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        self.children.push(child.unwrap());
    }

    /// Waits until the rank's process says that it is there.
    pub(crate) fn wait_for_start(&mut self, rank: usize) {
        let (mut said, mut byte) = (Vec::new(), [0]);
        let output = self.children[rank].stdout.as_mut().unwrap();
        while !said.ends_with(b"running\n") {
            assert_eq!(output.read(&mut byte).unwrap(), 1, "rank {rank} ended: {}", String::from_utf8_lossy(&said));
            said.push(byte[0]);
        }
    }

    pub(crate) fn signal(&mut self, rank: usize, signal: i32) {
        // SAFETY: sends a signal to a child that has not been waited for, so the number is still its own.
        assert_eq!(unsafe { libc::kill(self.children[rank].id() as i32, signal) }, 0);
    }

    /// How the rank ended and what it said, standard output first; fails where it hangs.
    pub(crate) fn end(&mut self, rank: usize) -> (ExitStatus, String) {
        let child = &mut self.children[rank];
        for _ in 0..POLLS {
            if let Some(status) = child.try_wait().unwrap() {
                let mut said = Vec::new();
                child.stdout.as_mut().unwrap().read_to_end(&mut said).unwrap();
                child.stderr.as_mut().unwrap().read_to_end(&mut said).unwrap();
                return (status, String::from_utf8_lossy(&said).into_owned());
            }
            std::thread::sleep(POLL);
        }
        panic!("rank {rank} hangs");
    }

    pub(crate) fn all_succeed(mut self) {
        let ends: Vec<_> = (0..self.children.len()).map(|rank| self.end(rank)).collect();
        let failed: Vec<_> = (0..).zip(ends).filter(|(_, (status, _))| !status.success()).collect();
        assert!(
            failed.is_empty(),
            "{}",
            failed.iter().map(|(rank, (_, said))| format!("--- rank {rank}\n{said}")).collect::<String>()
        );
    }
}

impl Drop for Ranks {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
