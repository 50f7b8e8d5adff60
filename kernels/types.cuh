// Integers by their widths, for NVRTC, which has no <cstdint>, and for a C++ compiler behind host.hpp.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned u32;
typedef unsigned long long u64;
typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long long i64;

#ifndef SHARED_BYTES
// Dynamic shared memory of the block.
#define SHARED_BYTES(name) extern __shared__ __align__(16) unsigned char name[]
#endif
#ifndef UNROLL
#define UNROLL _Pragma("unroll")
#endif
