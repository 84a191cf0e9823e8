//! One neuron over one text.

use crate::{
    base::{Ctx, Error, HookPoint, Neuron, Result},
    model::{Batch, Decoder, Hooks},
};

/// Keeps one coordinate of `mlp.hook_post`.
struct Column {
    neuron: Neuron,
    values: Vec<f32>,
}

impl Hooks for Column {
    fn wants(&self, point: HookPoint) -> bool {
        point == HookPoint::MlpPost(self.neuron.layer as usize)
    }
    fn at(&mut self, _: HookPoint, batch: &Batch, values: &mut [f32]) -> Result<()> {
        let width = values.len() / batch.n_tokens().max(1);
        self.values.extend(values.chunks_exact(width).map(|row| row[self.neuron.index as usize]));
        Ok(())
    }
}

/// `mlp.hook_post` of `neuron` at every token; the model runs up to that layer only.
///
/// # Errors
/// When the neuron is outside the model, the text has no token or too many, a value is not finite, or the work is cancelled.
pub fn strip(decoder: &Decoder, tokens: &[u32], neuron: Neuron, ctx: &Ctx<'_>) -> Result<Vec<f32>> {
    let spec = &decoder.model.spec;
    verify_inside(neuron, spec.n_layers, spec.d_mlp)?;
    let batch = Batch::new(&[tokens]);
    let mut column = Column { neuron, values: Vec::with_capacity(tokens.len()) };
    let mut resid = decoder.embed(&batch, &mut column)?;
    for layer in 0..=neuron.layer as usize {
        ctx.check()?;
        decoder.block_forward(layer, &batch, &mut resid, None, &mut column)?;
    }
    if column.values.iter().any(|v| !v.is_finite()) {
        return Err(Error::numeric(HookPoint::MlpPost(neuron.layer as usize).to_string(), format!("{neuron} is not finite")));
    }
    Ok(column.values)
}

/// # Errors
/// Says which neurons there are.
pub(super) fn verify_inside(neuron: Neuron, layers: usize, width: usize) -> Result<()> {
    if (neuron.layer as usize) < layers && (neuron.index as usize) < width {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{neuron} is outside this model, which has layers 0..{} and neurons 0..{}",
        layers.saturating_sub(1),
        width.saturating_sub(1)
    )))
}
