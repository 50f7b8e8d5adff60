//! Whether all ranks run the same: compared once at the start, before a rank trains on other data or with another config.

use super::{Comm, DistError};

/// One thing that must be the same on every rank: its name, and a digest or text of its value.
pub type Fact<'a> = (&'a str, String);

/// Compares `facts` (config, code version, dataset, checkpoint to resume from) between all ranks; every rank gives the same names in the
/// same order, and every rank gets the same answer.
///
/// # Errors
/// [`DistError::Differs`] naming the first fact that differs and the ranks whose value is not rank 0's; what
/// [`Comm::exchange`] finds.
pub fn agree(comm: &dyn Comm, facts: &[Fact<'_>]) -> Result<(), DistError> {
    let own: Vec<String> = facts.iter().map(|(name, value)| format!("{name}\0{value}")).collect();
    let all: Vec<Vec<String>> = comm.exchange(own.join("\x01").as_bytes())?.iter().map(|bytes| parts(bytes)).collect();
    let Some((first, rest)) = all.split_first() else { return Ok(()) };
    let most = all.iter().map(Vec::len).max().unwrap_or(0);
    for index in 0..most {
        let ranks = rest.iter().zip(1..).filter(|(facts, _)| facts.get(index) != first.get(index));
        let others: Vec<u32> = ranks.map(|(_, rank)| rank).collect();
        if !others.is_empty() {
            let fact = first.get(index).or_else(|| rest.iter().find_map(|facts| facts.get(index)));
            let what = fact.and_then(|fact| fact.split('\0').next()).unwrap_or_default().to_owned();
            return Err(DistError::Differs { what, others });
        }
    }
    Ok(())
}

fn parts(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).split('\x01').map(str::to_owned).collect()
}
