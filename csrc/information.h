// What the binary of the CPU kernels says about itself and lets be chosen, as C functions.
//
// It knows no Python, so that one binary serves every version: rfwarp_cuda calls these by ctypes,
// and module.cpp makes a Python module of them where one is wanted.
#pragma once

#define RFWARP_EXPORT __attribute__((visibility("default")))

extern "C" {

// To be raised with every change of an operator's arguments or results: rfwarp_cuda.CONTRACT.
RFWARP_EXPORT int rfwarp_contract();

// JSON: what this was compiled from, with and for.
RFWARP_EXPORT const char* rfwarp_build_info();

// The instruction set of the CPU kernels: "baseline", "avx2" or "avx512". Null where
// RFWARP_CPU_CAPABILITY names none that this processor runs; then *error says so, until the
// thread's next call.
RFWARP_EXPORT const char* rfwarp_cpu_capability(const char** error);

// Uses another instruction set in this process, and returns its name; null as above.
RFWARP_EXPORT const char* rfwarp_set_cpu_capability(const char* name, const char** error);
}
