//! The way of a layer's matrices through a device beside the processor: one layer is sent and scanned there while the next one's backward pass, here,
//! fills another load.

use super::{plan::Sizes, scanner::Scanner, taps::Gathered};
use crate::{
    base::{Error, Result},
    compute::{ScanDevice, ScanSums},
    model::{Block, Matrix},
};
use std::{
    panic::resume_unwind,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, channel, sync_channel},
    },
    thread::{Scope, ScopedJoinHandle},
};

/// Inputs and gradients of some matrices of one layer.
pub(super) struct Load {
    pub layer: usize,
    /// Held here, so that a model whose blocks are made when asked for makes each once.
    pub block: Arc<Block>,
    pub group: &'static [Matrix],
    pub gathered: Gathered,
}

struct Done {
    load: Load,
    /// One for each matrix of the group.
    sums: Result<Vec<ScanSums>>,
}

/// What becomes of the sums of one matrix.
pub(super) type Each<'a> = dyn FnMut(usize, Matrix, &ScanSums) -> Result<()> + 'a;

pub(super) struct Lane<'scope> {
    loads: SyncSender<Load>,
    done: Receiver<Done>,
    worker: ScopedJoinHandle<'scope, ()>,
    /// Memory of a load that is through.
    spare: Option<Gathered>,
}

impl<'scope> Lane<'scope> {
    pub fn start<'env: 'scope>(scope: &'scope Scope<'scope, 'env>, device: &'env dyn ScanDevice, scanner: &'scope Scanner<'_>) -> Self {
        // No queue: with one load at the device and one being filled there are never more than two.
        let (loads, waiting) = sync_channel::<Load>(0);
        let (tx, done) = channel();
        let worker = scope.spawn(move || {
            for load in waiting {
                let Load { layer, block, group, gathered: all } = &load;
                let jobs: Result<Vec<_>> =
                    group.iter().map(|&m| scanner.job(block, *layer, m, scanner.samples, all.x(m), all.delta(m))).collect();
                let sums = jobs.and_then(|jobs| device.scan(&jobs, &|| scanner.ctx.check()));
                let failed = sums.is_err();
                if tx.send(Done { load, sums }).is_err() || failed {
                    return;
                }
            }
        });
        Self { loads, done, worker, spare: None }
    }

    /// Room for a load, used memory where there is some.
    pub fn gathered(&mut self, sizes: &Sizes, of: &[Matrix], tokens: usize) -> Gathered {
        match self.spare.take() {
            Some(used) => used.again(sizes, of, tokens),
            None => Gathered::new(sizes, of, tokens),
        }
    }

    /// Sends a load off, as soon as the one before is through, and hands out what is done.
    ///
    /// # Errors
    /// Those of the device and of `each`.
    pub fn put(&mut self, load: Load, each: &mut Each<'_>) -> Result<()> {
        let sent = self.loads.send(load);
        while let Ok(done) = self.done.try_recv() {
            self.spare = Some(hand_out(done, each)?);
        }
        // The worker ends early only with an error, which was handed out just now, or in a panic, which the join passes on.
        sent.map_err(|_| Error::device("scan", "the device's worker has ended"))
    }

    /// Waits for everything sent.
    ///
    /// # Errors
    /// As [`Lane::put`].
    pub fn finish(self, each: &mut Each<'_>) -> Result<()> {
        let Self { loads, done, worker, .. } = self;
        drop(loads);
        for done in done {
            hand_out(done, each)?;
        }
        worker.join().map_err(|panic| resume_unwind(panic))
    }
}

fn hand_out(done: Done, each: &mut Each<'_>) -> Result<Gathered> {
    let Done { load, sums } = done;
    for (&m, sums) in load.group.iter().zip(&sums?) {
        each(load.layer, m, sums)?;
    }
    Ok(load.gathered)
}
