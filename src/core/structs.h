/* structs.h - the extensible-struct rule for every public configuration struct.
 *
 * struct_size comes first; zero in any field means the library's default. A newer library reads an
 * older, shorter struct; an older library refuses a longer one only if bytes that it does not know
 * are non-zero. (The rule of Linux's copy_struct_from_user.) */
#ifndef EPX_CORE_STRUCTS_H
#define EPX_CORE_STRUCTS_H

#include <stddef.h>

#include "core/fail.h"

/* Copies the caller's struct into ours of own_bytes, zero-filled. `what` names it in the error. */
epx_status epx_struct_read(const char *what, const void *theirs, void *ours, size_t own_bytes);

#endif /* EPX_CORE_STRUCTS_H */
