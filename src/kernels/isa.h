/* isa.h - the instruction sets that a kernel is compiled for, and which one this machine has.
 *
 * A kernel that is worth it is one inline body in plain C, compiled once per set. All of them give
 * the same bits; only speed differs, so nothing needs to be configured. Chosen at each call by a
 * look at a word that the C runtime filled in: no state of ours. */
#ifndef EPX_KERNELS_ISA_H
#define EPX_KERNELS_ISA_H

typedef enum epx_isa {
    EPX_ISA_GENERIC, /* what the compiler was told to build for */
    EPX_ISA_AVX2,
    EPX_ISA_AVX512 /* F, BW, DQ and VL */
} epx_isa;

#define EPX_BODY static inline __attribute__((always_inline))

#if defined(__x86_64__)
#define EPX_ISA_X86 1
#define EPX_TARGET_AVX2 __attribute__((target("avx2")))
#define EPX_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#else
#define EPX_ISA_X86 0
#define EPX_TARGET_AVX2
#define EPX_TARGET_AVX512
#endif

/* The best set that this machine has. Any thread. */
static inline epx_isa epx_isa_best(void)
{
#if EPX_ISA_X86
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return EPX_ISA_AVX512;
    if (__builtin_cpu_supports("avx2"))
        return EPX_ISA_AVX2;
#endif
    return EPX_ISA_GENERIC;
}

#endif /* EPX_KERNELS_ISA_H */
