#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| metacl_fuzz::run("record", bytes));
