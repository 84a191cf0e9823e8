//! Where maps stand beside each other.

use crate::app::RunEntry;
use eframe::egui::{Rect, pos2};

/// Space between two maps.
const GAP: (f32, f32) = (12.0, 8.0);
/// A map narrower than this cannot hold its head.
const NARROWEST: f32 = 220.0;
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

/// One place a map, in rows from the top; fewer than `n` where more would be too low to read. `bar`: height of the colour bar under each.
pub fn places(room: Rect, n: usize, shape: (usize, usize), bar: f32) -> Vec<Rect> {
    let c = columns((room.width(), room.height()), n, shape, bar);
    let fit = (((room.height() + GAP.1) / (LEAST + bar + GAP.1)) as usize).max(1);
    let rows = n.div_ceil(c).clamp(1, fit);
    let w = (room.width() - GAP.0 * (c - 1) as f32) / c as f32;
    let h = (room.height() - GAP.1 * (rows - 1) as f32) / rows as f32;
    (0..n.min(c * rows))
        .map(|i| {
            let (x, y) = ((i % c) as f32, (i / c) as f32);
            let min = pos2((room.left() + x * (w + GAP.0)).round(), (room.top() + y * (h + GAP.1)).round());
            Rect::from_min_max(min, pos2((min.x + w).min(room.right()), (min.y + h).min(room.bottom())))
        })
        .collect()
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
                let places = places(room, n, (30, 1536), bar);
                assert!(!places.is_empty() && places.len() <= n);
                assert!(
                    places.len() == n || places[0].height() < 2.0 * (LEAST + bar),
                    "no map is left out while there is room: {size:?} {n}"
                );
                assert!(places.iter().all(|p| p.height() >= LEAST + bar - 1.0), "none is too low");
                for (i, a) in places.iter().enumerate() {
                    assert!(room.expand(0.6).contains_rect(*a), "{a:?} in {room:?}");
                    assert!(places[..i].iter().all(|b| !b.shrink(1.0).intersects(a.shrink(1.0))));
                }
            }
        }
    }

    #[test]
    fn four_maps_make_a_square_and_six_in_a_wide_room_two_rows() {
        assert_eq!(columns((1900.0, 1000.0), 4, (80, 28_672), 0.0), 2);
        assert_eq!(columns((1900.0, 800.0), 6, (32, 14_336), 0.0), 3);
        assert_eq!(columns((260.0, 900.0), 4, (8, 512), 0.0), 1);
    }
}
