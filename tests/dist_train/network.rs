//! The network between two ranks is cut at any step: each lies in a network namespace of its own, and the wire between them is taken down.

use std::process::{Command, Stdio};

use super::failures::{Fate, LONG, assert_resumes, rounds, unbroken};
use super::program::{Bench, text};

/// Makes the other namespace and the wire, and says why where the system does not let us.
const WIRE: &str = r#"
set -e
ip link set lo up
unshare --net sleep 300 & other=$!
trap 'kill $other 2>/dev/null' EXIT
until [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link add name metacl0 type veth peer name metacl1 netns $other
ip addr add 10.77.0.1/24 dev metacl0
ip link set metacl0 up
inside() { nsenter --net --target $other "$@"; }
inside ip addr add 10.77.0.2/24 dev metacl1
inside ip link set metacl1 up
"#;

/// Rank 0 here, rank 1 there; the wire goes down some time after so many lines. Both must end by themselves.
const CUT: &str = r#"
export WORLD_SIZE=2 LOCAL_RANK=0 MASTER_ADDR=10.77.0.1 MASTER_PORT=29500
RANK=0 timeout -s KILL 150 "$@" > rank0.txt 2>&1 & first=$!
RANK=1 timeout -s KILL 150 nsenter --net --target $other "$@" > rank1.txt 2>&1 & second=$!
until [ "$(cat "$RUN/metrics.jsonl" 2>/dev/null | wc -l)" -ge $LINES ]; do
  kill -0 $first || break
  sleep 0.01
done
sleep $LATER
ip link set metacl0 down
wait $first || a=$?
wait $second || b=$?
cat rank0.txt; echo ---; cat rank1.txt; echo "--- $a $b"
"#;

fn in_namespaces(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "sh", "-c", script]).stdin(Stdio::null());
    command
}

#[test]
fn a_cut_network_ends_both_sides_which_name_each_other_and_the_run_resumes() {
    match in_namespaces(WIRE).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => return eprintln!("not tested, namespaces cannot be had here: {}", text(&output)),
        Err(error) => return eprintln!("not tested, no `unshare`: {error}"),
    }
    let (count, seed) = rounds();
    let bench = Bench::new();
    let whole = unbroken(&bench);
    for index in 0..count {
        let (fate, name) = (Fate::draw(seed, index), format!("cut-{index}"));
        let what = format!("cut {} ms after line {}", fate.later, fate.lines);
        let said = cut(&bench, &name, &fate);
        let (first, second) = said.split_once("---").unwrap_or_else(|| panic!("{what}: no ends: {said}"));
        assert!(first.contains("rank 1 gives no sign of life"), "{what}: {said}");
        assert!(second.contains("the store of rank 0 does not answer"), "{what}: {said}");
        assert!(said.trim_end().ends_with("--- 1 1"), "{what}: both fail by themselves: {said}");
        assert_resumes(&bench, &name, &whole, &what);
        println!("{what}: both ended, and the run resumed to the unbroken one");
    }
}

/// Runs two ranks until their wire is cut; what they said, and how they ended.
fn cut(bench: &Bench, name: &str, fate: &Fate) -> String {
    let program = bench.command(&LONG);
    let mut command = in_namespaces(&format!("{WIRE}{CUT}"));
    command.arg("sh").arg(program.get_program()).args(program.get_args()).args(["--run_id", name]);
    command.current_dir(program.get_current_dir().unwrap()).env("RUN", bench.folder(name));
    command.env("LINES", fate.lines.to_string()).env("LATER", format!("0.{:03}", fate.later));
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    text(&command.output().unwrap())
}
