//! Where maps stand beside each other.

use crate::app::RunEntry;
use eframe::egui::{Rect, pos2};

/// Space between two maps.
const GAP: (f32, f32) = (12.0, 8.0);
/// A map narrower than this cannot hold its head.
const NARROWEST: f32 = 196.0;
/// Head, axis and a few layers.
const LOWEST: f32 = 110.0;

/// Layers and neurons of a run.
pub fn shape_of(run: &RunEntry) -> (usize, usize) {
    (run.output.n_layers, run.output.d_mlp)
}

/// Columns for `n` maps of this shape: the most even cells that are wide and high enough; wide maps of few layers stack.
fn columns(room: (f32, f32), n: usize, (layers, _): (usize, usize), bar: f32) -> usize {
    let most = ((room.0 / NARROWEST) as usize).clamp(1, n.max(1));
    let cost = |c: usize| {
        let rows = n.div_ceil(c);
        let (w, h) = (room.0 / c as f32, room.1 / rows as f32);
        // Layers of 8 points are enough to tell apart; what is too low costs more than what is narrow.
        let wanted = (layers as f32 * 8.0 + 60.0).clamp(LOWEST, 420.0) + bar;
        let low = (wanted / h.max(1.0) - 1.0).max(0.0);
        let narrow = (520.0 / w.max(1.0) - 1.0).max(0.0);
        let empty = (c * rows - n) as f32 / n.max(1) as f32;
        2.0 * low + narrow + 0.5 * empty
    };
    (1..=most).min_by(|a, b| cost(*a).total_cmp(&cost(*b))).unwrap_or(1)
}

/// A map lower than this shows nothing but its head.
const LEAST: f32 = 74.0;
/// Maps lower than this leave the numbers of the columns to the lowest, where all show the same.
const LOW: f32 = 128.0;

/// Where maps stand, in rows from the top.
pub struct Places {
    /// One a map; fewer than there are where more would be too low to read.
    pub rects: Vec<Rect>,
    columns: usize,
    shared: bool,
}

impl Places {
    /// Whether the numbers of this map's columns stand under a map below it.
    pub fn bare(&self, i: usize) -> bool {
        self.shared && i + self.columns < self.rects.len()
    }
}

/// `bar`: height of the colour bar under each; `axis`: that of the columns' numbers, where all maps show the same columns.
pub fn places(room: Rect, n: usize, shape: (usize, usize), bar: f32, axis: Option<f32>) -> Places {
    let c = columns((room.width(), room.height()), n, shape, bar);
    let wanted = n.div_ceil(c).max(1);
    let high = |rows: usize, room: f32| (room - GAP.1 * (rows - 1) as f32) / rows as f32;
    let fit = |room: f32, least: f32| (((room + GAP.1) / (least + GAP.1)) as usize).max(1);
    let axis = axis.filter(|_| wanted > 1 && bar == 0.0 && high(wanted, room.height()) < LOW).unwrap_or(0.0);
    // Without its numbers a map is as much lower; those of the lowest row have them below.
    let tall = room.height() - axis;
    let rows = wanted.min(fit(tall, LEAST + bar - axis));
    let w = (room.width() - GAP.0 * (c - 1) as f32) / c as f32;
    let h = high(rows, tall);
    let shown = n.min(c * rows);
    let place = |i: usize| {
        let (x, y) = ((i % c) as f32, (i / c) as f32);
        let min = pos2((room.left() + x * (w + GAP.0)).round(), (room.top() + y * (h + GAP.1)).round());
        let foot = if i + c < shown { 0.0 } else { axis };
        Rect::from_min_max(min, pos2((min.x + w).min(room.right()), (min.y + h + foot).min(room.bottom())))
    };
    Places { rects: (0..shown).map(place).collect(), columns: c, shared: axis > 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eframe::egui::vec2;

    #[test]
    fn maps_fill_the_room_and_do_not_touch() {
        for (n, bar) in (1..=12).flat_map(|n| [(n, 0.0), (n, 40.0)]) {
            for size in [(500.0, 320.0), (1200.0, 800.0), (1900.0, 400.0), (300.0, 900.0)] {
                let room = Rect::from_min_size(pos2(10.0, 20.0), vec2(size.0, size.1));
                for axis in [None, Some(18.0)] {
                    let all = super::places(room, n, (30, 1536), bar, axis);
                    let places = &all.rects;
                    let least = LEAST + bar - if all.shared { 18.0 } else { 0.0 };
                    assert!(!places.is_empty() && places.len() <= n);
                    assert!(
                        places.len() == n || places[0].height() < 2.0 * least + GAP.1,
                        "no map is left out while there is room: {size:?} {n}"
                    );
                    assert!(places.iter().all(|p| p.height() >= least - 1.0), "none is too low");
                    for (i, a) in places.iter().enumerate() {
                        assert!(room.expand(0.6).contains_rect(*a), "{a:?} in {room:?}");
                        assert!(places[..i].iter().all(|b| !b.shrink(1.0).intersects(a.shrink(1.0))));
                        // Where its numbers stand elsewhere, a map of the same columns stands below.
                        assert!(!all.bare(i) || places.iter().any(|b| b.left() == a.left() && b.top() > a.bottom()));
                    }
                }
            }
        }
    }

    #[test]
    fn in_the_smallest_window_all_six_domains_are_seen_and_the_lowest_row_alone_has_numbers() {
        let room = Rect::from_min_size(pos2(0.0, 0.0), vec2(414.0, 264.0));
        let all = places(room, 6, (8, 384), 0.0, Some(18.0));
        assert_eq!((all.rects.len(), all.columns), (6, 2));
        assert_eq!((0..6).map(|i| all.bare(i)).collect::<Vec<_>>(), [true, true, true, true, false, false]);
        let heights: Vec<f32> = all.rects.iter().map(|r| r.height()).collect();
        assert!(heights[..4].iter().all(|h| (h - heights[4] + 18.0).abs() <= 1.0), "cells are equally high: {heights:?}");
        assert!(!places(room, 6, (8, 384), 0.0, None).bare(0), "each map that is moved by itself has its own");
    }

    #[test]
    fn four_maps_make_a_square_and_six_in_a_wide_room_two_rows() {
        assert_eq!(columns((1900.0, 1000.0), 4, (80, 28_672), 0.0), 2);
        assert_eq!(columns((1900.0, 800.0), 6, (32, 14_336), 0.0), 3);
        assert_eq!(columns((260.0, 900.0), 4, (8, 512), 0.0), 1);
    }
}
