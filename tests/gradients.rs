//! Gradients of both objectives at every tap: against candle's autograd in f64, and against central differences of our own forward pass.

use brodmann::{
    base::{HookPoint, Result, rng::Rng},
    compute::{Activation, cpu::CpuBackend},
    model::{
        Batch, BlockNorm, BlockTape, Decoder, DecoderSpec, Hooks, Matrix, Model, ModelInfo, NoHooks, Objective, Role, RowsAt, Taps, Tensor,
        TextTokenizer, Weights,
        spec::{MlpSpec, NormSpec, PositionSpec, Residual, RopeScaling, RopeSpec, Sizes},
    },
};
use candle_core::{D, DType, Device, IndexOp as _, Tensor as Candle, Var};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, OnceLock},
};

const EPS: f32 = 1e-5;

/// Grouped queries, heads whose widths do not add up to the model's; with `rich` also every bias, an untied head and scaled rotation.
fn spec(rich: bool) -> DecoderSpec {
    let sizes = Sizes { n_layers: 3, d_model: 24, d_mlp: 40, vocab: 50, max_positions: 64, n_heads: 4, n_kv_heads: 2, head_dim: 8 };
    let mut spec = DecoderSpec { tied_head: !rich, ..DecoderSpec::llama(sizes) };
    if rich {
        spec.attention.qkv_bias = true;
        spec.attention.out_bias = true;
        spec.mlp = MlpSpec::Gated { act: Activation::Silu, bias: true };
        let scaling = RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_positions: 16 };
        spec.positions = PositionSpec::Rope { rope: RopeSpec { scaling, ..RopeSpec::plain(10_000.0, 8) }, local: None };
    }
    spec
}

/// Between them every option that a family can set.
fn variants() -> Vec<(&'static str, DecoderSpec)> {
    let mut gemma = spec(false);
    gemma.norm = NormSpec { gain_offset: 1.0, ..NormSpec::rms(1e-5) };
    gemma.residual = Residual::Sandwich;
    gemma.attention.qk_norm = true;
    gemma.attention.soft_cap = Some(3.0);
    gemma.attention.scale = 0.5;
    gemma.attention.windows = vec![Some(3), None, Some(5)];
    gemma.positions = PositionSpec::Rope { rope: RopeSpec::plain(1e6, 8), local: Some(RopeSpec::plain(1e4, 8)) };
    gemma.mlp = MlpSpec::Gated { act: Activation::GeluTanh, bias: false };
    gemma.embedding.scale = 4.9;
    gemma.logit_soft_cap = Some(6.0);

    let mut gpt2 = spec(true);
    gpt2.norm = NormSpec::layer(1e-5);
    gpt2.mlp = MlpSpec::Plain { act: Activation::Gelu, bias: true };
    gpt2.positions = PositionSpec::Learned { offset: 0 };
    gpt2.attention.scale_by_layer = true;
    gpt2.tied_head = true;

    let mut neox = spec(true);
    neox.norm = NormSpec::layer(1e-5);
    neox.mlp = MlpSpec::Plain { act: Activation::QuickGelu, bias: true };
    neox.residual = Residual::Parallel;
    let yarn = RopeScaling::Yarn {
        factor: 4.0,
        beta_fast: 32.0,
        beta_slow: 1.0,
        original_max_positions: 16,
        attention_factor: 1.2,
        truncate: true,
    };
    neox.positions = PositionSpec::Rope { rope: RopeSpec { theta: 100.0, dims: 4, scaling: yarn }, local: None };

    // One sequence of the batch is longer than 8 and turns by the other factors.
    let mut phi = spec(false);
    let long = RopeScaling::LongRope {
        short: vec![1.0, 1.1, 1.3, 2.0],
        long: vec![1.5, 3.0, 5.0, 9.0],
        original_max_positions: 8,
        attention_factor: 1.1,
    };
    phi.positions = PositionSpec::Rope { rope: RopeSpec { scaling: long, ..RopeSpec::plain(1e4, 8) }, local: None };

    let mut opt = gpt2.clone();
    // Not by its own ReLU: differences would reach over its corner.
    opt.positions = PositionSpec::Learned { offset: 2 };
    opt.residual = Residual::PostNorm;
    opt.embedding.width = 10;
    opt.final_norm = false;
    vec![
        ("plain llama", spec(false)),
        ("rich llama", spec(true)),
        ("gemma", gemma),
        ("gpt2", gpt2),
        ("neox", neox),
        ("phi", phi),
        ("opt", opt),
    ]
}

/// Weights large enough that every part of the model matters to the result.
fn model(spec: DecoderSpec) -> Model {
    let mut rng = Rng::new(11);
    let weights = Weights::build(&spec, |role, shape| {
        let (mean, deviation) = match role {
            Role::Embedding | Role::Head | Role::Positions => (0.0, 0.5),
            Role::Norm(..) | Role::NormFinal => (1.0 - f64::from(spec.norm.gain_offset), 0.2),
            Role::Weight(..) | Role::ProjectIn | Role::ProjectOut => (0.0, 1.0 / (shape[1] as f64).sqrt()),
            Role::Bias(..) | Role::NormBias(..) | Role::NormFinalBias => (0.0, 0.2),
        };
        let n = shape.iter().product();
        Ok(Tensor::new(shape, (0..n).map(|_| (mean + deviation * rng.normal()) as f32).collect()))
    })
    .expect("weights");
    let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama/tokenizer.json");
    let info = ModelInfo {
        name: "random".into(),
        folder: "random".into(),
        model_type: "llama".into(),
        n_params: spec.n_params(),
        dtype: "f32".into(),
        size_bytes: 0,
        sha256: String::new(),
    };
    Model { info, spec, weights, tokenizer: TextTokenizer::from_file(&tokenizer).expect("tokenizer") }
}

fn decoder(rich: bool) -> Decoder {
    decoder_of(spec(rich))
}

fn decoder_of(spec: DecoderSpec) -> Decoder {
    static BACKEND: OnceLock<Arc<CpuBackend>> = OnceLock::new();
    let backend = BACKEND.get_or_init(|| Arc::new(CpuBackend::new(None))).clone();
    Decoder::new(Arc::new(model(spec)), backend)
}

fn batch() -> Batch {
    let mut rng = Rng::new(5);
    Batch::new(&[9usize, 1, 14, 4].map(|n| (0..n).map(|_| rng.below(50) as u32).collect::<Vec<_>>()))
}

/// One token has nothing to predict, so its sequence takes the other objective.
fn objectives(loss: bool) -> Vec<Objective> {
    if loss {
        vec![Objective::Loss { from: 1 }, Objective::MaxLogit, Objective::Loss { from: 9 }, Objective::Loss { from: 3 }]
    } else {
        vec![Objective::MaxLogit; 4]
    }
}

/// Everything that a backward pass shows, with weight gradients formed as `delta^T x` in f64.
struct Collector {
    spec: DecoderSpec,
    weights: BTreeMap<Role, Vec<f64>>,
    small: BTreeMap<Role, Vec<f32>>,
    activations: BTreeMap<HookPoint, Vec<f32>>,
}

impl Collector {
    fn new(spec: &DecoderSpec) -> Self {
        let small = spec.roles().into_iter().filter(|r| !matches!(r, Role::Weight(..)));
        let small = small.map(|r| (r, vec![0.0; spec.shape(r).expect("shape").iter().product()])).collect();
        Self { spec: spec.clone(), weights: BTreeMap::new(), small, activations: BTreeMap::new() }
    }
    fn gradient(&self, role: Role) -> Vec<f64> {
        self.weights.get(&role).cloned().unwrap_or_else(|| self.small[&role].iter().map(|&v| f64::from(v)).collect())
    }
}

impl Taps for Collector {
    fn linear(&mut self, layer: usize, m: Matrix, x: &[f32], delta: &[f32]) -> Result<()> {
        let (rows, cols) = self.spec.matrix_shape(m);
        let mut g = vec![0f64; rows * cols];
        for (x, delta) in x.chunks_exact(cols).zip(delta.chunks_exact(rows)) {
            for (row, &d) in g.chunks_exact_mut(cols).zip(delta) {
                row.iter_mut().zip(x).for_each(|(g, &x)| *g += f64::from(d) * f64::from(x));
            }
        }
        assert!(self.weights.insert(Role::Weight(layer, m), g).is_none(), "{m} of layer {layer} fired twice");
        Ok(())
    }
    fn activation(&mut self, point: HookPoint, values: &[f32], gradient: &[f32]) -> Result<()> {
        assert_eq!(values.len(), gradient.len());
        assert!(self.activations.insert(point, gradient.to_vec()).is_none(), "{point} fired twice");
        Ok(())
    }
    fn parameter(&mut self, role: Role) -> Option<&mut [f32]> {
        assert!(self.small.contains_key(&role), "asked for {role}, which the model does not have");
        self.small.get_mut(&role).map(Vec::as_mut_slice)
    }
}

/// Sum of the objectives and every gradient of it.
fn ours(decoder: &Decoder, batch: &Batch, objectives: &[Objective]) -> (f64, Collector) {
    let spec = &decoder.model.spec;
    let mut seen = Collector::new(spec);
    let mut resid = decoder.embed(batch, &mut NoHooks).expect("embed");
    let mut tapes = Vec::new();
    for l in 0..spec.n_layers {
        let mut tape = BlockTape::default();
        decoder.block_forward(l, batch, &mut resid, Some(&mut tape), &mut NoHooks).expect("forward");
        tapes.push(tape);
    }
    let out = decoder.objective_with(batch, &resid, objectives, &mut seen).expect("objective");
    assert_eq!(decoder.objective(batch, &resid, objectives).expect("plain objective").values, out.values);
    let mut d = out.d_resid;
    // The lowest block of a pass shows the same, bit for bit.
    let mut lowest = Collector::new(spec);
    for l in (0..spec.n_layers).rev() {
        if l == 0 {
            decoder.block_backward(l, batch, &tapes[l], &mut d.clone(), false, &mut lowest).expect("backward of the lowest block");
        }
        decoder.block_backward(l, batch, &tapes[l], &mut d, true, &mut seen).expect("backward");
    }
    assert!(lowest.weights.len() == spec.matrices().len() && lowest.weights.iter().all(|(role, g)| seen.weights[role] == *g));
    assert!(lowest.activations.len() == 2 && lowest.activations.iter().all(|(point, g)| seen.activations[point] == *g));
    decoder.embed_backward(batch, &d, &mut seen);
    for l in 0..spec.n_layers {
        assert!(spec.matrices().iter().all(|&m| seen.weights.contains_key(&Role::Weight(l, m))), "a matrix of layer {l} did not fire");
        assert!(
            [HookPoint::MlpPost(l), HookPoint::Z(l)].iter().all(|p| seen.activations.contains_key(p)),
            "an activation of layer {l} did not fire"
        );
    }
    (out.values.iter().map(|&v| f64::from(v)).sum(), seen)
}

/// The same model out of candle's differentiable operations, in f64.
struct Oracle {
    weights: BTreeMap<Role, Var>,
    /// Zeros added at a hook point: their gradient is the gradient there.
    probes: BTreeMap<HookPoint, Vec<Var>>,
}

impl Oracle {
    fn new(model: &Model, batch: &Batch) -> Self {
        let spec = &model.spec;
        let var = |role: Role| {
            let t = model.weights.get(role).expect("tensor");
            let values: Vec<f64> = t.iter().map(|&v| f64::from(v)).collect();
            Var::from_vec(values, t.shape.clone(), &Device::Cpu).expect("var")
        };
        let weights = spec.roles().into_iter().map(|role| (role, var(role))).collect();
        let zeros = |width: usize| {
            let one = |i| Var::zeros((batch.span(i).len(), width), DType::F64, &Device::Cpu).expect("zeros");
            (0..batch.n_sequences()).map(one).collect::<Vec<_>>()
        };
        let probes = (0..spec.n_layers)
            .flat_map(|l| [(HookPoint::Z(l), zeros(spec.q_width())), (HookPoint::MlpPost(l), zeros(spec.d_mlp))])
            .collect();
        Self { weights, probes }
    }
    fn linear(&self, x: &Candle, l: usize, m: Matrix) -> candle_core::Result<Candle> {
        let y = x.matmul(&self.weights[&Role::Weight(l, m)].t()?)?;
        self.weights.get(&Role::Bias(l, m)).map_or(Ok(y.clone()), |b| y.broadcast_add(b))
    }
    fn norm(&self, x: &Candle, role: Role) -> candle_core::Result<Candle> {
        candle_nn::ops::rms_norm_slow(x, &self.weights[&role], EPS)
    }
    fn sequence(&self, spec: &DecoderSpec, s: usize, tokens: &[u32], objective: Objective) -> candle_core::Result<Candle> {
        let (t, a) = (tokens.len(), &spec.attention);
        // Independent of ours: theta^(-2i/d) in f64, scaled by the published piecewise rule.
        let rope = spec.rope(0).expect("rope");
        let frequency = |i: usize| {
            let f = rope.theta.powf(-2.0 * i as f64 / a.head_dim as f64);
            match rope.scaling {
                RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_positions } => {
                    let turns = original_max_positions as f64 * f / std::f64::consts::TAU;
                    let blend = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                    f * (blend + (1.0 - blend) / factor)
                }
                _ => f,
            }
        };
        let angles: Vec<f64> = (0..t).flat_map(|p| (0..a.head_dim / 2).map(move |i| p as f64 * frequency(i))).collect();
        let angles = Candle::from_vec(angles, (t, a.head_dim / 2), &Device::Cpu)?;
        let (cos, sin) = (angles.cos()?, angles.sin()?);
        let mask: Vec<f64> = (0..t * t).map(|i| if i % t > i / t { f64::NEG_INFINITY } else { 0.0 }).collect();
        let mask = Candle::from_vec(mask, (t, t), &Device::Cpu)?;
        let heads = |x: Candle, n: usize, turn: bool| -> candle_core::Result<Candle> {
            let x = x.reshape((1, t, n, a.head_dim))?.transpose(1, 2)?.contiguous()?;
            if turn { candle_nn::rotary_emb::rope_slow(&x, &cos, &sin) } else { Ok(x) }
        };

        let ids = Candle::new(tokens, &Device::Cpu)?;
        let mut resid = self.weights[&Role::Embedding].index_select(&ids, 0)?;
        for l in 0..spec.n_layers {
            let x = self.norm(&resid, Role::Norm(BlockNorm::Attn, l))?;
            let q = heads(self.linear(&x, l, Matrix::Q)?, a.n_heads, true)?;
            let k = heads(self.linear(&x, l, Matrix::K)?, a.n_kv_heads, true)?;
            let v = heads(self.linear(&x, l, Matrix::V)?, a.n_kv_heads, false)?;
            let mut z = Vec::new();
            for h in 0..a.n_heads {
                let shared = h / (a.n_heads / a.n_kv_heads);
                let scores = (q.i((0, h))?.matmul(&k.i((0, shared))?.t()?)? / (a.head_dim as f64).sqrt())?;
                z.push(candle_nn::ops::softmax(&(scores + &mask)?, D::Minus1)?.matmul(&v.i((0, shared))?)?);
            }
            let z = (Candle::cat(&z, 1)? + self.probes[&HookPoint::Z(l)][s].as_tensor())?;
            resid = (resid + self.linear(&z, l, Matrix::O)?)?;
            let x = self.norm(&resid, Role::Norm(BlockNorm::Mlp, l))?;
            let post = (self.linear(&x, l, Matrix::Gate)?.silu()? * self.linear(&x, l, Matrix::Up)?)?;
            let post = (post + self.probes[&HookPoint::MlpPost(l)][s].as_tensor())?;
            resid = (resid + self.linear(&post, l, Matrix::Down)?)?;
        }
        let head = self.weights.get(&Role::Head).unwrap_or(&self.weights[&Role::Embedding]);
        let logits = self.norm(&resid, Role::NormFinal)?.matmul(&head.t()?)?;
        match objective {
            Objective::MaxLogit => logits.i(t - 1)?.max(0),
            Objective::Loss { from } => {
                let targets = Candle::new(&tokens[from..], &Device::Cpu)?;
                candle_nn::loss::cross_entropy(&logits.narrow(0, from - 1, t - from)?, &targets)
            }
        }
    }
}

fn flat(t: &Candle) -> Vec<f64> {
    t.flatten_all().expect("flat").to_vec1::<f64>().expect("values")
}

/// Largest error in units of the largest reference value.
fn relative_error(ours: &[f64], reference: &[f64]) -> f64 {
    assert_eq!(ours.len(), reference.len());
    let scale = reference.iter().fold(0f64, |m, v| m.max(v.abs()));
    assert!(scale > 0.0, "a reference gradient of zeros tests nothing");
    ours.iter().zip(reference).map(|(a, b)| (a - b).abs()).fold(0.0, |m, e| if e.is_nan() { f64::INFINITY } else { m.max(e) }) / scale
}

#[test]
fn every_gradient_agrees_with_candle_autograd() {
    for (rich, loss) in [(true, true), (true, false), (false, true), (false, false)] {
        let (decoder, batch, objectives) = (decoder(rich), batch(), objectives(loss));
        let (value, mine) = ours(&decoder, &batch, &objectives);
        let spec = &decoder.model.spec;
        let oracle = Oracle::new(&decoder.model, &batch);
        let mut total = Candle::zeros((), DType::F64, &Device::Cpu).expect("zero");
        for (s, &objective) in objectives.iter().enumerate() {
            total = (total + oracle.sequence(spec, s, batch.sequence(s), objective).expect("oracle")).expect("sum");
        }
        let reference = total.to_scalar::<f64>().expect("value");
        assert!((value - reference).abs() <= 1e-5 * reference.abs(), "objective {value}, candle {reference}");
        let store = total.backward().expect("backward");
        let mut worst = (0.0, String::new());
        let mut check = |name: String, mine: &[f64], reference: &[f64]| {
            let error = relative_error(mine, reference);
            // f32 against f64: sums of some 50 products through three blocks.
            assert!(error <= 1e-5, "{name}: off by {error:.1e} (biases and untied head: {rich}, loss: {loss})");
            if error > worst.0 {
                worst = (error, name);
            }
        };
        for role in spec.roles() {
            let reference = store.get(oracle.weights[&role].as_tensor()).unwrap_or_else(|| panic!("candle has no gradient of {role}"));
            check(role.to_string(), &mine.gradient(role), &flat(reference));
        }
        for (point, probes) in &oracle.probes {
            let reference: Vec<f64> = probes.iter().flat_map(|p| flat(store.get(p.as_tensor()).expect("probe gradient"))).collect();
            let mine: Vec<f64> = mine.activations[point].iter().map(|&v| f64::from(v)).collect();
            check(point.to_string(), &mine, &reference);
        }
        println!("biases and untied head {rich}, loss {loss}: worst {:.1e} at {}", worst.0, worst.1);
    }
}

/// Adds `step * direction` at one point.
struct Nudge<'a> {
    point: Option<HookPoint>,
    direction: &'a [f64],
    step: f64,
}

impl Hooks for Nudge<'_> {
    fn wants(&self, point: HookPoint) -> bool {
        self.point == Some(point)
    }
    fn at(&mut self, _: HookPoint, _: &Batch, values: &mut [f32]) -> Result<()> {
        values.iter_mut().zip(self.direction).for_each(|(v, d)| *v += (self.step * d) as f32);
        Ok(())
    }
}

fn value(decoder: &Decoder, batch: &Batch, objectives: &[Objective], hooks: &mut dyn Hooks) -> f64 {
    let resid = decoder.forward(batch, hooks).expect("forward");
    decoder.objective(batch, &resid, objectives).expect("objective").values.iter().map(|&v| f64::from(v)).sum()
}

/// Along the gradient itself, and along random halves of it, the slope of D must be the sum of the squares of the gradient there.
#[test]
fn every_gradient_agrees_with_central_differences() {
    for ((name, spec), loss) in variants().into_iter().flat_map(|v| [(v.clone(), true), (v, false)]) {
        let variant = name;
        let (mut decoder, batch, objectives) = (decoder_of(spec), batch(), objectives(loss));
        let (_, mine) = ours(&decoder, &batch, &objectives);
        let spec = decoder.model.spec.clone();
        let mut rng = Rng::new(3);
        let mut worst = (0.0, String::new());
        enum Place {
            Tensor(Role),
            Point(HookPoint),
        }
        let points = (0..spec.n_layers).flat_map(|l| [HookPoint::Z(l), HookPoint::MlpPost(l)]).map(Place::Point);
        for place in spec.roles().into_iter().map(Place::Tensor).chain(points) {
            let (name, gradient) = match &place {
                Place::Tensor(role) => (role.to_string(), mine.gradient(*role)),
                Place::Point(point) => (point.to_string(), mine.activations[point].iter().map(|&v| f64::from(v)).collect()),
            };
            if gradient.iter().all(|g| g.abs() < 1e-6) {
                // A softmax does not feel what is added to all of its scores, unless positions turn it: the gradient is 0 but for rounding.
                let key_bias = matches!(place, Place::Tensor(Role::Bias(_, Matrix::K)));
                assert!(key_bias && spec.rope(0).is_none(), "{name}: no gradient ({variant}, loss {loss})");
                continue;
            }
            for half in 0..3 {
                let direction: Vec<f64> = gradient.iter().map(|&g| if half == 0 || rng.below(2) == 0 { g } else { 0.0 }).collect();
                let slope: f64 = direction.iter().map(|g| g * g).sum();
                // D moves by about 2 x 0.01: five hundred times the rounding of f32 sums near 10 (2e-6 each).
                let full = 0.01 / slope;
                let mut moved = |step: f64| match &place {
                    Place::Tensor(role) => {
                        let before = decoder.model.weights.get(*role).expect("tensor");
                        let tensor = decoder.model_mut().expect("only owner").weights.get_mut(*role).expect("tensor");
                        tensor.values_mut().iter_mut().zip(&direction).for_each(|(w, d)| *w += (step * d) as f32);
                        let value = value(&decoder, &batch, &objectives, &mut NoHooks);
                        *decoder.model_mut().expect("only owner").weights.get_mut(*role).expect("tensor") = before;
                        value
                    }
                    Place::Point(point) => {
                        value(&decoder, &batch, &objectives, &mut Nudge { point: Some(*point), direction: &direction, step })
                    }
                };
                let mut difference = |step: f64| (moved(step) - moved(-step)) / (2.0 * step);
                // Two steps, so that the third derivative drops out.
                let measured = (4.0 * difference(full / 2.0) - difference(full)) / 3.0;
                let error = (measured - slope).abs() / slope;
                // Measured: 2e-3 at worst, at a key bias whose effect is small beside the rounding of D; the others stay below 5e-4.
                assert!(error <= 5e-3, "{name}: slope {slope:.6e}, central difference {measured:.6e} ({variant}, loss {loss})");
                if error > worst.0 {
                    worst = (error, name.clone());
                }
            }
        }
        println!("{variant}, loss {loss}: worst {:.1e} at {}", worst.0, worst.1);
    }
}

#[test]
fn a_block_computed_and_gone_back_through_at_some_rows_gives_what_the_whole_gives() {
    let batch = batch();
    // Of four sequences: runs in the middle and at the end, one whole, none of the third's first tokens, two runs of the last.
    for rows in [vec![3usize, 4, 8, 9, 22, 24, 26], vec![8, 9, 23, 27], vec![0], (0..28).collect::<Vec<_>>()] {
        for (name, spec) in variants() {
            let decoder = decoder_of(spec);
            let spec = &decoder.model.spec;
            let (l, d, at) = (1, spec.d_model, RowsAt::new(&batch, rows.clone()));
            let mut rng = Rng::new(17);
            let resid: Vec<f32> = (0..batch.n_tokens() * d).map(|_| rng.normal() as f32).collect();
            let gradient: Vec<f32> = (0..batch.n_tokens())
                .flat_map(|r| (0..d).map(|_| if rows.contains(&r) { rng.normal() as f32 } else { 0.0 }).collect::<Vec<_>>())
                .collect();
            for onward in [true, false] {
                let run = |chosen: bool| {
                    let (mut resid, mut g, mut tape) = (resid.clone(), gradient.clone(), BlockTape::default());
                    let mut seen = Collector::new(spec);
                    if chosen {
                        decoder.block_forward_for(l, &batch, &mut resid, &at, &mut tape, &mut NoHooks).expect("forward");
                        decoder.block_backward_for(l, &batch, &at, &tape, &mut g, onward, &mut seen).expect("backward");
                    } else {
                        decoder.block_forward(l, &batch, &mut resid, Some(&mut tape), &mut NoHooks).expect("forward");
                        decoder.block_backward(l, &batch, &tape, &mut g, onward, &mut seen).expect("backward");
                    }
                    (at.of(&resid, d), g, seen)
                };
                let (resid_all, g_all, all) = run(false);
                let (resid_at, g_at, some) = run(true);
                assert_eq!(resid_all, resid_at, "{name}");
                assert!(!onward || g_all == g_at, "{name}: gradient of the block's input");
                assert_eq!(all.weights, some.weights, "{name}");
                assert_eq!(all.activations, some.activations, "{name}");
                // Sums over the same rows and zeros, which vector code may group otherwise: a few roundings of 28 terms.
                for (role, sum) in &all.small {
                    let error = sum.iter().zip(&some.small[role]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    let size = sum.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                    assert!(error <= 1e-5 * size, "{name}: {role} {error} of {size}");
                }
            }
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_is_an_error_that_names_where() {
    let decoder = decoder(false);
    let batch = batch();
    let mut resid = decoder.embed(&batch, &mut NoHooks).expect("embed");
    let mut tape = BlockTape::default();
    decoder.block_forward(0, &batch, &mut resid, Some(&mut tape), &mut NoHooks).expect("forward");
    for onward in [false, true] {
        let mut d = vec![1.0; resid.len()];
        d[24 * 3 + 7] = f32::INFINITY;
        let mut seen = Collector::new(&decoder.model.spec);
        let e = decoder.block_backward(0, &batch, &tape, &mut d, onward, &mut seen).expect_err("infinite").to_string();
        assert!(e.contains("gradient at blocks.0.mlp.hook_post") && e.contains("token 3"), "{e}");
    }
}

#[test]
fn a_logit_that_is_not_finite_is_an_error() {
    let decoder = decoder(false);
    let batch = batch();
    let mut resid = decoder.forward(&batch, &mut NoHooks).expect("forward");
    let last = resid.len() - 1;
    resid[last] = f32::NAN;
    let e = decoder.objective(&batch, &resid, &objectives(false)).err().expect("NaN").to_string();
    assert!(e.starts_with("logits: NaN"), "{e}");
}

#[test]
fn sequences_and_tokens_that_make_no_sense_are_refused() {
    let decoder = decoder(false);
    let refused = |batch: &Batch, words: &str| {
        let e = decoder.forward(batch, &mut NoHooks).expect_err(words).to_string();
        assert!(e.contains(words), "{e}");
    };
    refused(&Batch::new(&[vec![1u32, 50]]), "token 50 is outside");
    refused(&Batch::new(&[vec![0u32; 65]]), "65 tokens");
    refused(&Batch::new(&[vec![1u32], vec![]]), "sequence 1 of the batch has no tokens");
    let batch = Batch::new(&[vec![1u32, 2]]);
    let resid = decoder.forward(&batch, &mut NoHooks).expect("forward");
    for from in [0, 2, 3] {
        assert!(decoder.objective(&batch, &resid, &[Objective::Loss { from }]).is_err());
    }
    assert!(decoder.log_probs(&batch, &resid, &[0]).is_err() && decoder.log_probs(&batch, &resid, &[2]).is_err());
    // -log p of the second token is the loss from token 1.
    let (log_prob, _) = decoder.log_probs(&batch, &resid, &[1]).expect("scored")[0];
    let loss = decoder.objective(&batch, &resid, &[Objective::Loss { from: 1 }]).expect("loss").values[0];
    assert_eq!(-log_prob, loss);
}

/// Keeps what the down matrix read.
struct ReadByDown(Vec<f32>);

impl Taps for ReadByDown {
    fn wants_input(&self, _: usize, _: Matrix) -> bool {
        false
    }
    fn linear(&mut self, _: usize, matrix: Matrix, x: &[f32], _: &[f32]) -> Result<()> {
        if matrix == Matrix::Down {
            self.0 = x.to_vec();
        }
        Ok(())
    }
    fn activation(&mut self, _: HookPoint, _: &[f32], _: &[f32]) -> Result<()> {
        Ok(())
    }
}

/// What a tape does not keep is made again, but not over what a hook made of it; one tape serves both kinds of passes.
#[test]
fn taps_see_what_a_hook_made_of_the_neurons() {
    for (name, spec) in variants() {
        let (decoder, batch) = (decoder_of(spec), batch());
        let spec = &decoder.model.spec;
        let direction = vec![1.0; batch.n_tokens() * spec.d_mlp];
        let mut tape = BlockTape::default();
        let mut read = |point: Option<HookPoint>| {
            let mut hooks = Nudge { point, direction: &direction, step: 0.5 };
            let mut resid = decoder.embed(&batch, &mut NoHooks).expect("embed");
            decoder.block_forward(0, &batch, &mut resid, Some(&mut tape), &mut hooks).expect("forward");
            let mut taps = ReadByDown(Vec::new());
            decoder.block_backward(0, &batch, &tape, &mut vec![1.0; resid.len()], true, &mut taps).expect("backward");
            taps.0
        };
        let plain = read(None);
        assert!(read(Some(HookPoint::MlpPost(0))).iter().zip(&plain).all(|(moved, v)| *moved == v + 0.5), "{name}");
        assert!(read(None) == plain, "{name}");
    }
}
