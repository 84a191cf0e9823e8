//! CSV (RFC 4180) and TSV: a head, then one value a row; empty where there is none.

use super::Steps;
use crate::base::{Ctx, Error, LongTable, Result, job::silently};
use std::io::Write;

/// `separator`: `,` or a tab.
///
/// # Errors
/// When `out` cannot be written, or the work is cancelled.
pub fn write_text(out: &mut dyn Write, table: &LongTable, separator: u8, ctx: &Ctx<'_>) -> Result<()> {
    let mut csv = csv::WriterBuilder::new().delimiter(separator).from_writer(out);
    let bad = |e: csv::Error| Error::invalid(format!("the table could not be written: {e}"));
    csv.write_record(table.head()).map_err(bad)?;
    let number = |n: Option<u32>| n.map_or(String::new(), |n| n.to_string());
    let mut steps = Steps::new(ctx, table.len());
    table.for_each(|r| {
        steps.row()?;
        let (layer, neuron, n, seed) = (number(r.layer), number(r.neuron), r.n.to_string(), r.seed.to_string());
        let value = r.value.map_or(String::new(), |v| v.to_string());
        let cells = [table.model.as_str(), &layer, r.module, &neuron, r.domain, r.metric, &value, &n, &seed];
        let place = table.order.as_ref().map(|_| number(r.place));
        csv.write_record(cells.into_iter().chain(place.as_deref())).map_err(bad)
    })?;
    csv.flush().map_err(|e| bad(e.into()))
}

/// The whole of a table that is small enough for the clipboard.
///
/// # Errors
/// When a cell cannot be written.
pub fn text(table: &LongTable, separator: u8) -> Result<String> {
    let mut bytes = Vec::new();
    silently(|ctx| write_text(&mut bytes, table, separator, ctx))?;
    String::from_utf8(bytes).map_err(|e| Error::invalid(e.to_string()))
}
