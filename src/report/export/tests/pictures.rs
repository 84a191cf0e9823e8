//! SVG and PNG.

use super::{super::*, made::*};

#[test]
fn every_view_is_a_whole_svg_with_its_provenance() {
    for what in View::ALL {
        if what == View::Ablation {
            continue;
        }
        for dark in [false, true] {
            let pair = Some(("a<b".to_owned(), "c&d, e".to_owned()));
            let svg = text(&ExportSpec { dark, pair, ..spec(what, FileKind::Svg) }, "x.svg");
            // A parser that refuses anything not well-formed.
            let tree = resvg::usvg::Tree::from_str(&svg, &resvg::usvg::Options::default()).expect(&svg);
            assert!(tree.size().width() > 700.0 && tree.size().height() > 300.0, "{what:?}");
            assert!(svg.contains("<metadata>") && svg.contains("brodmann scan --model tiny") && svg.contains("file: brodmann export x"));
            assert!(svg.contains("a&lt;b") && !svg.contains("a<b"), "{what:?}");
            assert!(!svg.contains("var(") && !svg.contains("NaN"), "{what:?}");
        }
    }
}

#[test]
fn a_png_has_the_asked_scale_and_carries_its_provenance() {
    let sizes: Vec<(u32, u32)> = [1.0, 2.0]
        .map(|pixels| {
            let (_dir, files) = exported(&ExportSpec { pixels, ..spec(View::Neurons, FileKind::Png) }, "x.png").expect("exported");
            let file = std::io::BufReader::new(std::fs::File::open(&files[0]).expect("open"));
            let reader = png::Decoder::new(file).read_info().expect("png");
            let info = reader.info();
            let note = info.utf8_text.iter().find(|t| t.keyword == "Provenance").expect("chunk").get_text().expect("text");
            let note: serde_json::Value = serde_json::from_str(&note).expect("json");
            assert_eq!(note["provenance"]["model_sha256"], "5a".repeat(32));
            assert_eq!((note["shows"]["what"].as_str(), note["command"].as_str()), (Some("neurons"), Some("brodmann export x")));
            (info.width, info.height)
        })
        .to_vec();
    assert_eq!((sizes[0].0 * 2, sizes[0].1 * 2), sizes[1]);
}

#[test]
fn the_cells_of_a_png_are_the_maps_own() {
    let one = ExportSpec { domains: vec!["a<b".into()], pixels: 2.0, ..spec(View::Neurons, FileKind::Png) };
    let (_dir, files) = exported(&one, "x.png").expect("exported");
    let image = image::ImageReader::open(&files[0]).expect("open").decode().expect("png").to_rgba8();
    // The only cell with the largest value, 96.5, has the last colour of the map; 960 points and 26 a row hold 40 x 3 cells of 48 x 52 pixels.
    let last = ColourMap::Viridis.colour(255);
    let hot = |p: &&image::Rgba<u8>| p.0[..3] == last;
    let map = scan().domains[0].relevance.clone().expect("map");
    assert_eq!(map.values().iter().filter(|v| **v == 96.5).count(), 1);
    // That cell, less the hairline under its row; the colour bar's last strip has the same colour.
    let found = image.pixels().filter(hot).count();
    assert!((48 * 51..48 * 52 + 300).contains(&found), "{found}");
}
