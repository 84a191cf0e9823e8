//! Random weights to start from.

use crate::{
    base::{Result, rng::Rng},
    model::{
        DecoderSpec, Matrix, Weights,
        weights::{Role, Tensor},
    },
};

/// Normal weights: standard deviation `fan_in^-1/2`, for the two matrices that write into the residual stream divided by `sqrt(2 L)` (as in
/// GPT-2); `embedding_std` for embedding and head; norm gains 1, biases 0. One stream of draws a tensor, so that none depends on another.
///
/// # Errors
/// When the spec describes no decoder.
pub fn random_weights(spec: &DecoderSpec, embedding_std: f64, seed: u64) -> Result<Weights> {
    Weights::build(spec, |role, shape| {
        let n: usize = shape.iter().product();
        let std = match role {
            Role::Norm(..) | Role::NormFinal => return Ok(Tensor::new(shape, vec![1.0 - spec.norm.gain_offset; n])),
            Role::Bias(..) | Role::NormBias(..) | Role::NormFinalBias => return Ok(Tensor::zeros(shape)),
            Role::Embedding | Role::Head | Role::Positions => embedding_std,
            Role::ProjectIn | Role::ProjectOut => (shape[1] as f64).powf(-0.5),
            Role::Weight(_, m) => {
                let fan_in = spec.matrix_shape(m).1 as f64;
                let into_stream = matches!(m, Matrix::O | Matrix::Down);
                fan_in.powf(-0.5) / if into_stream { (2.0 * spec.n_layers as f64).sqrt() } else { 1.0 }
            }
        };
        let mut rng = Rng::stream(seed, &role.to_string());
        Ok(Tensor::new(shape, (0..n).map(|_| (rng.normal() * std) as f32).collect()))
    })
}
