//! What the loop needs of a thing to train.

use std::collections::HashMap;

use tch::Tensor;

use super::TrainError;
use crate::device::Batch;
use crate::device::feed::RowMixing;
use crate::nn::NnError;

/// Named numbers of a log line.
pub type Metrics = Vec<(String, f64)>;

/// One forward pass.
pub struct Forward {
    /// What is minimised: a scalar with gradients.
    pub loss: Tensor,
    /// Share of rows that were recognised: a scalar.
    pub accuracy: Tensor,
    /// The loss's terms by name, scalars without gradients.
    pub terms: Vec<(&'static str, Tensor)>,
    /// Other numbers for the log by their full names, scalars without gradients.
    pub figures: Vec<(&'static str, Tensor)>,
    /// What the user should know about this pass.
    pub warning: Option<String>,
}

/// Something that batches train.
pub trait Task {
    /// Loss of `batch`, in training mode.
    ///
    /// # Errors
    /// Where the batch lacks what the loss needs, such as labels.
    fn forward(&self, batch: &Batch) -> Result<Forward, TrainError>;

    /// Follows an update, after micro-batch `it` (from 1).
    fn updated(&self, _it: u64) {}

    /// The published name of the training accuracy.
    fn accuracy_name(&self) -> &'static str;

    /// A test pass, and with `features` kNN and a linear probe on frozen features, which embed both splits: `test_*`, `knn_*` and
    /// `linear_*` metrics.
    ///
    /// # Errors
    /// What the loader finds.
    fn evaluate(&self, features: bool) -> Result<Metrics, TrainError>;

    /// kNN alone, where it is asked for more often than the rest.
    ///
    /// # Errors
    /// What the loader finds.
    fn nearest(&self) -> Result<Metrics, TrainError> {
        Ok(Metrics::new())
    }

    /// Whether batches must hold images; a task that embedded them before needs plans alone.
    fn needs_images(&self) -> bool {
        true
    }

    /// How rows are mixed, where they are and kernels may do it.
    fn row_mixing(&self) -> Option<RowMixing> {
        None
    }

    /// Every tensor of a checkpoint, by name.
    fn state(&self) -> Vec<(String, Tensor)>;

    /// Goes on from a [`state`](Self::state).
    ///
    /// # Errors
    /// Where the state is of another architecture.
    fn load(&self, state: &HashMap<String, Tensor>) -> Result<(), NnError>;
}
