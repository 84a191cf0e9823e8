//! `brodmann sweep` and `brodmann break` through the real binary: a sweep that is killed goes on to the same numbers.

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn brodmann(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brodmann"));
    command.env("XDG_DATA_HOME", home).env("XDG_CONFIG_HOME", home).args(args).arg("--model").arg(fixture("tiny-llama"));
    command.arg("--data").arg(format!("questions={}", fixture("data/eval_choices.jsonl").display()));
    command.args(["--format", "json", "--quiet"]);
    command
}

/// What `brodmann info` says of a folder of results.
#[track_caller]
fn brodmann_info(home: &Path, folder: &Path) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brodmann"));
    command.env("XDG_DATA_HOME", home).env("XDG_CONFIG_HOME", home).arg("info").arg(folder).args(["--format", "json"]);
    json(&command.output().expect("run"))
}

#[track_caller]
fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("json")
}

const SWEEP: [&str; 5] = ["sweep", "--unit", "neuron", "--domain", "questions"];

#[test]
fn a_killed_sweep_goes_on_to_the_numbers_of_one_that_was_not() {
    let dir = tempfile::tempdir().expect("folder");
    let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
    let into = |out: &Path| {
        let mut command = brodmann(dir.path(), &SWEEP);
        command.arg("--out").arg(out);
        command
    };
    let expected = json(&into(&whole).output().expect("run"));
    assert_eq!(expected["units"].as_array().expect("units").len(), 264);
    assert!(expected["provenance"]["command"].as_str().expect("command").contains("sweep --model"));

    let mut child = into(&parts).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start");
    let file = parts.join("sweep.csv");
    let lines = || std::fs::read_to_string(&file).map_or(0, |t| t.lines().count());
    let began = Instant::now();
    while lines() < 30 && child.try_wait().expect("child").is_none() && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("kill -9");
    child.wait().expect("end");
    let left = lines();
    assert!(left >= 2, "the sweep never began");
    let resumed = json(&into(&parts).output().expect("run"));
    assert_eq!(resumed["units"], expected["units"], "{left} lines were there");
    let info = brodmann_info(dir.path(), &parts);
    assert_eq!((&info["kind"], &info["command"]), (&Value::from("sweep"), &resumed["provenance"]["command"]));
    assert_eq!(info["provenance"]["model_sha256"], resumed["provenance"]["model_sha256"]);
    // The same sweep again measures nothing and says the same.
    let before = std::fs::read(&file).expect("file");
    assert_eq!(json(&into(&parts).output().expect("run"))["units"], expected["units"]);
    assert_eq!(std::fs::read(&file).expect("file"), before);
    // Another one does not write over it.
    let other = into(&parts).args(["--mode", "scale=2"]).output().expect("run");
    assert_eq!(other.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&other.stderr).contains("name a new folder"));
}

#[test]
fn every_way_to_sweep_answers_and_mistakes_say_what_to_do() {
    let dir = tempfile::tempdir().expect("folder");
    let run = |args: &[&str]| brodmann(dir.path(), args).output().expect("run");
    let heads = json(&run(&["sweep", "--unit", "head", "--domain", "questions", "--layers", "1-2", "--at", "answer"]));
    assert_eq!((heads["units"].as_array().expect("units").len(), &heads["at"]), (8, &"answer".into()));
    let layers = json(&run(&["sweep", "--unit", "layer", "--domain", "questions", "--mode", "scale=0.5"]));
    assert_eq!(layers["units"].as_array().expect("units").len(), 3);
    // A file beside what is printed: the same numbers, and the command that makes it.
    let (picture, table) = (dir.path().join("curve.svg"), dir.path().join("curve.csv"));
    let against = |out: &Path| {
        let out = out.display().to_string();
        run(&["sweep", "--against-k", "top:questions", "--percents", "5,50", "--controls", "2", "--export", &out])
    };
    json(&against(&picture));
    let svg = std::fs::read_to_string(&picture).expect("picture");
    assert!(svg.contains("--against-k") && svg.contains("--export") && svg.contains("curve.svg"));
    let curve = json(&against(&table));
    let accuracy = &curve["points"][1]["scores"][0];
    let share = accuracy["correct"].as_f64().expect("count") / accuracy["n"].as_f64().expect("count");
    let text = std::fs::read_to_string(&table).expect("table");
    assert!(text.lines().any(|l| l.contains(",accuracy_top_50,") && l.contains(&format!(",{share},"))), "{share} in {text}");
    assert_eq!(curve["points"].as_array().expect("points").len(), 2);
    assert_eq!(curve["points"][1]["controls"].as_array().expect("controls").len(), 2);
    let broken = run(&["break", "--domain", "questions", "--candidates", "20", "--mode", "scale=5", "--threshold", "0.1"]);
    if broken.status.success() {
        assert_eq!(json(&broken)["judged"][0]["domain"], "questions");
    } else {
        // Random weights may know no more than that to begin with.
        assert!(String::from_utf8_lossy(&broken.stderr).contains("nothing to break"), "{}", String::from_utf8_lossy(&broken.stderr));
    }
    for (args, says) in [
        (&["sweep", "--unit", "neuron"][..], "--domain"),
        (&["sweep", "--unit", "cell", "--domain", "questions"], "neuron, head or layer"),
        (&["sweep", "--against-k", "questions"], "top:arithmetic"),
        (&["sweep"], "--unit"),
        (&["break", "--domain", "questions", "--threshold", "2"], "0 to below 1"),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(says), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let unknown = run(&["sweep", "--unit", "head", "--domain", "poems"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("`poems`"));
    let beyond = run(&["sweep", "--unit", "head", "--domain", "questions", "--layers", "2-5"]);
    assert!(String::from_utf8_lossy(&beyond.stderr).contains("layers 0-2"), "{}", String::from_utf8_lossy(&beyond.stderr));
}

#[test]
fn predictions_stand_beside_what_is_measured_and_their_picture_says_how_it_is_made_again() {
    let dir = tempfile::tempdir().expect("folder");
    let table = dir.path().join("points.csv");
    let ablate = ["ablate", "--neurons", "L0N3,L1N7", "--controls", "2", "--predict", table.to_str().expect("path")];
    let ablated = json(&brodmann(dir.path(), &ablate).output().expect("run"));
    let of = &ablated["domains"]["questions"];
    let predicted = &of["predicted"];
    let number = |v: &Value| v.as_f64().expect("number");
    // The same items; the report sums paired differences, the point subtracts two means.
    let (p, m) = (number(&predicted["loss_change"]), number(&predicted["measured"]["loss_change"]));
    assert!((m - number(&of["loss_change"]["value"])).abs() < 1e-9, "{of}");
    // Two of 264 neurons change little, so the linear picture has the sign and the size right (0.0017 for 0.0038 nat a token).
    assert!(p > 0.0 && (p - m).abs() < m, "predicted {p}, measured {m}");
    let text = std::fs::read_to_string(&table).expect("table");
    assert!(text.contains("questions") && text.lines().count() > 3, "{text}");

    let picture = dir.path().join("heads.svg");
    let sweep = ["sweep", "--unit", "head", "--domain", "questions", "--predict", picture.to_str().expect("path")];
    let swept = json(&brodmann(dir.path(), &sweep).output().expect("run"));
    let units = swept["units"].as_array().expect("units");
    assert!(!units.is_empty() && units.iter().all(|u| u["predicted"]["loss_change"].is_f64()), "{swept}");
    let picture = std::fs::read_to_string(picture).expect("picture");
    assert!(picture.contains("--unit head") && picture.contains("--predict"), "the command that makes it again");

    // Before anything is measured, not after.
    for flag in ["--predict", "--export"] {
        let refused = brodmann(dir.path(), &["ablate", "--neurons", "L99N0", flag, "points.doc"]).output().expect("run");
        assert_eq!(refused.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&refused.stderr).contains(".parquet"), "{flag}");
    }
    let refused = brodmann(dir.path(), &["sweep", "--against-k", "top:questions", "--predict"]).output().expect("run");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--against-k"));
}
