//! Mean activations for mean ablation, over data that is not evaluated.

use super::{encode_text, gold_text, intervention::Means};
use crate::{
    base::{Ctx, Error, Grid, HookPoint, Result},
    data::Item,
    model::{Batch, Decoder, Hooks},
};

/// Sums of `mlp.hook_post` and `attn.hook_z` over all tokens, in f64.
struct Sums {
    mlp: Vec<Vec<f64>>,
    z: Vec<Vec<f64>>,
}

impl Hooks for Sums {
    fn wants(&self, point: HookPoint) -> bool {
        matches!(point, HookPoint::MlpPost(_) | HookPoint::Z(_))
    }
    fn at(&mut self, point: HookPoint, _: &Batch, values: &mut [f32]) -> Result<()> {
        let sums = match point {
            HookPoint::MlpPost(l) => &mut self.mlp[l],
            HookPoint::Z(l) => &mut self.z[l],
            _ => return Ok(()),
        };
        for row in values.chunks_exact(sums.len()) {
            for (sum, &v) in sums.iter_mut().zip(row) {
                *sum += f64::from(v);
            }
        }
        Ok(())
    }
}

/// Means over all tokens of the items' texts with their right answers, each cut to its last `max_tokens` tokens. `source` says which data they
/// are, for provenance: a split that the caller does not evaluate on.
///
/// # Errors
/// When there are no tokens, a mean is not finite, or the work is cancelled.
pub fn means<'a>(
    decoder: &Decoder,
    items: impl IntoIterator<Item = &'a Item>,
    max_tokens: usize,
    source: impl Into<String>,
    ctx: &Ctx<'_>,
) -> Result<Means> {
    const BATCH_TOKENS: usize = 2048;
    let spec = &decoder.model.spec;
    let (n, f, width) = (spec.n_layers, spec.d_mlp, spec.attention.n_heads * spec.attention.head_dim);
    let mut sums = Sums { mlp: vec![vec![0.0; f]; n], z: vec![vec![0.0; width]; n] };
    let (mut batch, mut tokens, mut n_items) = (Batch::default(), 0usize, 0usize);
    let mut run = |batch: &mut Batch| -> Result<()> {
        let batch = std::mem::take(batch);
        if batch.n_tokens() == 0 {
            return Ok(());
        }
        let mut resid = decoder.embed(&batch, &mut sums)?;
        for layer in 0..n {
            ctx.check()?;
            decoder.block_forward(layer, &batch, &mut resid, None, &mut sums)?;
        }
        Ok(())
    };
    for item in items {
        let text = gold_text(&decoder.model.tokenizer, item)?;
        let mut ids = encode_text(&decoder.model.tokenizer, &text, usize::MAX)?.tokens;
        ids.drain(..ids.len().saturating_sub(max_tokens.min(spec.max_positions)));
        if ids.is_empty() {
            continue;
        }
        if batch.n_tokens() + ids.len() > BATCH_TOKENS {
            run(&mut batch)?;
        }
        tokens += ids.len();
        n_items += 1;
        batch.push(&ids);
    }
    run(&mut batch)?;
    if tokens == 0 {
        return Err(Error::invalid("means over no tokens: give a split with items that is not the one evaluated"));
    }
    let grid = |sums: &[Vec<f64>], name: &str| -> Result<Grid> {
        let values: Vec<f32> = sums.iter().flatten().map(|s| (s / tokens as f64) as f32).collect();
        if values.iter().any(|v| !v.is_finite()) {
            return Err(Error::numeric(format!("mean of {name}"), "not finite"));
        }
        Grid::new(n, values.len() / n.max(1), values)
    };
    Ok(Means {
        mlp_post: grid(&sums.mlp, "mlp.hook_post")?,
        z: grid(&sums.z, "attn.hook_z")?,
        source: format!("mean over {tokens} tokens of {n_items} items of {}", source.into()),
    })
}
