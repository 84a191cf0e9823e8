//! To the card and back: a ring of mapped buffers on the way there, so that filling one overlaps with the copy of the last, and mapped read-backs.

use super::gpu::{Fault, Gpu, Outcome};
use crate::{
    base::{Error, Result},
    compute::Mat,
};
use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

const SLOT_BYTES: usize = 8 << 20;
const SLOTS: usize = 4;

/// States of a buffer that the processor maps.
const IDLE: u8 = 0;
const WAITING: u8 = 1;
const MAPPED: u8 = 2;
const FAILED: u8 = 3;
/// A mapping that has not come by then, after its submission is done, will not.
const PATIENCE: Duration = Duration::from_secs(30);

/// A buffer that the processor sees once its last submission is done.
struct Mapping {
    buffer: wgpu::Buffer,
    after: Option<wgpu::SubmissionIndex>,
    state: Arc<AtomicU8>,
}

impl Mapping {
    fn ask(&mut self, mode: wgpu::MapMode, after: wgpu::SubmissionIndex) {
        self.state.store(WAITING, Ordering::Release);
        self.after = Some(after);
        let state = self.state.clone();
        self.buffer.map_async(mode, .., move |done| state.store(if done.is_ok() { MAPPED } else { FAILED }, Ordering::Release));
    }
    fn unmap(&self) {
        if matches!(self.state.load(Ordering::Acquire), WAITING | MAPPED) {
            self.buffer.unmap();
        }
        // After the callback of a mapping that this broke off.
        self.state.store(IDLE, Ordering::Release);
    }
    fn ready(&self, gpu: &Gpu, check: &dyn Fn() -> Result<()>) -> Outcome<()> {
        if let Some(after) = &self.after {
            let since = Instant::now();
            while self.state.load(Ordering::Acquire) == WAITING {
                gpu.wait(after, check)?;
                if since.elapsed() > PATIENCE {
                    return Err(unreadable(gpu));
                }
            }
        }
        match self.state.load(Ordering::Acquire) {
            MAPPED => Ok(()),
            _ => Err(unreadable(gpu)),
        }
    }
}

fn unreadable(gpu: &Gpu) -> Fault {
    let lost = gpu.healthy().err();
    Fault::Stop(lost.unwrap_or_else(|| Error::device(gpu.facts.title(), "its memory could not be mapped; use --device cpu")))
}

/// The way to the card.
#[derive(Default)]
pub(super) struct Ring {
    slots: Vec<Mapping>,
    next: usize,
}

impl Ring {
    /// A stream of bytes into `to`, from its beginning.
    pub fn upload<'a>(&'a mut self, gpu: &'a Gpu, to: &wgpu::Buffer, check: &'a dyn Fn() -> Result<()>) -> Upload<'a> {
        Upload { ring: self, gpu, check, to: to.clone(), at: 0, view: None, used: 0 }
    }
}

pub(super) struct Upload<'a> {
    ring: &'a mut Ring,
    gpu: &'a Gpu,
    check: &'a dyn Fn() -> Result<()>,
    to: wgpu::Buffer,
    at: u64,
    /// Of the slot being filled.
    view: Option<wgpu::BufferViewMut>,
    used: usize,
}

impl Upload<'_> {
    fn open(&mut self) -> Outcome<()> {
        let ring = &mut *self.ring;
        if ring.slots.len() < SLOTS {
            let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
            let descriptor = wgpu::BufferDescriptor { label: Some("staging"), size: SLOT_BYTES as u64, usage, mapped_at_creation: true };
            let buffer = self.gpu.device.create_buffer(&descriptor);
            self.gpu.healthy()?;
            ring.next = ring.slots.len();
            ring.slots.push(Mapping { buffer, after: None, state: Arc::new(AtomicU8::new(MAPPED)) });
        }
        let slot = &ring.slots[ring.next];
        slot.ready(self.gpu, self.check)?;
        let view = slot.buffer.get_mapped_range_mut(..).map_err(|_| unreadable(self.gpu))?;
        (self.view, self.used) = (Some(view), 0);
        Ok(())
    }
    fn flush(&mut self) -> Outcome<()> {
        let Some(view) = self.view.take() else { return Ok(()) };
        drop(view);
        let slot = &mut self.ring.slots[self.ring.next];
        self.ring.next = (self.ring.next + 1) % SLOTS;
        slot.unmap();
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&slot.buffer, 0, &self.to, self.at, self.used as u64);
        let index = self.gpu.submit(encoder.finish())?;
        slot.ask(wgpu::MapMode::Write, index);
        self.at += self.used as u64;
        (self.check)()?;
        Ok(())
    }
    fn push(&mut self, mut bytes: &[u8]) -> Outcome<()> {
        while !bytes.is_empty() {
            if self.view.is_none() {
                self.open()?;
            }
            let n = bytes.len().min(SLOT_BYTES - self.used);
            if let Some(view) = &mut self.view {
                copy(view.slice(self.used..self.used + n), &bytes[..n]);
            }
            self.used += n;
            bytes = &bytes[n..];
            if self.used == SLOT_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }
    /// Rows of a matrix one after another, each filled up with zeros to a multiple of four.
    pub fn rows(&mut self, from: Mat<'_>, runs: &[Range<usize>]) -> Outcome<()> {
        let pad = from.cols.next_multiple_of(4) - from.cols;
        for run in runs {
            if pad == 0 && from.stride == from.cols && !run.is_empty() {
                let first = run.start * from.stride;
                self.push(bytemuck::cast_slice(&from.data[first..first + run.len() * from.cols]))?;
            } else {
                for t in run.clone() {
                    self.push(bytemuck::cast_slice(from.row(t)))?;
                    self.push(&[0; 12][..4 * pad])?;
                }
            }
        }
        Ok(())
    }
    pub fn words(&mut self, words: &[u32]) -> Outcome<()> {
        self.push(bytemuck::cast_slice(words))
    }
    /// # Errors
    /// Those of the card.
    pub fn finish(mut self) -> Outcome<()> {
        self.flush()
    }
}

/// What a thread copies at a time.
const SHARE: usize = 1 << 20;
/// One core fills memory that a card sees at a few GB/s; more of them come near to the bus.
const COPIERS: usize = 4;

fn copy(to: wgpu::WriteOnly<'_, [u8]>, from: &[u8]) {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // Half of the cores at most: the others are at the next layer.
    copy_with((from.len() / SHARE).min(COPIERS).min(cores / 2), to, from);
}

fn copy_with(threads: usize, mut to: wgpu::WriteOnly<'_, [u8]>, from: &[u8]) {
    if threads < 2 {
        return to.copy_from_slice(from);
    }
    let (shares, mut rest) = to.into_chunks::<SHARE>();
    let (parts, left) = from.as_chunks::<SHARE>();
    let mut work: Vec<_> = shares.into_iter().zip(parts).collect();
    let each = work.len().div_ceil(threads);
    std::thread::scope(|scope| {
        while !work.is_empty() {
            let mine = work.split_off(work.len().saturating_sub(each));
            scope.spawn(move || {
                for (to, part) in mine {
                    wgpu::WriteOnly::<[u8]>::from(to).copy_from_slice(part);
                }
            });
        }
        rest.copy_from_slice(left);
    });
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        // Given up half way: the slot's view has to go before the slot can be used again.
        self.view = None;
    }
}

/// Two read-backs in turn: one is read while the card fills the other.
#[derive(Default)]
pub(super) struct Downloads {
    buffers: [Option<Mapping>; 2],
    turn: usize,
}

/// A read-back on its way.
pub(super) struct Awaited {
    at: usize,
    bytes: usize,
}

impl Downloads {
    /// The buffer that the next read-back of so many bytes goes into.
    pub fn prepare(&mut self, gpu: &Gpu, bytes: u64) -> Outcome<wgpu::Buffer> {
        self.turn = 1 - self.turn;
        let old = &mut self.buffers[self.turn];
        if old.as_ref().is_none_or(|m| m.buffer.size() < bytes) {
            *old = None;
            let buffer = gpu.buffer("read-back", bytes, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)?;
            *old = Some(Mapping { buffer, after: None, state: Arc::new(AtomicU8::new(IDLE)) });
        }
        match old {
            Some(m) => {
                // Left mapped by a scan that was given up.
                m.unmap();
                Ok(m.buffer.clone())
            }
            None => Err(unreadable(gpu)),
        }
    }
    /// After the submission that fills the prepared buffer.
    pub fn start(&mut self, bytes: u64, after: wgpu::SubmissionIndex) -> Awaited {
        if let Some(m) = &mut self.buffers[self.turn] {
            m.ask(wgpu::MapMode::Read, after);
        }
        Awaited { at: self.turn, bytes: bytes as usize }
    }
    /// Waits for it and shows it to `read`.
    pub fn take(&mut self, gpu: &Gpu, awaited: &Awaited, check: &dyn Fn() -> Result<()>, read: impl FnOnce(&[u32])) -> Outcome<()> {
        let Some(m) = &self.buffers[awaited.at] else { return Err(unreadable(gpu)) };
        m.ready(gpu, check)?;
        let view = m.buffer.get_mapped_range(..).map_err(|_| unreadable(gpu))?;
        read(bytemuck::cast_slice(&view[..awaited.bytes]));
        drop(view);
        m.unmap();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_threads_copy_what_one_does() {
        for len in [0, 5, SHARE, 3 * SHARE + 17] {
            let from: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            for threads in [1, 2, 3, 4] {
                let mut to = vec![0; len];
                copy_with(threads, wgpu::WriteOnly::from_mut(&mut to[..]), &from);
                assert!(to == from, "{threads} threads, {len} bytes");
            }
        }
    }
}
