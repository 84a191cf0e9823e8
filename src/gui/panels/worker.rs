//! Work that a panel wants done beside the frames: at once where it is little, else on a thread of its own.

use eframe::egui::Context;
use std::sync::{Arc, mpsc};

/// The answer for a key; while a newer one is worked out, the last stays up if it may.
pub struct Worker<K, T> {
    done: Option<(K, Arc<T>)>,
    working: Option<(K, mpsc::Receiver<T>)>,
}

/// Cells of all maps that are gone through within a frame.
const AT_ONCE: usize = 100_000;

impl<K, T> Default for Worker<K, T> {
    fn default() -> Self {
        Self { done: None, working: None }
    }
}

/// Whether an answer for one key may stand in for another's while that is worked out.
pub trait Stands {
    fn stands_for(&self, other: &Self) -> bool;
}

impl<K: Copy + PartialEq + Stands, T: Send + 'static> Worker<K, T> {
    /// `cells`: how much there is to go through.
    pub fn get(&mut self, ctx: &Context, key: K, cells: usize, make: impl FnOnce() -> T + Send + 'static) -> Option<Arc<T>> {
        if let Some((k, receive)) = &self.working
            && let Ok(made) = receive.try_recv()
        {
            self.done = Some((*k, Arc::new(made)));
            self.working = None;
        }
        let newest = self.done.as_ref().is_some_and(|(k, _)| *k == key);
        if !newest && self.working.is_none() {
            if cells <= AT_ONCE {
                self.done = Some((key, Arc::new(make())));
            } else {
                let (send, receive) = mpsc::channel();
                let ctx = ctx.clone();
                std::thread::spawn(move || {
                    // The panel may be gone.
                    let _ = send.send(make());
                    ctx.request_repaint();
                });
                self.working = Some((key, receive));
            }
        }
        self.done.as_ref().filter(|(k, _)| k.stands_for(&key)).map(|(_, t)| t.clone())
    }
}
