//! The memory that a training takes, told before it begins: the system would end the program in the middle of it.

use super::{OptimizerConfig, Part, Target, Trained, TuneConfig};
use crate::{
    base::{Error, Result, memory::Memory, number},
    model::{BlockTape, Model, weights::Role},
};
use std::collections::BTreeSet;

/// Bytes that are held at the same time beside the model that is trained from. Buffers of kernels and of the head come on top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Need {
    /// Tensors that change: the model keeps its own.
    copies: u64,
    gradients: u64,
    /// Of the optimiser, and the values of the best evaluation.
    state: u64,
    /// What the way up leaves for the way down, for so many tokens at once.
    activations: u64,
    tokens: usize,
}

impl Need {
    /// Of sequences with at most `longest` tokens.
    ///
    /// # Errors
    /// When the target does not fit the model.
    fn new(model: &Model, config: &TuneConfig, longest: usize) -> Result<Self> {
        let (spec, weights) = (&model.spec, &model.weights);
        let trained = match &config.target {
            Target::All => Some(Trained::all(spec)),
            Target::Neurons(set) => Some(Trained::neurons(spec, set)?),
            // Adapters and all that belongs to them are small beside the activations.
            Target::Lora(_) => None,
        };
        let elements = |role: Role| spec.shape(role).map_or(0, |shape| shape.iter().product::<usize>());
        let (mut copies, mut values, mut packed) = (0, 0, 0);
        let mut whole_blocks = BTreeSet::new();
        for slice in trained.iter().flat_map(|t| &t.slices) {
            values += slice.len();
            packed += if slice.part == Part::Whole { 0 } else { slice.len() };
            match slice.role.layer() {
                // A block that is widened at each use becomes resident as a whole.
                Some(layer) if !weights.is_resident() => drop(whole_blocks.insert(layer)),
                _ => copies += elements(slice.role),
            }
        }
        copies += whole_blocks.iter().flat_map(|&layer| spec.roles_of_block(layer)).map(elements).sum::<usize>();
        let moments = match config.optimizer {
            OptimizerConfig::AdamW(_) => 2,
            OptimizerConfig::Sgd(c) => usize::from(c.momentum != 0.0),
        };
        let tokens = config.micro_batch_tokens.min(config.batch * longest).max(longest);
        let layers = spec.n_layers - trained.as_ref().map_or(0, |t| t.first_layer);
        // Of neurons what attention gives is not kept; of adapters it may be.
        let without = if matches!(config.target, Target::Neurons(_)) { spec.q_width() } else { 0 };
        let kept = BlockTape::floats_a_token(spec) - without;
        let bytes = |floats: usize| floats as u64 * 4;
        Ok(Self {
            copies: bytes(copies + packed),
            gradients: bytes(values),
            state: bytes((moments + 1) * values),
            activations: bytes(tokens * layers * kept),
            tokens,
        })
    }
    fn all(self) -> u64 {
        self.copies + self.gradients + self.state + self.activations
    }
    /// # Errors
    /// When it is more than `available` bytes.
    fn check(self, config: &TuneConfig, available: u64) -> Result<()> {
        if self.all() <= available {
            return Ok(());
        }
        let [all, copies, gradients, state, activations, available] =
            [self.all(), self.copies, self.gradients, self.state, self.activations, available].map(number::bytes);
        let instead = match config.target {
            Target::All => "train a set of neurons or adapters (LoRA)",
            Target::Neurons(_) => "train fewer neurons",
            Target::Lora(_) => "train on shorter sequences",
        };
        Err(Error::invalid(format!(
            "this training takes {all} of memory beside the model (changed weights {copies}, gradients {gradients}, optimiser and best values {state}, \
             activations of {} tokens {activations}), and {available} can be had; {instead}, or compute fewer tokens at once",
            self.tokens
        )))
    }
}

/// Whether there is memory for a training of sequences with at most `longest` tokens.
///
/// # Errors
/// When there is not, with what takes how much; and when the target does not fit the model.
pub(super) fn check(model: &Model, config: &TuneConfig, longest: usize) -> Result<()> {
    let need = Need::new(model, config, longest)?;
    Memory::now().map_or(Ok(()), |memory| need.check(config, memory.available_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{NeuronSet, job::silently},
        model::load_model,
        tune::LoraConfig,
    };

    #[test]
    fn a_training_of_everything_holds_five_times_its_weights_and_neurons_what_they_are() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/model");
        let model = silently(|ctx| load_model(&folder, ctx)).expect("demo");
        let (spec, n) = (&model.spec, model.spec.n_params());
        let config = |target| TuneConfig { target, batch: 4, micro_batch_tokens: 100, ..TuneConfig::default() };
        let all = Need::new(&model, &config(Target::All), 30).expect("need");
        assert_eq!((all.copies, all.gradients, all.state), (4 * n, 4 * n, 12 * n));
        let one = NeuronSet::parse(&format!("L{}N0", spec.n_layers - 1)).expect("set");
        let neuron = Need::new(&model, &config(Target::Neurons(one)), 30).expect("need");
        let (scalars, matrices) = (3 * spec.d_model as u64, 3 * (spec.d_model * spec.d_mlp) as u64);
        assert_eq!((neuron.copies, neuron.gradients, neuron.state), (4 * (matrices + scalars), 4 * scalars, 12 * scalars));
        // One layer's instead of all layers', and of its MLP alone.
        assert!(neuron.activations * spec.n_layers as u64 <= all.activations, "{neuron:?} {all:?}");
        let adapters = Need::new(&model, &config(Target::Lora(LoraConfig::default())), 30).expect("need");
        assert_eq!((adapters.gradients, adapters.copies), (0, 0));
        // A longer sequence than a micro-batch is computed all the same.
        let long = Need::new(&model, &config(Target::All), 200).expect("need");
        assert_eq!(long.activations, 2 * all.activations);

        all.check(&config(Target::All), all.all()).expect("just enough");
        let message = all.check(&config(Target::All), all.all() - 1).expect_err("one byte less").to_string();
        assert!(message.contains("LoRA") && message.contains(&number::bytes(all.gradients)), "{message}");
    }
}
