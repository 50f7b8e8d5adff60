//! Ranks that die, stop, stay away, leave, or are started wrongly: the others' errors name them, within the timeout.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use metacl::dist::agree::agree;
use metacl::dist::{Comm, DistError, Gone, Reduce, World};
use tch::Tensor;

use super::processes::{Ranks, Role};

/// Of an operation, in these tests.
const SHORT: Duration = Duration::from_secs(5);
/// Before the line with what a rank found.
const FOUND: &str = "found: ";

/// The tasks of started processes; what they find goes to standard output.
pub(crate) fn act(role: &Role) {
    let first = role.world.is_first();
    let found = match role.task.as_str() {
        "until it fails" => role.join(SHORT).and_then(|comm| until_it_fails(&comm)),
        "rank 1 leaves" => role.join(SHORT).and_then(|comm| leaves(&comm, role)),
        "rank 1 ends" => {
            role.join(SHORT).and_then(|comm| if role.world.rank() == 1 { Ok(()) } else { until_it_fails(&comm) })
        }
        "rank 1 sleeps" => role.join(SHORT).and_then(|comm| sleeps(&comm, role)),
        "rank 1 stays away" if role.world.rank() == 1 => Ok(()),
        "rank 1 stays away" => role.join(SHORT).map(drop),
        "rank 0 stays away" if first => Ok(()),
        "rank 0 stays away" => role.join(SHORT).map(drop),
        "sizes differ" => {
            let size = if role.world.rank() == 1 { 3 } else { 2 };
            role.join_as(World::new(role.world.rank(), size).unwrap(), SHORT).map(drop)
        }
        "facts differ" => role.join(SHORT).and_then(|comm| {
            let data = if role.world.rank() == 2 { "other" } else { "same" };
            agree(&comm, &[("config", "c".to_owned()), ("shards", data.to_owned())])
        }),
        unknown => panic!("no task {unknown:?}"),
    };
    println!("{FOUND}{}", found.as_ref().err().map_or_else(|| "nothing".to_owned(), told));
    if let Err(error) = found {
        println!("{error}");
    }
}

fn told(error: &DistError) -> String {
    match error {
        DistError::Lost { lost, .. } => {
            let peers = lost.iter().map(|peer| match &peer.how {
                Gone::Silent => format!("{} silent", peer.rank),
                Gone::Left { reason } => format!("{} left ({reason})", peer.rank),
                Gone::Elsewhere { .. } => format!("{} elsewhere", peer.rank),
                Gone::Store => format!("{} store", peer.rank),
                _ => format!("{} otherwise", peer.rank),
            });
            peers.collect::<Vec<_>>().join(", ")
        }
        DistError::Absent { missing, .. } => format!("absent {missing:?}"),
        DistError::Differs { what, others } => format!("{what} differs on {others:?}"),
        DistError::Store { .. } => "no store".to_owned(),
        DistError::Taken { rank, .. } => format!("{rank} is taken"),
        other => format!("{other:?}"),
    }
}

/// Tells the test that it runs, and works until something is wrong.
fn until_it_fails(comm: &dyn Comm) -> Result<(), DistError> {
    println!("running");
    loop {
        let mut tensor = Tensor::from(1.0);
        let done = comm.all_reduce(&mut tensor, Reduce::Sum);
        if let Err(error) = done {
            // The failure stays, and at once.
            assert_eq!(comm.barrier(), Err(error.clone()));
            assert_eq!(comm.failure(), Some(error.clone()));
            return Err(error);
        }
        assert_eq!(tensor.double_value(&[]), f64::from(comm.world().size()));
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn leaves(comm: &dyn Comm, role: &Role) -> Result<(), DistError> {
    if role.world.rank() == 1 {
        comm.abort("no disk");
        return Ok(());
    }
    until_it_fails(comm)
}

/// Rank 1 lives, but is not at its work for longer than the others wait.
fn sleeps(comm: &dyn Comm, role: &Role) -> Result<(), DistError> {
    comm.barrier()?;
    if role.world.rank() == 1 {
        std::thread::sleep(SHORT * 3);
    }
    comm.barrier()
}

/// What each rank found; those in `gone` are not asked.
fn found(mut ranks: Ranks, size: usize, gone: &[usize]) -> Vec<String> {
    let asked = (0..size).filter(|rank| !gone.contains(rank));
    let end = |rank| {
        let (status, said) = ranks.end(rank);
        let line = said.lines().find_map(|line| line.split_once(FOUND)).map(|(_, found)| found.to_owned());
        line.unwrap_or_else(|| panic!("rank {rank} ended with {status}:\n{said}"))
    };
    asked.map(end).collect()
}

/// Signals a rank of a world at work; what the others find.
fn after_signal(size: u32, rank: usize, signal: i32) -> Vec<String> {
    let mut ranks = Ranks::start(size, "until it fails");
    (0..size as usize).for_each(|rank| ranks.wait_for_start(rank));
    ranks.signal(rank, signal);
    found(ranks, size as usize, &[rank])
}

#[test]
fn a_killed_rank_is_named() {
    assert_eq!(after_signal(2, 1, libc::SIGKILL), ["1 silent"]);
    assert_eq!(after_signal(4, 2, libc::SIGKILL), ["2 silent"; 3]);
}

#[test]
fn a_stopped_rank_is_named() {
    assert_eq!(after_signal(2, 1, libc::SIGSTOP), ["1 silent"]);
    assert_eq!(after_signal(4, 3, libc::SIGSTOP), ["3 silent"; 3]);
}

#[test]
fn the_rank_with_the_store_is_named() {
    assert_eq!(after_signal(3, 0, libc::SIGKILL), ["0 store"; 2]);
    assert_eq!(after_signal(3, 0, libc::SIGSTOP), ["0 store"; 2]);
}

/// A wire to `port` of this machine: the port of its other end. Once `cut`, connections stay open and carry nothing.
fn wire(port: u16, cut: &Arc<AtomicBool>) -> u16 {
    let (listener, cut) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::clone(cut));
    let end = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for near in listener.incoming().map(Result::unwrap) {
            // Rank 0 may yet have to open the store.
            let far = loop {
                match TcpStream::connect(("127.0.0.1", port)) {
                    Ok(far) => break far,
                    Err(_) => thread::sleep(Duration::from_millis(10)),
                }
            };
            carry(near.try_clone().unwrap(), far.try_clone().unwrap(), &cut);
            carry(far, near, &cut);
        }
    });
    end
}

fn carry(mut from: TcpStream, mut to: TcpStream, cut: &Arc<AtomicBool>) {
    let cut = Arc::clone(cut);
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            while cut.load(Ordering::Relaxed) {
                thread::park();
            }
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
}

#[test]
fn a_rank_that_is_cut_off_from_the_store_is_named_and_notices() {
    let cut = Arc::new(AtomicBool::new(false));
    let mut ranks = Ranks::start_through(2, "until it fails", |port| wire(port, &cut));
    (0..2).for_each(|rank| ranks.wait_for_start(rank));
    cut.store(true, Ordering::Relaxed);
    assert_eq!(found(ranks, 2, &[]), ["1 silent", "0 store"]);
}

fn all_find(size: u32, task: &str) -> Vec<String> {
    found(Ranks::start(size, task), size as usize, &[])
}

#[test]
fn who_leaves_gives_its_reason() {
    assert_eq!(all_find(3, "rank 1 leaves"), ["1 left (no disk)", "nothing", "1 left (no disk)"]);
    assert_eq!(all_find(3, "rank 1 ends"), ["1 left ()", "nothing", "1 left ()"]);
}

#[test]
fn a_rank_that_lives_but_does_not_come_is_named() {
    let found = all_find(3, "rank 1 sleeps");
    assert_eq!([&found[0], &found[2]], ["1 elsewhere"; 2]);
    // It finds the others gone, whatever it is told.
    assert_ne!(found[1], "nothing");
}

#[test]
fn who_does_not_come_at_the_start_is_named() {
    assert_eq!(all_find(3, "rank 1 stays away"), ["absent [1]", "nothing", "absent [1]"]);
    assert_eq!(all_find(2, "rank 0 stays away"), ["nothing", "no store"]);
}

#[test]
fn a_world_that_was_put_together_wrongly_is_refused() {
    let mut ranks = Ranks::start(2, "until it fails");
    (0..2).for_each(|rank| ranks.wait_for_start(rank));
    ranks.add(1);
    assert_eq!(found(ranks, 3, &[0, 1]), ["1 is taken"]);
    assert_eq!(all_find(3, "facts differ"), ["shards differs on [2]"; 3]);
    let sizes = all_find(2, "sizes differ");
    assert_eq!(sizes[0], "the number of processes differs on [1]");
}
