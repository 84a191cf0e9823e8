//! Rotary tables for a spec, with the frequencies as Hugging Face computes them (f32, so that far positions agree too).

use super::spec::{RopeScaling, RopeSpec};
use crate::compute::RopeTable;

/// Angle a position turns pair `i` by, for `head_dim / 2` pairs.
/// Source: `modeling_rope_utils.py` of transformers; llama3 scaling: `_compute_llama3_parameters` there.
pub fn inverse_frequencies(rope: &RopeSpec, head_dim: usize) -> Vec<f32> {
    let plain = (0..head_dim / 2).map(|i| 1.0 / (rope.theta as f32).powf((2 * i) as f32 / head_dim as f32));
    match rope.scaling {
        RopeScaling::None => plain.collect(),
        RopeScaling::Linear { factor } => plain.map(|f| f / factor as f32).collect(),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_positions } => {
            let (factor, low, high) = (factor as f32, low_freq_factor as f32, high_freq_factor as f32);
            let original = original_max_positions as f32;
            plain
                .map(|f| {
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
    }
}

/// cos and sin for positions `0..positions`.
pub fn table(rope: &RopeSpec, head_dim: usize, positions: usize) -> RopeTable {
    let frequencies = inverse_frequencies(rope, head_dim);
    let angles = (0..positions).flat_map(|p| frequencies.iter().map(move |f| p as f32 * f));
    let (mut cos, mut sin) = (Vec::with_capacity(positions * frequencies.len()), Vec::with_capacity(positions * frequencies.len()));
    for angle in angles {
        let (s, c) = f64::from(angle).sin_cos();
        cos.push(c as f32);
        sin.push(s as f32);
    }
    RopeTable { cos, sin, pairs: frequencies.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values given by `ROPE_INIT_FUNCTIONS[...]` of transformers 5.23.0 for head_dim 16, theta 500000, factor 8, low 1, high 4,
    /// original_max_position_embeddings 64 (short, so that all three branches are taken).
    #[test]
    fn frequencies_match_transformers() {
        let of = |scaling| inverse_frequencies(&RopeSpec { theta: 500_000.0, scaling }, 16);
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
