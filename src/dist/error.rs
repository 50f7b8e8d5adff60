//! What can be wrong between processes, and how it names them.

use std::fmt;

/// What can be wrong about a set of processes.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DistError {
    /// The rank is none of the world's.
    #[error("rank {rank} is not below the number of processes, {size}; ranks count from 0")]
    Rank {
        /// The rank asked for.
        rank: u32,
        /// Processes.
        size: u32,
    },
    /// A variable of the launcher is missing or no number.
    #[error(
        "the variable {name} {}; torchrun sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT; with srun set MASTER_ADDR to the first \
         machine and MASTER_PORT to a free port there",
        if value.is_empty() { "is not set".to_owned() } else { format!("is {value:?}, which is no number") }
    )]
    Variable {
        /// Its name.
        name: &'static str,
        /// Its value; empty: not set.
        value: String,
    },
    /// The store, which rank 0 serves, could not be opened or reached.
    #[error(
        "rank {rank} cannot {} the store at {address}: {reason}; is rank 0 running there, the port free and open between the machines?",
        if *rank == 0 { "open" } else { "reach" }
    )]
    Store {
        /// This rank.
        rank: u32,
        /// `HOST:PORT`.
        address: String,
        /// What torch says.
        reason: String,
    },
    /// Ranks did not come in time.
    #[error(
        "{operation}: {} did not come to {address} in time; look at their logs, or allow more time",
        ranks(missing)
    )]
    Absent {
        /// What waited for them.
        operation: &'static str,
        /// `HOST:PORT` of the store.
        address: String,
        /// Who is missing.
        missing: Vec<u32>,
    },
    /// Two processes say that they are the same rank.
    #[error(
        "another process is rank {rank} at {address} already; give every process a rank of its own, or end the old run"
    )]
    Taken {
        /// The rank.
        rank: u32,
        /// `HOST:PORT` of the store.
        address: String,
    },
    /// Processes were started as parts of different runs, or of one run with different files or programs.
    #[error(
        "{} differs between rank 0 and {}; start every process with the same program, config and data",
        what,
        ranks(others)
    )]
    Differs {
        /// What was compared.
        what: String,
        /// The ranks whose value is not rank 0's.
        others: Vec<u32>,
    },
    /// Other ranks do not take part any more.
    #[error("{operation} on rank {rank}: {}; the run can be resumed from its last checkpoint", peers(lost))]
    Lost {
        /// What was called, or was to be called next.
        operation: &'static str,
        /// This rank.
        rank: u32,
        /// Who is gone, and how one knows.
        lost: Vec<Peer>,
    },
    /// An operation failed, and every rank seems alive.
    #[error("{operation} on rank {rank} of the run at {address}: {reason}")]
    Failed {
        /// What was called.
        operation: &'static str,
        /// This rank.
        rank: u32,
        /// `HOST:PORT` of the store; `this process` for threads.
        address: String,
        /// What torch says.
        reason: String,
    },
    /// The backend cannot be had.
    #[error("{backend}: {reason}")]
    Backend {
        /// `gloo` or `nccl`.
        backend: &'static str,
        /// Why not.
        reason: String,
    },
}

/// A rank that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its number.
    pub rank: u32,
    /// How one knows.
    pub how: Gone,
}

/// How one knows that a rank is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gone {
    /// It gives no sign of life: killed, stopped, or cut off.
    Silent,
    /// It said that it leaves.
    Left {
        /// Its reason; empty where it had come to its end.
        reason: String,
    },
    /// It lives, but does something else than the others.
    Elsewhere {
        /// The last operation that it entered, and how many those were; for instance `all_reduce, its 17th`.
        operation: String,
    },
    /// It served the store, which does not answer any more.
    Store,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rank = self.rank;
        match &self.how {
            Gone::Silent => write!(f, "rank {rank} gives no sign of life (killed, stopped or cut off)"),
            Gone::Left { reason } if reason.is_empty() => write!(f, "rank {rank} has come to its end"),
            Gone::Left { reason } => write!(f, "rank {rank} left: {reason}"),
            Gone::Elsewhere { operation } => write!(f, "rank {rank} did not come: its last operation was {operation}"),
            Gone::Store => write!(f, "the store of rank {rank} does not answer (killed, stopped or cut off)"),
        }
    }
}

fn ranks(ranks: &[u32]) -> String {
    let numbers: Vec<_> = ranks.iter().map(u32::to_string).collect();
    format!("rank{} {}", if ranks.len() == 1 { "" } else { "s" }, numbers.join(", "))
}

fn peers(peers: &[Peer]) -> String {
    peers.iter().map(Peer::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_ranks() {
        let lost = |ranks: &[u32]| ranks.iter().map(|&rank| Peer { rank, how: Gone::Silent }).collect();
        let text = DistError::Lost { operation: "all_reduce", rank: 0, lost: lost(&[2, 3]) }.to_string();
        assert!(
            text.contains("rank 2") && text.contains("rank 3") && text.starts_with("all_reduce on rank 0"),
            "{text}"
        );
        let absent = DistError::Absent { operation: "join", address: "a:1".into(), missing: vec![1, 3] }.to_string();
        assert!(absent.contains("ranks 1, 3") && absent.contains("a:1"), "{absent}");
    }
}
