//! What is in a table, view by view.

use super::{super::*, made::*};

#[test]
fn tables_are_in_long_form_and_say_where_they_come_from() {
    let rows = |spec: &ExportSpec| -> Vec<Vec<String>> {
        let text = text(spec, "x.csv");
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(reader.headers().expect("head").iter().collect::<Vec<_>>(), crate::base::long_table::HEAD);
        reader.records().map(|r| r.expect("record").iter().map(str::to_owned).collect()).collect()
    };
    let all = rows(&spec(View::Neurons, FileKind::Csv));
    assert_eq!(all.len(), 2 * 3 * WIDTH);
    assert_eq!(all[1], ["tiny", "0", "mlp.hook_post", "1", "a<b", "relevance", "7.5", "4", "7"]);
    assert_eq!(all.last().expect("row")[4], "c&d, e");
    // Value and seed are numbers, so a difference keeps its sign: cell 0 is 0.5 in one and 13.5 in the other.
    let minus = rows(&ExportSpec { minus: Some("c&d, e".into()), ..spec(View::Neurons, FileKind::Csv) });
    assert_eq!((minus.len(), minus[0][5].as_str(), minus[0][6].as_str()), (3 * WIDTH, "relevance minus c&d, e", "-13"));

    let density = rows(&spec(View::Density, FileKind::Csv));
    assert_eq!(density[0], ["tiny", "0", "block", "", "a<b", "density", "0.3", "4", "7"]);
    assert_eq!(density[1][5..7], ["activated_count", "30"]);

    let cosines = rows(&spec(View::Similarity, FileKind::Csv));
    // Mean of 0.75 and 0.25; layer 2 has no value, so it is empty with n 0.
    assert_eq!(cosines[0], ["tiny", "0", "block", "", "a<b|a<b", "llmdcos", "0.5", "2", "7"]);
    assert_eq!((cosines[4][1].as_str(), cosines[4][6].as_str(), cosines[4][7].as_str()), ("2", "", "0"));
    // METHODS' range for three layers is layer 1 alone.
    assert_eq!((cosines[6][5].as_str(), cosines[6][6].as_str()), ("llmdcos_layers_1_1", "0.5"));

    let overlap = rows(&ExportSpec { top_percent: 50.0, ..spec(View::Overlap, FileKind::Csv) });
    // One pair: index, chance and its band, p and Holm's; then index and chance of each of three layers.
    assert_eq!(overlap.len(), 6 + 2 * 3);
    let metrics: Vec<&str> = overlap.iter().take(7).map(|r| r[5].as_str()).collect();
    assert_eq!((metrics[0], metrics[4], metrics[6]), ("jaccard_top_50_relevance", "log10_p_top_50_relevance", "jaccard_top_50_relevance"));

    let (_dir, files) = exported(&spec(View::Density, FileKind::Csv), "x.csv").expect("exported");
    assert_eq!(files.len(), 2);
    let note: serde_json::Value = serde_json::from_slice(&std::fs::read(&files[1]).expect("beside")).expect("json");
    assert_eq!((note["provenance"]["seed"].as_u64(), note["command"].as_str()), (Some(7), Some("brodmann export x")));
}

#[test]
fn intersections_of_a_table_add_up_to_the_sets() {
    let all = rows(&ExportSpec { top_percent: 20.0, ..spec(View::Upset, FileKind::Csv) });
    let of = |member: &str| -> f64 {
        let counted = all.iter().filter(|r| r.2 == "exclusive_count_top_20_relevance" && r.1.split('|').any(|d| d == member));
        counted.map(|r| r.3.parse::<f64>().expect("number")).sum()
    };
    // 20 % of 3 x 40.
    assert_eq!((of("a<b"), of("c&d, e")), (24.0, 24.0));
}

#[test]
fn the_tables_of_the_tasks_have_every_number_with_its_place() {
    let of = |what: View| rows(&spec(what, FileKind::Csv));
    let value = |all: &[(String, String, String, String, String)], domain: &str, metric: &str| -> f64 {
        let found: Vec<_> = all.iter().filter(|r| r.1 == domain && r.2 == metric).collect();
        assert_eq!(found.len(), 1, "{metric} of {domain}");
        found[0].3.parse().expect("number")
    };
    let found = of(View::TaskNeurons);
    // 10 % of 3 x 40, two tasks.
    assert_eq!(found.iter().filter(|r| r.2 == "relevance_top_10").count(), 24);
    assert_eq!(value(&found, "a<b", "stability_chance_top_1"), 0.1);
    assert_eq!((value(&found, "a<b", "accuracy_off_10"), value(&found, "a<b", "accuracy_random_off_10")), (0.5, 0.75));
    let matrix = of(View::Deactivation);
    assert_eq!(value(&matrix, "a<b", "accuracy_off_top_10_of_a<b"), 0.25);
    assert_eq!(value(&matrix, "a<b", "accuracy_off_random_like_top_10_of_c&d, e"), 0.5);
    assert_eq!(value(&matrix, "c&d, e", "accuracy_times_2_top_10_of_c&d, e"), 0.25);
    assert_eq!(value(&matrix, "a<b", "change_off_top_1_of_c&d, e"), -0.5);
    let tuning = of(View::Tuning);
    assert_eq!((value(&tuning, "a<b", "accuracy_before"), value(&tuning, "c&d, e", "accuracy_after")), (0.25, 0.75));
    assert_eq!(value(&tuning, "a<b", "training_loss_at_step_2"), 0.5);
    let sequence = of(View::Continual);
    assert_eq!(sequence.iter().filter(|r| r.2 == "accuracy_w-ncft_after_a<b" && r.1 == "c&d, e").count(), 2, "one a seed");
    assert_eq!(value(&sequence, "c&d, e", "accuracy_before"), 0.5);
    let transfer = of(View::Transfer);
    assert_eq!(value(&transfer, "c&d, e", "overlap_with_a<b"), 0.25);
    assert_eq!(transfer.iter().filter(|r| r.2 == "parameter_cosine_with_a<b").count(), 4, "two layers have one, two tasks");
}

#[test]
fn the_curves_table_has_every_share_and_its_chance() {
    let all = rows(&spec(View::OverlapCurve, FileKind::Csv));
    let of = |metric: &str| all.iter().filter(|r| r.2.starts_with(metric)).count();
    assert_eq!((of("jaccard_top_"), of("jaccard_by_chance_top_"), of("jaccard_by_chance_low95_top_")), (28, 28, 28));
    let last = all.iter().find(|r| r.2 == "jaccard_by_chance_top_50.0_relevance").expect("row");
    // Half of all by chance: about 60 * 60 / 120 shared of 90.
    assert!((last.3.parse::<f64>().expect("number") - 1.0 / 3.0).abs() < 0.05, "{last:?}");
}

#[test]
fn the_trees_table_has_cophenetic_distances_and_the_samples_every_pair() {
    let tree = rows(&ExportSpec { layers: Some((0, 0)), ..spec(View::Tree, FileKind::Csv) });
    // One pair: mean of 0.75 and 0.25, and 1 less that.
    assert_eq!(
        tree.iter().map(|r| (r.2.as_str(), r.3.as_str())).collect::<Vec<_>>(),
        [("llmdcos_layers_0_0", "0.5"), ("cophenetic_distance_layers_0_0", "0.5")]
    );
    let pairs = rows(&spec(View::Samples, FileKind::Csv));
    assert_eq!(pairs.len(), 10);
    let one = pairs.iter().find(|r| r.1 == "a<b:8|c&d, e:7").expect("samples 1 and 3");
    assert_eq!((one.0.as_str(), one.2.as_str(), one.3.as_str()), ("2", "llmdcos", "0.4"));
}

#[test]
fn live_views_have_a_row_for_every_number() {
    let rows = |what| text(&spec(what, FileKind::Csv), "x.csv").lines().count() - 1;
    // Nine points, three quantities, predicted and measured.
    assert_eq!(rows(View::Prediction), 9 * 3 * 2);
    // Units with i % 7 > 0 of 120, three measures, each with its change.
    assert_eq!(rows(View::Sweep), (0..120).filter(|i| i % 7 > 0).count() * 3 * 2);
    // Two domains: the baseline, two k with one control each, three measures.
    assert_eq!(rows(View::AgainstK), 2 * (1 + 2 + 2) * 3);
    assert_eq!(rows(View::Break), 3 * 4);
    // Five statistics and three bins a domain, two relevances, two tokens, two words.
    assert_eq!(rows(View::Neuron), 2 * (5 + 3) + 2 + 2 + 2);
    // Three offsets, two means, two lengths, one relevance, three cells of the triangle, two words at each of two tokens.
    assert_eq!(rows(View::Head), 3 + 2 + 2 + 1 + 3 + 4);
    let csv = text(&spec(View::Sweep, FileKind::Csv), "x.csv");
    assert!(csv.contains("tiny,0,mlp.hook_post,1,a<b,change_of_loss,"), "{}", &csv[..300]);
}

#[test]
fn maps_beside_each_other_are_those_that_were_asked_for() {
    let maps = ["relevance:a<b", "relevance:b/a<b:difference:a<b"].map(|m| m.parse().expect(m)).to_vec();
    let wanted = ExportSpec { maps, ..spec(View::Maps, FileKind::Csv) };
    let csv = text(&wanted, "x.csv");
    assert_eq!(csv.lines().count() - 1, 2 * 3 * WIDTH);
    // The run against itself: nothing changed anywhere.
    let deltas: Vec<&str> = csv.lines().filter(|l| l.contains(",b/a<b,relevance minus a<b,")).collect();
    assert_eq!(deltas.len(), 3 * WIDTH);
    assert!(deltas.iter().all(|l| l.split(',').nth_back(2) == Some("0")), "{}", deltas[0]);
    let svg = text(&ExportSpec { kind: FileKind::Svg, ..wanted }, "x.svg");
    // Maps of two kinds have a colour bar each.
    assert_eq!(svg.matches("neuron (coordinate of mlp.hook_post)").count(), 2);
    let missing = exported(&ExportSpec { maps: vec!["relevance:tides".parse().expect("map")], ..spec(View::Maps, FileKind::Csv) }, "x.csv");
    assert!(missing.is_err_and(|e| e.to_string().contains("tides")));
}
