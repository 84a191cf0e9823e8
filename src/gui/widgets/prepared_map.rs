//! Maps ready to be drawn: combined, brought to one scale a layer, ordered, with their pyramid and magnitudes. Made once, off the interface thread
//! where they are large.

use crate::base::{
    Grid,
    heatmap::{Combine, Magnitudes, PerLayer, Permutation, Pyramid, Summary},
};
use eframe::egui::Context;
use std::sync::{Arc, mpsc};

/// What a map is made of. Grids are shared, so a copy costs nothing.
#[derive(Clone)]
pub struct MapSource {
    pub a: Grid,
    pub b: Option<(Grid, Combine)>,
    pub per_layer: PerLayer,
    pub order: Option<Arc<Permutation>>,
}

impl MapSource {
    pub fn plain(a: &Grid) -> Self {
        Self { a: a.clone(), b: None, per_layer: PerLayer::None, order: None }
    }

    fn key(&self) -> Key {
        let address = |g: &Grid| g.values().as_ptr() as usize;
        let order = self.order.as_ref().map_or(0, |o| Arc::as_ptr(o) as usize);
        (address(&self.a), self.b.as_ref().map(|(b, c)| (address(b), *c)), self.per_layer, order)
    }
}

type Key = (usize, Option<(usize, Combine)>, PerLayer, usize);

pub struct PreparedMap {
    /// What is coloured, by layer and neuron (not by place).
    pub grid: Grid,
    /// What was measured or compared; differs from `grid` where each layer has its own scale.
    pub measured: Grid,
    pub magnitudes: Magnitudes,
    /// Of `grid`, by place.
    pub pyramid: Arc<Pyramid>,
    /// Keeps the addresses, which are the key, taken.
    source: MapSource,
}

impl PreparedMap {
    /// A second grid or an order of another shape is left out.
    pub fn new(source: MapSource) -> Self {
        let combined = source.b.as_ref().and_then(|(b, how)| how.of(&source.a, b).ok());
        let measured = combined.unwrap_or_else(|| source.a.clone());
        let grid = source.per_layer.of(&measured);
        let arranged = source.order.as_ref().and_then(|o| o.arrange(&grid).ok());
        let (pyramid, magnitudes) = rayon::join(|| Pyramid::new(arranged.as_ref().unwrap_or(&grid)), || Magnitudes::of(&grid));
        let source = MapSource { order: source.order.filter(|_| arranged.is_some()), ..source };
        Self { pyramid: Arc::new(pyramid), magnitudes, grid, measured, source }
    }
    pub fn summary(&self, percentile: f32) -> Summary {
        self.magnitudes.summary(percentile)
    }
    pub fn order(&self) -> Option<&Arc<Permutation>> {
        self.source.order.as_ref()
    }
    pub fn per_layer(&self) -> PerLayer {
        self.source.per_layer
    }
}

/// Maps up to this many cells take about a millisecond and are made at once.
const AT_ONCE: usize = 100_000;
/// Maps kept beside those in use: going back and forth between a few domains costs nothing.
const KEPT: usize = 6;

#[derive(Default)]
pub struct Maps {
    /// Used last at the end.
    ready: Vec<(Key, Arc<PreparedMap>)>,
    working: Vec<(Key, mpsc::Receiver<PreparedMap>)>,
    /// Maps asked for since the last [`Self::sweep`].
    in_use: usize,
}

impl Maps {
    /// The map, or `None` while it is being made (a repaint follows).
    pub fn get(&mut self, ctx: &Context, source: &MapSource) -> Option<Arc<PreparedMap>> {
        self.in_use += 1;
        let key = source.key();
        let mut i = 0;
        while i < self.working.len() {
            match self.working[i].1.try_recv() {
                Ok(map) => {
                    let (key, _) = self.working.remove(i);
                    self.ready.push((key, Arc::new(map)));
                }
                Err(mpsc::TryRecvError::Empty) => i += 1,
                // Its thread ended without a map; it is asked for again.
                Err(mpsc::TryRecvError::Disconnected) => drop(self.working.remove(i)),
            }
        }
        if let Some(i) = self.ready.iter().position(|(k, _)| *k == key) {
            let found = self.ready.remove(i);
            let map = found.1.clone();
            self.ready.push(found);
            return Some(map);
        }
        if source.a.values().len() <= AT_ONCE {
            let map = Arc::new(PreparedMap::new(source.clone()));
            self.ready.push((key, map.clone()));
            return Some(map);
        }
        if self.working.iter().all(|(k, _)| *k != key) {
            let (send, receive) = mpsc::channel();
            let (ctx, source) = (ctx.clone(), source.clone());
            std::thread::spawn(move || {
                // Nobody listens any more when the panel is gone.
                let _ = send.send(PreparedMap::new(source));
                ctx.request_repaint();
            });
            self.working.push((key, receive));
        }
        None
    }

    /// Forgets maps that were not asked for lately; called once a frame, after all `get`s.
    pub fn sweep(&mut self) {
        let kept = std::mem::take(&mut self.in_use) + KEPT;
        let surplus = self.ready.len().saturating_sub(kept);
        self.ready.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(maps: &mut Maps, ctx: &Context, source: &MapSource) -> Arc<PreparedMap> {
        loop {
            if let Some(m) = maps.get(ctx, source) {
                return m;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn large_maps_arrive_a_little_later_beside_each_other_and_are_kept() {
        let ctx = Context::default();
        let mut maps = Maps::default();
        let small = Grid::zeros(2, 3);
        assert!(maps.get(&ctx, &MapSource::plain(&small)).is_some());
        let large = |v: f32| MapSource::plain(&Grid::new(1, AT_ONCE + 1, vec![v; AT_ONCE + 1]).expect("grid"));
        let (one, two) = (large(1.0), large(2.0));
        assert!(maps.get(&ctx, &one).is_none() && maps.get(&ctx, &two).is_none());
        let map = wait(&mut maps, &ctx, &one);
        assert_eq!(map.summary(99.9).max, 1.0);
        assert_eq!(wait(&mut maps, &ctx, &two).summary(99.9).max, 2.0);
        assert!(Arc::ptr_eq(&map, &maps.get(&ctx, &one).expect("kept")));
        for i in 0..20 {
            maps.sweep();
            assert!(maps.get(&ctx, &MapSource::plain(&Grid::zeros(1, i + 1))).is_some());
        }
        assert!(maps.ready.len() <= KEPT + 2, "{}", maps.ready.len());
    }

    #[test]
    fn a_map_is_combined_scaled_and_ordered_and_tells_true_neurons() {
        let grid = |v: &[f32]| Grid::new(1, v.len(), v.to_vec()).expect("grid");
        let a = grid(&[2.0, 8.0, 4.0]);
        let order = Arc::new(Permutation::by_value(&a));
        let source = MapSource {
            b: Some((grid(&[1.0, 1.0, 1.0]), Combine::Ratio)),
            per_layer: PerLayer::Max,
            order: Some(order),
            ..MapSource::plain(&a)
        };
        let map = PreparedMap::new(source);
        assert_eq!(map.measured.values(), [1.0, 3.0, 2.0]);
        assert_eq!(map.grid.values()[1], 1.0);
        assert_eq!(map.pyramid.values[..3], [1.0, 2.0 / 3.0, 1.0 / 3.0], "the picture is sorted, the grid is not");
    }
}
