//! Named tensors as f32: borrowed from the mapped file where it is f32, widened where it is not.

use super::{DecoderSpec, Matrix, load::FileBytes};
use crate::base::{Error, Result};
use std::{
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

/// What a tensor is in a decoder, whatever its name in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// `[vocab, d_model]`
    Embedding,
    /// Gain of the norm before attention of a layer, `[d_model]`.
    NormAttn(usize),
    /// Gain of the norm before the MLP of a layer, `[d_model]`.
    NormMlp(usize),
    /// `[out, in]`
    Weight(usize, Matrix),
    /// `[out]`
    Bias(usize, Matrix),
    /// `[d_model]`
    NormFinal,
    /// `[vocab, d_model]`; absent where the head is tied.
    Head,
}

/// Our own word for it, for error messages: `blocks.3.gate.weight`.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedding => write!(f, "embedding"),
            Self::NormAttn(l) => write!(f, "blocks.{l}.norm_attn"),
            Self::NormMlp(l) => write!(f, "blocks.{l}.norm_mlp"),
            Self::Weight(l, m) => write!(f, "blocks.{l}.{m}.weight"),
            Self::Bias(l, m) => write!(f, "blocks.{l}.{m}.bias"),
            Self::NormFinal => write!(f, "norm_final"),
            Self::Head => write!(f, "head"),
        }
    }
}

/// Weights of one block. Linear weights are `[out, in]`.
#[derive(Clone)]
pub struct Block {
    pub norm_attn: Tensor,
    pub norm_mlp: Tensor,
    pub q: Tensor,
    pub k: Tensor,
    pub v: Tensor,
    pub o: Tensor,
    pub gate: Tensor,
    pub up: Tensor,
    pub down: Tensor,
    pub q_bias: Option<Tensor>,
    pub k_bias: Option<Tensor>,
    pub v_bias: Option<Tensor>,
    pub o_bias: Option<Tensor>,
    pub gate_bias: Option<Tensor>,
    pub up_bias: Option<Tensor>,
    pub down_bias: Option<Tensor>,
}

impl Block {
    /// Asks `make` for every tensor the spec has in block `layer`, with its shape.
    ///
    /// # Errors
    /// The first error of `make`.
    pub fn build(spec: &DecoderSpec, layer: usize, mut make: impl FnMut(Role, Vec<usize>) -> Result<Tensor>) -> Result<Self> {
        let mut need = |role: Role| {
            let shape = spec.shape(role).ok_or_else(|| Error::invalid(format!("{role} is no tensor of this model")))?;
            make(role, shape)
        };
        let mut block = Self {
            norm_attn: need(Role::NormAttn(layer))?,
            norm_mlp: need(Role::NormMlp(layer))?,
            q: need(Role::Weight(layer, Matrix::Q))?,
            k: need(Role::Weight(layer, Matrix::K))?,
            v: need(Role::Weight(layer, Matrix::V))?,
            o: need(Role::Weight(layer, Matrix::O))?,
            gate: need(Role::Weight(layer, Matrix::Gate))?,
            up: need(Role::Weight(layer, Matrix::Up))?,
            down: need(Role::Weight(layer, Matrix::Down))?,
            q_bias: None,
            k_bias: None,
            v_bias: None,
            o_bias: None,
            gate_bias: None,
            up_bias: None,
            down_bias: None,
        };
        for m in Matrix::ALL {
            let role = Role::Bias(layer, m);
            if let Some(shape) = spec.shape(role) {
                *block.bias_slot(m) = Some(make(role, shape)?);
            }
        }
        Ok(block)
    }
    pub fn matrix(&self, m: Matrix) -> &Tensor {
        match m {
            Matrix::Q => &self.q,
            Matrix::K => &self.k,
            Matrix::V => &self.v,
            Matrix::O => &self.o,
            Matrix::Gate => &self.gate,
            Matrix::Up => &self.up,
            Matrix::Down => &self.down,
        }
    }
    pub fn bias(&self, m: Matrix) -> Option<&Tensor> {
        match m {
            Matrix::Q => self.q_bias.as_ref(),
            Matrix::K => self.k_bias.as_ref(),
            Matrix::V => self.v_bias.as_ref(),
            Matrix::O => self.o_bias.as_ref(),
            Matrix::Gate => self.gate_bias.as_ref(),
            Matrix::Up => self.up_bias.as_ref(),
            Matrix::Down => self.down_bias.as_ref(),
        }
    }
    fn bias_slot(&mut self, m: Matrix) -> &mut Option<Tensor> {
        match m {
            Matrix::Q => &mut self.q_bias,
            Matrix::K => &mut self.k_bias,
            Matrix::V => &mut self.v_bias,
            Matrix::O => &mut self.o_bias,
            Matrix::Gate => &mut self.gate_bias,
            Matrix::Up => &mut self.up_bias,
            Matrix::Down => &mut self.down_bias,
        }
    }
    fn matrix_mut(&mut self, m: Matrix) -> &mut Tensor {
        match m {
            Matrix::Q => &mut self.q,
            Matrix::K => &mut self.k,
            Matrix::V => &mut self.v,
            Matrix::O => &mut self.o,
            Matrix::Gate => &mut self.gate,
            Matrix::Up => &mut self.up,
            Matrix::Down => &mut self.down,
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
    /// `[vocab, d_model]`
    pub embedding: Tensor,
    blocks: Vec<Slot>,
    pub norm_final: Tensor,
    /// `[vocab, d_model]`; `None` where the head is the embedding.
    untied_head: Option<Tensor>,
    /// The stored block that was widened last: forward, backward and statistics of a layer follow one another.
    last: Arc<Mutex<Option<Widened>>>,
}

impl Weights {
    /// Asks `make` for every tensor of the spec, in the order of [`DecoderSpec::roles`], with its shape.
    ///
    /// # Errors
    /// The first error of `make`.
    pub fn build(spec: &DecoderSpec, mut make: impl FnMut(Role, Vec<usize>) -> Result<Tensor>) -> Result<Self> {
        let outside = |role, make: &mut dyn FnMut(Role, Vec<usize>) -> Result<Tensor>| match spec.shape(role) {
            Some(shape) => make(role, shape).map(Some),
            None => Ok(None),
        };
        let missing = || Error::invalid("a decoder needs an embedding and a final norm");
        let embedding = outside(Role::Embedding, &mut make)?.ok_or_else(missing)?;
        let mut blocks = Vec::new();
        for layer in 0..spec.n_layers {
            blocks.push(Slot::Resident(Arc::new(Block::build(spec, layer, &mut make)?)));
        }
        let norm_final = outside(Role::NormFinal, &mut make)?.ok_or_else(missing)?;
        let untied_head = outside(Role::Head, &mut make)?;
        Ok(Self { embedding, blocks, norm_final, untied_head, last: Arc::default() })
    }
    pub(super) fn stored(embedding: Tensor, blocks: Vec<BlockSource>, norm_final: Tensor, untied_head: Option<Tensor>) -> Self {
        let blocks = blocks.into_iter().map(Slot::Stored).collect();
        Self { embedding, blocks, norm_final, untied_head, last: Arc::default() }
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
    /// Whether [`Weights::block`] is free.
    pub fn is_resident(&self) -> bool {
        self.blocks.iter().all(|b| matches!(b, Slot::Resident(_)))
    }
    /// The output matrix: the embedding itself where the head is tied.
    pub fn head(&self) -> &Tensor {
        self.untied_head.as_ref().unwrap_or(&self.embedding)
    }
    /// One tensor by role; `None` for one this model does not have ([`Role::Head`] of a tied head).
    pub fn get(&self, role: Role) -> Option<Tensor> {
        match role {
            Role::Embedding => Some(self.embedding.clone()),
            Role::NormFinal => Some(self.norm_final.clone()),
            Role::Head => self.untied_head.clone(),
            Role::NormAttn(l) | Role::NormMlp(l) | Role::Weight(l, _) | Role::Bias(l, _) => {
                let block = (l < self.blocks.len()).then(|| self.block(l))?;
                match role {
                    Role::NormAttn(_) => Some(block.norm_attn.clone()),
                    Role::NormMlp(_) => Some(block.norm_mlp.clone()),
                    Role::Weight(_, m) => Some(block.matrix(m).clone()),
                    Role::Bias(_, m) => block.bias(m).cloned(),
                    _ => None,
                }
            }
        }
    }
    /// One tensor for writing. Makes its block resident, and copies what is mapped or shared.
    pub fn get_mut(&mut self, role: Role) -> Option<&mut Tensor> {
        match role {
            Role::Embedding => Some(&mut self.embedding),
            Role::NormFinal => Some(&mut self.norm_final),
            Role::Head => self.untied_head.as_mut(),
            Role::NormAttn(l) | Role::NormMlp(l) | Role::Weight(l, _) | Role::Bias(l, _) => {
                let slot = self.blocks.get_mut(l)?;
                if let Slot::Stored(source) = slot {
                    let block = source();
                    *slot = Slot::Resident(Arc::new(block));
                }
                let Slot::Resident(block) = slot else { return None };
                let block = Arc::make_mut(block);
                match role {
                    Role::NormAttn(_) => Some(&mut block.norm_attn),
                    Role::NormMlp(_) => Some(&mut block.norm_mlp),
                    Role::Weight(_, m) => Some(block.matrix_mut(m)),
                    Role::Bias(_, m) => block.bias_slot(m).as_mut(),
                    _ => None,
                }
            }
        }
    }
}
