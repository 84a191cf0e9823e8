//! A job's way over a card: operands up, tiles chunk by chunk, reductions, results down, region after region.

use super::{
    gpu::{Fault, Gpu, Outcome},
    layout::{BLOCK, Group, Layout, LayoutLimits, Pass, Region, regions},
    record::{Params, Recorder},
    total::{Sections, Total},
    transfer::{Awaited, Downloads, Ring},
};
use crate::{
    base::Result,
    compute::{HISTOGRAM_BINS, Mat, ScanJob, ScanSums},
};
use std::ops::Range;

/// How much of the card a scan may hold, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// One operand (`x`, `delta` or `w`): longer ones travel in pieces.
    pub operand: u64,
    /// The kept activations, the domains' sums, and each list of partial results.
    pub scratch: u64,
}

impl Budget {
    /// From what a card can bind at once; it does not say how much memory it has.
    pub(super) fn of(max_binding: u64, software: bool) -> Self {
        // A software adapter's memory is the program's own.
        let (operand, scratch) = if software { (64 << 20, 32 << 20) } else { (1 << 30, 256 << 20) };
        Self { operand: max_binding.min(operand), scratch: max_binding.min(scratch) }
    }
    /// Of an operand and of the scratch.
    fn floats(self) -> (usize, usize) {
        ((self.operand / 4) as usize, (self.scratch / 4) as usize)
    }
    /// After the card had no room; `None` when that leaves too little to work with.
    pub(super) fn half(self) -> Option<Self> {
        let half = Self { operand: self.operand / 2, scratch: self.scratch / 2 };
        (half.operand >= LEAST && half.scratch >= LEAST).then_some(half)
    }
}

const LEAST: u64 = 4 << 20;
/// Floating-point operations of one submission: short enough for a driver's watchdog on a slow card, long against its overhead on a fast one.
const FLOPS: f64 = 2e10;
/// Entries of a slab in the products of pairs.
const SLAB: usize = 1 << 14;
/// Rows of a strip in the column sums, as in scan_mean.wgsl.
const STRIP: usize = 64;

/// Buffers by what they hold; they only grow.
#[derive(Clone, Copy, Debug)]
enum Place {
    X,
    Delta,
    W,
    Samples,
    Chunks,
    Domains,
    Blocks,
    Sums,
    Kept,
    Squares,
    Parts,
    Results,
    Bins,
}

const PLACES: usize = Place::Bins as usize + 1;

pub(super) struct Card {
    pub gpu: Gpu,
    pub budget: Budget,
    buffers: [Option<wgpu::Buffer>; PLACES],
    ring: Ring,
    downloads: Downloads,
    recorder: Recorder,
    /// The `x` whose rows are on the card.
    held_x: Option<(Operand, Vec<Range<usize>>)>,
}

/// A matrix by identity.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Operand {
    at: usize,
    rows: usize,
    cols: usize,
    stride: usize,
}

impl Operand {
    fn of(m: &Mat<'_>) -> Self {
        Self { at: m.data.as_ptr() as usize, rows: m.rows, cols: m.cols, stride: m.stride }
    }
}

/// Where a region's operands lie on the card: strides and firsts in vec4.
#[derive(Clone, Copy)]
struct Lay {
    x: (usize, usize),
    delta: (usize, usize),
    w: (usize, usize),
    w_row: usize,
}

fn vec4(n: usize) -> usize {
    n.div_ceil(4)
}

impl Card {
    pub fn new(gpu: Gpu, budget: Budget) -> Outcome<Self> {
        let recorder = Recorder::new(&gpu)?;
        let (ring, downloads) = (Ring::default(), Downloads::default());
        Ok(Self { gpu, budget, buffers: [const { None }; PLACES], ring, downloads, recorder, held_x: None })
    }

    /// Gives the card's memory back.
    pub fn release(&mut self) {
        self.buffers = [const { None }; PLACES];
        self.held_x = None;
    }

    /// # Errors
    /// Those of `check` and of the card; [`Fault::Memory`] leaves the job to be tried again with less.
    pub fn scan(&mut self, jobs: &[ScanJob<'_>], check: &dyn Fn() -> Result<()>) -> Outcome<Vec<ScanSums>> {
        // Whoever gave up before left calls behind, and a borrowed matrix may have changed since.
        self.recorder.clear();
        self.held_x = None;
        let sums = jobs.iter().map(|job| self.one(job, check)).collect();
        self.held_x = None;
        sums
    }

    /// Seconds of the kernels of a job alone, `rounds` times over operands that are on the card.
    ///
    /// # Errors
    /// As [`Card::scan`]; when the operands do not fit whole.
    pub fn kernel_seconds(&mut self, job: &ScanJob<'_>, rounds: usize) -> Outcome<Vec<f64>> {
        let check = || Ok(());
        // The operands go up, and the kernels are warm.
        self.scan(std::slice::from_ref(job), &check)?;
        let (layout, whole) = self.lay_out(job)?;
        let pass = &layout.passes[0];
        if !whole || layout.passes.len() > 1 {
            return Err(Fault::Memory("the job is cut into several".into()));
        }
        let regions = self.regions(job, pass, whole, job.want_means);
        let mut seconds = Vec::new();
        for _ in 0..rounds {
            let begun = std::time::Instant::now();
            let mut last = None;
            for &region in &regions {
                self.region(job, pass, region, true, job.want_means, true, &check)?;
                last = Some(self.recorder.submit(&self.gpu, &check, |_| {}, |_| {})?);
            }
            if let Some(last) = last {
                self.gpu.wait(&last, &check)?;
            }
            seconds.push(begun.elapsed().as_secs_f64());
        }
        Ok(seconds)
    }

    fn one(&mut self, job: &ScanJob<'_>, check: &dyn Fn() -> Result<()>) -> Outcome<ScanSums> {
        job.assert_fits();
        let (layout, whole) = self.lay_out(job)?;
        let mut total = Total::new(job);
        for (n, pass) in layout.passes.iter().enumerate() {
            let first = n == 0;
            self.pass(job, &layout, pass, first, whole, &mut total, check)?;
        }
        Ok(total.finish(job))
    }

    /// The layout, and whether all operands fit on the card whole.
    fn lay_out(&self, job: &ScanJob<'_>) -> Outcome<(Layout, bool)> {
        let (out, inp) = (job.w.rows, job.w.cols);
        let tile = (self.gpu.tile.height(), self.gpu.tile.width());
        let area = tile.0 * tile.1;
        let (operand, scratch) = self.budget.floats();
        // All tokens at once where both operands fit whole; otherwise few enough for regions of four tiles on a side.
        let side = out.max(inp).next_multiple_of(4);
        let whole = job.x.rows * side <= operand && out * inp.next_multiple_of(4) <= operand;
        let tokens = if whole { job.x.rows } else { operand / (4 * tile.0.max(tile.1)) };
        let limits = LayoutLimits { slots: scratch / area, chunks: scratch / area, tokens: tokens.max(1) };
        Ok((Layout::new(job, limits)?, whole))
    }

    /// As large as what is kept of them allows.
    fn regions(&self, job: &ScanJob<'_>, pass: &Pass, whole: bool, want_means: bool) -> Vec<Region> {
        let tile = (self.gpu.tile.height(), self.gpu.tile.width());
        let (operand, scratch) = self.budget.floats();
        let layers = pass.n_slots.max(if want_means { pass.chunks.len() } else { 0 });
        let entries = (scratch / layers.max(1)).min(scratch / job.samples.len().max(1) * tile.0 * tile.1);
        let most_tokens = pass.groups.iter().map(|g| g.tokens).max().unwrap_or(0);
        let longest = if whole { usize::MAX } else { operand / most_tokens.max(1) };
        regions((job.w.rows, job.w.cols), tile, entries, longest)
    }

    #[expect(clippy::too_many_arguments, reason = "one pass of one job")]
    fn pass(
        &mut self,
        job: &ScanJob<'_>,
        layout: &Layout,
        pass: &Pass,
        first: bool,
        whole: bool,
        total: &mut Total,
        check: &dyn Fn() -> Result<()>,
    ) -> Outcome<()> {
        let want_means = first && job.want_means;
        let regions = self.regions(job, pass, whole, want_means);
        self.tables(job, layout, pass, check)?;
        let resident = whole && pass.groups.len() <= 1;
        if resident {
            self.send_w(job.w, check)?;
            if let Some(group) = pass.groups.first() {
                self.send_operands(job, pass, group, None, first, check)?;
            }
        }
        let mut awaited: Option<(Region, Sections, Awaited)> = None;
        for region in regions {
            let sections = self.region(job, pass, region, resident, want_means, first, check)?;
            let download = self.downloads.prepare(&self.gpu, sections.bytes())?;
            let (results, bins) = (self.get(Place::Results), self.get(Place::Bins));
            let index = self.recorder.submit(
                &self.gpu,
                check,
                |_| {},
                |encoder| {
                    if sections.floats > 0 {
                        encoder.copy_buffer_to_buffer(&results, 0, &download, 0, 4 * sections.floats as u64);
                    }
                    if sections.bins > 0 {
                        encoder.copy_buffer_to_buffer(&bins, 0, &download, 4 * sections.floats as u64, 4 * sections.bins as u64);
                    }
                },
            )?;
            let on_its_way = self.downloads.start(sections.bytes(), index);
            let next = (region, sections, on_its_way);
            // The one before is read while this one is worked on.
            if let Some((region, sections, on_its_way)) = awaited.replace(next) {
                self.downloads.take(&self.gpu, &on_its_way, check, |words| total.add(job, pass, &region, &sections, words))?;
            }
        }
        if let Some((region, sections, on_its_way)) = awaited {
            self.downloads.take(&self.gpu, &on_its_way, check, |words| total.add(job, pass, &region, &sections, words))?;
        }
        Ok(())
    }

    /// All kernels of one region but the last submission.
    #[expect(clippy::too_many_arguments, reason = "one region of one pass")]
    fn region(
        &mut self,
        job: &ScanJob<'_>,
        pass: &Pass,
        region: Region,
        resident: bool,
        want_means: bool,
        first: bool,
        check: &dyn Fn() -> Result<()>,
    ) -> Outcome<Sections> {
        let tile = (self.gpu.tile.height(), self.gpu.tile.width());
        let (down, over) = (region.rows.div_ceil(tile.0), region.cols.div_ceil(tile.1));
        let width = over * tile.1 / 4;
        let padded = down * tile.0 * width;
        let samples = job.samples.len();
        let domains = if want_means { job.n_domains } else { 0 };
        let strips = region.rows.div_ceil(STRIP);
        let dots = pass.blocks.len() * BLOCK * BLOCK;
        let sections = Sections::new(if first { samples } else { 0 }, domains, region.rows, 4 * width, dots);
        let parts_room = (self.budget.scratch / 4) as usize;
        let slab = SLAB.max((4 * padded * dots.max(1)).div_ceil(parts_room)).next_multiple_of(256);
        let slabs = (4 * padded).div_ceil(slab);

        let layer = 16 * padded as u64;
        self.room(Place::Sums, layer * if want_means { pass.chunks.len() as u64 } else { 0 })?;
        self.room(Place::Kept, layer * pass.n_slots as u64)?;
        self.room(Place::Squares, 4 * (down * over * samples) as u64)?;
        self.room(Place::Parts, 4 * (strips * domains * 4 * width).max(slabs * dots) as u64)?;
        self.room(Place::Results, 4 * sections.floats as u64)?;
        self.room(Place::Bins, 4 * sections.bins as u64)?;
        if want_means {
            let bins = self.get(Place::Bins);
            self.recorder.submit(&self.gpu, check, |encoder| encoder.clear_buffer(&bins, 0, None), |_| {})?;
        }
        if !resident {
            self.send_w(job.w.rows(region.first_row, region.rows).columns(region.first_col, region.cols), check)?;
        }
        for group in &pass.groups {
            if !resident {
                self.send_operands(job, pass, group, Some(region), false, check)?;
            }
            let lay = if resident {
                Lay {
                    x: (vec4(job.w.cols), region.first_col / 4),
                    delta: (vec4(job.w.rows), region.first_row / 4),
                    w: (vec4(job.w.cols), region.first_col / 4),
                    w_row: region.first_row,
                }
            } else {
                Lay { x: (vec4(region.cols), 0), delta: (vec4(region.rows), 0), w: (vec4(region.cols), 0), w_row: 0 }
            };
            self.tiles(pass, group, &region, (down, over, padded), lay, samples, want_means, check)?;
            if !resident {
                // Before the next group's operands take the place of these.
                self.recorder.submit(&self.gpu, check, |_| {}, |_| {})?;
            }
        }
        if want_means {
            self.means(job, &region, (width, padded, strips), &sections, check)?;
        }
        if !pass.blocks.is_empty() {
            self.products(pass, 4 * padded, (slab, slabs), &sections, check)?;
        }
        if first {
            self.reduce(Place::Squares, samples, down * over, sections.squares.start, check)?;
        }
        Ok(sections)
    }

    #[expect(clippy::too_many_arguments, reason = "one group of one region")]
    fn tiles(
        &mut self,
        pass: &Pass,
        group: &Group,
        region: &Region,
        (down, over, padded): (usize, usize, usize),
        lay: Lay,
        samples: usize,
        want_means: bool,
        check: &dyn Fn() -> Result<()>,
    ) -> Outcome<()> {
        let places = [Place::X, Place::Delta, Place::W, Place::Samples, Place::Chunks, Place::Sums, Place::Kept, Place::Squares];
        let buffers = places.map(|p| self.get(p));
        let bound: Vec<(u32, &wgpu::Buffer)> = (1..).zip(&buffers).collect();
        let width = padded / (down * self.gpu.tile.height());
        let entries = 4.0 * padded as f64;
        let mut next = group.chunks.start;
        while next < group.chunks.end {
            let begin = next;
            let mut flops = 0.0;
            while next < group.chunks.end && next - begin < 65_535 && (next == begin || flops < FLOPS) {
                flops += 2.0 * entries * pass.chunk_tokens(next) as f64;
                next += 1;
            }
            let params: Params = [
                lay.x.0,
                lay.x.1,
                lay.delta.0,
                lay.delta.1,
                lay.w.0,
                lay.w.1,
                lay.w_row,
                region.rows,
                vec4(region.cols),
                width,
                padded,
                begin,
                samples,
                usize::from(want_means),
                vec4(region.rows),
                usize::from(pass.n_slots > 0),
            ]
            .map(|n| n as u32);
            let grid = [over as u32, down as u32, (next - begin) as u32];
            self.recorder.call(&self.gpu, "scan_tile", &params, &bound, grid);
            if next < group.chunks.end || flops >= FLOPS {
                self.recorder.submit(&self.gpu, check, |_| {}, |_| {})?;
            }
        }
        self.spare(check)
    }

    /// Row and column sums, counts and histograms of the domains' means.
    fn means(
        &mut self,
        job: &ScanJob<'_>,
        region: &Region,
        (width, padded, strips): (usize, usize, usize),
        sections: &Sections,
        check: &dyn Fn() -> Result<()>,
    ) -> Outcome<()> {
        let domains = job.n_domains as u32;
        let mut params: Params = [0; 16];
        let numbers = [width, padded, region.rows, region.cols, job.n_domains, sections.rows.start];
        params.iter_mut().zip(numbers).for_each(|(p, n)| *p = n as u32);
        params[6] = job.gamma.to_bits();
        let [table, sums, results, bins, parts] =
            [Place::Domains, Place::Sums, Place::Results, Place::Bins, Place::Parts].map(|p| self.get(p));
        let bound = [(1, &table), (2, &sums), (3, &results), (4, &bins)];
        self.recorder.call(&self.gpu, "domain_rows", &params, &bound, [region.rows.div_ceil(16) as u32, domains, 1]);
        let bound = [(1, &table), (2, &sums), (5, &parts)];
        self.recorder.call(&self.gpu, "domain_columns", &params, &bound, [width.div_ceil(256) as u32, strips as u32, domains]);
        self.spare(check)?;
        self.reduce(Place::Parts, job.n_domains * 4 * width, strips, sections.cols.start, check)
    }

    /// Dot products of the pairs' blocks.
    fn products(
        &mut self,
        pass: &Pass,
        entries: usize,
        (slab, slabs): (usize, usize),
        sections: &Sections,
        check: &dyn Fn() -> Result<()>,
    ) -> Outcome<()> {
        let [kept, blocks, parts] = [Place::Kept, Place::Blocks, Place::Parts].map(|p| self.get(p));
        let n = pass.blocks.len();
        for begin in (0..n).step_by(65_535) {
            let mut params: Params = [0; 16];
            params[..4].copy_from_slice(&[entries, slab, begin, n].map(|n| n as u32));
            let grid = [slabs as u32, (n - begin).min(65_535) as u32, 1];
            self.recorder.call(&self.gpu, "gram", &params, &[(1, &kept), (2, &blocks), (3, &parts)], grid);
            self.spare(check)?;
        }
        self.reduce(Place::Parts, n * BLOCK * BLOCK, slabs, sections.dots.start, check)
    }

    /// `results[first + i] = sum_j place[j, i]`, `[m, n]`.
    fn reduce(&mut self, place: Place, n: usize, m: usize, first: usize, check: &dyn Fn() -> Result<()>) -> Outcome<()> {
        let blocks = n.div_ceil(16);
        let across = blocks.min(65_535);
        let mut params: Params = [0; 16];
        params[..4].copy_from_slice(&[n, m, across, first].map(|n| n as u32));
        let [parts, results] = [place, Place::Results].map(|p| self.get(p));
        let grid = [across as u32, blocks.div_ceil(across.max(1)) as u32, 1];
        self.recorder.call(&self.gpu, "reduce", &params, &[(1, &parts), (2, &results)], grid);
        self.spare(check)
    }

    /// Sends the calls off before there are too many.
    fn spare(&mut self, check: &dyn Fn() -> Result<()>) -> Outcome<()> {
        if self.recorder.is_full() {
            self.recorder.submit(&self.gpu, check, |_| {}, |_| {})?;
        }
        Ok(())
    }

    fn get(&self, place: Place) -> wgpu::Buffer {
        match &self.buffers[place as usize] {
            Some(buffer) => buffer.clone(),
            None => unreachable!("{place:?} was given room before its kernels"),
        }
    }

    /// Makes the buffer at least so long; what it held is lost when it grows.
    fn room(&mut self, place: Place, bytes: u64) -> Outcome<()> {
        let slot = &mut self.buffers[place as usize];
        if slot.as_ref().is_none_or(|b| b.size() < bytes) {
            // The old one first, so that both need not fit.
            *slot = None;
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
            *slot = Some(self.gpu.buffer("scan", bytes, usage)?);
        }
        Ok(())
    }

    fn send_rows(&mut self, place: Place, from: Mat<'_>, runs: &[Range<usize>], check: &dyn Fn() -> Result<()>) -> Outcome<()> {
        let rows: usize = runs.iter().map(Range::len).sum();
        self.room(place, 16 * (rows * vec4(from.cols)) as u64)?;
        let to = self.get(place);
        let mut upload = self.ring.upload(&self.gpu, &to, check);
        upload.rows(from, runs)?;
        upload.finish()
    }

    fn send_words(&mut self, place: Place, words: &[u32], check: &dyn Fn() -> Result<()>) -> Outcome<()> {
        self.room(place, 4 * words.len() as u64)?;
        let to = self.get(place);
        let mut upload = self.ring.upload(&self.gpu, &to, check);
        upload.words(words)?;
        upload.finish()
    }

    fn send_w(&mut self, w: Mat<'_>, check: &dyn Fn() -> Result<()>) -> Outcome<()> {
        #[expect(clippy::single_range_in_vec_init, reason = "one run of rows")]
        self.send_rows(Place::W, w, &[0..w.rows], check)
    }

    /// `x` and `delta` of a group's tokens, of one region or whole. With `share`, an `x` that is there already stays.
    fn send_operands(
        &mut self,
        job: &ScanJob<'_>,
        pass: &Pass,
        group: &Group,
        region: Option<Region>,
        share: bool,
        check: &dyn Fn() -> Result<()>,
    ) -> Outcome<()> {
        let (x, delta) = match region {
            Some(r) => (job.x.columns(r.first_col, r.cols), job.delta.columns(r.first_row, r.rows)),
            None => (job.x, job.delta),
        };
        let mut runs: Vec<Range<usize>> = Vec::new();
        for run in pass.members[group.members.clone()].iter().flat_map(|m| &m.runs) {
            match runs.last_mut() {
                Some(last) if last.end == run.start => last.end = run.end,
                _ => runs.push(run.clone()),
            }
        }
        let key = (Operand::of(&job.x), runs);
        if !(share && self.held_x.as_ref() == Some(&key)) {
            self.held_x = None;
            self.send_rows(Place::X, x, &key.1, check)?;
        }
        self.send_rows(Place::Delta, delta, &key.1, check)?;
        self.held_x = share.then_some(key);
        Ok(())
    }

    /// Samples, chunks, domains and blocks of a pass.
    fn tables(&mut self, job: &ScanJob<'_>, layout: &Layout, pass: &Pass, check: &dyn Fn() -> Result<()>) -> Outcome<()> {
        const NO_SLOT: u32 = u32::MAX;
        let samples: Vec<u32> = pass
            .members
            .iter()
            .flat_map(|m| [m.first as u32, (m.first + m.tokens) as u32, m.slot.unwrap_or(NO_SLOT), m.sample as u32])
            .collect();
        let chunks: Vec<u32> = pass.chunks.iter().flat_map(|c| [c.start as u32, c.end as u32]).collect();
        let domains = pass.domain_chunks.iter().zip(&layout.domain_sizes);
        let domains: Vec<u32> = domains.flat_map(|(c, n)| [c.start as u32, c.end as u32, *n as u32, 0]).collect();
        let blocks: Vec<u32> = pass.blocks.iter().flat_map(super::layout::PairBlock::slots).collect();
        debug_assert_eq!(domains.len(), 4 * job.n_domains);
        self.send_words(Place::Samples, &samples, check)?;
        self.send_words(Place::Chunks, &chunks, check)?;
        self.send_words(Place::Domains, &domains, check)?;
        self.send_words(Place::Blocks, &blocks, check)?;
        // Room for operands that no group brings, so that there is something to bind.
        for place in [Place::X, Place::Delta, Place::W] {
            self.room(place, 0)?;
        }
        Ok(())
    }
}

/// Bins of a domain on the card: the histogram, then the count above gamma.
pub(super) const BINS: usize = HISTOGRAM_BINS + 1;

impl std::fmt::Debug for Card {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Card").field("adapter", &self.gpu.facts.name).field("budget", &self.budget).finish_non_exhaustive()
    }
}

/// The words of a fault that more memory would cure.
pub(super) fn no_room(gpu: &Gpu, words: &str) -> crate::base::Error {
    let what = format!("{words}; scan fewer samples at a time, close other programs that use it, or use --device cpu");
    crate::base::Error::device(gpu.facts.title(), what)
}

/// What is left of a fault when there is nothing more to try.
pub(super) fn error_of(gpu: &Gpu, fault: Fault) -> crate::base::Error {
    match fault {
        Fault::Memory(words) => no_room(gpu, &words),
        Fault::Stop(e) => e,
    }
}
