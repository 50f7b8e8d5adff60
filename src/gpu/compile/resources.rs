//! What kernels take of a multiprocessor, as the compiler tells it: no GPU is needed to bound registers and spills.

use super::{Architecture, Sources, compile};
use crate::gpu::GpuError;

/// Makes the assembler tell what it used.
const VERBOSE: &str = "--ptxas-options=-v";

/// What one kernel takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Its name.
    pub kernel: String,
    /// Registers of a thread.
    pub registers: u32,
    /// Local memory of a thread for arrays and spilled registers, in bytes.
    pub stack: u32,
    /// Bytes of spilled registers that the code of a thread writes.
    pub spill_stores: u32,
    /// Bytes of spilled registers that it reads back.
    pub spill_loads: u32,
    /// Shared memory of a block that the source declares, in bytes.
    pub shared: u32,
}

/// Compiles `sources` and tells what each of its kernels takes, in the order of their names.
///
/// # Errors
/// As [`compile`].
pub fn resources(sources: &Sources, options: &[&str], architecture: Architecture) -> Result<Vec<Resources>, GpuError> {
    let compiled = compile(sources, &[options, &[VERBOSE]].concat(), architecture)?;
    let mut found = parse(&compiled.log);
    found.sort_by(|one, other| one.kernel.cmp(&other.kernel));
    Ok(found)
}

/// Reads the assembler's log, in which three lines tell of a kernel:
///
/// ```text
/// ptxas info    : Compiling entry function 'NAME' for 'sm_80'
/// ptxas         .     1200 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
/// ptxas info    : Used 39 registers, used 0 barriers, 40 bytes smem, 364 bytes cmem[0]
/// ```
fn parse(log: &str) -> Vec<Resources> {
    let mut found: Vec<Resources> = Vec::new();
    for line in log.lines() {
        if let Some((_, name)) = line.split_once("Compiling entry function '") {
            let kernel = name.split('\'').next().unwrap_or_default().to_owned();
            found.push(Resources { kernel, ..Resources::default() });
        }
        let Some(last) = found.last_mut() else { continue };
        for (unit, place) in [
            (" bytes stack frame", &mut last.stack),
            (" bytes spill stores", &mut last.spill_stores),
            (" bytes spill loads", &mut last.spill_loads),
            (" registers", &mut last.registers),
            (" bytes smem", &mut last.shared),
        ] {
            if let Some(number) = before(line, unit) {
                *place = number;
            }
        }
    }
    found
}

/// The number that stands before `unit`.
fn before(line: &str, unit: &str) -> Option<u32> {
    let (text, _) = line.split_once(unit)?;
    text.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_two_kernels_is_read() {
        let log = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'z' for 'sm_80'
ptxas info    : Function properties for z
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 10 registers, used 1 barriers, 40 bytes smem, 360 bytes cmem[0]
ptxas info    : Compile time = 4.654 ms
ptxas info    : Compiling entry function 'k' for 'sm_80'
ptxas info    : Function properties for k
ptxas         .     1200 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 39 registers, used 0 barriers, 1200 bytes cumulative stack size, 364 bytes cmem[0]
";
        let z = Resources { kernel: "z".to_owned(), registers: 10, shared: 40, ..Resources::default() };
        let k = Resources {
            kernel: "k".to_owned(),
            registers: 39,
            stack: 1200,
            spill_stores: 8,
            spill_loads: 12,
            shared: 0,
        };
        assert_eq!(parse(log), [z, k]);
        assert_eq!(parse("a warning about registers"), []);
    }
}
