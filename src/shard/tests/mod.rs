//! Every refusal, provoked by a forged file: one rule broken, all checksums made right again.
//!
//! `forge`: the forged files. `file`: rules of header, footer and metadata. `page`: rules of the index. `split`: files that do not
//! belong together. What needs no forging is in `tests/shard_format.rs` and `tests/shard_damage.rs`.

mod file;
mod forge;
mod page;
mod split;
