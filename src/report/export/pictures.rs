//! Charts on a sheet: which drawings a view has, with their title and what must be said about them.

use super::{
    super::{
        Report, charts,
        charts::{Square, box_floor, by_chance, range_of},
        figures::{overlap_top, top_sets},
        picture::Picture,
    },
    ExportSpec,
    neurons::samples,
    sheet::Content,
};
use crate::{
    base::{Ctx, Error, Result, number, number::sig3, overlap::TopSets},
    scan::{DomainScan, PairSeries, recount},
};

pub fn density<'a>(spec: &ExportSpec, report: &Report<'a>, chosen: &[&'a DomainScan], _: &Ctx<'_>) -> Result<Content> {
    let own = report.scan.config.gamma;
    let gamma = spec.gamma.unwrap_or(own);
    let picture = charts::density(report, chosen, gamma)
        .ok_or_else(|| Error::invalid("the run has no densities: parameter activation was not among its metrics"))?;
    let how = if gamma == own {
        "the run's own"
    } else if recount::exact_near(own, gamma) == gamma {
        "recounted exactly from the histogram"
    } else {
        "estimated from the histogram, 8 bins an octave"
    };
    Ok(Content {
        title: format!("Density by layer of {}", report.scan.provenance.model),
        subtitle: format!(
            "share of a block's linear weights with mean |w dD/dw| above γ = {} ({how}); {}",
            sig3(f64::from(gamma)),
            samples(chosen)
        ),
        rows: vec![vec![picture]],
        notes: Vec::new(),
    })
}

/// The layers LLMDcos is averaged over.
pub fn layers(spec: &ExportSpec, n_layers: usize) -> (usize, usize) {
    let last = n_layers.saturating_sub(1);
    let usual = n_layers / 2;
    let (a, b) = spec.layers.unwrap_or((usual, n_layers.saturating_sub(3).max(usual)));
    (a.min(b).min(last), a.max(b).min(last))
}

pub fn in_words((first, last): (usize, usize)) -> String {
    if first == last { format!("layer {first}") } else { format!("layers {first} to {last}") }
}

/// The pair's drawing under its name.
fn titled(report: &Report<'_>, (a, b): &(String, String), mut picture: Picture, more: &str) -> Picture {
    use super::super::svg::escape;
    let title = if a == b { format!("within {a}") } else { format!("{a} and {b}") };
    let colour = report.colour(a);
    picture.body = format!(
        "<circle cx=\"60\" cy=\"10\" r=\"4\" fill=\"{colour}\"/><text x=\"70\" y=\"14\" class=\"lab\" fill=\"var(--text)\">{}</text><text x=\"{}\" y=\"14\" class=\"tick\" text-anchor=\"end\">{}</text><g transform=\"translate(0 22)\">{}</g>",
        escape(&title),
        picture.width - 12.0,
        escape(more),
        picture.body
    );
    picture.height += 22.0;
    picture
}

pub fn similarity<'a>(spec: &ExportSpec, report: &Report<'a>, chosen: &[&'a DomainScan], _: &Ctx<'_>) -> Result<Content> {
    let scan = report.scan;
    if scan.llmdcos.is_empty() {
        return Err(Error::invalid("the run has no LLMDcos: it was not among its metrics"));
    }
    let names: Vec<&str> = chosen.iter().map(|d| d.name.as_str()).collect();
    let (first, last) = layers(spec, scan.n_layers);
    let mean = |p: &PairSeries| p.mean_over(first..=last);
    let shown = scan.llmdcos.iter().filter(|p| names.contains(&p.a.as_str()) && names.contains(&p.b.as_str()));
    let values: Vec<f64> = shown.filter_map(mean).collect();
    let square =
        Square { label: "LLMDcos of every pair of domains", unit: "mean LLMDcos", range: range_of(&values), colours: spec.colours };
    let matrix = charts::matrix(report, &names, &square, |a, b| mean(scan.pair(a, b)?));
    let mut rows = vec![vec![matrix, charts::curves(report, &names)]];
    let mut notes = vec!["Right: mean by layer; coloured lines pair a domain with itself, grey ones two domains.".to_owned()];
    if let Some(pair) = &spec.pair
        && let Some(series) = scan.pair(&pair.0, &pair.1)
    {
        let picture = charts::box_plot(report, series, box_floor(std::iter::once(series)));
        let more = format!("mean {}, n {} sample pairs", mean(series).map_or("undefined".into(), sig3), series.cosines.len());
        rows.push(vec![titled(report, pair, picture, &more)]);
        notes.push(
            "Box: quartiles and median; whiskers: the furthest value within 1.5 interquartile ranges; dots: values beyond.".to_owned(),
        );
    }
    Ok(Content {
        title: format!("LLMDcos of domains in {}", scan.provenance.model),
        subtitle: format!(
            "cosine of two samples' parameter activations, mean over sample pairs and {}; {}",
            in_words((first, last)),
            samples(chosen)
        ),
        rows,
        notes,
    })
}

pub fn overlap<'a>(spec: &ExportSpec, report: &Report<'a>, chosen: &[&'a DomainScan], _: &Ctx<'_>) -> Result<Content> {
    let scan = report.scan;
    let names: Vec<&str> = chosen.iter().map(|d| d.name.as_str()).collect();
    let sets = top_sets(report, &names);
    if sets.len() < 2 {
        return Err(Error::invalid(format!("overlap needs maps of {} of two domains or more", spec.metric.label())));
    }
    let set = |name: &str| sets.iter().find(|s| s.0 == name).map(|s| &s.1);
    let square =
        Square { label: "Jaccard overlap of top neurons", unit: "Jaccard index", range: (0.0, overlap_top(&sets)), colours: spec.colours };
    let matrix = charts::matrix(report, &names, &square, |a, b| if a == b { None } else { set(a)?.jaccard(set(b)?) });
    let mut rows = vec![vec![matrix, charts::layer_counts(report, &sets)]];
    if let Some((a, b)) = &spec.pair
        && let (Some(set_a), Some(set_b)) = (set(a), set(b))
    {
        let picture = charts::shared_by_layer(report, (a, set_a), (b, set_b));
        let both = set_a.intersection(set_b).len() as u64;
        let named = [(a, set_a), (b, set_b)].into_iter().map(|(n, s)| (n.clone(), s.clone()));
        let tested = TopSets::of(named, scan.n_layers, scan.d_mlp).tests();
        let p = tested.first().map_or_else(String::new, |t| {
            let chance = t.chance.map_or_else(String::new, |c| format!(" ({} by chance)", sig3(c.expected)));
            format!("{chance}, p {}", number::p_value(t.ln_p))
        });
        let more = format!(
            "Jaccard {}{p}, {} of {} and {}",
            set_a.jaccard(set_b).map_or("undefined".into(), sig3),
            number::counted(both, "shared neuron"),
            number::count(set_a.len() as u64),
            number::count(set_b.len() as u64)
        );
        rows.push(vec![titled(report, &(a.clone(), b.clone()), picture, &more)]);
    }
    let (size, all) = (sets[0].1.len(), scan.n_layers * scan.d_mlp);
    Ok(Content {
        title: format!("Overlap of the top {} % of neurons of {}", spec.top_percent, scan.provenance.model),
        subtitle: format!("by {}, ranked over the whole model; {}", spec.metric.label(), samples(chosen)),
        rows,
        notes: vec![format!(
            "Two random sets of {} would have a Jaccard index of {}. Right: where these neurons lie.",
            number::counted(size as u64, "neuron"),
            sig3(by_chance(size, size, all))
        )],
    })
}
