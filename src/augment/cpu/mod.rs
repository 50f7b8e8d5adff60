//! Renders views on the CPU.
