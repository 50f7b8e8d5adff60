//! Signs of life through the store, and from them who is gone when an operation fails.
//!
//! Each rank's thread sets `beat/RANK` every period to a number that grows, with the operation it entered last. Who finds a rank gone
//! writes `verdict` once; the others take that over within a period, so that all name the rank that went first and not each other, who
//! leave after it. Who leaves in order says so in `left/RANK`. Rank 0, which serves the store, leaves last.
//!
//! Nothing here reads a clock: time is periods slept. A store that is stopped rather than gone may hold the thread for good, so the
//! caller waits for its answers only so long and never joins it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use super::ffi::{Group, Refusal, Store};
use crate::dist::{Gone, Peer, World};

/// Periods in which a living rank certainly beats.
const SIGNS: u32 = 4;
/// Longest that rank 0 keeps the store open for the others at its end.
const LINGER: Duration = Duration::from_secs(10);
const VERDICT: &str = "verdict";

/// The thread that beats.
#[derive(Debug)]
pub(super) struct Watch {
    asks: Sender<Ask>,
    seen: Arc<Seen>,
    period: Duration,
    world: World,
}

/// What the thread and the callers of operations tell each other.
#[derive(Debug, Default)]
struct Seen {
    verdict: Mutex<Option<Vec<Peer>>>,
    entered: Mutex<(u64, &'static str)>,
    group: Mutex<Weak<Group>>,
}

#[derive(Debug)]
enum Ask {
    /// Who is gone?
    Diagnose(Sender<Vec<Peer>>),
    /// This rank will leave for a reason.
    Say(String),
    /// This rank leaves for a reason, empty at its end.
    Leave(String, Sender<()>),
}

/// How often ranks beat where operations may take `timeout`.
pub(super) fn period(timeout: Duration) -> Duration {
    (timeout / 20).clamp(Duration::from_millis(50), Duration::from_secs(1))
}

impl Watch {
    /// Sets the first beat and starts the thread, over a connection of its own.
    pub(super) fn start(store: Store, world: World, timeout: Duration) -> Result<Self, Refusal> {
        let (asks, asked) = unbounded();
        let (seen, period) = (Arc::new(Seen::default()), period(timeout));
        let patrol = (timeout.as_millis() / period.as_millis()).clamp(20, u32::MAX.into()) as u32;
        let mut keeper =
            Keeper { store, world, period, patrol, seen: Arc::clone(&seen), beats: 0, last: Vec::new(), said: false };
        keeper.beat()?;
        let thread = thread::Builder::new().name("metacl-ranks".to_owned());
        thread.spawn(move || keeper.keep(&asked)).map_err(|error| error.to_string())?;
        Ok(Self { asks, seen, period, world })
    }

    /// What is to be aborted where a rank is found gone.
    pub(super) fn guard(&self, group: &Arc<Group>) {
        *locked(&self.seen.group) = Arc::downgrade(group);
    }

    /// Notes that this rank enters an operation.
    pub(super) fn enter(&self, operation: &'static str) {
        let mut entered = locked(&self.seen.entered);
        *entered = (entered.0 + 1, operation);
    }

    /// Who is known to be gone, without asking.
    pub(super) fn verdict(&self) -> Option<Vec<Peer>> {
        locked(&self.seen.verdict).clone()
    }

    /// Who is gone, after an operation failed; nobody where all live and are at the same operation. Takes about [`SIGNS`] periods.
    pub(super) fn diagnose(&self) -> Vec<Peer> {
        let (reply, answer) = bounded(1);
        let _ = self.asks.send(Ask::Diagnose(reply));
        let patience = self.period * 4 * SIGNS + Duration::from_secs(1);
        let found = answer.recv_timeout(patience).unwrap_or_else(|_| no_store(self.world));
        if !found.is_empty() {
            locked(&self.seen.verdict).get_or_insert_with(|| found.clone());
        }
        found
    }

    /// Says that this rank will leave.
    pub(super) fn say(&self, reason: &str) {
        let _ = self.asks.send(Ask::Say(reason.to_owned()));
    }

    /// Says that this rank leaves; rank 0 waits until all who came have left too. Where the store is gone there is nobody to tell.
    pub(super) fn leave(&self, reason: &str) {
        if self.verdict().iter().flatten().any(|peer| peer.how == Gone::Store) {
            return;
        }
        let (reply, done) = bounded(1);
        if self.asks.send(Ask::Leave(reason.to_owned(), reply)).is_ok() {
            let _ = done.recv_timeout(LINGER + self.period * 2 * SIGNS);
        }
    }
}

/// The thread's side.
struct Keeper {
    store: Store,
    world: World,
    period: Duration,
    /// Periods between two looks of rank 0 at all ranks: the timeout.
    patrol: u32,
    seen: Arc<Seen>,
    beats: u64,
    /// All ranks' beats at the last patrol.
    last: Vec<Beat>,
    /// Whether this rank said that it leaves: its first reason counts.
    said: bool,
}

/// `NUMBER OPERATIONS OPERATION`
#[derive(Clone, Debug, Default, PartialEq)]
struct Beat {
    number: u64,
    operations: u64,
    operation: String,
}

impl Beat {
    fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut words = text.splitn(3, ' ');
        let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        let (number, operations) = (number(), number());
        Self { number, operations, operation: words.next().unwrap_or_default().to_owned() }
    }
}

impl Keeper {
    fn keep(mut self, asked: &Receiver<Ask>) {
        loop {
            match asked.recv_timeout(self.period) {
                Err(RecvTimeoutError::Timeout) => self.tick(),
                Ok(Ask::Diagnose(reply)) => {
                    let _ = reply.send(self.diagnose().unwrap_or_else(|_| no_store(self.world)));
                }
                Ok(Ask::Say(reason)) => drop(self.say(&reason)),
                Ok(Ask::Leave(reason, reply)) => {
                    let _ = self.leave(&reason);
                    let _ = reply.send(());
                    return;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// One period: a beat, a look for the verdict, and rank 0's patrol.
    fn tick(&mut self) {
        if locked(&self.seen.verdict).is_some() {
            // The end is near: others must still see that this rank lives.
            let _ = self.beat();
            return;
        }
        let found = self.look().unwrap_or_else(|_| Some(no_store(self.world)));
        if let Some(peers) = found.filter(|peers| !peers.is_empty()) {
            *locked(&self.seen.verdict) = Some(peers);
            if let Some(group) = locked(&self.seen.group).upgrade() {
                let _ = group.abort();
            }
        }
    }

    fn look(&mut self) -> Result<Option<Vec<Peer>>, Refusal> {
        self.beat()?;
        if self.store.has(VERDICT)? {
            return Ok(Some(self.read_verdict()?));
        }
        if self.world.is_first() && self.beats.is_multiple_of(self.patrol.into()) {
            let now = self.all()?;
            let before = std::mem::replace(&mut self.last, now);
            if !before.is_empty() {
                let gone = self.gone(&before, &self.last)?;
                // Who has come to its end in order is missed at the next operation, if there is one.
                let gone: Vec<_> = gone.into_iter().filter(|peer| peer.how == Gone::Silent).collect();
                return if gone.is_empty() { Ok(None) } else { self.judge(gone).map(Some) };
            }
        }
        Ok(None)
    }

    fn beat(&mut self) -> Result<(), Refusal> {
        self.beats += 1;
        let (operations, operation) = *locked(&self.seen.entered);
        let beat = format!("{} {operations} {operation}", self.beats);
        self.store.set(&format!("beat/{}", self.world.rank()), beat.as_bytes())
    }

    fn all(&self) -> Result<Vec<Beat>, Refusal> {
        let of = |rank| self.read(&format!("beat/{rank}")).map(|bytes| Beat::of(&bytes));
        (0..self.world.size()).map(of).collect()
    }

    fn diagnose(&mut self) -> Result<Vec<Peer>, Refusal> {
        let before = self.all()?;
        for _ in 0..SIGNS {
            if self.store.has(VERDICT)? {
                return self.read_verdict();
            }
            thread::sleep(self.period);
            self.beat()?;
        }
        let after = self.all()?;
        let mut gone = self.gone(&before, &after)?;
        if gone.is_empty() {
            gone = self.elsewhere(&after);
        }
        if gone.is_empty() { Ok(gone) } else { self.judge(gone) }
    }

    /// Ranks that have left, or did not beat from `before` to `after`.
    fn gone(&self, before: &[Beat], after: &[Beat]) -> Result<Vec<Peer>, Refusal> {
        let mut gone = Vec::new();
        for (rank, (before, after)) in (0..).zip(before.iter().zip(after)) {
            let left = format!("left/{rank}");
            if rank == self.world.rank() {
                continue;
            }
            if self.store.has(&left)? {
                let reason = String::from_utf8_lossy(&self.read(&left)?).into_owned();
                gone.push(Peer { rank, how: Gone::Left { reason } });
            } else if before.number == after.number {
                gone.push(Peer { rank, how: Gone::Silent });
            }
        }
        Ok(gone)
    }

    /// Ranks that entered fewer operations than this one, or another.
    fn elsewhere(&self, beats: &[Beat]) -> Vec<Peer> {
        let Some(own) = beats.get(self.world.rank() as usize) else { return Vec::new() };
        let behind = |beat: &Beat| {
            beat.operations < own.operations || beat.operations == own.operations && beat.operation != own.operation
        };
        let named = |beat: &Beat| match beat.operations {
            0 => "none".to_owned(),
            nth => format!("{}, the {nth}th of its run", beat.operation),
        };
        let late = (0..).zip(beats).filter(|(_, beat)| behind(beat));
        late.map(|(rank, beat)| Peer { rank, how: Gone::Elsewhere { operation: named(beat) } }).collect()
    }

    /// Publishes who is gone, unless somebody has: the verdict that counts.
    fn judge(&self, gone: Vec<Peer>) -> Result<Vec<Peer>, Refusal> {
        if self.store.count("judged")? > 1 {
            return self.read_verdict();
        }
        self.store.set(VERDICT, encode(&gone).as_bytes())?;
        Ok(gone)
    }

    fn read_verdict(&self) -> Result<Vec<Peer>, Refusal> {
        Ok(decode(&String::from_utf8_lossy(&self.read(VERDICT)?)))
    }

    fn read(&self, key: &str) -> Result<Vec<u8>, Refusal> {
        self.store.get(key, self.period * SIGNS)
    }

    fn say(&mut self, reason: &str) -> Result<(), Refusal> {
        if std::mem::replace(&mut self.said, true) {
            return Ok(());
        }
        self.store.set(&format!("left/{}", self.world.rank()), reason.as_bytes())
    }

    fn leave(&mut self, reason: &str) -> Result<(), Refusal> {
        self.say(reason)?;
        if !self.world.is_first() {
            return Ok(());
        }
        let lost = |rank| {
            let verdict = locked(&self.seen.verdict);
            verdict.iter().flatten().any(|peer| peer.rank == rank && peer.how == Gone::Silent)
        };
        for _ in 0..(LINGER.as_millis() / self.period.as_millis()) {
            let mut all_left = true;
            for rank in (1..self.world.size()).filter(|&rank| !lost(rank)) {
                let came = self.store.has(&format!("beat/{rank}"))?;
                all_left = all_left && (!came || self.store.has(&format!("left/{rank}"))?);
            }
            if all_left {
                break;
            }
            thread::sleep(self.period);
        }
        Ok(())
    }
}

/// Who is gone where the store does not answer: rank 0, unless this is rank 0, whose own store is late where the machine is busy.
fn no_store(world: World) -> Vec<Peer> {
    if world.is_first() { Vec::new() } else { vec![Peer { rank: 0, how: Gone::Store }] }
}

/// One peer a line: `RANK\tHOW\tTEXT`.
fn encode(peers: &[Peer]) -> String {
    let line = |peer: &Peer| {
        let (how, text) = match &peer.how {
            Gone::Silent => ("silent", ""),
            Gone::Store => ("store", ""),
            Gone::Left { reason } => ("left", reason.as_str()),
            Gone::Elsewhere { operation } => ("elsewhere", operation.as_str()),
        };
        format!("{}\t{how}\t{}", peer.rank, text.replace('\n', " "))
    };
    peers.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn decode(text: &str) -> Vec<Peer> {
    let peer = |line: &str| {
        let mut parts = line.splitn(3, '\t');
        let rank = parts.next()?.parse().ok()?;
        let (how, text) = (parts.next()?, parts.next()?.to_owned());
        let how = match how {
            "left" => Gone::Left { reason: text },
            "elsewhere" => Gone::Elsewhere { operation: text },
            "store" => Gone::Store,
            _ => Gone::Silent,
        };
        Some(Peer { rank, how })
    };
    text.lines().filter_map(peer).collect()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_and_beats_come_back_as_they_went() {
        let peers = [
            Gone::Silent,
            Gone::Store,
            Gone::Left { reason: "no\tdisk".into() },
            Gone::Left { reason: String::new() },
            Gone::Elsewhere { operation: "barrier, the 3th of its run".into() },
        ];
        let peers: Vec<_> = (0..).zip(peers).map(|(rank, how)| Peer { rank, how }).collect();
        assert_eq!(decode(&encode(&peers)), peers);
        assert_eq!(decode("nonsense"), []);
        let beat = Beat { number: 7, operations: 3, operation: "all_reduce".into() };
        assert_eq!(Beat::of(b"7 3 all_reduce"), beat);
        assert_eq!(Beat::of(b"7 0 "), Beat { number: 7, ..Beat::default() });
    }
}
