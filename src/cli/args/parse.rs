//! Text to value, with a message that says how it is written.

use super::{
    super::export::kind_by_end,
    values::{Data, FieldMap, Lines, ProductsArg},
};
use crate::{
    ablate::{Selection, SweepUnit},
    app::Products,
    base::{NeuronSet, heatmap::scale::PERCENTILES},
    eval::AblationMode,
};
use std::{collections::BTreeSet, path::PathBuf};

/// A file whose end says what is to be written; said at once, not after the work.
pub(super) fn parse_export(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    kind_by_end(&path).map(|_| path)
}

pub(super) fn parse_data(text: &str) -> Result<Data, String> {
    if text == "demo" {
        return Ok(Data::AllDemo);
    }
    let (name, path) = text.split_once('=').ok_or("write it as NAME=PATH, e.g. news=data/news.jsonl")?;
    if name.trim().is_empty() || path.is_empty() {
        return Err("both a name and a path are needed: NAME=PATH".into());
    }
    if name.contains('|') {
        return Err("a domain's name cannot hold `|`, which parts two domains in results".into());
    }
    Ok(Data::Domain { name: name.trim().to_owned(), path: path.into() })
}

pub(super) fn parse_layer_or_range(text: &str) -> Result<(usize, usize), String> {
    let bad = || "write it as a layer (5) or as FIRST-LAST (4-7)".to_owned();
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = first.trim().parse::<usize>().ok().zip(last.trim().parse::<usize>().ok()).ok_or_else(bad)?;
    if last < first || last > 100_000 { Err(bad()) } else { Ok((first, last)) }
}

pub(super) fn parse_map(text: &str) -> Result<FieldMap, String> {
    let bad = || "write it as NAME.FIELD=COLUMN, e.g. news.text=body".to_owned();
    let (left, column) = text.split_once('=').ok_or_else(bad)?;
    // A domain's name may hold dots, a field's does not.
    let (domain, field) = left.rsplit_once('.').ok_or_else(bad)?;
    if domain.is_empty() || field.is_empty() || column.is_empty() {
        return Err(bad());
    }
    Ok(FieldMap { domain: domain.into(), field: field.into(), column: column.into() })
}

pub(super) fn parse_lines(text: &str) -> Result<Lines, String> {
    let bad = || "write it as NAME=LINES, e.g. news=1-64,70".to_owned();
    let (domain, list) = text.rsplit_once('=').ok_or_else(bad)?;
    let mut lines = BTreeSet::new();
    for part in list.split(',').map(str::trim) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = from.parse::<usize>().ok().zip(to.parse::<usize>().ok()).ok_or_else(bad)?;
        if from == 0 || to < from || to - from > 10_000_000 {
            return Err(format!("`{part}`: lines count from 1, and a range goes up"));
        }
        lines.extend(from..=to);
    }
    if domain.is_empty() { Err(bad()) } else { Ok(Lines { domain: domain.to_owned(), lines }) }
}

pub(super) fn parse_selection(text: &str) -> Result<Selection, String> {
    text.parse::<Selection>().map_err(|e| e.to_string())
}

/// `top:DOMAIN`, without a percentage.
pub(super) fn parse_ranking(text: &str) -> Result<Selection, String> {
    match text.strip_prefix("top:").map(str::trim) {
        Some(domain) if !domain.is_empty() => Ok(Selection::Top { domain: domain.to_owned(), percent: 100.0 }),
        _ => Err("write the domain whose map ranks the neurons, as top:arithmetic".into()),
    }
}

pub(super) fn parse_unit(text: &str) -> Result<SweepUnit, String> {
    text.parse()
}

pub(super) fn parse_share(text: &str) -> Result<f64, String> {
    text.parse::<f64>().ok().filter(|s| (0.0..1.0).contains(s)).ok_or_else(|| "expected an accuracy from 0 to below 1, e.g. 0.3".into())
}

pub(super) fn parse_weight(text: &str) -> Result<f64, String> {
    text.parse::<f64>().ok().filter(|w| w.is_finite() && *w >= 0.0).ok_or_else(|| "expected a number from 0 on".into())
}

pub(super) fn parse_mode(text: &str) -> Result<AblationMode, String> {
    text.parse()
}

pub(super) fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('|') {
        Some((a, b)) if !a.is_empty() && !b.is_empty() => Ok((a.to_owned(), b.to_owned())),
        _ => Err("write two domains as 'A|B', e.g. 'logic|code'".into()),
    }
}

pub(super) fn parse_layers(text: &str) -> Result<(usize, usize), String> {
    let (a, b) = text.split_once('-').unwrap_or((text, text));
    match (a.trim().parse(), b.trim().parse()) {
        (Ok(a), Ok(b)) if a <= b => Ok((a, b)),
        _ => Err("write layers as FIRST-LAST, e.g. 4-9".into()),
    }
}

pub(super) fn parse_neurons(text: &str) -> Result<NeuronSet, String> {
    NeuronSet::parse(text).map_err(|e| e.to_string())
}

pub(super) fn parse_pixels(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(p) if (0.5..=8.0).contains(&p) => Ok(p),
        _ => Err("expected a number from 0.5 to 8".into()),
    }
}

pub(super) fn parse_percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(p) if p > 0.0 && p <= 100.0 => Ok(p),
        _ => Err(format!("`{text}` is no share above 0 and up to 100 (percent)")),
    }
}

pub(super) fn parse_percentile(text: &str) -> Result<f32, String> {
    match text.trim_end_matches('%').parse::<f32>() {
        Ok(p) if PERCENTILES.contains(&p) => Ok(p),
        _ => Err(format!("`{text}` is no percentile from {} to {}", PERCENTILES.start(), PERCENTILES.end())),
    }
}

pub(super) fn parse_gamma(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(g) if g > 0.0 && g.is_finite() => Ok(g),
        _ => Err("gamma is a number above 0, e.g. 2e-6".into()),
    }
}

pub(super) fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("expected a whole number above 0".into()),
    }
}

/// What `--products` takes, with the sentence that the window's settings say of each.
pub(super) fn products_help() -> String {
    let mut help = format!("How matrix products are made. auto (unless said otherwise): {}, but f32 for generate", Products::ABOUT_AUTO);
    for p in Products::ALL {
        help.push_str(&format!("; {p}: {}", p.about()));
    }
    help
}

/// `auto`, or an arithmetic that this processor has.
pub(super) fn parse_products(text: &str) -> Result<ProductsArg, String> {
    if text == "auto" {
        return Ok(ProductsArg(None));
    }
    let products = text.parse::<Products>()?.usable().map_err(|e| format!("{e}; leave it out, or say f32"))?;
    Ok(ProductsArg(Some(products)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_maps_and_data() {
        assert_eq!(parse_mode("scale=-0.5"), Ok(AblationMode::Scale(-0.5)));
        parse_mode("scale=x").expect_err("x");
        parse_mode("half").expect_err("half");
        let map = parse_map("a.b.text=body=x").expect("map");
        assert_eq!((map.domain.as_str(), map.field.as_str(), map.column.as_str()), ("a.b", "text", "body=x"));
        parse_map("text=body").expect_err("no domain");
        assert_eq!(parse_data("demo"), Ok(Data::AllDemo));
        let lines = parse_lines("a=b=2-4,9").expect("lines");
        assert_eq!((lines.domain.as_str(), lines.lines), ("a=b", [2, 3, 4, 9].into()));
        for bad in ["news", "news=", "=1", "news=0", "news=4-2", "news=x"] {
            parse_lines(bad).expect_err(bad);
        }
        parse_data("x.jsonl").expect_err("no name");
        parse_data("a|b=x").expect_err("bar");
    }
}
