//! Where a matrix and what belongs to one of its cells stand: beside each other, one over the other, or one at a time.

use super::matrix::{height_of, largest_cell, width_of};
use eframe::egui::Vec2;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrange {
    /// Width of the matrix.
    Beside(f32),
    /// Height of the matrix.
    Stacked(f32),
    /// The matrix; a click on a cell brings the rest in its place.
    One,
}

/// Cells that can hold a number.
const COMFORTABLE: f32 = 30.0;
/// Smallest cells: of a few domains those that hold two digits, of many those that are still easy to hit.
fn small(n: usize) -> f32 {
    if n <= 8 { 22.0 } else { 15.0 }
}

impl Arrange {
    /// `names`: width of the row names; `n` rows; `rest`: the least that the other part needs.
    pub fn of(room: Vec2, names: f32, n: usize, rest: Vec2) -> Self {
        let (small, largest) = (small(n), largest_cell(room.y));
        let (gap, cell) = (16.0, ((room.y - height_of(n, 0.0)) / n.max(1) as f32).clamp(small, largest));
        let beside = room.x - rest.x - gap;
        let stacked = room.y - rest.y - gap;
        let fits_beside = beside >= width_of(names, n, small) && room.y >= height_of(n, small).min(rest.y);
        let fits_stacked = stacked >= height_of(n, small) && room.x >= rest.x;
        let wide = Self::Beside(width_of(names, n, cell).min(beside).min(room.x * 0.6).max(width_of(names, n, small)));
        // A share for the matrix that leaves the rest at least as much as it needs.
        let tall = Self::Stacked((room.y * 0.58).min(height_of(n, largest)).max(height_of(n, COMFORTABLE)).min(stacked));
        match (fits_beside, fits_stacked) {
            (true, true) if room.x > 1.3 * room.y => wide,
            (_, true) => tall,
            (true, false) => wide,
            (false, false) => Self::One,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eframe::egui::vec2;

    const REST: Vec2 = vec2(200.0, 150.0);

    #[test]
    fn each_shape_of_room_has_its_arrangement() {
        assert!(matches!(Arrange::of(vec2(900.0, 400.0), 78.0, 6, REST), Arrange::Beside(_)));
        assert!(matches!(Arrange::of(vec2(420.0, 640.0), 78.0, 6, REST), Arrange::Stacked(_)));
        assert_eq!(Arrange::of(vec2(340.0, 190.0), 78.0, 6, REST), Arrange::One);
    }

    #[test]
    fn both_parts_keep_what_they_need() {
        for x in (200..1600).step_by(40) {
            for y in (120..1200).step_by(40) {
                for n in [1, 2, 6, 12, 30] {
                    let room = vec2(x as f32, y as f32);
                    match Arrange::of(room, 78.0, n, REST) {
                        Arrange::Beside(w) => assert!(room.x - w >= REST.x && w >= width_of(78.0, n, 12.0), "{room} {n}: {w}"),
                        Arrange::Stacked(h) => assert!(room.y - h >= REST.y && h >= height_of(n, 12.0), "{room} {n}: {h}"),
                        Arrange::One => {}
                    }
                }
            }
        }
    }
}
