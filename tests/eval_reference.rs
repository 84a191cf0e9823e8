//! Scores against values that transformers computed (scripts/reference/eval_reference.py), with and without ablation.

use brodmann::{
    base::{Head, NeuronSet, job::silently},
    compute::cpu::CpuBackend,
    data::{Domain, Mapping, open_domain},
    eval::{AblationMode, DomainScore, EvalConfig, Intervention, Means, evaluate, means},
    model::{Decoder, load_model},
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// f32 forward passes of two programs differ in rounding: a sum of up to 60 log-probabilities stays within this.
const TOLERANCE: f64 = 1e-4;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn domain(name: &str) -> Domain {
    silently(|ctx| open_domain(name, &fixture("data").join(name), &Mapping::default(), ctx)).expect("domain")
}

fn intervention(run: &Value, of: &Means) -> Option<Intervention> {
    let a = run["ablation"].as_object()?;
    let neurons: NeuronSet = serde_json::from_value(a["neurons"].clone()).expect("neurons");
    let heads = a["heads"]
        .as_array()
        .expect("heads")
        .iter()
        .map(|h| Head::new(h[0].as_u64().expect("layer") as u32, h[1].as_u64().expect("head") as u32));
    let mode = match a["mode"].as_str().expect("mode") {
        "zero" => AblationMode::Zero,
        "mean" => AblationMode::Mean,
        _ => AblationMode::Scale(a["factor"].as_f64().expect("factor") as f32),
    };
    Some(Intervention { means: Some(of.clone()), ..Intervention::new(neurons, heads.collect(), mode) })
}

fn close(what: &str, ours: f64, theirs: &Value) {
    let theirs = theirs.as_f64().expect("number");
    assert!((ours - theirs).abs() < TOLERANCE, "{what}: {ours}, expected {theirs}");
}

fn compare_choices(what: &str, ours: &DomainScore, theirs: &Value) {
    let items = theirs["items"].as_array().expect("items");
    assert_eq!(ours.n(), items.len());
    for (o, t) in ours.items.iter().zip(items) {
        let lls = t["log_likelihoods"].as_array().expect("log-likelihoods");
        assert_eq!(o.log_likelihoods.len(), lls.len());
        for (ll, theirs) in o.log_likelihoods.iter().zip(lls) {
            close(&format!("{what}, line {}", o.line), *ll, theirs);
        }
        assert_eq!(
            (Some(o.correct), Some(o.correct_norm)),
            (t["correct"].as_bool(), t["correct_norm"].as_bool()),
            "{what}, line {}",
            o.line
        );
    }
    close("acc", ours.acc().expect("acc"), &theirs["acc"]);
    close("acc_norm", ours.acc_norm().expect("acc_norm"), &theirs["acc_norm"]);
    close("stderr", ours.stderr().expect("stderr"), &theirs["stderr"]);
}

#[test]
fn scores_agree_with_transformers_with_and_without_ablation() {
    let model = silently(|ctx| load_model(&fixture("tiny-llama"), ctx)).expect("model");
    let decoder = Decoder::new(Arc::new(model), Arc::new(CpuBackend::new(Some(2))));
    let reference: Value = serde_json::from_slice(&std::fs::read(fixture("eval_reference.json")).expect("reference")).expect("json");
    let (choices, contexts, texts) = (domain("eval_choices.jsonl"), domain("eval_contexts.jsonl"), domain("eval_texts.txt"));
    let of_texts = silently(|ctx| means(&decoder, &texts.items, 256, "eval_texts.txt", ctx)).expect("means");
    let runs = reference["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 8);
    for run in runs {
        let change = intervention(run, &of_texts);
        let config = EvalConfig { max_tokens: run["max_tokens"].as_u64().expect("max_tokens") as usize, ..EvalConfig::default() };
        let what = format!("{} at {} tokens", run["ablation"]["mode"], config.max_tokens);
        let score = |d: &Domain| silently(|ctx| evaluate(&decoder, d, &config, change.as_ref(), ctx, &mut |_| {})).expect("score");
        compare_choices(&what, &score(&choices), &run["choices"]);
        compare_choices(&what, &score(&contexts), &run["contexts"]);
        let ours = score(&texts);
        for (o, t) in ours.items.iter().zip(run["texts"]["items"].as_array().expect("items")) {
            close(&what, o.nll, &t["nll"]);
            assert_eq!(Some(o.n_tokens as u64), t["n_tokens"].as_u64());
        }
        close(&what, ours.loss().expect("loss"), &run["texts"]["loss"]);
        // The same relative closeness; a perplexity is some hundreds here.
        let theirs = run["texts"]["perplexity"].as_f64().expect("perplexity");
        assert!((ours.perplexity().expect("perplexity") / theirs - 1.0).abs() < TOLERANCE, "{what}");
        assert_eq!((ours.acc(), ours.stderr()), (None, None));
    }
}
