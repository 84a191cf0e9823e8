//! The picture of a map: the reference for `shaders/draw/heatmap.wgsl`, what a software renderer and a window without a GPU show, and the export.
//!
//! Two steps, as in the shader: every *band* (a visible row, or several where rows outnumber pixels) gets one line of pixels, pooled and coloured;
//! then the line is repeated over the band's height and marked (hatch, outline, hairlines). Integer arithmetic after the pooling, so that
//! both give the same bytes.

use super::{
    ColourMap, Plan, Pyramid, Scale,
    plan::EDGE,
    pyramid::{self, NOT_FINITE},
    shades::Shades,
};
use rayon::prelude::*;

/// Colours of what is not a value, sRGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Hairline between rows.
    pub gap: [u8; 3],
    pub selected: [u8; 3],
}

/// Rows at least this high are set apart by a hairline.
const GAP_FROM: u32 = 12;
/// Ground and strokes of a cell that is not finite; strokes of a cell that is off.
pub const NAN_GROUND: [u8; 3] = [0x80, 0x80, 0x80];
pub const HATCH_DARK: [u8; 3] = [0x10, 0x12, 0x16];
pub const HATCH_LIGHT: [u8; 3] = [0xf4, 0xf5, 0xf7];
/// Period of the hatch in pixels.
pub const HATCH: u32 = 6;

/// Order of a pixel's bytes; the fourth is alpha.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    Rgba,
    Bgra,
}

impl ByteOrder {
    fn pixel(self, [r, g, b]: [u8; 3]) -> [u8; 4] {
        match self {
            Self::Rgba => [r, g, b, 255],
            Self::Bgra => [b, g, r, 255],
        }
    }
}

/// Where a picture's pixels go.
pub struct Canvas<'a> {
    pub bytes: &'a mut Vec<u8>,
    pub order: ByteOrder,
    /// Pixels from one line to the next, at least the picture's width; those beyond it are left as they are.
    pub pitch: usize,
}

/// The picture: `width * height` pixels of RGBA, opaque.
pub fn draw(plan: &Plan, pyramid: &Pyramid, scale: &Scale, map: ColourMap, style: &Style) -> Vec<u8> {
    let mut bytes = Vec::new();
    draw_on(Canvas { bytes: &mut bytes, order: ByteOrder::Rgba, pitch: plan.width as usize }, plan, pyramid, scale, map, style);
    bytes
}

/// [`draw`] into memory that is kept, on all cores.
pub fn draw_on(canvas: Canvas<'_>, plan: &Plan, pyramid: &Pyramid, scale: &Scale, map: ColourMap, style: &Style) {
    let Canvas { bytes, order, pitch } = canvas;
    bytes.resize(pitch * plan.height as usize * 4, 0);
    let shades = Shades::new(scale, map);
    let hottest = Hottest::of(plan, pyramid);
    let mut rest = bytes.as_chunks_mut::<4>().0;
    let mut bands = Vec::with_capacity(plan.bands.len());
    for (band, &[from, to]) in plan.edges.iter().enumerate() {
        let (lines, after) = rest.split_at_mut((to - from) as usize * pitch);
        bands.push((band, lines));
        rest = after;
    }
    bands.into_par_iter().for_each_init(Vec::new, |pooled, (band, lines)| {
        pool(pooled, plan, band, &hottest, &shades);
        spread(lines, pitch, order, plan, band, pooled, style);
    });
}

/// The hottest value of every visible row in what each pixel column shows.
struct Hottest {
    first_row: usize,
    rows: usize,
    /// `[range][row]`
    values: Vec<f32>,
    /// Which of the ranges each column shows; of a cell wider than a pixel, all its columns show the same.
    range: Vec<u32>,
}

impl Hottest {
    fn of(plan: &Plan, pyramid: &Pyramid) -> Self {
        let mut ranges: Vec<[u32; 2]> = Vec::new();
        let range = plan.columns.iter().map(|&[from, to]| {
            let cells = [from, to & !EDGE];
            if ranges.last() != Some(&cells) {
                ranges.push(cells);
            }
            ranges.len() as u32 - 1
        });
        let range = range.collect();
        let (first_row, end) = plan.bands.iter().fold((u32::MAX, 0), |(a, b), &[from, to]| (a.min(from), b.max(to)));
        let (first_row, end) = (first_row.min(end) as usize, end as usize);
        let rows = end - first_row;
        let mut values = vec![NOT_FINITE; ranges.len() * rows];
        // Some columns at a time, so that a thread has enough to do.
        let many = 16;
        values.par_chunks_mut((many * rows).max(1)).zip(ranges.par_chunks(many)).for_each(|(values, ranges)| {
            for (values, &[from, to]) in values.chunks_exact_mut(rows).zip(ranges) {
                pyramid.hottest(first_row..end, from as usize, to as usize, values);
            }
        });
        Self { first_row, rows, values, range }
    }
    /// Of a pixel column, in some rows.
    fn get(&self, column: usize, [from, to]: [u32; 2]) -> f32 {
        let start = self.range[column] as usize * self.rows;
        let rows = &self.values[start + from as usize - self.first_row..start + to as usize - self.first_row];
        rows[1..].iter().fold(rows[0], |a, &b| pyramid::hotter(a, b))
    }
}

/// Bit of a pooled pixel's fourth byte, beside its marks: no cell is finite.
const NO_NUMBER: u8 = 8;

/// First step: red, green, blue and marks of a band at each pixel column.
fn pool(pooled: &mut Vec<[u8; 4]>, plan: &Plan, band: usize, hottest: &Hottest, shades: &Shades) {
    let width = plan.width as usize;
    let marks = &plan.marks[band * width..(band + 1) * width];
    pooled.clear();
    pooled.extend(marks.iter().enumerate().map(|(x, &marks)| {
        let v = hottest.get(x, plan.bands[band]);
        if v == NOT_FINITE {
            return [0, 0, 0, NO_NUMBER | marks];
        }
        let [r, g, b] = shades.of(v);
        [r, g, b, marks]
    }));
}

/// Second step: the band's line on each of its pixel rows, and what is marked shaded pixel by pixel.
fn spread(lines: &mut [[u8; 4]], pitch: usize, order: ByteOrder, plan: &Plan, band: usize, pooled: &[[u8; 4]], style: &Style) {
    let ([from, to], width) = (plan.edges[band], plan.width as usize);
    let (first, rest) = lines.split_at_mut(pitch);
    let first = &mut first[..width];
    for (pixel, &[r, g, b, _]) in first.iter_mut().zip(pooled) {
        *pixel = order.pixel([r, g, b]);
    }
    for line in rest.chunks_exact_mut(pitch) {
        line[..width].copy_from_slice(first);
    }
    let marked: Vec<u32> = (0..).zip(pooled).filter(|(_, p)| p[3] != 0).map(|(x, _)| x).collect();
    for (y, line) in (from..to).zip(lines.chunks_exact_mut(pitch)) {
        let (above, below) = (y - from, to - 1 - y);
        if below == 0 && to - from >= GAP_FROM {
            line[..width].fill(order.pixel(style.gap));
            continue;
        }
        for &x in &marked {
            line[x as usize] = order.pixel(shade(plan, pooled[x as usize], [x, y], [above, below], style));
        }
    }
}

/// `a` towards `b` by `k` of 256.
fn blend(a: [u8; 3], b: [u8; 3], k: u32) -> [u8; 3] {
    std::array::from_fn(|i| ((u32::from(a[i]) * (256 - k) + u32::from(b[i]) * k + 128) >> 8) as u8)
}

/// One marked pixel that is not in a hairline.
fn shade(plan: &Plan, [r, g, b, marks]: [u8; 4], [x, y]: [u32; 2], [above, below]: [u32; 2], style: &Style) -> [u8; 3] {
    let high = above + below + 1;
    let rising = (x + y) % HATCH;
    let mut out = match marks & NO_NUMBER {
        0 => [r, g, b],
        // Hatched the other way, so that "no number" and "off" are told apart.
        _ if (x + (HATCH - y % HATCH)).is_multiple_of(HATCH) => HATCH_DARK,
        _ => NAN_GROUND,
    };
    let off = u32::from(marks >> 4);
    if off > 0 && rising < 3 {
        let stroke = if rising < 2 { HATCH_DARK } else { HATCH_LIGHT };
        out = blend(out, stroke, 80 + 22 * off);
    }
    let selected = u32::from(marks & 7);
    if selected > 0 {
        // The hairline took the last line of a high row.
        let below = if high >= GAP_FROM { below - 1 } else { below };
        if plan.outlines {
            let side = plan.columns[x as usize][1] & EDGE != 0;
            if side || above == 0 || below == 0 {
                out = style.selected;
            } else if above == 1 || below == 1 {
                out = HATCH_DARK;
            }
        } else if high >= 3 && below < if high >= GAP_FROM { 3 } else { 1 } {
            out = blend(out, style.selected, 116 + 20 * selected);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{
        Grid, NeuronSet,
        heatmap::{Marks, ScaleKind, Summary, Window},
    };

    const STYLE: Style = Style { gap: [1, 2, 3], selected: [250, 0, 250] };

    fn picture(grid: &Grid, window: Window, size: (u32, u32), marks: &Marks<'_>) -> (Plan, Vec<u8>) {
        let plan = Plan::new(window, grid.rows(), grid.cols(), size.0, size.1, marks);
        let scale = Scale::fit(&Summary::of(grid), ScaleKind::Linear, false);
        let pixels = draw(&plan, &Pyramid::new(grid), &scale, ColourMap::Viridis, &STYLE);
        (plan, pixels)
    }

    #[test]
    fn a_single_hot_neuron_of_28672_is_seen_on_300_pixels() {
        let mut v = vec![0.01; 4 * 28_672];
        v[2 * 28_672 + 12_345] = 1.0;
        let grid = Grid::new(4, 28_672, v).expect("grid");
        let (plan, pixels) = picture(&grid, Window::whole(4, 28_672), (300, 40), &Marks::default());
        let hot = ColourMap::Viridis.at(1.0);
        let found: Vec<usize> = pixels.chunks_exact(4).enumerate().filter(|(_, p)| p[..3] == hot).map(|(i, _)| i).collect();
        // Row 2 of 4 on 40 lines: lines 20 to 29; ten lines is below the hairline's height.
        assert_eq!(found.len(), 10);
        let x = (found[0] % 300) as u32;
        assert!(found.iter().all(|i| (i % 300) as u32 == x && (20..30).contains(&(i / 300))));
        let [from, to] = plan.columns[x as usize];
        assert!((from..to & !EDGE).contains(&12_345));
    }

    #[test]
    fn off_is_hatched_selected_is_outlined_and_nan_has_its_own_ground() {
        let grid = Grid::new(1, 4, vec![0.0, 0.0, f32::NAN, 0.0]).expect("grid");
        let off = NeuronSet::parse("L0N0").expect("set");
        let selected = NeuronSet::parse("L0N3").expect("set");
        let (_, pixels) = picture(&grid, Window::whole(1, 4), (40, 20), &Marks { off: Some(&off), selected: Some(&selected) });
        let at = |x: usize, y: usize| -> [u8; 3] { pixels[(y * 40 + x) * 4..][..3].try_into().expect("rgb") };
        let low = ColourMap::Viridis.at(0.0);
        assert_eq!(at(15, 8), low, "an ordinary cell");
        assert_ne!(at(6, 6), low, "x + y = 12 is a stroke of the hatch");
        assert_eq!(at(6, 9), low, "between the strokes the value's colour stays");
        assert_eq!(at(30, 8), STYLE.selected, "left edge of the outline");
        assert_eq!(at(39, 8), STYLE.selected, "right edge");
        assert_eq!(at(35, 0), STYLE.selected, "top");
        assert_eq!(at(35, 8), low, "inside");
        assert_eq!(at(22, 9), NAN_GROUND);
        assert_eq!(at(15, 19), STYLE.gap, "hairline under a high row");
    }

    #[test]
    fn byte_order_and_pitch_change_nothing_else() {
        let grid = Grid::new(3, 50, (0..150).map(|i| (i % 37) as f32).collect::<Vec<_>>()).expect("grid");
        let off = NeuronSet::parse("L1N7").expect("set");
        let (plan, rgba) = picture(&grid, Window::whole(3, 50), (80, 45), &Marks { off: Some(&off), selected: None });
        let scale = Scale::fit(&Summary::of(&grid), ScaleKind::Linear, false);
        // Memory that held a larger picture.
        let mut bytes = vec![7; 90_000];
        let canvas = Canvas { bytes: &mut bytes, order: ByteOrder::Bgra, pitch: 96 };
        draw_on(canvas, &plan, &Pyramid::new(&grid), &scale, ColourMap::Viridis, &STYLE);
        assert_eq!(bytes.len(), 96 * 45 * 4);
        for (line, want) in bytes.chunks_exact(96 * 4).zip(rgba.chunks_exact(80 * 4)) {
            let (line, beyond) = line.split_at(80 * 4);
            assert!(line.chunks_exact(4).zip(want.chunks_exact(4)).all(|(a, b)| [a[2], a[1], a[0], a[3]] == [b[0], b[1], b[2], b[3]]));
            assert!(beyond.iter().all(|b| *b == 7));
        }
    }
}
