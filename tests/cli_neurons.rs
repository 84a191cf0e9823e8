//! `brodmann neurons` and `brodmann prove`: the real binary.

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn command(place: &Path) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_brodmann"));
    c.env("XDG_DATA_HOME", place).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").env_remove("BRODMANN_LOG").current_dir(place);
    c
}

/// Two tasks of forty questions and the tiny model, then `more`.
fn run(place: &Path, verb: &str, more: &[&str]) -> Output {
    let mut c = command(place);
    c.arg(verb).arg("--model").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama"));
    for name in ["a", "b"] {
        let row =
            |i: usize| format!(r#"{{"question":"{name}: which is number {i}?","choices":["one {i}","two","three"],"answer":{}}}"#, i % 3);
        let path = place.join(format!("{name}.jsonl"));
        std::fs::write(&path, (0..40).map(row).collect::<Vec<_>>().join("\n")).expect("questions");
        c.arg("--data").arg(format!("{name}={}", path.display()));
    }
    c.args(more).output().expect("the binary starts")
}

fn json(out: &Output) -> Value {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stdout)))
}

#[test]
fn task_neurons_are_written_as_sets_that_ablate_and_prove_read() {
    let dir = tempfile::tempdir().expect("folder");
    let place = dir.path();
    let found = json(&run(
        place,
        "neurons",
        &[
            "--samples",
            "12",
            "--percent",
            "20",
            "--percents",
            "5,50",
            "--curve-samples",
            "10",
            "--draws",
            "8",
            "--format",
            "json",
            "--out",
            "found",
        ],
    ));
    assert_eq!(found["tasks"].as_array().map(Vec::len), Some(2));
    let a = &found["tasks"][0];
    assert_eq!((a["name"].as_str(), a["samples"].as_u64(), a["resamples"].as_u64()), (Some("a"), Some(12), Some(8)));
    assert_eq!(a["curve"]["points"].as_array().map(Vec::len), Some(2));
    let count = a["count"].as_u64().expect("count");
    assert_eq!(a["by_layer"].as_array().expect("layers").iter().filter_map(Value::as_u64).sum::<u64>(), count);
    assert!(found["provenance"]["command"].as_str().expect("command").starts_with("brodmann neurons --model"));
    let set: PathBuf = a["set_file"].as_str().expect("a path").into();
    let set = set.display().to_string();
    let ablated = json(&run(place, "ablate", &["--neurons", &set, "--controls", "0", "--format", "json"]));
    assert_eq!(ablated["neurons"].as_u64(), Some(count));
    // 12 rows ranked and 10 suggested k: of 40, 18 judge.
    assert_eq!((ablated["domains"]["a"]["n"].as_u64(), ablated["domains"]["a"]["left_out"].as_u64()), (Some(18), Some(22)));

    let proved = json(&run(
        place,
        "prove",
        &["--run", "found", "--percents", "20", "--controls", "2", "--factors", "0.5,2", "--scaled-percent", "20", "--format", "json"],
    ));
    let cell = &proved["shares"][0]["off"]["a"]["a"];
    assert_eq!(cell["n"].as_u64(), Some(18), "neither the 12 rows that ranked nor the 10 that suggested k judge");
    let losses: Vec<f64> = cell["random"]["loss"]["each"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_f64).collect();
    let mean = cell["random"]["loss"]["mean"].as_f64().expect("a mean of losses");
    assert!(losses.len() == 2 && (mean - losses.iter().sum::<f64>() / 2.0).abs() < 1e-12, "{losses:?} {mean}");
    assert_eq!((cell["random"]["each"].as_array().map(Vec::len), proved["scaled"]["factors"].as_array().map(Vec::len)), (Some(2), Some(2)));
    // The same text twice: measured, and read from the folder of the first.
    let text = |out: Output| String::from_utf8(out.stdout).expect("text");
    let arguments = ["--run", "found", "--percents", "20", "--controls", "2"];
    let first = text(run(place, "prove", &arguments));
    for part in ["neurons of a", "random as b", "mean over tasks:", "k = 20 %", "18"] {
        assert!(first.contains(part), "{part}: {first}");
    }
    assert_eq!(first, text(run(place, "prove", &arguments)));
}

#[test]
fn a_table_says_how_sure_it_is_and_wrong_arguments_are_refused() {
    let dir = tempfile::tempdir().expect("folder");
    let out = run(
        dir.path(),
        "neurons",
        &["--samples", "10", "--steps", "8", "--columns", "--no-curve", "--draws", "5", "--ranking", "per-layer"],
    );
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    for part in [
        "top 10 % of each layer's neurons",
        "integrated over 8 steps",
        "5 bootstrap resamples",
        "output coordinate",
        "add up to",
        "overlap (Jaccard)",
    ] {
        assert!(text.contains(part), "{part}: {text}{}", String::from_utf8_lossy(&out.stderr));
    }
    for (arguments, part) in [(["neurons", "--percent", "0"], "percent"), (["prove", "--tokens", "loud"], "sum")] {
        let out = command(dir.path()).args(arguments).output().expect("the binary starts");
        assert_eq!(out.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&out.stderr).contains(part), "{}", String::from_utf8_lossy(&out.stderr));
    }
    // Above the largest f32: activations would become infinite.
    let out = run(dir.path(), "prove", &["--samples", "8", "--factors", "1e39"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("is no factor"), "{}", String::from_utf8_lossy(&out.stderr));
}
