//! Where cells stand on the screen, and how a window moves over the map.

use crate::base::{
    Neuron,
    heatmap::{Permutation, Window},
};
use eframe::egui::{Pos2, Rect, vec2};

/// Zoomed in, this many cells fill the width.
pub const FEWEST: f64 = 8.0;

/// A window on the screen. Cells are neurons, wherever they stand.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub rect: Rect,
    pub window: Window,
    /// Rows and columns of the whole map.
    pub shape: (usize, usize),
    pub order: Option<&'a Permutation>,
}

impl Place<'_> {
    pub fn coordinates(&self, p: Pos2) -> (f64, f64) {
        let x = self.window.x + f64::from((p.x - self.rect.left()) / self.rect.width()) * self.window.width;
        let y = self.window.y + f64::from((p.y - self.rect.top()) / self.rect.height()) * self.window.height;
        (x, y)
    }
    /// The neuron that stands at a layer's place.
    pub fn neuron(&self, at: Neuron) -> Neuron {
        self.order.map_or(at, |o| o.neuron(at.layer, at.index))
    }
    /// Where a neuron stands.
    pub fn place(&self, n: Neuron) -> u32 {
        self.order.map_or(n.index, |o| o.place(n))
    }
    pub fn cell(&self, p: Pos2) -> Option<Neuron> {
        let (x, y) = self.coordinates(p);
        let inside = x >= 0.0 && y >= 0.0 && x < self.shape.1 as f64 && y < self.shape.0 as f64;
        inside.then(|| self.neuron(Neuron::new(y as u32, x as u32)))
    }
    /// Layers and places that a rectangle on the screen touches.
    pub fn cells(&self, r: Rect) -> (std::ops::Range<u32>, std::ops::Range<u32>) {
        let (a, b) = (self.coordinates(r.min), self.coordinates(r.max));
        let range = |from: f64, to: f64, n: usize| (from.max(0.0) as u32).min(n as u32)..(to.max(0.0).ceil() as u32).min(n as u32);
        (range(a.1, b.1, self.shape.0), range(a.0, b.0, self.shape.1))
    }
    pub fn cell_rect(&self, n: Neuron) -> Rect {
        let scale = (f64::from(self.rect.width()) / self.window.width, f64::from(self.rect.height()) / self.window.height);
        let at = |layer: f64, index: f64| {
            self.rect.min + vec2(((index - self.window.x) * scale.0) as f32, ((layer - self.window.y) * scale.1) as f32)
        };
        let (layer, place) = (f64::from(n.layer), f64::from(self.place(n)));
        Rect::from_min_max(at(layer, place), at(layer + 1.0, place + 1.0))
    }
}

/// Keeps the cell under `p` where it is. Neurons zoom alone until cells are as wide as high; then layers zoom along.
pub fn zoom_about(window: &mut Window, shape: (usize, usize), rect: Rect, p: Pos2, zoom: f64) {
    let (fx, fy) = (f64::from((p.x - rect.left()) / rect.width()), f64::from((p.y - rect.top()) / rect.height()));
    let width = (window.width / zoom).clamp(FEWEST.min(shape.1 as f64), shape.1.max(1) as f64);
    window.x += fx * (window.width - width);
    window.width = width;
    let cell = f64::from(rect.width()) / width;
    let row = f64::from(rect.height()) / window.height;
    let square = zoom > 1.0 && cell > row || zoom < 1.0 && window.height < shape.0 as f64;
    if square {
        let height = (window.height / zoom).clamp(1.0, shape.0.max(1) as f64);
        window.y += fy * (window.height - height);
        window.height = height;
    }
}

/// The window moved, and zoomed in where it shows many cells, so that a neuron is in its middle.
pub fn centred_on(mut window: Window, n: Neuron, order: Option<&Permutation>, shape: (usize, usize)) -> Window {
    window.width = window.width.min((shape.1 as f64 / 4.0).clamp(FEWEST, 128.0));
    window.x = f64::from(order.map_or(n.index, |o| o.place(n))) + 0.5 - window.width / 2.0;
    window.y = f64::from(n.layer) + 0.5 - window.height / 2.0;
    window
}

/// Scrolls no further than needed to show a layer's place.
pub fn follow(window: &mut Window, n: Neuron) {
    let (x, y) = (f64::from(n.index), f64::from(n.layer));
    window.x = window.x.min(x).max(x + 1.0 - window.width);
    window.y = window.y.min(y).max(y + 1.0 - window.height);
}

#[cfg(test)]
mod tests {
    use super::*;
    use eframe::egui::pos2;

    const RECT: Rect = Rect { min: pos2(100.0, 50.0), max: pos2(500.0, 130.0) };

    #[test]
    fn zooming_keeps_the_cell_under_the_pointer() {
        let shape = (8, 512);
        let mut window = Window::whole(8, 512);
        let p = pos2(333.0, 77.0);
        for zoom in [1.3, 1.3, 2.0, 3.0, 0.5, 4.0] {
            let before = Place { rect: RECT, window, shape, order: None }.coordinates(p);
            zoom_about(&mut window, shape, RECT, p, zoom);
            let after = Place { rect: RECT, window, shape, order: None }.coordinates(p);
            assert!((before.0 - after.0).abs() < 1e-6 && (before.1 - after.1).abs() < 1e-6, "{before:?} {after:?}");
        }
    }

    #[test]
    fn layers_zoom_along_once_cells_are_square() {
        let shape = (8, 512);
        let mut window = Window::whole(8, 512);
        zoom_about(&mut window, shape, RECT, RECT.center(), 8.0);
        assert_eq!(window.height, 8.0, "64 cells on 400 points are narrower than rows of 10");
        zoom_about(&mut window, shape, RECT, RECT.center(), 4.0);
        assert_eq!(window.height, 2.0, "16 cells of 25 points are wider");
    }

    #[test]
    fn cells_and_points_agree() {
        let place = Place { rect: RECT, window: Window { x: 10.0, y: 2.0, width: 20.0, height: 4.0 }, shape: (8, 512), order: None };
        for n in [Neuron::new(2, 10), Neuron::new(5, 29), Neuron::new(3, 17)] {
            assert_eq!(place.cell(place.cell_rect(n).center()), Some(n));
        }
        let (layers, neurons) = place.cells(place.cell_rect(Neuron::new(3, 17)).shrink(1.0));
        assert_eq!((layers, neurons), (3..4, 17..18));
    }

    #[test]
    fn in_a_sorted_map_a_point_is_the_neuron_that_stands_there() {
        let grid = crate::base::Grid::new(1, 8, vec![1.0, 5.0, 3.0, 0.0, 2.0, 9.0, 4.0, 6.0]).expect("grid");
        let order = Permutation::by_value(&grid);
        let place = Place { rect: RECT, window: Window::whole(1, 8), shape: (1, 8), order: Some(&order) };
        // Largest first: neurons 5, 7, 1, 6, 2, 4, 0, 3 at 50 points each.
        assert_eq!(place.cell(pos2(RECT.left() + 25.0, RECT.center().y)), Some(Neuron::new(0, 5)));
        assert_eq!(place.cell(pos2(RECT.left() + 125.0, RECT.center().y)), Some(Neuron::new(0, 1)));
        assert_eq!(place.cell_rect(Neuron::new(0, 3)).left(), RECT.right() - 50.0);
        for i in 0..8 {
            let n = Neuron::new(0, i);
            assert_eq!(place.cell(place.cell_rect(n).center()), Some(n));
        }
    }

    #[test]
    fn the_window_follows_the_cursor_no_further_than_needed() {
        let mut window = Window { x: 100.0, y: 0.0, width: 20.0, height: 4.0 };
        follow(&mut window, Neuron::new(2, 110));
        assert_eq!(window.x, 100.0);
        follow(&mut window, Neuron::new(6, 120));
        assert_eq!((window.x, window.y), (101.0, 3.0));
    }
}
