//! Who starts ranks: the program by itself, for one machine or its part of several; or a launcher, by variables.

use std::net::TcpListener;

use super::program::{Bench, close, text};

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn the_published_flags_start_the_processes_of_each_machine() {
    let bench = Bench::new();
    let one = bench.run("one", &["--lr", "1e-5", "--nproc", "1"]);
    let address = format!("127.0.0.1:{}", free_port());
    let flags = |machine: &'static str| {
        ["--lr", "1e-5", "--dist", "ddp", "--dist_address", &address, "--node_rank", machine, "--world_size", "2"]
            .map(str::to_owned)
    };
    let start = |machine, count| {
        let mut command = bench.command(&["--nproc", count, "--run_id", "two"]);
        command.args(flags(machine)).spawn().unwrap()
    };
    // As two machines of two processes each would.
    let [first, second] = ["0", "1"].map(|machine| start(machine, "2")).map(|child| child.wait_with_output().unwrap());
    assert!(first.status.success() && second.status.success(), "{}{}", text(&first), text(&second));
    assert!(text(&first).contains("4 processes, 4 of them on the"), "{}", text(&first));
    assert_eq!(text(&second), "", "only rank 0 speaks");
    close(
        "losses",
        &super::program::Run { folder: bench.folder("two"), said: String::new() }.losses(),
        &one.losses(),
        2e-3,
    );
}

#[test]
fn ddp_without_a_gpu_is_one_process_of_each_machine() {
    let bench = Bench::new();
    let run = bench.run("alone", &["--dist", "ddp", "--iters", "2"]);
    assert!(!run.said.contains("processes"), "{}", run.said);
    let lonely = bench.command(&["--dist", "ddp", "--world_size", "2", "--dist_address", ""]).output().unwrap();
    assert_eq!(lonely.status.code(), Some(2), "{}", text(&lonely));
    assert!(text(&lonely).contains("dist_address") && text(&lonely).contains("2 machines"), "{}", text(&lonely));
}

#[test]
fn what_cannot_be_shared_out_is_refused_by_whoever_starts() {
    let bench = Bench::new();
    for (flags, key) in [(&["--nproc", "3"][..], "batch_size"), (&["--nproc", "8", "--qcm", "true"], "qcm")] {
        let output = bench.command(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {}", text(&output));
        assert!(text(&output).contains(key), "{flags:?}: {}", text(&output));
    }
    let lonely = bench.command(&[]).env("RANK", "1").env("WORLD_SIZE", "2").env("LOCAL_RANK", "1").output().unwrap();
    assert!(!lonely.status.success() && text(&lonely).contains("MASTER_ADDR"), "{}", text(&lonely));
}
