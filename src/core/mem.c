/* mem.c - counted allocation with an injected n-th failure. */
#include "core/mem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/size.h"

/* The size in front of each block; its size keeps the block 64-byte aligned. */
typedef struct block_header {
    size_t bytes;
    unsigned char pad[64 - sizeof(size_t)];
} block_header;

static atomic_uint_fast64_t allocations, live, live_bytes, countdown;

static bool told_to_fail(void)
{
    uint_fast64_t left = atomic_load_explicit(&countdown, memory_order_relaxed);

    while (left != 0)
        if (atomic_compare_exchange_weak(&countdown, &left, left - 1))
            return left == 1;
    return false;
}

static void count_in(size_t bytes)
{
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&live_bytes, bytes, memory_order_relaxed);
}

static void count_out(size_t bytes)
{
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&live_bytes, bytes, memory_order_relaxed);
}

void *epx_mem_alloc(const char *what, size_t n, size_t size)
{
    block_header *header = NULL;
    size_t bytes, total;

    if (!epx_mul_size(n, size, &bytes) || !epx_add_size(bytes, 2 * sizeof(*header), &total)) {
        (void)epx_fail(EPX_ERR_OVERFLOW, "%s: %zu x %zu bytes do not fit", what, n, size);
        return NULL;
    }
    if (!told_to_fail())
        header = aligned_alloc(64, epx_align(bytes + sizeof(*header), 64));
    if (header == NULL) {
        (void)epx_fail(EPX_ERR_NO_MEMORY, "%s: no memory for %zu bytes", what, bytes);
        return NULL;
    }
    header->bytes = bytes;
    memset(header + 1, 0, bytes);
    count_in(bytes);
    return header + 1;
}

void epx_mem_free(void *block)
{
    block_header *header = block;

    if (block == NULL)
        return;
    header--;
    count_out(header->bytes);
    free(header);
}

void *epx_mem_reserve(const char *what, size_t bytes)
{
    void *base = MAP_FAILED;

    if (!told_to_fail())
        base = mmap(NULL, bytes == 0 ? 1 : bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        (void)epx_fail(EPX_ERR_NO_MEMORY, "%s: no address space for %zu bytes", what, bytes);
        return NULL;
    }
    count_in(bytes);
    return base;
}

void *epx_mem_map(const char *what, int fd, size_t bytes)
{
    void *base = MAP_FAILED;

    if (!told_to_fail())
        base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (base == MAP_FAILED) {
        (void)epx_fail(EPX_ERR_NO_MEMORY, "%s: cannot map %zu bytes", what, bytes);
        return NULL;
    }
    count_in(bytes);
    return base;
}

void epx_mem_release(void *base, size_t bytes)
{
    if (base == NULL)
        return;
    count_out(bytes);
    munmap(base, bytes == 0 ? 1 : bytes);
}

epx_mem_stats epx_mem_read(void)
{
    epx_mem_stats stats = {
        .allocations = atomic_load_explicit(&allocations, memory_order_relaxed),
        .live = atomic_load_explicit(&live, memory_order_relaxed),
        .live_bytes = atomic_load_explicit(&live_bytes, memory_order_relaxed),
    };

    return stats;
}

void epx_mem_fail_at(uint64_t nth)
{
    atomic_store(&countdown, nth);
}
