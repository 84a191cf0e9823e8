//! Maps made of maps: two combined, and each layer brought to one scale.

use crate::base::{Error, Grid, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// What is done with two maps A and B of one shape. The result has a sign and zero in the middle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// `A - B`, in their unit.
    #[default]
    Difference,
    /// `log2(|A| / |B|)`; no number where either is 0.
    Ratio,
    /// Percentile rank of |A| in its map less that of |B| in its own, in percentile points; equal values share their middle rank.
    RankDifference,
}

impl Combine {
    pub const ALL: [Self; 3] = [Self::Difference, Self::Ratio, Self::RankDifference];

    /// # Errors
    /// When the shapes differ.
    pub fn of(self, a: &Grid, b: &Grid) -> Result<Grid> {
        if (a.rows(), a.cols()) != (b.rows(), b.cols()) {
            return Err(Error::invalid(format!("cannot compare a {} x {} map with a {} x {} one", a.rows(), a.cols(), b.rows(), b.cols())));
        }
        let pairs = || a.values().par_iter().zip(b.values());
        let values: Vec<f32> = match self {
            Self::Difference => return a.minus(b),
            Self::Ratio => pairs()
                .map(|(a, b)| {
                    let (a, b) = (a.abs(), b.abs());
                    if a > 0.0 && b > 0.0 { (f64::from(a) / f64::from(b)).log2() as f32 } else { f32::NAN }
                })
                .collect(),
            Self::RankDifference => {
                let (ra, rb) = rayon::join(|| percentile_ranks(a.values()), || percentile_ranks(b.values()));
                ra.iter().zip(&rb).map(|(a, b)| a - b).collect()
            }
        };
        Grid::new(a.rows(), a.cols(), values)
    }
    /// As `--combine` reads it.
    pub fn id(self) -> &'static str {
        match self {
            Self::Difference => "difference",
            Self::Ratio => "ratio",
            Self::RankDifference => "rank-difference",
        }
    }
    pub fn formula(self) -> &'static str {
        match self {
            Self::Difference => "A - B",
            Self::Ratio => "log2(|A| / |B|); no number where either is 0",
            Self::RankDifference => "percentile rank of |A| among all neurons less that of |B|; equal values share their middle rank",
        }
    }
    /// Before the name of B where there is no room for words.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Difference => "−",
            Self::Ratio => "÷",
            Self::RankDifference => "rank −",
        }
    }
    /// Unit of the result, where the maps' own is `unit`.
    pub fn unit(self, unit: &'static str) -> &'static str {
        match self {
            Self::Difference => unit,
            Self::Ratio => "log2",
            Self::RankDifference => "percentile points",
        }
    }
    /// `logic − facts`, `logic ÷ facts`, `rank logic − rank facts`
    pub fn words(self, a: &str, b: &str) -> String {
        match self {
            Self::Difference => format!("{a} − {b}"),
            Self::Ratio => format!("{a} ÷ {b}"),
            Self::RankDifference => format!("rank in {a} − rank in {b}"),
        }
    }
    /// In running text: `logic minus facts`.
    pub fn spoken(self, a: &str, b: &str) -> String {
        match self {
            Self::Difference => format!("{a} minus {b}"),
            Self::Ratio => format!("{a} over {b}"),
            Self::RankDifference => format!("{a} minus {b} by rank"),
        }
    }
}

/// Ranks by magnitude, 0 (smallest) to 100 (largest), ties at their middle; NaN stays NaN.
fn percentile_ranks(values: &[f32]) -> Vec<f32> {
    let mut order: Vec<u32> = (0..values.len() as u32).filter(|&i| values[i as usize].is_finite()).collect();
    let size = |i: u32| values[i as usize].abs();
    order.par_sort_unstable_by(|&a, &b| size(a).total_cmp(&size(b)));
    let mut out = vec![f32::NAN; values.len()];
    let last = order.len().saturating_sub(1).max(1) as f64;
    let mut from = 0;
    while from < order.len() {
        let mut to = from + 1;
        while to < order.len() && size(order[to]) == size(order[from]) {
            to += 1;
        }
        let rank = ((from + to - 1) as f64 / 2.0 / last * 100.0) as f32;
        order[from..to].iter().for_each(|&i| out[i as usize] = rank);
        from = to;
    }
    out
}

/// Whether each layer is brought to a scale of its own before it is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PerLayer {
    #[default]
    None,
    /// Divided by the layer's largest magnitude.
    Max,
    /// Rank of the magnitude in the layer, 0 to 1, sign kept; equal values share their middle rank.
    Rank,
}

impl PerLayer {
    pub const ALL: [Self; 3] = [Self::None, Self::Max, Self::Rank];

    pub fn of(self, grid: &Grid) -> Grid {
        if self == Self::None {
            return grid.clone();
        }
        let mut values = grid.values().to_vec();
        values.par_chunks_mut(grid.cols().max(1)).for_each(|row| match self {
            Self::None => {}
            Self::Max => {
                let top = row.iter().filter(|v| v.is_finite()).fold(0.0_f32, |m, v| m.max(v.abs()));
                if top > 0.0 {
                    row.iter_mut().for_each(|v| *v /= top);
                }
            }
            Self::Rank => {
                let ranks = percentile_ranks(row);
                row.iter_mut().zip(ranks).for_each(|(v, r)| *v = if *v < 0.0 { -r / 100.0 } else { r / 100.0 });
            }
        });
        // The shape is the grid's own.
        Grid::new(grid.rows(), grid.cols(), values).unwrap_or_else(|_| grid.clone())
    }
    /// As `--per-layer` reads it.
    pub fn id(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Max => "max",
            Self::Rank => "rank",
        }
    }
    /// What the values are then, for the colour bar; empty where they are as measured.
    pub fn words(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Max => "share of the layer's largest",
            Self::Rank => "rank within the layer, 0 to 1",
        }
    }
    /// Unit of the result.
    pub fn unit(self, unit: &'static str) -> &'static str {
        if self == Self::None { unit } else { "" }
    }
}

/// How all neurons of a layer become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduce {
    #[default]
    Mean,
    /// Of largest magnitude, sign kept.
    Max,
    Sum,
    /// Share of the layer's neurons among the model's top k % (METHODS' ranking over the whole model).
    ShareOnTop,
}

impl Reduce {
    pub const ALL: [Self; 4] = [Self::Mean, Self::Max, Self::Sum, Self::ShareOnTop];

    /// One number a layer, in f64; `None` where a layer has no finite value. `top_percent`: of [`Self::ShareOnTop`].
    pub fn of(self, grid: &Grid, top_percent: f64) -> Vec<Option<f64>> {
        let finite = |l: usize| grid.row(l).iter().copied().filter(|v| v.is_finite()).map(f64::from);
        let rows = 0..grid.rows();
        match self {
            Self::ShareOnTop => {
                let top = crate::base::NeuronSet::top_percent(grid, top_percent);
                rows.map(|l| (grid.cols() > 0).then(|| top.layer(l).count() as f64 / grid.cols() as f64)).collect()
            }
            Self::Sum => rows.map(|l| finite(l).next().map(|_| finite(l).sum())).collect(),
            Self::Mean => rows
                .map(|l| {
                    let (sum, n) = finite(l).fold((0.0, 0usize), |(s, n), v| (s + v, n + 1));
                    (n > 0).then(|| sum / n as f64)
                })
                .collect(),
            Self::Max => rows.map(|l| finite(l).reduce(|m, v| if v.abs() > m.abs() { v } else { m })).collect(),
        }
    }
    pub fn words(self, top_percent: f64) -> String {
        match self {
            Self::Mean => "mean of the layer".into(),
            Self::Max => "largest of the layer".into(),
            Self::Sum => "sum of the layer".into(),
            Self::ShareOnTop => format!("share of the layer in the model's top {} %", crate::base::number::sig3(top_percent)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(rows: usize, values: &[f32]) -> Grid {
        Grid::new(rows, values.len() / rows, values.to_vec()).expect("grid")
    }

    #[test]
    fn a_ratio_is_in_powers_of_two_and_undefined_at_zero() {
        let r = Combine::Ratio.of(&grid(1, &[8.0, 1.0, 0.0, 3.0, -2.0]), &grid(1, &[2.0, 4.0, 1.0, 0.0, 1.0])).expect("one shape");
        assert_eq!(r.values()[..2], [2.0, -2.0]);
        assert!(r.values()[2].is_nan() && r.values()[3].is_nan());
        assert_eq!(r.values()[4], 1.0, "magnitudes are compared");
    }

    #[test]
    fn rank_differences_are_in_percentile_points_with_shared_middle_ranks() {
        // Ranks of A: 0, 25, 50, 75, 100; of B: the two ones share ranks 0 and 25.
        let r = Combine::RankDifference.of(&grid(1, &[1.0, 2.0, 3.0, 4.0, 5.0]), &grid(1, &[9.0, 1.0, 1.0, 2.0, 3.0])).expect("one shape");
        assert_eq!(r.values(), [-100.0, 12.5, 37.5, 25.0, 25.0]);
        let n = Combine::RankDifference.of(&grid(1, &[f32::NAN, 2.0, 3.0]), &grid(1, &[1.0, 2.0, 3.0])).expect("one shape");
        assert!(n.values()[0].is_nan());
    }

    #[test]
    fn maps_of_two_shapes_say_which() {
        for c in Combine::ALL {
            let e = c.of(&grid(1, &[1.0, 2.0]), &grid(2, &[1.0, 2.0])).expect_err("shapes");
            assert!(e.to_string().contains("1 x 2"), "{e}");
        }
    }

    #[test]
    fn layers_are_brought_to_one_scale_each() {
        let g = grid(2, &[1.0, -4.0, 2.0, 10.0, 20.0, 0.0]);
        assert_eq!(PerLayer::Max.of(&g).values(), [0.25, -1.0, 0.5, 0.5, 1.0, 0.0]);
        assert_eq!(PerLayer::Rank.of(&g).values(), [0.0, -1.0, 0.5, 0.5, 1.0, 0.0]);
        assert_eq!(PerLayer::None.of(&g), g);
        assert_eq!(PerLayer::Max.of(&grid(1, &[0.0, 0.0])).values(), [0.0, 0.0], "a silent layer stays silent");
    }

    #[test]
    fn a_layer_becomes_one_number() {
        let g = grid(3, &[1.0, -4.0, 3.0, 1.0, f32::NAN, f32::NAN]);
        assert_eq!(Reduce::Mean.of(&g, 10.0), [Some(-1.5), Some(2.0), None]);
        assert_eq!(Reduce::Max.of(&g, 10.0), [Some(-4.0), Some(3.0), None]);
        assert_eq!(Reduce::Sum.of(&g, 10.0), [Some(-3.0), Some(4.0), None]);
        // The two largest of six: L1N0 (3) and a tie of ones that goes to the lower layer, L0N0.
        assert_eq!(Reduce::ShareOnTop.of(&g, 33.4), [Some(0.5), Some(0.5), Some(0.0)]);
    }
}
