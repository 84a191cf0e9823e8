//! What sets of neurons have in common, and whether it is more than chance: Jaccard index, exclusive intersections (UpSet), overlap against the
//! share taken, and an exact null.
//!
//! The null keeps how many neurons each set has in each layer and places them at random there, which is what permuting neurons within layers does.
//! The count shared is then a sum of independent hypergeometric counts, one a layer, whose distribution is computed exactly: no permutation is drawn.

mod curve;
mod null;
mod top_sets;
mod upset;

pub use curve::{Curves, Ranks, SHARES, shares};
pub use null::{Chance, LnFactorials, Stratum, holm, ln_p_at_least, null_of_shared};
pub use top_sets::{PairTest, TopSets, shared};
pub use upset::{Intersection, MOST_SETS, upset};
