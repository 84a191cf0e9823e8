//! A map with its pyramid and summary, made once, off the interface thread where it is large.

use crate::base::{
    Grid,
    heatmap::{Pyramid, Summary},
};
use eframe::egui::Context;
use std::sync::{Arc, mpsc};

pub struct PreparedMap {
    pub grid: Grid,
    pub pyramid: Pyramid,
    pub summary: Summary,
    /// What the grid was made of: keeps their addresses, which are the key, taken.
    _sources: (Grid, Option<Grid>),
}

impl PreparedMap {
    /// `a`, or `a - b` (which must have the same shape; else `a`).
    pub fn new(a: Grid, b: Option<Grid>) -> Self {
        let grid = b.as_ref().and_then(|b| a.minus(b).ok()).unwrap_or_else(|| a.clone());
        Self { pyramid: Pyramid::new(&grid), summary: Summary::of(&grid), grid, _sources: (a, b) }
    }
}

/// Maps up to this many cells take about a millisecond and are made at once.
const AT_ONCE: usize = 100_000;
/// Maps kept: going back and forth between a few domains costs nothing.
const KEPT: usize = 8;

type Key = (usize, usize);

#[derive(Default)]
pub struct Maps {
    ready: Vec<(Key, Arc<PreparedMap>)>,
    working: Option<(Key, mpsc::Receiver<PreparedMap>)>,
}

impl Maps {
    /// The map, or `None` while it is being made (a repaint follows).
    pub fn get(&mut self, ctx: &Context, a: &Grid, b: Option<&Grid>) -> Option<Arc<PreparedMap>> {
        let address = |g: &Grid| g.values().as_ptr() as usize;
        let key = (address(a), b.map_or(0, address));
        if let Some((done, receive)) = &self.working
            && let Ok(map) = receive.try_recv()
        {
            self.ready.push((*done, Arc::new(map)));
            self.working = None;
        }
        if let Some(i) = self.ready.iter().position(|(k, _)| *k == key) {
            let found = self.ready.remove(i);
            let map = found.1.clone();
            self.ready.push(found);
            return Some(map);
        }
        let (a, b) = (a.clone(), b.cloned());
        if a.values().len() <= AT_ONCE {
            self.ready.push((key, Arc::new(PreparedMap::new(a, b))));
        } else if self.working.as_ref().is_none_or(|(k, _)| *k != key) {
            let (send, receive) = mpsc::channel();
            let ctx = ctx.clone();
            std::thread::spawn(move || {
                // Nobody listens any more when another map was asked for meanwhile.
                let _ = send.send(PreparedMap::new(a, b));
                ctx.request_repaint();
            });
            self.working = Some((key, receive));
        }
        if self.ready.len() > KEPT {
            self.ready.remove(0);
        }
        self.ready.last().filter(|(k, _)| *k == key).map(|(_, m)| m.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_map_arrives_a_little_later_and_is_kept() {
        let ctx = Context::default();
        let mut maps = Maps::default();
        let small = Grid::zeros(2, 3);
        assert!(maps.get(&ctx, &small, None).is_some());
        let large = Grid::new(1, AT_ONCE + 1, vec![1.0; AT_ONCE + 1]).expect("grid");
        assert!(maps.get(&ctx, &large, None).is_none());
        let map = loop {
            if let Some(m) = maps.get(&ctx, &large, None) {
                break m;
            }
            std::thread::yield_now();
        };
        assert_eq!(map.summary.max, 1.0);
        assert!(Arc::ptr_eq(&map, &maps.get(&ctx, &large, None).expect("kept")));
        let difference = maps.get(&ctx, &small, Some(&Grid::new(2, 3, vec![1.0; 6]).expect("grid"))).expect("small");
        assert_eq!(difference.grid.values(), [-1.0; 6]);
    }
}
