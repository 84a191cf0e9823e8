//! An [`Intervention`] at work in a forward pass.

use super::{AblationMode, Intervention};
use crate::{
    base::{Error, HookPoint, Result},
    model::{Batch, DecoderSpec, Hooks},
};

/// What happens to one coordinate of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Set(f32),
    Times(f32),
}

/// Hooks at `mlp.hook_post` and `attn.hook_z` that switch neurons and heads. Built once, used for every batch.
#[derive(Clone, Debug, Default)]
pub struct Switch {
    /// By layer: coordinates and what happens to them.
    mlp: Vec<Vec<(usize, Act)>>,
    z: Vec<Vec<(usize, Act)>>,
}

impl Switch {
    /// # Errors
    /// When a neuron or head is outside the model, or means are wanted and missing or of another shape.
    pub fn new(intervention: &Intervention, spec: &DecoderSpec) -> Result<Self> {
        let (n, f) = (spec.n_layers, spec.d_mlp);
        let (heads, width) = (spec.attention.n_heads, spec.attention.head_dim);
        intervention.neurons.check_inside(n, f)?;
        if let Some(h) = intervention.heads.iter().find(|h| h.layer as usize >= n || h.index as usize >= heads) {
            return Err(Error::invalid(format!("{h} is outside this model, which has layers 0..{} and heads 0..{}", n - 1, heads - 1)));
        }
        let mut switch = Self { mlp: vec![Vec::new(); n], z: vec![Vec::new(); n] };
        let means = match intervention.mode {
            AblationMode::Mean => {
                let missing = || Error::invalid("a mean ablation needs the mean activations of a split that is not evaluated");
                let means = intervention.means.as_ref().ok_or_else(missing)?;
                let shapes = [(means.mlp_post.rows(), means.mlp_post.cols()), (means.z.rows(), means.z.cols())];
                if shapes != [(n, f), (n, heads * width)] {
                    return Err(Error::invalid(format!(
                        "the means have shapes {shapes:?}, this model needs {:?}: they are another model's",
                        [(n, f), (n, heads * width)]
                    )));
                }
                Some(means)
            }
            AblationMode::Scale(k) if !k.is_finite() => {
                return Err(Error::invalid(format!("scale={k}: the factor must be a finite number")));
            }
            _ => None,
        };
        let act = |grid: Option<&crate::base::Grid>, layer: usize, i: usize| match intervention.mode {
            AblationMode::Zero => Act::Set(0.0),
            AblationMode::Scale(k) => Act::Times(k),
            AblationMode::Mean => Act::Set(grid.and_then(|g| g.get(layer, i)).unwrap_or(0.0)),
        };
        for neuron in intervention.neurons.iter() {
            let (l, i) = (neuron.layer as usize, neuron.index as usize);
            switch.mlp[l].push((i, act(means.map(|m| &m.mlp_post), l, i)));
        }
        for head in &intervention.heads {
            let (l, h) = (head.layer as usize, head.index as usize);
            switch.z[l].extend((h * width..(h + 1) * width).map(|i| (i, act(means.map(|m| &m.z), l, i))));
        }
        Ok(switch)
    }

    /// The first layer whose output changes; `None` when nothing is switched.
    pub fn first_layer(&self) -> Option<usize> {
        (0..self.mlp.len()).find(|&l| !self.mlp[l].is_empty() || !self.z[l].is_empty())
    }

    fn acts(&self, point: HookPoint) -> &[(usize, Act)] {
        match point {
            HookPoint::MlpPost(l) => self.mlp.get(l).map_or(&[], Vec::as_slice),
            HookPoint::Z(l) => self.z.get(l).map_or(&[], Vec::as_slice),
            _ => &[],
        }
    }
}

impl Hooks for &Switch {
    fn wants(&self, point: HookPoint) -> bool {
        !self.acts(point).is_empty()
    }
    fn at(&mut self, point: HookPoint, batch: &Batch, values: &mut [f32]) -> Result<()> {
        let acts = self.acts(point);
        let width = values.len() / batch.n_tokens().max(1);
        for row in values.chunks_exact_mut(width.max(1)) {
            for &(i, act) in acts {
                match act {
                    Act::Set(v) => row[i] = v,
                    Act::Times(k) => row[i] *= k,
                }
            }
        }
        Ok(())
    }
}
