//! Named tensors as f32: borrowed from the mapped file where it is f32, widened where it is not.

use super::{DecoderSpec, Matrix, load::FileBytes};
use crate::base::{Error, Result};
use std::{
    collections::BTreeMap,
    fmt,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

/// A tensor's values, dense row-major, cheap to clone.
#[derive(Clone)]
pub struct Tensor {
    pub shape: Vec<usize>,
    data: Data,
}

#[derive(Clone)]
enum Data {
    Owned(Arc<Vec<f32>>),
    /// Little-endian f32 at an aligned place of a file that stays mapped.
    Mapped {
        file: Arc<FileBytes>,
        start: usize,
        end: usize,
    },
}

impl Tensor {
    /// # Panics
    /// When `values` does not fill `shape`: a bug of the caller, who checks outside data first.
    pub fn new(shape: Vec<usize>, values: Vec<f32>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "tensor of shape {shape:?}");
        Self { shape, data: Data::Owned(Arc::new(values)) }
    }
    pub fn zeros(shape: Vec<usize>) -> Self {
        let n = shape.iter().product();
        Self::new(shape, vec![0.0; n])
    }
    /// Borrows bytes `start..end` of a file; `None` where they are not aligned for f32, do not fill the shape, or the machine is big-endian.
    pub(super) fn mapped(shape: Vec<usize>, file: &Arc<FileBytes>, start: usize, end: usize) -> Option<Self> {
        let values: &[f32] = bytemuck::try_cast_slice(file.get(start..end)?).ok()?;
        let fits = values.len() == shape.iter().product::<usize>();
        (fits && cfg!(target_endian = "little")).then(|| Self { shape, data: Data::Mapped { file: file.clone(), start, end } })
    }
    pub fn values(&self) -> &[f32] {
        match &self.data {
            Data::Owned(values) => values,
            Data::Mapped { file, start, end } => bytemuck::cast_slice(&file[*start..*end]),
        }
    }
    /// The values for writing; copies them first when they are mapped or shared with a clone.
    pub fn values_mut(&mut self) -> &mut [f32] {
        if let Data::Mapped { .. } = self.data {
            self.data = Data::Owned(Arc::new(self.values().to_vec()));
        }
        match &mut self.data {
            Data::Owned(values) => Arc::<Vec<f32>>::make_mut(values).as_mut_slice(),
            Data::Mapped { .. } => unreachable!("replaced above"),
        }
    }
    /// Whether the values live in the mapped file rather than in memory of their own.
    pub fn is_mapped(&self) -> bool {
        matches!(self.data, Data::Mapped { .. })
    }
}

impl Deref for Tensor {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        self.values()
    }
}

/// The norms of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockNorm {
    /// Before attention; after it where norms follow their part.
    Attn,
    /// Before the MLP; after it where norms follow their part.
    Mlp,
    /// Of what attention writes.
    PostAttn,
    /// Of what the MLP writes.
    PostMlp,
    /// Of each head's queries.
    Q,
    /// Of each head's keys.
    K,
}

impl BlockNorm {
    pub const ALL: [Self; 6] = [Self::Attn, Self::Mlp, Self::PostAttn, Self::PostMlp, Self::Q, Self::K];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Attn => "norm_attn",
            Self::Mlp => "norm_mlp",
            Self::PostAttn => "norm_post_attn",
            Self::PostMlp => "norm_post_mlp",
            Self::Q => "norm_q",
            Self::K => "norm_k",
        }
    }
}

/// What a tensor is in a decoder, whatever its name in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// `[vocab, width]`
    Embedding,
    /// Gain, `[d_model]` (`[head_dim]` for queries and keys).
    Norm(BlockNorm, usize),
    /// `[out, in]`
    Weight(usize, Matrix),
    /// `[out]`
    Bias(usize, Matrix),
    /// `[d_model]`
    NormFinal,
    /// `[vocab, width]`; absent where the head is tied.
    Head,
    /// As the gain.
    NormBias(BlockNorm, usize),
    /// `[d_model]`
    NormFinalBias,
    /// Learned positions, `[max_positions + offset, d_model]`.
    Positions,
    /// From the embedding's width to the model's, `[d_model, width]`.
    ProjectIn,
    /// Back, before the head: `[width, d_model]`.
    ProjectOut,
}

impl Role {
    /// The block it belongs to.
    pub fn layer(self) -> Option<usize> {
        match self {
            Self::Norm(_, l) | Self::NormBias(_, l) | Self::Weight(l, _) | Self::Bias(l, _) => Some(l),
            _ => None,
        }
    }
}

/// Our own word for it, for error messages: `blocks.3.gate.weight`.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedding => write!(f, "embedding"),
            Self::Norm(n, l) => write!(f, "blocks.{l}.{}", n.name()),
            Self::NormBias(n, l) => write!(f, "blocks.{l}.{}.bias", n.name()),
            Self::Weight(l, m) => write!(f, "blocks.{l}.{m}.weight"),
            Self::Bias(l, m) => write!(f, "blocks.{l}.{m}.bias"),
            Self::NormFinal => write!(f, "norm_final"),
            Self::NormFinalBias => write!(f, "norm_final.bias"),
            Self::Head => write!(f, "head"),
            Self::Positions => write!(f, "positions"),
            Self::ProjectIn => write!(f, "project_in"),
            Self::ProjectOut => write!(f, "project_out"),
        }
    }
}

/// Weights of one block. Linear weights are `[out, in]`.
#[derive(Clone, Default)]
pub struct Block {
    matrices: [Option<Tensor>; Matrix::ALL.len()],
    biases: [Option<Tensor>; Matrix::ALL.len()],
    norms: [Option<Tensor>; BlockNorm::ALL.len()],
    norm_biases: [Option<Tensor>; BlockNorm::ALL.len()],
}

impl Block {
    /// Asks `make` for every tensor the spec has in block `layer`, with its shape.
    ///
    /// # Errors
    /// The first error of `make`.
    pub fn build(spec: &DecoderSpec, layer: usize, mut make: impl FnMut(Role, Vec<usize>) -> Result<Tensor>) -> Result<Self> {
        let mut block = Self::default();
        for role in spec.roles_of_block(layer) {
            let shape = spec.shape(role).ok_or_else(|| Error::invalid(format!("{role} is no tensor of this model")))?;
            let tensor = make(role, shape)?;
            if let Some(slot) = block.slot(role) {
                *slot = Some(tensor);
            }
        }
        Ok(block)
    }
    /// # Panics
    /// For a matrix that the model's blocks do not have: [`DecoderSpec::matrices`] says which they have.
    pub fn matrix(&self, m: Matrix) -> &Tensor {
        self.matrices[m as usize].as_ref().expect("a matrix of this model's blocks")
    }
    pub fn bias(&self, m: Matrix) -> Option<&Tensor> {
        self.biases[m as usize].as_ref()
    }
    /// Gain of a norm.
    ///
    /// # Panics
    /// For a norm that the model's blocks do not have: [`DecoderSpec::has_norm`] says which they have.
    pub fn norm(&self, n: BlockNorm) -> &Tensor {
        self.norms[n as usize].as_ref().expect("a norm of this model's blocks")
    }
    pub fn norm_bias(&self, n: BlockNorm) -> Option<&Tensor> {
        self.norm_biases[n as usize].as_ref()
    }
    pub fn get(&self, role: Role) -> Option<&Tensor> {
        match role {
            Role::Norm(n, _) => self.norms[n as usize].as_ref(),
            Role::NormBias(n, _) => self.norm_biases[n as usize].as_ref(),
            Role::Weight(_, m) => self.matrices[m as usize].as_ref(),
            Role::Bias(_, m) => self.biases[m as usize].as_ref(),
            _ => None,
        }
    }
    fn slot(&mut self, role: Role) -> Option<&mut Option<Tensor>> {
        match role {
            Role::Norm(n, _) => Some(&mut self.norms[n as usize]),
            Role::NormBias(n, _) => Some(&mut self.norm_biases[n as usize]),
            Role::Weight(_, m) => Some(&mut self.matrices[m as usize]),
            Role::Bias(_, m) => Some(&mut self.biases[m as usize]),
            _ => None,
        }
    }
}

/// Makes a block's f32 values anew each time it is asked.
pub type BlockSource = Arc<dyn Fn() -> Block + Send + Sync>;

/// Where a block's values live between two uses.
#[derive(Clone)]
enum Slot {
    Resident(Arc<Block>),
    /// Half-precision in the mapped file, widened for each use: a model larger than the memory it may take.
    Stored(BlockSource),
}

/// A layer and its values.
type Widened = (usize, Arc<Block>);

/// All weights of a decoder.
#[derive(Clone)]
pub struct Weights {
    /// `[vocab, width]`
    pub embedding: Tensor,
    blocks: Vec<Slot>,
    /// What is neither embedding nor in a block, by role.
    others: BTreeMap<Role, Tensor>,
    /// The stored block that was widened last: forward, backward and statistics of a layer follow one another.
    last: Arc<Mutex<Option<Widened>>>,
}

impl Weights {
    /// Asks `make` for every tensor of the spec, in the order of [`DecoderSpec::roles`], with its shape.
    ///
    /// # Errors
    /// The first error of `make`.
    pub fn build(spec: &DecoderSpec, mut make: impl FnMut(Role, Vec<usize>) -> Result<Tensor>) -> Result<Self> {
        let outside = |role: Role, make: &mut dyn FnMut(Role, Vec<usize>) -> Result<Tensor>| {
            make(role, spec.shape(role).ok_or_else(|| Error::invalid(format!("{role} is no tensor of this model")))?)
        };
        let mut others = BTreeMap::new();
        for role in spec.roles_before_blocks() {
            others.insert(role, outside(role, &mut make)?);
        }
        let mut blocks = Vec::new();
        for layer in 0..spec.n_layers {
            blocks.push(Slot::Resident(Arc::new(Block::build(spec, layer, &mut make)?)));
        }
        for role in spec.roles_after_blocks() {
            others.insert(role, outside(role, &mut make)?);
        }
        Self::put_together(blocks, others)
    }
    /// Blocks that are made anew at each use; `others` holds every tensor outside of them.
    ///
    /// # Errors
    /// When there is no embedding.
    pub(super) fn stored(blocks: Vec<BlockSource>, others: BTreeMap<Role, Tensor>) -> Result<Self> {
        Self::put_together(blocks.into_iter().map(Slot::Stored).collect(), others)
    }
    fn put_together(blocks: Vec<Slot>, mut others: BTreeMap<Role, Tensor>) -> Result<Self> {
        let embedding = others.remove(&Role::Embedding).ok_or_else(|| Error::invalid("a decoder needs an embedding"))?;
        Ok(Self { embedding, blocks, others, last: Arc::default() })
    }
    pub fn n_layers(&self) -> usize {
        self.blocks.len()
    }
    /// Block `layer`. Free where its values are resident, else widens them: hold the result for as long as it is used.
    pub fn block(&self, layer: usize) -> Arc<Block> {
        match &self.blocks[layer] {
            Slot::Resident(block) => block.clone(),
            Slot::Stored(source) => {
                // Held while widening, so that two threads at one layer do it once.
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((_, block)) = last.as_ref().filter(|(l, _)| *l == layer) {
                    return block.clone();
                }
                // Let go of the old one first: never two of them because of us.
                *last = None;
                let block = Arc::new(source());
                *last = Some((layer, block.clone()));
                block
            }
        }
    }
    /// The same with every block's output matrix of the MLP times `gate`, as if every neuron had a gate that stands there. Blocks are scaled at each
    /// use, so that no second model is held.
    #[must_use]
    pub fn gated(&self, gate: f32) -> Self {
        let of = Arc::new(self.clone());
        let scaled = |layer: usize| -> BlockSource {
            let of = of.clone();
            Arc::new(move || {
                let mut block = (*of.block(layer)).clone();
                if let Some(Some(down)) = block.slot(Role::Weight(layer, Matrix::Down)) {
                    down.values_mut().iter_mut().for_each(|w| *w *= gate);
                }
                block
            })
        };
        let blocks = (0..self.n_layers()).map(|l| Slot::Stored(scaled(l))).collect();
        Self { blocks, last: Arc::default(), ..self.clone() }
    }
    /// Whether [`Weights::block`] is free.
    pub fn is_resident(&self) -> bool {
        self.blocks.iter().all(|b| matches!(b, Slot::Resident(_)))
    }
    /// The output matrix: the embedding itself where the head is tied.
    pub fn head(&self) -> &Tensor {
        self.outer(Role::Head).unwrap_or(&self.embedding)
    }
    /// A tensor outside of the blocks; `None` for one this model does not have ([`Role::Head`] of a tied head).
    pub fn outer(&self, role: Role) -> Option<&Tensor> {
        if role == Role::Embedding { Some(&self.embedding) } else { self.others.get(&role) }
    }
    /// One tensor by role; `None` for one this model does not have.
    pub fn get(&self, role: Role) -> Option<Tensor> {
        match role.layer() {
            Some(l) => (l < self.blocks.len()).then(|| self.block(l))?.get(role).cloned(),
            None => self.outer(role).cloned(),
        }
    }
    /// One tensor for writing. Makes its block resident, and copies what is mapped or shared.
    pub fn get_mut(&mut self, role: Role) -> Option<&mut Tensor> {
        let Some(layer) = role.layer() else {
            return if role == Role::Embedding { Some(&mut self.embedding) } else { self.others.get_mut(&role) };
        };
        let slot = self.blocks.get_mut(layer)?;
        if let Slot::Stored(source) = slot {
            let block = source();
            *slot = Slot::Resident(Arc::new(block));
        }
        let Slot::Resident(block) = slot else { return None };
        Arc::make_mut(block).slot(role)?.as_mut()
    }
}
