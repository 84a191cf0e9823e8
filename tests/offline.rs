//! Models of the Hugging Face cache by their names, through the real binary; and no socket is ever opened.

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

#[path = "support/gguf.rs"]
mod gguf;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama")
}

/// A cache with org/tiny (a folder), org/packed (a GGUF file) and org/cut (no weights), and a text to scan.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("folder"));
        let snapshot = |repo: &str| {
            let folder = place.0.path().join("hub").join(repo).join("snapshots/0123abcd");
            std::fs::create_dir_all(&folder).expect("snapshot");
            folder
        };
        let (tiny, packed, cut) = (snapshot("models--org--tiny"), snapshot("models--org--packed"), snapshot("models--org--cut"));
        for file in ["config.json", "tokenizer.json", "model.safetensors"] {
            link(&fixture().join(file), &tiny.join(file));
        }
        gguf::convert(&fixture()).write(&packed.join("tiny.F32.gguf"));
        std::fs::copy(fixture().join("config.json"), cut.join("config.json")).expect("copy");
        let rows: Vec<String> = (0..6).map(|i| format!(r#"{{"text":"Here is a story about number {i} and its friends."}}"#)).collect();
        std::fs::write(place.0.path().join("texts.jsonl"), rows.join("\n")).expect("texts");
        place
    }
    fn command(&self, args: &[&str]) -> Command {
        let mut c = Command::new(env!("CARGO_BIN_EXE_brodmann"));
        c.env("XDG_DATA_HOME", self.0.path()).env("HF_HUB_CACHE", self.0.path().join("hub"));
        c.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").env_remove("BRODMANN_LOG");
        c.current_dir(self.0.path()).args(args);
        c
    }
    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the binary starts")
    }
}

/// As the cache holds its files: links to blobs without names of their own.
#[cfg(unix)]
fn link(from: &Path, to: &Path) {
    std::os::unix::fs::symlink(from, to).expect("link");
}
#[cfg(not(unix))]
fn link(from: &Path, to: &Path) {
    std::fs::copy(from, to).expect("copy");
}

fn json(out: &Output) -> Value {
    assert!(out.status.success(), "{}: {}", out.status, String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stdout)))
}

#[test]
fn models_lists_the_cache() {
    let place = Place::new();
    let report = json(&place.run(&["models", "--format", "json"]));
    let models = report["models"].as_array().expect("models");
    let names: Vec<&str> = models.iter().map(|m| m["name"].as_str().expect("name")).collect();
    assert_eq!(names, ["org/cut", "org/packed", "org/tiny"]);
    assert!(models[0]["problem"].as_str().expect("problem").contains("expected model.safetensors"));
    assert_eq!((&models[1]["dtype"], &models[1]["model_type"]), (&"gguf f32".into(), &"llama".into()));
    for m in &models[1..] {
        assert_eq!((m["n_layers"].as_u64(), m["d_mlp"].as_u64(), m["problem"].is_null()), (Some(3), Some(88), true));
        assert!(m["memory"]["least_bytes"].as_u64() <= m["memory"]["fast_bytes"].as_u64() && m["size_bytes"].as_u64() > Some(100_000));
    }
    let out = place.run(&["models"]);
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(text.contains("org/tiny") && text.contains("cannot be opened") && text.contains("hub"), "{text}");
    let empty = place.command(&["models"]).env("HF_HUB_CACHE", place.0.path().join("none")).output().expect("run");
    let text = String::from_utf8_lossy(&empty.stdout);
    assert!(empty.status.success() && text.contains("No model in") && text.contains("none"), "{text}");
}

#[test]
fn a_model_opens_by_its_name_in_the_cache() {
    let place = Place::new();
    let named = json(&place.run(&["info", "org/tiny", "--format", "json"]));
    let folder = json(&place.run(&["info", &fixture().display().to_string(), "--format", "json"]));
    assert_eq!(named["model"]["name"], "org/tiny");
    assert_eq!(named["model"]["sha256"], folder["model"]["sha256"]);
    let packed = json(&place.run(&["info", "org/packed/tiny.F32.gguf", "--format", "json"]));
    assert_eq!((&packed["model"]["name"], &packed["model"]["dtype"]), (&"tiny.F32".into(), &"gguf f32".into()));
    let out = place.run(&["info", "org/none"]);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1));
    for part in ["org/none is not on this disk", "models--org--none: no such folder", "Nothing is downloaded"] {
        assert!(stderr.contains(part), "`{part}` is not in: {stderr}");
    }
}

#[test]
fn a_run_of_a_named_model_says_the_name_in_its_command() {
    let place = Place::new();
    let scan = [
        "scan",
        "--model",
        "org/tiny",
        "--data",
        "texts=texts.jsonl",
        "--samples",
        "4",
        "--device",
        "cpu",
        "--out",
        "run",
        "--format",
        "json",
    ];
    assert!(place.run(&scan).status.success());
    let info = json(&place.run(&["info", "run", "--format", "json"]));
    let command = info["command"].as_str().expect("command");
    assert!(command.contains("--model org/tiny "), "{command}");
}

/// The kernel kills the program at its first call of `socket`. A program that opens one would not get to its end.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod sealed {
    use super::*;
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};

    #[expect(unsafe_code, reason = "a seccomp filter is set by prctl, between fork and exec")]
    fn without_sockets(command: &mut Command) -> &mut Command {
        let set = || {
            const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
            const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
            const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
            let step = |code: u16, jt: u8, jf: u8, k: u32| libc::sock_filter { code, jt, jf, k };
            // The number of the call is the first field of what a filter sees.
            let mut filter = [
                step(LOAD, 0, 0, 0),
                step(EQUAL, 0, 1, libc::SYS_socket as u32),
                step(RETURN, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
                step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
            ];
            let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
            // SAFETY: both calls only read what they are given, which lives until they return.
            let set = unsafe {
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                    && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
            };
            if set { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        };
        // SAFETY: between fork and exec the closure makes two system calls and allocates nothing.
        unsafe { command.pre_exec(set) }
    }

    /// Whether a filter can be set here at all, and kills what it should.
    fn works() -> bool {
        let seen = without_sockets(Command::new("python3").args(["-c", "import socket; socket.socket()"])).output();
        match seen {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => true,
            Err(e) => {
                println!("skipped: no seccomp filter can be set here ({e})");
                false
            }
            Ok(out) => {
                assert_eq!(out.status.signal(), Some(libc::SIGSYS), "the filter lets a socket through: {}", out.status);
                true
            }
        }
    }

    #[test]
    fn no_socket_is_opened() {
        if !works() {
            return;
        }
        let place = Place::new();
        for args in [
            &["scan", "--model", "org/tiny", "--data", "texts=texts.jsonl", "--samples", "4", "--report", "r.html"][..],
            &["scan", "--model", "org/packed", "--data", "texts=texts.jsonl", "--samples", "4", "--out", "run"],
            &["eval", "--model", "org/tiny", "--data", "texts=texts.jsonl"],
            &["models"],
            &["info", "run"],
        ] {
            let out = without_sockets(&mut place.command(args)).output().expect("the binary starts");
            assert!(out.status.success(), "{args:?}: {}: {}", out.status, String::from_utf8_lossy(&out.stderr));
        }
        // Not even to look for what is missing.
        let out = without_sockets(&mut place.command(&["info", "org/none"])).output().expect("the binary starts");
        assert_eq!((out.status.code(), out.status.signal()), (Some(1), None));
    }
}
