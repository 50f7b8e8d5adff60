//! Episodes: everything that is random about a batch, and the order of its rows.
//!
//! An episode is one task whose classes are images: every image gives `views` independently augmented views, of which some are
//! support and some query (Ni et al., ICLR 2022, section 3).
//!
//! - [`spec`]: [`EpisodeSpec`], what is asked for. [`sampler`]: step to sample ids, without a table.
//! - [`plan`]: [`EpisodePlan`], ids and views of one step, printable and comparable.
//! - [`mix`]: what is drawn for the rows of a finished step: query mixing, rotation prediction.
//! - [`rows`]: [`RowLayout`], the one statement of row order.
//!
//! Not here: pixels, threads, tensors.

pub mod mix;
pub mod plan;
pub mod rows;
pub mod sampler;
pub mod spec;

pub use mix::{MixPlan, Patch};
pub use plan::{EpisodeError, EpisodePlan, SampleMeta};
pub use rows::RowLayout;
pub use sampler::{Order, Sampler, Step};
pub use spec::{EpisodeSpec, Planner};
