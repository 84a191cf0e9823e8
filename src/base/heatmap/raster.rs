//! Which cells a pixel shows, and the picture itself: the reference for `shaders/draw/heatmap.wgsl`, the fallback without a GPU, and the export.
//!
//! Two steps, as in the shader: every *band* (a visible row, or several where rows outnumber pixels) gets one line of pixels, pooled and coloured;
//! then the lines are spread over the picture's height and marked (hatch, outline, hairlines). Integer arithmetic after the pooling, so that
//! both give the same bytes.

use super::{ColourMap, Pyramid, Scale, pyramid::NOT_FINITE};
use crate::base::NeuronSet;
use rayon::prelude::*;

/// The part of a map that is shown, in cells: `x` along a row, `y` across rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Window {
    pub fn whole(rows: usize, cols: usize) -> Self {
        Self { x: 0.0, y: 0.0, width: cols.max(1) as f64, height: rows.max(1) as f64 }
    }
    /// Moved and shrunk so that it shows nothing beside the map, and never less than `min_cols` by one row.
    pub fn inside(mut self, rows: usize, cols: usize, min_cols: f64) -> Self {
        let (rows, cols) = (rows.max(1) as f64, cols.max(1) as f64);
        self.width = self.width.clamp(min_cols.min(cols), cols);
        self.height = self.height.clamp(1.0, rows);
        self.x = self.x.clamp(0.0, cols - self.width);
        self.y = self.y.clamp(0.0, rows - self.height);
        self
    }
}

/// Sets of cells that are drawn over the map.
#[derive(Clone, Copy, Default)]
pub struct Marks<'a> {
    /// Switched off: hatched.
    pub off: Option<&'a NeuronSet>,
    /// Outlined.
    pub selected: Option<&'a NeuronSet>,
}

/// Colours of what is not a value, sRGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Hairline between rows.
    pub gap: [u8; 3],
    pub selected: [u8; 3],
}

/// Cells narrower or rows lower than this many pixels get a strip instead of an outline.
const OUTLINE_FROM: f64 = 5.0;
/// Rows at least this high are set apart by a hairline.
const GAP_FROM: u32 = 12;
/// Ground and strokes of a cell that is not finite; strokes of a cell that is off.
pub const NAN_GROUND: [u8; 3] = [0x80, 0x80, 0x80];
pub const HATCH_DARK: [u8; 3] = [0x10, 0x12, 0x16];
pub const HATCH_LIGHT: [u8; 3] = [0xf4, 0xf5, 0xf7];
/// Period of the hatch in pixels.
pub const HATCH: u32 = 6;

/// For every pixel of a picture, what it shows. All that differs from frame to frame; small, and built on the CPU for the shader too, so that
/// zooming is exact to the cell at any depth (a shader's f32 would not be).
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub width: u32,
    pub height: u32,
    /// Cells `[from, to)` of each pixel column; every visible cell is in one, or where cells are wider than pixels, in several. Bit 31 of `to`: the
    /// column is the first or the last of its cell (an outline runs here).
    pub columns: Vec<[u32; 2]>,
    /// Rows `[from, to)` of each band.
    pub bands: Vec<[u32; 2]>,
    /// First pixel row of each band, and of the one after it.
    pub edges: Vec<[u32; 2]>,
    /// By band and pixel column: share of cells off (bits 4 to 6) and selected (bits 0 to 2), in sevenths, rounded up.
    pub marks: Vec<u8>,
    /// Cells are wide and high enough for outlines.
    pub outlines: bool,
}

pub const EDGE: u32 = 1 << 31;

impl Plan {
    /// `rows`, `cols`: of the map; `window` inside it (see [`Window::inside`]).
    pub fn new(window: Window, rows: usize, cols: usize, width: u32, height: u32, marks: &Marks<'_>) -> Self {
        let (width, height) = (width.max(1), height.max(1));
        let columns = spans(window.x, window.width, cols, width);
        let row_spans = spans(window.y, window.height, rows, height);
        // Neighbouring pixel rows with the same rows are one band.
        let mut bands: Vec<[u32; 2]> = Vec::new();
        let mut first = Vec::new();
        for (y, &span) in row_spans.iter().enumerate() {
            if bands.last() != Some(&span) {
                bands.push(span);
                first.push(y as u32);
            }
        }
        let ends = first.iter().skip(1).copied().chain([height]);
        let edges = first.iter().copied().zip(ends).map(|(from, to)| [from, to]).collect();
        let wide = f64::from(width) / window.width >= OUTLINE_FROM;
        let high = f64::from(height) / window.height >= OUTLINE_FROM;
        let mut plan = Self { width, height, columns, bands, edges, marks: Vec::new(), outlines: wide && high };
        plan.marks = plan.mark(window, marks);
        let same = |a: &[u32; 2], b: &[u32; 2]| (a[0], a[1] & !EDGE) == (b[0], b[1] & !EDGE);
        for i in 0..plan.columns.len() {
            let here = plan.columns[i];
            let left = i > 0 && same(&plan.columns[i - 1], &here);
            let right = plan.columns.get(i + 1).is_some_and(|c| same(c, &here));
            if !(left && right) {
                plan.columns[i][1] |= EDGE;
            }
        }
        plan
    }

    fn mark(&self, window: Window, marks: &Marks<'_>) -> Vec<u8> {
        let mut out = vec![0_u8; self.bands.len() * self.width as usize];
        for (set, shift) in [(marks.selected, 0), (marks.off, 4)] {
            let Some(set) = set.filter(|s| !s.is_empty()) else { continue };
            let mut counts = vec![0_u32; self.width as usize];
            for (b, &[r0, r1]) in self.bands.iter().enumerate() {
                counts.fill(0);
                let mut any = false;
                for row in r0..r1 {
                    for cell in set.layer(row as usize) {
                        any |= self.count_cell(window, cell as u32, &mut counts);
                    }
                }
                if !any {
                    continue;
                }
                let line = &mut out[b * self.width as usize..(b + 1) * self.width as usize];
                for (x, (mark, &n)) in line.iter_mut().zip(&counts).enumerate() {
                    let [c0, c1] = self.columns[x];
                    let cells = (c1 - c0) * (r1 - r0);
                    *mark |= ((n * 7).div_ceil(cells.max(1)).min(7) as u8) << shift;
                }
            }
        }
        out
    }

    /// Adds one to every pixel column that shows `cell`.
    fn count_cell(&self, window: Window, cell: u32, counts: &mut [u32]) -> bool {
        let (Some(first), Some(last)) = (self.columns.first(), self.columns.last()) else { return false };
        if cell < first[0] || cell >= last[1] {
            return false;
        }
        // Near the right column by arithmetic, exactly there by looking.
        let scale = f64::from(self.width) / window.width;
        let guess = ((f64::from(cell) - window.x) * scale).floor().max(0.0) as usize;
        let mut x = guess.min(counts.len() - 1);
        while x > 0 && self.columns[x][0] >= cell && self.columns[x - 1][1] > cell {
            x -= 1;
        }
        while x + 1 < counts.len() && self.columns[x][1] <= cell {
            x += 1;
        }
        while x < counts.len() && self.columns[x][0] <= cell && cell < self.columns[x][1] {
            counts[x] += 1;
            x += 1;
        }
        true
    }
}

/// Cells `[from, to)` of each of `pixels` over `start .. start + length`: those that begin in the pixel, or the one under its middle where cells
/// are wider than pixels.
fn spans(start: f64, length: f64, cells: usize, pixels: u32) -> Vec<[u32; 2]> {
    let step = length / f64::from(pixels);
    let last = cells.saturating_sub(1) as f64;
    let edge = |i: u32| (start + f64::from(i) * step + 1e-9).floor().clamp(0.0, last + 1.0);
    (0..pixels)
        .map(|i| {
            if step <= 1.0 {
                let c = (start + (f64::from(i) + 0.5) * step).floor().clamp(0.0, last) as u32;
                [c, c + 1]
            } else {
                let from = edge(i).min(last);
                [from as u32, edge(i + 1).max(from + 1.0) as u32]
            }
        })
        .collect()
}

/// `a` towards `b` by `k` of 256.
fn blend(a: [u8; 3], b: [u8; 3], k: u32) -> [u8; 3] {
    std::array::from_fn(|i| ((u32::from(a[i]) * (256 - k) + u32::from(b[i]) * k + 128) >> 8) as u8)
}

/// The picture: `width * height` pixels of RGBA, opaque.
pub fn draw(plan: &Plan, pyramid: &Pyramid, scale: &Scale, map: ColourMap, style: &Style) -> Vec<u8> {
    let pooled = pool(plan, pyramid, scale, map);
    let mut out = Vec::with_capacity(plan.width as usize * plan.height as usize * 4);
    for (band, &[from, to]) in plan.edges.iter().enumerate() {
        for y in from..to {
            for x in 0..plan.width {
                let i = band * plan.width as usize + x as usize;
                let [r, g, b] = shade(plan, pooled[i], [x, y], [y - from, to - 1 - y], style);
                out.extend([r, g, b, 255]);
            }
        }
    }
    out
}

/// Bit of a pooled pixel's fourth byte, beside its marks: no cell is finite.
const NO_NUMBER: u8 = 8;

/// First step: colour and marks of each band at each pixel column, `[band][column]`.
pub fn pool(plan: &Plan, pyramid: &Pyramid, scale: &Scale, map: ColourMap) -> Vec<[u8; 4]> {
    let starts = scale.starts();
    let width = plan.width as usize;
    let mut out = vec![[0; 4]; plan.bands.len() * width];
    out.par_chunks_mut(width).zip(plan.marks.par_chunks(width)).zip(&plan.bands).for_each(|((line, marks), &[r0, r1])| {
        let mut last = ([0, 0], [0; 4]);
        for ((pixel, mark), &[c0, c1]) in line.iter_mut().zip(marks).zip(&plan.columns) {
            let span = [c0, c1 & !EDGE];
            // Of a cell wider than a pixel, all columns but the first.
            if span != last.0 {
                let mut best = NOT_FINITE;
                for row in r0..r1 {
                    let v = pyramid.hottest(row as usize, span[0] as usize, span[1] as usize);
                    if best == NOT_FINITE || (v != NOT_FINITE && v.abs() > best.abs()) {
                        best = v;
                    }
                }
                let colour = |best| map.colour(starts[1..].partition_point(|s| *s <= best) as u8);
                let [r, g, b] = if best == NOT_FINITE { [0; 3] } else { colour(best) };
                last = (span, [r, g, b, if best == NOT_FINITE { NO_NUMBER } else { 0 }]);
            }
            *pixel = last.1;
            pixel[3] |= mark;
        }
    });
    out
}

/// Second step: one pixel.
fn shade(plan: &Plan, [r, g, b, marks]: [u8; 4], [x, y]: [u32; 2], [above, below]: [u32; 2], style: &Style) -> [u8; 3] {
    let high = above + below + 1;
    if below == 0 && high >= GAP_FROM {
        return style.gap;
    }
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
        Grid,
        heatmap::{ScaleKind, Summary},
    };
    use proptest::prelude::*;

    const STYLE: Style = Style { gap: [1, 2, 3], selected: [250, 0, 250] };

    proptest! {
        #[test]
        fn every_visible_cell_is_in_a_pixel(x in 0.0..500.0f64, w in 1.0..500.0f64, pixels in 1u32..300) {
            let cells = spans(x, w, 1000, pixels);
            prop_assert_eq!(cells.len(), pixels as usize);
            for pair in cells.windows(2) {
                prop_assert!(pair[1][0] <= pair[0][1], "no cell between two pixels: {:?}", pair);
                prop_assert!(pair[1][0] >= pair[0][0]);
            }
            let step = w / f64::from(pixels);
            if step > 1.0 {
                prop_assert_eq!(cells[0][0], x.floor() as u32);
                // Every cell that begins inside is shown.
                prop_assert!(f64::from(cells[pixels as usize - 1][1]) >= (x + w).floor() - 1.0);
                prop_assert!(cells.windows(2).all(|p| p[0][1] == p[1][0]), "and only once");
            }
        }
    }

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
    fn a_pooled_pixel_tells_that_one_of_its_cells_is_off() {
        let off = NeuronSet::parse("L0N500").expect("set");
        let plan = Plan::new(Window::whole(1, 1000), 1, 1000, 100, 10, &Marks { off: Some(&off), selected: None });
        assert_eq!(plan.marks[50], 1 << 4);
        assert_eq!(plan.marks.iter().filter(|m| **m != 0).count(), 1);
    }

    #[test]
    fn a_window_stays_on_the_map() {
        let w = Window { x: -5.0, y: 3.0, width: 2000.0, height: 9.0 }.inside(6, 512, 8.0);
        assert_eq!(w, Window { x: 0.0, y: 0.0, width: 512.0, height: 6.0 });
        let w = Window { x: 600.0, y: 5.5, width: 1.0, height: 0.1 }.inside(6, 512, 8.0);
        assert_eq!(w, Window { x: 504.0, y: 5.0, width: 8.0, height: 1.0 });
    }
}
