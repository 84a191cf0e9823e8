//! Rotary tables for a spec, with the frequencies as Hugging Face computes them (f32, so that far positions agree too).

use super::spec::{RopeScaling, RopeSpec};
use crate::compute::RopeTable;

/// Angle a position turns pair `i` by, for `dims / 2` pairs. `long`: for sequences beyond the original length, which matters to
/// [`RopeScaling::LongRope`] only.
/// Source: `modeling_rope_utils.py` of transformers (`_compute_*_parameters`).
pub fn inverse_frequencies(rope: &RopeSpec, long: bool) -> Vec<f32> {
    let dims = rope.dims;
    let powers = (0..dims / 2).map(|i| (rope.theta as f32).powf((2 * i) as f32 / dims as f32));
    match &rope.scaling {
        RopeScaling::None => powers.map(|p| 1.0 / p).collect(),
        RopeScaling::Linear { factor } => powers.map(|p| 1.0 / p / *factor as f32).collect(),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_positions } => {
            let (factor, low, high) = (*factor as f32, *low_freq_factor as f32, *high_freq_factor as f32);
            let original = *original_max_positions as f32;
            powers
                .map(|p| {
                    let f = 1.0 / p;
                    let wavelength = 2.0 * std::f32::consts::PI / f;
                    if wavelength > original / low {
                        f / factor
                    } else if wavelength < original / high {
                        f
                    } else {
                        let smooth = (original / wavelength - low) / (high - low);
                        (1.0 - smooth) * f / factor + smooth * f
                    }
                })
                .collect()
        }
        RopeScaling::Yarn { factor, beta_fast, beta_slow, original_max_positions, truncate, .. } => {
            // The pair that turns `rotations` times over the original length.
            let pair = |rotations: f64| {
                let turns = *original_max_positions as f64 / (rotations * 2.0 * std::f64::consts::PI);
                dims as f64 * turns.ln() / (2.0 * rope.theta.ln())
            };
            let (low, high) = (pair(*beta_fast), pair(*beta_slow));
            let (low, high) = if *truncate { (low.floor(), high.ceil()) } else { (low, high) };
            let (low, high) = (low.max(0.0), high.min(dims as f64 - 1.0));
            let span = if low == high { 0.001 } else { high - low };
            powers
                .enumerate()
                .map(|(i, p)| {
                    let ramp = ((i as f32 - low as f32) / span as f32).clamp(0.0, 1.0);
                    let kept = 1.0 - ramp;
                    (1.0 / (*factor as f32 * p)) * (1.0 - kept) + (1.0 / p) * kept
                })
                .collect()
        }
        RopeScaling::LongRope { short, long: far, .. } => {
            powers.zip(if long { far } else { short }).map(|(p, factor)| 1.0 / (*factor as f32 * p)).collect()
        }
    }
}

/// What cos and sin are multiplied by.
pub fn attention_factor(rope: &RopeSpec) -> f64 {
    match rope.scaling {
        RopeScaling::Yarn { attention_factor, .. } | RopeScaling::LongRope { attention_factor, .. } => attention_factor,
        _ => 1.0,
    }
}

/// The length from which a sequence is a long one, where that matters.
pub fn long_from(rope: &RopeSpec) -> Option<usize> {
    match rope.scaling {
        RopeScaling::LongRope { original_max_positions, .. } => Some(original_max_positions),
        _ => None,
    }
}

impl RopeSpec {
    /// cos and sin in f64 for every position and pair of a sequence of `tokens`: what [`table`] rounds.
    pub fn angles(&self, tokens: usize) -> Vec<(f64, f64)> {
        let frequencies = inverse_frequencies(self, long_from(self).is_some_and(|original| tokens > original));
        let scale = attention_factor(self);
        let turn = |angle: f32| (f64::from(angle).cos() * scale, f64::from(angle).sin() * scale);
        (0..tokens).flat_map(|p| frequencies.iter().map(move |f| turn(p as f32 * f))).collect()
    }
}

/// cos and sin for positions `0..positions`; where long sequences turn otherwise, `2 * positions` rows: those of short sequences, then those
/// of long ones.
pub fn table(rope: &RopeSpec, positions: usize) -> RopeTable {
    let pairs = rope.dims / 2;
    let scale = attention_factor(rope);
    let kinds: &[bool] = if long_from(rope).is_some() { &[false, true] } else { &[false] };
    let mut table = RopeTable {
        cos: Vec::with_capacity(kinds.len() * positions * pairs),
        sin: Vec::with_capacity(kinds.len() * positions * pairs),
        pairs,
    };
    for &long in kinds {
        let frequencies = inverse_frequencies(rope, long);
        for p in 0..positions {
            for f in &frequencies {
                let (s, c) = f64::from(p as f32 * f).sin_cos();
                table.cos.push((c * scale) as f32);
                table.sin.push((s * scale) as f32);
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values given by `ROPE_INIT_FUNCTIONS[...]` of transformers 5.23.0 for head_dim 16, theta 500000, factor 8, low 1, high 4,
    /// original_max_position_embeddings 64 (short, so that all three branches are taken).
    #[test]
    fn frequencies_match_transformers() {
        let of = |scaling| inverse_frequencies(&RopeSpec { theta: 500_000.0, dims: 16, scaling }, false);
        let llama3 = of(RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_positions: 64 });
        let close = |got: &[f32], want: &[f32]| {
            assert_eq!(got.len(), want.len());
            for (g, w) in got.iter().zip(want) {
                assert!((g - w).abs() <= 1e-6 * w.abs(), "{got:?} {want:?}");
            }
        };
        close(&llama3, &[1.0, 0.079_403_01, 0.004_700_754, 9.115_831e-4, 1.767_766_8e-4, 3.428_102_4e-5, 6.647_869_7e-6, 1.289_173_2e-6]);
        let linear = [0.25, 0.048_480_69, 0.009_401_508, 0.001_823_166_3, 3.535_533_6e-4, 6.856_205e-5, 1.329_573_4e-5, 2.578_346_3e-6];
        close(&of(RopeScaling::Linear { factor: 4.0 }), &linear);
    }
}
