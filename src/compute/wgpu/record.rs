//! Kernel calls gathered into one submission.

use super::gpu::{Gpu, Outcome};
use crate::base::Result;
use std::collections::VecDeque;

/// Numbers that a kernel is called with, as its `Params` lists them.
pub(super) type Params = [u32; 16];
/// Distance between the parameters of two calls; every device accepts it.
const PARAMS_STEP: u64 = 256;
const PARAMS_BYTES: u64 = size_of::<Params>() as u64;
/// Calls of one submission.
const CALLS: usize = 64;
/// Submissions under way, so that a cancel is felt.
const IN_FLIGHT: usize = 3;

struct Call {
    kernel: &'static str,
    group: wgpu::BindGroup,
    grid: [u32; 3],
}

/// The card's calls and how many of them it has not answered yet.
pub(super) struct Recorder {
    params: wgpu::Buffer,
    calls: Vec<Call>,
    words: Vec<u8>,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
}

impl Recorder {
    pub fn new(gpu: &Gpu) -> Outcome<Self> {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let params = gpu.buffer("parameters", CALLS as u64 * PARAMS_STEP, usage)?;
        Ok(Self { params, calls: Vec::new(), words: Vec::new(), in_flight: VecDeque::new() })
    }
    /// Forgets calls that a scan given up half way left behind.
    pub fn clear(&mut self) {
        self.calls.clear();
        self.words.clear();
    }
    pub fn is_full(&self) -> bool {
        self.calls.len() == CALLS
    }
    /// `buffers`: what is bound, with its binding number.
    pub fn call(&mut self, gpu: &Gpu, kernel: &'static str, params: &Params, buffers: &[(u32, &wgpu::Buffer)], grid: [u32; 3]) {
        debug_assert!(self.calls.len() < CALLS, "submit first");
        if grid.contains(&0) {
            return;
        }
        let offset = self.calls.len() as u64 * PARAMS_STEP;
        self.words.resize(offset as usize, 0);
        self.words.extend_from_slice(bytemuck::cast_slice(params));
        let params =
            wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: &self.params, offset, size: wgpu::BufferSize::new(PARAMS_BYTES) });
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: params }];
        entries.extend(buffers.iter().map(|(binding, b)| wgpu::BindGroupEntry { binding: *binding, resource: b.as_entire_binding() }));
        let layout = gpu.kernel(kernel).get_bind_group_layout(0);
        let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor { label: Some(kernel), layout: &layout, entries: &entries });
        self.calls.push(Call { kernel, group, grid });
    }
    /// Sends the calls off, then what `after` adds, and waits while too much is under way.
    ///
    /// # Errors
    /// Those of the card and of `check`.
    pub fn submit(
        &mut self,
        gpu: &Gpu,
        check: &dyn Fn() -> Result<()>,
        before: impl FnOnce(&mut wgpu::CommandEncoder),
        after: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> Outcome<wgpu::SubmissionIndex> {
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        before(&mut encoder);
        if !self.calls.is_empty() {
            gpu.queue.write_buffer(&self.params, 0, &self.words);
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for call in &self.calls {
                pass.set_pipeline(gpu.kernel(call.kernel));
                pass.set_bind_group(0, &call.group, &[]);
                pass.dispatch_workgroups(call.grid[0], call.grid[1], call.grid[2]);
            }
        }
        after(&mut encoder);
        self.clear();
        let index = gpu.submit(encoder.finish())?;
        self.in_flight.push_back(index.clone());
        while self.in_flight.len() > IN_FLIGHT {
            if let Some(oldest) = self.in_flight.front() {
                gpu.wait(oldest, check)?;
            }
            self.in_flight.pop_front();
        }
        check()?;
        Ok(index)
    }
}
