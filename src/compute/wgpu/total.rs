//! A job's results as they come back region by region, added up in f64.

use super::{
    card::BINS,
    layout::{Pass, Region},
};
use crate::compute::{HISTOGRAM_BINS, ScanJob, ScanSums};
use std::ops::Range;

/// Where the results of a region lie among the floats that come back; the bins follow.
#[derive(Clone, Debug)]
pub(super) struct Sections {
    /// `[samples]`
    pub squares: Range<usize>,
    /// `[domains, rows]`
    pub rows: Range<usize>,
    /// `[domains, width]`
    pub cols: Range<usize>,
    /// `[blocks, 64]`
    pub dots: Range<usize>,
    pub floats: usize,
    pub bins: usize,
}

impl Sections {
    pub fn new(samples: usize, domains: usize, rows: usize, width: usize, dots: usize) -> Self {
        let mut at = 0;
        let mut next = |n: usize| {
            at += n;
            at - n..at
        };
        let (squares, rows, cols, dots) = (next(samples), next(domains * rows), next(domains * width), next(dots));
        Self { squares, rows, cols, floats: dots.end, dots, bins: domains * BINS }
    }
    pub fn bytes(&self) -> u64 {
        4 * (self.floats + self.bins) as u64
    }
}

pub(super) struct Total {
    squares: Vec<f64>,
    dots: Vec<f64>,
    counts: Vec<u64>,
    histograms: Vec<Vec<u64>>,
    rows: Vec<Vec<f64>>,
    cols: Vec<Vec<f64>>,
}

impl Total {
    pub fn new(job: &ScanJob<'_>) -> Self {
        let domains = if job.want_means { job.n_domains } else { 0 };
        Self {
            squares: vec![0.0; job.samples.len()],
            dots: vec![0.0; job.pairs.len()],
            counts: vec![0; domains],
            histograms: vec![vec![0; HISTOGRAM_BINS]; domains],
            rows: vec![vec![0.0; job.w.rows]; domains],
            cols: vec![vec![0.0; job.w.cols]; domains],
        }
    }
    /// `words`: the floats, then the bins.
    pub fn add(&mut self, job: &ScanJob<'_>, pass: &Pass, region: &Region, sections: &Sections, words: &[u32]) {
        let (floats, bins) = words.split_at(sections.floats);
        let floats: &[f32] = bytemuck::cast_slice(floats);
        let add = |to: &mut [f64], from: &[f32]| to.iter_mut().zip(from).for_each(|(t, f)| *t += f64::from(*f));
        if !sections.squares.is_empty() {
            add(&mut self.squares, &floats[sections.squares.clone()]);
        }
        let dots = &floats[sections.dots.clone()];
        for &(pair, cell) in &pass.cells {
            self.dots[pair] += f64::from(dots[cell]);
        }
        if bins.is_empty() {
            return;
        }
        let (rows, cols) = (&floats[sections.rows.clone()], &floats[sections.cols.clone()]);
        let width = cols.len() / job.n_domains.max(1);
        for d in 0..job.n_domains {
            add(&mut self.rows[d][region.first_row..][..region.rows], &rows[d * region.rows..]);
            add(&mut self.cols[d][region.first_col..][..region.cols], &cols[d * width..]);
            let bins = &bins[d * BINS..(d + 1) * BINS];
            self.histograms[d].iter_mut().zip(bins).for_each(|(h, b)| *h += u64::from(*b));
            self.counts[d] += u64::from(bins[HISTOGRAM_BINS]);
        }
    }
    pub fn finish(mut self, job: &ScanJob<'_>) -> ScanSums {
        for (dot, &(a, b)) in self.dots.iter_mut().zip(job.pairs) {
            if a == b {
                *dot = self.squares[a];
            }
        }
        let narrow = |wide: Vec<Vec<f64>>| wide.into_iter().map(|v| v.into_iter().map(|x| x as f32).collect()).collect();
        ScanSums {
            pair_dots: self.dots,
            square_norms: self.squares,
            counts: self.counts,
            histograms: self.histograms,
            row_sums: narrow(self.rows),
            col_sums: narrow(self.cols),
        }
    }
}
