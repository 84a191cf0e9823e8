//! How long a toggle takes against evaluating everything again: by the layer of the toggled neurons, medians of interleaved rounds.
//!
//! `cargo bench --bench ablation` takes the demo's model and 64 questions of each of two of its domains;
//! `-- --model FOLDER --data FILE [--items 64] [--rounds 7] [--layers 0,15,29]` takes others. Full passes are timed twice, both running every layer
//! over every token: `plain` reads every choice as a sequence of its own, `shared` lets choices and questions share what they can.
//!
//! `--serve MODEL DATA ITEMS THREADS` is our half of benches/peers/ablation_vs_pytorch.py: prints what is scored, then for every line on stdin
//! (`plain L`, `shared L`, `toggle L`) one evaluation's seconds and log-likelihoods.

use brodmann::{
    ablate::{EvalSession, SessionLimits},
    base::{CancelToken, Ctx, Error, Head, Neuron, NeuronSet, Result, job::silently},
    compute::cpu::{BigBlocks, CpuBackend},
    data::{
        Domain, Item, Mapping,
        demo::{self, Split, model_files},
        open_domain,
    },
    eval::{AblationMode, Intervention, ItemScore, Limits, Sharing, Step, Switch, SwitchHooks, encode_pair, prepare, prompt_text},
    model::{Decoder, NoHooks, load_embedded, load_model},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::BufRead as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

#[global_allocator]
static MEMORY: BigBlocks = BigBlocks;

/// Neurons that a toggle switches.
const NEURONS: u32 = 32;

fn main() -> Result<()> {
    silently(|ctx| {
        let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
        if let Some(at) = args.iter().position(|a| a == "--serve") {
            let [model, data, items, threads, ..] = &args[at + 1..] else {
                return Err(Error::invalid("--serve MODEL DATA ITEMS THREADS"));
            };
            let number = |text: &str| text.parse().map_err(|_| Error::invalid(format!("`{text}` is no number")));
            return serve(&Subject::open(model, data, number(items)?, Some(number(threads)?), ctx)?, ctx);
        }
        let flag = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)).map(String::as_str);
        let number = |name: &str, default: usize| flag(name).and_then(|n| n.parse().ok()).unwrap_or(default);
        let data: Vec<&str> = flag("--data").map_or_else(|| vec!["demo:arithmetic", "demo:facts"], |d| vec![d]);
        for data in data {
            let subject = Subject::open(flag("--model").unwrap_or("demo"), data, number("--items", 64), None, ctx)?;
            let all = 0..subject.decoder.model.spec.n_layers;
            let layers = flag("--layers").map_or_else(|| all.collect(), |l| l.split(',').filter_map(|n| n.parse().ok()).collect());
            table(&subject, data, layers, number("--rounds", 7), ctx)?;
        }
        Ok(())
    })
}

/// A model and the questions it is asked.
struct Subject {
    decoder: Decoder,
    domain: Domain,
    plain: Vec<Step>,
    shared: Vec<Step>,
    session: EvalSession,
}

impl Subject {
    fn open(model: &str, data: &str, items: usize, threads: Option<usize>, ctx: &Ctx<'_>) -> Result<Self> {
        let loaded = match model {
            "demo" => load_embedded("demo", model_files::CONFIG, model_files::TOKENIZER, model_files::WEIGHTS, ctx)?,
            folder => load_model(Path::new(folder), ctx)?,
        };
        let decoder = Decoder::new(Arc::new(loaded), Arc::new(CpuBackend::new(threads)));
        let mut domain = match data.strip_prefix("demo:") {
            Some(name) => demo::domain(name, Split::Test)?,
            None => open_domain("data", Path::new(data), &Mapping::default(), ctx)?,
        };
        domain.items.truncate(items);
        let steps = |share| {
            let limits = Limits { share, ..Limits::default() };
            let spec = &decoder.model.spec;
            prepare(&domain.name, domain.kind, &domain.items, &decoder.model.tokenizer, spec, limits, ctx)
        };
        let (plain, shared) = (steps(Sharing::Nothing)?, steps(Sharing::Questions)?);
        let limits = SessionLimits { cache_bytes: 4 << 30, ..SessionLimits::default() };
        let session = EvalSession::new(decoder.clone(), &domain.name, domain.kind, &domain.items, limits, ctx)?;
        Ok(Self { decoder, domain, plain, shared, session })
    }

    /// Every layer over every token.
    fn full(&self, steps: &[Step], change: &Intervention, ctx: &Ctx<'_>) -> Result<Vec<ItemScore>> {
        let spec = &self.decoder.model.spec;
        let switch = Switch::new(change, spec)?;
        let mut scores = Vec::new();
        for step in steps {
            let mut resid = self.decoder.embed(&step.batch, &mut NoHooks)?;
            let mut hooks = SwitchHooks::one(&switch, &step.tags);
            for layer in 0..spec.n_layers {
                self.decoder.block_forward(layer, &step.batch, &mut resid, None, &mut hooks)?;
            }
            scores.extend(step.scores(&self.decoder, &resid, ctx)?);
        }
        Ok(scores)
    }

    fn run(&self, what: &str, layer: usize, ctx: &Ctx<'_>) -> Result<(f64, Vec<ItemScore>)> {
        let change = match what {
            "head" => Intervention::new(NeuronSet::new(), BTreeSet::from([Head::new(layer as u32, 0)]), AblationMode::Zero),
            _ => Intervention::new(neurons(layer), BTreeSet::new(), AblationMode::Zero),
        };
        let start = Instant::now();
        let scores = match what {
            "plain" => self.full(&self.plain, &change, ctx)?,
            "shared" => self.full(&self.shared, &change, ctx)?,
            _ => self.session.evaluate(Some(&change), ctx, &mut |_| {})?.items,
        };
        Ok((start.elapsed().as_secs_f64(), scores))
    }
}

fn neurons(layer: usize) -> NeuronSet {
    (0..NEURONS).map(|i| Neuron::new(layer as u32, i)).collect()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Times every toggle and both full passes in turns, and holds the scores against each other.
fn table(subject: &Subject, data: &str, layers: Vec<usize>, rounds: usize, ctx: &Ctx<'_>) -> Result<()> {
    let Subject { decoder, domain, session, .. } = subject;
    let tokens = |steps: &[Step]| steps.iter().map(|s| s.batch.n_tokens()).sum::<usize>();
    println!(
        "{}, {data}: {} items, {} tokens plain, {} shared; {} on {}; median of {rounds} rounds",
        decoder.model.info.name,
        domain.items.len(),
        tokens(&subject.plain),
        tokens(&subject.shared),
        counted(),
        decoder.backend.device(),
    );
    let start = Instant::now();
    session.evaluate(None, ctx, &mut |_| {})?;
    println!(
        "first evaluation, which fills the cache: {:.1} ms, {} MB kept",
        start.elapsed().as_secs_f64() * 1e3,
        session.cached_bytes() >> 20
    );
    // The middle layers' own reading is kept on the first toggle there.
    let (mut plain, mut shared) = (Vec::new(), Vec::new());
    let mut toggles = vec![(Vec::new(), Vec::new()); layers.len()];
    let mut worst = 0.0f64;
    for round in 0..=rounds {
        let layer = layers[round % layers.len()];
        let (p, full) = subject.run("plain", layer, ctx)?;
        let (s, _) = subject.run("shared", layer, ctx)?;
        if round > 0 {
            plain.push(p);
            shared.push(s);
        }
        for (i, &l) in layers.iter().enumerate() {
            let (neurons, scores) = subject.run("toggle", l, ctx)?;
            let (head, _) = subject.run("head", l, ctx)?;
            if l == layer {
                worst = worst.max(difference(&scores, &full));
            }
            if round > 0 {
                toggles[i].0.push(neurons);
                toggles[i].1.push(head);
            }
        }
    }
    let (plain, shared) = (median(plain), median(shared));
    println!(
        "full evaluation: plain {:.2} ms, shared {:.2} ms; largest difference of a log-likelihood {worst:.1e}",
        plain * 1e3,
        shared * 1e3
    );
    println!("layer   neurons ms   x plain   x shared   |   a head ms   x plain   x shared");
    let mut mean = 0.0;
    for (l, (neurons, head)) in layers.iter().zip(toggles) {
        let (n, h) = (median(neurons), median(head));
        mean += n / layers.len() as f64;
        println!(
            "{l:>5}   {:>10.2}   {:>7.1}   {:>8.1}   |   {:>9.2}   {:>7.1}   {:>8.1}",
            n * 1e3,
            plain / n,
            shared / n,
            h * 1e3,
            plain / h,
            shared / h
        );
    }
    let felt = cancels(subject, layers[0], 15)?;
    println!(" mean   {:>10.2}   {:>7.1}   {:>8.1}   (full over the mean time of a toggle)", mean * 1e3, plain / mean, shared / mean);
    println!(
        "a cancel is felt after {:.1} ms in the median, {:.1} ms at most\n",
        median(felt.clone()) * 1e3,
        felt.iter().fold(0.0, |m: f64, v| m.max(*v)) * 1e3
    );
    Ok(())
}

/// Seconds from a cancel, at points spread over a toggle, until its evaluation has ended.
fn cancels(subject: &Subject, layer: usize, times: usize) -> Result<Vec<f64>> {
    let (whole, _) = silently(|ctx| subject.run("toggle", layer, ctx))?;
    let mut felt = Vec::new();
    for i in 0..times {
        let cancel = CancelToken::default();
        let (asked, ended) = std::thread::scope(|scope| {
            let button = scope.spawn(|| {
                std::thread::sleep(Duration::from_secs_f64(whole * i as f64 / times as f64));
                cancel.cancel();
                Instant::now()
            });
            let outcome = subject.run("toggle", layer, &Ctx::new(&cancel, &|_| {}));
            let ended = Instant::now();
            // A cancel that came too late ends nothing.
            (button.join().ok(), outcome.is_err_and(|e| e.is_cancelled()).then_some(ended))
        });
        felt.extend(asked.zip(ended).map(|(asked, ended)| ended.saturating_duration_since(asked).as_secs_f64()));
    }
    if felt.is_empty() { Err(Error::invalid("no cancel came in time")) } else { Ok(felt) }
}

fn counted() -> String {
    format!("{NEURONS} neurons, or a head, of one layer set to 0")
}

fn difference(a: &[ItemScore], b: &[ItemScore]) -> f64 {
    let all = |s: &[ItemScore]| s.iter().flat_map(|i| i.log_likelihoods.clone()).collect::<Vec<f64>>();
    all(a).iter().zip(all(b)).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
}

fn serve(subject: &Subject, ctx: &Ctx<'_>) -> Result<()> {
    let Subject { decoder, domain, session, .. } = subject;
    let spec = &decoder.model.spec;
    let choices = |item: &Item| -> Result<Value> {
        let choice = |c: usize| {
            let prompt = prompt_text(&decoder.model.tokenizer, item, c)?;
            let pair = encode_pair(&decoder.model.tokenizer, &prompt, &item.continuation(c), Limits::default().max_tokens)?;
            Ok(json!({ "tokens": pair.tokens, "from": pair.from }))
        };
        (0..item.choices.len()).map(choice).collect::<Result<Vec<_>>>().map(Value::from)
    };
    let items = domain.items.iter().map(choices).collect::<Result<Vec<_>>>()?;
    session.evaluate(None, ctx, &mut |_| {})?;
    println!("{}", json!({ "device": decoder.backend.device(), "layers": spec.n_layers, "neurons": NEURONS, "items": items }));
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| Error::io("stdin", e))?;
        let Some((what, layer)) = line.split_once(' ').and_then(|(w, l)| Some((w, l.trim().parse::<usize>().ok()?))) else { continue };
        let (seconds, scores) = subject.run(what, layer, ctx)?;
        println!("{}", json!({ "seconds": seconds, "log_likelihoods": scores.iter().map(|s| &s.log_likelihoods).collect::<Vec<_>>() }));
    }
    Ok(())
}
