use super::*;
use crate::{
    base::{Grid, provenance},
    compute::scan_job::{HISTOGRAM_BINS, histogram_bin},
    data::DomainKind,
    scan::{DomainScan, MetricKind, PairSeries, ScanOutput},
};
use proptest::prelude::*;
use std::fs;

fn grid(rows: usize, cols: usize, seed: u32) -> Grid {
    let values: Vec<f32> = (0..rows * cols).map(|i| ((i as u32).wrapping_mul(2_654_435_761) ^ seed) as f32 / 4e9).collect();
    Grid::new(rows, cols, values).expect("grid")
}

fn domain(name: &str, samples: usize, layers: usize, params: u64, f: usize) -> DomainScan {
    let mut histogram = vec![0u64; HISTOGRAM_BINS];
    histogram[histogram_bin(1e-3)] = params - 3;
    histogram[0] = 3;
    let count = params - 3;
    DomainScan {
        name: name.into(),
        source: DomainSource {
            file: "data/ä b.jsonl".into(),
            sha256: "ab".repeat(32),
            split: "all".into(),
            kind: DomainKind::MultipleChoice,
            template: "{question}\nAnswer:".into(),
            sample_lines: (1..=samples).map(|i| 3 * i).collect(),
            too_short: vec![2],
            unreadable: 1,
            longest: 128,
            cut: 1,
            self_cycle: if samples > 1 { (0..samples).map(|m| (m + 1) % samples).collect() } else { vec![] },
        },
        samples,
        tokens: 7 * samples,
        mean_objective: 12.345_678_9,
        density: vec![count as f64 / params as f64; layers],
        activated_count: vec![count; layers],
        histogram: vec![histogram; layers],
        param_activation: Some(grid(layers, f, 1)),
        relevance: Some(grid(layers, f, 2)),
        head_relevance: Some(grid(layers, 2, 3)),
        attribution: Some(Grid::new(layers, f, vec![-0.25; layers * f]).expect("grid")),
        mean_activation: Some(Grid::new(layers, f, vec![-0.5; layers * f]).expect("grid")),
        mean_abs_activation: None,
    }
}

fn output() -> ScanOutput {
    let (layers, f, params) = (3, 5, 1000);
    let series = |a: &str, b: &str, rows: usize| PairSeries {
        a: a.into(),
        b: b.into(),
        cosines: (0..rows).map(|m| vec![Some(0.25), None, Some(1.0 / (m + 1) as f32)]).collect(),
    };
    ScanOutput {
        config: ScanConfig { metrics: vec![MetricKind::ParamActivation, MetricKind::Llmdcos], gamma: 2e-6, ..ScanConfig::default() },
        provenance: Provenance {
            program: provenance::program(),
            model: "m".into(),
            data_sha256: vec![("a".into(), "00".into())],
            seed: u64::MAX,
            command: "brodmann scan --data 'a=x y'".into(),
            ..Provenance::default()
        },
        timing: Timing { seconds: 1.25, samples_per_second: 0.1, peak_rss_bytes: 1 << 40 },
        n_layers: layers,
        d_mlp: f,
        params_per_layer: vec![params; layers],
        domains: vec![domain("a", 3, layers, params, f), domain("b c", 1, layers, params, f)],
        llmdcos: vec![series("a", "b c", 1), series("a", "a", 3), series("b c", "b c", 0)],
    }
}

fn written() -> (tempfile::TempDir, ScanOutput) {
    let folder = tempfile::tempdir().expect("folder");
    let output = output();
    write_run(folder.path(), &output).expect("write");
    (folder, output)
}

/// Puts grids in place and makes run.json agree with their digest, so that what lies behind the digest is tested.
fn replace_grids(folder: &std::path::Path, bytes: &[u8]) {
    let json = fs::read_to_string(folder.join(RUN_FILE)).expect("json");
    let old = crate::base::hash::sha256_bytes(&fs::read(folder.join(GRIDS_FILE)).expect("grids"));
    fs::write(folder.join(GRIDS_FILE), bytes).expect("write");
    fs::write(folder.join(RUN_FILE), json.replace(&old, &crate::base::hash::sha256_bytes(bytes))).expect("write");
}

#[test]
fn what_is_read_equals_what_was_written_and_writing_twice_gives_the_same_bytes() {
    let (folder, output) = written();
    assert_eq!(read_run(folder.path()).expect("read"), output);
    let bytes = || [RUN_FILE, GRIDS_FILE].map(|f| fs::read(folder.path().join(f)).expect("file"));
    let first = bytes();
    write_run(folder.path(), &output).expect("write again");
    assert_eq!(bytes(), first);
}

#[test]
fn names_and_shapes_are_those_that_other_tools_look_for() {
    let (folder, _) = written();
    let bytes = fs::read(folder.path().join(GRIDS_FILE)).expect("grids");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    let shape = |name: &str| tensors.tensor(name).expect(name).shape().to_vec();
    assert_eq!(shape("density/a"), [3]);
    assert_eq!(shape("activated_count/a"), [3]);
    assert_eq!(shape("param_histogram/b c"), [3, HISTOGRAM_BINS]);
    assert_eq!(shape("param_activation/a"), [3, 5]);
    assert_eq!(shape("relevance/a"), [3, 5]);
    assert_eq!(shape("mean_activation/a"), [3, 5]);
    assert_eq!(shape("llmdcos/a|b c"), [1, 3]);
    assert_eq!(shape("llmdcos/a|a"), [3, 3]);
    assert_eq!(tensors.tensor("activated_count/a").expect("count").dtype(), safetensors::Dtype::I64);
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).expect("header");
    let metadata = header.metadata().clone().expect("metadata");
    let edges: Vec<f32> = serde_json::from_str(&metadata["histogram_edges"]).expect("edges");
    assert_eq!(edges.len(), HISTOGRAM_BINS + 1);
    assert_eq!((edges[0], edges[8]), (2f32.powi(-40), 2f32.powi(-39)));
}

#[test]
fn a_file_of_another_run_is_noticed() {
    let (folder, mut output) = written();
    let json = fs::read(folder.path().join(RUN_FILE)).expect("json");
    output.domains[0].activated_count[0] -= 1;
    output.domains[0].density[0] = output.domains[0].activated_count[0] as f64 / 1000.0;
    write_run(folder.path(), &output).expect("write");
    fs::write(folder.path().join(RUN_FILE), json).expect("old json");
    let message = read_run(folder.path()).expect_err("mixed").to_string();
    assert!(message.contains("grids.safetensors") && message.contains("SHA-256 differs"), "{message}");
}

#[test]
fn impossible_numbers_are_refused_and_named() {
    let spoil = |change: &dyn Fn(&mut ScanOutput), expected: &str| {
        let folder = tempfile::tempdir().expect("folder");
        let mut output = output();
        change(&mut output);
        write_run(folder.path(), &output).expect("write");
        let message = read_run(folder.path()).expect_err(expected).to_string();
        assert!(message.contains(expected), "{message}");
    };
    spoil(&|o| o.llmdcos[0].cosines[0][0] = Some(1.5), "llmdcos/a|b c");
    spoil(&|o| o.domains[0].relevance = Some(Grid::new(3, 5, vec![f32::NAN; 15]).expect("grid")), "relevance/a: layer 0 holds NaN");
    spoil(&|o| o.domains[0].relevance = Some(grid(3, 4, 0)), "relevance/a");
    spoil(&|o| o.domains[1].histogram[2][5] += 1, "param_histogram/b c: layer 2");
    spoil(&|o| o.domains[1].density[1] = 0.5, "density/b c: layer 1");
    spoil(&|o| o.params_per_layer = vec![900; 3], "density/a");
    spoil(&|o| o.domains[0].source.self_cycle = vec![0, 9, 1], "self pairs");
    spoil(&|o| o.domains[1].name = "a".into(), "stands twice");
    spoil(&|o| o.llmdcos[0].b = "nobody".into(), "nobody");
    spoil(&|o| o.domains[0].tokens = 0, "0 tokens");
}

#[test]
fn a_missing_file_and_a_newer_version_say_so() {
    let (folder, _) = written();
    let json = fs::read_to_string(folder.path().join(RUN_FILE)).expect("json");
    fs::write(folder.path().join(RUN_FILE), json.replace("\"version\": 1", "\"version\": 2")).expect("write");
    let message = read_run(folder.path()).expect_err("newer").to_string();
    assert!(message.contains("version 2") && message.contains("expected"), "{message}");
    fs::remove_file(folder.path().join(RUN_FILE)).expect("remove");
    assert!(read_run(folder.path()).expect_err("missing").to_string().contains("run.json"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever the bytes are, reading ends with a run or an error: it neither panics nor asks for memory that the file cannot fill.
    #[test]
    fn hostile_files_give_errors(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(), which in 0..4u8) {
        let (folder, output) = written();
        let json = fs::read(folder.path().join(RUN_FILE)).expect("json");
        let grids = fs::read(folder.path().join(GRIDS_FILE)).expect("grids");
        let spoilt = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            if which % 2 == 0 { bytes.truncate(cut.index(bytes.len())); } else { let i = at.index(bytes.len()); bytes[i] = byte; }
            bytes
        };
        if which < 2 {
            fs::write(folder.path().join(RUN_FILE), spoilt(&json)).expect("write");
        } else {
            replace_grids(folder.path(), &spoilt(&grids));
        }
        if let Ok(read) = read_run(folder.path()) {
            prop_assert_eq!(read.n_layers, output.n_layers);
            prop_assert!(read.llmdcos.iter().flat_map(|p| p.cosines.iter().flatten().flatten()).all(|c| (0.0..=1.0).contains(c)));
        }
    }
}
