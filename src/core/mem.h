/* mem.h - every allocation of the library: named, counted, zeroed, and able to fail on demand.
 *
 * The counters are statistics of the process, never read by the library itself. Any thread. */
#ifndef EPX_CORE_MEM_H
#define EPX_CORE_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "core/fail.h"

typedef struct epx_mem_stats {
    uint64_t allocations; /* successful ones since the process started */
    uint64_t live;        /* not yet freed */
    uint64_t live_bytes;
} epx_mem_stats;

/* n x size zeroed bytes, 64-byte aligned; NULL (with epx_fail) when they do not fit or do not
 * exist. n or size of 0 gives a valid pointer. `what` names them in the error. */
void *epx_mem_alloc(const char *what, size_t n, size_t size);
void epx_mem_free(void *block); /* accepts NULL */

/* Address space whose pages are committed on first touch: rings and windows. Counted like any. */
void *epx_mem_reserve(const char *what, size_t bytes);
/* Maps bytes of a shared memory file for reading and writing; the caller keeps fd. */
void *epx_mem_map(const char *what, int fd, size_t bytes);
/* Takes back either. Accepts NULL. */
void epx_mem_release(void *base, size_t bytes);

epx_mem_stats epx_mem_read(void);

/* Tests: let the nth allocation from now (1 = the next) of this process fail; 0 disarms. */
void epx_mem_fail_at(uint64_t nth);

#endif /* EPX_CORE_MEM_H */
