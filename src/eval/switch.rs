//! An [`Intervention`] at work in a forward pass.

use super::{AblationAt, AblationMode, Donors, Intervention, Means, donors::Donor};
use crate::{
    base::{Error, Grid, HookPoint, Result, rng::Rng},
    model::{Batch, DecoderSpec, Hooks},
};
use std::sync::Arc;

/// What happens to one coordinate of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Set(f32),
    Times(f32),
    /// The value of another text; beyond its end this one, where that means something.
    Donated(f32),
}

/// What a switch may ask of the rows of a batch, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowTags {
    /// Line of the item that a row belongs to: what is drawn by chance is drawn once an item.
    pub lines: Vec<u32>,
    /// Rows whose prediction is scored.
    pub answer: Vec<bool>,
}

/// A part of [`RowTags`].
#[derive(Clone, Copy, Debug)]
pub struct RowTagsRef<'a> {
    pub lines: &'a [u32],
    pub answer: &'a [bool],
}

impl RowTags {
    pub fn rows(&self, rows: std::ops::Range<usize>) -> RowTagsRef<'_> {
        RowTagsRef { lines: &self.lines[rows.clone()], answer: &self.answer[rows] }
    }
    pub fn all(&self) -> RowTagsRef<'_> {
        RowTagsRef { lines: &self.lines, answer: &self.answer }
    }
    pub fn select(&self, rows: &[usize]) -> Self {
        Self { lines: rows.iter().map(|&r| self.lines[r]).collect(), answer: rows.iter().map(|&r| self.answer[r]).collect() }
    }
    pub fn append(&mut self, other: &Self) {
        self.lines.extend_from_slice(&other.lines);
        self.answer.extend_from_slice(&other.answer);
    }
}

/// Changes at `mlp.hook_post` and `attn.hook_z` that switch neurons and heads. Built once, used for every batch.
#[derive(Clone, Debug, Default)]
pub struct Switch {
    /// By layer: coordinates, ascending, and what happens to them.
    mlp: Vec<Vec<(usize, Act)>>,
    z: Vec<Vec<(usize, Act)>>,
    at: AblationAt,
    donors: Option<Arc<Donors>>,
    /// Texts are drawn by this seed; `None`: there is one.
    draw: Option<u64>,
}

impl Switch {
    /// # Errors
    /// When a neuron or head is outside the model, or means or activations of other texts are wanted and missing or of another shape.
    pub fn new(intervention: &Intervention, spec: &DecoderSpec) -> Result<Self> {
        let (n, f) = (spec.n_layers, spec.d_mlp);
        let (heads, width) = (spec.attention.n_heads, spec.attention.head_dim);
        intervention.neurons.check_inside(n, f)?;
        if let Some(h) = intervention.heads.iter().find(|h| h.layer as usize >= n || h.index as usize >= heads) {
            return Err(Error::invalid(format!("{h} is outside this model, which has layers 0..{} and heads 0..{}", n - 1, heads - 1)));
        }
        let mode = &intervention.mode;
        let means = match mode {
            AblationMode::Mean | AblationMode::PositionalMean => Some(checked(intervention.means.as_ref(), spec)?),
            AblationMode::Scale(k) if !k.is_finite() => {
                return Err(Error::invalid(format!("scale={k}: the factor must be a finite number")));
            }
            _ => None,
        };
        let (donors, draw) = match mode {
            AblationMode::PositionalMean => (intervention.donors.clone(), None),
            AblationMode::Resample { seed, .. } => (intervention.donors.clone(), Some(*seed)),
            _ => (None, None),
        };
        if donors.is_none() && matches!(mode, AblationMode::PositionalMean | AblationMode::Resample { .. }) {
            return Err(Error::invalid(format!("{}: the activations of other texts are missing", mode.word())));
        }
        let act = |grid: Option<&Grid>, layer: usize, i: usize| {
            let mean = grid.and_then(|g| g.get(layer, i)).unwrap_or(0.0);
            match mode {
                AblationMode::Zero => Act::Set(0.0),
                AblationMode::Scale(k) => Act::Times(*k),
                AblationMode::Mean => Act::Set(mean),
                AblationMode::PositionalMean | AblationMode::Resample { .. } => Act::Donated(mean),
            }
        };
        let mut switch = Self { mlp: vec![Vec::new(); n], z: vec![Vec::new(); n], at: intervention.at, donors, draw };
        for neuron in intervention.neurons.iter() {
            let (l, i) = (neuron.layer as usize, neuron.index as usize);
            switch.mlp[l].push((i, act(means.map(|m| &m.mlp_post), l, i)));
        }
        for head in &intervention.heads {
            let (l, h) = (head.layer as usize, head.index as usize);
            switch.z[l].extend((h * width..(h + 1) * width).map(|i| (i, act(means.map(|m| &m.z), l, i))));
        }
        if let Some(donors) = &switch.donors {
            let lacks = |points: &[(usize, Act)], point| points.iter().any(|&(i, _)| donors.donor(point, i).is_none());
            if (0..n).any(|l| lacks(&switch.mlp[l], HookPoint::MlpPost(l)) || lacks(&switch.z[l], HookPoint::Z(l))) {
                return Err(Error::invalid(format!("{}: the activations of other texts are those of other neurons", mode.word())));
            }
        }
        Ok(switch)
    }

    /// The first layer whose output changes; `None` when nothing is switched.
    pub fn first_layer(&self) -> Option<usize> {
        (0..self.mlp.len()).find(|&l| !self.mlp[l].is_empty() || !self.z[l].is_empty())
    }

    /// Neurons switched in a layer, ascending.
    pub fn neurons(&self, layer: usize) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.mlp[layer].iter().map(|&(i, _)| i)
    }

    /// True when a layer's attention is changed too.
    pub fn changes_heads(&self, layer: usize) -> bool {
        !self.z[layer].is_empty()
    }

    pub fn at(&self) -> AblationAt {
        self.at
    }

    /// True when a text is drawn for every item: then items may have no row in common.
    pub fn draws(&self) -> bool {
        self.draw.is_some()
    }

    fn acts(&self, point: HookPoint) -> &[(usize, Act)] {
        match point {
            HookPoint::MlpPost(l) => self.mlp.get(l).map_or(&[], Vec::as_slice),
            HookPoint::Z(l) => self.z.get(l).map_or(&[], Vec::as_slice),
            _ => &[],
        }
    }

    pub fn wants(&self, point: HookPoint) -> bool {
        !self.acts(point).is_empty()
    }

    /// Changes rows of a tensor `[rows, width]`; `positions` and `tags` are those of the rows.
    pub fn apply(&self, point: HookPoint, positions: &[u32], tags: RowTagsRef<'_>, values: &mut [f32]) {
        self.change(point, positions, tags, values, |_, i| i);
    }

    /// As [`Switch::apply`] for `[rows, neurons switched in the layer]` alone, in the order of [`Switch::neurons`].
    pub fn apply_packed(&self, layer: usize, positions: &[u32], tags: RowTagsRef<'_>, values: &mut [f32]) {
        self.change(HookPoint::MlpPost(layer), positions, tags, values, |ordinal, _| ordinal);
    }

    fn change(&self, point: HookPoint, positions: &[u32], tags: RowTagsRef<'_>, values: &mut [f32], place: impl Fn(usize, usize) -> usize) {
        let acts = self.acts(point);
        let width = values.len() / positions.len().max(1);
        let donors: Vec<Donor<'_>> = self.donors.iter().flat_map(|d| acts.iter().filter_map(move |&(i, _)| d.donor(point, i))).collect();
        // Neighbouring rows are of one item.
        let mut drawn: Option<(u32, usize)> = None;
        for (r, row) in values.chunks_exact_mut(width.max(1)).enumerate() {
            if self.at == AblationAt::Answer && !tags.answer[r] {
                continue;
            }
            let given = self.donors.as_ref().and_then(|d| {
                let position = positions[r] as usize;
                let Some(seed) = self.draw else { return (position < d.longest()).then(|| d.row(0, position)) };
                let line = tags.lines[r];
                let sample = match drawn {
                    Some((of, sample)) if of == line => sample,
                    _ => Rng::stream(seed, &format!("text for line {line}")).below(d.n_samples()),
                };
                drawn = Some((line, sample));
                Some(d.row(sample, position))
            });
            for (ordinal, &(i, act)) in acts.iter().enumerate() {
                let value = &mut row[place(ordinal, i)];
                match act {
                    Act::Set(v) => *value = v,
                    Act::Times(k) => *value *= k,
                    Act::Donated(beyond) => *value = given.map_or(beyond, |row| donors[ordinal].at(row)),
                }
            }
        }
    }
}

/// Means of this model's shape.
fn checked<'a>(means: Option<&'a Means>, spec: &DecoderSpec) -> Result<&'a Means> {
    let missing = || Error::invalid("a mean ablation needs the mean activations of a split that is not evaluated");
    let means = means.ok_or_else(missing)?;
    let shapes = [(means.mlp_post.rows(), means.mlp_post.cols()), (means.z.rows(), means.z.cols())];
    let expected = [(spec.n_layers, spec.d_mlp), (spec.n_layers, spec.q_width())];
    if shapes != expected {
        return Err(Error::invalid(format!("the means have shapes {shapes:?}, this model needs {expected:?}: they are another model's")));
    }
    Ok(means)
}

/// Switches at work, each on its own rows of a batch: interventions that are evaluated side by side.
pub struct SwitchHooks<'a> {
    /// Rows from one number to the next, in order.
    pub parts: Vec<(&'a Switch, std::ops::Range<usize>)>,
    pub tags: &'a RowTags,
}

impl<'a> SwitchHooks<'a> {
    /// One switch for all rows of a batch.
    pub fn one(switch: &'a Switch, tags: &'a RowTags) -> Self {
        Self { parts: vec![(switch, 0..tags.lines.len())], tags }
    }
}

impl Hooks for SwitchHooks<'_> {
    fn wants(&self, point: HookPoint) -> bool {
        self.parts.iter().any(|(s, _)| s.wants(point))
    }
    fn at(&mut self, point: HookPoint, batch: &Batch, values: &mut [f32]) -> Result<()> {
        let width = values.len() / batch.n_tokens().max(1);
        for (switch, rows) in &self.parts {
            if switch.wants(point) {
                let part = &mut values[rows.start * width..rows.end * width];
                switch.apply(point, &batch.positions[rows.clone()], self.tags.rows(rows.clone()), part);
            }
        }
        Ok(())
    }
}
