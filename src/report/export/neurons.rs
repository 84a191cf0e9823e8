//! The neuron map on a sheet: one panel a domain on one colour scale, with layer and neuron axes.

use super::{
    super::{
        Report,
        picture::{Picture, Raster},
        svg::{colour_bar, escape, tick_text, ticks},
    },
    ExportSpec,
    sheet::Content,
};
use crate::{
    base::{
        Ctx, Error, Grid, NeuronSet, Result,
        heatmap::{ColourMap, Marks, PerLayer, Permutation, Plan, Pyramid, Scale, Style, Summary, Window, raster},
        number::{self, sig3},
    },
    scan::DomainScan,
};
use std::fmt::Write as _;

/// Width of a map in points, and the room for layer names at its left.
const MAP: f64 = 960.0;
const LEFT: f64 = 52.0;
const NAME: f64 = 20.0;

/// The maps asked for, by neuron: each domain's, compared with `minus` and with each layer on its own scale where that is asked for.
///
/// # Errors
/// When a domain has no such map.
pub fn maps<'a>(spec: &ExportSpec, report: &Report<'a>, chosen: &[&'a DomainScan]) -> Result<Vec<(&'a str, Grid)>> {
    let map = |d: &'a DomainScan| {
        let label = spec.metric.label();
        d.map(spec.metric).ok_or_else(|| Error::invalid(format!("the run has no map of {label} for {}: it was not measured", d.name)))
    };
    let minus = spec.minus.as_ref().and_then(|name| report.scan.domain(name)).map(map).transpose()?;
    let less = |d: &'a DomainScan| -> Result<(&'a str, Grid)> {
        let own = map(d)?;
        let shown = minus.map_or_else(|| Ok(own.clone()), |m| spec.combine.of(own, m))?;
        Ok((d.name.as_str(), spec.per_layer.of(&shown)))
    };
    chosen.iter().filter(|d| Some(&d.name) != spec.minus.as_ref()).map(|d| less(d)).collect()
}

pub fn content<'a>(spec: &ExportSpec, report: &Report<'a>, chosen: &[&'a DomainScan], ctx: &Ctx<'_>) -> Result<Content> {
    let maps = maps(spec, report, chosen)?;
    let order = spec.order.permutation(report.scan, ctx)?;
    let (layers, cells) = (report.scan.n_layers, report.scan.d_mlp);
    let summary = maps.iter().map(|(_, g)| Summary::at(g, spec.percentile)).reduce(|a, b| a.join(&b));
    let summary = summary.ok_or_else(|| Error::invalid("there is no domain to draw: the only one is taken off itself"))?;
    let info = spec.metric.info();
    let signed = spec.minus.is_some() || info.signed;
    let scale = Scale::fit(&summary, spec.scale, signed);
    let colours = if signed { ColourMap::BlueRed } else { spec.colours };

    let room = if maps.len() == 1 { 400.0 } else { 150.0 };
    let row = (room / layers.max(1) as f64).clamp(3.0, 26.0).floor();
    let height = row * layers as f64;
    let mut body = String::new();
    let mut rasters = Vec::new();
    let mut y = 0.0;
    for (name, grid) in &maps {
        let hottest = grid.values().iter().enumerate().filter(|(_, v)| v.is_finite()).max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
        let hottest =
            hottest.map_or(String::new(), |(i, v)| format!("largest: L{}N{}, {}", i / cells.max(1), i % cells.max(1), sig3(f64::from(*v))));
        let colour = report.colour(name);
        let title = spec.minus.as_ref().map_or_else(|| (*name).to_owned(), |m| spec.combine.words(name, m));
        let _ = write!(
            body,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.1}\" class=\"lab\" fill=\"var(--text)\">{}</text><text x=\"{:.1}\" y=\"{:.1}\" class=\"tick\" text-anchor=\"end\">{hottest}</text>",
            LEFT + 4.0,
            y + 10.0,
            LEFT + 14.0,
            y + 14.0,
            escape(&title),
            LEFT + MAP,
            y + 14.0
        );
        y += NAME;
        rasters.push(paint(grid, order.as_ref(), spec, &scale, colours, (LEFT, y, MAP, height))?);
        let every = (11.0 / row).ceil().max(1.0) as usize;
        for l in (0..layers).step_by(every) {
            let at = y + (l as f64 + 0.5) * row + 3.5;
            let _ = write!(body, "<text x=\"{:.1}\" y=\"{at:.1}\" class=\"tick\" text-anchor=\"end\">L{l}</text>", LEFT - 6.0);
        }
        y += height + 8.0;
    }
    for v in ticks(0.0, cells.saturating_sub(1) as f64, 10) {
        let x = LEFT + (v + 0.5) / cells.max(1) as f64 * MAP;
        let _ = write!(
            body,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" class=\"axisline\"/><text x=\"{x:.1}\" y=\"{:.1}\" class=\"tick\" text-anchor=\"middle\">{}</text>",
            y - 8.0,
            y - 4.0,
            y + 7.0,
            number::count(v as u64)
        );
    }
    let _ = write!(
        body,
        "<text x=\"{:.1}\" y=\"{:.1}\" class=\"axis\" text-anchor=\"middle\">{}</text>",
        LEFT + MAP / 2.0,
        y + 22.0,
        match &order {
            None => "neuron (coordinate of mlp.hook_post)".to_owned(),
            Some(_) => escape(&format!("place of the neuron in its layer, {}", spec.order.words(cells))),
        }
    );
    y += 40.0;
    let unit = match &spec.minus {
        Some(_) => spec.combine.unit(info.unit),
        None => info.unit,
    };
    let unit = match (spec.per_layer, unit) {
        (PerLayer::None, "") => String::new(),
        (PerLayer::None, unit) => format!(" ({unit})"),
        (per_layer, _) => format!(" ({})", per_layer.words()),
    };
    let marks: Vec<(f64, String)> = scale.ticks(6).into_iter().map(|v| (scale.position(v), tick_text(v))).collect();
    let title = format!("{}{unit}, {}", info.label, scale.label());
    body.push_str(&colour_bar(colours, (LEFT + MAP / 2.0 - 260.0, y), 520.0, &marks, &title));
    y += 50.0;

    let mut notes = Vec::new();
    let pooled = cells as f64 / (MAP * f64::from(spec.pixels));
    if pooled > 1.0 {
        notes.push(format!("Each pixel shows the value of largest magnitude of up to {} neighbouring neurons.", pooled.ceil()));
    }
    if scale.clips {
        notes.push("Values beyond the end of the colour bar share its colour.".to_owned());
    }
    if !spec.off.is_empty() {
        notes.push(format!("Hatched: {} switched off.", number::counted(spec.off.len() as u64, "neuron")));
    }
    if summary.non_finite > 0 {
        notes.push("Grey hatched cells have no number.".to_owned());
    }
    let model = &report.scan.provenance.model;
    Ok(Content {
        title: match &spec.minus {
            None => format!("{} of every neuron of {model}", number::capital(info.label)),
            Some(m) => match spec.combine {
                crate::base::heatmap::Combine::Difference => {
                    format!("{} of every neuron of {model}, less that for {m}", number::capital(info.label))
                }
                _ => format!("{} of every neuron of {model}, compared with that for {m}", number::capital(info.label)),
            },
        },
        subtitle: format!("{} of {} neurons; {}", number::counted(layers as u64, "layer"), number::count(cells as u64), samples(chosen)),
        rows: vec![vec![Picture { width: LEFT + MAP + 12.0, height: y, body, label: format!("Maps of {}", info.label), rasters }]],
        notes,
    })
}

/// `64 samples a domain`, or the numbers one by one where they differ.
pub fn samples(chosen: &[&DomainScan]) -> String {
    match chosen.first() {
        Some(first) if chosen.iter().all(|d| d.samples == first.samples) => {
            let word = number::counted(first.samples as u64, "sample");
            if chosen.len() > 1 { format!("{word} of each domain") } else { word }
        }
        _ => chosen.iter().map(|d| format!("{} {}", d.name, d.samples)).collect::<Vec<_>>().join(", ") + " samples",
    }
}

/// One map at the picture's own pixels: nothing is scaled afterwards.
pub(super) fn paint(
    grid: &Grid,
    order: Option<&Permutation>,
    spec: &ExportSpec,
    scale: &Scale,
    colours: ColourMap,
    (x, y, width, height): (f64, f64, f64, f64),
) -> Result<Raster> {
    let pixels = |points: f64| ((points * f64::from(spec.pixels)).round() as u32).max(1);
    let (w, h) = (pixels(width), pixels(height));
    let (rows, cols) = (grid.rows(), grid.cols());
    let placed: Option<(Grid, NeuronSet)> = order.map(|o| Ok::<_, Error>((o.arrange(grid)?, o.places(&spec.off)))).transpose()?;
    let (grid, off) = placed.as_ref().map_or((grid, &spec.off), |p| (&p.0, &p.1));
    let marks = Marks { off: Some(off), selected: None };
    let plan = Plan::new(Window::whole(rows, cols), rows, cols, w, h, &marks);
    let gap = if spec.dark { [0x14, 0x16, 0x1a] } else { [0xff; 3] };
    let rgba = raster::draw(&plan, &Pyramid::new(grid), scale, colours, &Style { gap, selected: [0xff; 3] });
    Ok(Raster { x, y, width, height, pixels: (w, h), rgba })
}
