//! episode

pub mod rows;

pub use rows::RowLayout;
