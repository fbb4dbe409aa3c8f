/* pmix.h - PMIx, opened at run time: carries a few hundred bytes from rank 0 to everybody.
 *
 * Built without its headers, or run without its library, it is just not usable. */
#ifndef EPX_COMM_BOOT_PMIX_H
#define EPX_COMM_BOOT_PMIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/fail.h"

typedef struct epx_pmix epx_pmix;

/* The library is there. */
bool epx_pmix_usable(void);

/* Connects to the local server; tells rank and size of the job. */
EPX_NODISCARD epx_status epx_pmix_open(epx_pmix **pmix_out, int32_t *rank_out, int32_t *size_out);
void epx_pmix_close(epx_pmix *pmix); /* accepts NULL */

/* Collective, once: everybody calls it, rank 0's bytes come out. */
EPX_NODISCARD epx_status epx_pmix_broadcast(epx_pmix *pmix, void *bytes, size_t n,
                                            uint32_t timeout_ms);

#endif /* EPX_COMM_BOOT_PMIX_H */
