//! What cannot be exported is refused with what can.

use super::{super::*, made::*};

#[test]
fn what_the_run_has_not_is_an_error_that_says_what_it_has() {
    let fails = |spec: ExportSpec, part: &str| {
        let e = exported(&spec, "x").expect_err(part).to_string();
        assert!(e.contains(part), "{e}");
    };
    fails(ExportSpec { domains: vec!["z".into()], ..spec(View::Density, FileKind::Svg) }, "it has a<b, c&d, e");
    fails(ExportSpec { metric: MetricKind::MeanActivation, ..spec(View::Neurons, FileKind::Csv) }, "no map of mean activation");
    fails(ExportSpec { metric: MetricKind::MeanActivation, ..spec(View::Overlap, FileKind::Png) }, "two domains");
    fails(ExportSpec { pixels: 99.0, ..spec(View::Density, FileKind::Png) }, "between 0.5 and 8");
    let alone = ExportSpec { domains: vec!["a<b".into()], minus: Some("a<b".into()), ..spec(View::Neurons, FileKind::Svg) };
    fails(alone, "taken off itself");
}

#[test]
fn a_layer_that_was_not_compared_is_refused_with_those_that_were() {
    let message = exported(&ExportSpec { layer: Some(1), ..spec(View::Samples, FileKind::Svg) }, "x.svg").expect_err("refused").to_string();
    assert!(message.contains("layer 1") && message.contains("at 2"), "{message}");
}
