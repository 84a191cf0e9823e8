//! `brodmann continual`, `brodmann transfer` and a killed `brodmann tune`, by the real binary, on the demo.

use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brodmann"));
    command.args(arguments).env("XDG_DATA_HOME", home.join("data")).env("XDG_CONFIG_HOME", home.join("config"));
    command
}

fn json(home: &Path, arguments: &[&str]) -> Value {
    let output = command(home, arguments).output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one document")
}

/// Starts the program, kills it (SIGKILL) as soon as `due`, and says whether it was still at work then.
fn kill_when(home: &Path, arguments: &[&str], due: impl Fn() -> bool) -> bool {
    let mut child = command(home, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    let began = Instant::now();
    while !due() {
        if child.try_wait().expect("waits").is_some() {
            return false;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "it never came so far");
        std::thread::sleep(Duration::from_millis(2));
    }
    let at_work = child.try_wait().expect("waits").is_none();
    child.kill().expect("killed");
    child.wait().expect("waits");
    at_work
}

const DATA: [&str; 6] = ["--data", "logic=demo", "--data", "sentiment=demo", "--data", "facts=demo"];

fn with<'a>(head: &[&'a str], rest: &[&'a str]) -> Vec<&'a str> {
    head.iter().chain(&DATA).chain(rest).copied().collect()
}

#[test]
fn a_killed_sequence_goes_on_to_the_numbers_of_an_unbroken_one() {
    let home = tempfile::tempdir().expect("folder");
    let short = [
        "--tasks",
        "sentiment,logic",
        "--methods",
        "ncft,w-ncft,sequential",
        "--seeds",
        "4",
        "--steps",
        "120",
        "--batch",
        "4",
        "--rate",
        "3e-3",
        "--samples",
        "24",
        "--validation-items",
        "16",
        "--train-items",
        "64",
        "--relevance-samples",
        "8",
        "--evaluate-every",
        "40",
        "--format",
        "json",
    ];
    let (whole, broken) = (home.path().join("whole"), home.path().join("broken"));
    let (whole_text, broken_text) = (whole.display().to_string(), broken.display().to_string());
    let arguments = |out| with(&["continual", "--out", out], &short);
    let unbroken = json(home.path(), &arguments(&whole_text));
    assert_eq!(unbroken["tasks"], serde_json::json!(["sentiment", "logic"]));
    assert_eq!(unbroken["others"], serde_json::json!(["facts"]));
    // Killed once the first lesson has a checkpoint (every hundred steps), and once the second is done and judged.
    let state = broken.join("continual.json");
    let finished = |n: usize| {
        let text = std::fs::read(&state).unwrap_or_default();
        serde_json::from_slice::<Value>(&text).is_ok_and(|v| v["lessons"].as_array().is_some_and(|l| l.len() >= n))
    };
    assert!(kill_when(home.path(), &arguments(&broken_text), || broken.join("sequential-seed4/task1").exists()), "too quick to be killed");
    assert!(kill_when(home.path(), &arguments(&broken_text), || finished(2)), "too quick to be killed");
    let resumed = json(home.path(), &arguments(&broken_text));
    for key in ["runs", "before", "cosines", "methods", "weights"] {
        assert_eq!(resumed[key], unbroken[key], "{key}");
    }
    let digests = |v: &Value| v["lessons"].as_array().expect("lessons").iter().map(|l| l["values_sha256"].clone()).collect::<Vec<_>>();
    assert_eq!(digests(&resumed), digests(&unbroken));
    let average = unbroken["methods"]["ncft"]["figures"]["average"]["mean"].as_f64().expect("average");
    assert!((0.2..=1.0).contains(&average), "{average}");
    assert!(
        unbroken["provenance"]["command"].as_str().expect("command").contains("--tasks sentiment,logic --methods sequential,ncft,w-ncft")
    );
    // The finished folder is drawn and tabled without the model; a view that it has not is an error that says so.
    let table = home.path().join("sequence.csv");
    let export = |what: &str, out: &Path| {
        let words = ["export", whole_text.as_str(), "--what", what, "--quiet", "--out"];
        command(home.path(), &words).arg(out).output().expect("runs")
    };
    let output = export("continual", &table);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&table).expect("table");
    let cell = unbroken["runs"][0]["cells"][0][0]["correct"].as_f64().expect("count") / 24.0;
    let first = format!("accuracy_{}_after_sentiment,", unbroken["runs"][0]["method"].as_str().expect("method"));
    let row = text.lines().find(|l| l.contains(",sentiment,") && l.contains(&first)).expect("its row");
    assert!(row.contains(&format!(",{cell},")) && row.ends_with(",4"), "{row}");
    for what in ["deactivation", "neurons"] {
        let output = export(what, &home.path().join("no.csv"));
        assert_eq!(output.status.code(), Some(1), "{what}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(&whole_text), "{what}");
    }
    // A second run to compare with must be a scan.
    let words = ["export", "demo", "--what", "maps", "--other", whole_text.as_str(), "--quiet", "--out"];
    let output = command(home.path(), &words).arg(home.path().join("no.png")).output().expect("runs");
    assert!(output.status.code() == Some(1) && String::from_utf8_lossy(&output.stderr).contains("holds no scan"));
    // The folder holds this sequence and refuses another.
    let mut other = arguments(&whole_text);
    other.extend(["--percent", "3"]);
    let output = command(home.path(), &other).output().expect("runs");
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("another sequence"));
}

#[test]
fn transfer_gives_pairs_correlations_and_a_curve() {
    let home = tempfile::tempdir().expect("folder");
    let short = [
        "--percents",
        "2",
        "--steps",
        "4",
        "--batch",
        "4",
        "--samples",
        "12",
        "--validation-items",
        "8",
        "--train-items",
        "32",
        "--relevance-samples",
        "8",
        "--format",
        "json",
    ];
    let v = json(home.path(), &with(&["transfer"], &short));
    assert_eq!(v["pairs"].as_array().expect("pairs").len(), 6);
    assert_eq!(v["units"].as_array().expect("units").len(), 6);
    assert_eq!(v["proportions"].as_array().expect("curve").len(), 2);
    let c = &v["correlations"]["gain"]["overlap"];
    // Three labels: all six permutations.
    assert!(c.is_null() || c["permutations"] == 6 && c["exact"] == true, "{c}");
}

/// A result without what a later command may say otherwise: where it came from and how long it took.
fn plain(mut v: Value, trainings: &str) -> Value {
    v["provenance"] = Value::Null;
    v[trainings].as_array_mut().expect("trainings").iter_mut().for_each(|t| t["seconds"] = 0.into());
    v
}

#[test]
fn more_seeds_methods_and_shares_are_added_to_a_folder_and_fewer_are_told_from_it() {
    let home = tempfile::tempdir().expect("folder");
    let short = [
        "--steps",
        "4",
        "--batch",
        "4",
        "--rate",
        "3e-3",
        "--samples",
        "12",
        "--validation-items",
        "8",
        "--train-items",
        "32",
        "--relevance-samples",
        "8",
        "--evaluate-every",
        "2",
        "--format",
        "json",
    ];
    let folders = || std::fs::read_dir(home.path().join("data/brodmann/lessons")).map_or(0, Iterator::count);
    let whole = |name: &str| home.path().join(name).display().to_string();
    for (verb, file, trainings, small, large) in [
        (
            "continual",
            "continual.json",
            "lessons",
            vec!["--tasks", "sentiment,logic", "--methods", "ncft", "--seeds", "1"],
            vec!["--tasks", "sentiment,logic", "--methods", "w-ncft,ncft,lora", "--seeds", "0,1", "--rate-of", "lora=1e-3"],
        ),
        ("transfer", "transfer.json", "units", vec!["--percents", "2", "--seeds", "1"], vec!["--percents", "2,5", "--seeds", "0,1"]),
    ] {
        let ask = |settings: &[&str], out: &str| {
            let head = [&[verb, "--out", out], settings].concat();
            with(&head, &short).into_iter().map(str::to_owned).collect::<Vec<String>>()
        };
        let run = |words: &[String]| json(home.path(), &words.iter().map(String::as_str).collect::<Vec<_>>());
        let (grown, start) = (whole(&format!("{verb}-grown")), whole(&format!("{verb}-whole")));
        let first = run(&ask(&small, &grown));
        let more = run(&ask(&large, &grown));
        let unbroken = run(&ask(&large, &start));
        assert_eq!(plain(more.clone(), trainings), plain(unbroken, trainings));
        // What was there kept even its time; the rest is new.
        let times = |v: &Value| v[trainings].as_array().expect("trainings").iter().map(|t| t["seconds"].to_string()).collect::<Vec<_>>();
        assert!(times(&first).iter().all(|t| times(&more).contains(t)) && times(&more).len() > times(&first).len());
        assert!(more["provenance"]["command"].as_str().expect("command").contains("--seeds 0,1"));
        let kept = std::fs::read(Path::new(&grown).join(file)).expect("file");
        // A part of it is told as it was learnt, even how long that took.
        let told = run(&ask(&small, &grown));
        assert_eq!((times(&told), plain(told, trainings)), (times(&first), plain(first.clone(), trainings)));
        let mixed: Vec<&str> = small.iter().map(|w| if *w == "1" { "1,7" } else { w }).collect();
        let words = ask(&mixed, &grown);
        let output = command(home.path(), &words.iter().map(String::as_str).collect::<Vec<_>>()).output().expect("runs");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && output.stdout.is_empty(), "{message}");
        assert!(message.contains("it has seeds 0, 1, asked for is 1, 7") && message.contains("It stays as it is"), "{message}");
        assert!(std::fs::read(Path::new(&grown).join(file)).expect("file") == kept);
        // Without a name the smaller and the larger request find the same folder, and the smaller one finds it again.
        let before = folders();
        let unnamed = |settings: &[&str]| {
            let head = [&[verb], settings].concat();
            let found = json(home.path(), &with(&head, &short));
            (plain(found, trainings), folders() - before)
        };
        assert_eq!((unnamed(&small).1, unnamed(&large)), (1, (plain(more, trainings), 1)));
        assert_eq!(unnamed(&small), (plain(first, trainings), 1));
    }
}

#[test]
fn what_cannot_be_meant_is_said() {
    let home = tempfile::tempdir().expect("folder");
    for (arguments, words) in [
        (vec!["continual", "--tasks", "music"], "the domains are"),
        (vec!["continual", "--methods", "magic"], "there is no method"),
        (vec!["continual", "--temperature", "0", "--steps", "1"], "above 0"),
        (vec!["continual", "--seeds", "1,1", "--steps", "1"], "none twice"),
        (vec!["continual", "--rate-of", "ncft"], "METHOD=RATE"),
        (vec!["transfer", "--percents", "0"], "above 0"),
        (vec!["continual", "--tuned", "/somewhere"], "trains the model of --model itself"),
        (vec!["transfer", "--tuned", "/somewhere"], "leave it out"),
    ] {
        let output = command(home.path(), &with(&arguments[..1], &arguments[1..])).output().expect("runs");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && output.stdout.is_empty() && message.contains(words), "{arguments:?}: {message}");
    }
}

#[test]
fn a_killed_tuning_goes_on_to_the_weights_of_an_unbroken_one() {
    let home = tempfile::tempdir().expect("folder");
    let (whole, broken) = (home.path().join("whole"), home.path().join("broken"));
    let (whole_text, broken_text) = (whole.display().to_string(), broken.display().to_string());
    let arguments = |out| {
        let head = ["tune", "--task", "logic", "--train", "top:10", "--out", out, "--data", "logic=demo"];
        let rest = ["--steps", "230", "--batch", "8", "--samples", "16", "--evaluate-every", "70", "--format", "json"];
        head.into_iter().chain(rest).collect::<Vec<_>>()
    };
    let unbroken = json(home.path(), &arguments(&whole_text));
    // Checkpoints are kept every hundred steps: killed after the first, in the middle of what follows.
    let checkpoint = broken.join("training.checkpoint.safetensors");
    assert!(kill_when(home.path(), &arguments(&broken_text), || checkpoint.exists()), "too quick to be killed");
    assert!(!broken.join("tune.json").exists() && checkpoint.exists());
    let resumed = json(home.path(), &arguments(&broken_text));
    for key in ["overlay_sha256", "best_step", "steps"] {
        assert_eq!(resumed[key], unbroken[key], "{key}");
    }
    let points = |v: &Value| {
        let of = |p: &Value| (p["step"].clone(), p["evaluated"]["accuracy"].clone());
        v["points"].as_array().expect("points").iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(points(&resumed), points(&unbroken));
}
