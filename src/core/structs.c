/* structs.c - reading a caller's struct of another version. */
#include "core/structs.h"

#include <string.h>

epx_status epx_struct_read(const char *what, const void *theirs, void *ours, size_t own_bytes)
{
    const unsigned char *bytes = theirs;
    size_t their_bytes, i;

    if (theirs == NULL)
        return epx_fail(EPX_ERR_INVALID, "%s is NULL", what);
    memcpy(&their_bytes, theirs, sizeof(their_bytes));
    if (their_bytes < sizeof(size_t) || their_bytes > 4096)
        return epx_fail(EPX_ERR_INVALID, "%s: struct_size %zu, expected %zu", what, their_bytes,
                        own_bytes);
    for (i = own_bytes; i < their_bytes; i++)
        if (bytes[i] != 0)
            return epx_fail(EPX_ERR_UNSUPPORTED,
                            "%s: byte %zu is set, this library knows only the first %zu", what, i,
                            own_bytes);
    memset(ours, 0, own_bytes);
    memcpy(ours, theirs, their_bytes < own_bytes ? their_bytes : own_bytes);
    return EPX_OK;
}
