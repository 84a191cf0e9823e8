//! An opened card: its queue, its kernels, and what goes wrong with it as values instead of panics.

use super::{
    TileShape,
    adapters::{AdapterEntry, AdapterFacts, STORAGE_BUFFERS},
    shaders,
};
use crate::base::{Error, Result};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Why a step on the card did not happen.
#[derive(Debug)]
pub(super) enum Fault {
    /// The card's memory is full: the same in smaller pieces may work.
    Memory(String),
    Stop(Error),
}

impl From<Error> for Fault {
    fn from(e: Error) -> Self {
        Self::Stop(e)
    }
}

pub(super) type Outcome<T> = Result<T, Fault>;

/// What the driver reports behind our back.
#[derive(Default)]
struct Reports {
    lost: Mutex<Option<String>>,
    error: Mutex<Option<String>>,
}

fn first_words(slot: &Mutex<Option<String>>) -> Option<String> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn note(slot: &Mutex<Option<String>>, words: String) {
    slot.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(words);
}

pub(super) struct Gpu {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub tile: TileShape,
    pub facts: AdapterFacts,
    kernels: HashMap<&'static str, wgpu::ComputePipeline>,
    reports: Arc<Reports>,
}

/// A card that does not answer for so long will not.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at whether to stop.
const LOOK: Duration = Duration::from_millis(50);

impl Gpu {
    /// # Errors
    /// When the driver refuses the device or a kernel.
    pub fn open(entry: &AdapterEntry, tile: TileShape) -> Result<Self> {
        let facts = entry.facts.clone();
        let failed = |what: &str, e: String| Error::device(facts.title(), format!("{what}: {e}; use another device, e.g. --device cpu"));
        let offered = entry.adapter.limits();
        let limits = wgpu::Limits {
            max_storage_buffers_per_shader_stage: STORAGE_BUFFERS,
            max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size,
            max_buffer_size: offered.max_buffer_size,
            max_compute_workgroup_storage_size: tile.workgroup_bytes().max(16 << 10),
            ..wgpu::Limits::downlevel_defaults()
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("scan"),
            required_features: wgpu::Features::empty(),
            required_limits: limits,
            experimental_features: wgpu::ExperimentalFeatures::disabled(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            trace: wgpu::Trace::Off,
        };
        let (device, queue) =
            pollster::block_on(entry.adapter.request_device(&descriptor)).map_err(|e| failed("it could not be opened", e.to_string()))?;
        let reports = Arc::new(Reports::default());
        let heard = reports.clone();
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| {
            tracing::warn!("graphics card: {e}");
            note(&heard.error, e.to_string());
        }));
        let heard = reports.clone();
        device.set_device_lost_callback(move |reason, words| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                tracing::warn!("graphics card lost: {reason:?} {words}");
                note(&heard.lost, if words.is_empty() { "no reason given".into() } else { words });
            }
        });
        let mut gpu = Self { device, queue, tile, facts: entry.facts.clone(), kernels: HashMap::new(), reports };
        for (file, source) in shaders::kernels(tile) {
            let module = gpu
                .device
                .create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(file), source: wgpu::ShaderSource::Wgsl(source.into()) });
            let entries: &[&'static str] = if file == "scan_mean" { &["domain_rows", "domain_columns"] } else { &[file] };
            for entry_point in entries {
                let pipeline = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: Some(entry_point),
                    layout: None,
                    module: &module,
                    entry_point: Some(entry_point),
                    compilation_options: wgpu::PipelineCompilationOptions::default(),
                    cache: None,
                });
                gpu.kernels.insert(entry_point, pipeline);
            }
        }
        gpu.healthy()?;
        Ok(gpu)
    }

    pub fn kernel(&self, name: &'static str) -> &wgpu::ComputePipeline {
        &self.kernels[name]
    }

    pub fn lost(&self) -> Option<String> {
        first_words(&self.reports.lost)
    }

    fn error(&self, message: String) -> Error {
        Error::device(self.facts.title(), message)
    }

    /// # Errors
    /// What the driver has reported since the card was opened.
    pub fn healthy(&self) -> Result<()> {
        if let Some(words) = self.lost() {
            let what = format!("the device was lost ({words}); try again, with fewer samples at a time, or with --device cpu");
            return Err(self.error(what));
        }
        match first_words(&self.reports.error) {
            Some(words) => Err(self.error(format!("{words}; use --device cpu and please report this"))),
            None => Ok(()),
        }
    }

    /// A buffer for kernels and copies, at least so long.
    ///
    /// # Errors
    /// [`Fault::Memory`] when the card has no room.
    pub fn buffer(&self, label: &'static str, bytes: u64, usage: wgpu::BufferUsages) -> Outcome<wgpu::Buffer> {
        // Kernels see whole vectors; an empty buffer cannot be bound.
        let size = bytes.next_multiple_of(256).max(256);
        if size > self.facts.max_buffer_bytes {
            return Err(Fault::Memory(format!("a buffer of {size} bytes is more than the {} it offers", self.facts.max_buffer_bytes)));
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        let buffer = self.device.create_buffer(&descriptor);
        let full = pollster::block_on(scope.pop());
        self.healthy()?;
        match full {
            Some(e) => Err(Fault::Memory(format!("no room for {size} bytes ({e})"))),
            None => Ok(buffer),
        }
    }

    pub fn submit(&self, commands: wgpu::CommandBuffer) -> Outcome<wgpu::SubmissionIndex> {
        let index = self.queue.submit([commands]);
        self.healthy()?;
        Ok(index)
    }

    /// Waits until the submission is done, asking `check` now and then.
    ///
    /// # Errors
    /// That of `check`; when the card is lost or does not answer.
    pub fn wait(&self, index: &wgpu::SubmissionIndex, check: &dyn Fn() -> Result<()>) -> Outcome<()> {
        let since = Instant::now();
        loop {
            let poll = wgpu::PollType::Wait { submission_index: Some(index.clone()), timeout: Some(LOOK) };
            let done = self.device.poll(poll);
            self.healthy()?;
            match done {
                Ok(_) => return Ok(()),
                Err(wgpu::PollError::Timeout) => check()?,
                Err(e) => return Err(self.error(format!("waiting for it failed: {e}")).into()),
            }
            if since.elapsed() > PATIENCE {
                let what = format!("it has not answered for {} s; use --device cpu", PATIENCE.as_secs());
                return Err(self.error(what).into());
            }
        }
    }
}
