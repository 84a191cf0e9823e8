//! Training over the block VJP.
