//! What each pixel of a picture of a map shows: cells for pixel columns, bands of rows for pixel rows, and what is marked.

use crate::base::NeuronSet;

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

/// Cells narrower or rows lower than this many pixels get a strip instead of an outline.
const OUTLINE_FROM: f64 = 5.0;
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
