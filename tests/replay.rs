//! The real binary on projects: replayed elsewhere, scripted, killed in the middle of an edit; neuron sets in files and formulas.

use brodmann::{
    app::{Command as Request, EvalConfig, project_file},
    base::{Neuron, NeuronSet},
    data::Mapping,
    scan::{MetricKind, ScanConfig},
};
use serde_json::Value;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama")
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("folder"))
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn command(&self) -> Command {
        let mut c = Command::new(env!("CARGO_BIN_EXE_brodmann"));
        c.env("XDG_DATA_HOME", self.path("data-home")).env("XDG_CONFIG_HOME", self.path("config-home"));
        c.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").env_remove("BRODMANN_LOG").env_remove("BRODMANN_ISA");
        c.current_dir(self.0.path());
        c
    }
    fn run(&self, args: &[&str]) -> Output {
        self.command().args(args).output().expect("the binary starts")
    }
    fn questions(&self) -> PathBuf {
        let path = self.path("questions.jsonl");
        let rows: Vec<String> = (0..40)
            .map(|i| format!(r#"{{"question":"Which is number {i}?","choices":["one {i}","two","three"],"answer":{}}}"#, i % 3))
            .collect();
        std::fs::write(&path, rows.join("\n")).expect("questions");
        path
    }
    fn texts(&self) -> PathBuf {
        let path = self.path("texts.jsonl");
        let rows: Vec<String> = (0..20).map(|i| format!(r#"{{"text":"Here is a story about number {i} and its friends."}}"#)).collect();
        std::fs::write(&path, rows.join("\n")).expect("texts");
        path
    }

    /// A project with a scan, a set by formula in force and its accuracies, saved by the program itself.
    fn project(&self, model: &Path) -> PathBuf {
        let file = self.path("project.json");
        let scan = ScanConfig { samples: 4, max_tokens: 48, metrics: MetricKind::ALL.to_vec(), ..ScanConfig::default() };
        let eval = EvalConfig { samples: Some(10), max_tokens: 48, ..EvalConfig::default() };
        let add = |name: &str, path: PathBuf| Request::AddDomain { name: name.into(), path, mapping: Mapping::default() };
        let script = [
            Request::OpenModel { path: model.to_owned() },
            add("questions", self.questions()),
            add("texts", self.texts()),
            Request::SetScanConfig { config: scan },
            Request::SetEvalConfig { config: eval },
            Request::SetControls { count: 2 },
            Request::StartScan { out: Some(self.path("run")) },
            Request::AddFormula { name: "mine".into(), formula: "top(questions, 20%) - top(texts, 5%)".into(), on: true },
            Request::SaveProject { path: Some(file.clone()) },
        ];
        let lines: Vec<String> = script.iter().map(|c| serde_json::to_string(c).expect("json")).collect();
        std::fs::write(self.path("script.jsonl"), format!("# how it was made\n{}\n", lines.join("\n"))).expect("script");
        let out = self.run(&["script", "script.jsonl", "--wait", "--format", "json"]);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let stdout = String::from_utf8_lossy(&out.stdout);
        assert_eq!(stdout.lines().count(), script.len(), "{stdout}");
        file
    }
}

fn json(out: &Output) -> Value {
    serde_json::from_slice(&out.stdout)
        .unwrap_or_else(|e| panic!("{e}: {} {}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)))
}

#[test]
fn a_saved_project_replays_to_the_same_bits_and_a_changed_number_is_found() {
    let place = Place::new();
    let file = place.project(&tiny());
    let name = file.to_str().expect("utf-8");
    // The run itself is not needed: it is made anew.
    std::fs::remove_dir_all(place.path("run")).expect("run");
    let doc = json(&place.run(&["replay", name, "--format", "json", "--quiet"]));
    assert_eq!(doc["identical"], true, "{doc:#}");
    // Eight arrays for each of two domains, three pairs; before, after and two controls of each domain.
    let counts = &doc["counts"];
    assert_eq!((counts["different"].as_u64(), counts["missing"].as_u64(), counts["close"].as_u64()), (Some(0), Some(0), Some(0)));
    assert!(counts["identical"].as_u64() > Some(24), "{counts}");
    let text = place.run(&["replay", name, "--quiet"]);
    assert!(text.status.success() && String::from_utf8_lossy(&text.stdout).contains("identical to the last bit"));

    // One bit of one stored digest.
    let mut project: Value = serde_json::from_slice(&std::fs::read(&file).expect("file")).expect("json");
    let print = &mut project["results"]["scan"]["prints"]["relevance/questions"];
    assert!(print["sha256"].is_string(), "{project:#}");
    print["sha256"] = "0".repeat(64).into();
    std::fs::write(&file, project.to_string()).expect("changed");
    let out = place.run(&["replay", name, "--quiet"]);
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.status.code(), Some(1), "{stderr}");
    assert!(stdout.contains("relevance/questions") && stdout.contains("different") && stdout.contains("000000000000"), "{stdout}");
    assert!(!stdout.contains("density/questions") && stderr.contains("1 of "), "only differences are listed: {stdout}{stderr}");
}

#[test]
fn another_instruction_set_is_close_and_says_so() {
    let place = Place::new();
    let file = place.project(&tiny());
    let out = place
        .command()
        .args(["replay"])
        .arg(&file)
        .args(["--format", "json", "--quiet"])
        .env("BRODMANN_ISA", "baseline")
        .output()
        .expect("start");
    let doc = json(&out);
    assert!(out.status.success(), "{doc:#}");
    assert_ne!(doc["arithmetic"]["stored"], doc["arithmetic"]["found"]);
    assert_eq!((doc["counts"]["different"].as_u64(), doc["counts"]["missing"].as_u64()), (Some(0), Some(0)), "{doc:#}");
}

#[test]
fn a_project_whose_model_lies_elsewhere_replays_when_told_where() {
    let place = Place::new();
    let model = place.path("there/tiny");
    std::fs::create_dir_all(&model).expect("folder");
    for f in std::fs::read_dir(tiny()).expect("fixture").flatten() {
        std::fs::copy(f.path(), model.join(f.file_name())).expect("copy");
    }
    let file = place.project(&model);
    let name = file.to_str().expect("utf-8");
    std::fs::rename(place.path("there"), place.path("here")).expect("move");
    let out = place.run(&["replay", name, "--quiet"]);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(1) && stderr.contains("--model PATH") && stderr.contains("SHA-256"), "{stderr}");
    let moved = place.path("here/tiny");
    let doc = json(&place.command().args(["replay", name, "--format", "json", "--quiet", "--model"]).arg(moved).output().expect("start"));
    assert_eq!(doc["identical"], true, "{doc:#}");
}

#[test]
fn a_project_without_numbers_and_a_script_with_a_slip_say_what_to_do() {
    let place = Place::new();
    std::fs::write(place.path("p.json"), r#"{"format":"brodmann project","version":2,"program":"x","project":{}}"#).expect("write");
    let out = place.run(&["replay", "p.json"]);
    assert!(out.status.code() == Some(1) && String::from_utf8_lossy(&out.stderr).contains("holds no numbers"));
    std::fs::write(place.path("s.jsonl"), "{\"do\": \"undo\"}\n{\"do\": \"fly\"}\n").expect("write");
    let out = place.run(&["script", "s.jsonl"]);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(1) && stderr.contains("line 2") && stderr.contains("fly"), "{stderr}");
}

#[test]
fn sets_by_formula_and_from_files_of_either_vocabulary_are_the_same_set() {
    let place = Place::new();
    let file = place.project(&tiny());
    let sets = project_file::load(&file).expect("project").sets;
    let neurons = &sets[0].neurons;
    assert!(!neurons.is_empty() && sets[0].formula == "top(questions, 20%) - top(texts, 5%)");
    let run = place.path("run");
    let questions = format!("questions={}", place.path("questions.jsonl").display());
    let texts = format!("texts={}", place.path("texts.jsonl").display());
    let ablate = |set: &str| {
        let mut c = place.command();
        c.arg("ablate").arg("--model").arg(tiny()).args(["--data", &questions, "--data", &texts, "--neurons", set, "--run"]).arg(&run);
        c.args(["--samples", "4", "--controls", "1", "--max-tokens", "48", "--format", "json", "--quiet"]);
        c.output().expect("start")
    };
    let by_formula = json(&ablate("top(questions, 20%) - top(texts, 5%)"));
    let of = |doc: &Value| serde_json::from_value::<NeuronSet>(doc["sets"][0]["neurons"].clone()).expect("neurons");
    assert_eq!(&of(&by_formula), neurons);
    assert!(by_formula["sets"][0]["source"].as_str().expect("source").contains("top(questions, 20%)"));

    // The same under the names of the checkpoint and of TransformerLens.
    for key in [|l: usize| format!("model.layers.{l}.mlp.down_proj.weight[:, *]"), |l: usize| format!("blocks.{l}.mlp.hook_post")] {
        let named: serde_json::Map<String, Value> =
            neurons.layers().map(|l| (key(l), neurons.layer(l).collect::<Vec<_>>().into())).collect();
        std::fs::write(place.path("set.json"), serde_json::json!({ "neurons": named }).to_string()).expect("set");
        let doc = json(&ablate("set.json"));
        assert_eq!(&of(&doc), neurons);
    }
    let out = ablate("top(questions 20%)");
    assert!(out.status.code() == Some(2) && String::from_utf8_lossy(&out.stderr).contains("expected `,`"));
}

#[test]
fn an_ablation_is_exported_beside_what_is_printed() {
    let place = Place::new();
    let questions = format!("questions={}", place.questions().display());
    for end in ["svg", "png", "csv", "parquet"] {
        let file = format!("a.{end}");
        let mut c = place.command();
        c.arg("ablate").arg("--model").arg(tiny()).args([
            "--data",
            &questions,
            "--neurons",
            "L0N0-3",
            "--samples",
            "4",
            "--export",
            &file,
            "--quiet",
        ]);
        let out = c.output().expect("start");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        assert!(place.path(&file).is_file(), "{file}");
    }
    let text = std::fs::read_to_string(place.path("a.csv")).expect("csv");
    assert!(text.contains(",model,,questions,accuracy_ablated,") && text.lines().count() > 10, "{text}");
    let note = std::fs::read_to_string(place.path("a.csv.provenance.json")).expect("beside");
    assert!(note.contains("brodmann ablate --model") && note.contains("--export"), "{note}");
}

/// Feeds a running program one edit every 20 ms, kills it without a word, and says which edit survived and how old the first lost one was.
fn killed_after(alive: Duration, wide: u32) -> (usize, Duration) {
    let place = Place::new();
    let mut child = place
        .command()
        .args(["script", "-", "--autosave", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("stdin");
    let began = Instant::now();
    let mut sent = Vec::new();
    while began.elapsed() < alive {
        let notes = format!("edit {}", sent.len());
        let neurons: NeuronSet = (0..wide).map(|i| Neuron::new(i % 8, i)).collect();
        for command in [Request::SelectNeurons { neurons }, Request::SetNotes { notes }] {
            writeln!(stdin, "{}", serde_json::to_string(&command).expect("json")).expect("a line");
        }
        stdin.flush().expect("flush");
        sent.push(Instant::now());
        std::thread::sleep(Duration::from_millis(20));
    }
    // SIGKILL: no handler runs.
    child.kill().expect("kill");
    let dead = Instant::now();
    child.wait().expect("wait");
    let last = place.path("data-home/brodmann/last-project.json");
    let kept = match project_file::load(&last) {
        Ok(project) => project.notes.strip_prefix("edit ").and_then(|n| n.parse::<usize>().ok()).expect("a whole edit"),
        Err(e) if last.exists() => panic!("half a file: {e}"),
        // Killed before anything was due.
        Err(_) => return (0, dead - sent[0]),
    };
    // It opens again.
    std::fs::write(place.path("nothing.jsonl"), "").expect("write");
    let again = place.command().args(["script", "nothing.jsonl", "--project"]).arg(&last).output().expect("start");
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    (kept, sent.get(kept + 1).map_or(Duration::ZERO, |first_lost| dead - *first_lost))
}

#[test]
fn a_kill_in_the_middle_of_an_edit_loses_less_than_five_seconds() {
    // Small projects, and one of some megabytes, whose writing takes a while itself.
    let trials = [(2_900, 3), (4_600, 3), (6_100, 3), (8_300, 3), (7_000, 20_000), (9_100, 20_000)];
    let threads = trials.map(|(ms, wide)| std::thread::spawn(move || killed_after(Duration::from_millis(ms), wide)));
    for (thread, (ms, _)) in threads.into_iter().zip(trials) {
        let (kept, lost) = thread.join().expect("trial");
        assert!(lost < Duration::from_secs(5), "alive for {ms} ms: edit {kept} survived, {lost:?} of edits were lost");
    }
}
