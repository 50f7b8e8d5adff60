//! The communicator of one process: every operation gives back what it was given.

use std::sync::OnceLock;

use tch::Tensor;

use super::{Comm, DistError, Gone, Peer, Reduce, World};

/// One process.
#[derive(Debug, Default)]
pub struct Single {
    aborted: OnceLock<String>,
}

impl Single {
    fn go(&self) -> Result<(), DistError> {
        self.failure().map_or(Ok(()), Err)
    }
}

impl Comm for Single {
    fn world(&self) -> World {
        World::single()
    }

    fn barrier(&self) -> Result<(), DistError> {
        self.go()
    }

    fn broadcast(&self, _tensor: &mut Tensor, root: u32) -> Result<(), DistError> {
        World::new(root, 1)?;
        self.go()
    }

    fn all_reduce(&self, _tensor: &mut Tensor, _reduce: Reduce) -> Result<(), DistError> {
        self.go()
    }

    fn all_gather(&self, tensor: &Tensor) -> Result<Tensor, DistError> {
        self.go()?;
        Ok(tensor.detach().unsqueeze(0))
    }

    fn reduce_scatter(&self, tensor: &Tensor) -> Result<Tensor, DistError> {
        self.go()?;
        Ok(tensor.detach().select(0, 0))
    }

    fn exchange(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, DistError> {
        self.go()?;
        Ok(vec![bytes.to_vec()])
    }

    fn failure(&self) -> Option<DistError> {
        let how = Gone::Left { reason: self.aborted.get()?.clone() };
        Some(DistError::Lost { operation: "abort", rank: 0, lost: vec![Peer { rank: 0, how }] })
    }

    fn abort(&self, reason: &str) {
        let _ = self.aborted.set(reason.to_owned());
    }
}
