//! Tables and dense numbers as files. Each format takes a [`LongTable`](crate::base::LongTable) or tensors and knows no view.

mod parquet;
mod tensors;
mod text;

pub use parquet::write_parquet;
pub use tensors::write_tensors;
pub use text::{text, write_text};

use crate::base::{Ctx, Result};

/// Rows between two looks at whether the work is still wanted.
const LOOK: usize = 1 << 14;

/// Counts rows, says how far it is, and stops where nobody waits any more.
struct Steps<'a, 'b> {
    ctx: &'a Ctx<'b>,
    done: usize,
    total: usize,
}

impl<'a, 'b> Steps<'a, 'b> {
    fn new(ctx: &'a Ctx<'b>, total: usize) -> Self {
        Self { ctx, done: 0, total }
    }
    fn row(&mut self) -> Result<()> {
        if self.done.is_multiple_of(LOOK) {
            self.ctx.check()?;
            self.ctx.progress("writing", self.done, self.total, "rows");
        }
        self.done += 1;
        Ok(())
    }
}
