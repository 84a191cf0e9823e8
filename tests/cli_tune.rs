//! `brodmann tune` by the real binary, on the demo.

use serde_json::Value;
use std::{path::Path, process::Command};

fn brodmann(home: &Path, arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_brodmann"))
        .args(arguments)
        .env("XDG_DATA_HOME", home.join("data"))
        .env("XDG_CONFIG_HOME", home.join("config"))
        .output()
        .expect("runs")
}

fn json(output: &std::process::Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one document")
}

const SHORT: [&str; 14] = [
    "--data",
    "logic=demo",
    "--data",
    "arithmetic=demo",
    "--steps",
    "6",
    "--batch",
    "4",
    "--samples",
    "24",
    "--evaluate-every",
    "3",
    "--format",
    "json",
];

#[test]
fn a_neuron_set_is_tuned_into_an_overlay_and_the_same_command_gives_the_same_bytes() {
    let home = tempfile::tempdir().expect("folder");
    let run = |name: &str| {
        let (out, saved) = (home.path().join(name), home.path().join(format!("{name}-model")));
        let (out_text, saved_text) = (out.display().to_string(), saved.display().to_string());
        let mut arguments = vec!["tune", "--task", "logic", "--train", "top:5", "--out", &out_text, "--save-model", &saved_text];
        arguments.extend(SHORT);
        (json(&brodmann(home.path(), &arguments)), out, saved)
    };
    let (report, out, saved) = run("a");
    // 5 % of 8 x 384 neurons, three vectors of 96 each.
    assert_eq!(report["trained"], 154 * 3 * 96);
    assert_eq!(report["steps"], 6);
    assert_eq!(report["points"].as_array().expect("points").len(), 7);
    for domain in ["logic", "arithmetic"] {
        assert!(report["before"]["accuracy"][domain].as_f64().expect("accuracy") > 0.5);
        assert!(report["after"]["loss"][domain].as_f64().expect("loss") > 0.0);
    }
    assert!(report["provenance"]["command"].as_str().expect("command").contains("--train top:5"));
    let (again, again_out, _) = run("b");
    let bytes = |folder: &Path| std::fs::read(folder.join("overlay.safetensors")).expect("overlay");
    assert_eq!(again["overlay_sha256"], report["overlay_sha256"]);
    // The provenance inside says when and where; the values are the same.
    assert_eq!(bytes(&out).len(), bytes(&again_out).len());
    assert!(!out.join("training.checkpoint.safetensors").exists());
    // The saved folder is a model like any other, and scores what the report says.
    let model = saved.display().to_string();
    let scored = json(&brodmann(
        home.path(),
        &["eval", "--model", &model, "--data", "logic=demo", "--order", "file", "--samples", "24", "--format", "json"],
    ));
    let (now, said) = (scored["domains"]["logic"]["acc"].as_f64(), report["after"]["accuracy"]["logic"].as_f64());
    assert_eq!(now, said);
    // So does the overlay on the base, which is another model than the base and says so.
    let overlay = out.display().to_string();
    let arguments = ["eval", "--tuned", &overlay, "--data", "logic=demo", "--order", "file", "--samples", "24", "--format", "json"];
    let laid = json(&brodmann(home.path(), &arguments));
    assert_eq!(laid["domains"]["logic"]["acc"].as_f64(), said);
    assert!(laid["provenance"]["command"].as_str().expect("command").contains("--tuned"));
    assert_ne!(laid["provenance"]["model_sha256"], report["provenance"]["model_sha256"]);
    // Tuning starts from the base, also where its child computes: the same command gives the same values.
    assert!(report["provenance"]["command"].as_str().expect("command").contains("--data logic=demo"));
}

#[test]
fn adapters_are_saved_as_peft_reads_them() {
    let home = tempfile::tempdir().expect("folder");
    let out = home.path().join("lora");
    let out_text = out.display().to_string();
    let mut arguments = vec!["tune", "--task", "logic", "--train", "lora:2:4", "--out", &out_text];
    arguments.extend(SHORT);
    let report = json(&brodmann(home.path(), &arguments));
    // Queries [96, 96] and values [48, 96] of eight layers at rank 2.
    assert_eq!(report["trained"], 8 * 2 * ((96 + 96) + (96 + 48)));
    let config: Value = serde_json::from_slice(&std::fs::read(out.join("adapter/adapter_config.json")).expect("file")).expect("json");
    assert_eq!((&config["peft_type"], &config["r"], &config["lora_alpha"]), (&"LORA".into(), &2.into(), &4.0.into()));
    assert_eq!(config["target_modules"], serde_json::json!(["q_proj", "v_proj"]));
    let bytes = std::fs::read(out.join("adapter/adapter_model.safetensors")).expect("file");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    let a = file.tensor("base_model.model.model.layers.7.self_attn.v_proj.lora_A.weight").expect("A");
    let b = file.tensor("base_model.model.model.layers.7.self_attn.v_proj.lora_B.weight").expect("B");
    assert_eq!((a.shape(), b.shape()), (&[2, 96][..], &[48, 2][..]));
}

#[test]
fn what_cannot_be_meant_is_said() {
    let home = tempfile::tempdir().expect("folder");
    let out = home.path().join("o").display().to_string();
    for (arguments, words) in [
        (vec!["--task", "nothing", "--train", "all"], "the domains are"),
        (vec!["--task", "logic", "--train", "top:0"], "above 0"),
        (vec!["--task", "logic", "--train", "L0H1"], "heads cannot be trained"),
        (vec!["--task", "logic", "--train", "L99N0"], "outside this model"),
        (vec!["--task", "logic", "--train", "all", "--rate", "0"], "learning rate 0"),
        (vec!["--task", "logic", "--tuned", "/somewhere"], "--save-model"),
    ] {
        let mut all = vec!["tune", "--out", &out];
        all.extend(arguments);
        all.extend(SHORT);
        let output = brodmann(home.path(), &all);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && output.stdout.is_empty() && message.contains(words), "{all:?}: {message}");
    }
}
