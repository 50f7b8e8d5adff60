//! What a launcher tells a process of its place: torchrun's variables, SLURM's, and those that our own launcher sets.
//!
//! Lives here: variables to a place. Not here: starting processes (the programs do), meeting (`c10d`).

use super::{DistError, World};

/// Where this process stands among all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Rank and number of processes.
    pub world: World,
    /// Number on its machine: which GPU is its own.
    pub local_rank: u32,
    /// Name or address of rank 0's machine.
    pub host: String,
    /// TCP port there where ranks meet.
    pub port: u16,
}

impl Placed {
    /// The only process.
    pub fn alone() -> Self {
        Self { world: World::single(), local_rank: 0, host: String::new(), port: 0 }
    }

    /// What the variables say, looked up by `variable`: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT as torchrun sets
    /// them; without RANK, SLURM_PROCID, SLURM_NTASKS and SLURM_LOCALID as srun sets them. `None` where there is neither, or one process.
    ///
    /// # Errors
    /// [`DistError::Variable`] where one is missing or no number; [`DistError::Rank`].
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, DistError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let (rank, size, local) = if set("RANK").is_some() {
            ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        } else if set("SLURM_PROCID").is_some() && set("SLURM_NTASKS").is_some_and(|tasks| tasks != "1") {
            ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID")
        } else {
            return Ok(None);
        };
        let needed = |name: &'static str| set(name).ok_or(DistError::Variable { name, value: String::new() });
        let number = |name: &'static str| -> Result<u32, DistError> {
            let value = needed(name)?;
            value.parse().map_err(|_| DistError::Variable { name, value })
        };
        let world = World::new(number(rank)?, number(size)?)?;
        if world.size() == 1 {
            return Ok(None);
        }
        let local_rank = number(local)?;
        let (host, port) = (needed("MASTER_ADDR")?, needed("MASTER_PORT")?);
        let port = port.parse().map_err(|_| DistError::Variable { name: "MASTER_PORT", value: port.clone() })?;
        Ok(Some(Self { world, local_rank, host, port }))
    }

    /// The variables that tell another process this place.
    pub fn variables(&self) -> [(&'static str, String); 5] {
        [
            ("RANK", self.world.rank().to_string()),
            ("WORLD_SIZE", self.world.size().to_string()),
            ("LOCAL_RANK", self.local_rank.to_string()),
            ("MASTER_ADDR", self.host.clone()),
            ("MASTER_PORT", self.port.to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn placed(variables: &[(&str, &str)]) -> Result<Option<Placed>, DistError> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        Placed::from_variables(&|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn variables_read_back() {
        let (world, host) = (World::new(3, 8).unwrap(), "node-1".to_owned());
        let place = Placed { world, local_rank: 1, host, port: 29500 };
        let told = place.variables();
        let told: Vec<_> = told.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(placed(&told), Ok(Some(place)));
    }

    #[test]
    fn srun_tells_ranks_and_the_job_the_meeting_place() {
        let srun = [("SLURM_PROCID", "1"), ("SLURM_NTASKS", "4"), ("SLURM_LOCALID", "1")];
        let refused = placed(&srun).unwrap_err();
        assert_eq!(refused, DistError::Variable { name: "MASTER_ADDR", value: String::new() });
        let place = placed(&[&srun[..], &[("MASTER_ADDR", "10.0.0.1"), ("MASTER_PORT", "1234")]].concat()).unwrap();
        assert_eq!(place.map(|place| (place.world.rank(), place.world.size())), Some((1, 4)));
        // A job of one task, as an interactive shell is.
        assert_eq!(placed(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "1")]), Ok(None));
    }

    #[test]
    fn one_process_needs_no_place_and_nonsense_is_refused() {
        assert_eq!(placed(&[]), Ok(None));
        assert_eq!(placed(&[("RANK", "0"), ("WORLD_SIZE", "1")]), Ok(None));
        let wrong = placed(&[("RANK", "zero"), ("WORLD_SIZE", "2")]);
        assert_eq!(wrong, Err(DistError::Variable { name: "RANK", value: "zero".to_owned() }));
        assert_eq!(placed(&[("RANK", "2"), ("WORLD_SIZE", "2")]), Err(DistError::Rank { rank: 2, size: 2 }));
    }
}
