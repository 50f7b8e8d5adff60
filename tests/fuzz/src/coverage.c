/* Tells libFuzzer which code of the C library an input reached. C compilers call __sanitizer_cov_trace_pc at every branch
 * (-fsanitize-coverage=trace-pc). libFuzzer's own does nothing any more, but it watches whatever bytes lie in this section; so the linker
 * is told to --wrap that function in this one. */

#include <stdint.h>

__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t counters[1 << 15];

#ifdef __clang__
__attribute__((no_sanitize("address", "coverage")))
#else
__attribute__((no_sanitize_address, no_sanitize_coverage))
#endif
void __wrap___sanitizer_cov_trace_pc(void) {
  uintptr_t place = (uintptr_t)__builtin_return_address(0);
  counters[(place ^ place >> 15) % sizeof counters]++;
}
