//! What pre-training minimises: a head over embeddings, or the bootstrap losses of BYOL and SimSiam, behind one face.

use std::collections::HashMap;

use tch::Tensor;

use super::step::Rows;
use crate::episode::RowLayout;
use crate::nn::head::byol;
use crate::nn::{Bootstrap, Encoder, Head, HeadOut, Mode, NnError};

/// The loss, with the networks that it needs besides the encoder.
pub enum Objective {
    /// A head on the embeddings.
    Head(Head),
    /// Prediction of one view's embedding from another's.
    Bootstrap {
        /// Predictor and target.
        networks: Box<Bootstrap>,
        /// Share of the target that an update keeps at the start; it rises to 1 with half a cosine.
        momentum: f64,
        /// Micro-batches of the run.
        iters: u64,
    },
}

impl Objective {
    /// Whether a batch of `layout` can be judged.
    pub fn fits(&self, layout: RowLayout) -> bool {
        match self {
            Objective::Head(head) => head.check(layout).is_ok(),
            Objective::Bootstrap { .. } => true,
        }
    }

    /// Images to what [`judge`](Self::judge) takes.
    pub fn embed(&self, encoder: &Encoder, images: &Tensor, mode: Mode) -> Rows {
        match self {
            Objective::Head(_) => Rows(vec![encoder.project(&encoder.features(images, mode), mode)]),
            Objective::Bootstrap { networks, .. } => Rows(networks.embed(encoder, images, mode).into()),
        }
    }

    /// The loss of one task.
    pub fn judge(&self, rows: &Rows, layout: RowLayout) -> HeadOut {
        match self {
            Objective::Head(head) => head.judge(&rows.0[0], layout),
            Objective::Bootstrap { .. } => byol::judge(&rows.0[1], &rows.0[2], layout),
        }
    }

    /// Parameters besides the encoder's, by name.
    pub fn trained(&self) -> Vec<(String, Tensor)> {
        match self {
            Objective::Head(_) => Vec::new(),
            Objective::Bootstrap { networks, .. } => networks.trained(),
        }
    }

    /// Tensors of a checkpoint besides the encoder's, by name.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        match self {
            Objective::Head(_) => Vec::new(),
            Objective::Bootstrap { networks, .. } => networks.state(),
        }
    }

    /// Takes its own tensors out of a checkpoint's and gives back the rest, the encoder's.
    ///
    /// # Errors
    /// Where one is missing or of another shape.
    pub fn load(&self, state: &HashMap<String, Tensor>) -> Result<HashMap<String, Tensor>, NnError> {
        match self {
            Objective::Head(_) => {
                Ok(state.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect())
            }
            Objective::Bootstrap { networks, .. } => networks.load(state),
        }
    }

    /// Follows an update of the encoder, after micro-batch `it` (from 1).
    pub fn updated(&self, encoder: &Encoder, it: u64) {
        if let Objective::Bootstrap { networks, momentum, iters } = self {
            networks.follow(encoder, *momentum, it as f64 / *iters as f64);
        }
    }
}
