/* memfd.h - shared memory without a name: a sealed memfd, passed from process to process as a
 * descriptor. A killed job leaves nothing behind.
 *
 * Its size is sealed: a peer that truncates the file would otherwise turn our next load into
 * SIGBUS. Pages are zero, and exist from their first touch on. */
#ifndef EPX_CORE_MEMFD_H
#define EPX_CORE_MEMFD_H

#include <stddef.h>

#include "core/fail.h"

/* `what` names the memory in errors. The caller owns the descriptor (close-on-exec). */
EPX_NODISCARD epx_status epx_memfd_create(const char *what, size_t bytes, int *fd_out);

/* The size of a memfd that somebody else made, once it proves to be sealed. */
EPX_NODISCARD epx_status epx_memfd_check(const char *what, int fd, size_t *bytes_out);

/* Maps a memfd that is sealed and has exactly `bytes`; the caller keeps fd. Given back with
 * epx_mem_release(). */
EPX_NODISCARD epx_status epx_memfd_map(const char *what, int fd, size_t bytes, void **base_out);

#endif /* EPX_CORE_MEMFD_H */
