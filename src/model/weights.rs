//! Named tensors as f32: borrowed from the mapped file where it is f32, widened where it is not.

use super::{
    DecoderSpec, Matrix,
    load::{FileBytes, FileRange},
};
use crate::base::{Error, Result};
use std::{
    collections::BTreeMap,
    fmt,
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
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
    /// Where mapped values lie.
    fn in_file(&self) -> Option<FileRange> {
        match &self.data {
            Data::Owned(_) => None,
            Data::Mapped { file, start, end } => Some(FileRange { file: file.clone(), bytes: *start..*end }),
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
    fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.matrices.iter().chain(&self.biases).chain(&self.norms).chain(&self.norm_biases).flatten()
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
pub(super) trait BlockSource: Send + Sync {
    fn block(&self) -> Block;
    /// What they are made from.
    fn in_files(&self) -> Vec<FileRange>;
}

/// Where a block's values live between two uses.
#[derive(Clone)]
enum Slot {
    Resident(Arc<Block>),
    /// Half-precision in the mapped file, widened for each use: a model larger than the memory it may take.
    Stored(Arc<dyn BlockSource>),
}

impl Slot {
    fn in_files(&self) -> Vec<FileRange> {
        match self {
            Self::Resident(block) => block.tensors().filter_map(Tensor::in_file).collect(),
            Self::Stored(source) => source.in_files(),
        }
    }
}

/// Blocks scaled at each use, so that no second model is held.
struct Gated {
    of: Arc<Weights>,
    layer: usize,
    gate: f32,
}

impl BlockSource for Gated {
    fn block(&self) -> Block {
        let mut block = (*self.of.block(self.layer)).clone();
        if let Some(Some(down)) = block.slot(Role::Weight(self.layer, Matrix::Down)) {
            down.values_mut().iter_mut().for_each(|w| *w *= self.gate);
        }
        block
    }
    fn in_files(&self) -> Vec<FileRange> {
        // The model that is scaled reads ahead when it is asked for a block.
        Vec::new()
    }
}

/// What is known of a pass through blocks that are read from the disk ahead of their use.
#[derive(Default)]
struct Ahead {
    /// The layer that was used last.
    last: Mutex<Option<usize>>,
    /// How many blocks are not read ahead, because one was found in memory: looking for them takes as long as a short pass.
    rest: AtomicUsize,
}

impl Ahead {
    const REST: usize = 16;
    /// Bytes a second that no disk gives one thread: what comes faster was in memory.
    const IN_MEMORY: f64 = 4e9;

    fn read(&self, ranges: &[FileRange]) {
        let start = Instant::now();
        ranges.iter().for_each(FileRange::read);
        let bytes: usize = ranges.iter().map(|r| r.bytes.len()).sum();
        if bytes as f64 > Self::IN_MEMORY * start.elapsed().as_secs_f64() {
            self.rest.store(Self::REST, Ordering::Relaxed);
        }
    }
    fn rests(&self) -> bool {
        self.rest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
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
    /// Where the files may be too large to be kept in memory by the system.
    ahead: Option<Arc<Ahead>>,
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
    pub(super) fn stored(blocks: Vec<Arc<dyn BlockSource>>, others: BTreeMap<Role, Tensor>) -> Result<Self> {
        Self::put_together(blocks.into_iter().map(Slot::Stored).collect(), others)
    }
    fn put_together(blocks: Vec<Slot>, mut others: BTreeMap<Role, Tensor>) -> Result<Self> {
        let embedding = others.remove(&Role::Embedding).ok_or_else(|| Error::invalid("a decoder needs an embedding"))?;
        Ok(Self { embedding, blocks, others, last: Arc::default(), ahead: None })
    }
    /// Of files that the system cannot keep in memory: while a block is used it reads the one that comes next.
    #[must_use]
    pub(super) fn reading_ahead(self) -> Self {
        Self { ahead: Some(Arc::default()), ..self }
    }
    pub fn n_layers(&self) -> usize {
        self.blocks.len()
    }
    /// Block `layer`. Free where its values are resident, else widens them: hold the result for as long as it is used.
    pub fn block(&self, layer: usize) -> Arc<Block> {
        self.read_ahead_of(layer);
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
                let block = Arc::new(source.block());
                *last = Some((layer, block.clone()));
                block
            }
        }
    }
    /// Reads what follows `layer` in a pass that goes up or down, while `layer` is used.
    fn read_ahead_of(&self, layer: usize) {
        let Some(ahead) = &self.ahead else { return };
        let from = ahead.last.lock().unwrap_or_else(PoisonError::into_inner).replace(layer);
        if from == Some(layer) || ahead.rests() {
            return;
        }
        let down = from == Some(layer + 1);
        let mut next = match (down, self.blocks.get(layer + 1)) {
            (true, _) => layer.checked_sub(1).map_or_else(Vec::new, |below| self.blocks[below].in_files()),
            (false, Some(above)) => above.in_files(),
            (false, None) => self.head().in_file().into_iter().collect(),
        };
        if next.is_empty() {
            return;
        }
        next.sort_by_key(|range| range.bytes.start);
        // On a thread of its own, which waits for the disk in our place: two at most are under way, since nobody goes on without the block before.
        // Without one, blocks are read when they are used.
        let ahead = ahead.clone();
        let _ = thread::Builder::new().name("read-ahead".into()).spawn(move || ahead.read(&next));
    }
    /// The same with every block's output matrix of the MLP times `gate`, as if every neuron had a gate that stands there.
    #[must_use]
    pub fn gated(&self, gate: f32) -> Self {
        let of = Arc::new(self.clone());
        let blocks = (0..self.n_layers()).map(|layer| Slot::Stored(Arc::new(Gated { of: of.clone(), layer, gate }))).collect();
        Self { blocks, last: Arc::default(), ahead: None, ..self.clone() }
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
            let block = source.block();
            *slot = Slot::Resident(Arc::new(block));
        }
        let Slot::Resident(block) = slot else { return None };
        Arc::make_mut(block).slot(role)?.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Weak;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Said {
        Asked(usize),
        Made(usize),
    }
    use Said::{Asked, Made};

    /// Writes down what it is asked to do.
    struct Recorded {
        layer: usize,
        said: Arc<Mutex<Vec<Said>>>,
    }

    impl BlockSource for Recorded {
        fn block(&self) -> Block {
            self.said.lock().expect("said").push(Made(self.layer));
            Block::default()
        }
        fn in_files(&self) -> Vec<FileRange> {
            self.said.lock().expect("said").push(Asked(self.layer));
            Vec::new()
        }
    }

    fn recorded(n: usize) -> (Weights, impl Fn() -> Vec<Said>) {
        let said: Arc<Mutex<Vec<Said>>> = Arc::default();
        let source = |layer| -> Arc<dyn BlockSource> { Arc::new(Recorded { layer, said: said.clone() }) };
        let embedding = BTreeMap::from([(Role::Embedding, Tensor::zeros(vec![1, 1]))]);
        let weights = Weights::stored((0..n).map(source).collect(), embedding).expect("weights");
        (weights, move || std::mem::take(&mut *said.lock().expect("said")))
    }

    #[test]
    fn the_next_block_is_asked_for_before_this_one_is_made_and_in_the_direction_of_the_pass() {
        let (weights, said) = recorded(4);
        let weights = weights.reading_ahead();
        let uses = |layers: &[usize]| {
            layers.iter().for_each(|&l| drop(weights.block(l)));
            said()
        };
        // Forward, backward and statistics of a layer use it several times.
        assert_eq!(uses(&[0, 0, 1]), [Asked(1), Made(0), Asked(2), Made(1)]);
        assert_eq!(uses(&[2, 3]), [Asked(3), Made(2), Made(3)]);
        assert_eq!(uses(&[3, 2, 2, 1, 0]), [Asked(1), Made(2), Asked(0), Made(1), Made(0)]);
        // A pass that follows begins with what was used last; one that begins elsewhere goes up too.
        assert_eq!(uses(&[0, 1]), [Asked(2), Made(1)]);
        assert_eq!(uses(&[3, 1, 2]), [Made(3), Asked(2), Made(1), Asked(3), Made(2)]);
    }

    #[test]
    fn nothing_is_asked_for_where_the_system_keeps_the_files_at_hand_and_blocks_are_asked_for_once_where_they_are_scaled() {
        let (weights, said) = recorded(3);
        (0..3).for_each(|l| drop(weights.block(l)));
        assert_eq!(said(), [Made(0), Made(1), Made(2)]);
        let scaled = weights.reading_ahead().gated(0.5);
        drop(scaled.block(1));
        assert_eq!(said(), [Asked(2), Made(1)]);
    }

    #[test]
    fn where_a_block_was_in_memory_the_next_ones_are_left_alone_for_a_while() {
        let (weights, said) = recorded(3);
        let weights = weights.reading_ahead();
        weights.ahead.as_ref().expect("ahead").rest.store(2, Ordering::Relaxed);
        for layer in [0, 0, 1, 2, 1] {
            drop(weights.block(layer));
        }
        // Two steps rest, the third has the head above it, and the fourth goes down.
        assert_eq!(said(), [Made(0), Made(1), Made(2), Asked(0), Made(1)]);
    }

    /// Looks whether the block that was used before is gone.
    struct Alone(Arc<Mutex<Weak<Block>>>);

    impl BlockSource for Alone {
        fn block(&self) -> Block {
            assert!(self.0.lock().expect("before").upgrade().is_none(), "two blocks at once");
            Block::default()
        }
        fn in_files(&self) -> Vec<FileRange> {
            Vec::new()
        }
    }

    #[test]
    fn reading_ahead_holds_no_second_block() {
        let before: Arc<Mutex<Weak<Block>>> = Arc::default();
        let source = |_| -> Arc<dyn BlockSource> { Arc::new(Alone(before.clone())) };
        let embedding = BTreeMap::from([(Role::Embedding, Tensor::zeros(vec![1, 1]))]);
        let weights = Weights::stored((0..3).map(source).collect(), embedding).expect("weights").reading_ahead();
        for layer in [0, 1, 2, 2, 1, 0] {
            let block = weights.block(layer);
            *before.lock().expect("before") = Arc::downgrade(&block);
        }
    }
}
