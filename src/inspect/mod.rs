//! What one neuron or head does: where it fires, which texts drive it, what it writes, what is like it; and what each layer would answer to a text.
//!
//! [`NeuronIndex`] holds the activations of every neuron over the samples of a run in bounded memory, so that a front reads any neuron at once. The
//! rest is worked out for one neuron, head or text when it is asked for.

mod column_block;
mod head_lens;
mod index;
mod lens;
mod logit_lens;
mod neighbours;
mod pattern;
mod record;
mod shape;
mod store;
mod strip;
pub mod symlog;

pub use head_lens::{HeadLens, head_lens};
pub use index::{About, DomainAbout, DomainStats, HeadFacts, NeuronFacts, NeuronIndex, Peak};
pub use lens::{LensCell, LensRow, MOST_POSITIONS, lens};
pub use logit_lens::{LogitLens, logit_lens};
pub use neighbours::{ACTIVATION_FORMULA, Neighbour, Neighbours, WEIGHT_FORMULA, by_activation, by_weight};
pub use pattern::{Pattern, pattern};
pub use record::{IndexDomain, IndexLimits, Plan, build, flops, plan};
pub use shape::IndexShape;
pub use store::{read_index, write_index};
pub use strip::strip;
