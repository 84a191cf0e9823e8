//! The neuron maps as PNG, all on one scale, with the colour bar they share.

use super::{
    Report,
    svg::{escape, tick_text},
};
use crate::{
    base::{
        Grid,
        heatmap::{ColourMap, Marks, Plan, Pyramid, Scale, ScaleKind, Style, Summary, Window, raster},
        number::{self, sig3},
    },
    scan::MetricKind,
};
use base64::Engine as _;
use std::fmt::Write as _;

/// Pixels across a map; wider layers are pooled by their hottest neuron.
const WIDTH: u32 = 960;

/// The unit of a metric's values, for the colour bar.
pub fn unit(metric: MetricKind) -> &'static str {
    match metric {
        MetricKind::ParamActivation => "sum of |w · dD/dw| over the neuron's weights, in units of the objective",
        MetricKind::Llmdcos => "cosine",
        MetricKind::Relevance => "|Σ a · dLoss/da| (nat)",
        MetricKind::Attribution => "Σ a · dLoss/da, signed (nat)",
        MetricKind::MeanActivation => "mean activation",
        MetricKind::MeanAbsActivation => "mean |activation|",
    }
}

/// One map for each domain, or nothing where the run has no maps.
pub fn figure(report: &Report<'_>) -> Option<(String, String)> {
    let metric = report.metric;
    let maps: Vec<(&str, &Grid)> = report.scan.domains.iter().filter_map(|d| Some((d.name.as_str(), d.map(metric)?))).collect();
    let summary = maps.iter().map(|(_, g)| Summary::of(g)).reduce(|a, b| a.join(&b))?;
    let signed = summary.min < 0.0;
    let scale = Scale::fit(&summary, ScaleKind::Log, signed);
    let colours = if signed { ColourMap::BlueRed } else { ColourMap::Viridis };
    let (layers, cells) = (report.scan.n_layers, report.scan.d_mlp);
    let row = (144 / layers.max(1) as u32).clamp(3, 16);
    let height = layers as u32 * row;
    let width = if (cells as u32) < WIDTH { (cells as u32).max(1) * (WIDTH / (cells as u32).max(1)) } else { WIDTH };
    let mut out = String::from("<div class=\"maps\">");
    for (name, grid) in maps {
        let plan = Plan::new(Window::whole(layers, cells), layers, cells, width, height, &Marks::default());
        let style = Style { gap: [0x80; 3], selected: [0xff; 3] };
        let pixels = raster::draw(&plan, &Pyramid::new(grid), &scale, colours, &style);
        let png = png(&pixels, width, height)?;
        let hottest = grid.values().iter().enumerate().filter(|(_, v)| v.is_finite()).max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
        let hottest = hottest.map_or(String::new(), |(i, v)| format!("hottest L{}N{}: {}", i / cells, i % cells, sig3(f64::from(*v))));
        let _ = write!(
            out,
            "<div class=\"map\"><div class=\"mapname\"><b style=\"color:{}\">●</b> {} <span class=\"faint\">{hottest}</span></div><div class=\"maprow\"><div class=\"layers\"><span>0</span><span>{}</span></div><img alt=\"{} of {}: {layers} layers by {cells} neurons\" src=\"data:image/png;base64,{png}\" style=\"height:{}px\"></div></div>",
            report.colour(name),
            escape(name),
            layers.saturating_sub(1),
            escape(metric.label()),
            escape(name),
            height.max(60),
        );
    }
    out.push_str("</div>");
    out.push_str(&colour_bar(&scale, colours, unit(metric))?);
    let pooled = cells.div_ceil(width as usize);
    let pooling = if pooled > 1 {
        format!(" Each pixel shows the hottest of up to {pooled} neighbouring neurons, so none vanishes.")
    } else {
        String::new()
    };
    let caption = format!(
        "<b>{} of every neuron.</b> One map a domain: layers from top to bottom, the {cells} neurons of a layer from left to right, all on one colour scale.{pooling}",
        number::capital(metric.label())
    );
    Some((out, caption))
}

fn colour_bar(scale: &Scale, colours: ColourMap, unit: &str) -> Option<String> {
    let pixels: Vec<u8> = (0..=255)
        .flat_map(|i| {
            let [r, g, b] = colours.colour(i);
            [r, g, b, 255]
        })
        .collect();
    let png = png(&pixels, 256, 1)?;
    let mut out = format!(
        "<svg class=\"bar\" viewBox=\"0 0 560 46\" width=\"560\" role=\"img\" aria-label=\"colour scale\"><image href=\"data:image/png;base64,{png}\" x=\"20\" y=\"2\" width=\"520\" height=\"10\" preserveAspectRatio=\"none\"/>"
    );
    for v in scale.ticks(6) {
        let x = 20.0 + 520.0 * scale.position(v);
        let _ = write!(
            out,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"12\" y2=\"16\" class=\"axisline\"/><text x=\"{x:.1}\" y=\"27\" class=\"tick\" text-anchor=\"middle\">{}</text>",
            tick_text(v)
        );
    }
    let _ = write!(
        out,
        "<text x=\"280\" y=\"42\" class=\"axis\" text-anchor=\"middle\">{} · {} scale</text></svg>",
        escape(unit),
        scale.label()
    );
    Some(out)
}

fn png(rgba: &[u8], width: u32, height: u32) -> Option<String> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::write_buffer_with_format(&mut bytes, rgba, width, height, image::ExtendedColorType::Rgba8, image::ImageFormat::Png).ok()?;
    Some(base64::engine::general_purpose::STANDARD.encode(bytes.into_inner()))
}
