//! Where scans run: what was asked for, what there is, and what `auto` makes of it.

use crate::{
    base::{Ctx, Error, Result},
    compute::{
        Backend, ScanDevice,
        wgpu::{self, AdapterFacts, GpuScan, Trial, TrialShape},
    },
    model::{Decoder, DecoderSpec},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

/// Where the fused scan runs; forward and backward are the processor's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// A graphics card where it is faster, transfers included; otherwise the processor.
    #[default]
    Auto,
    Cpu,
    /// A graphics card: by its number in the list of devices, or the first that works.
    Gpu(Option<usize>),
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu(None) => f.write_str("gpu"),
            Self::Gpu(Some(n)) => write!(f, "gpu:{n}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |n: &str| n.parse().ok().map(|n| Self::Gpu(Some(n)));
        match text {
            "auto" => Some(Self::Auto),
            "cpu" => Some(Self::Cpu),
            "gpu" => Some(Self::Gpu(None)),
            _ => text.strip_prefix("gpu:").and_then(number),
        }
        .ok_or_else(|| format!("`{text}` is no device; expected auto, cpu, gpu or gpu:N as `brodmann devices` lists them"))
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(device: DeviceChoice) -> Self {
        device.to_string()
    }
}

/// What `brodmann devices` says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceReport {
    pub cpu: String,
    pub adapters: Vec<DeviceRow>,
    /// What `auto` stands for, for the matrix of the race.
    #[serde(serialize_with = "as_text")]
    pub auto: DeviceChoice,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceRow {
    #[serde(flatten)]
    pub facts: AdapterFacts,
    pub software: bool,
    pub usable: bool,
    /// The race against the processor, where one was held.
    pub trial: Option<Trial>,
}

fn as_text<S: serde::Serializer>(device: &DeviceChoice, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(device)
}

/// The matrix raced over without a model: the widest of a model with 135 million parameters.
const USUAL: TrialShape = TrialShape { out: 1536, input: 576, samples: 8, tokens: 128 };

/// What there is, and what `auto` would take.
///
/// # Errors
/// When cancelled.
pub(super) fn report(cpu: &dyn Backend, ctx: &Ctx<'_>) -> Result<DeviceReport> {
    let auto = auto(cpu, USUAL, wgpu::adapters().iter().map(|a| &a.facts), ctx)?;
    let row = |facts: &AdapterFacts| DeviceRow {
        facts: facts.clone(),
        software: facts.is_software(),
        usable: facts.problem.is_none(),
        trial: auto.trials.iter().find(|(n, _)| *n == facts.index).map(|(_, t)| *t),
    };
    let adapters = wgpu::adapters().iter().map(|a| row(&a.facts)).collect();
    Ok(DeviceReport { cpu: cpu.device(), adapters, auto: auto.choice, why: auto.why })
}

/// What `work` makes of the decoder with its scans where they were asked for, and the word that asks for that place again; `None` where `auto` does.
/// A card that `auto` took and that fails on the way, which others may bring about, loses nobody a scan: the processor makes it from the beginning.
///
/// # Errors
/// When the card asked for is not there, cannot be opened or fails, or on a cancel; those of `work`.
pub(super) fn on_device<T>(
    decoder: Decoder,
    choice: DeviceChoice,
    ctx: &Ctx<'_>,
    work: impl Fn(&Decoder) -> Result<T>,
) -> Result<(T, Option<DeviceChoice>)> {
    let (decoder, again) = placed(decoder, choice, ctx)?;
    or_on_processor(decoder, choice, again, work)
}

fn or_on_processor<T>(
    decoder: Decoder,
    choice: DeviceChoice,
    again: Option<DeviceChoice>,
    work: impl Fn(&Decoder) -> Result<T>,
) -> Result<(T, Option<DeviceChoice>)> {
    match work(&decoder) {
        Err(e @ Error::Device { .. }) if choice == DeviceChoice::Auto && decoder.scan_device().is_some() => {
            tracing::warn!("{e}; the scan begins anew on the processor");
            let cpu = DeviceChoice::Cpu;
            Ok((work(&decoder.with_scan_device(None))?, Some(cpu)))
        }
        done => Ok((done?, again)),
    }
}

/// The decoder with its scans where they were asked for, and the word that asks for that place again.
fn placed(decoder: Decoder, choice: DeviceChoice, ctx: &Ctx<'_>) -> Result<(Decoder, Option<DeviceChoice>)> {
    let (chosen, again) = match choice {
        DeviceChoice::Cpu => (choice, Some(choice)),
        DeviceChoice::Gpu(index) => (choice, Some(DeviceChoice::Gpu(Some(wgpu::find(index)?.facts.index)))),
        DeviceChoice::Auto if !wgpu::may_have_card() => (DeviceChoice::Cpu, None),
        DeviceChoice::Auto => {
            let shape = shape_of(&decoder.model.spec);
            let auto = auto(&*decoder.backend, shape, wgpu::adapters().iter().map(|a| &a.facts), ctx)?;
            tracing::info!("--device auto takes {}: {}", auto.choice, auto.why);
            (auto.choice, (auto.choice != DeviceChoice::Cpu).then_some(auto.choice))
        }
    };
    let device: Option<Arc<dyn ScanDevice>> = match chosen {
        DeviceChoice::Gpu(index) => {
            let card = card(wgpu::find(index)?.facts.index)?;
            if card.facts().is_software() {
                tracing::warn!("{} computes on the processor: --device cpu is faster", card.name());
            }
            Some(card)
        }
        _ => None,
    };
    Ok((decoder.with_scan_device(device), again))
}

fn shape_of(spec: &DecoderSpec) -> TrialShape {
    TrialShape::like(spec.d_mlp, spec.d_model)
}

struct Auto {
    choice: DeviceChoice,
    why: String,
    trials: Vec<(usize, Trial)>,
}

/// Never a software adapter; a real card only if it wins a race.
fn auto<'a>(cpu: &dyn Backend, shape: TrialShape, facts: impl Iterator<Item = &'a AdapterFacts>, ctx: &Ctx<'_>) -> Result<Auto> {
    let (mut real, mut any) = (None, false);
    for f in facts {
        any = true;
        if f.problem.is_none() && !f.is_software() && real.is_none() {
            real = Some(f);
        }
    }
    let stay = |why: String| Auto { choice: DeviceChoice::Cpu, why, trials: Vec::new() };
    let Some(facts) = real else {
        return Ok(stay(if any { "there is no graphics card that can run the kernels" } else { "there is no graphics adapter" }.into()));
    };
    let raced = match trial(cpu, shape, facts.index, ctx) {
        Ok(raced) => raced,
        Err(Error::Cancelled) => return Err(Error::Cancelled),
        Err(e) => {
            tracing::warn!("gpu:{}: {e}", facts.index);
            return Ok(stay(format!("gpu:{} failed: {e}", facts.index)));
        }
    };
    let choice = if raced.card_wins() { DeviceChoice::Gpu(Some(facts.index)) } else { DeviceChoice::Cpu };
    let why = format!(
        "gpu:{} takes {:.1} ms with transfers, the processor {:.1} ms, for a matrix of {} x {} and {} samples of {} tokens",
        facts.index, raced.card_ms, raced.cpu_ms, shape.out, shape.input, shape.samples, shape.tokens
    );
    Ok(Auto { choice, why, trials: vec![(facts.index, raced)] })
}

/// One race a process for each card, shape and arithmetic of the processor.
fn trial(cpu: &dyn Backend, shape: TrialShape, index: usize, ctx: &Ctx<'_>) -> Result<Trial> {
    type Raced = (usize, TrialShape, &'static str);
    static TRIALS: Mutex<Option<HashMap<Raced, Trial>>> = Mutex::new(None);
    let mut trials = TRIALS.lock().unwrap_or_else(PoisonError::into_inner);
    let trials = trials.get_or_insert_default();
    let key = (index, shape, cpu.arithmetic());
    if let Some(known) = trials.get(&key) {
        return Ok(*known);
    }
    let raced = wgpu::race(&*card(index)?, cpu, shape, &|| ctx.check())?;
    trials.insert(key, raced);
    Ok(raced)
}

/// Cards stay open for the next scan; a lost one is opened anew.
fn card(index: usize) -> Result<Arc<GpuScan>> {
    static CARDS: Mutex<Option<HashMap<usize, Arc<GpuScan>>>> = Mutex::new(None);
    let mut cards = CARDS.lock().unwrap_or_else(PoisonError::into_inner);
    let cards = cards.get_or_insert_default();
    if let Some(open) = cards.get(&index).filter(|c| !c.is_lost()) {
        return Ok(open.clone());
    }
    let opened = Arc::new(GpuScan::open(Some(index))?);
    cards.insert(index, opened.clone());
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::job::silently,
        compute::{ScanJob, ScanSums, cpu::CpuBackend, wgpu::AdapterKind},
        model::load_model,
    };

    /// A card that is lost when it is asked for something.
    struct Torn;

    impl ScanDevice for Torn {
        fn name(&self) -> String {
            "torn card".into()
        }
        fn scan(&self, _: &[ScanJob<'_>], _: &dyn Fn() -> Result<()>) -> Result<Vec<ScanSums>> {
            Err(Error::device(self.name(), "the device was lost"))
        }
    }

    #[test]
    fn a_card_that_fails_loses_a_scan_only_to_who_asked_for_it() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama");
        let model = silently(|ctx| load_model(&folder, ctx)).expect("fixture");
        let decoder = Decoder::new(Arc::new(model), Arc::new(CpuBackend::new(Some(1)))).with_scan_device(Some(Arc::new(Torn)));
        let card = DeviceChoice::Gpu(Some(0));
        let scan = |choice, again| {
            or_on_processor(decoder.clone(), choice, again, |d| match d.scan_device() {
                Some(device) => device.scan(&[], &|| Ok(())).map(|_| d.scan_place()),
                None => Ok(d.scan_place()),
            })
        };
        let (place, again) = scan(DeviceChoice::Auto, Some(card)).expect("the processor takes over");
        assert!(place.starts_with("cpu") && again == Some(DeviceChoice::Cpu), "{place}, {again:?}");
        let lost = scan(card, Some(card)).expect_err("a card that was asked for").to_string();
        assert!(lost.contains("torn card") && lost.contains("lost"), "{lost}");
        // What is no fault of the card is no reason to begin anew.
        let other = or_on_processor(decoder.clone(), DeviceChoice::Auto, None, |_| Err::<(), _>(Error::Cancelled));
        assert!(other.is_err_and(|e| e.is_cancelled()));
    }

    #[test]
    fn a_device_reads_as_it_is_written() {
        for (text, device) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("gpu", DeviceChoice::Gpu(None)),
            ("gpu:12", DeviceChoice::Gpu(Some(12))),
        ] {
            assert_eq!((text.parse(), device.to_string().as_str()), (Ok(device), text));
            assert_eq!(serde_json::to_string(&device).expect("json"), format!("\"{text}\""));
        }
        for bad in ["", "gpu:", "gpu:x", "cuda", "GPU"] {
            assert!(bad.parse::<DeviceChoice>().is_err_and(|e| e.contains("gpu:N")), "{bad}");
        }
    }

    #[test]
    fn auto_never_takes_a_software_adapter_or_one_that_cannot_run() {
        let facts = |kind, problem: Option<&str>| AdapterFacts {
            index: 0,
            name: "card".into(),
            backend: "Vulkan".into(),
            kind,
            driver: String::new(),
            max_buffer_bytes: 1 << 30,
            max_binding_bytes: 1 << 30,
            workgroup_bytes: 1 << 15,
            problem: problem.map(str::to_owned),
        };
        let cpu = CpuBackend::new(Some(1));
        let pick = |list: &[AdapterFacts]| silently(|ctx| auto(&cpu, USUAL, list.iter(), ctx)).expect("auto");
        let none = pick(&[]);
        assert_eq!((none.choice, none.why.as_str()), (DeviceChoice::Cpu, "there is no graphics adapter"));
        let made_up = pick(&[facts(AdapterKind::Software, None), facts(AdapterKind::Discrete, Some("too small"))]);
        assert_eq!(made_up.choice, DeviceChoice::Cpu);
        assert!(made_up.trials.is_empty() && made_up.why.contains("no graphics card"));
    }
}
