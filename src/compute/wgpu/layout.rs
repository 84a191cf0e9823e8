//! How a job is laid out for a card, worked out on the processor: which tokens travel, in which chunks samples are summed, which activations are
//! kept for pairs, and how pairs are gathered into blocks of 8 x 8.

use crate::{
    base::{Error, Result},
    compute::{Mat, ScanJob, all_zero},
};
use std::{collections::BTreeSet, ops::Range};

/// Samples of one domain that a workgroup goes through in turn, at least.
const CHUNK: usize = 8;
/// Samples on one side of a block of pairs.
pub(super) const BLOCK: usize = 8;

/// What bounds the cutting.
#[derive(Clone, Copy, Debug)]
pub(super) struct LayoutLimits {
    /// Samples whose activations can be kept at once.
    pub slots: usize,
    /// Chunks whose sums can be kept at once.
    pub chunks: usize,
    /// Tokens that can be on the card at once.
    pub tokens: usize,
}

#[derive(Debug)]
pub(super) struct Layout {
    /// Samples of each domain.
    pub domain_sizes: Vec<usize>,
    /// One, or more where pairs take part in more samples than can be kept at once; the first has every sample.
    pub passes: Vec<Pass>,
}

/// Samples gone through together.
#[derive(Debug)]
pub(super) struct Pass {
    /// By domain.
    pub members: Vec<Member>,
    pub groups: Vec<Group>,
    /// Consecutive members of one domain (and group).
    pub chunks: Vec<Range<usize>>,
    /// Chunks of each domain.
    pub domain_chunks: Vec<Range<usize>>,
    pub n_slots: usize,
    pub blocks: Vec<PairBlock>,
    /// `(pair of the job, which of the blocks' products it is)`
    pub cells: Vec<(usize, usize)>,
}

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub sample: usize,
    pub domain: usize,
    pub slot: Option<u32>,
    /// Tokens with a gradient, as runs of the job's tokens.
    pub runs: Vec<Range<usize>>,
    /// First token among those of its group that are on the card.
    pub first: usize,
    pub tokens: usize,
}

/// Members whose tokens are on the card at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub members: Range<usize>,
    pub chunks: Range<usize>,
    pub tokens: usize,
}

/// Slots of 8 samples and of 8 others; where fewer are needed, some slot of the pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PairBlock {
    a: Vec<u32>,
    b: Vec<u32>,
}

impl PairBlock {
    /// Where the pair lies in this block, which takes its samples in if there is room.
    fn place(&mut self, a: u32, b: u32) -> Option<usize> {
        let room = |side: &[u32], s: u32| side.iter().position(|x| *x == s).or((side.len() < BLOCK).then_some(side.len()));
        let (i, j) = (room(&self.a, a)?, room(&self.b, b)?);
        if i == self.a.len() {
            self.a.push(a);
        }
        if j == self.b.len() {
            self.b.push(b);
        }
        Some(i * BLOCK + j)
    }
    pub fn slots(&self) -> impl Iterator<Item = u32> {
        let side = |s: &[u32]| -> [u32; BLOCK] { std::array::from_fn(|i| s.get(i).copied().unwrap_or(0)) };
        side(&self.a).into_iter().chain(side(&self.b))
    }
}

impl Layout {
    /// # Errors
    /// When one sample alone has more tokens than fit.
    pub fn new(job: &ScanJob<'_>, limits: LayoutLimits) -> Result<Self> {
        let mut order: Vec<usize> = (0..job.samples.len()).collect();
        order.sort_by_key(|&s| job.samples[s].domain);
        let mut domain_sizes = vec![0; job.n_domains];
        let mut rank = vec![0; job.samples.len()];
        let mut everyone = Vec::with_capacity(order.len());
        for &sample in &order {
            let span = job.samples[sample];
            rank[sample] = domain_sizes[span.domain];
            domain_sizes[span.domain] += 1;
            let runs = active(job.delta, span.start..span.end);
            let tokens = runs.iter().map(Range::len).sum();
            if tokens > limits.tokens {
                return Err(Error::invalid(format!(
                    "a sample of {tokens} tokens is more than this card takes at once ({}); cut it, or use --device cpu",
                    limits.tokens
                )));
            }
            everyone.push(Member { sample, domain: span.domain, slot: None, runs, first: 0, tokens });
        }
        // Slots are numbered so that sample m of every domain lies beside sample m of every other: a run asks for those together.
        let mut paired: Vec<usize> = job.pairs.iter().filter(|(a, b)| a != b).flat_map(|&(a, b)| [a, b]).collect();
        paired.sort_unstable();
        paired.dedup();
        paired.sort_by_key(|&s| (rank[s], job.samples[s].domain));
        let mut number = vec![0usize; job.samples.len()];
        paired.iter().enumerate().for_each(|(n, &s)| number[s] = n);
        let mut pairs: Vec<(usize, usize, usize)> =
            job.pairs.iter().enumerate().filter(|(_, (a, b))| a != b).map(|(i, &(a, b))| (i, number[a], number[b])).collect();
        pairs.sort_by_key(|&(i, a, b)| (a / BLOCK, b / BLOCK, i));

        let mut passes = Vec::new();
        let mut rest = &pairs[..];
        loop {
            let (here, kept) = take(rest, limits.slots);
            rest = &rest[here.len()..];
            let mut slot = vec![None; job.samples.len()];
            kept.iter().enumerate().for_each(|(at, &n)| slot[paired[n]] = Some(at as u32));
            let first = passes.is_empty();
            let members = everyone.iter().filter(|m| first || slot[m.sample].is_some());
            let members = members.map(|m| Member { slot: slot[m.sample], ..m.clone() }).collect();
            let slot_of = |n: usize| slot[paired[n]].unwrap_or_default();
            let (blocks, cells) = blocks(here.iter().map(|&(i, a, b)| (i, slot_of(a), slot_of(b))));
            passes.push(Pass::new(members, job.n_domains, kept.len(), blocks, cells, limits));
            if rest.is_empty() {
                return Ok(Self { domain_sizes, passes });
            }
        }
    }
}

impl Pass {
    fn new(
        mut members: Vec<Member>,
        n_domains: usize,
        n_slots: usize,
        blocks: Vec<PairBlock>,
        cells: Vec<(usize, usize)>,
        limits: LayoutLimits,
    ) -> Self {
        // Every domain and every group may end with a short chunk.
        let total: usize = members.iter().map(|m| m.tokens).sum();
        let ends = n_domains + 2 * (total / limits.tokens.max(1) + 1);
        let length = CHUNK.max(members.len().div_ceil(limits.chunks.saturating_sub(ends).max(1)));
        let mut groups: Vec<Group> = Vec::new();
        let mut chunks: Vec<Range<usize>> = Vec::new();
        let mut domain_chunks = vec![0..0; n_domains];
        for (i, m) in members.iter_mut().enumerate() {
            let new_group = groups.last().is_none_or(|g| g.tokens + m.tokens > limits.tokens);
            if new_group {
                groups.push(Group { members: i..i, chunks: chunks.len()..chunks.len(), tokens: 0 });
            }
            let domain = &mut domain_chunks[m.domain];
            let new_domain = domain.start == domain.end;
            match chunks.last_mut() {
                Some(c) if !new_group && !new_domain && c.len() < length => c.end += 1,
                _ => {
                    if new_domain {
                        *domain = chunks.len()..chunks.len();
                    }
                    domain.end += 1;
                    chunks.push(i..i + 1);
                }
            }
            if let Some(g) = groups.last_mut() {
                m.first = g.tokens;
                g.tokens += m.tokens;
                g.members.end += 1;
                g.chunks.end = chunks.len();
            }
        }
        Self { members, groups, chunks, domain_chunks, n_slots, blocks, cells }
    }
    /// Tokens of a chunk.
    pub fn chunk_tokens(&self, chunk: usize) -> usize {
        self.members[self.chunks[chunk].clone()].iter().map(|m| m.tokens).sum()
    }
}

/// Leading pairs that together need at most so many samples, and those samples in order.
fn take(pairs: &[(usize, usize, usize)], slots: usize) -> (&[(usize, usize, usize)], Vec<usize>) {
    let mut kept = BTreeSet::new();
    for (n, &(_, a, b)) in pairs.iter().enumerate() {
        let new = usize::from(!kept.contains(&a)) + usize::from(!kept.contains(&b));
        // Two always fit: `slots` is at least that.
        if kept.len() + new > slots.max(2) {
            return (&pairs[..n], kept.into_iter().collect());
        }
        kept.extend([a, b]);
    }
    (pairs, kept.into_iter().collect())
}

/// Blocks that hold all the pairs, each filled as long as the pairs that come next fit.
fn blocks(pairs: impl Iterator<Item = (usize, u32, u32)>) -> (Vec<PairBlock>, Vec<(usize, usize)>) {
    let mut blocks: Vec<PairBlock> = Vec::new();
    let mut cells = Vec::new();
    for (pair, a, b) in pairs {
        let here = blocks.last_mut().and_then(|last| last.place(a, b).or_else(|| last.place(b, a)));
        let cell = here.unwrap_or_else(|| {
            blocks.push(PairBlock { a: vec![a], b: vec![b] });
            0
        });
        cells.push((pair, (blocks.len() - 1) * BLOCK * BLOCK + cell));
    }
    (blocks, cells)
}

/// Tokens whose gradient is not all zero: the others add nothing. In the last layer, with an objective at one position, that is one token for most
/// matrices.
fn active(delta: Mat<'_>, tokens: Range<usize>) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for t in tokens {
        if !all_zero(delta.row(t)) {
            match runs.last_mut() {
                Some(run) if run.end == t => run.end += 1,
                _ => runs.push(t..t + 1),
            }
        }
    }
    runs
}

/// A rectangle of the matrix that is worked on at once, in units of entries; `first_row` and `first_col` are multiples of the tile's sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub first_row: usize,
    pub first_col: usize,
    pub rows: usize,
    pub cols: usize,
}

/// Cuts `[rows, cols]` into regions near to squares, multiples of the tile `[tall, wide]`, of at most `entries` (but a tile at least) and at most
/// `longest` on a side.
pub(super) fn regions((rows, cols): (usize, usize), (tall, wide): (usize, usize), entries: usize, longest: usize) -> Vec<Region> {
    let cut = |n: usize, tile: usize| n.min(longest).max(1).next_multiple_of(tile).min((longest / tile).max(1) * tile);
    let (mut h, mut w) = (cut(rows, tall), cut(cols, wide));
    while h * w > entries && (h > tall || w > wide) {
        if (h >= w && h > tall) || w <= wide {
            h = (h / 2).next_multiple_of(tall).min(h - tall);
        } else {
            w = (w / 2).next_multiple_of(wide).min(w - wide);
        }
    }
    let mut regions = Vec::new();
    for first_row in (0..rows).step_by(h) {
        for first_col in (0..cols).step_by(w) {
            regions.push(Region { first_row, first_col, rows: h.min(rows - first_row), cols: w.min(cols - first_col) });
        }
    }
    regions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::SampleSpan;
    use std::collections::HashSet;

    const WIDE: LayoutLimits = LayoutLimits { slots: 1000, chunks: 1000, tokens: 100_000 };

    /// `lengths.len()` samples dealt to the domains in turn, every gradient 1.
    fn layout(lengths: &[usize], domains: usize, pairs: &[(usize, usize)], limits: LayoutLimits) -> Result<Layout> {
        let mut start = 0;
        let samples: Vec<SampleSpan> = lengths
            .iter()
            .enumerate()
            .map(|(i, n)| {
                start += n;
                SampleSpan { start: start - n, end: start, domain: i % domains }
            })
            .collect();
        let ones = vec![1.0; start];
        let job = ScanJob {
            w: Mat::new(&[1.0], 1, 1),
            x: Mat::new(&ones, start, 1),
            delta: Mat::new(&ones, start, 1),
            samples: &samples,
            n_domains: domains,
            pairs,
            gamma: 0.0,
            want_means: true,
        };
        Layout::new(&job, limits)
    }

    /// Every pair is found at its cell, whatever way round.
    fn verify_pairs(layout: &Layout, pairs: &[(usize, usize)]) {
        let mut seen = HashSet::new();
        for pass in &layout.passes {
            for &(pair, cell) in &pass.cells {
                let slots: Vec<u32> = pass.blocks[cell / 64].slots().collect();
                let sample = |slot: u32| pass.members.iter().find(|m| m.slot == Some(slot)).map(|m| m.sample);
                let (a, b) = (sample(slots[cell % 64 / 8]), sample(slots[8 + cell % 8]));
                let (x, y) = (Some(pairs[pair].0), Some(pairs[pair].1));
                assert!((a, b) == (x, y) || (b, a) == (x, y), "pair {pair}: {a:?} {b:?}");
                assert!(seen.insert(pair));
            }
        }
        assert_eq!(seen.len(), pairs.iter().filter(|(a, b)| a != b).count());
    }

    #[test]
    fn every_member_is_in_one_chunk_of_its_domain_and_one_group() {
        for tokens in [40, 100_000] {
            let lengths: Vec<usize> = (0..61).map(|i| i % 7).collect();
            let layout = layout(&lengths, 4, &[], LayoutLimits { tokens, ..WIDE }).expect("layout");
            assert_eq!((layout.domain_sizes.iter().sum::<usize>(), layout.passes.len()), (61, 1));
            let pass = &layout.passes[0];
            assert_eq!(pass.groups.len() > 1, tokens == 40);
            let flat: Vec<usize> = pass.chunks.iter().flat_map(Clone::clone).collect();
            assert_eq!(flat, (0..61).collect::<Vec<_>>());
            for (d, chunks) in pass.domain_chunks.iter().enumerate() {
                let members = chunks.clone().flat_map(|c| pass.chunks[c].clone());
                assert!(members.clone().all(|m| pass.members[m].domain == d));
                assert_eq!(members.count(), layout.domain_sizes[d]);
            }
            for g in &pass.groups {
                assert!(g.tokens <= tokens);
                let chunks: Vec<usize> = g.chunks.clone().flat_map(|c| pass.chunks[c].clone()).collect();
                assert_eq!(chunks, g.members.clone().collect::<Vec<_>>());
                let mut next = 0;
                for m in &pass.members[g.members.clone()] {
                    assert_eq!(m.first, next);
                    next += m.tokens;
                }
                assert_eq!(next, g.tokens);
            }
        }
        assert!(layout(&[41], 1, &[], LayoutLimits { tokens: 40, ..WIDE }).expect_err("too long").to_string().contains("41 tokens"));
    }

    #[test]
    fn few_chunks_are_long_chunks() {
        let lengths = vec![1; 500];
        let chunks = |chunks| layout(&lengths, 2, &[], LayoutLimits { chunks, ..WIDE }).expect("layout").passes[0].chunks.len();
        assert_eq!(chunks(1000), 64);
        assert!(chunks(20) <= 20, "{}", chunks(20));
    }

    #[test]
    fn pairs_of_a_run_need_few_blocks_and_all_pairs_fill_theirs() {
        let n = 96;
        let all: Vec<(usize, usize)> = (0..n).flat_map(|a| (0..a).map(move |b| (a, b))).collect();
        let made = layout(&vec![1; n], 6, &all, WIDE).expect("layout");
        verify_pairs(&made, &all);
        // 12 x 12 / 2 full blocks and those on the diagonal.
        assert!(made.passes[0].blocks.len() <= 78, "{}", made.passes[0].blocks.len());
        // Sample m of each of 6 domains with sample m of every other, and a cycle within each domain.
        let mut run: Vec<(usize, usize)> = Vec::new();
        for m in 0..16 {
            run.extend((0..6).flat_map(|a| (a + 1..6).map(move |b| (6 * m + a, 6 * m + b))));
            run.extend((0..6).map(|d| (6 * m + d, 6 * ((m * 5 + 3) % 16) + d)));
        }
        let made = layout(&vec![1; n], 6, &run, WIDE).expect("layout");
        verify_pairs(&made, &run);
        assert!(made.passes[0].blocks.len() <= 60, "{}", made.passes[0].blocks.len());
    }

    #[test]
    fn too_many_samples_to_keep_make_several_passes() {
        let n = 40;
        let pairs: Vec<(usize, usize)> = (0..n).flat_map(|a| [(a, (a + 1) % n), (a, a), ((a + 7) % n, a)]).collect();
        let made = layout(&vec![3; n], 3, &pairs, LayoutLimits { slots: 11, ..WIDE }).expect("layout");
        verify_pairs(&made, &pairs);
        assert!(made.passes.len() > 1 && made.passes.iter().all(|p| p.n_slots <= 11));
        assert_eq!(made.passes[0].members.len(), n);
        assert!(made.passes[1..].iter().all(|p| p.members.len() == p.n_slots));
    }

    #[test]
    fn tokens_without_a_gradient_stay_behind() {
        let delta = [0.0, 0.0, 1.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, f32::NAN];
        let mat = Mat::new(&delta, 5, 2);
        assert_eq!(active(mat, 0..5), vec![1..3, 4..5]);
        assert_eq!(active(mat, 3..4), Vec::<Range<usize>>::new());
    }

    #[test]
    fn regions_cover_the_matrix_once_within_bounds() {
        for (shape, tile, entries, longest) in [
            ((1, 1), (64, 64), 1, 1),
            ((1376, 512), (64, 64), 1 << 20, 1 << 20),
            ((1376, 512), (128, 128), 100_000, 700),
            ((200, 5000), (64, 128), 64 * 128, 1 << 20),
            ((5000, 130), (128, 64), 300_000, 640),
        ] {
            let mut area = 0;
            for r in regions(shape, tile, entries, longest) {
                assert!(r.first_row % tile.0 == 0 && r.first_col % tile.1 == 0);
                assert!(r.first_row + r.rows <= shape.0 && r.first_col + r.cols <= shape.1);
                let padded = (r.rows.next_multiple_of(tile.0), r.cols.next_multiple_of(tile.1));
                assert!(padded.0 * padded.1 <= entries.max(tile.0 * tile.1), "{r:?}");
                assert!(padded.0 <= longest.max(tile.0) && padded.1 <= longest.max(tile.1), "{r:?}");
                area += r.rows * r.cols;
            }
            assert_eq!(area, shape.0 * shape.1);
        }
    }
}
