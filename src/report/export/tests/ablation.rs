//! An ablation, which no run stores.

use super::{super::*, made::*};
use crate::{
    ablate::{AblationReport, DomainAblation},
    base::job::silently,
    data::DomainKind,
    eval::{AblationAt, AblationMode, DomainScore, ItemScore},
    scan::ScanOutput,
};

/// Twenty questions of which `right` are answered right; `shift` moves the margins.
fn score(right: usize) -> DomainScore {
    let items = (0..20)
        .map(|i| ItemScore {
            line: i + 1,
            log_likelihoods: vec![-1.0, -2.0],
            correct: i < right,
            correct_norm: i < right,
            margin: Some(1.0),
            nll: 1.5,
            n_tokens: 1,
            cut: 0,
        })
        .collect();
    DomainScore { domain: "a<b".into(), kind: DomainKind::MultipleChoice, items }
}

fn ablated(spec: &ExportSpec) -> Result<(tempfile::TempDir, Vec<PathBuf>)> {
    let dir = tempfile::tempdir().expect("folder");
    let scan = ScanOutput::default();
    let domain = DomainAblation {
        name: "a<b".into(),
        before: score(18),
        after: score(9),
        controls: vec![score(17), score(16)],
        left_out: 4,
        chosen_on: 0,
    };
    let text = DomainAblation {
        name: "prose".into(),
        before: DomainScore { domain: "prose".into(), kind: DomainKind::Text, ..score(0) },
        after: DomainScore { domain: "prose".into(), kind: DomainKind::Text, ..score(0) },
        controls: Vec::new(),
        left_out: 0,
        chosen_on: 0,
    };
    let ablation = AblationReport {
        mode: AblationMode::Zero,
        at: AblationAt::All,
        neurons: 12,
        heads: 1,
        domains: vec![domain, text],
        provenance: Provenance { model: "tiny".into(), seed: 3, command: "brodmann ablate x".into(), ..Provenance::default() },
    };
    let report = Report {
        scan: &scan,
        model: None,
        metric: spec.metric,
        top_percent: 10.0,
        scores: &[],
        scored_in: "",
        ablation: Some(&ablation),
        colours: &[],
        map: spec.colours,
        samples: None,
        other: None,
        live: None,
    };
    let path = dir.path().join("x");
    let files = silently(|ctx| write(&path, spec, &report, "brodmann ablate x --export y", ctx))?;
    Ok((dir, files))
}

#[test]
fn an_ablation_is_exported_as_its_picture_and_its_numbers() {
    let (_dir, files) = ablated(&spec(View::Ablation, FileKind::Svg)).expect("picture");
    let svg = std::fs::read_to_string(&files[0]).expect("text");
    let tree = resvg::usvg::Tree::from_str(&svg, &resvg::usvg::Options::default()).expect(&svg);
    assert!(tree.size().width() > 900.0);
    for part in ["12 neurons and 1 head off", "a&lt;b", "perplexity", "4 rows", "file: brodmann ablate x --export y"] {
        assert!(svg.contains(part), "{part}: {svg}");
    }
    let (_dir, files) = ablated(&spec(View::Ablation, FileKind::Csv)).expect("table");
    let text = std::fs::read_to_string(&files[0]).expect("text");
    // 18 and 9 of 20 right; the second control has 16.
    assert!(text.contains("\ntiny,,model,,a<b,accuracy,0.9,20,3\n") && text.contains("a<b,accuracy_ablated,0.45,20,3\n"), "{text}");
    assert!(text.contains("a<b,accuracy_control,0.8,20,1\n") && text.contains("a<b,mcnemar_p,") && text.contains("prose,loss,1.5,20,3"));
    let e = ablated(&spec(View::Ablation, FileKind::Safetensors)).expect_err("no arrays").to_string();
    assert!(e.contains("csv, tsv or parquet"), "{e}");
    // A run alone has no ablation.
    let e = exported(&spec(View::Ablation, FileKind::Svg), "x.svg").expect_err("none").to_string();
    assert!(e.contains("switch neurons off"), "{e}");
}
