//! A process that has shards open meets SIGBUS elsewhere as it would have met it without them.
//!
//! Each case is a process of its own: this program, asked for the one test `inside` and told what to do.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::{env, ptr};

use metacl::shard::{Codec, Verify};

use super::{Dataset, PAGE, SAMPLES};

const CASE: &str = "METACL_TEST_SIGNAL";

fn inside_with(case: &str) -> Output {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "signals::inside", "--nocapture"]).env(CASE, case).output().unwrap()
}

extern "C" fn exits(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: ends the process, which a handler may.
    unsafe { libc::_exit(42) }
}

/// Sets what happens at SIGBUS.
fn handle(handler: usize) {
    // SAFETY: a zeroed action without flags but those set here; the handlers are functions of the form that the flag says.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGBUS, &action, ptr::null_mut()), 0);
    }
}

/// A process of its own only where the parent says so.
#[test]
fn inside() {
    let Ok(case) = env::var(CASE) else { return };
    match case.split_once(' ').unwrap().0 {
        "rust" => {}
        "default" => handle(libc::SIG_DFL),
        "ignored" => handle(libc::SIG_IGN),
        "own" => handle(exits as *const () as usize),
        other => panic!("{other}"),
    }
    let dataset = Dataset::new(Codec::Raw, 4);
    let set = dataset.open(Verify::Always);
    dataset.cut();
    // A fault of ours first, which is to be survived.
    assert!(set.record(SAMPLES - 1).is_err());
    match case.split_once(' ').unwrap().1 {
        "fault" => {
            let file = tempfile::tempfile().unwrap();
            file.set_len(2 * PAGE).unwrap();
            // SAFETY: the file is the test's own; that it is cut under the map is what is tested.
            let map = unsafe { memmap2::Mmap::map(&file) }.unwrap();
            file.set_len(0).unwrap();
            println!("read {}", map[PAGE as usize]);
        }
        // SAFETY: a plain call.
        "sent" => assert_eq!(unsafe { libc::raise(libc::SIGBUS) }, 0),
        other => panic!("{other}"),
    }
    println!("survived");
}

#[test]
fn faults_elsewhere_and_signals_that_are_sent_go_where_they_went_before() {
    let dies = (Some(libc::SIGBUS), None);
    for (case, expected) in [
        ("rust fault", dies),
        ("default fault", dies),
        ("ignored fault", dies),
        ("own fault", (None, Some(42))),
        ("default sent", dies),
        ("ignored sent", (None, Some(0))),
        ("own sent", (None, Some(42))),
    ] {
        let output = inside_with(case);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!((output.status.signal(), output.status.code()), expected, "{case}: {text}");
        assert_eq!(text.contains("survived"), expected.1 == Some(0), "{case}: {text}");
    }
}
