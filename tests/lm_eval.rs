//! Prompts, choices and log-likelihoods are those of lm-evaluation-harness, row by row (scripts/reference/lm_eval_reference.py).
//!
//! The rows are samples in ../shared/data; the model is the folder that scripts/reference/smollm2_folder.py writes, named by BRODMANN_SMOLLM2.
//! BRODMANN_LM_EVAL_ROWS sets how many rows of each run are scored (default 12; `all` takes some minutes in a release build).

use brodmann::{
    base::job::silently,
    compute::cpu::CpuBackend,
    data::{Domain, Item, Mapping, open_domain},
    eval::{EvalConfig, evaluate, prompt_text},
    model::{Decoder, TextTokenizer, load_model},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Two programs that sum in another order differ in the last bits of each logit; a log-likelihood sums up to some fifty of them.
const TOLERANCE: f64 = 1e-3;

fn reference() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lm_eval/smollm2.json");
    serde_json::from_slice(&std::fs::read(path).expect("fixture")).expect("json")
}

/// Where the rows are; `None`, and a line that says so, where they are not.
fn rows() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if !folder.join("piqa.jsonl").is_file() {
        println!("skipped: {} is not there", folder.display());
        return None;
    }
    Some(folder)
}

fn model_folder() -> Option<PathBuf> {
    let folder = std::env::var_os("BRODMANN_SMOLLM2").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: BRODMANN_SMOLLM2 does not name the folder that scripts/reference/smollm2_folder.py writes");
    }
    folder
}

fn text<'a>(run: &'a Value, key: &str) -> &'a str {
    run[key].as_str().unwrap_or_else(|| panic!("{key} in {run}"))
}

fn domain(run: &Value, folder: &Path) -> Domain {
    let mut mapping = Mapping { strict: true, ..Mapping::default() };
    mapping.prompt.shots.count = run["shots"].as_u64().expect("shots") as usize;
    mapping.prompt.shots.seed = run["seed"].as_u64().expect("seed");
    mapping.prompt.chat = run["chat"].as_bool().expect("chat");
    silently(|ctx| open_domain(text(run, "task"), &folder.join(text(run, "file")), &mapping, ctx)).expect("domain")
}

/// Context and continuation of every choice, each pair ended by a zero byte.
fn asked(item: &Item, prompt: impl Fn(usize) -> String) -> String {
    let mut hasher = Sha256::new();
    for i in 0..item.choices.len() {
        hasher.update(format!("{}{}\0", prompt(i), item.continuation(i)));
    }
    hasher.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect()
}

fn compare_prompts(run: &Value, domain: &Domain, prompt: impl Fn(&Item, usize) -> String) -> usize {
    let rows = run["rows"].as_array().expect("rows");
    for (item, row) in domain.items.iter().zip(rows) {
        assert_eq!(Some(item.line as u64), row["line"].as_u64());
        let ours = asked(item, |i| prompt(item, i));
        assert_eq!(ours, text(row, "asked"), "{} line {}:\n{}", domain.name, item.line, prompt(item, 0));
    }
    rows.len()
}

#[test]
fn prompts_and_examples_are_those_of_the_harness() {
    let Some(folder) = rows() else { return };
    let mut compared = 0;
    for run in reference()["runs"].as_array().expect("runs").iter().filter(|r| r["chat"] == false) {
        compared += compare_prompts(run, &domain(run, &folder), |item, i| item.prompt_of(i).into_owned());
    }
    // 150 + 150 + 100 without examples, 60 + 60 + 30 with.
    assert_eq!(compared, 550);
}

#[test]
fn chat_prompts_are_those_of_the_harness() {
    let (Some(folder), Some(model)) = (rows(), model_folder()) else { return };
    let mut tokenizer = TextTokenizer::from_file(&model.join("tokenizer.json")).expect("tokenizer");
    let source = std::fs::read_to_string(model.join("chat_template.jinja")).expect("template");
    tokenizer.chat =
        Some(brodmann::model::tokenizer::ChatTemplate { source, bos_token: "<|im_start|>".into(), eos_token: "<|im_end|>".into() });
    let mut compared = 0;
    for run in reference()["runs"].as_array().expect("runs").iter().filter(|r| r["chat"] == true) {
        compared += compare_prompts(run, &domain(run, &folder), |item, i| prompt_text(&tokenizer, item, i).expect("renders").into_owned());
    }
    assert_eq!(compared, 80);
}

#[test]
fn choices_and_log_likelihoods_are_those_of_the_harness() {
    let (Some(folder), Some(model)) = (rows(), model_folder()) else { return };
    let most = match std::env::var("BRODMANN_LM_EVAL_ROWS").as_deref() {
        Ok("all") => usize::MAX,
        Ok(n) => n.parse().expect("a number of rows, or all"),
        Err(_) => 12,
    };
    let model = silently(|ctx| load_model(&model, ctx)).expect("model");
    let decoder = Decoder::new(Arc::new(model), Arc::new(CpuBackend::new(None)));
    for run in reference()["runs"].as_array().expect("runs") {
        let domain = domain(run, &folder);
        let rows = run["rows"].as_array().expect("rows");
        let config = EvalConfig { max_items: Some(rows.len().min(most)), max_tokens: 8192, ..EvalConfig::default() };
        let score = silently(|ctx| evaluate(&decoder, &domain, &config, None, ctx, &mut |_| {})).expect("score");
        let mut worst = 0f64;
        for (ours, row) in score.items.iter().zip(rows) {
            let what = format!("{} with {} examples, chat {}, line {}", domain.name, run["shots"], run["chat"], ours.line);
            let theirs: Vec<f64> = row["ll"].as_array().expect("ll").iter().map(|v| v.as_f64().expect("number")).collect();
            assert_eq!(ours.log_likelihoods.len(), theirs.len(), "{what}");
            for (a, b) in ours.log_likelihoods.iter().zip(&theirs) {
                assert!((a - b).abs() < TOLERANCE, "{what}: {a}, the harness has {b}");
                worst = worst.max((a - b).abs());
            }
            assert_eq!(ours.chosen().map(|c| c as u64), row["chosen"].as_u64(), "{what}");
        }
        if score.n() == rows.len() {
            assert_eq!((score.acc(), score.acc_norm()), (run["acc"].as_f64(), run["acc_norm"].as_f64()), "{}", domain.name);
        }
        println!(
            "{} with {} examples, chat {}: {} rows, largest difference of a log-likelihood {worst:.1e}",
            domain.name,
            run["shots"],
            run["chat"],
            score.n()
        );
    }
}
