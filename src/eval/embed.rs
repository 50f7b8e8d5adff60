//! A dataset through an encoder once: features and labels.

use std::sync::Arc;

use tch::{Kind, Tensor};

use super::EvalError;
use crate::augment::{ViewPolicy, ViewSpec};
use crate::device::Feeder;
use crate::dist::{Comm, gather};
use crate::episode::{EpisodePlan, EpisodeSpec, Order, Planner};
use crate::shard::ShardSet;

/// Features of samples and their classes.
pub struct Embedding {
    /// `[samples, d]`, f32.
    pub features: Tensor,
    /// `[samples]`, i64.
    pub labels: Tensor,
}

/// What is embedded, and how it is loaded.
#[derive(Clone)]
pub struct EmbedSpec {
    /// The view of each image; deterministic for evaluation.
    pub policy: ViewPolicy,
    /// Size and filter of the views.
    pub view: ViewSpec,
    /// Images at once.
    pub batch: u32,
    /// At most so many samples, drawn from the whole set by `seed`; 0 is all.
    pub samples: u64,
    /// Seed of that choice and of random policies.
    pub seed: u64,
    /// Loads and renders; knows where the encoder lives.
    pub feeder: Feeder,
    /// Who else embeds a part.
    pub comm: Arc<dyn Comm>,
}

/// The classes of the images of `plan`, `[images]`.
///
/// # Errors
/// [`EvalError::NoLabel`] where one has none.
pub fn labels_of(plan: &EpisodePlan, set: &ShardSet) -> Result<Vec<i64>, EvalError> {
    let labels = plan.labels.iter().zip(&plan.samples).map(|(&label, &sample)| {
        let name = || set.name(sample.into()).unwrap_or_default().to_owned();
        let known = (label as usize) < set.classes().len();
        if known { Ok(label.into()) } else { Err(EvalError::NoLabel { sample, name: name() }) }
    });
    labels.collect()
}

/// Runs every sample of `set` through `encode`, `[rows, 3, size, size]` f32 in 0..=1 to `[rows, d]`, without gradients. Of several ranks each
/// takes a part of the batches; all have the whole afterwards, in the order of one process.
///
/// # Errors
/// What the loader finds, [`EvalError::NoLabel`] where a sample has no class, [`EvalError::Dist`] where a rank is gone.
pub fn embed(
    set: &Arc<ShardSet>,
    spec: &EmbedSpec,
    encode: impl Fn(&Tensor) -> Tensor,
) -> Result<Embedding, EvalError> {
    let _no_grad = tch::no_grad_guard();
    let wanted = if spec.samples == 0 { set.len() } else { spec.samples.min(set.len()) };
    // A cap takes a random part: datasets lie sorted by class.
    let order = if wanted < set.len() { Order::ShuffledToTheEnd { seed: spec.seed } } else { Order::Sequential };
    let episodes = EpisodeSpec { seed: spec.seed, order, ..EpisodeSpec::in_order(spec.batch, spec.policy, spec.view) };
    let planner = Planner::new(episodes, set.len()).map_err(crate::loader::LoadError::from)?;
    let steps = spec.comm.world().stretch(wanted.div_ceil(spec.batch.into()));

    // Of no images, so that a rank without batches knows how wide features are.
    let (size, device) = (i64::from(spec.view.size), spec.feeder.device());
    let mut features = vec![encode(&Tensor::zeros([0, 3, size, size], (Kind::Float, device)))];
    let mut labels = Vec::new();
    for batch in spec.feeder.start(set, planner, steps)? {
        let batch = batch?;
        labels.extend(labels_of(batch.plan(), set)?);
        // A copy: what an encoder that changes nothing gives is the batch's own memory.
        features.push(encode(&batch.images()).copy());
    }
    let labels = Tensor::from_slice(&labels).to_device(device);
    let whole = |own: &Tensor| Ok::<_, EvalError>(gather::rows(&*spec.comm, own)?.narrow(0, 0, wanted as i64));
    Ok(Embedding { features: whole(&Tensor::cat(&features, 0))?, labels: whole(&labels)? })
}
