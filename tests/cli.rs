//! The real binary: what it prints, what it returns, what it says when something is wrong.

use brodmann::compute::cpu::Products;
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn tiny() -> PathBuf {
    root().join("tests/fixtures/tiny-llama")
}

/// A folder of its own for the program's files.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("folder"))
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    /// Fifty questions and fifty texts that a random model can read.
    fn data(&self) -> (PathBuf, PathBuf) {
        let (questions, texts) = (self.path("questions.jsonl"), self.path("texts.jsonl"));
        let rows: Vec<String> = (0..50)
            .map(|i| format!(r#"{{"question":"Which is number {i}?","choices":["one {i}","two","three"],"answer":{}}}"#, i % 3))
            .collect();
        std::fs::write(&questions, rows.join("\n")).expect("questions");
        let rows: Vec<String> = (0..50).map(|i| format!(r#"{{"text":"Here is a story about number {i} and its friends."}}"#)).collect();
        std::fs::write(&texts, rows.join("\n")).expect("texts");
        (questions, texts)
    }
    fn command(&self) -> Command {
        let mut c = Command::new(env!("CARGO_BIN_EXE_brodmann"));
        c.env("XDG_DATA_HOME", self.0.path()).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").env_remove("BRODMANN_LOG");
        c.current_dir(self.0.path());
        c
    }
    fn run(&self, args: &[&str]) -> Output {
        self.command().args(args).output().expect("the binary starts")
    }
    /// Verb, the tiny model, both domains, then `more`.
    fn tiny(&self, verb: &str, more: &[&str]) -> Command {
        let (questions, texts) = self.data();
        let mut c = self.command();
        c.arg(verb).arg("--model").arg(tiny());
        c.arg("--data").arg(format!("questions={}", questions.display())).arg("--data").arg(format!("texts={}", texts.display()));
        c.args(more);
        c
    }
}

fn json(out: &Output) -> Value {
    assert!(out.status.success(), "{}: {}", out.status, String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stdout)))
}

fn keys(v: &Value) -> Vec<&str> {
    v.as_object().expect("object").keys().map(String::as_str).collect()
}

/// Code, and that nothing but stderr speaks.
fn fails_with(out: &Output, code: i32, parts: &[&str]) {
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{stderr}");
    assert!(out.stdout.is_empty(), "stdout: {}", String::from_utf8_lossy(&out.stdout));
    for part in parts {
        assert!(stderr.contains(part), "`{part}` is not in: {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

/// A copy of the tiny model that takes no more than `context` tokens.
fn tiny_with_context(place: &Place, context: usize) -> PathBuf {
    let folder = place.path("short");
    std::fs::create_dir_all(&folder).expect("folder");
    for file in ["model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(tiny().join(file), folder.join(file)).expect("copy");
    }
    let text = std::fs::read_to_string(tiny().join("config.json")).expect("config");
    let mut config: Value = serde_json::from_str(&text).expect("json");
    config["max_position_embeddings"] = context.into();
    std::fs::write(folder.join("config.json"), config.to_string()).expect("config");
    folder
}

#[test]
fn a_context_shorter_than_max_tokens_is_told() {
    let place = Place::new();
    let (_, texts) = place.data();
    let (model, data) = (tiny_with_context(&place, 8), format!("texts={}", texts.display()));
    let run = |verb: &str, more: &[&str]| {
        let mut c = place.command();
        c.args([verb, "--samples", "4", "--data", &data, "--model"]).arg(&model).args(more).output().expect("start")
    };
    let out = run("scan", &["--format", "json", "--quiet"]);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(stderr.contains("4 of 4 rows were cut to 8 tokens") && stderr.contains("max tokens is 256"), "{stderr}");
    let doc = json(&out);
    assert_eq!((&doc["domains"]["texts"]["cut_samples"], &doc["domains"]["texts"]["longest_tokens"]), (&4.into(), &8.into()));
    let out = run("eval", &["--format", "json", "--quiet"]);
    let stderr = String::from_utf8_lossy(&out.stderr);
    // The last token is only predicted: one more than the positions fits.
    assert!(stderr.contains("4 of 4 rows were cut to 9 tokens"), "{stderr}");
    let doc = json(&out);
    assert_eq!((&doc["domains"]["texts"]["cut_items"], &doc["domains"]["texts"]["longest_tokens"]), (&4.into(), &9.into()));
    // Who asks for no more than fits is told in the result alone.
    let out = run("scan", &["--max-tokens", "8", "--quiet"]);
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(text.contains("texts: 4 of 4 samples cut to 8 tokens"), "{text}");
}

#[test]
fn scan_prints_one_document_and_writes_a_run_that_info_can_repeat() {
    let place = Place::new();
    let run = place.path("run");
    let out = place.tiny("scan", &["--samples", "4", "--format", "json", "--out"]).arg(&run).output().expect("start");
    let doc = json(&out);
    assert_eq!(keys(&doc), ["domains", "llmdcos", "timing", "device", "provenance"]);
    assert_eq!(keys(&doc["domains"]), ["questions", "texts"]);
    assert_eq!(
        keys(&doc["domains"]["texts"]),
        ["density", "activated_count", "samples", "cut_samples", "longest_tokens", "mean_objective"]
    );
    let mut pairs = keys(&doc["llmdcos"]);
    pairs.sort_unstable();
    assert_eq!(pairs, ["questions|questions", "questions|texts", "texts|texts"]);
    assert_eq!(keys(&doc["llmdcos"]["questions|texts"]), ["per_layer_mean", "per_layer_std", "scalar"]);
    assert_eq!(keys(&doc["timing"]), ["seconds", "samples_per_second", "peak_rss_bytes"]);
    assert_eq!(doc["domains"]["texts"]["samples"], 4);
    assert!(run.join("run.json").is_file() && run.join("grids.safetensors").is_file());
    let page = std::fs::read_to_string(run.join("report.html")).expect("report beside the run");
    assert!(page.contains("<figure>") && !page.contains("http"));

    let info = json(&place.run(&["info", run.to_str().expect("utf-8"), "--format", "json"]));
    let command = info["command"].as_str().expect("command");
    assert!(command.starts_with("brodmann scan --model "), "{command}");
    // The command gives the same numbers, but for its time.
    let words: Vec<String> = command.split(' ').skip(1).map(|w| w.trim_matches('\'').to_owned()).collect();
    let again = json(&place.command().args(&words).args(["--format", "json", "--quiet"]).output().expect("start"));
    assert_eq!(again["domains"], doc["domains"]);
    assert_eq!(again["llmdcos"], doc["llmdcos"]);
}

#[test]
fn products_are_made_as_asked_and_provenance_says_how() {
    let place = Place::new();
    fails_with(&place.run(&["devices", "--products", "f16"]), 2, &["`f16` is no kind of products", "bf16x3"]);
    let command =
        |products: &str| place.tiny("scan", &["--samples", "3", "--format", "json", "--quiet", "--device", "cpu", "--products", products]);
    let scan = |products: &str| command(products).output().expect("start");
    let plain = json(&scan("f32"));
    let dtype = |doc: &Value| doc["provenance"]["dtype"].as_str().expect("dtype").to_owned();
    assert!(dtype(&plain).ends_with("weights, f32 arithmetic, f64 sums"), "{}", dtype(&plain));
    // Six products have an error of f32's order; one has that of bfloat16.
    for (products, tolerance) in [("int8x8", 1e-5), ("bf16x6", 1e-5), ("bf16x3", 1e-3), ("bf16", 0.1)] {
        if !products.parse().is_ok_and(Products::available) {
            fails_with(&scan(products), 2, &[&format!("{products} needs "), "a tile unit (Intel AMX)"]);
            continue;
        }
        let doc = json(&scan(products));
        assert!(dtype(&doc).contains(&format!("{products} products")), "{}", dtype(&doc));
        let mean = |doc: &Value| doc["llmdcos"]["questions|texts"]["scalar"].as_f64().expect("number");
        assert!((mean(&doc) - mean(&plain)).abs() <= tolerance, "{products}: {} and {}", mean(&doc), mean(&plain));
    }
    // What the flag says holds, whatever the environment does; `auto` too.
    let coarse_around = |products: &str| json(&command(products).env("BRODMANN_PRODUCTS", "bf16").output().expect("start"));
    assert_eq!(dtype(&coarse_around("f32")), dtype(&plain));
    assert!(!dtype(&coarse_around("auto")).contains("bf16 products"));
    // The environment takes the same words, and names them all where it takes none.
    let around = |products: &str| place.command().args(["devices"]).env("BRODMANN_PRODUCTS", products).output().expect("start");
    let told = |products: &str| String::from_utf8_lossy(&around(products).stderr).into_owned();
    assert!(!told("auto").contains("BRODMANN_PRODUCTS"), "{}", told("auto"));
    assert!(told("fp8").contains("`fp8` is no kind of products; expected auto, f32, int8x8, bf16x6, bf16x3 or bf16"), "{}", told("fp8"));
}

#[test]
fn devices_are_listed_and_a_scan_runs_on_the_one_asked_for() {
    let place = Place::new();
    let list = json(&place.run(&["devices", "--format", "json", "--quiet"]));
    assert_eq!(keys(&list), ["cpu", "adapters", "auto", "why"]);
    let adapters = list["adapters"].as_array().expect("adapters");
    // CI has the software adapter; `auto` never takes one.
    let first = adapters.iter().find(|a| a["usable"] == true).expect("a usable adapter; without a card, install mesa-vulkan-drivers");
    if adapters.iter().all(|a| a["software"] == true) {
        assert_eq!(list["auto"], "cpu");
    }
    let text = place.run(&["devices", "--quiet"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("--device auto takes") && text.contains(first["name"].as_str().expect("name")), "{text}");

    let scan = |device: &str| {
        json(&place.tiny("scan", &["--samples", "3", "--format", "json", "--quiet", "--device", device]).output().expect("start"))
    };
    let (gpu, cpu) = (scan("gpu"), scan("cpu"));
    let device = gpu["device"].as_str().expect("device");
    assert!(
        device.contains(first["name"].as_str().expect("name")) && device.contains(first["driver"].as_str().expect("driver")),
        "{device}"
    );
    let command = |doc: &Value| doc["provenance"]["command"].as_str().expect("command").to_owned();
    assert!(command(&gpu).ends_with(&format!("--device gpu:{}", first["index"])), "{}", command(&gpu));
    assert!(command(&cpu).ends_with("--device cpu"));
    let scalar = |doc: &Value| doc["llmdcos"]["questions|texts"]["scalar"].as_f64().expect("scalar");
    assert!((scalar(&gpu) - scalar(&cpu)).abs() < 1e-5);

    fails_with(&place.tiny("scan", &["--samples", "3", "--quiet", "--device", "gpu:99"]).output().expect("start"), 1, &["gpu:99", "gpu:0"]);
    fails_with(&place.run(&["scan", "--device", "cuda"]), 2, &["gpu:N"]);
}

#[test]
fn eval_gives_accuracies_for_questions_and_null_for_text() {
    let place = Place::new();
    let doc = json(&place.tiny("eval", &["--format", "json"]).output().expect("start"));
    let (questions, texts) = (&doc["domains"]["questions"], &doc["domains"]["texts"]);
    for domain in [questions, texts] {
        let prompt = ["template", "few_shot", "few_shot_seed", "few_shot_order", "few_shot_from", "chat_template", "bos"];
        assert_eq!(
            keys(domain),
            [&["acc", "acc_norm", "stderr", "n", "cut_items", "longest_tokens", "loss", "perplexity"][..], &prompt].concat()
        );
        // The default is every item.
        assert_eq!(domain["n"], 50);
        let (loss, ppl) = (domain["loss"].as_f64().expect("loss"), domain["perplexity"].as_f64().expect("perplexity"));
        assert!((loss.exp() - ppl).abs() < 1e-9 * ppl);
    }
    assert!((0.0..=1.0).contains(&questions["acc"].as_f64().expect("acc")));
    assert!(texts["acc"].is_null() && texts["acc_norm"].is_null() && texts["stderr"].is_null());

    let command = doc["provenance"]["command"].as_str().expect("command");
    assert!(command.starts_with("brodmann eval --model ") && command.contains("--data questions="), "{command}");

    let few = json(&place.tiny("eval", &["--format", "json", "--samples", "7"]).output().expect("start"));
    assert_eq!(few["domains"]["questions"]["n"], 7);
}

#[test]
fn ablating_nothing_that_matters_and_everything_that_does() {
    let place = Place::new();
    let doc = json(
        &place
            .tiny("ablate", &["--neurons", "L0N0-3", "--mode", "scale=1", "--controls", "2", "--format", "json"])
            .output()
            .expect("start"),
    );
    assert_eq!(doc["neurons"], 4);
    let d = &doc["domains"]["questions"];
    for key in ["before", "after", "control_mean", "control_std", "n"] {
        assert!(d.get(key).is_some(), "{key}");
    }
    // Multiplied by one nothing changes, in any control either.
    assert_eq!((&d["before"], &d["before_loss"]), (&d["after"], &d["after_loss"]));
    assert_eq!(d["before"], d["control_mean"]);
    assert!(doc["domains"]["texts"]["before"].is_null());

    let doc = json(&place.tiny("ablate", &["--neurons", "top:texts:50", "--controls", "0", "--format", "json"]).output().expect("start"));
    let d = &doc["domains"]["texts"];
    assert_ne!(d["before_loss"], d["after_loss"]);
    assert!(doc["domains"]["questions"]["control_mean"].is_null());
    assert_eq!(doc["sets"][0]["source"], "top 50 % relevance of texts, run 1");
    // People are told whether it is more than chance: the same items before and after, and more than random sets.
    let out = place.tiny("ablate", &["--neurons", "L0N0-3", "--mode", "scale=1", "--controls", "2"]).output().expect("start");
    let text = String::from_utf8(out.stdout).expect("utf-8");
    let row = text.lines().find(|l| l.starts_with("questions")).expect("row");
    assert!(text.contains("change [95 %]") && text.contains("p beyond it") && text.contains("McNemar"), "{text}");
    // Nothing changed: of 50 questions that leaves some room (Newcombe), and equal controls say nothing.
    assert!(row.contains("0.00 [-0.05, 0.05]") && row.contains("1.000") && row.contains(" – "), "{row}");
}

#[test]
fn a_set_in_a_file_is_the_same_as_its_names() {
    let place = Place::new();
    let file = place.path("set.json");
    std::fs::write(&file, r#"{"0": [1, 2], "1": [5]}"#).expect("set");
    let run = |set: &str| {
        json(&place.tiny("ablate", &["--neurons", set, "--controls", "1", "--samples", "9", "--format", "json"]).output().expect("start"))
    };
    let (by_file, by_name) = (run(file.to_str().expect("utf-8")), run("L0N1-2,L1N5"));
    assert_eq!(by_file["domains"], by_name["domains"]);
    assert_eq!(by_file["neurons"], 3);
}

#[test]
fn trace_writes_hook_points_logits_and_tokens() {
    let place = Place::new();
    let file = place.path("t.safetensors");
    let out = place
        .command()
        .args(["trace", "--tokens", "1,2,3", "--hooks", "blocks.0.mlp.hook_post,blocks.1.attn.hook_pattern", "--format", "json", "--model"])
        .arg(tiny())
        .arg("--out")
        .arg(&file)
        .output()
        .expect("start");
    let doc = json(&out);
    assert_eq!(keys(&doc["tensors"]), ["blocks.0.mlp.hook_post", "blocks.1.attn.hook_pattern", "logits", "tokens"]);
    let bytes = std::fs::read(&file).expect("file");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    assert_eq!(tensors.tensor("tokens").expect("tokens").data(), [1i64, 2, 3].map(i64::to_le_bytes).concat());
    assert_eq!(tensors.tensor("logits").expect("logits").shape()[0], 3);
    assert_eq!(tensors.tensor("blocks.1.attn.hook_pattern").expect("pattern").shape()[1..], [3, 3]);

    let bad =
        place.command().args(["trace", "--tokens", "1", "--hooks", "blocks.0.mlp.post", "--out", "x", "--model"]).arg(tiny()).output();
    fails_with(&bad.expect("start"), 1, &["blocks.0.mlp.post", "blocks.0.mlp.hook_post"]);
    let bad = place.command().args(["trace", "--tokens", "99999999", "--out", "x", "--model"]).arg(tiny()).output();
    fails_with(&bad.expect("start"), 1, &["99999999", "vocabulary"]);
}

#[test]
fn text_output_is_a_table_with_units() {
    let place = Place::new();
    let out = place.tiny("eval", &["--samples", "5"]).output().expect("start");
    let text = String::from_utf8(out.stdout).expect("utf-8");
    assert!(out.status.success());
    let widths: Vec<usize> = text.lines().take(3).map(|l| l.chars().count()).collect();
    assert!(widths.windows(2).all(|w| w[0] == w[1]), "{text}");
    assert!(text.contains("loss (nat/token)") && text.contains("questions") && text.contains("±"), "{text}");
    // No terminal, no progress.
    assert!(out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn usage_errors_return_2_and_failures_1() {
    let place = Place::new();
    let (questions, _) = place.data();
    fails_with(&place.run(&["scan", "--samples", "0"]), 2, &["--samples"]);
    fails_with(&place.run(&["scan", "--gamma=-1"]), 2, &["gamma"]);
    fails_with(&place.run(&["scan", "--gamma", "-1"]), 2, &["gamma"]);
    fails_with(&place.run(&["scan", "--seed", "-1"]), 2, &["'-1' for '--seed"]);
    fails_with(&place.run(&["scan", "--objective", "likelihood"]), 2, &["max-logit", "loss"]);
    fails_with(&place.run(&["ablate", "--neurons", "L3"]), 2, &["L3N17"]);
    fails_with(&place.run(&["ablate"]), 2, &["--neurons"]);
    fails_with(&place.run(&["eval", "--data", "x"]), 2, &["NAME=PATH"]);
    fails_with(&place.run(&["eval", "--map", "x=y"]), 2, &["NAME.FIELD=COLUMN"]);
    fails_with(&place.run(&["nonsense", "--model", "x"]), 2, &[]);
    let data = format!("q={}", questions.display());
    fails_with(&place.run(&["eval", "--data", &data, "--data", &data]), 2, &["two domains", "`q`"]);
    fails_with(&place.run(&["eval", "--data", &data, "--map", "p.text=a"]), 2, &["`p`", "q"]);

    fails_with(&place.run(&["info", "no-such-model"]), 1, &["no-such-model"]);
    fails_with(&place.run(&["eval", "--model", "no-such-model", "--data", &data]), 1, &["no-such-model"]);
    let missing = place.command().args(["eval", "--data", "q=missing.jsonl", "--model"]).arg(tiny()).output().expect("start");
    fails_with(&missing, 1, &["missing.jsonl"]);
    let outside = place.tiny("ablate", &["--neurons", "L9N0"]).output().expect("start");
    fails_with(&outside, 1, &["L9N0", "layers 0.."]);
    std::fs::create_dir(place.path("full")).expect("folder");
    std::fs::write(place.path("full/notes.txt"), "mine").expect("file");
    let full = place.tiny("scan", &["--samples", "2", "--out", "full"]).output().expect("start");
    fails_with(&full, 1, &["full", "holds other files"]);
}

#[test]
fn a_bad_row_is_named_and_strict_refuses_it() {
    let place = Place::new();
    let file = place.path("bad.jsonl");
    std::fs::write(&file, "{\"text\":\"one two three\"}\n{\"text\":5\n{\"text\":\"four five six\"}\n").expect("file");
    let run = |more: &[&str]| {
        let mut c = place.command();
        c.args(["eval", "--format", "json", "--model"]).arg(tiny()).arg("--data").arg(format!("t={}", file.display())).args(more);
        c.output().expect("start")
    };
    let lenient = run(&[]);
    assert_eq!(json(&lenient)["domains"]["t"]["n"], 2);
    let warning = String::from_utf8_lossy(&lenient.stderr).into_owned();
    assert!(warning.contains("1 of 3 rows skipped") && warning.contains("line 2"), "{warning}");
    fails_with(&run(&["--strict"]), 1, &["bad.jsonl:2"]);
}

#[test]
fn quiet_keeps_warnings() {
    let place = Place::new();
    let file = place.path("bad.jsonl");
    std::fs::write(&file, "{\"text\":\"one two three\"}\n{\"text\":5\n{\"text\":\"four five six\"}\n").expect("file");
    let mut c = place.command();
    let out =
        c.args(["eval", "--quiet", "--model"]).arg(tiny()).arg("--data").arg(format!("t={}", file.display())).output().expect("start");
    let warning = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(warning.contains("1 of 3 rows skipped") && warning.contains("line 2: not valid JSON"), "{warning}");
    assert!(!warning.contains("line 1"), "the parser's own line says nothing: {warning}");
}

#[test]
fn rows_that_a_set_was_chosen_on_do_not_judge_it() {
    let place = Place::new();
    let file = place.path("many.jsonl");
    let rows: Vec<String> = (0..100)
        .map(|i| format!(r#"{{"question":"Which is number {i}?","choices":["one {i}","two","three"],"answer":{}}}"#, i % 3))
        .collect();
    let run = |rows: &[String], more: &[&str]| {
        std::fs::write(&file, rows.join("\n")).expect("file");
        let mut c = place.command();
        c.args(["ablate", "--controls", "1", "--format", "json", "--model"]).arg(tiny());
        c.arg("--data").arg(format!("q={}", file.display())).args(more).output().expect("start")
    };
    // 64 of 100 rows are scanned for the choice.
    let out = run(&rows, &["--neurons", "top:q:5"]);
    assert!(out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    let doc = json(&out);
    let d = &doc["domains"]["q"];
    assert_eq!((&d["n"], &d["left_out"], &d["chosen_on"]), (&36.into(), &64.into(), &0.into()));
    // The command that repeats it scores the same rows.
    let command = doc["provenance"]["command"].as_str().expect("command");
    assert!(command.contains("--exclude q="), "{command}");
    let words: Vec<String> = command.split(' ').skip(1).map(|w| w.trim_matches('\'').to_owned()).collect();
    let again = json(&place.command().args(&words).args(["--format", "json"]).output().expect("start"));
    for key in ["before", "after", "before_loss", "after_loss", "control_mean", "n", "left_out"] {
        assert_eq!(again["domains"]["q"][key], d[key], "{key}");
    }
    // With 70 rows six would be left: all are scored, and said so even when quiet.
    let few = run(&rows[..70], &["--neurons", "top:q:5", "--quiet"]);
    let warning = String::from_utf8_lossy(&few.stderr).into_owned();
    assert!(warning.contains("includes rows that its neurons were chosen on") && warning.contains("64 of its 70"), "{warning}");
    let d = &json(&few)["domains"]["q"];
    assert_eq!((&d["n"], &d["left_out"], &d["chosen_on"]), (&70.into(), &0.into(), &64.into()));
    // Neurons given by name were chosen on nothing that is known.
    let d = &json(&run(&rows, &["--neurons", "L0N1"]))["domains"]["q"];
    assert_eq!((&d["n"], &d["left_out"]), (&100.into(), &0.into()));
    fails_with(&run(&rows, &["--neurons", "L0N1", "--exclude", "p=1-3"]), 2, &["`p`", "q"]);
    fails_with(&run(&rows, &["--neurons", "L0N1", "--exclude", "q=1-100"]), 1, &["Nothing of q is left"]);
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let place = Place::new();
    let mut child = place.tiny("eval", &["--samples", "3"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start");
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().expect("stderr").read_to_string(&mut stderr).expect("read");
    let status = child.wait().expect("end");
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert_eq!(status.code(), Some(0), "{stderr}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_within_a_second_and_says_what_was_kept() {
    let place = Place::new();
    let (_, texts) = place.data();
    // Long enough to be caught in the middle on any machine.
    let long: String = (0..4000).map(|i| format!("{{\"text\":\"{}\"}}\n", format!("word {i} and ").repeat(60))).collect();
    std::fs::write(&texts, long).expect("texts");
    let mut child = place
        .command()
        .args(["scan", "--samples", "4000", "--max-tokens", "250", "--out", "kept", "--model"])
        .arg(tiny())
        .arg("--data")
        .arg(format!("t={}", texts.display()))
        .env("BRODMANN_LOG", "brodmann=info")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start");
    let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
    let scanning = lines.by_ref().map_while(Result::ok).any(|l| l.contains("Scan of 1 domain"));
    assert!(scanning, "the scan never began");
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().expect("state").is_none(), "the scan is over already");
    let pressed = Instant::now();
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    let status = child.wait().expect("end");
    let took = pressed.elapsed();
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let mut stdout = String::new();
    child.stdout.take().expect("stdout").read_to_string(&mut stdout).expect("read");
    assert_eq!(status.code(), Some(1), "{rest:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(rest.iter().any(|l| l.contains("Stopped.") && l.contains("Nothing was written")), "{rest:?}");
    assert!(stdout.is_empty() && !place.path("kept/run.json").exists());
}

#[test]
fn help_names_every_verb_and_exit_code() {
    let place = Place::new();
    let out = place.run(&["--help"]);
    let text = String::from_utf8_lossy(&out.stdout);
    for word in ["scan", "eval", "ablate", "trace", "similarity", "info", "demo", "Exit codes"] {
        assert!(text.contains(word), "{word}");
    }
    let out = place.run(&["ablate", "--help"]);
    assert!(String::from_utf8_lossy(&out.stdout).contains("all of them"));
    assert!(place.run(&["--version"]).status.success());
}

#[test]
fn the_demo_answers_its_questions_and_needs_no_file() {
    let place = Place::new();
    let doc = json(&place.run(&["eval", "--samples", "40", "--format", "json"]));
    assert_eq!(keys(&doc["domains"]), ["arithmetic", "logic", "sentiment", "facts", "code", "agreement"]);
    for (name, d) in doc["domains"].as_object().expect("domains") {
        // Trained to 85 % and more of all test items; 40 of them have a standard error of at most 6 %.
        assert!(d["acc"].as_f64().expect("acc") > 0.67, "{name}: {d}");
    }
    let info = json(&place.run(&["demo", "info", "--format", "json"]));
    assert_eq!(info["model"]["name"], "demo");
    assert!(info["domains"]["logic"]["test"].as_u64().expect("test items") >= 200);
    let one = json(&place.run(&["scan", "--data", "logic=demo", "--samples", "4", "--metrics", "relevance", "--format", "json"]));
    assert_eq!(keys(&one["domains"]), ["logic"]);
    fails_with(&place.run(&["eval", "--data", "alchemy=demo"]), 1, &["alchemy", "arithmetic"]);
    fails_with(&place.run(&["ablate", "--neurons", "top:alchemy:5"]), 2, &["alchemy", "arithmetic"]);
}

#[test]
fn no_display_means_a_report_instead() {
    let place = Place::new();
    let out = place.run(&[]);
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout).into_owned(), String::from_utf8_lossy(&out.stderr).into_owned());
    assert!(out.status.success(), "{stderr}");
    assert!(stderr.contains("no display") || stderr.contains("no window"), "{stderr}");
    let path = stdout.lines().rev().find_map(|l| l.strip_prefix("report: ")).expect("path of the report");
    let page = std::fs::read_to_string(path).expect("report");
    // Maps, density, LLMDcos, boxes, overlap, intersections, accuracy.
    assert_eq!(page.matches("<figure>").count(), 7);
    assert!(page.contains("brodmann scan --model demo --data demo --samples 64"));
}

#[test]
fn samples_are_compared_into_a_file_that_says_where_they_come_from() {
    let place = Place::new();
    let out = place.path("s.safetensors");
    let out_word = out.display().to_string();
    let more = ["--layer", "1", "--layer", "0-1", "--samples", "5", "--out", &out_word, "--format", "json", "--device", "cpu"];
    let doc = json(&place.tiny("similarity", &more).output().expect("the binary starts"));
    assert_eq!((doc["samples"].as_u64(), keys(&doc["layers"])), (Some(10), vec!["0", "1"]));
    let mean = doc["layers"]["1"]["block_means"]["questions|texts"].as_f64().expect("mean");
    assert!(mean > 0.0 && mean < 1.0, "{mean}");
    assert!(doc["provenance"]["command"].as_str().expect("command").contains("--layer 0 --layer 1 --samples 5"));
    let bytes = std::fs::read(&out).expect("file");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    assert_eq!(tensors.tensor("llmdcos/layer_1").expect("matrix").shape(), [10, 10]);
    assert_eq!(tensors.tensor("sample_line").expect("lines").shape(), [10]);
    fails_with(&place.tiny("similarity", &["--layer", "99", "--out", &out_word]).output().expect("runs"), 1, &["no layer 99"]);
    fails_with(&place.tiny("similarity", &["--out", &out_word]).output().expect("runs"), 2, &["--layer"]);
}

/// Without a BOS token a text of one token predicts nothing. Alone it once ended in a panic.
#[test]
fn texts_that_predict_nothing_are_refused_and_weigh_nothing_among_others() {
    let place = Place::new();
    let model = place.path("no-bos");
    std::fs::create_dir(&model).expect("folder");
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(tiny().join(file), model.join(file)).expect("copied");
    }
    let mut tokenizer: Value = serde_json::from_slice(&std::fs::read(tiny().join("tokenizer.json")).expect("tokenizer")).expect("json");
    tokenizer["post_processor"] = Value::Null;
    std::fs::write(model.join("tokenizer.json"), tokenizer.to_string()).expect("tokenizer");
    let loss = |rows: &[&str]| {
        let data = place.path("t.jsonl");
        let lines: Vec<String> = rows.iter().map(|text| format!("{{\"text\":\"{text}\"}}")).collect();
        std::fs::write(&data, lines.join("\n")).expect("data");
        let (model, data) = (model.display().to_string(), format!("t={}", data.display()));
        place.run(&["eval", "--model", &model, "--data", &data, "--format", "json", "--quiet"])
    };
    fails_with(&loss(&["a"]), 1, &["domain t", "second token"]);
    let mixed = json(&loss(&["a", "the cat sat"]));
    assert_eq!(mixed["domains"]["t"]["loss"], json(&loss(&["the cat sat"]))["domains"]["t"]["loss"]);
}

/// At its own gamma a run holds counts; at another they are counted between two bins or estimated, and are not called the same.
#[test]
fn a_density_that_is_recounted_is_called_so() {
    let place = Place::new();
    let run = place.path("run").display().to_string();
    let out = place.tiny("scan", &["--samples", "2", "--metrics", "param-activation", "--out", &run, "--quiet"]).output().expect("runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let table = |more: &[&str]| {
        let file = place.path("d.csv");
        let mut arguments = vec!["export", &run, "--what", "density", "--quiet", "--out", file.to_str().expect("utf-8")];
        arguments.extend(more);
        let out = place.run(&arguments);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        std::fs::read_to_string(&file).expect("table")
    };
    for own in [table(&[]), table(&["--gamma", "2e-6"])] {
        assert!(own.contains(",density,") && own.contains(",activated_count,"), "{own}");
    }
    let other = table(&["--gamma", "3.3e-5"]);
    assert!(other.contains(",density_estimated_gamma_3.3e-5,") && !other.contains(",density,"), "{other}");
    let counted = table(&["--gamma", "3.433227e-5"]);
    assert!(counted.contains(",density_gamma_3.433227e-5,") && !counted.contains("estimated"), "{counted}");
    let file = place.path("d.csv");
    let said = place.run(&["export", &run, "--what", "density", "--gamma", "3.3e-5", "--out", file.to_str().expect("utf-8")]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("3.0517576e-5") && said.contains("3.433227e-5"), "where counts are exact: {said}");
}
