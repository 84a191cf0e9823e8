//! Prompts from the command line: templates, examples, a chat template, data sets of Hugging Face's cache; by the real binary on the demo model.

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data").join(name)
}

fn brodmann(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().expect("folder");
    Command::new(env!("CARGO_BIN_EXE_brodmann"))
        .args(arguments)
        .env("XDG_DATA_HOME", home.path())
        .env("HF_HUB_CACHE", fixture("hub"))
        .output()
        .expect("the binary runs")
}

fn json(arguments: &[&str]) -> Value {
    let out = brodmann(arguments);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("JSON on stdout")
}

fn refused(arguments: &[&str], code: i32) -> String {
    let out = brodmann(arguments);
    assert_eq!(out.status.code(), Some(code), "{}", String::from_utf8_lossy(&out.stdout));
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[test]
fn a_data_set_of_the_cache_is_scored_with_examples_and_a_template() {
    let folder = tempfile::tempdir().expect("folder");
    let log = folder.path().join("samples.jsonl");
    let log = log.to_str().expect("path");
    let arguments = [
        "eval",
        "--data",
        "sums=brodmann/questions:test",
        "--template",
        "sums={{question}}\\nSum:",
        "--shots",
        "2",
        "--shots-from",
        "sums=brodmann/questions:train",
        "--order",
        "file",
        "--log-samples",
        log,
        "--format",
        "json",
        "--quiet",
    ];
    let result = json(&arguments);
    let sums = &result["domains"]["sums"];
    assert_eq!((sums["n"].as_u64(), sums["few_shot"].as_u64(), sums["few_shot_seed"].as_u64()), (Some(8), Some(2), Some(1234)));
    assert_eq!((sums["chat_template"].as_bool(), sums["bos"].as_str()), (Some(false), Some("adds <s>")));
    assert!(sums["template"].as_str().is_some_and(|t| t.contains("{{question}}\\nSum:") && t.contains("2 examples")), "{sums}");
    let text = std::fs::read_to_string(log).expect("samples");
    let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).expect("line")).collect();
    assert_eq!(lines.len(), 8);
    assert!(
        lines.iter().all(
            |l| l["log_likelihoods"].as_array().is_some_and(|a| a.len() == 3) && l["examples"].as_array().is_some_and(|e| e.len() == 2)
        )
    );
    let right = lines.iter().filter(|l| l["chosen"] == l["gold"]).count() as f64;
    assert_eq!(sums["acc"].as_f64(), Some(right / 8.0));

    // The command that repeats it says it all, and repeats it.
    let command = result["provenance"]["command"].as_str().expect("command").to_owned();
    for part in ["--data sums=hf:brodmann/questions:test", "--shots sums=2", "--shots-from sums=hf:brodmann/questions:train", "Sum:"] {
        assert!(command.contains(part), "{command}");
    }
    let script = format!("{} --format json --quiet", command.replacen("brodmann", &format!("'{}'", env!("CARGO_BIN_EXE_brodmann")), 1));
    let again = Command::new("sh")
        .args(["-c", &script])
        .env("HF_HUB_CACHE", fixture("hub"))
        .env("XDG_DATA_HOME", folder.path())
        .output()
        .expect("sh");
    let again: Value =
        serde_json::from_slice(&again.stdout).unwrap_or_else(|_| panic!("{command}\n{}", String::from_utf8_lossy(&again.stderr)));
    assert_eq!(again["domains"], result["domains"]);
}

#[test]
fn rows_without_choices_are_neither_right_nor_wrong() {
    let folder = tempfile::tempdir().expect("folder");
    let (data, log) = (folder.path().join("d.jsonl"), folder.path().join("log.jsonl"));
    std::fs::write(&data, "{\"question\": \"Two and two?\", \"answer\": \"Four\"}\n").expect("data");
    let data = format!("d={}", data.display());
    let result = json(&["eval", "--data", &data, "--log-samples", log.to_str().expect("utf-8"), "--format", "json", "--quiet"]);
    assert!(result["domains"]["d"]["acc"].is_null(), "{result}");
    let line: Value = serde_json::from_str(&std::fs::read_to_string(&log).expect("samples")).expect("line");
    assert!(["chosen", "gold", "correct", "correct_norm"].iter().all(|k| line[*k].is_null()), "{line}");
    assert!(line["nll"].as_f64().is_some_and(|v| v > 0.0), "{line}");
}

#[test]
fn examples_change_what_the_demo_reads() {
    let plain = json(&["eval", "--data", "logic=demo", "--samples", "6", "--format", "json", "--quiet"]);
    let shots = json(&["eval", "--data", "logic=demo", "--samples", "6", "--shots", "1", "--format", "json", "--quiet"]);
    assert_ne!(plain["domains"]["logic"]["loss"], shots["domains"]["logic"]["loss"]);
    assert_eq!(shots["domains"]["logic"]["few_shot"], 1);
}

#[test]
fn what_cannot_be_done_says_why() {
    let e = refused(&["eval", "--data", "x=brodmann/nothing"], 1);
    assert!(e.contains("datasets--brodmann--nothing") && e.contains("nothing is downloaded"), "{e}");
    let e = refused(&["eval", "--data", "x=brodmann/questions"], 1);
    assert!(e.contains("several splits: test, train"), "{e}");
    let e = refused(&["eval", "--data", "x=brodmann/questions:test", "--template", "x={{questoin}}"], 1);
    assert!(e.contains("`questoin`") && e.contains("`answerKey`"), "{e}");
    let e = refused(&["eval", "--data", "logic=demo", "--chat-template", "--samples", "2"], 1);
    assert!(e.contains("no chat template"), "{e}");
    let e = refused(&["eval", "--data", "logic=demo", "--template", "logic={{query}}"], 1);
    assert!(e.contains("its own prompts"), "{e}");
    let e = refused(&["eval", "--data", "logic=demo", "--shots", "maths=2"], 2);
    assert!(e.contains("names the domain `maths`"), "{e}");
}
