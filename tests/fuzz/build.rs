//! Compiles `src/coverage.c`, where libFuzzer is linked.

fn main() {
    println!("cargo::rerun-if-changed=src/coverage.c");
    if std::env::var_os("CARGO_FEATURE_LIBFUZZER").is_some() {
        cc::Build::new().file("src/coverage.c").no_default_flags(true).flag("-O2").flag("-fPIC").compile("coverage");
        println!("cargo::rustc-link-arg-bins=-Wl,--wrap=__sanitizer_cov_trace_pc");
    }
}
