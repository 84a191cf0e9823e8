//! `brodmann inspect` and `brodmann lens`: the real binary.

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama")
}

/// A folder of its own for the program's files.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("folder"))
    }
    fn run(&self, args: &[&str]) -> Output {
        let mut c = Command::new(env!("CARGO_BIN_EXE_brodmann"));
        c.env("XDG_DATA_HOME", self.0.path()).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").env_remove("BRODMANN_LOG");
        c.current_dir(self.0.path()).args(args).output().expect("the binary starts")
    }
    /// The verb with the tiny model and twenty texts.
    fn inspect(&self, what: &str, more: &[&str]) -> Output {
        let texts = self.0.path().join("texts.jsonl");
        let rows: Vec<String> =
            (0..20).map(|i| format!(r#"{{"text":"Story {i}: the naïve 神经元 went home.\nThe end of {i}."}}"#)).collect();
        std::fs::write(&texts, rows.join("\n")).expect("texts");
        let model = tiny();
        let data = format!("texts={}", texts.display());
        let mut args = vec!["inspect", what, "--model", model.to_str().expect("utf-8"), "--data", &data, "--samples", "12"];
        args.extend(more);
        self.run(&args)
    }
    fn lens(&self, more: &[&str]) -> Output {
        let model = tiny();
        let mut args = vec!["lens", "--model", model.to_str().expect("utf-8")];
        args.extend(more);
        self.run(&args)
    }
}

fn json(out: &Output) -> Value {
    assert!(out.status.success(), "{}: {}", out.status, String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stdout)))
}

fn text(out: &Output) -> String {
    assert!(out.status.success(), "{}: {}", out.status, String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout.clone()).expect("utf-8")
}

fn keys(v: &Value) -> Vec<&str> {
    v.as_object().expect("object").keys().map(String::as_str).collect()
}

fn fails_with(out: &Output, code: i32, parts: &[&str]) {
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{stderr}");
    assert!(out.stdout.is_empty());
    for part in parts {
        assert!(stderr.contains(part), "`{part}` is not in: {stderr}");
    }
}

#[test]
fn a_neuron_is_told_as_one_document_and_its_index_is_kept() {
    let place = Place::new();
    let args = ["--format", "json", "--quiet", "--text", "two fish\n"];
    let doc = json(&place.inspect("L1N5", &args));
    assert_eq!(
        keys(&doc),
        ["neuron", "hook", "domains", "histogram_edges", "top", "bottom", "logit_lens", "neighbours", "text", "index", "provenance"]
    );
    assert_eq!((doc["neuron"].as_str(), doc["hook"].as_str()), (Some("L1N5"), Some("blocks.1.mlp.hook_post[5]")));
    let stats = &doc["domains"]["texts"];
    assert_eq!(keys(stats), ["tokens", "mean", "std", "mean_abs", "min", "max", "sparsity", "histogram"]);
    let counts: u64 = stats["histogram"].as_array().expect("counts").iter().map(|c| c.as_u64().expect("count")).sum();
    assert_eq!(Some(counts), stats["tokens"].as_u64());
    let top = doc["top"].as_array().expect("top");
    assert!(!top.is_empty() && top.len() <= 8);
    let at = |p: &Value| (p["position"].as_u64().expect("position") - p["first"].as_u64().expect("first")) as usize;
    for p in top {
        let value = p["value"].as_f64().expect("value");
        let there = p["text"][at(p)]["activation"].as_f64().expect("activation");
        // The window is kept in f16.
        assert!(value > 0.0 && (value - there).abs() <= 5e-4 * value, "{p}");
        assert!(value <= stats["max"].as_f64().expect("max"));
    }
    assert_eq!(doc["logit_lens"]["promotes"].as_array().expect("words").len(), 10);
    assert_eq!(doc["neighbours"]["weight"]["in_layer"].as_array().expect("neighbours").len(), 8);
    assert_eq!(doc["neighbours"]["activation"]["in_model"].as_array().expect("neighbours").len(), 8);
    assert!(doc["text"].as_array().expect("strip").len() > 2);
    assert_eq!(doc["index"]["read_from_disk"], false);
    assert!(doc["provenance"]["command"].as_str().expect("command").starts_with("brodmann inspect L1N5 --model "));

    // The second time it is read, and says the same.
    let mut again = json(&place.inspect("L1N5", &args));
    assert_eq!(again["index"]["read_from_disk"], true);
    again["index"]["read_from_disk"] = Value::Bool(false);
    assert_eq!(again, doc);
    // Other samples, another index.
    let other = json(&place.inspect("L1N5", &["--format", "json", "--quiet", "--seed", "3"]));
    assert_eq!(other["index"]["read_from_disk"], false);
}

#[test]
fn a_neuron_and_a_head_are_told_to_people() {
    let place = Place::new();
    let out = text(&place.inspect("L2N0", &["--quiet"]));
    for part in [
        "L2N0  blocks.2.mlp.hook_post[0]",
        "sparsity",
        "Largest activations",
        "[[",
        "promotes",
        "Nearest by weight",
        "same layer",
        "Index of",
    ] {
        assert!(out.contains(part), "`{part}` is not in: {out}");
    }
    assert!(!out.lines().any(|l| l.contains('\u{fffd}')), "bytes that are no character are written in hex: {out}");
    let out = text(&place.inspect("L1H3", &["--quiet", "--text", "one two three"]));
    for part in ["L1H3  blocks.1.attn.hook_pattern[3]", "looks back", "mean |z|", "looks at"] {
        assert!(out.contains(part), "`{part}` is not in: {out}");
    }
    let doc = json(&place.inspect("L1H3", &["--quiet", "--format", "json", "--text", "one two three"]));
    let pattern = doc["pattern"].as_array().expect("pattern");
    assert_eq!(pattern.len(), doc["text"]["pieces"].as_array().expect("pieces").len());
    for row in pattern {
        let sum: f64 = row.as_array().expect("row").iter().map(|p| p.as_f64().expect("probability")).sum();
        assert!((sum - 1.0).abs() < 1e-5);
    }
}

#[test]
fn a_neuron_and_a_head_are_drawn_with_the_command_that_does_it() {
    let place = Place::new();
    for (what, name) in [("L1N3", "neuron.svg"), ("L1H0", "head.svg")] {
        text(&place.inspect(what, &["--export", name, "--theme", "dark"]));
        let svg = std::fs::read_to_string(place.0.path().join(name)).expect("picture");
        assert!(svg.contains(&format!("inspect {what}")) && svg.contains(&format!("--export {name}")), "{what}");
    }
    fails_with(&place.inspect("L1N3", &["--export", "neuron.doc"]), 2, &["neuron.doc", ".png"]);
}

/// The program by a command line that it recorded.
fn again(place: &Place, command: &str) -> Output {
    let line = command.replacen("brodmann", env!("CARGO_BIN_EXE_brodmann"), 1);
    let mut c = Command::new("sh");
    c.env("XDG_DATA_HOME", place.0.path()).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").env_remove("BRODMANN_LOG");
    c.current_dir(place.0.path()).args(["-c", &line]).output().expect("a shell")
}

/// What a shell or an option could take amiss.
const AWKWARD: &str = "- it's \"神经元\"\n$HOME `x` -- \\ done";

#[test]
fn the_recorded_command_reads_the_same_text_again() {
    let place = Place::new();
    let json_flags = ["--format", "json", "--quiet"];
    for (what, more) in [
        ("L1H2", &["--text", AWKWARD][..]),
        ("L1H2", &["--sample", "7"]),
        ("L1N5", &["--text", AWKWARD]),
        ("L1N5", &["--sample", "7"]),
        ("L1H2", &[]),
    ] {
        let doc = json(&place.inspect(what, &[&json_flags[..], more].concat()));
        let command = doc["provenance"]["command"].as_str().expect("command");
        let told = json(&again(&place, &format!("{command} --format json --quiet")));
        for part in ["text", "pattern", "logit_lens", "top", "by_offset"] {
            assert_eq!(told[part], doc[part], "{part} by {command}");
        }
    }
    let seventh = json(&place.inspect("L1H2", &["--sample", "7", "--format", "json", "--quiet"]));
    let first = json(&place.inspect("L1H2", &json_flags));
    assert_ne!(seventh["text"], first["text"], "another sample is read");
    fails_with(&place.inspect("L1H2", &["--sample", "12", "--quiet"]), 2, &["--sample 12", "0 to 11"]);
    fails_with(&place.inspect("L1H2", &["--sample", "1", "--text", "x"]), 2, &["--sample", "--text"]);
}

#[test]
fn a_head_reads_a_text_without_any_data() {
    let place = Place::new();
    let model = tiny();
    let model = model.to_str().expect("utf-8");
    let alone = |what: &str, more: &[&str]| place.run(&[&["inspect", what, "--model", model, "--no-index"], more].concat());
    let doc = json(&alone("L1H2", &["--text", AWKWARD, "--format", "json", "--quiet"]));
    let beside = json(&place.inspect("L1H2", &["--text", AWKWARD, "--format", "json", "--quiet"]));
    assert_eq!((&doc["pattern"], &doc["logit_lens"]), (&beside["pattern"], &beside["logit_lens"]));
    assert!(doc["index"].is_null() && doc["by_offset"].is_null() && doc["provenance"]["data_sha256"] == serde_json::json!([]));
    let told = json(&again(&place, &format!("{} --format json --quiet", doc["provenance"]["command"].as_str().expect("command"))));
    assert_eq!(told["pattern"], doc["pattern"]);
    let out = text(&alone("L1H2", &["--text", "one two", "--quiet"]));
    assert!(out.contains("looks at") && !out.contains("Index of"), "{out}");
    fails_with(&alone("L1N2", &["--text", "one two", "--quiet"]), 2, &["--no-index", "head"]);
    fails_with(&alone("L1H2", &["--quiet"]), 2, &["--text"]);
}

#[test]
fn what_the_window_exports_names_the_command_that_writes_it() {
    use brodmann::{
        app::{Command, Reading, testing},
        base::{Head, Neuron},
        report::export::{ExportSpec, FileKind, View},
    };
    let place = Place::new();
    let texts = place.0.path().join("texts.jsonl");
    let rows: Vec<String> = (0..20).map(|i| format!(r#"{{"text":"Story {i}: they went home.\nThe end of {i}."}}"#)).collect();
    std::fs::write(&texts, rows.join("\n")).expect("texts");
    let mut app = testing::for_tests(&place.0.path().join("window"));
    app.apply(Command::OpenModel { path: tiny() });
    testing::settle(&mut app);
    let head = Head::new(1, 2);
    let of_head = ExportSpec { what: View::Head, head: Some(head), kind: FileKind::Csv, ..ExportSpec::default() };
    let of_neuron = ExportSpec { what: View::Neuron, neuron: Some(Neuron::new(1, 5)), kind: FileKind::Csv, ..ExportSpec::default() };
    let exports = |app: &mut brodmann::app::App, spec: &ExportSpec, name: &str| {
        let (ours, theirs) = (place.0.path().join(name), place.0.path().join(format!("again_{name}")));
        app.apply(Command::Export { spec: spec.clone(), path: ours.clone() });
        testing::settle(app);
        let command = app.export_command(spec, &theirs);
        assert!(again(&place, &command).status.success(), "{command}");
        let read = |p: &Path| std::fs::read_to_string(p).unwrap_or_else(|e| panic!("{}: {e}", p.display()));
        let (ours, theirs) = (read(&ours), read(&theirs));
        let values = |t: &str| t.lines().filter(|l| !l.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
        assert!(values(&ours).len() > 20 && values(&ours) == values(&theirs), "{name}: {command}");
        command
    };
    // A typed text needs no data.
    app.apply(Command::ReadHead { head, reading: Reading::Text(AWKWARD.into()) });
    testing::settle(&mut app);
    assert!(exports(&mut app, &of_head, "typed_alone.csv").contains("--no-index"));

    app.apply(Command::AddDomain { name: "texts".into(), path: texts.clone(), mapping: Default::default() });
    testing::settle(&mut app);
    app.apply(Command::IndexActivations);
    testing::settle(&mut app);
    exports(&mut app, &of_head, "typed.csv");
    app.apply(Command::ReadHead { head, reading: Reading::Sample(11) });
    testing::settle(&mut app);
    assert!(exports(&mut app, &of_head, "sample.csv").contains("--sample 11"));
    app.apply(Command::InspectNeuron { neuron: Neuron::new(1, 5) });
    testing::settle(&mut app);
    exports(&mut app, &of_neuron, "neuron.csv");
}

#[test]
fn what_is_no_neuron_or_outside_is_refused_with_the_range() {
    let place = Place::new();
    fails_with(&place.inspect("L9N1", &["--quiet"]), 1, &["L9N1", "layers 0..2", "neurons 0..87"]);
    fails_with(&place.inspect("L1H4", &["--quiet"]), 1, &["heads 0..3"]);
    fails_with(&place.inspect("N3", &["--quiet"]), 2, &["L3N17", "L3H2"]);
}

#[test]
fn a_text_is_read_layer_by_layer() {
    let place = Place::new();
    let doc = json(&place.lens(&["--text", "Once upon a time", "--format", "json", "--quiet"]));
    assert_eq!(keys(&doc), ["text", "tokens", "from", "left_out", "position", "layers", "ablated", "provenance"]);
    let tokens = doc["tokens"].as_array().expect("tokens").len();
    let layers = doc["layers"].as_array().expect("layers");
    assert_eq!((layers.len(), layers[0].as_array().expect("positions").len()), (3, tokens));
    let last = &layers[2][tokens - 1];
    assert_eq!((last["rank"].as_u64(), last["top"].as_array().expect("top").len()), (Some(0), 5));
    assert!(doc["ablated"].is_null());

    // The last layer's first token is what the model writes next.
    let model = tiny();
    let model = model.to_str().expect("utf-8");
    let written =
        json(&place.run(&["generate", "--model", model, "--prompt", "Once upon a time", "--tokens", "1", "--format", "json", "--quiet"]));
    assert_eq!(written["tokens"][0], last["top"][0]["token"]);

    let doc =
        json(&place.lens(&["--text", "Once upon a time", "--neurons", "L1N0-60,L0H1", "--mode", "scale=3", "--format", "json", "--quiet"]));
    assert_ne!(doc["ablated"], doc["layers"]);
    assert_eq!(doc["layers"], json(&place.lens(&["--text", "Once upon a time", "--format", "json", "--quiet"]))["layers"]);
    let command = doc["provenance"]["command"].as_str().expect("command");
    assert!(command.contains("--neurons L1N0-60,L0H1 --mode scale=3"), "{command}");

    let out = text(&place.lens(&["--text", "Once upon a time", "--position", "1", "--quiet"]));
    assert!(out.contains("After token 1") && out.contains("bits") && out.lines().count() >= 7, "{out}");
    fails_with(&place.lens(&["--text", ""]), 2, &["--text is empty"]);
    fails_with(&place.lens(&["--text", "Once", "--position", "99", "--quiet"]), 2, &["--position 99"]);
    fails_with(&place.lens(&["--text", "Once", "--neurons", "L7N1", "--quiet"]), 1, &["L7N1"]);
}
